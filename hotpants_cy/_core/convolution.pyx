# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Convolution with a kernel that varies from block to block: image, variance and mask in one pass (spec 7).

The caller guarantees planes of one shape, and outputs that hold their values for the frame of half a
kernel, which is not touched.
"""
from cython.parallel cimport prange, threadid
from libc.math cimport fabs

cdef enum:
    COLUMNS = 24               # of output that `convolve_strip` takes at a time
    BAD_INPUT = 0x80           # HotpantsFlags INPUT_ISBAD
    BAD_OUTPUT = 0x8000        # OUTPUT_ISBAD
    BAD_CONVOLVED = 0x8010     # BAD_CONV | OUTPUT_ISBAD
    OK_CONVOLVED = 0x40        # OK_CONV


cdef struct Block:
    # one block of output pixels and the kernel that serves it
    Py_ssize_t x0              # first output pixel
    Py_ssize_t y0
    Py_ssize_t nx
    Py_ssize_t ny
    Py_ssize_t half
    Py_ssize_t width           # of the kernel
    Py_ssize_t stride          # of the sums: columns, in whole strips
    Py_ssize_t patch_stride    # of the source pixels that the block sees
    double *kernel             # reversed, so that it slides along the pixels
    double *weight             # what multiplies the variance: the kernel's square, or the kernel itself
    double *image              # source pixels
    double *variance
    double *image_sums         # output pixels
    double *variance_sums


cdef void render(const double[::1] solution, const double[::1] x_terms, const double[::1] y_terms,
                 const double[:, ::1] basis, double *kernel) noexcept nogil:
    """Kernel at the position where the spatial terms have these factors in x and y (6.4)."""
    cdef Py_ssize_t n, p, t, n_terms = x_terms.shape[0]
    cdef double a
    for p in range(basis.shape[1]):
        kernel[p] = solution[0] * basis[0, p]
    for n in range(1, basis.shape[0]):
        a = 0
        for t in range(n_terms):
            a = a + solution[1 + (n - 1) * n_terms + t] * x_terms[t] * y_terms[t]
        for p in range(basis.shape[1]):
            kernel[p] = kernel[p] + a * basis[n, p]


cdef void gather(const float[:, ::1] plane, const Block *b, double *out) noexcept nogil:
    cdef Py_ssize_t x, y
    for y in range(b.ny + b.width - 1):
        for x in range(b.nx + b.width - 1):
            out[y * b.patch_stride + x] = plane[b.y0 - b.half + y, b.x0 - b.half + x]


cdef void convolve_strip(const Block *b, Py_ssize_t x0, Py_ssize_t y) noexcept nogil:
    """COLUMNS output pixels of image and variance from (x0, y) on; each sums its taps row by row, left to right.

    The sums are local and their number is fixed: that lets the compiler use vectors without a doubt.
    """
    cdef Py_ssize_t i, j, x
    cdef double k, w
    cdef double image_sums[COLUMNS]
    cdef double variance_sums[COLUMNS]
    cdef const double *image
    cdef const double *variance
    for x in range(COLUMNS):
        image_sums[x] = 0
        variance_sums[x] = 0
    for j in range(b.width):
        for i in range(b.width):
            k = b.kernel[j * b.width + i]
            w = b.weight[j * b.width + i]
            image = b.image + (y + j) * b.patch_stride + x0 + i
            variance = b.variance + (y + j) * b.patch_stride + x0 + i
            for x in range(COLUMNS):
                image_sums[x] = image_sums[x] + image[x] * k
            for x in range(COLUMNS):
                variance_sums[x] = variance_sums[x] + variance[x] * w
    for x in range(COLUMNS):
        b.image_sums[y * b.stride + x0 + x] = image_sums[x]
        b.variance_sums[y * b.stride + x0 + x] = variance_sums[x]


cdef void convolve_block(const Block *b) noexcept nogil:
    """All strips of a block; the last of a row may reach beyond it, into memory that is there for it."""
    cdef Py_ssize_t x, y
    for y in range(b.ny):
        for x in range(b.stride // COLUMNS):
            convolve_strip(b, x * COLUMNS, y)


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


cdef void reversed_kernel(const double *kernel, bint plain, Block *b) noexcept nogil:
    cdef Py_ssize_t p, area = b.width * b.width
    for p in range(area):
        b.kernel[p] = kernel[area - 1 - p]
        b.weight[p] = b.kernel[p] if plain else b.kernel[p] * b.kernel[p]


cdef void lay_out(Block *b, Py_ssize_t width, Py_ssize_t step, double *work) noexcept nogil:
    """Divide the work memory of one thread: rows have room for whole strips."""
    cdef Py_ssize_t area = width * width, patch
    b.width = width
    b.half = width // 2
    b.stride = (step + COLUMNS - 1) // COLUMNS * COLUMNS
    b.patch_stride = b.stride + width - 1
    patch = (step + width - 1) * b.patch_stride
    b.kernel = work + area
    b.weight = b.kernel + area
    b.image = b.weight + area
    b.variance = b.image + patch
    b.image_sums = b.variance + patch
    b.variance_sums = b.image_sums + step * b.stride


def work_size(Py_ssize_t width, Py_ssize_t step):
    """Length of the work array that `convolve_blocks` needs per thread."""
    cdef Py_ssize_t stride = (step + COLUMNS - 1) // COLUMNS * COLUMNS
    return 3 * width * width + 2 * (step + width - 1) * (stride + width - 1) + 2 * step * stride


cdef void convolve_row_of_blocks(Py_ssize_t row, const float[:, ::1] image, const float[:, ::1] variance,
                                 const int[:, ::1] flags, const double[::1] solution,
                                 const double[:, ::1] x_terms, const double[::1] y_terms,
                                 const double[:, ::1] basis, Py_ssize_t width, Py_ssize_t step, bint plain_variance,
                                 double good_fraction, float[:, ::1] image_out, float[:, ::1] variance_out,
                                 int[:, ::1] flags_out, double *work) noexcept nogil:
    cdef Py_ssize_t column, x, y, p
    cdef bint with_variance = variance.shape[0] > 0
    cdef Block b
    lay_out(&b, width, step, work)
    b.y0 = row * step + b.half
    b.ny = min(step, image.shape[0] - b.half - b.y0)
    for column in range(x_terms.shape[0]):
        b.x0 = column * step + b.half
        b.nx = min(step, image.shape[1] - b.half - b.x0)
        if b.nx <= 0 or b.ny <= 0:
            break
        render(solution, x_terms[column], y_terms, basis, work)
        reversed_kernel(work, plain_variance, &b)
        gather(image, &b, b.image)
        if with_variance:
            gather(variance, &b, b.variance)
        convolve_block(&b)
        for y in range(b.ny):
            for x in range(b.nx):
                p = y * b.stride + x
                image_out[b.y0 + y, b.x0 + x] = <float> b.image_sums[p]
                if with_variance:
                    variance_out[b.y0 + y, b.x0 + x] = <float> b.variance_sums[p]
        if flags.shape[0] > 0:
            convolve_flags(flags, &b, good_fraction, flags_out)


def convolve_blocks(const float[:, ::1] image, const float[:, ::1] variance, const int[:, ::1] flags,
                    const double[::1] solution, const double[:, ::1] x_terms, const double[:, ::1] y_terms,
                    const double[:, ::1] basis, Py_ssize_t width, Py_ssize_t step, bint plain_variance,
                    double good_fraction, float[:, ::1] image_out, float[:, ::1] variance_out,
                    int[:, ::1] flags_out, double[:, ::1] work):
    """Convolve with one kernel per block of ``step`` pixels; block (0, 0) starts half a kernel inside the image.

    ``solution`` is that of spec 6.1; the spatial terms of a block are the products of a row of ``x_terms`` and one of
    ``y_terms``.  ``basis`` holds the flattened images, ``width`` pixels wide, of the basis functions.
    Without a ``variance`` or ``flags`` plane (shape (0, 0)) that part is left out; ``flags_out`` is added to.
    ``work`` has a row of `work_size` zeros per thread.
    """
    cdef Py_ssize_t row
    cdef int n_threads = <int> work.shape[0]
    for row in prange(y_terms.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        convolve_row_of_blocks(row, image, variance, flags, solution, x_terms, y_terms[row], basis, width, step,
                               plain_variance, good_fraction, image_out, variance_out, flags_out,
                               &work[threadid(), 0])
