# The kernel of `exact.pyx` in a block and in its rows.

cdef void shift_kernel(const Kernel *k, const Block *b) noexcept nogil:
    """Terms in powers of the distance to the middle of the block: Taylor's shift, power of y by power of y."""
    cdef int p, q, m
    cdef Py_ssize_t i
    cdef double *low
    cdef double *high
    for i in range(n_terms(k.order) * k.area):
        b.terms[i] = k.terms[i]
    for q in range(k.order):
        for m in range(k.order - q):
            for p in range(k.order - q - 1, m - 1, -1):
                low, high = b.terms + term(k.order, p, q) * k.area, b.terms + term(k.order, p + 1, q) * k.area
                for i in range(k.area):
                    low[i] = low[i] + b.middle * high[i]


cdef void render_row(const Kernel *k, const Block *b, double y, double *row) noexcept nogil:
    """All A of one row."""
    cdef int p, q
    cdef Py_ssize_t i
    cdef double *out
    cdef const double *part
    for p in range(k.order + 1):
        out = row + p * k.area
        part = b.terms + term(k.order, p, k.order - p) * k.area
        for i in range(k.area):
            out[i] = part[i]
        for q in range(k.order - p - 1, -1, -1):
            part = b.terms + term(k.order, p, q) * k.area
            for i in range(k.area):
                out[i] = out[i] * y + part[i]


cdef void add_taps(const Kernel *k, const Block *b) noexcept nogil:
    """Sums of the terms over all taps."""
    cdef Py_ssize_t t, i
    for t in range(n_terms(k.order)):
        b.totals[t] = 0
        for i in range(k.area):
            b.totals[t] += b.terms[t * k.area + i]


cdef double steepest(const Kernel *k, const Block *b) noexcept nogil:
    """Upper limit of what a tap may gain over the distance from the middle to the edge of the block."""
    cdef int p, q
    cdef Py_ssize_t i
    cdef double largest, total = 0, factor = 1, reach = fabs(b.distance[0])
    cdef const double *part
    for p in range(1, k.order + 1):
        factor = factor * reach
        for q in range(k.order - p + 1):
            part = b.terms + term(k.order, p, q) * k.area
            largest = 0
            for i in range(k.area):
                largest = max(largest, fabs(part[i]))
            total += factor * largest
    return total
