"""One kernel for each block of pixels, as HOTPANTS has it (spec 7): by sums, or by FFT where the kernel is large."""

import numpy as np

from ..instructions import convolution_loops, loops
from ..progress import in_parts
from .fourier import convolve_by_fft, fft_is_faster
from .spatial import Monomials

__all__ = ['NO_FLAGS', 'NO_PLANE', 'convolve_blocks']

_LONG = 3e10           # pixels times pixels of the kernel that take more than a few seconds
NO_PLANE = np.empty((0, 0), np.float32)
NO_FLAGS = np.empty((0, 0), np.int32)


def convolve_blocks(model, data, variance, flags, noise, plain_variance, good_fraction, planes, background, n_threads):
    """Convolve image, variance and flags with the kernel of each block.

    Parameters
    ----------
    model : KernelModel
    data, variance, flags, noise, plain_variance, good_fraction, background, n_threads
        As in `KernelModel.convolve_planes`.
    planes : (float32 array, float32 array, int32 array)
        Get convolved image, variance and flags, but for the frame; shape (0, 0) leaves one out. Flags are added to.
    """
    width, step, compiled = model.basis.width, model.block_width, convolution_loops()
    out, variance_out, flags_out = planes
    # basis functions flattened, from the last pixel to the first
    pictures = np.ascontiguousarray(model.basis.images.reshape(len(model.basis), -1)[:, ::-1])
    # the part of the kernel that does not vary, then what multiplies each spatial term
    term_kernels = np.vstack([model.solution[0] * pictures[:1], model.varying.T @ pictures[1:]])
    x_terms, y_terms = block_terms(model)
    work = np.zeros((n_threads, compiled.work_size(width, step)))
    by_fft = fft_is_faster(data, width, step)
    if by_fft:
        kernels = term_kernels[:, ::-1], x_terms, y_terms
        convolve_rows_by_fft(model, kernels, data, variance, noise, plain_variance, out, variance_out, n_threads)
    what = f'convolving {data.shape[1]} x {data.shape[0]} pixels'
    for start, stop in in_parts(len(y_terms), what, whole=data.size * width**2 < _LONG):
        if by_fft and flags is None:
            break
        compiled.convolve_blocks(
            data, NO_PLANE if variance is None else variance, NO_FLAGS if flags is None else flags,
            model.solution, x_terms, y_terms[start:stop], pictures, term_kernels, width, step,
            plain_variance, *((0.0, 0.0) if noise is None else noise.factors), good_fraction,
            *((NO_PLANE, NO_PLANE) if by_fft else (out, variance_out)), flags_out, work, start)
    if background:
        loops('pixels').add_polynomial(model.background_coefficients, model.bgo, 0.5 * data.shape[1],
                                       0.5 * data.shape[0], 0, 0, model.half_width, out, n_threads)


def block_terms(model):
    """Spatial terms where the kernel of each block is evaluated, half a kernel into it (P16)."""
    x, y = (np.arange(-(-length // model.block_width)) * model.block_width + 2.0 * model.half_width + start
            for length, start in zip(model.frame.shape[::-1], model.frame.origin, strict=True))
    return Monomials(model.ko).factors(*model.frame.normalise(x, y))


def convolve_rows_by_fft(model, kernels, data, variance, noise, plain_variance, out, variance_out, n_threads):
    """Convolve one row of blocks after the other by FFT."""
    (constant, *varying), x_terms, y_terms = kernels
    step, half, width = model.block_width, model.half_width, model.basis.width
    for start, stop in in_parts(len(y_terms), 'convolving by FFT', whole=False):
        for j in range(start, stop):
            rows = slice(j * step, min((j + 1) * step + 2 * half, len(data)))
            if rows.stop - rows.start <= 2 * half:
                break
            kernels = (constant + (x_terms * y_terms[j]) @ varying).reshape(-1, width, width)
            convolve_by_fft(data[rows], kernels, half, step, rows.start + half, out, n_threads)
            if variance_out.size:
                seen = noise.variance(data[rows]) if variance is None else variance[rows]
                convolve_by_fft(seen, kernels if plain_variance else kernels**2, half, step, rows.start + half,
                                variance_out, n_threads)
