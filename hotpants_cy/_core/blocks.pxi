# Convolution with a kernel that varies from block to block: image, variance and mask in one pass (spec 7).
#
# To be included where `number`, `padded`, `extra`, `render`, `start_row`, `blocks_alike`, `prepare_image`,
# `prepare_variance`, `convolve_image` and `convolve_variance` are told.  A few blocks in a row make a group, whose
# pixels are gathered together.  The caller guarantees planes of one shape, and outputs that hold their values for the
# frame of half a kernel: it is not touched.
from cython.parallel cimport prange, threadid
from libc.math cimport fabs

cdef enum:
    GROUP = 4                  # blocks
    SPARE_ROWS = 7             # of pixels below a group


cdef struct Kernels:
    # all that is needed to render the kernel of a block, from the last pixel to the first
    const double *solution     # of spec 6.1
    const double *basis        # (n_basis, area)
    const double *constant     # (area,): what does not vary
    const double *varying      # (n_terms, area): what multiplies each spatial term
    Py_ssize_t n_basis
    Py_ssize_t n_terms
    Py_ssize_t area


cdef struct Group:
    # a few blocks in a row, and what serves all of them
    Py_ssize_t x0              # first output pixel
    Py_ssize_t y0
    Py_ssize_t nx              # source pixels that the blocks see
    Py_ssize_t ny
    Py_ssize_t stride          # of these
    Py_ssize_t width           # of the kernel
    Py_ssize_t step            # from block to block
    number *image
    number *variance
    double *more               # what else the sums need


cdef struct Block:
    # one block of output pixels and the kernel that serves it
    Py_ssize_t x0              # first output pixel
    Py_ssize_t y0
    Py_ssize_t nx
    Py_ssize_t ny
    Py_ssize_t room            # for columns of output: what lies beyond the block is written again by the next one
    Py_ssize_t half
    Py_ssize_t width           # of the kernel
    double *kernel             # from the last pixel to the first, so that it slides along the pixels
    number *taps               # of the image or of the variance, reversed like the kernel
    double *for_flags          # work memory
    float *out                 # where the first output pixel goes
    Py_ssize_t out_stride


cdef void gather(const float[:, ::1] plane, const Group *g, Py_ssize_t half, number *out) noexcept nogil:
    cdef Py_ssize_t x, y
    cdef const float *row
    for y in range(g.ny):
        row = &plane[g.y0 - half + y, g.x0 - half]
        for x in range(g.nx):
            out[y * g.stride + x] = row[x]


cdef void model_variance(const Group *g, double inverse_gain, double read_variance) noexcept nogil:
    """Variance of the source pixels by the noise model (spec 2.7.2)."""
    cdef Py_ssize_t x, y
    cdef number *image
    cdef number *variance
    for y in range(g.ny):
        image = g.image + y * g.stride
        variance = g.variance + y * g.stride
        for x in range(g.nx):
            variance[x] = <float> (fabs(<double> image[x]) * inverse_gain + read_variance)


include "flags.pxi"


cdef inline Py_ssize_t group_stride(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """Length of the rows of a group's pixels; the last block has room for whole vectors."""
    return (GROUP - 1) * step + padded(step) + width - 1


cdef inline Py_ssize_t group_rows(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """How many rows of pixels of a group there is room for: some more than it has."""
    return step + width - 1 + SPARE_ROWS


def work_size(Py_ssize_t width, Py_ssize_t step):
    """Length of the work array that `convolve_blocks` needs per thread."""
    return (2 * width * width + 2 * group_rows(width, step) * group_stride(width, step) + flags_size(width, step)
            + extra(width, step))


cdef inline Py_ssize_t n_blocks(const Group *g) noexcept nogil:
    return (g.nx - g.width + g.step) // g.step


cdef void lay_out(Block *b, Group *g, Py_ssize_t width, Py_ssize_t step, double *work) noexcept nogil:
    """Divide the work memory of one thread."""
    cdef Py_ssize_t area = width * width, size
    g.width = width
    g.step = step
    g.stride = group_stride(width, step)
    size = group_rows(width, step) * g.stride
    b.width = width
    b.half = width // 2
    b.kernel = work
    b.taps = <number *> (work + area)
    g.image = <number *> (work + 2 * area)
    g.variance = g.image + size
    b.for_flags = work + 2 * area + 2 * size
    g.more = b.for_flags + flags_size(width, step)


cdef void convolve_row_of_blocks(Py_ssize_t row, const float[:, ::1] image, const float[:, ::1] variance,
                                 const int[:, ::1] flags, const Kernels *kernels, const double[:, ::1] x_terms,
                                 const double[::1] y_terms, Py_ssize_t width, Py_ssize_t step, bint plain_variance,
                                 double inverse_gain, double read_variance, double good_fraction,
                                 float[:, ::1] image_out, float[:, ::1] variance_out, int[:, ::1] flags_out,
                                 double *work) noexcept nogil:
    cdef Py_ssize_t column = 0, n, k, end = image.shape[1] - width // 2
    cdef bint flagged = False
    cdef Block b
    cdef Group g
    lay_out(&b, &g, width, step, work)
    g.y0 = b.y0 = row * step + b.half
    b.ny = min(step, image.shape[0] - b.half - b.y0)
    g.ny = b.ny + width - 1
    if b.ny <= 0:
        return
    start_row(&g)
    while column < x_terms.shape[0]:
        g.x0 = column * step + b.half
        if g.x0 >= end:
            break
        g.nx = min(GROUP * step, end - g.x0) + width - 1
        gather(image, &g, b.half, g.image)
        n = blocks_alike(&g)
        g.nx = min(n * step, end - g.x0) + width - 1
        if variance_out.shape[0] > 0 and variance.shape[0] > 0:
            gather(variance, &g, b.half, g.variance)
        elif variance_out.shape[0] > 0:
            model_variance(&g, inverse_gain, read_variance)
        if variance_out.shape[0] > 0:
            prepare_variance(&g)
        if image_out.shape[0] > 0:
            prepare_image(&g)                        # it may change what was gathered
        if flags_out.shape[0] > 0:
            flagged = any_flags(flags, g.x0 - b.half, g.y0 - b.half, g.nx, g.ny)
        for k in range(n):
            b.x0 = g.x0 + k * step
            b.room = end - b.x0
            b.nx = min(step, b.room)
            render(kernels, &x_terms[column + k, 0], &y_terms[0], b.kernel)
            if image_out.shape[0] > 0:
                b.out = &image_out[b.y0, b.x0]
                b.out_stride = image_out.shape[1]
                convolve_image(&b, &g, k * step)
            if variance_out.shape[0] > 0:
                b.out = &variance_out[b.y0, b.x0]
                b.out_stride = variance_out.shape[1]
                convolve_variance(&b, &g, k * step, plain_variance)
            if flagged:
                convolve_flags(flags, &b, good_fraction, flags_out)
        column += n


def convolve_blocks(const float[:, ::1] image, const float[:, ::1] variance, const int[:, ::1] flags,
                    const double[::1] solution, const double[:, ::1] x_terms, const double[:, ::1] y_terms,
                    const double[:, ::1] basis, const double[:, ::1] term_kernels, Py_ssize_t width, Py_ssize_t step,
                    bint plain_variance, double inverse_gain, double read_variance, double good_fraction,
                    float[:, ::1] image_out, float[:, ::1] variance_out, int[:, ::1] flags_out, double[:, ::1] work,
                    Py_ssize_t first=0):
    """Convolve with one kernel per block of ``step`` pixels; block (0, 0) starts half a kernel inside the image.

    ``solution`` is that of spec 6.1; the spatial terms of a block are the products of a row of ``x_terms`` and one of
    ``y_terms``.  ``basis`` holds the images, ``width`` pixels wide, of the basis functions, flattened and from the last
    pixel to the first, so that they slide along the pixels; ``term_kernels`` the same kernel sorted otherwise: what
    does not vary, then what multiplies each spatial term.
    An output of shape (0, 0) leaves its part out; ``flags_out`` is added to.  Without a ``variance`` plane (shape
    (0, 0)) that of a pixel is ``abs(pixel) * inverse_gain + read_variance``.  ``work`` has a row of `work_size` numbers
    per thread.  ``y_terms`` may be those of some rows of blocks only, from row ``first`` on.
    """
    cdef Py_ssize_t row
    cdef int n_threads = <int> work.shape[0]
    cdef Kernels kernels
    kernels.solution = &solution[0]
    kernels.basis = &basis[0, 0]
    kernels.constant = &term_kernels[0, 0]
    kernels.varying = &term_kernels[1, 0]
    kernels.n_basis = basis.shape[0]
    kernels.n_terms = x_terms.shape[1]
    kernels.area = basis.shape[1]
    for row in prange(y_terms.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        convolve_row_of_blocks(first + row, image, variance, flags, &kernels, x_terms, y_terms[row], width, step,
                               plain_variance, inverse_gain, read_variance, good_fraction, image_out, variance_out,
                               flags_out, &work[threadid(), 0])
