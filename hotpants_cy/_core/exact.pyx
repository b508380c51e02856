# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Convolution with the kernel of each pixel: image, variance and mask in one pass (spec 7, without its blocks).

Blocks of pixels are worked on here too, but only to keep pixels near the processor: in each row of a block the kernel
is a polynomial ``A_0 + d (A_1 + d (A_2 + ...))`` in the distance d to the middle of the block.  A_0 is summed in
double precision.  What has the factor d is small but near bright stars: where no pixel adds more than the noise to a
sum, the sum is taken in single precision, and errs by less than a millionth of it.  The variance takes the kernel
squared at each pixel, in single precision.
"""
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabs, sqrt

include "exact_tiles.pxi"

cdef enum:
    BAD_INPUT = 0x80           # HotpantsFlags INPUT_ISBAD
    BAD_OUTPUT = 0x8000        # OUTPUT_ISBAD
    BAD_CONVOLVED = 0x8010     # BAD_CONV | OUTPUT_ISBAD
    OK_CONVOLVED = 0x40        # OK_CONV
    ROWS = 6 * TILE_ROWS       # pixels of a block in y
    COLUMNS = 48               # and in x: whole tiles, whatever the vectors hold
    GROUP = TILE_COLUMNS * FLOATS
    STEP = TILE_COLUMNS * DOUBLES
    FOLD = 64                  # terms summed in single precision before their sum is put aside


cdef struct Kernel:
    # the kernel as a polynomial of the normalised position
    const double *terms        # (n_terms, area): what multiplies X^p Y^q, p outer; from the last pixel to the first
    int order
    Py_ssize_t width
    Py_ssize_t area
    const double *x            # normalised positions of columns and rows
    const double *y


cdef struct Block:
    Py_ssize_t x0              # first output pixel
    Py_ssize_t y0
    Py_ssize_t nx
    Py_ssize_t ny
    Py_ssize_t stride          # of the source pixels that the block sees
    double middle              # normalised position where the distance is 0
    double *terms              # those of the kernel in powers of the distance
    double *totals             # and their sums over all taps
    double *row                # all A of one row, (order + 1, area)
    double *kernels            # the same of the rows of a tile
    double *sums               # output pixels of these rows for each A
    double *distance           # of each column
    double *image              # source pixels, without the level of the sky
    double *weights            # 0 for bad source pixels, else 1
    double *good               # sums of weights of a tile
    double *total
    float *taps                # all A of these rows in single precision
    float *singles             # image and variance in single precision
    float *variance
    float *distances
    float *slopes              # sums of a row
    float *variances
    int *bright                # whether a row of source pixels needs double precision
    int *across                # flags seen in the row of each footprint
    int *seen                  # and in the whole footprint


cdef inline Py_ssize_t n_terms(int order) noexcept nogil:
    return (order + 1) * (order + 2) // 2


cdef inline Py_ssize_t term(int order, int p, int q) noexcept nogil:
    """Which of the terms has X^p Y^q."""
    return p * (order + 1) - p * (p - 1) // 2 + q


cdef Py_ssize_t lay_out(Block *b, int order, Py_ssize_t width, double *work) noexcept nogil:
    """Divide the work memory of one thread; return how much there must be."""
    cdef Py_ssize_t area = width * width, patch = (ROWS + width - 1) * (COLUMNS + width - 1)
    cdef Py_ssize_t row = (ROWS + width - 1) * COLUMNS
    b.stride = COLUMNS + width - 1
    b.terms = work
    b.totals = b.terms + n_terms(order) * area
    b.row = b.totals + n_terms(order)
    b.kernels = b.row + (order + 1) * area
    b.sums = b.kernels + TILE_ROWS * (order + 1) * area
    b.distance = b.sums + (order + 1) * TILE_ROWS * COLUMNS
    b.image = b.distance + COLUMNS
    b.weights = b.image + patch
    b.good = b.weights + patch
    b.total = b.good + COLUMNS
    b.taps = <float *> (b.total + COLUMNS)
    b.singles = b.taps + TILE_ROWS * (order + 1) * area
    b.variance = b.singles + patch
    b.distances = b.variance + patch
    b.slopes = b.distances + COLUMNS
    b.variances = b.slopes + COLUMNS
    b.bright = <int *> (b.variances + COLUMNS)
    b.across = b.bright + ROWS + width - 1
    b.seen = b.across + row
    return <double *> (b.seen + ROWS * COLUMNS + 1) - work + 1


def work_size(int order, Py_ssize_t width):
    """Length of the work array that `convolve_exactly` needs per thread."""
    cdef Block b
    cdef double start
    return lay_out(&b, order, width, &start)


include "exact_kernel.pxi"


# -- image and variance -----------------------------------------------------------------------------

cdef double gather_variance(const float[:, ::1] image, const float[:, ::1] variance, double inverse_gain,
                            double read_variance, const Kernel *k, const Block *b) noexcept nogil:
    """Variance of the source pixels of a block; return its mean in the row where that is least."""
    cdef Py_ssize_t x, y, half = k.width // 2, n = b.nx + k.width - 1
    cdef const float *row
    cdef float *out
    cdef double total, least = 0
    for y in range(b.ny + k.width - 1):
        out, total = b.variance + y * b.stride, 0
        if variance.shape[0] > 0:
            row = &variance[b.y0 - half + y, b.x0 - half]
            for x in range(n):
                out[x] = row[x]
        else:
            row = &image[b.y0 - half + y, b.x0 - half]
            for x in range(n):
                out[x] = <float> (fabs(<double> row[x]) * inverse_gain + read_variance)
        for x in range(n):
            total += out[x]
        for x in range(n, b.stride):
            out[x] = 0
        least = total / n if y == 0 or total / n < least else least
    return least


cdef void gather(const float[:, ::1] image, float level, double limit, const Kernel *k, const Block *b) noexcept nogil:
    """Source pixels of a block, and zeros where whole tiles reach beyond them; which rows exceed the limit."""
    cdef Py_ssize_t x, y, half = k.width // 2, n = b.nx + k.width - 1
    cdef const float *row
    cdef double *out
    cdef float *single
    cdef int n_bright
    for y in range(b.ny + k.width - 1):
        row = &image[b.y0 - half + y, b.x0 - half]
        out, single, n_bright = b.image + y * b.stride, b.singles + y * b.stride, 0
        for x in range(n):
            out[x] = <double> row[x] - level
            single[x] = <float> out[x]
            n_bright += not fabs(out[x]) <= limit
        for x in range(n, b.stride):
            out[x] = single[x] = 0
        b.bright[y] = n_bright


cdef double noise_limit(double variance, const Kernel *k, const Block *b) noexcept nogil:
    """How bright a pixel may be for its share in what the distance changes to stay below the noise."""
    cdef Py_ssize_t i
    cdef double squares = 0, steep = steepest(k, b)
    render_row(k, b, k.y[b.y0 + b.ny // 2], b.row)
    for i in range(k.area):
        squares += b.row[i] * b.row[i]
    return sqrt(variance * squares) / steep if steep > 0 else INFINITY


cdef void sum_doubles(int p, const Kernel *k, const Block *b, Py_ssize_t y, Py_ssize_t n) noexcept nogil:
    """Sums of ``n`` rows, one or all of a tile, with A_p in double precision."""
    cdef Py_ssize_t column, r, w = k.width, far = (k.order + 1) * k.area, stride = b.stride
    cdef const double *pixels
    cdef const double *taps = b.kernels + p * k.area
    cdef double *sums
    for column in range((b.nx + 2 * STEP - 1) // (2 * STEP)):
        pixels = b.image + y * stride + column * 2 * STEP
        sums = b.sums + p * TILE_ROWS * COLUMNS + column * 2 * STEP
        if n < TILE_ROWS or w < TILE_ROWS:
            for r in range(n):
                add_row(w, pixels + r * stride, stride, taps + r * far, far, w, sums + r * COLUMNS)
            continue
        # rows of pixels that all footprints share, then what each has before and after them
        add_tile_rows(w - TILE_ROWS + 1, pixels + (TILE_ROWS - 1) * stride, stride, taps + (TILE_ROWS - 1) * w, far, w,
                      sums, COLUMNS)
        for r in range(TILE_ROWS):
            add_row(TILE_ROWS - 1 - r, pixels + r * stride, stride, taps + r * far, far, w, sums + r * COLUMNS)
            add_row(r, pixels + w * stride, stride, taps + r * far + (w - r) * w, far, w, sums + r * COLUMNS)


cdef void sum_singles(bint sloped, int kind, const Kernel *k, const Block *b, Py_ssize_t y,
                      const float *taps) noexcept nogil:
    """Sums of one row in single precision, some rows of taps at a time."""
    cdef Py_ssize_t x, j, w = k.width, fold = max(1, FOLD // k.width), p
    for x in range(COLUMNS):
        b.slopes[x] = b.variances[x] = 0
    for x in range((b.nx + GROUP - 1) // GROUP):
        j = 0
        while j < w:
            p = (y + j) * b.stride + x * GROUP
            add_singles(k.order, sloped, kind, min(fold, w - j), b.singles + p, b.variance + p, b.stride, taps + j * w,
                        w, b.distances + x * GROUP, b.slopes + x * GROUP, b.variances + x * GROUP)
            j += fold


cdef double polynomial(const double *c, int order, double x, double y) noexcept nogil:
    cdef int p, q
    cdef double row, total = 0
    for p in range(order, -1, -1):
        row = 0
        for q in range(order - p, -1, -1):
            row = row * y + c[term(order, p, q)]
        total = total * x + row
    return total


cdef void convolve_rows(int kind, float level, const double *background, int background_order, const Kernel *k,
                        const Block *b, Py_ssize_t y, Py_ssize_t n, float[:, ::1] image_out,
                        float[:, ::1] variance_out) noexcept nogil:
    """Image and variance of ``n`` rows of the block; all is added up before it is rounded."""
    cdef Py_ssize_t x, r, s, far = (k.order + 1) * k.area
    cdef int p, n_bright = 0
    cdef double total, d
    for s in range(y, y + n + k.width - 1):
        n_bright += b.bright[s]
    for x in range((k.order + 1) * TILE_ROWS * COLUMNS):
        b.sums[x] = 0
    for r in range(n):
        render_row(k, b, k.y[b.y0 + y + r], b.kernels + r * far)
    for x in range(n * far):
        b.taps[x] = <float> b.kernels[x]
    for p in range(k.order + 1 if n_bright else 1):
        sum_doubles(p, k, b, y, n)
    for r in range(n):
        if kind != NO_VARIANCE or k.order > 0 and not n_bright:
            sum_singles(k.order > 0 and not n_bright, kind, k, b, y + r, b.taps + r * far)
        for x in range(b.nx):
            d, total = b.distance[x], 0
            for p in range(k.order if n_bright else 0, -1, -1):
                total = total * d + b.sums[(p * TILE_ROWS + r) * COLUMNS + x]
            if k.order > 0 and not n_bright:
                total += d * b.slopes[x]
            total += level * polynomial(b.totals, k.order, d, k.y[b.y0 + y + r])
            if background_order >= 0:
                total += polynomial(background, background_order, k.x[b.x0 + x], k.y[b.y0 + y + r])
            image_out[b.y0 + y + r, b.x0 + x] = <float> total
        if kind != NO_VARIANCE:
            for x in range(b.nx):
                variance_out[b.y0 + y + r, b.x0 + x] = b.variances[x]


cdef void convolve_block(int kind, float level, const double *background, int background_order, const Kernel *k,
                         const Block *b, float[:, ::1] image_out, float[:, ::1] variance_out) noexcept nogil:
    cdef Py_ssize_t y = 0, n
    while y < b.ny:
        n = TILE_ROWS if b.ny - y >= TILE_ROWS else 1
        convolve_rows(kind, level, background, background_order, k, b, y, n, image_out, variance_out)
        y += n


include "exact_flags.pxi"


# -- the whole ---------------------------------------------------------------------------------------

cdef void convolve_band(Py_ssize_t band, int kind, const float[:, ::1] image, const float[:, ::1] variance,
                        const int[:, ::1] flags, const Kernel *k, double inverse_gain, double read_variance,
                        double good_fraction, float level, double scatter, const double *background,
                        int background_order, float[:, ::1] image_out, float[:, ::1] variance_out,
                        int[:, ::1] flags_out, double *work) noexcept nogil:
    cdef Py_ssize_t x, half = k.width // 2, column
    cdef double least = scatter * scatter
    cdef Block b
    lay_out(&b, k.order, k.width, work)
    b.y0 = band * ROWS + half
    b.ny = min(ROWS, image.shape[0] - half - b.y0)
    if b.ny <= 0 or image.shape[1] < k.width:
        return
    for column in range((image.shape[1] - k.width + COLUMNS) // COLUMNS):
        b.x0 = half + column * COLUMNS
        b.nx = min(COLUMNS, image.shape[1] - half - b.x0)
        b.middle = 0.5 * (k.x[b.x0] + k.x[b.x0 + b.nx - 1])
        for x in range(COLUMNS):
            b.distance[x] = k.x[b.x0 + min(x, b.nx - 1)] - b.middle
            b.distances[x] = <float> b.distance[x]
        shift_kernel(k, &b)
        if image_out.shape[0] > 0:
            if kind != NO_VARIANCE:
                least = gather_variance(image, variance, inverse_gain, read_variance, k, &b)
            add_taps(k, &b)
            gather(image, level, noise_limit(least, k, &b), k, &b)
            convolve_block(kind, level, background, background_order, k, &b, image_out, variance_out)
        if flags_out.shape[0] > 0:
            convolve_flags(flags, good_fraction, k, &b, flags_out)


def n_bands(Py_ssize_t n_rows, Py_ssize_t width):
    """How many bands of rows `convolve_exactly` works on."""
    return max(0, n_rows - width + ROWS) // ROWS


def convolve_exactly(const float[:, ::1] image, const float[:, ::1] variance, const int[:, ::1] flags,
                     const double[:, ::1] terms, int order, const double[::1] x, const double[::1] y,
                     bint plain_variance, double inverse_gain, double read_variance, double good_fraction, float level,
                     double scatter, const double[::1] background, int background_order, float[:, ::1] image_out,
                     float[:, ::1] variance_out, int[:, ::1] flags_out, double[:, ::1] work, Py_ssize_t first,
                     Py_ssize_t stop):
    """Convolve bands ``first`` to ``stop`` of rows with the kernel of each pixel.

    ``terms`` are what multiplies the monomials of ``order``, p outer, flattened and from the last pixel to the first;
    ``x`` and ``y`` are the normalised positions of all columns and rows.  ``level`` and ``scatter`` are those of the
    sky, to choose the precision by; ``background`` has the coefficients of a polynomial to be added, of order -1 if
    there is none. An output of shape (0, 0) leaves its part out, that of the image the variance too; ``flags_out`` is
    added to. Without a ``variance`` plane (shape (0, 0)) that of a pixel is ``abs(pixel) * inverse_gain +
    read_variance``. ``work`` has a row of `work_size` numbers per thread.  The frame of half a kernel is not touched.
    """
    cdef Py_ssize_t band
    cdef int n_threads = <int> work.shape[0], kind = NO_VARIANCE
    cdef Kernel k
    cdef const double *added = &background[0] if background_order >= 0 else NULL
    k.terms, k.order, k.x, k.y = &terms[0, 0], order, &x[0], &y[0]
    k.area = terms.shape[1]
    k.width = 1
    while k.width * k.width < k.area:
        k.width += 2
    if variance_out.shape[0] > 0:
        kind = PLAIN_VARIANCE if plain_variance else SQUARE_VARIANCE
    for band in prange(first, stop, nogil=True, schedule='dynamic', num_threads=n_threads):
        convolve_band(band, kind, image, variance, flags, &k, inverse_gain, read_variance, good_fraction, level,
                      scatter, added, background_order, image_out, variance_out, flags_out, &work[threadid(), 0])
