# Inner loops of `exact.pyx`, with the vector types of the compiler; other compilers take numbers one by one.
cdef extern from *:
    """
    #if defined(__GNUC__)
    #if defined(__AVX__)
    #define HP_FLOATS 8
    #else
    #define HP_FLOATS 4
    #endif
    #define HP_DOUBLES (HP_FLOATS / 2)
    typedef float hp_floats __attribute__((vector_size(4 * HP_FLOATS)));
    typedef float hp_unaligned __attribute__((vector_size(4 * HP_FLOATS), aligned(4)));
    typedef double hp_doubles __attribute__((vector_size(4 * HP_FLOATS)));
    typedef double hp_unaligned_doubles __attribute__((vector_size(4 * HP_FLOATS), aligned(8)));
    typedef long long hp_bits __attribute__((vector_size(4 * HP_FLOATS)));
    #define HP_INLINE static inline __attribute__((always_inline))
    #define HP_APART static __attribute__((noinline))
    static const hp_floats hp_no_floats = {0};
    static const hp_doubles hp_no_doubles = {0};
    HP_INLINE hp_doubles hp_size(hp_doubles v) {return (hp_doubles) ((hp_bits) v & 0x7fffffffffffffffLL);}
    #else
    #include <math.h>
    #define HP_FLOATS 1
    #define HP_DOUBLES 1
    typedef float hp_floats;
    typedef float hp_unaligned;
    typedef double hp_doubles;
    typedef double hp_unaligned_doubles;
    #define HP_INLINE static __inline
    #define HP_APART static
    static const hp_floats hp_no_floats = 0;
    static const hp_doubles hp_no_doubles = 0;
    HP_INLINE hp_doubles hp_size(hp_doubles v) {return fabs(v);}
    #endif
    HP_INLINE hp_floats hp_spread(float v) {return v - hp_no_floats;}
    HP_INLINE hp_doubles hp_spread_double(double v) {return v - hp_no_doubles;}
    /* without this the compiler would make one function of all uses, and keep the tile in memory ... */
    HP_INLINE void hp_double_tile(int, int, Py_ssize_t, const double *, Py_ssize_t, const double *, Py_ssize_t,
                                  Py_ssize_t, double *, Py_ssize_t);
    HP_INLINE void hp_single_tile(int, int, int, Py_ssize_t, const float *, const float *, Py_ssize_t, const float *,
                                  Py_ssize_t, const float *, float *, float *);
    HP_INLINE void hp_weight_tile(int, const double *, Py_ssize_t, const double *, Py_ssize_t, const double *,
                                  double *, double *);
    /* ... and in one large function the registers would not suffice */
    HP_APART void hp_add_tile_rows(Py_ssize_t, const double *, Py_ssize_t, const double *, Py_ssize_t, Py_ssize_t,
                                   double *, Py_ssize_t);
    HP_APART void hp_add_row(Py_ssize_t, const double *, Py_ssize_t, const double *, Py_ssize_t, Py_ssize_t, double *);
    HP_APART void hp_add_singles(int, int, int, Py_ssize_t, const float *, const float *, Py_ssize_t, const float *,
                                 Py_ssize_t, const float *, float *, float *);
    HP_APART void hp_weigh(int, const double *, Py_ssize_t, const double *, Py_ssize_t, const double *, double *,
                           double *);
    """
    enum:
        FLOATS "HP_FLOATS"
        DOUBLES "HP_DOUBLES"
    ctypedef float floats "hp_floats"
    ctypedef float unaligned "hp_unaligned"
    ctypedef double doubles "hp_doubles"
    ctypedef double unaligned_doubles "hp_unaligned_doubles"
    floats no_floats "hp_no_floats"
    doubles no_doubles "hp_no_doubles"
    floats spread "hp_spread" (float) noexcept nogil
    doubles spread_double "hp_spread_double" (double) noexcept nogil
    doubles size_of "hp_size" (doubles) noexcept nogil

cdef enum:
    TILE_ROWS = 4              # of doubles, so that a tile and what feeds it stay in 16 registers
    TILE_COLUMNS = 3           # vectors
    NO_VARIANCE = 0
    PLAIN_VARIANCE = 1         # convolved with the kernel
    SQUARE_VARIANCE = 2        # convolved with its square


cdef inline void double_tile "hp_double_tile" (int n_rows, int n_columns, Py_ssize_t n, const double *pixels,
                                               Py_ssize_t stride, const double *taps, Py_ssize_t far, Py_ssize_t width,
                                               double *sums, Py_ssize_t sums_stride) noexcept nogil:
    """Add ``n`` rows of pixels to ``n_rows`` output rows, each of which has a kernel of its own.

    ``taps`` is the row of the first kernel that the first row of pixels meets; the next kernel, ``far`` away, is one
    row behind.  The counts are constants where this is called, so that the compiler can unroll the loops.
    """
    cdef Py_ssize_t i, s
    cdef int row, column
    cdef double tap
    cdef doubles[TILE_ROWS * TILE_COLUMNS] tile
    cdef doubles[2 * TILE_COLUMNS] source
    for row in range(n_rows):
        for column in range(n_columns):
            tile[row * n_columns + column] = (<unaligned_doubles *> (sums + row * sums_stride + column * DOUBLES))[0]
    for s in range(n):
        for i in range(width):
            for column in range(n_columns):
                source[column] = (<const unaligned_doubles *> (pixels + s * stride + i + column * DOUBLES))[0]
            for row in range(n_rows):
                tap = taps[row * (far - width) + s * width + i]
                for column in range(n_columns):
                    tile[row * n_columns + column] = tile[row * n_columns + column] + tap * source[column]
    for row in range(n_rows):
        for column in range(n_columns):
            (<unaligned_doubles *> (sums + row * sums_stride + column * DOUBLES))[0] = tile[row * n_columns + column]


cdef void add_tile_rows "hp_add_tile_rows" (Py_ssize_t n, const double *pixels, Py_ssize_t stride, const double *taps,
                                            Py_ssize_t far, Py_ssize_t width, double *sums,
                                            Py_ssize_t sums_stride) noexcept nogil:
    """Add rows of pixels to the rows of a tile, for two tiles side by side."""
    cdef int k
    for k in range(2):
        double_tile(TILE_ROWS, TILE_COLUMNS, n, pixels + k * TILE_COLUMNS * DOUBLES, stride, taps, far, width,
                    sums + k * TILE_COLUMNS * DOUBLES, sums_stride)


cdef void add_row "hp_add_row" (Py_ssize_t n, const double *pixels, Py_ssize_t stride, const double *taps,
                                Py_ssize_t far, Py_ssize_t width, double *sums) noexcept nogil:
    """Add rows of pixels to one output row, as far as two tiles reach."""
    double_tile(1, 2 * TILE_COLUMNS, n, pixels, stride, taps, far, width, sums, 0)


cdef inline void single_tile "hp_single_tile" (int order, bint sloped, int kind, Py_ssize_t n, const float *pixels,
                                               const float *variances, Py_ssize_t stride, const float *taps,
                                               Py_ssize_t width, const float *distance, float *slopes,
                                               float *sums) noexcept nogil:
    """Add ``n`` rows with the mean slope of the kernel from the middle to each pixel, if wanted, and to the variance.

    ``taps`` are the kernel in the middle, then what multiplies the powers of the ``distance`` to it.
    """
    cdef Py_ssize_t i, j, p, area = width * width
    cdef int column, k
    cdef floats slope, tap
    cdef floats[TILE_COLUMNS] d, image, variance
    for column in range(TILE_COLUMNS):
        d[column] = (<const unaligned *> (distance + column * FLOATS))[0]
        image[column] = variance[column] = no_floats
    for j in range(n):
        for i in range(width):
            p = j * width + i
            for column in range(TILE_COLUMNS):
                tap = spread(taps[p])
                if order > 0:
                    slope = spread(taps[order * area + p])
                    for k in range(order - 1, 0, -1):
                        slope = slope * d[column] + taps[k * area + p]
                    tap = slope * d[column] + taps[p]
                    if sloped:
                        image[column] = image[column] \
                            + slope * (<const unaligned *> (pixels + j * stride + i + column * FLOATS))[0]
                if kind == SQUARE_VARIANCE:
                    tap = tap * tap
                if kind != NO_VARIANCE:
                    variance[column] = variance[column] \
                        + tap * (<const unaligned *> (variances + j * stride + i + column * FLOATS))[0]
    for column in range(TILE_COLUMNS):
        (<unaligned *> (slopes + column * FLOATS))[0] = (<unaligned *> (slopes + column * FLOATS))[0] + image[column]
        (<unaligned *> (sums + column * FLOATS))[0] = (<unaligned *> (sums + column * FLOATS))[0] + variance[column]


cdef void add_singles "hp_add_singles" (int order, bint sloped, int kind, Py_ssize_t n, const float *pixels,
                                        const float *variances, Py_ssize_t stride, const float *taps, Py_ssize_t width,
                                        const float *distance, float *slopes, float *sums) noexcept nogil:
    """The same, with what is often asked for as constants."""
    if kind == SQUARE_VARIANCE and order == 1:
        if sloped:
            single_tile(1, True, SQUARE_VARIANCE, n, pixels, variances, stride, taps, width, distance, slopes, sums)
        else:
            single_tile(1, False, SQUARE_VARIANCE, n, pixels, variances, stride, taps, width, distance, slopes, sums)
    elif kind == SQUARE_VARIANCE and order == 2:
        if sloped:
            single_tile(2, True, SQUARE_VARIANCE, n, pixels, variances, stride, taps, width, distance, slopes, sums)
        else:
            single_tile(2, False, SQUARE_VARIANCE, n, pixels, variances, stride, taps, width, distance, slopes, sums)
    elif kind == NO_VARIANCE and order == 1:
        single_tile(1, True, NO_VARIANCE, n, pixels, variances, stride, taps, width, distance, slopes, sums)
    elif kind == NO_VARIANCE and order == 2:
        single_tile(2, True, NO_VARIANCE, n, pixels, variances, stride, taps, width, distance, slopes, sums)
    else:
        single_tile(order, sloped, kind, n, pixels, variances, stride, taps, width, distance, slopes, sums)


cdef inline void weight_tile "hp_weight_tile" (int order, const double *weights, Py_ssize_t stride, const double *taps,
                                               Py_ssize_t width, const double *distance, double *good,
                                               double *total) noexcept nogil:
    """Sums of the size of the kernel, over pixels with weight and over all, for one tile of doubles."""
    cdef Py_ssize_t i, j, p, area = width * width
    cdef int column, k
    cdef doubles tap
    cdef doubles[TILE_COLUMNS] d, good_sum, total_sum
    for column in range(TILE_COLUMNS):
        d[column] = (<const unaligned_doubles *> (distance + column * DOUBLES))[0]
        good_sum[column] = total_sum[column] = no_doubles
    for j in range(width):
        for i in range(width):
            p = j * width + i
            for column in range(TILE_COLUMNS):
                tap = spread_double(taps[order * area + p])
                for k in range(order - 1, -1, -1):
                    tap = tap * d[column] + taps[k * area + p]
                tap = size_of(tap)
                total_sum[column] = total_sum[column] + tap
                good_sum[column] = good_sum[column] \
                    + tap * (<const unaligned_doubles *> (weights + j * stride + i + column * DOUBLES))[0]
    for column in range(TILE_COLUMNS):
        (<unaligned_doubles *> (good + column * DOUBLES))[0] = good_sum[column]
        (<unaligned_doubles *> (total + column * DOUBLES))[0] = total_sum[column]


cdef void weigh "hp_weigh" (int order, const double *weights, Py_ssize_t stride, const double *taps, Py_ssize_t width,
                            const double *distance, double *good, double *total) noexcept nogil:
    """The same, with the orders that are usual as constants."""
    if order == 1:
        weight_tile(1, weights, stride, taps, width, distance, good, total)
    elif order == 2:
        weight_tile(2, weights, stride, taps, width, distance, good, total)
    else:
        weight_tile(order, weights, stride, taps, width, distance, good, total)
