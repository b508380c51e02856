# The mask of `exact.pyx`: which flags a footprint sees, and what weight of the kernel lies on bad pixels.
#
# The sum over all taps costs most.  Near few bad pixels, limits of it are enough for nearly all rows.

cdef enum:
    FEW = 4                    # bad pixels that a row of footprints sees, times the width of the kernel

cdef double ROUNDING = 1e-9    # of sums, at most


cdef void weigh_pixels(const int[:, ::1] flags, const Kernel *k, const Block *b) noexcept nogil:
    """Zero for bad source pixels of a block, 1 for others and what lies beyond them."""
    cdef Py_ssize_t x, y, half = k.width // 2
    cdef const int *row
    for y in range(b.ny + k.width - 1):
        row = &flags[b.y0 - half + y, b.x0 - half]
        for x in range(b.nx + k.width - 1):
            b.weights[y * b.stride + x] = 0 if row[x] & BAD_INPUT else 1
        for x in range(b.nx + k.width - 1, b.stride):
            b.weights[y * b.stride + x] = 1


cdef void list_bad(const int[:, ::1] flags, const Kernel *k, const Block *b) noexcept nogil:
    """The columns of the bad source pixels of a block, row by row."""
    cdef Py_ssize_t x, y, half = k.width // 2
    cdef const int *row
    cdef int n = 0
    for y in range(b.ny + k.width - 1):
        b.starts[y] = n
        row = &flags[b.y0 - half + y, b.x0 - half]
        for x in range(b.nx + k.width - 1):
            b.bad[n] = <int> x                       # always written, bad or not: no branch
            n += (row[x] & BAD_INPUT) != 0
    b.starts[b.ny + k.width - 1] = n


cdef void add_bad(const Kernel *k, const Block *b, Py_ssize_t y) noexcept nogil:
    """Sums of the size of the kernel over the bad pixels of one row of footprints, one by one."""
    cdef Py_ssize_t x, s, i
    cdef int p
    cdef double tap
    cdef const double *taps
    for x in range(b.nx):
        b.good[x] = 0
    for s in range(k.width):
        for i in range(b.starts[y + s], b.starts[y + s + 1]):
            # from the tap that the first pixel of the block would need; the next pixel needs the one before
            taps = b.row + s * k.width + b.bad[i]
            for x in range(max(0, b.bad[i] - k.width + 1), min(b.nx, b.bad[i] + 1)):
                tap = taps[k.order * k.area - x]
                for p in range(k.order - 1, -1, -1):
                    tap = tap * b.distance[x] + taps[p * k.area - x]
                b.good[x] += fabs(tap)


cdef bint few_suffice(double good_fraction, const Kernel *k, const Block *b, Py_ssize_t y) noexcept nogil:
    """Decide a row by the weights of its bad pixels and limits of the sum over all taps; false if these do not tell."""
    cdef Py_ssize_t x
    cdef int p
    cdef double total = sum_of_sizes(b.row, k.area), change = 0, factor = 1, low, high
    for p in range(1, k.order + 1):
        factor = factor * fabs(b.distance[0])
        change += factor * sum_of_sizes(b.row + p * k.area, k.area)
    low, high = (1 - good_fraction) * (total - change), (1 - good_fraction) * (total + change)
    add_bad(k, b, y)
    for x in range(b.nx):
        if b.good[x] > high + ROUNDING * high:
            b.enough[x] = False
        elif b.good[x] > 0 and not b.good[x] < low - ROUNDING * high:
            return False
    return True


cdef void weigh_all(double good_fraction, const Kernel *k, const Block *b, Py_ssize_t y) noexcept nogil:
    """Decide a row by the sums over all taps, where a bad pixel is near."""
    cdef Py_ssize_t x, column
    cdef int near
    for column in range((b.nx + STEP - 1) // STEP):
        near = 0
        for x in range(column * STEP, column * STEP + STEP):
            near |= b.seen[y * COLUMNS + x]
        if near & BAD_INPUT:
            x = column * STEP
            weigh(k.order, False, b.weights + y * b.stride + x, b.stride, b.row, k.width, b.distance + x, b.good + x,
                  b.total + x)
            for x in range(column * STEP, column * STEP + STEP):
                b.enough[x] = not b.good[x] / b.total[x] < good_fraction


cdef void weigh_row(double good_fraction, const Kernel *k, const Block *b, Py_ssize_t y) noexcept nogil:
    """Which footprints of a row have enough of the weight of the kernel on good pixels."""
    cdef Py_ssize_t x
    cdef int n_bad = b.starts[y + k.width] - b.starts[y]
    for x in range(COLUMNS):
        b.enough[x] = not 1 < good_fraction
    if n_bad > 0:
        render(k, b, y_distance(k, b, y), b.n_all, b.row)
        if n_bad > FEW * k.width or not few_suffice(good_fraction, k, b, y):
            weigh_all(good_fraction, k, b, y)


cdef void convolve_flags(const int[:, ::1] flags, double good_fraction, const Kernel *k, const Block *b,
                         int[:, ::1] out) noexcept nogil:
    """Flags of a block; the kernel is only weighed where a bad pixel is near."""
    cdef Py_ssize_t x, y, x0 = b.x0 - k.width // 2, y0 = b.y0 - k.width // 2
    if not any_flags(flags, x0, y0, b.nx + k.width - 1, b.ny + k.width - 1):
        return
    see_flags(flags, x0, y0, b.nx, b.ny, k.width, COLUMNS, b.across, b.seen)
    weigh_pixels(flags, k, b)
    list_bad(flags, k, b)
    for y in range(b.ny):
        weigh_row(good_fraction, k, b, y)
        for x in range(b.nx):
            out[b.y0 + y, b.x0 + x] |= output_flags(flags[b.y0 + y, b.x0 + x], b.seen[y * COLUMNS + x], b.enough[x])
