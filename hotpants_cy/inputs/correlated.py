"""Noise that neighbouring pixels share, as in an image that was resampled: white noise that a filter was put over."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..exceptions import InputError
from .planes import as_array

__all__ = ['WHITE', 'CorrelatedNoise', 'checked_correlations', 'transform_of']

WIDEST = 65                  # pixels along a side of a correlation
TAIL = 6                     # pixels that the filter may reach farther than the correlation
FINE = 4                     # points of its transform, in sides of the filter: what is cut off is small
NOTHING = 1e-3               # of the peak of the filter, that is cut off
ROUNDING, IMPOSSIBLE = -1e-9, -0.1       # power, over that of white noise, from which it is set to zero, or refused


@dataclass(frozen=True, eq=False)
class CorrelatedNoise:
    """The autocorrelation of the noise of an image, and what follows from it.

    Parameters
    ----------
    given : float array (n, n) of an odd side, or None
        Autocorrelation, 1 at the centre; None for noise that is independent from pixel to pixel.
    """

    given: np.ndarray | None = None

    @property
    def is_white(self):
        """Whether pixels have independent noise."""
        return self.given is None or self.given.size == 1

    @property
    def _half(self):
        return len(self.given) // 2 + TAIL

    @cached_property
    def power(self):
        """Power of each frequency over that of white noise; one that was measured may have some below zero."""
        return transform_of(self.given, FINE * (2 * self._half + 1))

    @cached_property
    def filter(self):
        """What makes noise of this autocorrelation of white noise of the same variance: its square root, (n, n)."""
        half = self._half
        root = np.fft.ifft2(np.sqrt(np.maximum(self.power, 0))).real
        root = np.roll(root, (half, half), (0, 1))[:2 * half + 1, :2 * half + 1]
        far = np.max(np.abs(np.indices(root.shape) - half), axis=0)
        reach = far[np.abs(root) > NOTHING * np.abs(root).max()].max()
        root = root[half - reach:half + reach + 1, half - reach:half + reach + 1]
        return root / math.sqrt(np.sum(root**2))

    @cached_property
    def autocorrelation(self):
        """That which is given, or the nearest that noise can have, 1 at the centre; None if it is white."""
        if self.is_white:
            return None
        if self.power.min() >= ROUNDING:
            return self.given
        from scipy.signal import fftconvolve
        return fftconvolve(self.filter, self.filter[::-1, ::-1])

    @property
    def of_sums(self):
        """Variance of sums over many pixels, over that of as many independent ones."""
        return 1.0 if self.is_white else float(np.sum(self.filter)**2)

    def spread(self, weights):
        """How the white noise behind the image enters sums of its pixels.

        Parameters
        ----------
        weights : float array (n, ny, nx)
            Of the pixels, for each of n sums; with the standard deviation of the pixels in them.

        Returns
        -------
        array (n, ny + more, nx + more)
            The variance of a sum is the sum of its squares.
        """
        if self.is_white:
            return weights
        from scipy.signal import fftconvolve
        return fftconvolve(weights, self.filter[np.newaxis], axes=(1, 2))

    def gain(self, kernels):
        """Variance of a convolved image over that of white noise, for each of some kernels (n, ny, nx)."""
        if self.is_white:
            return np.ones(len(kernels))
        return np.sum(self.spread(kernels)**2, axis=(1, 2)) / np.sum(kernels**2, axis=(1, 2))


def transform_of(plane, points):
    """Fourier transform, of so many points along a side, of a symmetric plane of an odd side."""
    padded = np.zeros((points, points))
    padded[:len(plane), :len(plane)] = plane
    return np.fft.fft2(np.roll(padded, (-(len(plane) // 2),) * 2, (0, 1))).real


#: Noise that is independent from pixel to pixel.
WHITE = CorrelatedNoise()


def checked_correlations(pair):
    """Arrays (n, n), or None, of the ``noise_correlations`` that `~hotpants_cy.subtract` is given."""
    try:
        science, template = None if isinstance(pair, str) else pair
    except (TypeError, ValueError):
        raise InputError('noise_correlations must be two, that of the science image and that of the template, each an '
                         "array or None; subtract() takes 'measure', too") from None
    return (_checked(science, 'noise_correlations[0], of the science image,'),
            _checked(template, 'noise_correlations[1], of the template,'))


def _checked(plane, name):
    if plane is None:
        return None
    plane = as_array(plane, name, None).astype(float)
    if (plane.ndim != 2 or not all(n % 2 for n in plane.shape) or not np.allclose(plane, plane[::-1, ::-1])
            or not np.isclose(plane[plane.shape[0] // 2, plane.shape[1] // 2], 1) or not np.abs(plane).max() < 1.001):
        raise InputError(f'{name} must be a 2-D array of odd sides, 1 at its centre, symmetric about it, and nowhere '
                         'above 1')
    side = max(plane.shape)
    if side > WIDEST:
        raise InputError(f'{name} has a side of {side} pixels: give {WIDEST} at most, without the part that is nothing')
    plane = np.pad(plane, [((side - n) // 2,) * 2 for n in plane.shape])
    lowest = CorrelatedNoise(plane).power.min()
    if lowest < IMPOSSIBLE:
        raise InputError(f'{name} is that of no noise: its Fourier transform, the power, falls to {lowest:.2g}, where '
                         'white noise has 1; it was cut off too early, or is known too badly')
    return plane
