"""Numbers that describe a difference (spec 8.4.3, 8.5), under the names of C's header keywords."""

import numpy as np

from .._core.statistics import box_chi2
from ..inputs.bits import Bits
from ..instructions import loops

__all__ = ['DESCRIPTIONS', 'ok_ratio', 'output_statistics', 'rescale_ok_noise', 'substamp_chi2']

PLANE_PASSES = 5
FEWEST_PIXELS = 100       # that statistics are made of
NOTHING = 1e10            # what stands for the scatter of no values, and for their chi2
_CHUNK = 1 << 16

#: What each number is, for header comments.
DESCRIPTIONS = {
    'KSUM': 'kernel sum at the centre',
    'SSSIG': 'mean figure of merit of the substamps',
    'SSSCAT': 'scatter of the figures of merit',
    'FSIG': 'mean (difference/noise)^2 of the substamps',
    'FSCAT': 'scatter of (difference/noise)^2',
    'X2NRM': 'mean (difference/noise)^2 of good pixels',
    'NX2NRM': 'number of good pixels',
    'DMEAN': 'mean of the difference, good pixels',
    'DSIGE': 'scatter of the difference, good pixels',
    'DSIG': 'mean of the noise, good pixels',
    'DMEANO': 'mean of the difference, OK_CONV pixels',
    'DSIGEO': 'scatter of the difference, OK_CONV pixels',
    'DSIGO': 'mean of the noise, OK_CONV pixels',
    'NSCALO': 'scatter over noise',
}


def substamp_chi2(difference, noise, flags, corner, width):
    """Mean of (difference / noise)^2 over the square with first pixel ``corner`` (x, y); None if all of it is bad."""
    chi2 = box_chi2(difference, noise, flags, *corner, width)
    return None if chi2 == -1 else chi2


def output_statistics(difference, noise, flags, n_sigma, n_threads=1):
    """Statistics over the whole region, before bad pixels are filled (spec 8.5).

    ``flags`` gets 0x88 where a pixel of either plane is not finite.

    Returns
    -------
    dict
        By the names of `DESCRIPTIONS`.
    """
    (good, good_noise, ok, ok_noise), (n, chi2) = plane_moments(difference, noise, flags, n_sigma, n_threads)
    return {'X2NRM': chi2 / float(np.float32(n)) if n > 1 else NOTHING, 'NX2NRM': n,
            'DMEAN': good[0], 'DSIGE': good[1], 'DSIG': good_noise[0],
            'DMEANO': ok[0], 'DSIGEO': ok[1], 'DSIGO': ok_noise[0], 'NSCALO': _ratio(good[1], good_noise[0])}


def plane_moments(difference, noise, flags, n_sigma, n_threads):
    """Clipped mean and scatter (3.2) of difference and noise of good, then of OK pixels; number and sum of chi2."""
    limits = np.tile([-np.inf, np.inf], (4, 1))
    moments, open_lists, before = [(0.0, 0.0)] * 4, range(4), [-1] * 4
    for k in range(PLANE_PASSES):
        sums = np.zeros((-(-difference.size // _CHUNK), 14))
        loops('planes').sweep(difference, noise, flags, limits.ravel(), k == 0, sums, n_threads)
        sums = sums.sum(axis=0)
        if k == 0:
            n_chi2, chi2 = int(sums[12]), float(sums[13])
            if difference.size < FEWEST_PIXELS:
                break
        for i in open_lists:
            moments[i] = _moments(*sums[3 * i:3 * i + 3])
            mean, sd = moments[i]
            limits[i] = max(limits[i, 0], mean - n_sigma * sd), min(limits[i, 1], mean + n_sigma * sd)
        changed = [i for i in open_lists if sums[3 * i] != before[i] and sums[3 * i] > 1]
        before, open_lists = sums[0:12:3], changed
        if not open_lists:
            break
    return moments, (n_chi2, chi2)


def _moments(n, total, total2):
    if n < 2:
        return float(total), NOTHING
    mean = total / n
    variance = (total2 - n * mean * mean) / (n - 1)
    return float(mean), float(np.sqrt(variance)) if variance >= 0 else float('nan')


def ok_ratio(values):
    """How much more OK_CONV pixels scatter than their noise says, over the same of the good pixels (spec 8.5.5)."""
    return _ratio(_ratio(values['DSIGEO'], values['DSIGO']), values['NSCALO'])


def rescale_ok_noise(noise, flags, ratio):
    """Scale the noise of OK_CONV pixels up to what they scatter, in place [C: ``-okn``]."""
    if ratio > 1:
        chosen = ((flags & 0xff) != 0) & ((flags & Bits.OUTPUT_ISBAD) == 0)
        noise[chosen] = (noise[chosen].astype(float) * ratio).astype(np.float32)


def _ratio(a, b):
    with np.errstate(divide='ignore', invalid='ignore'):
        return float(np.divide(a, b))
