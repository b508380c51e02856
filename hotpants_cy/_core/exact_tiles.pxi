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
    static const hp_floats hp_no_floats = 0;
    static const hp_doubles hp_no_doubles = 0;
    HP_INLINE hp_doubles hp_size(hp_doubles v) {return fabs(v);}
    #endif
    HP_INLINE hp_floats hp_spread(float v) {return v - hp_no_floats;}
    HP_INLINE hp_doubles hp_spread_double(double v) {return v - hp_no_doubles;}
    /* without this the compiler would make one function of all uses, and keep the tile in memory */
    HP_INLINE void hp_double_tile(int, Py_ssize_t, const double *, Py_ssize_t, const double *, Py_ssize_t, Py_ssize_t,
                                  double *, Py_ssize_t);
    HP_INLINE void hp_single_tile(int, int, int, const float *, const float *, Py_ssize_t, const float *, Py_ssize_t,
                                  const float *, float *, float *);
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
    FOLD = 64                  # so many terms are summed in single precision before their sum is put aside
    NO_VARIANCE = 0
    PLAIN_VARIANCE = 1         # convolved with the kernel
    SQUARE_VARIANCE = 2        # convolved with its square


cdef inline void double_tile "hp_double_tile" (int n_rows, Py_ssize_t n, const double *pixels, Py_ssize_t stride,
                                               const double *taps, Py_ssize_t far, Py_ssize_t width, double *sums,
                                               Py_ssize_t sums_stride) noexcept nogil:
    """Add ``n`` rows of pixels to ``n_rows`` output rows, each of which has a kernel of its own.

    ``taps`` is the row of the first kernel that the first row of pixels meets; the next kernel,
    ``far`` away, is one row behind.
    """
    cdef Py_ssize_t i, s
    cdef int row, column
    cdef double tap
    cdef doubles[TILE_ROWS * TILE_COLUMNS] tile
    cdef doubles[TILE_COLUMNS] source
    for row in range(n_rows):
        for column in range(TILE_COLUMNS):
            tile[row * TILE_COLUMNS + column] = \
                (<unaligned_doubles *> (sums + row * sums_stride + column * DOUBLES))[0]
    for s in range(n):
        for i in range(width):
            for column in range(TILE_COLUMNS):
                source[column] = (<const unaligned_doubles *> (pixels + s * stride + i + column * DOUBLES))[0]
            for row in range(n_rows):
                tap = taps[row * (far - width) + s * width + i]
                for column in range(TILE_COLUMNS):
                    tile[row * TILE_COLUMNS + column] = tile[row * TILE_COLUMNS + column] + tap * source[column]
    for row in range(n_rows):
        for column in range(TILE_COLUMNS):
            (<unaligned_doubles *> (sums + row * sums_stride + column * DOUBLES))[0] = \
                tile[row * TILE_COLUMNS + column]


cdef inline void single_tile "hp_single_tile" (int order, bint sloped, int kind, const float *pixels,
                                               const float *variances, Py_ssize_t stride, const float *taps,
                                               Py_ssize_t width, const float *distance, float *slopes,
                                               float *sums) noexcept nogil:
    """Sums of one tile with the mean slope of the kernel from the middle to each pixel, if wanted, and of its variance.

    ``taps`` are the kernel in the middle, then what multiplies the powers of the ``distance`` to it.
    """
    cdef Py_ssize_t i, j, p, area = width * width, fold = max(1, FOLD // width)
    cdef int column, k
    cdef floats slope, tap
    cdef floats[TILE_COLUMNS] d, image, variance, image_sum, variance_sum
    for column in range(TILE_COLUMNS):
        d[column] = (<const unaligned *> (distance + column * FLOATS))[0]
        image[column] = variance[column] = image_sum[column] = variance_sum[column] = no_floats
    for j in range(width):
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
        if (j + 1) % fold == 0 or j == width - 1:
            for column in range(TILE_COLUMNS):
                image_sum[column] = image_sum[column] + image[column]
                variance_sum[column] = variance_sum[column] + variance[column]
                image[column] = variance[column] = no_floats
    for column in range(TILE_COLUMNS):
        (<unaligned *> (slopes + column * FLOATS))[0] = image_sum[column]
        (<unaligned *> (sums + column * FLOATS))[0] = variance_sum[column]


cdef void weigh_tile(int order, const double *weights, Py_ssize_t stride, const double *taps, const double *distance,
                     Py_ssize_t width, double *good, double *total) noexcept nogil:
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
