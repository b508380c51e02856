# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""What the fit needs of each substamp: convolved basis vectors, their products, merits (spec 5.1, 5.2, 5.4).

Every sum keeps the order and the rounding that the spec gives, since ill-conditioned fits magnify
them; speed comes from working on independent sums side by side.  The caller guarantees that all
substamps lie at least the kernel's half width inside the image.
"""
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabs, isfinite

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


cdef void filter_columns(const float *image, Py_ssize_t stride, const Basis *basis, Py_ssize_t size,
                         float *out) noexcept nogil:
    """y pass: the running sum is rounded to float32 after every tap (P11)."""
    cdef Py_ssize_t f, y, d, x, length = size + basis.width - 1
    cdef const float *source
    cdef float *sums
    cdef double tap
    for f in range(basis.n_filters):
        for y in range(size):
            sums = out + (f * size + y) * length
            for x in range(length):
                sums[x] = 0
            for d in range(basis.width):
                tap = basis.y_filters[f * basis.width + d]
                source = image + (y + d) * stride
                for x in range(length):
                    sums[x] = <float> (sums[x] + source[x] * tap)


cdef void filter_rows(const float *rows, const Basis *basis, Py_ssize_t n, Py_ssize_t size, double *wide,
                      double *out) noexcept nogil:
    """x pass of basis function ``n``, in float64."""
    cdef Py_ssize_t y, d, x, length = size + basis.width - 1
    cdef const float *source
    cdef double *sums
    cdef double tap
    for y in range(size):
        source = rows + (basis.y_index[n] * size + y) * length
        for x in range(length):
            wide[x] = source[x]
        sums = out + y * size
        for x in range(size):
            sums[x] = 0
        for d in range(basis.width):
            tap = basis.x_filters[n * basis.width + d]
            for x in range(size):
                sums[x] = sums[x] + wide[x + d] * tap


cdef void convolve_substamp(const float *image, Py_ssize_t stride, const Basis *basis, Py_ssize_t size,
                            double *work, double *vectors) noexcept nogil:
    """All basis vectors of one substamp (5.1); ``image`` points at the corner of its footprint."""
    cdef Py_ssize_t n, p, area = size * size
    cdef float *columns = <float *> (work + size + basis.width - 1)
    filter_columns(image, stride, basis, size, columns)
    for n in range(basis.n):
        filter_rows(columns, basis, n, size, work, vectors + n * area)
        if basis.minus_first[n]:
            for p in range(area):
                vectors[n * area + p] -= vectors[p]


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
    """Kernel and background vectors pixel by pixel, so that sums over pixels run side by side."""
    cdef Py_ssize_t x, y, n, area = size * size
    cdef double *out
    cdef float xf, yf
    for y in range(size):
        yf = (<float> (y0 + y) - half_ny) / half_ny
        for x in range(size):
            xf = (<float> (x0 + x) - half_nx) / half_nx
            out = pixels + (y * size + x) * n_total
            for n in range(n_basis):
                out[n] = vectors[n * area + y * size + x]
            background_terms(xf, yf, order, out + n_basis)


cdef void gram_matrix(const double *pixels, Py_ssize_t area, Py_ssize_t n_total, double *gram) noexcept nogil:
    """Lower triangle of the products of all vectors, summed in raster order (5.2)."""
    cdef Py_ssize_t p, i, j
    cdef const double *a
    cdef const double *b
    cdef double *row
    cdef double wa, wb
    for i in range(n_total * n_total):
        gram[i] = 0
    for p in range(0, area - 1, 2):
        a = pixels + p * n_total
        b = a + n_total
        for i in range(n_total):
            wa = a[i]
            wb = b[i]
            row = gram + i * n_total
            for j in range(i + 1):
                row[j] = (row[j] + wa * a[j]) + wb * b[j]
    for p in range(area - area % 2, area):
        a = pixels + p * n_total
        for i in range(n_total):
            wa = a[i]
            row = gram + i * n_total
            for j in range(i + 1):
                row[j] = row[j] + wa * a[j]


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
            a = pixels + (y * size + x) * n_total
            value = target[y * stride + x]
            for i in range(n_total):
                rhs[i] = rhs[i] + a[i] * value


def separable_work_size(Py_ssize_t n_filters, Py_ssize_t size, Py_ssize_t width):
    """Length of the work array that `convolve_separable` needs per thread."""
    cdef Py_ssize_t length = size + width - 1
    return length + (n_filters * size * length + 1) // 2


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


def products(const float[:, ::1] target, const int[::1] xc, const int[::1] yc, const int[::1] slots,
             Py_ssize_t half_width, int background_order, const double[:, :, ::1] vectors, double[:, :, ::1] gram,
             double[:, ::1] rhs, double[:, :, ::1] work):
    """Fill ``gram`` (lower triangle) and ``rhs`` at ``slots`` from the vectors there (5.2).

    Background coordinates are normalised by the shape of ``target``, a whole region.  ``work`` has room for all
    vectors of a substamp, pixel by pixel, per thread.
    """
    cdef Py_ssize_t i, slot, thread, size = 2 * half_width + 1, n_total = gram.shape[1]
    cdef float half_nx = <float> (0.5 * target.shape[1]), half_ny = <float> (0.5 * target.shape[0])
    cdef int n_threads = <int> work.shape[0]
    for i in prange(xc.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        slot = slots[i]
        thread = threadid()
        interleave(&vectors[slot, 0, 0], vectors.shape[1], n_total, size, xc[i] - half_width, yc[i] - half_width,
                   half_nx, half_ny, background_order, &work[thread, 0, 0])
        gram_matrix(&work[thread, 0, 0], size * size, n_total, &gram[slot, 0, 0])
        right_hand_side(&work[thread, 0, 0], &target[yc[i] - half_width, xc[i] - half_width], target.shape[1], size,
                        n_total, &rhs[slot, 0])


cdef void weigh_pixels(double *pixels, const double *roots, Py_ssize_t area, Py_ssize_t n_total) noexcept nogil:
    """Multiply all vectors of each pixel by the root of its weight; what has no weight may even be NaN."""
    cdef Py_ssize_t p, i
    for p in range(area):
        for i in range(n_total):
            pixels[p * n_total + i] = pixels[p * n_total + i] * roots[p] if roots[p] > 0 else 0


def weighted_products(const double[:, ::1] targets, const double[:, ::1] roots, const int[::1] xc, const int[::1] yc,
                      const int[::1] slots, Py_ssize_t half_width, int background_order, float half_nx, float half_ny,
                      const double[:, :, ::1] vectors, double[:, :, ::1] gram, double[:, ::1] rhs,
                      double[:, :, ::1] work):
    """The same as `products` with a weight for each pixel, whose square root stands in ``roots``.

    ``targets[i]``, ``roots[i]``, ``gram[i]`` and ``rhs[i]`` belong to the substamp at (xc[i], yc[i]) with the vectors
    ``vectors[slots[i]]``; targets are finite. ``half_nx`` and ``half_ny`` are half the sides of the region.
    """
    cdef Py_ssize_t i, p, k, thread, size = 2 * half_width + 1, area = size * size, n_total = gram.shape[1]
    cdef double value
    cdef int n_threads = <int> work.shape[0]
    for i in prange(xc.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        thread = threadid()
        interleave(&vectors[slots[i], 0, 0], vectors.shape[1], n_total, size, xc[i] - half_width, yc[i] - half_width,
                   half_nx, half_ny, background_order, &work[thread, 0, 0])
        weigh_pixels(&work[thread, 0, 0], &roots[i, 0], area, n_total)
        gram_matrix(&work[thread, 0, 0], area, n_total, &gram[i, 0, 0])
        for k in range(n_total):
            rhs[i, k] = 0
        for p in range(area):
            value = targets[i, p] * roots[i, p]
            for k in range(n_total):
                rhs[i, k] += work[thread, p, k] * value


# -- the merit of a substamp (5.4) ------------------------------------------------------------------

cdef void model_of(const double *vectors, const double *coefficients, Py_ssize_t n_basis, Py_ssize_t area,
                   float *out) noexcept nogil:
    """Convolved model, accumulated in float32 as C does (P14)."""
    cdef Py_ssize_t n, p
    cdef double a
    for p in range(area):
        out[p] = 0
    for n in range(n_basis):
        a = coefficients[n]
        for p in range(area):
            out[p] = <float> (out[p] + a * vectors[n * area + p])


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
