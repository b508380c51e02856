"""What is convolved with a kernel, how, and where the results go: the same for blocks, exact kernels, sums and FFTs."""

from functools import partial
from typing import NamedTuple

import numpy as np

from ..instructions import loops
from ..memory import Memory

__all__ = ['NO_FLAGS', 'NO_PLANE', 'Convolution']

NO_PLANE = np.empty((0, 0), np.float32)
NO_FLAGS = np.empty((0, 0), np.int32)


class Convolution(NamedTuple):
    """Planes of a region to be convolved, and the planes that get the results.

    Attributes
    ----------
    data, variance, flags, noise, plain_variance, good_fraction, background, n_threads
        As in `KernelModel.convolve_planes`; planes that there are not have the shape (0, 0).
    planes : (float32 array, float32 array, int32 array)
        Get convolved image, variance and flags, but for the frame; shape (0, 0) leaves one out. Flags are added to.
    """

    data: np.ndarray
    variance: np.ndarray
    flags: np.ndarray
    noise: object
    plain_variance: bool
    good_fraction: float
    planes: tuple
    background: bool
    n_threads: int

    @classmethod
    def of(cls, data, variance, flags, noise, *, memory=None, **options):
        """Make the planes for the results, in ``memory`` if there is enough of it."""
        take = partial((memory or Memory()).take, data.shape)
        out = take()
        variance_out = NO_PLANE if variance is None and noise is None else take()
        flags_out = NO_FLAGS if flags is None else take(np.int32)
        loops('pixels').clear(flags_out, options['n_threads'])
        return cls(data, NO_PLANE if variance is None else variance, NO_FLAGS if flags is None else flags, noise,
                   planes=(out, variance_out, flags_out), **options)

    @property
    def noise_factors(self):
        """The factors of the noise model; zeros if there is none."""
        return (0.0, 0.0) if self.noise is None else self.noise.factors

    def seen_variance(self, rows):
        """Variance of the source pixels in some rows: what was given, or that of the noise model."""
        return self.variance[rows] if self.variance.size else self.noise.variance(self.data[rows])

    def fill_frames(self, half, fill):
        """Put ``fill`` in the frame of the convolved image, half a kernel wide, and 0 in that of the variance."""
        image, variance, _ = self.planes
        loops('pixels').fill_frame(image, half, fill, self.n_threads)
        loops('pixels').fill_frame(variance, half, 0, self.n_threads)
