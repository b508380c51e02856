"""Numbers that describe a difference (spec 8.4.3, 8.5), under the names of C's header keywords."""

import numpy as np

from ..inputs.bits import Bits
from ..instructions import loops
from ..memory import large_array
from ..stamps.statistics import clipped_moments

__all__ = ['DESCRIPTIONS', 'chi2_of_substamps', 'ok_ratio', 'output_statistics', 'rescale_ok_noise']

PLANE_PASSES = 5
FEWEST_PIXELS = 100       # that statistics are made of
FEWEST_SAMPLES = 20       # that anything is expected from
NOTHING = 1e10            # what stands for the scatter of no values, and for their chi2
_CHUNK = 1 << 16          # pixels that are summed apart
_SAMPLE = 20_000          # pixels that tell what to expect
_CORE = 0.85              # share of the way to the last limits expected, to stay clear of them

#: What each number is, for header comments.
DESCRIPTIONS = {
    'KSUM': 'kernel sum at the centre',
    'KSUME': 'standard deviation of the kernel sum',
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


def chi2_of_substamps(difference, noise, flags, corners, width, n_threads=1):
    """Mean of (difference / noise)^2 over squares with first pixels ``corners`` (x, y); None where all of it is bad."""
    chi2 = np.empty(len(corners))
    corners = np.array(corners, np.intp).reshape(-1, 2)
    loops('statistics').chi2_of_boxes(difference, noise, flags, corners, width, chi2, n_threads)
    return [None if value == -1 else value for value in chi2.tolist()]


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
    tally = _Tally((difference, noise, flags), _expected_cores(difference, noise, flags, n_sigma), n_threads)
    for _ in range(PLANE_PASSES):
        sums = tally.sums(limits)
        if difference.size < FEWEST_PIXELS:
            break
        for i in open_lists:
            moments[i] = _moments(*sums[i])
            mean, sd = moments[i]
            limits[i] = max(limits[i, 0], mean - n_sigma * sd), min(limits[i, 1], mean + n_sigma * sd)
        changed = [i for i in open_lists if sums[i, 0] != before[i] and sums[i, 0] > 1]
        before, open_lists = sums[:, 0], changed
        if not open_lists:
            break
    return moments, tally.chi2


class _Tally:
    """Sums over the four lists of `plane_moments` within limits, which get narrower, with few looks at the planes.

    Parameters
    ----------
    planes : (float32 array, float32 array, int32 array)
        Difference, noise and flags.
    cores : float32 array (4, 2)
        Limits of the values of each list that are summed once and for all; the others are kept.
    n_threads : int
    """

    def __init__(self, planes, cores, n_threads):
        self.planes, self.n_threads = planes, n_threads
        n_chunks = -(-planes[0].size // _CHUNK)
        self._kept = large_array((n_chunks, 4, _CHUNK // 16 + 1))
        self._n_kept = np.empty((n_chunks, 4), np.intp)
        self._sums, self._overflow = None, False
        self._sweep(cores)
        n, chi2 = self._sums[:, 12:].sum(axis=0)
        self.chi2 = int(n), float(chi2)

    def _sweep(self, cores):
        first, self._cores = self._sums is None, cores
        self._sums = np.zeros((len(self._kept), 14))
        loops('planes').sweep(*self.planes, cores, first, self._sums, self._kept, self._n_kept, self.n_threads)

    def sums(self, limits):
        """Number, sum and sum of squares of each list within ``limits`` (4, 2), as an array (4, 3)."""
        if (self._cores[:, 0] < limits[:, 0]).any() or (self._cores[:, 1] > limits[:, 1]).any():
            self._sweep(_rounded_inwards(limits) if self._overflow else _shrunk(limits))
        if self._n_kept.max() >= self._kept.shape[2]:
            self._overflow = True
            self._sweep(_rounded_inwards(limits))    # nothing that is kept counts then
        sums = self._sums.copy()
        loops('planes').add_kept(self._kept, self._n_kept, limits, sums, self.n_threads)
        return sums[:, :12].sum(axis=0).reshape(4, 3)


def _expected_cores(difference, noise, flags, n_sigma):
    """Where the limits of the lists will surely not be, from a sample of the pixels."""
    some = np.s_[::max(1, difference.size // _SAMPLE)]
    difference, noise, flags = (plane.ravel()[some] for plane in (difference, noise, flags))
    ok = ((flags & 0xff) != 0) & ((flags & Bits.OUTPUT_ISBAD) == 0)
    cores = [_expected_core(values[chosen], n_sigma) for chosen in ((flags & 0xffff) == 0, ok)
             for values in (difference, noise)]
    return np.array(cores, np.float32)


def _expected_core(values, n_sigma):
    values = values[np.isfinite(values)]
    if values.size < FEWEST_SAMPLES:
        return np.inf, -np.inf                       # all are kept
    mean, sd = clipped_moments(values, n_sigma, PLANE_PASSES + 1)
    return _shrunk(np.array([mean - n_sigma * sd, mean + n_sigma * sd]))


def _shrunk(limits):
    with np.errstate(invalid='ignore', over='ignore'):
        half_width = _CORE / 2 * (limits[..., 1:] - limits[..., :1])
        core = (limits.mean(axis=-1, keepdims=True) + half_width * [-1, 1]).astype(np.float32)
    return np.where(np.isfinite(core), core, np.float32([np.inf, -np.inf]))      # all are kept


def _rounded_inwards(limits):
    """The limits in single precision; the same numbers of single precision lie between them."""
    rounded = limits.astype(np.float32)
    low, high = rounded.T
    return np.stack([np.where(low < limits[:, 0], np.nextafter(low, np.float32(np.inf)), low),
                     np.where(high > limits[:, 1], np.nextafter(high, np.float32(-np.inf)), high)], axis=1)


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
