"""The kernel of each pixel instead of one for a block of them (spec 7 without its blocks; Alard 2000, equation 3)."""

from collections import defaultdict

import numpy as np

from ..instructions import loops
from ..progress import in_parts
from ..threads import map_in_threads
from .convolution import NO_PLANE
from .fourier import rounding_stays_small
from .spatial import Monomials

__all__ = ['convolve_exactly']

_LONG = 1e10           # pixels times pixels of the kernel that take more than a few seconds
TILE = 256             # pixels of an FFT in x and y, and at least
WIDTHS = 5             # times the width of the kernel
# measured (benchmarks/exact.py --crossover): a transform there and back costs as much as so many taps of a sum, by the
# numbers in a vector; a variance, which leaves out what does not matter of any kernel, as much as so many
TAPS_PER_TRANSFORM = {4: 230, 8: 800, 16: 1100}
TAPS_OF_VARIANCE = 1000


def convolve_exactly(model, task):
    """Convolve image, variance and flags with the kernel of each pixel.

    Parameters
    ----------
    model : KernelModel
    task : Convolution
    """
    exact, width, (data, planes) = loops('exact'), model.basis.width, (task.data, task.planes)
    if fft_pays(model, data, task.variance, task.noise):
        convolve_by_fft(model, task)
        planes = NO_PLANE, NO_PLANE, planes[2]
        if not planes[2].size:
            return
    x, y = positions(model, data.shape)
    work = np.empty((task.n_threads, exact.work_size(model.ko, width)))
    coefficients, terms, level = np.ascontiguousarray(model.background_coefficients), spatial_kernels(model), sky(data)
    what = f'convolving {data.shape[1]} x {data.shape[0]} pixels'
    for start, stop in in_parts(exact.n_bands(len(y), width), what, whole=data.size * width**2 < _LONG):
        exact.convolve_exactly(
            data, task.variance, task.flags, terms, model.ko, x, y, task.plain_variance, *task.noise_factors,
            task.good_fraction, level, coefficients, model.bgo if task.background else -1, *planes, work, start, stop)


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
    """Level of the sky, roughly."""
    sample = data.reshape(-1)[::max(1, data.size // 10_000)]
    sample = sample[np.isfinite(sample)]
    return float(np.median(sample)) if sample.size else 0.0


# -- large kernels ---------------------------------------------------------------------------------

def fft_pays(model, data, variance, noise):
    """Whether transforms take less time than sums, and no pixel is so bright that its rounding would show."""
    seen = 0 if noise is None and not variance.size else 1
    transforms = len(Monomials(model.ko)) + seen * len(Monomials(2 * model.ko)) + 1 + seen
    return n_taps(model, seen) > taps_per_transform() * transforms and all(
        rounding_stays_small(plane) for plane in (data, variance) if plane.size)


def n_taps(model, n_variances):
    """What sums cost, in taps of one sum."""
    return model.basis.width**2 * (1 + model.ko) + TAPS_OF_VARIANCE * n_variances


def taps_per_transform():
    """What a transform there and back costs, in the same."""
    return TAPS_PER_TRANSFORM.get(loops('exact').lanes, min(TAPS_PER_TRANSFORM.values()))


def convolve_by_fft(model, task):
    """Convolve image and variance with what multiplies each monomial, and add up the images times the monomials.

    The square of the kernel is a polynomial too, of twice the order.
    """
    from scipy import fft
    width, (data, (out, variance_out, _)) = model.basis.width, (task.data, task.planes)
    length = fft.next_fast_len(max(TILE, WIDTHS * width), real=True)
    terms = image_terms(model)
    for_image, for_variance = ({power: fft.rfft2(kernel, (length, length)) for power, kernel in some.items()}
                               for some in (terms, terms if task.plain_variance else squared(terms)))

    def convolve_rows(start):
        rows = slice(start, min(start + length, len(data)))
        total = _tiles(data[rows], for_image, length, model, start)
        if task.background:
            ny, nx = np.ogrid[:len(total), :total.shape[1]]
            half, (x0, y0) = model.half_width, model.frame.origin
            total += model.background(nx + half + x0, ny + start + half + y0)
        _put(total, model.half_width, start, out)
        if variance_out.size:
            seen = task.seen_variance(rows)
            _put(_tiles(seen, for_variance, length, model, start), model.half_width, start, variance_out)
    map_in_threads(convolve_rows, range(0, len(data) - width + 1, length - width + 1), task.n_threads)


def image_terms(model):
    """What multiplies X^p Y^q, by (p, q), as pictures."""
    powers = [(p, q) for p in range(model.ko + 1) for q in range(model.ko - p + 1)]
    pictures = spatial_kernels(model)[:, ::-1].reshape(len(powers), model.basis.width, -1)
    return dict(zip(powers, pictures, strict=True))


def squared(terms):
    """The terms of a polynomial squared."""
    out = defaultdict(float)
    for (p, q), a in terms.items():
        for (i, j), b in terms.items():
            out[p + i, q + j] = out[p + i, q + j] + a * b
    return out


def _tiles(plane, terms, length, model, start):
    """One row of tiles: float64 pixels, all but the frame of half a kernel."""
    from scipy import fft
    width = model.basis.width
    ny, nx, step = plane.shape[0] - width + 1, plane.shape[1] - width + 1, length - width + 1
    n = -(-nx // step)
    padded = np.zeros((length, n * step + width - 1))
    padded[:len(plane), :plane.shape[1]] = plane
    tiles = np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)[:, ::step].transpose(1, 0, 2)
    transform = fft.rfft2(tiles)
    x, y = positions(model, (start + length, plane.shape[1]))
    x, y = x[width // 2:][:nx], y[start + width // 2:][:ny]
    total = np.zeros((ny, nx))
    for (p, q), kernel in terms.items():
        part = fft.irfft2(transform * kernel, (length, length))[:, width - 1:width - 1 + ny, width - 1:]
        part = part.transpose(1, 0, 2).reshape(ny, -1)[:, :nx]
        part *= x**p
        part *= (y**q)[:, np.newaxis]
        total += part
    return total


def _put(total, half, start, out):
    out[start + half:start + half + len(total), half:half + total.shape[1]] = total
