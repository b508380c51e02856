# Image and variance of some rows of a block of `exact.pyx`.

cdef void sum_products(const Kernel *k, const Block *b, Py_ssize_t y, Py_ssize_t n) noexcept nogil:
    """Products of ``n`` rows of the image with all A in single precision.

    One product after the other, since its pixels stay in the nearest cache for all A.
    """
    cdef Py_ssize_t x, plane = TILE_ROWS * PAIRS
    cdef int i, p
    for i in range(PRODUCTS):
        for p in range(k.order + 1):
            for x in range((b.nx + 2 * GROUP - 1) // (2 * GROUP) if b.of_image[p].n > 0 else 0):
                add_singles(<int> n, b.image_planes + i * b.image_plane + y * b.of_image.stride + x * GROUP,
                            b.of_image + p, b.taps + (p * PLANES + plane_of(i)) * k.plane,
                            b.products + (p * PRODUCTS + i) * plane + x * GROUP, PAIRS)


cdef void join_rows(int p, const Block *b, Py_ssize_t n) noexcept nogil:
    """Sums with A_p from the products."""
    cdef Py_ssize_t r, plane = TILE_ROWS * PAIRS
    for r in range(n):
        join_products(b.products + p * PRODUCTS * plane + r * PAIRS, plane, b.partial + r * COLUMNS)


cdef void sum_doubles(int p, const Kernel *k, const Block *b, Py_ssize_t y, Py_ssize_t n) noexcept nogil:
    """Sums of ``n`` rows with A_p in double precision, over the rings that need it."""
    cdef Py_ssize_t x, margin = k.width // 2 + 1 - b.n_double[p]
    for x in range((b.nx + STEP - 1) // STEP):
        add_doubles(<int> n, b.image + (y + margin) * b.stride + margin + x * STEP, b.stride,
                    b.kernels + p * k.area + margin * (k.width + 1), (k.order + 1) * k.area, k.width,
                    2 * b.n_double[p] - 1, b.sums + p * TILE_ROWS * COLUMNS + x * STEP, COLUMNS)


cdef double of_row(const double *c, int order, int p, double y) noexcept nogil:
    """What multiplies X^p at one y in a polynomial of the position."""
    cdef int q
    cdef double total = 0
    for q in range(order - p, -1, -1):
        total = total * y + c[term(order, p, q)]
    return total


cdef void sum_image(float level, const Kernel *k, const Block *b, Py_ssize_t y, Py_ssize_t n) noexcept nogil:
    """Sums of ``n`` rows with each A, and what the level of the sky adds."""
    cdef Py_ssize_t x, r
    cdef int p
    cdef double start
    cdef double *sums
    sum_products(k, b, y, n)
    for p in range(k.order + 1):
        sums = b.sums + p * TILE_ROWS * COLUMNS
        for r in range(n):
            start = level * of_row(b.of_level, k.order, p, y_distance(k, b, y + r))
            for x in range(COLUMNS):
                sums[r * COLUMNS + x] = start
        if b.n_double[p] > 0:
            sum_doubles(p, k, b, y, n)
        if b.of_image[p].n > 0:
            join_rows(p, b, n)
            for x in range(n * COLUMNS):
                sums[x] += b.partial[x]


cdef void put_image(const double *background, int background_order, const Kernel *k, const Block *b, Py_ssize_t y,
                    Py_ssize_t n, float[:, ::1] out) noexcept nogil:
    """Polynomials in the distance, and the background; all is added up before it is rounded."""
    cdef Py_ssize_t x, r
    cdef int p
    cdef double c
    cdef double *sums
    cdef double *added = b.squared           # not needed any more
    cdef const double *positions
    cdef float *row
    for r in range(n):
        row, positions = &out[b.y0 + y + r, b.x0], k.x + b.x0
        for x in range(b.nx):
            added[x] = 0
        for p in range(background_order, -1, -1):
            c = of_row(background, background_order, p, k.y[b.y0 + y + r])
            for x in range(b.nx):
                added[x] = added[x] * positions[x] + c
        for p in range(k.order, 0, -1):
            sums = b.sums + ((p - 1) * TILE_ROWS + r) * COLUMNS
            for x in range(b.nx):
                sums[x] += b.distance[x] * sums[TILE_ROWS * COLUMNS + x]
        sums = b.sums + r * COLUMNS
        for x in range(b.nx):
            row[x] = <float> (sums[x] + added[x])


cdef void convolve_variance(int kind, const Kernel *k, const Block *b, Py_ssize_t y, Py_ssize_t n,
                            float[:, ::1] out) noexcept nogil:
    """Variance of ``n`` rows: polynomials in the distance, from the highest power down."""
    cdef Py_ssize_t x, r
    cdef Py_ssize_t size = 3 * k.plane if kind == SQUARE_VARIANCE else PLANES * k.plane
    cdef int m, last = 2 * k.order if kind == SQUARE_VARIANCE else k.order
    cdef const float *taps = b.squares if kind == SQUARE_VARIANCE else b.taps
    cdef float *row
    if kind == SQUARE_VARIANCE:
        square_rows(k, b, n)
    for x in range(n * COLUMNS):
        b.variances[x] = 0
    for m in range(last, -1, -1):
        for x in range(n * COLUMNS if b.of_variance[m].n == 0 else 0):
            b.partial[x] = 0
        for x in range((b.nx + GROUP - 1) // GROUP if b.of_variance[m].n > 0 else 0):
            add_singles(<int> n, b.variance + y * b.stride + x * GROUP, b.of_variance + m, taps + m * size,
                        b.partial + x * GROUP, COLUMNS)
        for r in range(n):
            row = b.variances + r * COLUMNS
            for x in range(COLUMNS):
                row[x] = row[x] * b.distances[x] + b.partial[r * COLUMNS + x]
    for r in range(n):
        row = &out[b.y0 + y + r, b.x0]
        for x in range(b.nx):
            row[x] = b.variances[r * COLUMNS + x]


cdef void convolve_variance_tap_by_tap(const Kernel *k, const Block *b, float[:, ::1] out) noexcept nogil:
    """Variance of a block with the square of the kernel of each pixel, in double precision."""
    cdef Py_ssize_t x, y, column
    cdef float *row
    for x in range((b.ny + k.width - 1) * b.stride):
        b.weights[x] = b.variance[x]
    for y in range(b.ny):
        render(k, b, y_distance(k, b, y), b.n_all, b.row)
        for column in range((b.nx + STEP - 1) // STEP):
            x = column * STEP
            weigh(k.order, True, b.weights + y * b.stride + x, b.stride, b.row, k.width, b.distance + x, b.good + x,
                  b.total + x)
        row = &out[b.y0 + y, b.x0]
        for x in range(b.nx):
            row[x] = <float> b.good[x]
