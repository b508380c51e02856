# Source pixels of a block of `exact.pyx`.

cdef void gather_variance(const float[:, ::1] image, const float[:, ::1] variance, double inverse_gain,
                          double read_variance, const Kernel *k, const Block *b) noexcept nogil:
    """Variance of the source pixels of a block."""
    cdef Py_ssize_t x, y, half = k.width // 2, n = b.nx + k.width - 1
    cdef const float *row
    cdef float *out
    for y in range(b.ny + k.width - 1):
        out = b.variance + y * b.stride
        if variance.shape[0] > 0:
            row = &variance[b.y0 - half + y, b.x0 - half]
            for x in range(n):
                out[x] = row[x]
        else:
            row = &image[b.y0 - half + y, b.x0 - half]
            for x in range(n):
                out[x] = <float> (fabs(<double> row[x]) * inverse_gain + read_variance)
        for x in range(n, b.stride):
            out[x] = 0


cdef void find_range(const Kernel *k, const Block *b, float *lowest, float *highest) noexcept nogil:
    """Lowest and highest variance that a block sees; what is not a number is the highest."""
    cdef Py_ssize_t x, y
    cdef const bits *row
    cdef bits low, high
    # positive numbers are ordered as the integers of the same bits are, which compare faster
    low = high = (<const bits *> b.variance)[0]
    for y in range(b.ny + k.width - 1):
        row = <const bits *> (b.variance + y * b.stride)
        for x in range(b.nx + k.width - 1):
            low = min(low, row[x])
            high = max(high, row[x])
    (<bits *> lowest)[0] = low
    (<bits *> highest)[0] = high


cdef void gather(const float[:, ::1] image, float level, const Kernel *k, const Block *b) noexcept nogil:
    """Source pixels of a block, and zeros where whole tiles reach beyond them; what each column adds to their size."""
    cdef Py_ssize_t x, y, half = k.width // 2, n = b.nx + k.width - 1
    cdef const float *row
    cdef double *out
    for x in range(n):
        b.squared[x] = b.steps[x] = 0
    for y in range(b.ny + k.width - 1):
        row = &image[b.y0 - half + y, b.x0 - half]
        out = b.image + y * b.stride
        for x in range(n):
            out[x] = <double> row[x] - level
            b.singles[x] = <float> out[x]
            b.squared[x] += out[x] * out[x]
        for x in range(n if y > 0 else 0):
            b.steps[x] += fabs(out[x] - out[x - b.stride])
        for x in range(n, b.stride):
            out[x] = 0
        take_apart(b.singles, n, half_row(k.width), b.even_odd)
        take_differences(b.even_odd, half_row(k.width), b.image_planes + 2 * y * half_row(k.width), b.image_plane)
