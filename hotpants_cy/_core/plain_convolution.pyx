# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Block convolution in double precision, operation by operation as C HOTPANTS does it: equal to it to the last bit.

It serves where the compiler has no vector types, and as the measure of the others (see `blocks.pxi`).
"""
cdef enum:
    COLUMNS = 24               # of output that `convolve_strip` takes at a time

ctypedef double number         # of patches and taps

lanes = 1                      # output pixels that are summed at a time

include "blocks.pxi"


cdef inline Py_ssize_t padded(Py_ssize_t columns) noexcept nogil:
    """Columns of output that whole strips cover."""
    return (columns + COLUMNS - 1) // COLUMNS * COLUMNS


cdef inline Py_ssize_t extra(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """How much more work memory the sums need."""
    return 0


cdef inline void start_row(const Group *g) noexcept nogil:
    """There is nothing to do before the first group of a row."""


cdef inline Py_ssize_t blocks_alike(const Group *g) noexcept nogil:
    """How many blocks of a group can be taken together."""
    return n_blocks(g)


cdef inline void prepare_image(const Group *g) noexcept nogil:
    """Pixels are taken as they are."""


cdef inline void prepare_variance(const Group *g) noexcept nogil:
    """And so are variances."""


cdef void render(const Kernels *k, const double *x_terms, const double *y_terms, double *kernel) noexcept nogil:
    """Kernel at the position where the spatial terms have these factors in x and y, in the order of spec 6.4."""
    cdef Py_ssize_t n, p, t
    cdef double a
    for p in range(k.area):
        kernel[p] = k.solution[0] * k.basis[p]
    for n in range(1, k.n_basis):
        a = 0
        for t in range(k.n_terms):
            a = a + k.solution[1 + (n - 1) * k.n_terms + t] * x_terms[t] * y_terms[t]
        for p in range(k.area):
            kernel[p] = kernel[p] + a * k.basis[n * k.area + p]


cdef void convolve_strip(const double *pixels, Py_ssize_t stride, const double *taps, Py_ssize_t width, Py_ssize_t n,
                         float *out) noexcept nogil:
    """COLUMNS output pixels, of which ``n`` are wanted; each sums its taps row by row, left to right.

    The sums are local and their number is fixed: that lets the compiler use vectors without a doubt.
    """
    cdef Py_ssize_t i, j, x
    cdef double k
    cdef double sums[COLUMNS]
    cdef const double *source
    for x in range(COLUMNS):
        sums[x] = 0
    for j in range(width):
        for i in range(width):
            k = taps[j * width + i]
            source = pixels + j * stride + i
            for x in range(COLUMNS):
                sums[x] = sums[x] + source[x] * k
    for x in range(n):
        out[x] = <float> sums[x]


cdef void convolve_block(const Block *b, const double *pixels, Py_ssize_t stride, const double *taps) noexcept nogil:
    """All strips of a block; the last of a row may reach beyond it, into memory that is there for it."""
    cdef Py_ssize_t strip, x, y
    for y in range(b.ny):
        for strip in range(padded(b.nx) // COLUMNS):
            x = strip * COLUMNS
            convolve_strip(pixels + y * stride + x, stride, taps, b.width, min(COLUMNS, b.nx - x),
                           b.out + y * b.out_stride + x)


cdef void convolve_image(const Block *b, const Group *g, Py_ssize_t x) noexcept nogil:
    """The image of a block whose first pixel is ``x`` pixels into the group."""
    convolve_block(b, g.image + x, g.stride, b.kernel)


cdef void convolve_variance(const Block *b, const Group *g, Py_ssize_t x, bint plain) noexcept nogil:
    """Its variance, with the squares of the taps or, if ``plain``, with the taps."""
    cdef Py_ssize_t p
    for p in range(b.width * b.width):
        b.taps[p] = b.kernel[p] if plain else b.kernel[p] * b.kernel[p]
    convolve_block(b, g.variance + x, g.stride, b.taps)
