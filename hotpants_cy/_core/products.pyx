# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Products of the vectors of each substamp with each other and with the image to be matched (spec 5.2).

Each sum runs over the pixels in the order of the spec; sums of several pairs of vectors run side by side, in registers.
"""
from cython.parallel cimport prange, threadid

include "doubles.pxi"

cdef enum:
    CHUNK = 32                 # pixels whose products are summed while they stay in the nearest cache
    TOGETHER = 8               # vectors whose products with the image are summed side by side


cdef struct Substamp:
    const double *vectors      # (n_basis, area): basis functions convolved
    double *background         # (n_total - n_basis, area): terms of the background
    Py_ssize_t n_basis
    Py_ssize_t n_total
    Py_ssize_t size
    Py_ssize_t area
    float half_nx              # half the sides of the region, which coordinates of the background are in units of
    float half_ny
    int order                  # of the background


cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    """Number of vectors with those that fill up the last tile of products."""
    return (n + 7) // 8 * 8


cdef void background_terms(float x, float y, int order, double *out, Py_ssize_t stride) noexcept nogil:
    """Monomials of the background at one pixel, x power outer (spec 5.1, P30)."""
    cdef int i, _j, k = 0
    cdef double x_power = 1, y_power
    for i in range(order + 1):
        y_power = 1
        for _j in range(order - i + 1):
            out[k] = x_power * y_power
            y_power *= y
            k += stride
        x_power *= x


cdef void lay_out(Substamp *s, const double *vectors, Py_ssize_t x0, Py_ssize_t y0, double *work) noexcept nogil:
    """Fill in the vectors of a substamp whose first pixel is at (x0, y0), and the terms of its background."""
    cdef Py_ssize_t p
    s.vectors = vectors
    s.background = work + (CHUNK + padded(s.n_total)) * padded(s.n_total)      # behind what `gram_matrix` needs
    for p in range(s.area):
        background_terms((<float> (x0 + p % s.size) - s.half_nx) / s.half_nx,
                         (<float> (y0 + p // s.size) - s.half_ny) / s.half_ny, s.order, s.background + p, s.area)


cdef inline const double *vector_of(const Substamp *s, Py_ssize_t k) noexcept nogil:
    return s.vectors + k * s.area if k < s.n_basis else s.background + (k - s.n_basis) * s.area


cdef void take_pixels(const Substamp *s, Py_ssize_t first, Py_ssize_t n, double *pixels) noexcept nogil:
    """All vectors pixel by pixel, four at a time, with zeros behind, so that sums over pixels run side by side."""
    cdef Py_ssize_t p, i, k = 0, stride = padded(s.n_total)
    cdef const double *v[4]
    cdef double *out
    while k < s.n_total:
        for i in range(4):
            v[i] = vector_of(s, min(k + i, s.n_total - 1)) + first
        for p in range(n):
            out = pixels + p * stride + k
            out[0], out[1], out[2], out[3] = v[0][p], v[1][p], v[2][p], v[3][p]
        k += 4
    for p in range(n):
        for k in range(s.n_total, stride):
            pixels[p * stride + k] = 0


cdef void add_products(const double *pixels, Py_ssize_t n_pixels, Py_ssize_t stride, Py_ssize_t i, Py_ssize_t j,
                       double *gram) noexcept nogil:
    """Add products of four vectors, from the ``i``-th on, with two vectors of registers, from the ``j``-th on."""
    cdef Py_ssize_t _p
    cdef const double *w = pixels + i
    cdef const unaligned *a = <const unaligned *> (pixels + j)
    cdef const unaligned *b = <const unaligned *> (pixels + j + LANES)
    cdef double *out = gram + i * stride + j
    cdef doubles a0 = (<unaligned *> out)[0], b0 = (<unaligned *> (out + LANES))[0]
    cdef doubles a1 = (<unaligned *> (out + stride))[0], b1 = (<unaligned *> (out + stride + LANES))[0]
    cdef doubles a2 = (<unaligned *> (out + 2 * stride))[0], b2 = (<unaligned *> (out + 2 * stride + LANES))[0]
    cdef doubles a3 = (<unaligned *> (out + 3 * stride))[0], b3 = (<unaligned *> (out + 3 * stride + LANES))[0]
    for _p in range(n_pixels):
        a0 = a0 + w[0] * a[0]
        b0 = b0 + w[0] * b[0]
        a1 = a1 + w[1] * a[0]
        b1 = b1 + w[1] * b[0]
        a2 = a2 + w[2] * a[0]
        b2 = b2 + w[2] * b[0]
        a3 = a3 + w[3] * a[0]
        b3 = b3 + w[3] * b[0]
        w += stride
        a = <const unaligned *> (<const double *> a + stride)
        b = <const unaligned *> (<const double *> b + stride)
    (<unaligned *> out)[0] = a0
    (<unaligned *> (out + LANES))[0] = b0
    (<unaligned *> (out + stride))[0] = a1
    (<unaligned *> (out + stride + LANES))[0] = b1
    (<unaligned *> (out + 2 * stride))[0] = a2
    (<unaligned *> (out + 2 * stride + LANES))[0] = b2
    (<unaligned *> (out + 3 * stride))[0] = a3
    (<unaligned *> (out + 3 * stride + LANES))[0] = b3


cdef void weigh_pixels(const double *roots, const double *targets, Py_ssize_t n, Py_ssize_t n_total, double *pixels,
                       double *rhs) noexcept nogil:
    """Multiply all vectors of a few pixels by the root of its weight, and add their products with the targets.

    What has no weight may even be NaN.
    """
    cdef Py_ssize_t p, i, stride = padded(n_total)
    cdef double value
    cdef double *out
    for p in range(n):
        out = pixels + p * stride
        value = targets[p] * roots[p]
        for i in range(n_total):
            out[i] = out[i] * roots[p] if roots[p] > 0 else 0
            rhs[i] = rhs[i] + out[i] * value


cdef void gram_matrix(const Substamp *s, const double *roots, const double *targets, double *work, double *gram,
                      double *rhs) noexcept nogil:
    """Products of all vectors, summed in raster order (5.2); with roots of weights also those with the targets."""
    cdef Py_ssize_t first = 0, n, i, j, stride = padded(s.n_total)
    cdef double *square = work + CHUNK * stride
    for i in range(stride * stride):
        square[i] = 0
    while first < s.area:
        n = min(CHUNK, s.area - first)
        take_pixels(s, first, n, work)
        if roots != NULL:
            weigh_pixels(roots + first, targets + first, n, s.n_total, work, rhs)
        for i in range(stride // 4):
            for j in range((4 * i + 3) // (2 * LANES) + 1):
                add_products(work, n, stride, 4 * i, 2 * LANES * j, square)
        first += n
    for i in range(s.n_total):
        for j in range(i + 1):
            gram[i * s.n_total + j] = gram[j * s.n_total + i] = square[i * stride + j]


cdef void right_hand_side(const Substamp *s, const float *target, Py_ssize_t stride, Py_ssize_t first,
                          double *rhs) noexcept nogil:
    """Products with the image to be matched, of TOGETHER vectors from ``first`` on; columns outer, rows inner (5.2)."""
    cdef Py_ssize_t x, y, p
    cdef int i
    cdef const double *v[TOGETHER]
    cdef double value, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0
    for i in range(TOGETHER):
        v[i] = vector_of(s, min(first + i, s.n_total - 1))
    for x in range(s.size):
        for y in range(s.size):
            p = y * s.size + x
            value = target[y * stride + x]
            a = a + v[0][p] * value
            b = b + v[1][p] * value
            c = c + v[2][p] * value
            d = d + v[3][p] * value
            e = e + v[4][p] * value
            f = f + v[5][p] * value
            g = g + v[6][p] * value
            h = h + v[7][p] * value
    rhs[0], rhs[1], rhs[2], rhs[3], rhs[4], rhs[5], rhs[6], rhs[7] = a, b, c, d, e, f, g, h


cdef Substamp shape_of(const double[:, :, ::1] vectors, double[:, :, ::1] gram, Py_ssize_t half_width, float half_nx,
                       float half_ny, int order):
    """A substamp that has no vectors yet."""
    cdef Substamp s
    s.half_nx = half_nx
    s.half_ny = half_ny
    s.order = order
    s.n_basis = vectors.shape[1]
    s.n_total = gram.shape[1]
    s.size = 2 * half_width + 1
    s.area = s.size * s.size
    return s


cdef void multiply(Substamp s, const double *vectors, Py_ssize_t x0, Py_ssize_t y0, const float *target,
                   Py_ssize_t stride, double *work, double *gram, double *rhs) noexcept nogil:
    """Fill ``gram`` and ``rhs`` of one substamp."""
    cdef Py_ssize_t first = 0, k
    cdef double[TOGETHER] some
    lay_out(&s, vectors, x0, y0, work)
    gram_matrix(&s, NULL, NULL, work, gram, NULL)
    while first < s.n_total:
        right_hand_side(&s, target, stride, first, some)
        for k in range(min(TOGETHER, s.n_total - first)):
            rhs[first + k] = some[k]
        first += TOGETHER


cdef void multiply_weighted(Substamp s, const double *vectors, Py_ssize_t x0, Py_ssize_t y0, const double *targets,
                            const double *roots, double *work, double *gram, double *rhs) noexcept nogil:
    """The same with weights."""
    cdef Py_ssize_t k
    lay_out(&s, vectors, x0, y0, work)
    for k in range(s.n_total):
        rhs[k] = 0
    gram_matrix(&s, roots, targets, work, gram, rhs)


def work_size(Py_ssize_t n_total, Py_ssize_t size):
    """Length of the work array that `products` needs per thread."""
    return (CHUNK + padded(n_total)) * padded(n_total) + n_total * size * size


def products(const float[:, ::1] target, const int[::1] xc, const int[::1] yc, const int[::1] slots,
             Py_ssize_t half_width, int background_order, const double[:, :, ::1] vectors, double[:, :, ::1] gram,
             double[:, ::1] rhs, double[:, ::1] work):
    """Fill ``gram`` and ``rhs`` at ``slots`` from the vectors there (5.2).

    Background coordinates are normalised by the shape of ``target``, a whole region.  ``work`` has a row of
    `work_size` per thread.
    """
    cdef Py_ssize_t i
    cdef Substamp substamp = shape_of(vectors, gram, half_width, <float> (0.5 * target.shape[1]),
                                      <float> (0.5 * target.shape[0]), background_order)
    cdef int n_threads = <int> work.shape[0]
    for i in prange(xc.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        multiply(substamp, &vectors[slots[i], 0, 0], xc[i] - half_width, yc[i] - half_width,
                 &target[yc[i] - half_width, xc[i] - half_width], target.shape[1], &work[threadid(), 0],
                 &gram[slots[i], 0, 0], &rhs[slots[i], 0])


def weighted_products(const double[:, ::1] targets, const double[:, ::1] roots, const int[::1] xc, const int[::1] yc,
                      const int[::1] slots, Py_ssize_t half_width, int background_order, float half_nx, float half_ny,
                      const double[:, :, ::1] vectors, double[:, :, ::1] gram, double[:, ::1] rhs,
                      double[:, ::1] work):
    """The same as `products` with a weight for each pixel, whose square root stands in ``roots``.

    ``targets[i]``, ``roots[i]``, ``gram[i]`` and ``rhs[i]`` belong to the substamp at (xc[i], yc[i]) with the vectors
    ``vectors[slots[i]]``; targets are finite. ``half_nx`` and ``half_ny`` are half the sides of the region.
    """
    cdef Py_ssize_t i
    cdef Substamp substamp = shape_of(vectors, gram, half_width, half_nx, half_ny, background_order)
    cdef int n_threads = <int> work.shape[0]
    for i in prange(xc.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        multiply_weighted(substamp, &vectors[slots[i], 0, 0], xc[i] - half_width, yc[i] - half_width, &targets[i, 0],
                          &roots[i, 0], &work[threadid(), 0], &gram[i, 0, 0], &rhs[i, 0])


# -- combinations of vectors -----------------------------------------------------------------------

cdef void combine(const double *vectors, const double *factors, Py_ssize_t n_vectors, Py_ssize_t area,
                  double *out) noexcept nogil:
    """Sum of vectors times factors, four of them at a time."""
    cdef Py_ssize_t n = 0, p
    cdef const double *a
    cdef double first, second, third, fourth
    for p in range(area):
        out[p] = 0
    while n + 4 <= n_vectors:
        a = vectors + n * area
        first, second, third, fourth = factors[n], factors[n + 1], factors[n + 2], factors[n + 3]
        for p in range(area):
            out[p] += (first * a[p] + second * a[p + area]) + (third * a[p + 2 * area] + fourth * a[p + 3 * area])
        n += 4
    while n < n_vectors:
        for p in range(area):
            out[p] += factors[n] * vectors[n * area + p]
        n += 1


def combinations(const double[:, :, ::1] vectors, const int[::1] slots, const double[:, ::1] factors,
                 double[:, ::1] out, int n_threads):
    """Fill each row of ``out`` with the vectors at one of ``slots``, summed up with the factors of that row."""
    cdef Py_ssize_t i
    for i in prange(slots.shape[0], nogil=True, schedule='static', num_threads=n_threads):
        combine(&vectors[slots[i], 0, 0], &factors[i, 0], vectors.shape[1], vectors.shape[2], &out[i, 0])
