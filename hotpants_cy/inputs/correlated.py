"""Noise that neighbouring pixels share, as in an image that was resampled: white noise that a filter was put over."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..exceptions import InputError
from .planes import as_array

__all__ = ['WHITE', 'CorrelatedNoise', 'checked_correlations']

TAIL = 6                     # pixels that the filter reaches farther than the correlation
FINE = 4                     # points of its transform, in sides of the filter: what is cut off is small


@dataclass(frozen=True, eq=False)
class CorrelatedNoise:
    """The autocorrelation of the noise of an image, and what follows from it.

    Parameters
    ----------
    autocorrelation : float array of odd sides, or None
        1 at the centre; None for noise that is independent from pixel to pixel.
    """

    autocorrelation: np.ndarray | None = None

    @property
    def is_white(self):
        """Whether pixels have independent noise."""
        return self.autocorrelation is None or self.autocorrelation.size == 1

    @cached_property
    def filter(self):
        """What makes noise of this autocorrelation of white noise of the same variance: its square root, (n, n)."""
        half = max(self.autocorrelation.shape) // 2 + TAIL
        n = FINE * (2 * half + 1)
        padded = np.zeros((n, n))
        padded[tuple(slice(0, side) for side in self.autocorrelation.shape)] = self.autocorrelation
        centred = np.roll(padded, [-(side // 2) for side in self.autocorrelation.shape], (0, 1))
        # a correlation that was measured may have powers below zero, which there cannot be
        power = np.maximum(np.fft.fft2(centred).real, 0)
        root = np.roll(np.fft.ifft2(np.sqrt(power)).real, (half, half), (0, 1))[:2 * half + 1, :2 * half + 1]
        return root / math.sqrt(np.sum(root**2))

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


#: Noise that is independent from pixel to pixel.
WHITE = CorrelatedNoise()


def checked_correlations(pair):
    """Arrays, or None, of the ``noise_correlations`` that `~hotpants_cy.subtract` is given."""
    try:
        science, template = pair
    except (TypeError, ValueError):
        raise InputError('noise_correlations must be two, that of the science image and that of the template, each an '
                         'array or None') from None
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
    return plane
