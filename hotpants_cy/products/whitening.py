r"""Filters for a difference with correlated noise: whitening, and the matched filter.

In the sky the noise of the difference :math:`D = U - C \otimes K` has the power spectrum

.. math:: P(k) = V^U R^U(k) + V^C R^C(k)\,|K(k)|^2

with the variances V of both images and the transforms R of their autocorrelations, 1 for white noise. A filter of
transform :math:`P^{-1/2}` makes it white (Reiss & Lupton, DMTN-021); one of transform :math:`\phi/P`, with
:math:`\phi` the PSF of the difference, finds point sources best (Zackay, Ofek & Gal-Yam 2016). Both are short.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .filters import Filterable, FilterField, nodes
from .noise_field import squared, typical

__all__ = ['DifferenceFilters']

SIZE = 96                       # pixels of the transforms that filters are made with
HALF_WIDTHS = 10, 12, 15, 20    # that whitening filters may have
LEFT = 0.003                    # autocorrelation that cutting a filter may leave
FLOOR = 1e-3                    # of the largest power: the least, where the image convolved has all the noise
LOST = 1e-3                     # norm that a matched filter may lose by being cut
STEEP = 3e3                     # largest variance over the usual one for single precision
SKY_BOX = 200                   # pixels, for the variances of the sky


@dataclass(frozen=True, eq=False)
class DifferenceFilters:
    """Filters of the difference of one region, from its noise.

    Parameters
    ----------
    noise : NoiseField
    difference : float32 array (ny, nx)
    n_threads : int, optional
    """

    noise: object
    difference: np.ndarray
    n_threads: int = 1

    @cached_property
    def axes(self):
        """Nodes in x and in y, in pixels of the region."""
        ny, nx = self.difference.shape
        return nodes(nx), nodes(ny)

    def at_nodes(self, function):
        """Field of filters that ``function`` gives for a position (x, y) in the image."""
        (x, y), (x0, y0) = self.axes, self.noise.origin
        return FilterField(x, y, np.array([[function(a + x0, b + y0) for a in x] for b in y]))

    @cached_property
    def kernels(self):
        """The kernel at the nodes, on the scale of the difference."""
        return self.at_nodes(lambda x, y: self.noise.scale * self.noise.kernel.image(x, y))

    @cached_property
    def size(self):
        """Pixels of the transforms."""
        from scipy import fft
        correlations = self.noise.plain_correlation, self.noise.convolved_correlation
        widest = max(len(r) for r in (np.ones((1, 1)), *correlations) if r is not None)
        return fft.next_fast_len(max(SIZE, 4 * self.kernels.filters.shape[-1], widest), real=True)

    @cached_property
    def power(self):
        """Noise power of the difference in the sky at the nodes, (ny, nx, size, size // 2 + 1)."""
        noise, squares = self.noise, np.abs(_transform(self.kernels.filters, self.size))**2
        (x, y), (x0, y0) = self.axes, noise.origin
        sky = np.array([[noise.typical_variances(a + x0, b + y0, SKY_BOX) for a in x] for b in y])
        plain, convolved = np.moveaxis(sky, -1, 0)[..., None, None]
        own, before = (1.0 if r is None else _transform(np.asarray(r), self.size).real.clip(0)
                       for r in (noise.plain_correlation, noise.convolved_correlation))
        power = noise.scale**2 * plain * own + convolved * before * squares
        return np.maximum(power, FLOOR * power.max(axis=(2, 3), keepdims=True))

    @cached_property
    def whitening(self):
        """Whitening filters, as short as leaves no autocorrelation worth a word."""
        whole = _picture(self.power**-0.5, self.size)
        for half in HALF_WIDTHS:
            filters = _cut(whole, half)
            left = _picture(np.abs(_transform(filters, self.size))**2 * self.power, self.size)
            middle = left.shape[-1] // 2
            left /= left[..., middle, middle][..., None, None]
            near = np.abs(left[..., middle - 3:middle + 4, middle - 3:middle + 4])
            near[..., 3, 3] = 0
            if near.max() < LEFT:
                break
        return FilterField(*self.axes, filters)

    def matched(self, psfs):
        """Filters that find point sources, each as short as keeps all but a thousandth of it.

        Parameters
        ----------
        psfs : FilterField
            The PSF at the nodes.
        """
        whole = self._match(psfs.filters, self.power)
        widest = whole.shape[-1] // 2
        squares, box = np.sum(whole**2, axis=(0, 1)), np.max(np.abs(np.indices(whole.shape[2:]) - widest), axis=0)
        outside = [np.sqrt(squares[box > half].sum() / squares.sum()) for half in range(widest + 1)]
        half = next(half for half, part in enumerate(outside) if part <= LOST)
        return FilterField(*self.axes, _cut(whole, half))

    def matched_at(self, x, y, stamp):
        """The filter for a source at (x, y) in the image that looks like ``stamp``."""
        x0, y0 = self.noise.origin
        return self._match(stamp, FilterField(*self.axes, self.power).at(x - x0, y - y0))

    def _match(self, psfs, power):
        psfs = _cut(psfs, min(psfs.shape[-1] // 2, self.size // 2 - 1))
        half = min(psfs.shape[-1] // 2 + HALF_WIDTHS[0], self.size // 2 - 1)
        # near 1 whatever the unit: squares of the filter are used in single precision
        return _cut(_picture(_transform(psfs, self.size) * (self.power.max() / power), self.size), half)

    # -- the planes, transformed once -----------------------------------------------------------

    def filterable(self, plane, precision=np.float32):
        """A plane of the region, to be filtered with any filters made here."""
        # none is wider than a matched one after the kernel
        return Filterable(plane, 2 * self.noise.kernel.half_width + 64, self.n_threads, precision)

    @cached_property
    def _data(self):
        return self.filterable(np.where(self.noise.good, self.difference, np.float32(0)))

    @cached_property
    def _good(self):
        return self.filterable(self.noise.good.astype(np.float32))

    @cached_property
    def _variances(self):
        plain = np.where(self.noise.good, self.noise.plain, np.float32(0))
        return tuple(self.filterable(plane, precision_for(plane)) for plane in (plain, self.noise.convolved))

    def signal(self, filters):
        """The difference, filtered; bad pixels count as zero."""
        return filters.apply(self._data)

    def variance(self, filters):
        """Variance of the filtered difference, from the variance of each pixel that goes into it."""
        noise, scale = self.noise, np.float32(self.noise.scale**2)
        plain, convolved = self._variances
        own = filters.map(lambda f: squared(f, noise.plain_correlation))
        before = filters.map(lambda f, k: squared(_through(f, k), noise.convolved_correlation), self.kernels)
        total = scale * own.apply(plain) + before.apply(convolved)
        return np.maximum(total, 0, out=total)

    def on_good(self, filters):
        """Sum of a filter's weights on good pixels, at each pixel."""
        return filters.apply(self._good)

    def good_fraction(self, filters):
        """Part of the absolute weight of a filter that lies on good pixels, at each pixel."""
        absolute = filters.map(np.abs)
        return self.on_good(absolute) / absolute.spread(np.sum)(self.difference.shape)


def precision_for(variance):
    """That of an FFT of variances: double where a bright star on a dark sky has so much that rounding it would show."""
    return np.float64 if variance.max() > STEEP * typical(variance) else np.float32


def _transform(pictures, size):
    """Transform of pictures whose centre is their central pixel."""
    from scipy import fft
    half = pictures.shape[-1] // 2
    padded = np.zeros((*pictures.shape[:-2], size, size))
    padded[..., :pictures.shape[-2], :pictures.shape[-1]] = pictures
    return fft.rfft2(np.roll(padded, (-(pictures.shape[-2] // 2), -half), (-2, -1)))


def _picture(transform, size):
    """Picture of odd or even sides whose centre is pixel ``size // 2``."""
    from scipy import fft
    return fft.fftshift(fft.irfft2(transform, (size, size)), axes=(-2, -1))


def _cut(pictures, half):
    middle = pictures.shape[-1] // 2
    return pictures[..., middle - half:middle + half + 1, middle - half:middle + half + 1]


def _through(f, kernel):
    """What each pixel before a convolution contributes to a weighted sum of those after it."""
    from scipy.signal import correlate
    return correlate(f, kernel, method='fft')
