# Block convolution with the compiler's vector types, as wide as the instruction set that this is compiled for has them.
#
# A tile of outputs stays in registers while all rows of pixels slide over all rows of taps; pixels are loaded once for
# all rows of the tile, taps once for all its columns.  Sums in single precision err by up to 2e-6 of the brightest
# pixel.  Hence the level of the sky is taken off an image first, and pixels much brighter than the sky scatters are
# taken out and added one by one in double precision: what is left is of the order of 1e-5 of the noise.  Variances are
# positive, and nobody needs seven digits of them: taps that could not change the fifth are left out.
from libc.math cimport fabsf, isfinite

cdef extern from *:
    """
    #if defined(__AVX512F__)
    #define HP_LANES 16
    #elif defined(__AVX__)
    #define HP_LANES 8
    #else
    #define HP_LANES 4
    #endif
    typedef float hp_floats __attribute__((vector_size(4 * HP_LANES)));
    typedef float hp_unaligned __attribute__((vector_size(4 * HP_LANES), aligned(4)));
    typedef double hp_unaligned_doubles __attribute__((vector_size(4 * HP_LANES), aligned(8)));
    typedef int hp_bits __attribute__((may_alias));
    static const hp_floats hp_zeros = {0};
    /* without this the compiler would make one function of all its uses, and keep the tile in memory */
    static inline __attribute__((always_inline)) void hp_render_part(int, const double *, const double *, Py_ssize_t,
                                                                     const double *, const double *, Py_ssize_t,
                                                                     double *);
    static inline __attribute__((always_inline)) void hp_slide(int, int, int, const float *, const float *,
                                                               const float *, Py_ssize_t, hp_floats *);
    static inline __attribute__((always_inline)) void hp_convolve_tile(int, int, const float *, Py_ssize_t,
                                                                       const float *, Py_ssize_t, double *, Py_ssize_t);
    """
    enum:
        LANES "HP_LANES"
    ctypedef float floats "hp_floats"
    ctypedef float unaligned "hp_unaligned"
    ctypedef double unaligned_doubles "hp_unaligned_doubles"
    ctypedef int bits "hp_bits"
    floats zeros "hp_zeros"

cdef enum:
    PART = 2 * LANES           # of a kernel, that is rendered at a time
    TILE = 12                  # vectors of outputs, so that they and what feeds them stay in 16 registers
    HALF_LANES = LANES // 2    # of a vector of doubles
    SKY = 25                   # pixels that the sky is known from
    STRIDE = 17                # columns from one of them to the next
    MOST_BRIGHT = 4            # one pixel in so many, at most

cdef float BRIGHT = 8          # times the median distance from the sky, from there on a pixel is bright
cdef double NEGLIGIBLE = 2e-5  # of a variance: half of it is what the noise may be off

cdef float LARGEST = 3.4028235e38
cdef float SMALLEST = 1.1754944e-38

ctypedef float number          # of patches and taps

include "blocks.pxi"


cdef inline Py_ssize_t padded(Py_ssize_t columns) noexcept nogil:
    """Columns of output that whole vectors cover, two at least."""
    return max(2, (columns + LANES - 1) // LANES) * LANES


cdef inline Py_ssize_t turned_stride(Py_ssize_t width) noexcept nogil:
    """Length of a row of the turned kernel, with zeros for a vector on either side."""
    return width + LANES


cdef inline Py_ssize_t extra(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """How much more work memory the sums need: for the kernel turned round."""
    return width * turned_stride(width)


cdef inline void render_part "hp_render_part" (int n, const double *constant, const double *varying, Py_ssize_t area,
                                               const double *x_terms, const double *y_terms, Py_ssize_t n_terms,
                                               double *kernel) noexcept nogil:
    cdef Py_ssize_t t
    cdef int p
    cdef double a
    cdef double[PART] part
    for p in range(n):
        part[p] = constant[p]
    for t in range(n_terms):
        a = x_terms[t] * y_terms[t]
        for p in range(n):
            part[p] = part[p] + a * varying[t * area + p]
    for p in range(n):
        kernel[p] = part[p]


cdef void render(const Kernels *k, const double *x_terms, const double *y_terms, double *kernel) noexcept nogil:
    """Kernel at the position where the spatial terms have these factors in x and y (6.4); parts stay in registers."""
    cdef Py_ssize_t p = 0
    while p + PART <= k.area:
        render_part(PART, k.constant + p, k.varying + p, k.area, x_terms, y_terms, k.n_terms, kernel + p)
        p += PART
    while p < k.area:
        render_part(1, k.constant + p, k.varying + p, k.area, x_terms, y_terms, k.n_terms, kernel + p)
        p += 1


# -- tiles ----------------------------------------------------------------------------------------

cdef inline void slide "hp_slide" (int n_rows, int n_upper, int n_columns, const float *upper, const float *lower,
                                   const float *taps, Py_ssize_t width, floats *tile) noexcept nogil:
    """One row of pixels for the first ``n_upper`` output rows, another one for the rest.

    The first output row meets the row of taps ``taps``, the next the one before, and the rest are a kernel further.
    """
    cdef Py_ssize_t i
    cdef int row, column
    cdef float tap
    cdef floats[3] source
    for i in range(width):
        for column in range(n_columns):
            source[column] = (<const unaligned *> (upper + i + column * LANES))[0]
        for row in range(n_upper):
            tap = taps[i - row * width]
            for column in range(n_columns):
                tile[row * n_columns + column] = tile[row * n_columns + column] + tap * source[column]
        for column in range(n_columns if n_upper < n_rows else 0):
            source[column] = (<const unaligned *> (lower + i + column * LANES))[0]
        for row in range(n_upper, n_rows):
            tap = taps[i + (width - row) * width]
            for column in range(n_columns):
                tile[row * n_columns + column] = tile[row * n_columns + column] + tap * source[column]


cdef inline void convolve_tile "hp_convolve_tile" (int n_rows, int n_columns, const float *pixels, Py_ssize_t stride,
                                                   const float *taps, Py_ssize_t width, double *sums,
                                                   Py_ssize_t sums_stride) noexcept nogil:
    """Add ``n_rows`` rows of ``n_columns`` vectors to the sums; there is one row more than the kernel has, at most.

    The counts are constants where this is called, so that the compiler can unroll the loops and keep all of the tile
    in registers.  Above the last row that all outputs see are as many that only the first see as there are below that
    only the last see: they are taken together, and all registers are always in use.
    """
    cdef Py_ssize_t k
    cdef int row, column
    cdef floats[TILE] tile
    cdef float[LANES] lanes
    for row in range(n_rows * n_columns):
        tile[row] = zeros
    if n_rows > 1:
        slide(n_rows, 1, n_columns, pixels, pixels + width * stride, taps, width, tile)
    if n_rows > 2:
        slide(n_rows, 2, n_columns, pixels + stride, pixels + (width + 1) * stride, taps + width, width, tile)
    if n_rows > 3:
        slide(n_rows, 3, n_columns, pixels + 2 * stride, pixels + (width + 2) * stride, taps + 2 * width, width, tile)
    if n_rows > 4:
        slide(n_rows, 4, n_columns, pixels + 3 * stride, pixels + (width + 3) * stride, taps + 3 * width, width, tile)
    if n_rows > 5:
        slide(n_rows, 5, n_columns, pixels + 4 * stride, pixels + (width + 4) * stride, taps + 4 * width, width, tile)
    for k in range(n_rows - 1, width):
        slide(n_rows, n_rows, n_columns, pixels + k * stride, NULL, taps + k * width, width, tile)
    for row in range(n_rows):
        for column in range(n_columns):
            (<unaligned *> lanes)[0] = tile[row * n_columns + column]
            for k in range(LANES):
                sums[row * sums_stride + column * LANES + k] += lanes[k]


cdef void convolve_rows(int n, int n_columns, const float *pixels, Py_ssize_t stride, const float *taps,
                        Py_ssize_t width, double *sums, Py_ssize_t sums_stride) noexcept nogil:
    if n_columns == 3:
        if n == 4:
            convolve_tile(4, 3, pixels, stride, taps, width, sums, sums_stride)
        elif n == 3:
            convolve_tile(3, 3, pixels, stride, taps, width, sums, sums_stride)
        elif n == 2:
            convolve_tile(2, 3, pixels, stride, taps, width, sums, sums_stride)
        else:
            convolve_tile(1, 3, pixels, stride, taps, width, sums, sums_stride)
    elif n == 6:
        convolve_tile(6, 2, pixels, stride, taps, width, sums, sums_stride)
    elif n == 5:
        convolve_tile(5, 2, pixels, stride, taps, width, sums, sums_stride)
    elif n == 4:
        convolve_tile(4, 2, pixels, stride, taps, width, sums, sums_stride)
    elif n == 3:
        convolve_tile(3, 2, pixels, stride, taps, width, sums, sums_stride)
    elif n == 2:
        convolve_tile(2, 2, pixels, stride, taps, width, sums, sums_stride)
    else:
        convolve_tile(1, 2, pixels, stride, taps, width, sums, sums_stride)


cdef void convolve_block(const Block *b, const float *patch, Py_ssize_t width) noexcept nogil:
    """Add the sums of taps, ``width`` in a row, times pixels; ``patch`` is where the first tap meets the first.

    Rows go in groups of nearly equal size; the last vector of a row may reach beyond it, where memory is there.
    """
    cdef Py_ssize_t x = 0, y, end = padded(b.nx), most, n_groups
    cdef int n, n_columns
    while x < end:
        n_columns = 2 if (end - x) // LANES == 2 or (end - x) // LANES == 4 else 3
        most = min(TILE // n_columns, width + 1)
        y = 0
        while y < b.ny:
            n_groups = (b.ny - y + most - 1) // most
            n = <int> ((b.ny - y + n_groups - 1) // n_groups)
            convolve_rows(n, n_columns, patch + y * b.patch_stride + x, b.patch_stride, b.taps, width,
                          b.sums + y * b.stride + x, b.stride)
            y += n
        x += n_columns * LANES


# -- the image ------------------------------------------------------------------------------------

cdef float middle(float *values, int n) noexcept nogil:
    """Median of a few values, which get sorted."""
    cdef int i, k
    cdef float v
    for i in range(1, n):
        v = values[i]
        k = i
        while k > 0 and values[k - 1] > v:
            values[k] = values[k - 1]
            k -= 1
        values[k] = v
    return values[n // 2]


cdef void find_sky(const Block *b, Py_ssize_t nx, Py_ssize_t ny, float *level, float *scatter) noexcept nogil:
    """Level of the sky and scatter around it, from a few pixels in as many columns and rows."""
    cdef float[SKY] sky
    cdef float v
    cdef int i, n = 0
    for i in range(SKY):
        v = b.image[i * ny // SKY * b.patch_stride + i * STRIDE % nx]
        if isfinite(v):
            sky[n] = v
            n += 1
    if n == 0:
        sky[0] = 0
        n = 1
    level[0] = middle(sky, n)
    for i in range(n):
        sky[i] = fabsf(sky[i] - level[0])
    scatter[0] = middle(sky, n)


cdef inline bint is_bright(float height, float limit) noexcept nogil:
    # what is not finite may stay: it fills its footprint as it should
    return (fabsf(height) > limit) & (fabsf(height) <= LARGEST)


cdef Py_ssize_t count_bright(const float *row, Py_ssize_t n, float level, float limit) noexcept nogil:
    cdef Py_ssize_t x
    cdef int count = 0
    for x in range(n):
        count += is_bright(row[x] - level, limit)
    return count


cdef float bright_limit(const Block *b, Py_ssize_t nx, Py_ssize_t ny, float level, float scatter) noexcept nogil:
    """How far from the level pixels are bright; not so near that many are, or that they round as well as the level."""
    cdef Py_ssize_t s, count = nx * ny
    cdef float limit = max(BRIGHT * scatter, fabsf(level) / 32)
    while count > nx * ny // MOST_BRIGHT:
        count = 0
        for s in range(ny):
            count += count_bright(b.image + s * b.patch_stride, nx, level, limit)
        if count > nx * ny // MOST_BRIGHT:
            limit = max(4 * limit, SMALLEST)
    return limit


cdef void turn_kernel(const Block *b) noexcept nogil:
    """The kernel as a bright pixel spreads it, from the first pixel to the last."""
    cdef Py_ssize_t i, j, stride = turned_stride(b.width)
    for j in range(b.width):
        for i in range(b.width):
            b.more[j * stride + HALF_LANES + i] = b.kernel[(b.width - j) * b.width - 1 - i]


cdef void spread(const Block *b, Py_ssize_t px, Py_ssize_t py, double value) noexcept nogil:
    """Add what one source pixel gives to the outputs; whole vectors, with zeros beyond the kernel."""
    cdef Py_ssize_t x, y, first = max(0, px - b.width + 1) // HALF_LANES * HALF_LANES, end = min(b.nx, px + 1)
    cdef Py_ssize_t stride = turned_stride(b.width)
    cdef const double *turned
    cdef double *sums
    for y in range(max(0, py - b.width + 1), min(b.ny, py + 1)):
        turned = b.more + (y - py + b.width - 1) * stride + HALF_LANES - px + b.width - 1
        sums = b.sums + y * b.stride
        x = first
        while x < end:
            (<unaligned_doubles *> (sums + x))[0] = (<unaligned_doubles *> (sums + x))[0] \
                + value * (<const unaligned_doubles *> (turned + x))[0]
            x += HALF_LANES


cdef void centre_row(const Block *b, float *row, Py_ssize_t nx, Py_ssize_t y, float level, float limit) noexcept nogil:
    """Take the level off a row of pixels, and bright pixels out of it."""
    cdef Py_ssize_t x
    if count_bright(row, nx, level, limit):
        for x in range(nx):
            if is_bright(row[x] - level, limit):
                spread(b, x, y, <double> row[x] - level)
                row[x] = level
    for x in range(nx):
        row[x] = row[x] - level


cdef void convolve_image(const Block *b) noexcept nogil:
    """The image of a block, over the level of the sky."""
    cdef Py_ssize_t p, s, nx = b.nx + b.width - 1, ny = b.ny + b.width - 1
    cdef float level, scatter, limit
    cdef double total = 0
    find_sky(b, nx, ny, &level, &scatter)
    limit = bright_limit(b, nx, ny, level, scatter)
    for p in range(b.width * b.width):
        b.taps[p] = <float> b.kernel[p]
        total += b.kernel[p]
    for p in range(b.ny * b.stride):
        b.sums[p] = level * total
    turn_kernel(b)
    for s in range(ny):
        centre_row(b, b.image + s * b.patch_stride, nx, s, level, limit)
    convolve_block(b, b.image, b.width)


# -- the variance ---------------------------------------------------------------------------------

cdef void find_range(const Block *b, float *lowest, float *highest) noexcept nogil:
    """Lowest and highest variance; what is not a number is the highest."""
    cdef Py_ssize_t x, y
    cdef const bits *row
    cdef bits low, high
    # positive numbers are ordered as the integers of the same bits are, which compare faster
    low = high = (<const bits *> b.variance)[0]
    for y in range(b.ny + b.width - 1):
        row = <const bits *> (b.variance + y * b.patch_stride)
        for x in range(b.nx + b.width - 1):
            low = min(low, row[x])
            high = max(high, row[x])
    (<bits *> lowest)[0] = low
    (<bits *> highest)[0] = high


cdef double ring_weight(const Block *b, Py_ssize_t margin) noexcept nogil:
    """Sum of the squares of the taps that are so far from the edge of the kernel."""
    cdef Py_ssize_t i, n = b.width - 1 - 2 * margin, last = n * (b.width + 1)
    cdef const double *corner = b.kernel + margin * (b.width + 1)
    cdef double total = 0
    for i in range(n):                               # along the edges, each to the corner before the next
        total += corner[i]**2 + corner[last - i]**2 + corner[(i + 1) * b.width]**2 + corner[last - (i + 1) * b.width]**2
    return total


cdef Py_ssize_t negligible_margin(const Block *b) noexcept nogil:
    """How many taps on each side of the kernel hardly matter to a variance, whatever the pixels look like."""
    cdef Py_ssize_t p, margin = 0
    cdef double total = 0, outside = 0
    cdef float lowest, highest
    find_range(b, &lowest, &highest)
    for p in range(b.width * b.width):
        total += b.kernel[p]**2
    while margin < b.half:
        outside += ring_weight(b, margin)
        if not outside * highest <= NEGLIGIBLE * total * lowest:
            break
        margin += 1
    return margin


cdef void convolve_variance(const Block *b, bint plain) noexcept nogil:
    """The variance of a block, with the squares of the taps or, if ``plain``, with the taps."""
    cdef Py_ssize_t i, j, margin = 0 if plain else negligible_margin(b), width = b.width - 2 * margin
    cdef const double *row
    for j in range(width):
        row = b.kernel + (j + margin) * b.width + margin
        for i in range(width):
            b.taps[j * width + i] = <float> (row[i] if plain else row[i] * row[i])
    for i in range(b.ny * b.stride):
        b.sums[i] = 0
    convolve_block(b, b.variance + margin * (b.patch_stride + 1), width)
