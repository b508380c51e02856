# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""What the fit needs of each substamp: convolved basis vectors and merits (spec 5.1, 5.4); `products` has the rest.

Every sum keeps the order and the rounding that the spec gives, since ill-conditioned fits magnify
them; speed comes from working on independent sums side by side.  The caller guarantees that all
substamps lie at least the kernel's half width inside the image.
"""
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabs, isfinite

include "doubles.pxi"

cdef extern from *:
    """
    #if defined(__GNUC__)
    /* inlined into a loop over all filters they have no registers left for addresses */
    static __attribute__((noinline)) void hp_filter_columns(const double *, Py_ssize_t, Py_ssize_t, const double *,
                                                            Py_ssize_t, double *);
    static __attribute__((noinline)) void hp_filter_row(const double *, const double *, const double *, Py_ssize_t,
                                                        double *, double *);
    #endif
    """

cdef enum:
    ROWS = 4                   # and COLUMNS of the tile that `filter_columns` sums
    COLUMNS = 2 * LANES
    TILE = 4 * LANES           # columns that `filter_row` sums, with two filters

cdef double ZERO = 1e-10
cdef double BIG = 1e10


cdef struct Basis:
    # separable kernel basis; filters are stored reversed, so that they slide along the pixels
    const double *y_filters    # (n_filters, width), the distinct ones
    const int *y_index         # (n,) which y filter a basis function has
    const double *x_filters    # (n, width)
    const unsigned char *minus_first
    Py_ssize_t n
    Py_ssize_t n_filters
    Py_ssize_t width


cdef inline Py_ssize_t whole(Py_ssize_t n, Py_ssize_t some) noexcept nogil:
    """So many, or more, that they are a multiple of ``some``."""
    return (n + some - 1) // some * some


cdef inline Py_ssize_t row_length(Py_ssize_t size, Py_ssize_t width) noexcept nogil:
    """Length of the rows of pixels that a substamp sees, with what fills up the last tile."""
    return whole(whole(size, TILE) + width - 1, COLUMNS)


cdef void filter_columns "hp_filter_columns" (const double *source, Py_ssize_t stride, Py_ssize_t n_rows,
                                              const double *taps, Py_ssize_t width, double *sums) noexcept nogil:
    """y pass for a tile of up to ROWS rows: the running sums are rounded to float32 after every tap (P11)."""
    cdef Py_ssize_t d, second = min(1, n_rows - 1) * stride, third = min(2, n_rows - 1) * stride
    cdef Py_ssize_t fourth = (n_rows - 1) * stride
    cdef const double *s
    cdef double *out = sums
    cdef doubles a = zeros, b = zeros, c = zeros, e = zeros, f = zeros, g = zeros, h = zeros, i = zeros
    for d in range(width):
        s = source + d * stride
        a = rounded(a + taps[d] * (<const unaligned *> s)[0])
        b = rounded(b + taps[d] * (<const unaligned *> (s + LANES))[0])
        c = rounded(c + taps[d] * (<const unaligned *> (s + second))[0])
        e = rounded(e + taps[d] * (<const unaligned *> (s + second + LANES))[0])
        f = rounded(f + taps[d] * (<const unaligned *> (s + third))[0])
        g = rounded(g + taps[d] * (<const unaligned *> (s + third + LANES))[0])
        h = rounded(h + taps[d] * (<const unaligned *> (s + fourth))[0])
        i = rounded(i + taps[d] * (<const unaligned *> (s + fourth + LANES))[0])
    (<unaligned *> out)[0], (<unaligned *> (out + LANES))[0] = a, b
    (<unaligned *> (out + second))[0], (<unaligned *> (out + second + LANES))[0] = c, e
    (<unaligned *> (out + third))[0], (<unaligned *> (out + third + LANES))[0] = f, g
    (<unaligned *> (out + fourth))[0], (<unaligned *> (out + fourth + LANES))[0] = h, i


cdef void filter_row "hp_filter_row" (const double *row, const double *taps, const double *other_taps,
                                      Py_ssize_t width, double *sums, double *other_sums) noexcept nogil:
    """x pass for a tile of a row with two filters, in float64."""
    cdef Py_ssize_t d
    cdef const unaligned *s
    cdef unaligned *out = <unaligned *> sums
    cdef doubles a, b, c, e, f, g, h, i, pixels
    a = b = c = e = f = g = h = i = zeros
    for d in range(width):
        s = <const unaligned *> (row + d)
        pixels = s[0]
        a = a + taps[d] * pixels
        f = f + other_taps[d] * pixels
        pixels = s[1]
        b = b + taps[d] * pixels
        g = g + other_taps[d] * pixels
        pixels = s[2]
        c = c + taps[d] * pixels
        h = h + other_taps[d] * pixels
        pixels = s[3]
        e = e + taps[d] * pixels
        i = i + other_taps[d] * pixels
    out[0], out[1], out[2], out[3] = a, b, c, e
    out = <unaligned *> other_sums
    out[0], out[1], out[2], out[3] = f, g, h, i


cdef void take_row(const double *sums, const double *first, bint minus_first, Py_ssize_t size,
                   double *out) noexcept nogil:
    """A row of a vector from its sums, less that of the first vector if that is asked for."""
    cdef Py_ssize_t x
    for x in range(size):
        out[x] = sums[x] - first[x] if minus_first else sums[x]


cdef void filter_rows(const double *rows, const Basis *basis, Py_ssize_t n, Py_ssize_t other, Py_ssize_t size,
                      double *sums, double *vectors) noexcept nogil:
    """x pass of two basis functions, which may be the same; ``sums`` holds a row of each."""
    cdef Py_ssize_t k, y, length = row_length(size, basis.width)
    cdef double *other_sums = sums + whole(size, TILE)
    for y in range(size):
        for k in range(whole(size, TILE) // TILE):
            filter_row(rows + y * length + k * TILE, basis.x_filters + n * basis.width,
                       basis.x_filters + other * basis.width, basis.width, sums + k * TILE, other_sums + k * TILE)
        take_row(sums, vectors + y * size, basis.minus_first[n], size, vectors + (n * size + y) * size)
        take_row(other_sums, vectors + y * size, basis.minus_first[other], size, vectors + (other * size + y) * size)


cdef void filter_all_columns(const double *pixels, Py_ssize_t length, Py_ssize_t size, const double *taps,
                             Py_ssize_t width, double *columns) noexcept nogil:
    """y pass of all rows."""
    cdef Py_ssize_t y = 0, k
    while y < size:
        for k in range(length // COLUMNS):
            filter_columns(pixels + y * length + k * COLUMNS, length, min(ROWS, size - y), taps, width,
                           columns + y * length + k * COLUMNS)
        y += ROWS


cdef inline Py_ssize_t next_with(const Basis *basis, Py_ssize_t f, Py_ssize_t n) noexcept nogil:
    """The next basis function with a y filter, from the ``n``-th on; beyond the last if there is none."""
    while n < basis.n and basis.y_index[n] != f:
        n += 1
    return n


cdef void convolve_substamp(const float *image, Py_ssize_t stride, const Basis *basis, Py_ssize_t size,
                            double *work, double *vectors) noexcept nogil:
    """All basis vectors of one substamp (5.1); ``image`` points at the corner of its footprint.

    The first basis function has the first y filter.
    """
    cdef Py_ssize_t f, n, other, x, y, reach = size + basis.width - 1, length = row_length(size, basis.width)
    cdef double *pixels = work
    cdef double *columns = pixels + reach * length
    cdef double *sums = columns + size * length
    for y in range(reach):
        for x in range(reach):
            pixels[y * length + x] = image[y * stride + x]
        for x in range(reach, length):
            pixels[y * length + x] = 0
    for f in range(basis.n_filters):
        filter_all_columns(pixels, length, size, basis.y_filters + f * basis.width, basis.width, columns)
        n = next_with(basis, f, 0)
        while n < basis.n:
            other = next_with(basis, f, n + 1)
            filter_rows(columns, basis, n, other if other < basis.n else n, size, sums, vectors)
            n = next_with(basis, f, other + 1)


def separable_work_size(Py_ssize_t size, Py_ssize_t width):
    """Length of the work array that `convolve_separable` needs per thread."""
    return (2 * size + width - 1) * row_length(size, width) + 2 * whole(size, TILE)


def convolve_separable(const float[:, ::1] image, const int[::1] xc, const int[::1] yc, const int[::1] slots,
                       const double[:, ::1] y_filters, const int[::1] y_index, const double[:, ::1] x_filters,
                       const unsigned char[::1] minus_first, Py_ssize_t half_width, double[:, :, ::1] vectors,
                       double[:, ::1] work):
    """Convolve substamps centred at (xc, yc) with a separable basis, into ``vectors`` at ``slots`` (5.1).

    ``work`` has a row of `separable_work_size` per thread.
    """
    cdef Basis basis
    cdef Py_ssize_t i, size = 2 * half_width + 1, stride = image.shape[1]
    cdef Py_ssize_t reach = half_width + x_filters.shape[1] // 2
    cdef int n_threads = <int> work.shape[0]
    basis.y_filters = &y_filters[0, 0]
    basis.y_index = &y_index[0]
    basis.x_filters = &x_filters[0, 0]
    basis.minus_first = &minus_first[0]
    basis.n = x_filters.shape[0]
    basis.n_filters = y_filters.shape[0]
    basis.width = x_filters.shape[1]
    for i in prange(xc.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        convolve_substamp(&image[yc[i] - reach, xc[i] - reach], stride, &basis, size, &work[threadid(), 0],
                          &vectors[slots[i], 0, 0])


cdef void correlate_substamp(const float *image, Py_ssize_t stride, const float *picture, Py_ssize_t width,
                             Py_ssize_t size, double *out) noexcept nogil:
    """Slide one basis image over a substamp: float32 products, float64 sums, row by row (5.1, PCA)."""
    cdef Py_ssize_t x, y, i, j
    cdef float product
    for y in range(size):
        for x in range(size):
            out[y * size + x] = 0
        for j in range(width):
            for i in range(width):
                for x in range(size):
                    product = image[(y + j) * stride + x + i] * picture[j * width + i]
                    out[y * size + x] = out[y * size + x] + product


def convolve_dense(const float[:, ::1] image, const int[::1] xc, const int[::1] yc, const int[::1] slots,
                   const float[:, :, ::1] pictures, Py_ssize_t half_width, double[:, :, ::1] vectors, int n_threads):
    """The same with basis images that slide along the pixels as they are; all but the first have it subtracted."""
    cdef Py_ssize_t i, n, p, size = 2 * half_width + 1, stride = image.shape[1], width = pictures.shape[1]
    cdef Py_ssize_t reach = half_width + width // 2
    for i in prange(xc.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        for n in range(pictures.shape[0]):
            correlate_substamp(&image[yc[i] - reach, xc[i] - reach], stride, &pictures[n, 0, 0], width, size,
                               &vectors[slots[i], n, 0])
        for n in range(1, pictures.shape[0]):
            for p in range(size * size):
                vectors[slots[i], n, p] -= vectors[slots[i], 0, p]


# -- the merit of a substamp (5.4) ------------------------------------------------------------------

cdef void model_of(const double *vectors, const double *coefficients, Py_ssize_t n_basis, Py_ssize_t area,
                   float *out) noexcept nogil:
    """Convolved model, accumulated in float32 as C does (P14)."""
    cdef Py_ssize_t n = 0, p
    cdef const double *a
    cdef const double *b
    cdef const double *c
    cdef double first, second, third
    for p in range(area):
        out[p] = 0
    while n + 3 <= n_basis:
        a = vectors + n * area
        b = a + area
        c = b + area
        first = coefficients[n]
        second = coefficients[n + 1]
        third = coefficients[n + 2]
        for p in range(area):
            out[p] = <float> (<float> (<float> (out[p] + first * a[p]) + second * b[p]) + third * c[p])
        n += 3
    while n < n_basis:
        a = vectors + n * area
        first = coefficients[n]
        for p in range(area):
            out[p] = <float> (out[p] + first * a[p])
        n += 1


cdef double variance_merit(const float *model, double background, const float *target, const int *mask,
                           Py_ssize_t stride, const float *variance, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t x, y, n = 0
    cdef double total = 0, d
    cdef float c, r
    for y in range(size):
        for x in range(size):
            r = target[y * stride + x]
            if mask[y * stride + x] & 0x80 or fabs(r) <= ZERO:
                continue
            c = model[y * size + x]
            if not (isfinite(c) and isfinite(r)):
                continue
            d = <double> c - r + background
            total += d * d / variance[y * size + x]
            n += 1
    total = total / n if n > 0 else INFINITY
    return total if total < BIG else -1


def variance_merits(const float[:, ::1] target, const int[:, ::1] mask, const int[::1] xc, const int[::1] yc,
                    const int[::1] slots, Py_ssize_t half_width, const double[:, :, ::1] vectors,
                    const double[:, ::1] coefficients, const double[::1] background,
                    const float[:, :, ::1] variance, double[::1] merits, float[:, ::1] models):
    """Mean squared residual over variance of each substamp, -1 where it is meaningless, into ``merits``.

    ``coefficients[i]`` and ``background[i]`` are the solution at substamp ``i``, whose vectors and variance
    (the sum of both images', not convolved) stand at ``slots[i]``.  ``models`` has a row of one substamp per
    thread.
    """
    cdef Py_ssize_t i, size = 2 * half_width + 1, thread
    cdef int n_threads = <int> models.shape[0]
    for i in prange(xc.shape[0], nogil=True, schedule='static', num_threads=n_threads):
        thread = threadid()
        model_of(&vectors[slots[i], 0, 0], &coefficients[i, 0], vectors.shape[1], size * size, &models[thread, 0])
        merits[i] = variance_merit(&models[thread, 0], background[i], &target[yc[i] - half_width, xc[i] - half_width],
                                   &mask[yc[i] - half_width, xc[i] - half_width], target.shape[1],
                                   &variance[slots[i], 0, 0], size)


def residuals(const float[:, ::1] target, const int[:, ::1] mask, Py_ssize_t x0, Py_ssize_t y0,
              const double[:, ::1] vectors, const double[::1] coefficients, double background, float[:, ::1] out):
    """Model minus target of the substamp with corner (x0, y0); the model alone where a pixel is to be skipped (5.4)."""
    cdef Py_ssize_t x, y, size = out.shape[0]
    cdef double d
    cdef float r
    with nogil:
        model_of(&vectors[0, 0], &coefficients[0], vectors.shape[0], size * size, &out[0, 0])
        for y in range(size):
            for x in range(size):
                r = target[y0 + y, x0 + x]
                if mask[y0 + y, x0 + x] & 0x80 or fabs(r) <= ZERO:
                    continue
                d = <double> out[y, x] - r + background
                out[y, x] = <float> d
