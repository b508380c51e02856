# Convolution with a kernel that varies from block to block: image, variance and mask in one pass (spec 7).
#
# To be included where `number`, `padded`, `extra`, `render`, `convolve_image` and `convolve_variance` are told.  The
# caller guarantees planes of one shape, and outputs that hold their values for the frame of half a kernel: it is not
# touched.
from cython.parallel cimport prange, threadid
from libc.math cimport fabs

cdef enum:
    BAD_INPUT = 0x80           # HotpantsFlags INPUT_ISBAD
    BAD_OUTPUT = 0x8000        # OUTPUT_ISBAD
    BAD_CONVOLVED = 0x8010     # BAD_CONV | OUTPUT_ISBAD
    OK_CONVOLVED = 0x40        # OK_CONV


cdef struct Kernels:
    # all that is needed to render the kernel of a block, from the last pixel to the first
    const double *solution     # of spec 6.1
    const double *basis        # (n_basis, area)
    const double *constant     # (area,): what does not vary
    const double *varying      # (n_terms, area): what multiplies each spatial term
    Py_ssize_t n_basis
    Py_ssize_t n_terms
    Py_ssize_t area


cdef struct Block:
    # one block of output pixels and the kernel that serves it
    Py_ssize_t x0              # first output pixel
    Py_ssize_t y0
    Py_ssize_t nx
    Py_ssize_t ny
    Py_ssize_t half
    Py_ssize_t width           # of the kernel
    Py_ssize_t stride          # of the sums
    Py_ssize_t patch_stride    # of the source pixels that the block sees
    double *kernel             # from the last pixel to the first, so that it slides along the pixels
    double *sums               # output pixels
    number *taps               # of the image or of the variance, reversed like the kernel
    number *image              # source pixels
    number *variance
    double *more               # what else the sums need


cdef void gather(const float[:, ::1] plane, const Block *b, number *out) noexcept nogil:
    cdef Py_ssize_t x, y
    for y in range(b.ny + b.width - 1):
        for x in range(b.nx + b.width - 1):
            out[y * b.patch_stride + x] = plane[b.y0 - b.half + y, b.x0 - b.half + x]


cdef void model_variance(const Block *b, double inverse_gain, double read_variance) noexcept nogil:
    """Variance of the source pixels by the noise model (spec 2.7.2)."""
    cdef Py_ssize_t x, y, p
    for y in range(b.ny + b.width - 1):
        for x in range(b.nx + b.width - 1):
            p = y * b.patch_stride + x
            b.variance[p] = <float> (fabs(<double> b.image[p]) * inverse_gain + read_variance)


cdef void scatter(const Block *b, float[:, ::1] out) noexcept nogil:
    cdef Py_ssize_t x, y
    for y in range(b.ny):
        for x in range(b.nx):
            out[b.y0 + y, b.x0 + x] = <float> b.sums[y * b.stride + x]


cdef int pixel_flags(const int[:, ::1] flags, const Block *b, Py_ssize_t x, Py_ssize_t y,
                     double good_fraction) noexcept nogil:
    """What the flags under the footprint of one output pixel make of it."""
    cdef Py_ssize_t i, j
    cdef int m, here = flags[y, x], seen = 0
    cdef double size, good = 0, total = 0
    if here & BAD_INPUT:
        here |= BAD_OUTPUT
    for j in range(b.width):
        for i in range(b.width):
            m = flags[y - b.half + j, x - b.half + i]
            size = fabs(b.kernel[j * b.width + i])
            seen |= m
            total += size
            if not m & BAD_INPUT:
                good += size
    if seen == 0:
        return here
    return here | (BAD_CONVOLVED if good / total < good_fraction else OK_CONVOLVED)


cdef void convolve_flags(const int[:, ::1] flags, const Block *b, double good_fraction, int[:, ::1] out) noexcept nogil:
    """Flags of one block; the footprints are looked at only where a flag is near."""
    cdef Py_ssize_t x, y
    cdef int seen = 0
    for y in range(b.y0 - b.half, b.y0 + b.ny + b.half):
        for x in range(b.x0 - b.half, b.x0 + b.nx + b.half):
            seen |= flags[y, x]
    if seen == 0:
        return
    for y in range(b.y0, b.y0 + b.ny):
        for x in range(b.x0, b.x0 + b.nx):
            out[y, x] |= pixel_flags(flags, b, x, y, good_fraction)


cdef inline Py_ssize_t patch_size(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    return (step + width - 1) * (padded(step) + width - 1)


cdef void lay_out(Block *b, Py_ssize_t width, Py_ssize_t step, double *work) noexcept nogil:
    """Divide the work memory of one thread; rows have room for whole vectors."""
    cdef Py_ssize_t p, area = width * width
    b.width = width
    b.half = width // 2
    b.stride = padded(step)
    b.patch_stride = b.stride + width - 1
    b.kernel = work
    b.sums = b.kernel + area
    b.taps = <number *> (b.sums + step * b.stride)
    b.image = b.taps + area
    b.variance = b.image + patch_size(width, step)
    b.more = b.sums + step * b.stride + area + 2 * patch_size(width, step)
    for p in range(extra(width, step)):
        b.more[p] = 0


def work_size(Py_ssize_t width, Py_ssize_t step):
    """Length of the work array that `convolve_blocks` needs per thread."""
    return 2 * width * width + step * padded(step) + 2 * patch_size(width, step) + extra(width, step)


cdef void convolve_row_of_blocks(Py_ssize_t row, const float[:, ::1] image, const float[:, ::1] variance,
                                 const int[:, ::1] flags, const Kernels *kernels, const double[:, ::1] x_terms,
                                 const double[::1] y_terms, Py_ssize_t width, Py_ssize_t step, bint plain_variance,
                                 double inverse_gain, double read_variance, double good_fraction,
                                 float[:, ::1] image_out, float[:, ::1] variance_out, int[:, ::1] flags_out,
                                 double *work) noexcept nogil:
    cdef Py_ssize_t column
    cdef Block b
    lay_out(&b, width, step, work)
    b.y0 = row * step + b.half
    b.ny = min(step, image.shape[0] - b.half - b.y0)
    for column in range(x_terms.shape[0]):
        b.x0 = column * step + b.half
        b.nx = min(step, image.shape[1] - b.half - b.x0)
        if b.nx <= 0 or b.ny <= 0:
            break
        render(kernels, &x_terms[column, 0], &y_terms[0], b.kernel)
        gather(image, &b, b.image)
        if variance_out.shape[0] > 0 and variance.shape[0] > 0:
            gather(variance, &b, b.variance)
        elif variance_out.shape[0] > 0:
            model_variance(&b, inverse_gain, read_variance)
        if image_out.shape[0] > 0:
            convolve_image(&b)                       # it may change what was gathered
            scatter(&b, image_out)
        if variance_out.shape[0] > 0:
            convolve_variance(&b, plain_variance)
            scatter(&b, variance_out)
        if flags_out.shape[0] > 0:
            convolve_flags(flags, &b, good_fraction, flags_out)


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
    (0, 0)) that of a pixel is ``abs(pixel) * inverse_gain + read_variance``.  ``work`` has a row of `work_size` zeros
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
