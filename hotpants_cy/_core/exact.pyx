# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Convolution with the kernel of each pixel: image, variance and mask in one pass (spec 7, without its blocks).

Blocks of pixels are worked on here too, but only to keep pixels near the processor: in each row of a block the kernel
is a polynomial ``A_0 + d (A_1 + d (A_2 + ...))`` in the distance d to the middle of the block.  The image is convolved
with each A: near the middle of the kernel in double precision, and in single precision further out, where the taps are
so small that no sum can exceed the noise; then its rounding is less than a millionth of it.  So is the variance, with
the coefficients of the polynomial squared, and only where these can change its seventh digit.  Two outputs of the image
next to each other share a third of the products in single precision (`exact_thirds.pxi`); digits of the variance would
suffer near bright stars.
"""
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabs, sqrt
from libc.string cimport memcpy

include "exact_tiles.pxi"
include "exact_thirds.pxi"
include "footprints.pxi"

cdef enum:
    NO_VARIANCE = 0
    PLAIN_VARIANCE = 1         # convolved with the kernel
    SQUARE_VARIANCE = 2        # convolved with its square
    ROWS = 24                  # pixels of a block in y
    GROUP = TILE_COLUMNS * FLOATS
    STEP = TILE_COLUMNS * DOUBLES

lanes = FLOATS                 # numbers in a vector of single precision


cdef struct Kernel:
    # the kernel as a polynomial of the normalised position
    const double *terms        # (n_terms, area): what multiplies X^p Y^q, p outer; from the last pixel to the first
    int order
    Py_ssize_t width
    Py_ssize_t area
    Py_ssize_t plane           # of taps in single precision
    const double *x            # normalised positions of columns and rows
    const double *y


cdef struct Block:
    Py_ssize_t x0              # first output pixel
    Py_ssize_t y0
    Py_ssize_t nx
    Py_ssize_t ny
    Py_ssize_t stride          # of the source pixels that the block sees
    Py_ssize_t image_plane     # of those of each product
    double middle_x            # normalised position where the distances are 0
    double middle_y
    double size                # of the kernel there: root of the sum of the squares
    double *terms              # those of the kernel in powers of the distances
    double *totals             # those of the sum of all taps
    double *of_level           # and these in powers of the distances
    double *row                # all A of one row, (order + 1, area)
    double *outside            # their sizes from each ring of taps outwards, (order + 1, half + 2)
    double *kernels            # all A of the rows of a tile
    double *sums               # output pixels of these rows for each A
    double *distance           # of each column
    double *squared            # of each column of source pixels the sum of the squares
    double *steps              # and of the steps from row to row
    double *image              # source pixels, without the level of the sky
    double *weights            # 0 for bad source pixels, else 1; or the variance in double precision
    double *good               # sums of weights of a row
    double *total
    float *single_terms        # of the kernel in single precision, three planes of each
    float *masks               # 0 for those of each A that the image needs in double precision, else 1
    float *taps                # all A of the rows of a tile, all planes of each
    float *squares             # what multiplies the powers of the distance in the kernel squared, three planes of each
    float *singles             # a row of source pixels,
    float *even_odd            # and its even and odd columns
    float *image_planes        # source pixels of each product
    float *variance
    float *distances
    float *products            # sums of the rows of a tile, of each product
    float *partial             # and of all together
    float *variances
    pattern *of_image          # all taps of each A, or none where all need double precision
    pattern *of_variance       # those of each power of the distance that matter to the variance
    place *places              # of all these patterns
    int *n_double              # rings of taps of each A that need double precision
    int *n_all                 # and all there are
    int *enough                # whether a footprint of a row has enough weight on good pixels
    int *starts                # where each row of source pixels begins in the list of bad ones
    int *bad                   # columns of these
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
    cdef Py_ssize_t row = (ROWS + width - 1) * COLUMNS, plane = plane_size(width)
    b.stride = COLUMNS + width - 1
    b.image_plane = (ROWS + width - 1) * 2 * half_row(width)
    b.terms = work
    b.totals = b.terms + n_terms(order) * area
    b.of_level = b.totals + n_terms(order)
    b.row = b.of_level + n_terms(order)
    b.outside = b.row + (order + 1) * area
    b.kernels = b.outside + (order + 1) * (width // 2 + 2)
    b.sums = b.kernels + TILE_ROWS * (order + 1) * area
    b.distance = b.sums + (order + 1) * TILE_ROWS * COLUMNS
    b.squared = b.distance + COLUMNS
    b.steps = b.squared + b.stride
    b.image = b.steps + b.stride
    b.weights = b.image + patch
    b.good = b.weights + patch
    b.total = b.good + COLUMNS
    b.of_image = <pattern *> (b.total + COLUMNS)
    b.of_variance = b.of_image + order + 1
    b.single_terms = <float *> (b.of_variance + 2 * order + 1)
    b.masks = b.single_terms + n_terms(order) * 3 * plane
    b.taps = b.masks + (order + 1) * 3 * plane
    b.squares = b.taps + TILE_ROWS * (order + 1) * PLANES * plane
    b.singles = b.squares + TILE_ROWS * (2 * order + 1) * 3 * plane
    b.even_odd = b.singles + b.stride
    b.image_planes = b.even_odd + 2 * (half_row(width) + MARGIN)
    b.variance = b.image_planes + PRODUCTS * b.image_plane
    b.distances = b.variance + patch
    b.products = b.distances + COLUMNS
    b.partial = b.products + (order + 1) * PRODUCTS * TILE_ROWS * PAIRS
    b.variances = b.partial + TILE_ROWS * COLUMNS
    b.places = <place *> (b.variances + TILE_ROWS * COLUMNS)
    b.n_double = <int *> (b.places + plane + (2 * order + 1) * area)
    b.n_all = b.n_double + order + 1
    b.enough = b.n_all + order + 1
    b.starts = b.enough + COLUMNS
    b.bad = b.starts + ROWS + width
    b.across = b.bad + patch
    b.seen = b.across + row
    return <double *> (b.seen + ROWS * COLUMNS + 1) - work + 1


def work_size(int order, Py_ssize_t width):
    """Length of the work array that `convolve_exactly` needs per thread."""
    cdef Block b
    cdef double start
    return lay_out(&b, order, width, &start)


include "exact_kernel.pxi"
include "exact_pixels.pxi"
include "exact_sums.pxi"
include "exact_flags.pxi"


# -- the whole ---------------------------------------------------------------------------------------

cdef void convolve_block(int kind, float level, const double *background, int background_order, const Kernel *k,
                         const Block *b, float[:, ::1] image_out, float[:, ::1] variance_out) noexcept nogil:
    cdef Py_ssize_t y = 0, n
    while y < b.ny:
        n = TILE_ROWS if b.ny - y >= TILE_ROWS else 1
        render_rows(k, b, y, n)
        if kind != NO_VARIANCE:
            convolve_variance(kind, k, b, y, n, variance_out)
        mix_rows(k, b, n)
        sum_image(level, k, b, y, n)
        put_image(background, background_order, k, b, y, n, image_out)
        y += n


cdef void convolve_band(Py_ssize_t band, int kind, const float[:, ::1] image, const float[:, ::1] variance,
                        const int[:, ::1] flags, const Kernel *k, double inverse_gain, double read_variance,
                        double good_fraction, float level, const double *background, int background_order,
                        float[:, ::1] image_out, float[:, ::1] variance_out, int[:, ::1] flags_out,
                        double *work) noexcept nogil:
    cdef Py_ssize_t x, half = k.width // 2, column
    cdef float lowest = 0, highest = 0
    cdef int block_kind
    cdef Block b
    lay_out(&b, k.order, k.width, work)
    b.y0 = band * ROWS + half
    b.ny = min(ROWS, image.shape[0] - half - b.y0)
    if b.ny <= 0 or image.shape[1] < k.width:
        return
    b.middle_y = 0.5 * (k.y[b.y0] + k.y[b.y0 + b.ny - 1])
    add_taps(k, b.totals)
    find_patterns(kind, k, &b)
    for x in range(k.order + 1):
        b.n_all[x] = <int> half + 1
    for column in range((image.shape[1] - k.width + COLUMNS) // COLUMNS):
        b.x0 = half + column * COLUMNS
        b.nx = min(COLUMNS, image.shape[1] - half - b.x0)
        b.middle_x = 0.5 * (k.x[b.x0] + k.x[b.x0 + b.nx - 1])
        for x in range(COLUMNS):
            b.distance[x] = k.x[b.x0 + min(x, b.nx - 1)] - b.middle_x
            b.distances[x] = <float> b.distance[x]
        shift(k.order, k.area, &b, k.terms, b.terms)
        shift(k.order, 1, &b, b.totals, b.of_level)
        if image_out.shape[0] > 0:
            if kind != NO_VARIANCE:
                gather_variance(image, variance, inverse_gain, read_variance, k, &b)
                find_range(k, &b, &lowest, &highest)
            weigh_rings(k, &b)
            gather(image, level, k, &b)
            choose_precision(k, &b)
            prepare_singles(k, &b)
            block_kind = kind
            if kind == SQUARE_VARIANCE and not choose_squares(lowest, highest, k, &b):
                convolve_variance_tap_by_tap(k, &b, variance_out)
                block_kind = NO_VARIANCE
            convolve_block(block_kind, level, background, background_order, k, &b, image_out, variance_out)
        if flags_out.shape[0] > 0:
            convolve_flags(flags, good_fraction, k, &b, flags_out)


def n_bands(Py_ssize_t n_rows, Py_ssize_t width):
    """How many bands of rows `convolve_exactly` works on."""
    return max(0, n_rows - width + ROWS) // ROWS


def convolve_exactly(const float[:, ::1] image, const float[:, ::1] variance, const int[:, ::1] flags,
                     const double[:, ::1] terms, int order, const double[::1] x, const double[::1] y,
                     bint plain_variance, double inverse_gain, double read_variance, double good_fraction, float level,
                     const double[::1] background, int background_order, float[:, ::1] image_out,
                     float[:, ::1] variance_out, int[:, ::1] flags_out, double[:, ::1] work, Py_ssize_t first,
                     Py_ssize_t stop):
    """Convolve bands ``first`` to ``stop`` of rows with the kernel of each pixel.

    ``terms`` are what multiplies the monomials of ``order``, p outer, flattened and from the last pixel to the first;
    ``x`` and ``y`` are the normalised positions of all columns and rows.  ``level`` is that of the sky, which is taken
    off for precision; ``background`` has the coefficients of a polynomial to be added, of order -1 if there is none. An
    output of shape (0, 0) leaves its part out, that of the image the variance too; ``flags_out`` is
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
    k.plane = plane_size(k.width)
    if variance_out.shape[0] > 0:
        kind = PLAIN_VARIANCE if plain_variance else SQUARE_VARIANCE
    for band in prange(first, stop, nogil=True, schedule='dynamic', num_threads=n_threads):
        convolve_band(band, kind, image, variance, flags, &k, inverse_gain, read_variance, good_fraction, level,
                      added, background_order, image_out, variance_out, flags_out, &work[threadid(), 0])
