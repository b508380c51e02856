# The mask of `blocks.pxi`: which flags a footprint sees, and what weight of the kernel lies on good pixels (spec 7).
#
# That weight decides at a threshold, and C sums it tap by tap.  Here each bad pixel, or each good one if these are
# fewer, spreads its weight over the block; only where the result is so near the threshold that rounding could matter
# are the taps summed in the order of C.
include "footprints.pxi"

cdef double NEAR = 1e-9        # to the threshold; rounding is far smaller


cdef struct Footprints:
    # of the pixels of one block
    int *across                # flags seen in each row of the footprints
    int *seen                  # and in the whole footprints
    double *spread             # size of the taps, each row from right to left: what a pixel gives to a row of outputs
    double *weights            # of the good pixels of each footprint


cdef Footprints divide_flags(const Block *b) noexcept nogil:
    """Divide the work memory for the flags of a block."""
    cdef Footprints f
    f.spread = b.for_flags
    f.weights = f.spread + b.width * b.width
    f.across = <int *> (f.weights + b.nx * b.ny)
    f.seen = f.across + (b.ny + b.width - 1) * b.nx
    return f


cdef inline Py_ssize_t flags_size(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """How much of it there must be."""
    return width * width + step * step + ((2 * step + width - 1) * step + 1) // 2


cdef Py_ssize_t count_bad(const int[:, ::1] flags, const Block *b) noexcept nogil:
    """Number of bad pixels that a block sees."""
    cdef Py_ssize_t x, y
    cdef int n = 0
    cdef const int *row
    for y in range(b.ny + b.width - 1):
        row = &flags[b.y0 - b.half + y, b.x0 - b.half]
        for x in range(b.nx + b.width - 1):
            n += (row[x] & BAD_INPUT) != 0
    return n


cdef void spread_pixel(const Block *b, const Footprints *f, Py_ssize_t column, Py_ssize_t row) noexcept nogil:
    """Add what the kernel weighs on one pixel, so far into those that the block sees, to all footprints around it."""
    cdef Py_ssize_t x, y, first = max(0, column - b.width + 1), last = min(b.nx - 1, column)
    cdef const double *taps
    cdef double *out
    for y in range(max(0, row - b.width + 1), min(b.ny - 1, row) + 1):
        taps = f.spread + (row - y + 1) * b.width - 1 - column
        out = f.weights + y * b.nx
        for x in range(first, last + 1):
            out[x] += taps[x]


cdef double weigh_footprints(const int[:, ::1] flags, const Block *b, const Footprints *f) noexcept nogil:
    """Weight of the kernel on good pixels, for each footprint; return that of the whole kernel."""
    cdef Py_ssize_t x, y, i, j, n = (b.nx + b.width - 1) * (b.ny + b.width - 1), n_bad = count_bad(flags, b)
    cdef bint bad_ones = 2 * n_bad <= n
    cdef double total = 0
    cdef const int *row
    for j in range(b.width):
        for i in range(b.width):
            f.spread[j * b.width + b.width - 1 - i] = fabs(b.kernel[j * b.width + i])
            total += fabs(b.kernel[j * b.width + i])
    for x in range(b.nx * b.ny):
        f.weights[x] = 0
    if n_bad > 0:
        for y in range(b.ny + b.width - 1):
            row = &flags[b.y0 - b.half + y, b.x0 - b.half]
            for x in range(b.nx + b.width - 1):
                if bad_ones == ((row[x] & BAD_INPUT) != 0):
                    spread_pixel(b, f, x, y)
    if bad_ones:
        for x in range(b.nx * b.ny):
            f.weights[x] = total - f.weights[x]
    return total


cdef double good_weight(const int[:, ::1] flags, const Block *b, Py_ssize_t x, Py_ssize_t y) noexcept nogil:
    """The same for one pixel of the block, summed in the order of C."""
    cdef Py_ssize_t i, j
    cdef double good = 0
    for j in range(b.width):
        for i in range(b.width):
            if not flags[b.y0 - b.half + y + j, b.x0 - b.half + x + i] & BAD_INPUT:
                good += fabs(b.kernel[j * b.width + i])
    return good


cdef void convolve_flags(const int[:, ::1] flags, const Block *b, double good_fraction, int[:, ::1] out) noexcept nogil:
    """Flags of one block."""
    cdef Py_ssize_t x, y, x0 = b.x0 - b.half, y0 = b.y0 - b.half
    cdef int seen
    cdef double total, good
    cdef Footprints f = divide_flags(b)
    if not any_flags(flags, x0, y0, b.nx + b.width - 1, b.ny + b.width - 1):
        return
    see_flags(flags, x0, y0, b.nx, b.ny, b.width, b.nx, f.across, f.seen)
    total = weigh_footprints(flags, b, &f)
    for y in range(b.ny):
        for x in range(b.nx):
            seen, good = f.seen[y * b.nx + x], 1
            if seen & BAD_INPUT:
                good = f.weights[y * b.nx + x] / total
                if fabs(good - good_fraction) < NEAR:
                    good = good_weight(flags, b, x, y) / total
            out[b.y0 + y, b.x0 + x] |= output_flags(flags[b.y0 + y, b.x0 + x], seen, not good < good_fraction)
