"""Numbers that describe a difference (spec 8.4.3, 8.5), under the names of C's header keywords."""

import numpy as np

from .._core.statistics import box_chi2, mean_chi2
from ..inputs.flags import HotpantsFlags
from ..stamps.statistics import GOOD, OK, SectionStatistics

__all__ = ['DESCRIPTIONS', 'ok_ratio', 'output_statistics', 'rescale_ok_noise', 'substamp_chi2']

PLANE_PASSES = 5

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


def output_statistics(difference, noise, flags, n_sigma):
    """Statistics over the whole region, before bad pixels are filled (spec 8.5).

    ``flags`` gets 0x88 where a pixel of either plane is not finite.

    Returns
    -------
    dict
        By the names of `DESCRIPTIONS`.
    """
    work = np.empty(difference.size, np.float32)

    def measure(plane, selection):
        section = SectionStatistics()
        section.measure(plane, flags, (0, 0), plane.shape, n_sigma, PLANE_PASSES, selection, work)
        return section

    good, good_noise = measure(difference, GOOD), measure(noise, GOOD)
    x2norm, n_x2norm = mean_chi2(difference, noise, flags)
    ok, ok_noise = measure(difference, OK), measure(noise, OK)
    return {'X2NRM': x2norm, 'NX2NRM': n_x2norm,
            'DMEAN': good.mean, 'DSIGE': good.sd, 'DSIG': good_noise.mean,
            'DMEANO': ok.mean, 'DSIGEO': ok.sd, 'DSIGO': ok_noise.mean,
            'NSCALO': _ratio(good.sd, good_noise.mean)}


def ok_ratio(values):
    """How much more OK_CONV pixels scatter than their noise says, over the same of the good pixels (spec 8.5.5)."""
    return _ratio(_ratio(values['DSIGEO'], values['DSIGO']), values['NSCALO'])


def rescale_ok_noise(noise, flags, ratio):
    """Scale the noise of OK_CONV pixels up to what they scatter, in place [C: ``-okn``]."""
    if ratio > 1:
        chosen = ((flags & 0xff) != 0) & ((flags & HotpantsFlags.OUTPUT_ISBAD) == 0)
        noise[chosen] = (noise[chosen].astype(float) * ratio).astype(np.float32)


def _ratio(a, b):
    with np.errstate(divide='ignore', invalid='ignore'):
        return float(np.divide(a, b))
