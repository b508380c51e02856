# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""What the fit needs of each substamp: convolved basis vectors and merits (spec 5.1, 5.4); `products` has the rest.

Every sum keeps the order and the rounding that the spec gives, since ill-conditioned fits magnify
them; speed comes from working on independent sums side by side.  The caller guarantees that all
substamps lie at least the kernel's half width inside the image.
"""
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabs, isfinite

include "doubles.pxi"

cdef enum:
    TILE = 4 * LANES           # columns that `filter_tile` sums, of two rows

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
    return whole(whole(size, TILE) + width - 1, 8)


cdef void filter_column(const double *source, Py_ssize_t stride, const double *taps, Py_ssize_t width,
                        Py_ssize_t length, double *sums) noexcept nogil:
    """y pass for one row: the running sum is rounded to float32 after every tap (P11)."""
    cdef Py_ssize_t x, d = 0
    cdef const double *a
    cdef const double *b
    cdef const double *c
    cdef double first, second, third
    for x in range(length):
        sums[x] = 0
    while d + 3 <= width:
        a = source + d * stride
        b = a + stride
        c = b + stride
        first = taps[d]
        second = taps[d + 1]
        third = taps[d + 2]
        for x in range(length):
            sums[x] = <float> (<float> (<float> (sums[x] + a[x] * first) + b[x] * second) + c[x] * third)
        d += 3
    while d < width:
        a = source + d * stride
        first = taps[d]
        for x in range(length):
            sums[x] = <float> (sums[x] + a[x] * first)
        d += 1


cdef void filter_tile(const double *upper, const double *lower, const double *taps, Py_ssize_t width, double *sums,
                      double *lower_sums) noexcept nogil:
    """x pass for a tile of two rows, in float64."""
    cdef Py_ssize_t d
    cdef const unaligned *s
    cdef const unaligned *t
    cdef unaligned *out = <unaligned *> sums
    cdef doubles a, b, c, e, f, g, h, i
    a = b = c = e = f = g = h = i = zeros
    for d in range(width):
        s = <const unaligned *> (upper + d)
        t = <const unaligned *> (lower + d)
        a = a + taps[d] * s[0]
        b = b + taps[d] * s[1]
        c = c + taps[d] * s[2]
        e = e + taps[d] * s[3]
        f = f + taps[d] * t[0]
        g = g + taps[d] * t[1]
        h = h + taps[d] * t[2]
        i = i + taps[d] * t[3]
    out[0], out[1], out[2], out[3] = a, b, c, e
    out = <unaligned *> lower_sums
    out[0], out[1], out[2], out[3] = f, g, h, i


cdef void filter_rows(const double *rows, const Basis *basis, Py_ssize_t n, Py_ssize_t size, double *sums,
                      const double *first, double *out) noexcept nogil:
    """x pass of basis function ``n``, less the vector ``first`` if that is asked for; ``sums`` holds two rows."""
    cdef Py_ssize_t x, y = 0, k, n_rows, length = row_length(size, basis.width)
    cdef double *lower_sums = sums + whole(size, TILE)
    while y < size:
        n_rows = min(2, size - y)                    # a single one is taken twice
        for x in range(whole(size, TILE) // TILE):
            filter_tile(rows + y * length + x * TILE, rows + (y + n_rows - 1) * length + x * TILE,
                        basis.x_filters + n * basis.width, basis.width, sums + x * TILE, lower_sums + x * TILE)
        for k in range(n_rows):
            for x in range(size):
                out[(y + k) * size + x] = sums[k * whole(size, TILE) + x]
        y += n_rows
    if basis.minus_first[n]:
        for x in range(size * size):
            out[x] = out[x] - first[x]


cdef void convolve_substamp(const float *image, Py_ssize_t stride, const Basis *basis, Py_ssize_t size,
                            double *work, double *vectors) noexcept nogil:
    """All basis vectors of one substamp (5.1); ``image`` points at the corner of its footprint.

    Basis functions with the same y filter follow each other; the first function of all has the first y filter.
    """
    cdef Py_ssize_t f, n, x, y, reach = size + basis.width - 1, length = row_length(size, basis.width)
    cdef double *pixels = work
    cdef double *columns = pixels + reach * length
    cdef double *sums = columns + size * length
    for y in range(reach):
        for x in range(reach):
            pixels[y * length + x] = image[y * stride + x]
        for x in range(reach, length):
            pixels[y * length + x] = 0
    for x in range(size * length):
        columns[x] = 0
    for f in range(basis.n_filters):
        for y in range(size):
            filter_column(pixels + y * length, length, basis.y_filters + f * basis.width, basis.width, whole(reach, 8),
                          columns + y * length)
        for n in range(basis.n):
            if basis.y_index[n] == f:
                filter_rows(columns, basis, n, size, sums, vectors, vectors + n * size * size)


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
