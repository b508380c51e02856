"""One kernel for each block of pixels, as HOTPANTS has it (spec 7): by sums, or by FFT where the kernel is large."""

import numpy as np

from ..instructions import convolution_loops, loops
from ..progress import in_parts
from ..threads import map_in_threads
from .convolution import NO_PLANE
from .fourier import convolve_by_fft, fft_is_faster
from .spatial import Monomials

__all__ = ['convolve_blocks']

_LONG = 3e10           # pixels times pixels of the kernel that take more than a few seconds


def convolve_blocks(model, task):
    """Convolve image, variance and flags with the kernel of each block.

    Parameters
    ----------
    model : KernelModel
    task : Convolution
    """
    width, step, compiled = model.basis.width, model.block_width, convolution_loops()
    data, (out, variance_out, flags_out) = task.data, task.planes
    # basis functions flattened, from the last pixel to the first
    pictures = np.ascontiguousarray(model.basis.images.reshape(len(model.basis), -1)[:, ::-1])
    # the part of the kernel that does not vary, then what multiplies each spatial term
    term_kernels = np.vstack([model.solution[0] * pictures[:1], model.varying.T @ pictures[1:]])
    x_terms, y_terms = block_terms(model)
    work = np.zeros((task.n_threads, compiled.work_size(width, step)))
    by_fft = fft_is_faster(data, width, step)
    if by_fft:
        convolve_rows_by_fft(model, task, term_kernels[:, ::-1], x_terms, y_terms)
    what = f'convolving {data.shape[1]} x {data.shape[0]} pixels'
    for start, stop in in_parts(len(y_terms), what, whole=data.size * width**2 < _LONG):
        if by_fft and not task.flags.size:
            break
        compiled.convolve_blocks(
            data, task.variance, task.flags, model.solution, x_terms, y_terms[start:stop], pictures, term_kernels,
            width, step, task.plain_variance, *task.noise_factors, task.good_fraction,
            *((NO_PLANE, NO_PLANE) if by_fft else (out, variance_out)), flags_out, work, start)
    if task.background:
        x, y = ((np.arange(length) - 0.5 * length) / (0.5 * length) for length in data.shape[::-1])
        loops('pixels').add_polynomial(model.background_coefficients, model.bgo, x, y, model.half_width, out,
                                       task.n_threads)


def block_terms(model):
    """Spatial terms where the kernel of each block is evaluated, half a kernel into it (P16)."""
    x, y = (np.arange(-(-length // model.block_width)) * model.block_width + 2.0 * model.half_width + start
            for length, start in zip(model.frame.shape[::-1], model.frame.origin, strict=True))
    return Monomials(model.ko).factors(*model.frame.normalise(x, y))


def convolve_rows_by_fft(model, task, term_kernels, x_terms, y_terms):
    """Convolve one row of blocks after the other by FFT, several in threads."""
    data, (out, variance_out, _), (constant, *varying) = task.data, task.planes, term_kernels
    step, half, width = model.block_width, model.half_width, model.basis.width

    def convolve_row(j):
        rows = slice(j * step, min((j + 1) * step + 2 * half, len(data)))
        if rows.stop - rows.start <= 2 * half:
            return
        kernels = (constant + (x_terms * y_terms[j]) @ varying).reshape(-1, width, width)
        convolve_by_fft(data[rows], kernels, half, step, rows.start + half, out)
        if variance_out.size:
            convolve_by_fft(task.seen_variance(rows), kernels if task.plain_variance else kernels**2, half, step,
                            rows.start + half, variance_out)
    for start, stop in in_parts(-(-len(y_terms) // task.n_threads), 'convolving by FFT', whole=False):
        rows = range(start * task.n_threads, min(stop * task.n_threads, len(y_terms)))
        map_in_threads(convolve_row, rows, task.n_threads)
