"""Block convolution by FFT, for kernels so large that summing their taps takes longer (spec 7)."""

import math

import numpy as np

from ..instructions import convolution_loops
from ..threads import map_in_threads

__all__ = ['convolve_by_fft', 'convolve_stack', 'fft_is_faster', 'in_single', 'rounding_stays_small']

# Measured (benchmarks/crossover.py): an FFT pays when a block costs this many taps per point and doubling of its FFT;
# by how many pixels the loops for sums take at a time. Those that take one are there to repeat the sums of C exactly.
TAPS_PER_POINT = {16: 420, 8: 500, 4: 100, 1: math.inf}
# Rounding spreads over a whole block: no pixel may be this many times the scatter of the image.
RANGE = 1e8
AT_A_TIME = 32                                   # pictures of a stack, whose transforms stay in the caches


def fft_is_faster(data, width, step):
    """Whether to convolve blocks by FFT: the kernel is large and no pixel so bright that its rounding would show.

    Parameters
    ----------
    data : float32 array (ny, nx)
    width : int
        Of the kernel, in pixels.
    step : int
        Width of a block, in pixels.
    """
    length = step + width - 1                            # near enough, and no need of scipy yet
    if (width * step)**2 < taps_per_point() * length**2 * math.log2(length):
        return False
    return rounding_stays_small(data)


def taps_per_point():
    """How many taps of a sum take as long as a point and doubling of an FFT."""
    return TAPS_PER_POINT[convolution_loops().lanes]


def rounding_stays_small(plane):
    """Whether no pixel of a plane is so bright that the rounding of an FFT would show; false if one is NaN."""
    sample = plane.reshape(-1)[::max(1, plane.size // 100_000)]
    scatter = np.median(np.abs(sample - np.median(sample)))
    brightest = max(abs(float(plane.max())), abs(float(plane.min())))
    return bool(brightest < RANGE * scatter)


def convolve_by_fft(plane, kernels, half, step, start, out):
    """Convolve one row of blocks, each with its own kernel.

    Parameters
    ----------
    plane : array (ny, nx)
        The rows of pixels that the blocks see: ``2 * half`` more than they have.
    kernels : float64 array (n, width, width)
        Kernel of each block.
    half, step : int
        Half width of the kernels, width of a block, in pixels.
    start : int
        First row of the blocks in ``out``.
    out : float32 array
        Gets the rows of the blocks, but for the frame of half a kernel.
    """
    from scipy import fft
    n, width, ny = len(kernels), 2 * half + 1, plane.shape[0] - 2 * half
    padded = np.zeros((plane.shape[0], n * step + 2 * half))
    padded[:, :plane.shape[1]] = plane[:, :padded.shape[1]]
    rows, columns = padded.strides
    patches = np.lib.stride_tricks.as_strided(padded, (n, plane.shape[0], step + 2 * half),
                                              (step * columns, rows, columns), writeable=False)
    shape = _length(plane.shape[0]), _length(step + 2 * half)
    product = fft.rfft2(patches, shape)
    product *= fft.rfft2(kernels, shape)
    blocks = fft.irfft2(product, shape)[:, width - 1:width - 1 + ny, width - 1:width - 1 + step]
    nx = out.shape[1] - 2 * half
    out[start:start + ny, half:half + nx] = blocks.transpose(1, 0, 2).reshape(ny, -1)[:, :nx]


def convolve_stack(pictures, kernels, whole=False, n_threads=1):
    """Convolve each picture of a stack with its kernel, in the precision of the pictures.

    Parameters
    ----------
    pictures : array (n, ny, nx)
    kernels : array (n, width, width) or (1, width, width)
    whole : bool, optional
        Give all pixels that the result has, as if zeros lay around each picture, and not only those that the kernel
        sees whole. Default False.
    n_threads : int, optional
        Default 1.

    Returns
    -------
    array (n, ny -+ (width - 1), nx -+ (width - 1))
    """
    from scipy import fft
    (ny, nx), width = pictures.shape[1:], kernels.shape[1]
    shape = ny + width - 1, nx + width - 1
    lengths = [_length(n) for n in (shape if whole else (ny, nx))]
    cut = np.s_[:, :shape[0], :shape[1]] if whole else np.s_[:, width - 1:ny, width - 1:nx]

    def convolved(first):
        some = slice(first, first + AT_A_TIME)
        product = fft.rfft2(pictures[some], lengths)
        product *= fft.rfft2((kernels if len(kernels) == 1 else kernels[some]).astype(pictures.dtype), lengths)
        return fft.irfft2(product, lengths)[cut]
    parts = map_in_threads(convolved, range(0, max(1, len(pictures)), AT_A_TIME), n_threads)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def in_single(values):
    """Numbers over the largest of them, in single precision, whatever their unit; and the largest."""
    largest = max(np.abs(values).max(initial=0), 1e-300)
    return (values / largest).astype(np.float32), largest


def _length(n):
    from scipy import fft
    return fft.next_fast_len(n, real=True)
