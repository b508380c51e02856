# The variance of a block, of `vector_convolution.pxi`, without the taps that weigh nothing.
include "rings.pxi"


cdef void prepare_variance(const Group *g) noexcept nogil:
    """Find lowest and highest variance of each column of a group; what is not a number is the highest.

    Positive numbers are ordered as the integers of the same bits are, which compare faster.
    """
    cdef Py_ssize_t x, y
    cdef const bits *row = <const bits *> g.variance
    cdef Extra e = divide(g)
    cdef bits *lowest = e.lowest
    cdef bits *highest = e.highest
    for x in range(g.nx):
        lowest[x] = highest[x] = row[x]
    for y in range(1, g.ny):
        row = <const bits *> (g.variance + y * g.stride)
        for x in range(g.nx):
            lowest[x] = min(lowest[x], row[x])
            highest[x] = max(highest[x], row[x])


cdef void find_range(const Block *b, const Extra *e, Py_ssize_t x0, float *lowest, float *highest) noexcept nogil:
    """Lowest and highest variance that a block sees."""
    cdef Py_ssize_t x
    cdef bits low = e.lowest[x0], high = e.highest[x0]
    for x in range(x0 + 1, x0 + b.nx + b.width - 1):
        low = min(low, e.lowest[x])
        high = max(high, e.highest[x])
    (<bits *> lowest)[0] = low
    (<bits *> highest)[0] = high


cdef Py_ssize_t negligible_margin(const Block *b, const Group *g, Py_ssize_t x) noexcept nogil:
    """How many taps on each side of the kernel hardly matter to a variance, whatever the pixels look like."""
    cdef Py_ssize_t p, margin = 0
    cdef double total = 0, outside = 0
    cdef float lowest, highest
    cdef Extra e = divide(g)
    find_range(b, &e, x, &lowest, &highest)
    for p in range(b.width * b.width):
        total += b.kernel[p]**2
    while margin < b.half:
        outside += ring(b.kernel, b.width, margin)
        if not outside * highest <= NEGLIGIBLE * total * lowest:
            break
        margin += 1
    return margin


cdef void convolve_variance(const Block *b, const Group *g, Py_ssize_t x, bint plain) noexcept nogil:
    """The variance of a block, with the squares of the taps or, if ``plain``, with the taps."""
    cdef Py_ssize_t i, j, margin = 0 if plain else negligible_margin(b, g, x), width = b.width - 2 * margin
    cdef Py_ssize_t stride = sums_stride(g.step)
    cdef const double *row
    cdef float *sums = divide(g).sums
    for j in range(width):
        row = b.kernel + (j + margin) * b.width + margin
        for i in range(width):
            b.taps[j * width + i] = <float> (row[i] if plain else row[i] * row[i])
    convolve_pixels(g.variance + margin * (g.stride + 1) + x, g.stride, b.nx, b.ny, b.taps, width, width, sums,
                    stride)
    for j in range(b.ny):
        for i in range(min(b.room, padded(b.nx))):
            b.out[j * b.out_stride + i] = sums[j * stride + i]
