"""The kernel of each pixel instead of one for a block of them (spec 7 without its blocks; Alard 2000, equation 3)."""

import numpy as np

from ..instructions import loops
from ..progress import in_parts
from .spatial import Monomials

__all__ = ['convolve_exactly']

_LONG = 1e10           # pixels times pixels of the kernel that take more than a few seconds
_NO_PLANE = np.empty((0, 0), np.float32)
_NO_FLAGS = np.empty((0, 0), np.int32)


def convolve_exactly(model, data, variance, flags, noise, plain_variance, good_fraction, planes, background,
                     n_threads):
    """Convolve image, variance and flags with the kernel of each pixel.

    Parameters
    ----------
    model : KernelModel
    data, variance, flags, noise, plain_variance, good_fraction, background, n_threads
        As in `KernelModel.convolve_planes`.
    planes : (float32 array, float32 array, int32 array)
        Get convolved image, variance and flags, but for the frame; shape (0, 0) leaves one out. Flags are added to.
    """
    exact, width = loops('exact'), model.basis.width
    x, y = positions(model, data.shape)
    n = exact.n_bands(len(y), width)
    work = np.empty((n_threads, exact.work_size(model.ko, width)))
    coefficients = np.ascontiguousarray(model.background_coefficients)
    what = f'convolving {data.shape[1]} x {data.shape[0]} pixels'
    for start, stop in in_parts(n, what, whole=data.size * width**2 < _LONG):
        exact.convolve_exactly(
            data, _NO_PLANE if variance is None else variance, _NO_FLAGS if flags is None else flags, spatial_kernels(model), model.ko, x, y, plain_variance,
            *((0.0, 0.0) if noise is None else noise.factors), good_fraction, *sky(data), coefficients,
            model.bgo if background else -1, *planes, work, start, stop)


def positions(model, shape):
    """Normalised positions of the columns and rows of a region."""
    (x0, y0), (ny, nx) = model.frame.origin, shape
    return model.frame.normalise(np.arange(nx) + x0, np.arange(ny) + y0)


def spatial_kernels(model):
    """What multiplies each monomial of the position, (n_terms, area), from the last pixel to the first."""
    pictures = model.basis.images.reshape(len(model.basis), -1)[:, ::-1]
    kernels = model.varying.T @ pictures[1:]
    kernels[0] += model.solution[0] * pictures[0]
    return kernels


def sky(data):
    """Level and scatter of the sky, roughly: they choose the precision of sums."""
    sample = data.reshape(-1)[::max(1, data.size // 10_000)].astype(float)
    sample = sample[np.isfinite(sample)]
    level = np.median(sample) if sample.size else 0.0
    return float(np.float32(level)), 1.48 * float(np.median(np.abs(sample - level))) if sample.size else 0.0
