# Block convolution with the compiler's vector types, as wide as the instruction set that this is compiled for has them.
#
# A tile of outputs stays in registers while one row of pixels slides over one row of taps for each output row; pixels
# are loaded once for all rows of the tile, taps once for all its columns.  Sums in single precision err by up to 2e-6
# of the brightest pixel.  That will do for variances.  Of images the level of the sky is taken off first, and rows with
# pixels much brighter than the sky scatters are summed in double precision: what is left is of the order of 1e-5 of the
# noise.
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
    typedef double hp_doubles __attribute__((vector_size(4 * HP_LANES)));
    typedef double hp_unaligned_doubles __attribute__((vector_size(4 * HP_LANES), aligned(8)));
    static const hp_doubles hp_double_zeros = {0};
    /* without this the compiler would make one function of all its uses, and keep the tile in memory */
    static inline __attribute__((always_inline)) void hp_convolve_tile(int, int, const float *, const float *,
                                                                       Py_ssize_t, float *, Py_ssize_t);
    static inline __attribute__((always_inline)) void hp_convolve_exact_tile(int, int, const double *, const double *,
                                                                             Py_ssize_t, double *, Py_ssize_t);
    """
    enum:
        LANES "HP_LANES"
    ctypedef float floats "hp_floats"
    ctypedef float unaligned "hp_unaligned"
    ctypedef double doubles "hp_doubles"
    ctypedef double unaligned_doubles "hp_unaligned_doubles"
    doubles double_zeros "hp_double_zeros"

cdef enum:
    TILE = 12                  # vectors of outputs, so that they and what feeds them stay in 16 registers

cdef double BRIGHT = 5         # times the scatter of the sky, from there on a pixel is bright

ctypedef float number          # of patches and taps

include "blocks.pxi"


cdef inline Py_ssize_t padded(Py_ssize_t columns) noexcept nogil:
    """Columns of output that whole vectors cover, two at least."""
    return max(2, (columns + LANES - 1) // LANES) * LANES


cdef void render(const Kernels *k, const double *x_terms, const double *y_terms, double *kernel) noexcept nogil:
    """Kernel at the position where the spatial terms have these factors in x and y (6.4)."""
    cdef Py_ssize_t p, t
    cdef double a
    for p in range(k.area):
        kernel[p] = k.constant[p]
    for t in range(k.n_terms):
        a = x_terms[t] * y_terms[t]
        for p in range(k.area):
            kernel[p] = kernel[p] + a * k.varying[t * k.area + p]


cdef inline void convolve_tile "hp_convolve_tile" (int n_rows, int n_columns, const float *pixels, const float *taps,
                                                   Py_ssize_t width, float *sums, Py_ssize_t stride) noexcept nogil:
    """One row of pixels for ``n_rows`` output rows; the first meets the row of taps ``taps``, the next the one before.

    The counts are constants where this is called, so that the compiler can unroll the loops and keep all of the tile
    in registers.
    """
    cdef Py_ssize_t i
    cdef int row, column
    cdef float tap
    cdef floats[TILE] tile
    cdef floats[3] source
    for row in range(n_rows):
        for column in range(n_columns):
            tile[row * n_columns + column] = (<unaligned *> (sums + row * stride + column * LANES))[0]
    for i in range(width):
        for column in range(n_columns):
            source[column] = (<const unaligned *> (pixels + i + column * LANES))[0]
        for row in range(n_rows):
            tap = taps[i - row * width]
            for column in range(n_columns):
                tile[row * n_columns + column] = tile[row * n_columns + column] + tap * source[column]
    for row in range(n_rows):
        for column in range(n_columns):
            (<unaligned *> (sums + row * stride + column * LANES))[0] = tile[row * n_columns + column]


cdef inline void convolve_exact_tile "hp_convolve_exact_tile" (int n_rows, int n_columns, const double *pixels,
                                                               const double *taps, Py_ssize_t width, double *sums,
                                                               Py_ssize_t stride) noexcept nogil:
    """The same in double precision; its vectors hold half as many outputs."""
    cdef Py_ssize_t i
    cdef int row, column
    cdef double tap
    cdef doubles[TILE] tile
    cdef doubles[3] source
    for row in range(n_rows):
        for column in range(n_columns):
            tile[row * n_columns + column] = double_zeros
    for i in range(width):
        for column in range(n_columns):
            source[column] = (<const unaligned_doubles *> (pixels + i + column * (LANES // 2)))[0]
        for row in range(n_rows):
            tap = taps[i - row * width]
            for column in range(n_columns):
                tile[row * n_columns + column] = tile[row * n_columns + column] + tap * source[column]
    for row in range(n_rows):
        for column in range(n_columns):
            i = row * stride + column * (LANES // 2)
            (<unaligned_doubles *> (sums + i))[0] = (<unaligned_doubles *> (sums + i))[0] \
                + tile[row * n_columns + column]


cdef void convolve_exact_rows(int n, int n_columns, const double *pixels, const double *taps, Py_ssize_t width,
                              double *sums, Py_ssize_t stride) noexcept nogil:
    cdef int half
    for half in range(2):
        if n_columns == 3:
            if n == 4:
                convolve_exact_tile(4, 3, pixels, taps, width, sums, stride)
            elif n == 3:
                convolve_exact_tile(3, 3, pixels, taps, width, sums, stride)
            elif n == 2:
                convolve_exact_tile(2, 3, pixels, taps, width, sums, stride)
            else:
                convolve_exact_tile(1, 3, pixels, taps, width, sums, stride)
        elif n == 6:
            convolve_exact_tile(6, 2, pixels, taps, width, sums, stride)
        elif n == 5:
            convolve_exact_tile(5, 2, pixels, taps, width, sums, stride)
        elif n == 4:
            convolve_exact_tile(4, 2, pixels, taps, width, sums, stride)
        elif n == 3:
            convolve_exact_tile(3, 2, pixels, taps, width, sums, stride)
        elif n == 2:
            convolve_exact_tile(2, 2, pixels, taps, width, sums, stride)
        else:
            convolve_exact_tile(1, 2, pixels, taps, width, sums, stride)
        pixels += n_columns * (LANES // 2)
        sums += n_columns * (LANES // 2)


cdef void convolve_rows(int n, int n_columns, const float *pixels, const float *taps, Py_ssize_t width, float *sums,
                        Py_ssize_t stride) noexcept nogil:
    if n_columns == 3:
        if n == 4:
            convolve_tile(4, 3, pixels, taps, width, sums, stride)
        elif n == 3:
            convolve_tile(3, 3, pixels, taps, width, sums, stride)
        elif n == 2:
            convolve_tile(2, 3, pixels, taps, width, sums, stride)
        else:
            convolve_tile(1, 3, pixels, taps, width, sums, stride)
    elif n == 6:
        convolve_tile(6, 2, pixels, taps, width, sums, stride)
    elif n == 5:
        convolve_tile(5, 2, pixels, taps, width, sums, stride)
    elif n == 4:
        convolve_tile(4, 2, pixels, taps, width, sums, stride)
    elif n == 3:
        convolve_tile(3, 2, pixels, taps, width, sums, stride)
    elif n == 2:
        convolve_tile(2, 2, pixels, taps, width, sums, stride)
    else:
        convolve_tile(1, 2, pixels, taps, width, sums, stride)


cdef void convolve_strip(const Block *b, const float *patch, const float *taps, const double *exact, Py_ssize_t x0,
                         int n_columns) noexcept nogil:
    """All rows of ``n_columns`` vectors of outputs from column ``x0`` on.

    Each row of pixels goes to the output rows whose footprint it lies in, in groups of nearly equal size.
    """
    cdef Py_ssize_t s, y, last, n_groups
    cdef int n, most = TILE // n_columns
    for y in range(1, b.ny + 1):
        n_groups = (y + most - 1) // most
        b.group[y] = <int> ((y + n_groups - 1) // n_groups)
    for s in range(b.ny + b.width - 1):
        y = max(0, s - b.width + 1)
        last = min(b.ny - 1, s)
        while y <= last:
            n = b.group[last - y + 1]
            if exact != NULL and b.bright[s]:
                convolve_exact_rows(n, n_columns, exact + s * b.patch_stride + x0, b.kernel + (s - y) * b.width,
                                    b.width, b.sums + y * b.stride + x0, b.stride)
            else:
                convolve_rows(n, n_columns, patch + s * b.patch_stride + x0, taps + (s - y) * b.width, b.width,
                              b.singles + y * b.stride + x0, b.stride)
            y += n


cdef double middle(double *values, Py_ssize_t n) noexcept nogil:
    """Median, roughly, of some values, which get sorted."""
    cdef Py_ssize_t i, k
    cdef double v
    for i in range(1, n):
        v = values[i]
        k = i
        while k > 0 and values[k - 1] > v:
            values[k] = values[k - 1]
            k -= 1
        values[k] = v
    return values[n // 2]


cdef double row_level(const float *row, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t x
    cdef float total = 0
    for x in range(n):
        total += row[x]
    return total / n


cdef bint centre_row(float *row, Py_ssize_t n, float level, float limit, double *exact) noexcept nogil:
    """Take the level off a row of pixels, in double precision if one lies beyond the limit; tell whether it does."""
    cdef Py_ssize_t x
    cdef int n_bright = 0
    for x in range(n):
        n_bright += not fabsf(row[x] - level) <= limit
    if n_bright:
        for x in range(n):
            exact[x] = <double> row[x] - level
    else:
        for x in range(n):
            row[x] = row[x] - level
    return n_bright > 0


cdef double row_scatter(const float *row, Py_ssize_t n, float level) noexcept nogil:
    """Mean distance of some of the pixels from a level."""
    cdef Py_ssize_t x
    cdef float total = 0
    for x in range(n // 2):
        total += fabsf(row[x] - level)
    return 2 * total / n


cdef double centre(const Block *b) noexcept nogil:
    """Take the sky off the source pixels, and find the rows with bright ones; return its level."""
    cdef Py_ssize_t s, n_rows = b.ny + b.width - 1, n = b.nx + b.width - 1
    cdef float level                                 # so that what is taken off is just what is added again
    cdef double scatter
    for s in range((n_rows + 1) // 2):               # every other row will do
        b.row_values[s] = row_level(b.image + 2 * s * b.patch_stride, n)
    level = <float> middle(b.row_values, (n_rows + 1) // 2)
    if not isfinite(level):
        level = 0
    for s in range(n_rows):
        b.row_values[s] = row_scatter(b.image + s * b.patch_stride, n, level)
    scatter = b.row_values[0]
    for s in range(1, n_rows):
        scatter = min(scatter, b.row_values[s])
    for s in range(n_rows):
        b.bright[s] = centre_row(b.image + s * b.patch_stride, n, level, BRIGHT * scatter,
                                 b.exact + s * b.patch_stride)
    return level


cdef void convolve_image(const Block *b) noexcept nogil:
    """The image of a block."""
    cdef Py_ssize_t p
    cdef double level = centre(b), total = 0
    for p in range(b.width * b.width):
        total += b.kernel[p]
    for p in range(b.ny * b.stride):
        b.sums[p] = level * total
    convolve_block(b, b.image, b.taps, b.exact)


cdef void convolve_variance(const Block *b) noexcept nogil:
    """The variance of a block; nobody needs seven digits of a noise."""
    cdef Py_ssize_t p
    for p in range(b.ny * b.stride):
        b.sums[p] = 0
    convolve_block(b, b.variance, b.variance_taps, NULL)


cdef void convolve_block(const Block *b, const float *patch, const float *taps, const double *exact) noexcept nogil:
    """Add all strips of a block to its sums; the last vector of a row may reach beyond it, where memory is there."""
    cdef Py_ssize_t x = 0, p, end = padded(b.nx)
    cdef int n_columns
    for p in range(b.ny * b.stride):
        b.singles[p] = 0
    while x < end:
        n_columns = 2 if (end - x) // LANES == 2 or (end - x) // LANES == 4 else 3
        convolve_strip(b, patch, taps, exact, x, n_columns)
        x += n_columns * LANES
    for p in range(b.ny * b.stride):
        b.sums[p] += b.singles[p]
