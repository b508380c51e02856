"""One image of the pair as the engine works on it: after pedestal, with limits, noise and flags (spec 2.7)."""

import math
from dataclasses import dataclass

import numpy as np

from ..exceptions import InputError
from ..instructions import loops
from ..memory import Memory
from .bits import Bits
from .correlated import WHITE, CorrelatedNoise
from .noise import NoiseModel
from .planes import extremes

__all__ = ['Exposure', 'letter_of', 'working_mask']


def letter_of(name):
    """'t' for 'template' and 'i' for 'science'."""
    return 't' if name == 'template' else 'i'


@dataclass(frozen=True)
class Exposure:
    """One image, ready for the engine. Planes are never modified.

    Parameters
    ----------
    name : {'template', 'science'}
    data : float32 array (ny, nx)
        Pixels after pedestal.
    given_variance : float32 array (ny, nx) or None
        Variance that came with the image, in data units squared.
    known_flags : int32 array (ny, nx) or None
        Bits from masks and non-finite pixels.
    noise : NoiseModel
        For an image without variance.
    low, high : float
        Valid data lie above the first and below the second.
    kernel_high : float
        Data for the kernel fit lie below it.
    fill : float
        A value that means "no data"; NaN for none.
    correlated : CorrelatedNoise, optional
        What neighbouring pixels share of the noise. Default: nothing.
    """

    name: str
    data: np.ndarray
    given_variance: np.ndarray | None
    known_flags: np.ndarray | None
    noise: NoiseModel
    low: float
    high: float
    kernel_high: float
    fill: float
    correlated: CorrelatedNoise = WHITE

    @classmethod
    def of(cls, frame, config):
        """Exposure of a `Frame` with the parameters that ``config`` has for its side (``t...`` or ``i...``)."""
        side = letter_of(frame.name)
        pedestal = np.float32(getattr(config, f'{side}pedestal'))
        data = frame.data - pedestal if pedestal else frame.data

        def limit(name, default):
            value = getattr(config, f'{side}{name}')
            if value is None:
                return default
            with np.errstate(over='ignore'):
                return float(np.float32(value) - pedestal)

        high = limit('uthresh', math.inf)
        kernel_high = limit('uktresh', high)
        faintest, brightest = extremes(data) if pedestal else frame.extremes
        if brightest == faintest:
            raise InputError(f'every pixel of the {frame.name} image has the value {brightest:g}: there is nothing '
                             'to match')
        _check_scale(data, frame.name)
        if kernel_high == math.inf:
            # a finite level, so that the search begins at the brightest stars
            kernel_high = float(np.nextafter(np.float32(brightest), np.float32(np.inf)))
        return cls(frame.name, data, frame.variance, frame.flags,
                   NoiseModel(getattr(config, f'{side}gain'), getattr(config, f'{side}rdnoise')),
                   limit('lthresh', -math.inf), high, kernel_high, config.single('fillval'),
                   CorrelatedNoise(frame.noise_correlation))

    @property
    def letter(self):
        """'t' or 'i', as directions and parameters name the image."""
        return letter_of(self.name)

    def cutout(self, cut):
        """Pixels of a section, contiguous."""
        return np.ascontiguousarray(self.data[cut])

    def planes(self, cut):
        """Pixels, given variance and known flags of a section; of shape (0, 0) what there is not."""
        variance, flags = self.given_variance, self.known_flags
        return (self.cutout(cut),
                np.empty((0, 0), np.float32) if variance is None else np.ascontiguousarray(variance[cut]),
                np.empty((0, 0), np.int32) if flags is None else np.ascontiguousarray(flags[cut]))

    def variance(self, cut, n_threads=1):
        """Variance of a section, in data units squared (spec 2.7.2)."""
        if self.given_variance is not None:
            return np.ascontiguousarray(self.given_variance[cut])
        return self.noise.variance(self.cutout(cut), n_threads)

    def variances(self, corners, size):
        """Variance of squares with first pixels ``corners`` (x, y), float32 (n, size, size)."""
        plane = self.data if self.given_variance is None else self.given_variance
        boxes = np.lib.stride_tricks.sliding_window_view(plane, (size, size))[corners[:, 1], corners[:, 0]]
        if self.given_variance is not None:
            return boxes
        return self.noise.variance(boxes.reshape(-1, size)).reshape(boxes.shape)

    def flags(self, cut, n_threads=1, flags=None, memory=None):
        """Flags of a section: those known, and what the pixel values say (spec 2.7.3, 2.7.4), added to ``flags``."""
        data = self.cutout(cut)
        if flags is None:
            flags = (memory or Memory()).take(data.shape, np.int32)
            loops('pixels').clear(flags, n_threads)
        if self.known_flags is not None:
            flags |= self.known_flags[cut]
        loops('pixels').flag_thresholds(data, self.fill, self.low, self.high, flags, n_threads)
        return flags


def _check_scale(data, name):
    """Refuse images of values that the engine takes for nothing (spec 0.2, ZERO)."""
    sample = data.reshape(-1)[::max(1, data.size // 10_000)]
    if not np.abs(sample).max() < 1e-6:
        return
    spread = np.subtract(*np.percentile(sample, [84, 16])) / 2
    if spread < 3e-9:
        raise InputError(f'the values of the {name} image are too small, they scatter by {spread:.2g}: values below '
                         '1e-10 count as empty pixels; multiply both images by a power of ten, or use a smaller unit')


def working_mask(template, science, cut, growth, border, n_threads=1):
    """Mask for the search of substamps: both images' flags, grown, and an unusable border (spec 2.7.5, 2.7.6).

    Parameters
    ----------
    template, science : Exposure
    cut : tuple of slice
        The section.
    growth : int
        Bad pixels spread OK_CONV this far in x and y, in pixels.
    border : int
        Width of the border in pixels.

    Returns
    -------
    int32 array (ny, nx)
    """
    mask = template.flags(cut, n_threads)
    science.flags(cut, n_threads, mask)
    _spread(mask, growth, n_threads)
    ny, nx = mask.shape
    y0, y1, x0, x1 = border, max(ny - border, border), border, max(nx - border, border)
    for edge in (np.s_[:y0], np.s_[y1:], np.s_[y0:y1, :x0], np.s_[y0:y1, x1:]):
        mask[edge] |= Bits.T_BAD | Bits.I_BAD
    return mask


def _spread(mask, growth, n_threads):
    if growth < 1 or not loops('pixels').any_flag(mask, int(Bits.INPUT_ISBAD), n_threads):
        return
    ny, nx = mask.shape
    bad, any_bad = np.empty(mask.shape, np.uint8), np.empty(ny, np.uint8)
    work = np.empty((n_threads, 2 * (nx + growth)), np.uint8)
    loops('pixels').spread_bad(mask, growth, bad, any_bad, work, n_threads)
