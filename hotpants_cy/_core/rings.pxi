# How much of a kernel lies how far out.

cdef double ring(const double *taps, Py_ssize_t width, Py_ssize_t margin) noexcept nogil:
    """Sum of the squares of the taps that are so far from the edge of the kernel."""
    cdef Py_ssize_t i, n = width - 1 - 2 * margin, last = n * (width + 1)
    cdef const double *corner = taps + margin * (width + 1)
    cdef double total = corner[0] * corner[0] if n == 0 else 0
    for i in range(n):                               # along the edges, each to the corner before the next
        total += corner[i]**2 + corner[last - i]**2 + corner[(i + 1) * width]**2 + corner[last - (i + 1) * width]**2
    return total
