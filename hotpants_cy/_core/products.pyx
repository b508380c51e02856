# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Products of the vectors of each substamp with each other and with the image to be matched (spec 5.2).

Each sum runs over the pixels in the order of the spec; sums of several pairs of vectors run side by side, in registers.
"""
from cython.parallel cimport prange, threadid

include "doubles.pxi"

cdef enum:
    CHUNK = 32                 # pixels whose products are summed while they stay in the nearest cache


cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    """Number of vectors with those that fill up the last tile of products."""
    return (n + 7) // 8 * 8


cdef void background_terms(float x, float y, int order, double *out) noexcept nogil:
    """Monomials of the background at one pixel, x power outer (spec 5.1, P30)."""
    cdef int i, _j, k = 0
    cdef double x_power = 1, y_power
    for i in range(order + 1):
        y_power = 1
        for _j in range(order - i + 1):
            out[k] = x_power * y_power
            y_power *= y
            k += 1
        x_power *= x


cdef void interleave(const double *vectors, Py_ssize_t n_basis, Py_ssize_t n_total, Py_ssize_t size, Py_ssize_t x0,
                     Py_ssize_t y0, float half_nx, float half_ny, int order, double *pixels) noexcept nogil:
    """Kernel and background vectors pixel by pixel, with zeros behind, so that sums over pixels run side by side."""
    cdef Py_ssize_t p = 0, k, n, area = size * size, stride = padded(n_total), some
    cdef double *out
    while p < area:
        some = min(8, area - p)                      # pixels that share a line of the cache
        for n in range(n_basis):
            for k in range(some):
                pixels[(p + k) * stride + n] = vectors[n * area + p + k]
        p += some
    for p in range(area):
        out = pixels + p * stride
        background_terms((<float> (x0 + p % size) - half_nx) / half_nx, (<float> (y0 + p // size) - half_ny) / half_ny,
                         order, out + n_basis)
        for n in range(n_total, stride):
            out[n] = 0


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


cdef void gram_matrix(const double *pixels, Py_ssize_t area, Py_ssize_t n_total, double *square,
                      double *gram) noexcept nogil:
    """Products of all vectors, summed in raster order (5.2); ``square`` is a padded matrix."""
    cdef Py_ssize_t start = 0, i, j, stride = padded(n_total)
    for i in range(stride * stride):
        square[i] = 0
    while start < area:
        for i in range(stride // 4):
            for j in range((4 * i + 3) // (2 * LANES) + 1):
                add_products(pixels + start * stride, min(CHUNK, area - start), stride, 4 * i, 2 * LANES * j, square)
        start += CHUNK
    for i in range(n_total):
        for j in range(i + 1):
            gram[i * n_total + j] = gram[j * n_total + i] = square[i * stride + j]


cdef void right_hand_side(const double *pixels, const float *target, Py_ssize_t stride, Py_ssize_t size,
                          Py_ssize_t n_total, double *rhs) noexcept nogil:
    """Products with the image to be matched; columns outer, rows inner (5.2)."""
    cdef Py_ssize_t x, y, i
    cdef const double *a
    cdef double value
    for i in range(n_total):
        rhs[i] = 0
    for x in range(size):
        for y in range(size):
            a = pixels + (y * size + x) * padded(n_total)
            value = target[y * stride + x]
            for i in range(n_total):
                rhs[i] = rhs[i] + a[i] * value


def work_size(Py_ssize_t n_total, Py_ssize_t size):
    """Length of the work array that `products` needs per thread."""
    return (size * size + padded(n_total)) * padded(n_total)


def products(const float[:, ::1] target, const int[::1] xc, const int[::1] yc, const int[::1] slots,
             Py_ssize_t half_width, int background_order, const double[:, :, ::1] vectors, double[:, :, ::1] gram,
             double[:, ::1] rhs, double[:, ::1] work):
    """Fill ``gram`` and ``rhs`` at ``slots`` from the vectors there (5.2).

    Background coordinates are normalised by the shape of ``target``, a whole region.  ``work`` has a row of
    `work_size` per thread.
    """
    cdef Py_ssize_t i, slot, size = 2 * half_width + 1, n_total = gram.shape[1]
    cdef float half_nx = <float> (0.5 * target.shape[1]), half_ny = <float> (0.5 * target.shape[0])
    cdef int n_threads = <int> work.shape[0]
    cdef double *pixels
    for i in prange(xc.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        slot = slots[i]
        pixels = &work[threadid(), 0]
        interleave(&vectors[slot, 0, 0], vectors.shape[1], n_total, size, xc[i] - half_width, yc[i] - half_width,
                   half_nx, half_ny, background_order, pixels)
        gram_matrix(pixels, size * size, n_total, pixels + size * size * padded(n_total), &gram[slot, 0, 0])
        right_hand_side(pixels, &target[yc[i] - half_width, xc[i] - half_width], target.shape[1], size, n_total,
                        &rhs[slot, 0])


cdef void weigh_pixels(double *pixels, const double *roots, Py_ssize_t area, Py_ssize_t stride) noexcept nogil:
    """Multiply all vectors of each pixel by the root of its weight; what has no weight may even be NaN."""
    cdef Py_ssize_t p, i
    for p in range(area):
        for i in range(stride):
            pixels[p * stride + i] = pixels[p * stride + i] * roots[p] if roots[p] > 0 else 0


def weighted_products(const double[:, ::1] targets, const double[:, ::1] roots, const int[::1] xc, const int[::1] yc,
                      const int[::1] slots, Py_ssize_t half_width, int background_order, float half_nx, float half_ny,
                      const double[:, :, ::1] vectors, double[:, :, ::1] gram, double[:, ::1] rhs,
                      double[:, ::1] work):
    """The same as `products` with a weight for each pixel, whose square root stands in ``roots``.

    ``targets[i]``, ``roots[i]``, ``gram[i]`` and ``rhs[i]`` belong to the substamp at (xc[i], yc[i]) with the vectors
    ``vectors[slots[i]]``; targets are finite. ``half_nx`` and ``half_ny`` are half the sides of the region.
    """
    cdef Py_ssize_t i, p, k, size = 2 * half_width + 1, area = size * size, n_total = gram.shape[1]
    cdef double value
    cdef double *pixels
    cdef int n_threads = <int> work.shape[0]
    for i in prange(xc.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        pixels = &work[threadid(), 0]
        interleave(&vectors[slots[i], 0, 0], vectors.shape[1], n_total, size, xc[i] - half_width, yc[i] - half_width,
                   half_nx, half_ny, background_order, pixels)
        weigh_pixels(pixels, &roots[i, 0], area, padded(n_total))
        gram_matrix(pixels, area, n_total, pixels + area * padded(n_total), &gram[i, 0, 0])
        for k in range(n_total):
            rhs[i, k] = 0
        for p in range(area):
            value = targets[i, p] * roots[i, p]
            for k in range(n_total):
                rhs[i, k] += pixels[p * padded(n_total) + k] * value
