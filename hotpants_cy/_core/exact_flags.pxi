# The mask of `exact.pyx`: which flags a footprint sees, and what weight of the kernel lies on bad pixels.

cdef int look_at_flags(const int[:, ::1] flags, const Kernel *k, const Block *b) noexcept nogil:
    """Flags seen in each footprint of a block; return all of them, and do nothing if there is none."""
    cdef Py_ssize_t x, y, i, half = k.width // 2
    cdef int seen = 0
    cdef const int *row
    cdef int *out
    for y in range(b.ny + k.width - 1):
        row = &flags[b.y0 - half + y, b.x0 - half]
        for x in range(b.nx + k.width - 1):
            seen |= row[x]
    if seen == 0:
        return seen
    for y in range(b.ny + k.width - 1):
        row = &flags[b.y0 - half + y, b.x0 - half]
        out = b.across + y * COLUMNS
        for x in range(b.nx):
            out[x] = 0
        for i in range(k.width):
            for x in range(b.nx):
                out[x] |= row[x + i]
        for x in range(b.nx + k.width - 1):
            b.weights[y * b.stride + x] = 0 if row[x] & BAD_INPUT else 1
        for x in range(b.nx + k.width - 1, b.stride):
            b.weights[y * b.stride + x] = 1
    for y in range(b.ny):
        out = b.seen + y * COLUMNS
        for x in range(COLUMNS):
            out[x] = 0
        for i in range(k.width):
            row = b.across + (y + i) * COLUMNS
            for x in range(b.nx):
                out[x] |= row[x]
    return seen


cdef void convolve_flags(const int[:, ::1] flags, double good_fraction, const Kernel *k, const Block *b,
                         int[:, ::1] out) noexcept nogil:
    """Flags of a block; the kernel is only weighed where a bad pixel is near."""
    cdef Py_ssize_t x, y, x0, i, column
    cdef int here, near
    cdef bint rendered
    if look_at_flags(flags, k, b) == 0:
        return
    for y in range(b.ny):
        rendered = False
        for column in range((b.nx + STEP - 1) // STEP):
            x0, near = column * STEP, 0
            for x in range(x0, x0 + STEP):
                near |= b.seen[y * COLUMNS + x]
            if near & BAD_INPUT:
                if not rendered:
                    render_row(k, b, k.y[b.y0 + y], b.row)
                    rendered = True
                weigh(k.order, b.weights + y * b.stride + x0, b.stride, b.row, k.width, b.distance + x0, b.good,
                      b.total)
            else:
                for i in range(STEP):
                    b.good[i] = b.total[i] = 1
            for x in range(x0, min(x0 + STEP, b.nx)):
                here = flags[b.y0 + y, b.x0 + x]
                if here & BAD_INPUT:
                    here |= BAD_OUTPUT
                if b.seen[y * COLUMNS + x]:
                    here |= BAD_CONVOLVED if b.good[x - x0] / b.total[x - x0] < good_fraction else OK_CONVOLVED
                out[b.y0 + y, b.x0 + x] |= here
