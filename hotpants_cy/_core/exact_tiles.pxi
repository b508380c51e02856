# Inner loops of `exact.pyx`, with the vector types of the compiler; other compilers take numbers one by one.
cdef extern from *:
    """
    #if defined(__GNUC__)
    #if defined(__AVX512F__)
    #define HP_FLOATS 16
    #define HP_TILE_ROWS 6      /* of 32 registers */
    #elif defined(__AVX__)
    #define HP_FLOATS 8
    #define HP_TILE_ROWS 4      /* of 16 registers */
    #else
    #define HP_FLOATS 4
    #define HP_TILE_ROWS 4
    #endif
    #define HP_DOUBLES (HP_FLOATS / 2)
    typedef float hp_floats __attribute__((vector_size(4 * HP_FLOATS)));
    typedef float hp_unaligned __attribute__((vector_size(4 * HP_FLOATS), aligned(4)));
    typedef double hp_doubles __attribute__((vector_size(4 * HP_FLOATS)));
    typedef double hp_unaligned_doubles __attribute__((vector_size(4 * HP_FLOATS), aligned(8)));
    typedef long long hp_bits __attribute__((vector_size(4 * HP_FLOATS)));
    #define HP_INLINE static inline __attribute__((always_inline))
    #define HP_APART static __attribute__((noinline))
    /* sums that are put aside shall not take registers meanwhile */
    #define hp_forget() __asm__ volatile ("" ::: "memory")
    static const hp_floats hp_no_floats = {0};
    static const hp_doubles hp_no_doubles = {0};
    typedef int hp_ints __attribute__((may_alias));
    HP_INLINE hp_doubles hp_size(hp_doubles v) {return (hp_doubles) ((hp_bits) v & 0x7fffffffffffffffLL);}
    #else
    #include <math.h>
    #define HP_FLOATS 1
    #define HP_DOUBLES 1
    #define HP_TILE_ROWS 4
    typedef float hp_floats;
    typedef float hp_unaligned;
    typedef double hp_doubles;
    typedef double hp_unaligned_doubles;
    typedef int hp_ints;
    #define HP_INLINE static __inline
    #define HP_APART static
    #define hp_forget()
    static const hp_floats hp_no_floats = 0;
    static const hp_doubles hp_no_doubles = 0;
    HP_INLINE hp_doubles hp_size(hp_doubles v) {return fabs(v);}
    #endif
    typedef struct {int pixel, tap;} hp_place;
    typedef struct {const hp_place *places; Py_ssize_t n, across, stride, below, far;} hp_pattern;
    HP_INLINE hp_doubles hp_spread_double(double v) {return v - hp_no_doubles;}
    /* without this the compiler would make one function of all uses, and keep the tile in memory ... */
    HP_INLINE void hp_slide_singles(int, int, const float *, const float *, const hp_pattern *, const float *,
                                    Py_ssize_t, Py_ssize_t, hp_floats *);
    HP_INLINE void hp_slide_doubles(int, int, const double *, const double *, const double *, Py_ssize_t, Py_ssize_t,
                                    Py_ssize_t, hp_doubles *);
    HP_INLINE void hp_single_tile(int, const float *, const hp_pattern *, const float *, float *, Py_ssize_t);
    HP_INLINE void hp_double_tile(int, const double *, Py_ssize_t, const double *, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                                  double *, Py_ssize_t);
    HP_INLINE void hp_weight_tile(int, int, const double *, Py_ssize_t, const double *, Py_ssize_t, const double *,
                                  double *, double *);
    HP_INLINE void hp_put_aside(int, int, hp_floats *, float *, Py_ssize_t);
    /* ... and in one large function the registers would not suffice */
    HP_APART void hp_add_singles(int, const float *, const hp_pattern *, const float *, float *, Py_ssize_t);
    HP_APART void hp_add_doubles(int, const double *, Py_ssize_t, const double *, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                                 double *, Py_ssize_t);
    HP_APART void hp_weigh(int, int, const double *, Py_ssize_t, const double *, Py_ssize_t, const double *, double *,
                           double *);
    """
    enum:
        FLOATS "HP_FLOATS"
        DOUBLES "HP_DOUBLES"
        TILE_ROWS "HP_TILE_ROWS"   # so that a tile and what feeds it stay in the registers
    ctypedef float floats "hp_floats"
    ctypedef float unaligned "hp_unaligned"
    ctypedef double doubles "hp_doubles"
    ctypedef double unaligned_doubles "hp_unaligned_doubles"
    ctypedef int bits "hp_ints"
    ctypedef struct place "hp_place":
        int pixel                  # how far from the first pixel of a footprint the one lies that a tap meets
        int tap                    # and the tap from the first one
    ctypedef struct pattern "hp_pattern":
        const place *places        # of the taps that count, or of triples of them, row by row
        Py_ssize_t n               # rows of taps,
        Py_ssize_t across          # and so many in each
        Py_ssize_t stride          # from one row of pixels to the next
        Py_ssize_t below           # from one row of taps to the next
        Py_ssize_t far             # from the kernel of one output row to that of the next
    floats no_floats "hp_no_floats"
    doubles no_doubles "hp_no_doubles"
    doubles spread_double "hp_spread_double" (double) noexcept nogil
    doubles size_of "hp_size" (doubles) noexcept nogil
    void forget "hp_forget" () noexcept nogil

cdef enum:
    COLUMNS = 96               # of a block: whole tiles, whatever the vectors hold
    TILE_COLUMNS = 3           # vectors
    FOLD = 64                  # products summed in single precision before their sum is put aside
    MOST_ROWS = 6
    MOST_VECTORS = 18          # of a tile


cdef inline void slide_singles "hp_slide_singles" (int n_rows, int n_upper, const float *upper, const float *lower,
                                                   const pattern *p, const float *taps, Py_ssize_t start,
                                                   Py_ssize_t stop, floats *tile) noexcept nogil:
    """Taps ``start`` to ``stop`` of a pattern, with pixels from ``upper`` for the first ``n_upper`` output rows.

    The first output row meets the row of its kernel in which they are; the next has a kernel of its own and meets the
    row before. The others have pixels from ``lower``, and meet rows further down by the height of the kernel.
    """
    cdef Py_ssize_t i
    cdef int row, column
    cdef place at
    cdef float tap
    cdef floats[TILE_COLUMNS] source
    cdef const float *kernels[MOST_ROWS]
    for row in range(n_rows):
        kernels[row] = taps + row * (p.far - p.below) + (0 if row < n_upper else p.n * p.below)
    for i in range(start, stop):
        at = p.places[i]
        for column in range(TILE_COLUMNS):
            source[column] = (<const unaligned *> (upper + at.pixel + column * FLOATS))[0]
        for row in range(n_upper):
            tap = kernels[row][at.tap]
            for column in range(TILE_COLUMNS):
                tile[row * TILE_COLUMNS + column] = tile[row * TILE_COLUMNS + column] + tap * source[column]
        for column in range(TILE_COLUMNS if n_upper < n_rows else 0):
            source[column] = (<const unaligned *> (lower + at.pixel + column * FLOATS))[0]
        for row in range(n_upper, n_rows):
            tap = kernels[row][at.tap]
            for column in range(TILE_COLUMNS):
                tile[row * TILE_COLUMNS + column] = tile[row * TILE_COLUMNS + column] + tap * source[column]


cdef inline void slide_doubles "hp_slide_doubles" (int n_rows, int n_upper, const double *upper, const double *lower,
                                                   const double *taps, Py_ssize_t far, Py_ssize_t width, Py_ssize_t n,
                                                   doubles *tile) noexcept nogil:
    """One row of pixels for the first ``n_upper`` output rows, another one, ``n`` rows below, for the rest.

    As above, but tap by tap and in double precision: ``far`` from kernel to kernel, of which ``n`` columns count.
    """
    cdef Py_ssize_t i
    cdef int row, column
    cdef double tap
    cdef doubles[TILE_COLUMNS] source
    for i in range(n):
        for column in range(TILE_COLUMNS):
            source[column] = (<const unaligned_doubles *> (upper + i + column * DOUBLES))[0]
        for row in range(n_upper):
            tap = taps[i + row * (far - width)]
            for column in range(TILE_COLUMNS):
                tile[row * TILE_COLUMNS + column] = tile[row * TILE_COLUMNS + column] + tap * source[column]
        for column in range(TILE_COLUMNS if n_upper < n_rows else 0):
            source[column] = (<const unaligned_doubles *> (lower + i + column * DOUBLES))[0]
        for row in range(n_upper, n_rows):
            tap = taps[i + n * width + row * (far - width)]
            for column in range(TILE_COLUMNS):
                tile[row * TILE_COLUMNS + column] = tile[row * TILE_COLUMNS + column] + tap * source[column]


cdef inline void put_aside "hp_put_aside" (int n_rows, bint add, floats *tile, float *sums,
                                           Py_ssize_t sums_stride) noexcept nogil:
    cdef int row, column
    cdef unaligned *out
    for row in range(n_rows):
        for column in range(TILE_COLUMNS):
            out = <unaligned *> (sums + row * sums_stride + column * FLOATS)
            out[0] = out[0] + tile[row * TILE_COLUMNS + column] if add else tile[row * TILE_COLUMNS + column]
            tile[row * TILE_COLUMNS + column] = no_floats
    forget()


cdef inline void single_tile "hp_single_tile" (int n_rows, const float *pixels, const pattern *p, const float *taps,
                                               float *sums, Py_ssize_t sums_stride) noexcept nogil:
    """Sums of products of one kind for some output rows, each of which has a kernel of its own.

    ``n_rows`` is constant where this is called, so that the compiler can unroll the loops and keep the tile in
    registers.  Above the rows that all outputs see are as many that only the first see as there are below that only the
    last see: they are taken together.  All others are one loop, since a tile is written to memory where a loop ends.
    """
    cdef Py_ssize_t start = (n_rows - 1) * p.across, stop = p.n * p.across
    cdef const float *lower = pixels + p.n * p.stride
    cdef int i
    cdef floats[MOST_VECTORS] tile
    for i in range(n_rows * TILE_COLUMNS):
        tile[i] = no_floats
        forget()                                     # so that this is no call of memset
    if n_rows > 1:
        slide_singles(n_rows, 1, pixels, lower, p, taps, 0, p.across, tile)
    if n_rows > 2:
        slide_singles(n_rows, 2, pixels, lower, p, taps, p.across, 2 * p.across, tile)
    if n_rows > 3:
        slide_singles(n_rows, 3, pixels, lower, p, taps, 2 * p.across, 3 * p.across, tile)
    if n_rows > 4:
        slide_singles(n_rows, 4, pixels, lower, p, taps, 3 * p.across, 4 * p.across, tile)
    if n_rows > 5:
        slide_singles(n_rows, 5, pixels, lower, p, taps, 4 * p.across, 5 * p.across, tile)
    slide_singles(n_rows, n_rows, pixels, NULL, p, taps, start, min(start + FOLD, stop), tile)
    put_aside(n_rows, False, tile, sums, sums_stride)
    start += FOLD
    while start < stop:
        slide_singles(n_rows, n_rows, pixels, NULL, p, taps, start, min(start + FOLD, stop), tile)
        put_aside(n_rows, True, tile, sums, sums_stride)
        start += FOLD


cdef void add_singles "hp_add_singles" (int n_rows, const float *pixels, const pattern *p, const float *taps,
                                        float *sums, Py_ssize_t sums_stride) noexcept nogil:
    cdef int row
    if n_rows == TILE_ROWS and p.n >= TILE_ROWS - 1:
        single_tile(TILE_ROWS, pixels, p, taps, sums, sums_stride)
    else:
        for row in range(n_rows):
            single_tile(1, pixels + row * p.stride, p, taps + row * p.far, sums + row * sums_stride, sums_stride)


cdef inline void double_tile "hp_double_tile" (int n_rows, const double *pixels, Py_ssize_t stride, const double *taps,
                                               Py_ssize_t far, Py_ssize_t width, Py_ssize_t n, double *sums,
                                               Py_ssize_t sums_stride) noexcept nogil:
    """The same in double precision, tap by tap and without putting aside."""
    cdef Py_ssize_t k
    cdef int row, column
    cdef doubles[MOST_VECTORS] tile
    for row in range(n_rows):
        for column in range(TILE_COLUMNS):
            tile[row * TILE_COLUMNS + column] = (<unaligned_doubles *> (sums + row * sums_stride + column * DOUBLES))[0]
    if n_rows > 1:
        slide_doubles(n_rows, 1, pixels, pixels + n * stride, taps, far, width, n, tile)
    if n_rows > 2:
        slide_doubles(n_rows, 2, pixels + stride, pixels + (n + 1) * stride, taps + width, far, width, n, tile)
    if n_rows > 3:
        slide_doubles(n_rows, 3, pixels + 2 * stride, pixels + (n + 2) * stride, taps + 2 * width, far, width, n, tile)
    if n_rows > 4:
        slide_doubles(n_rows, 4, pixels + 3 * stride, pixels + (n + 3) * stride, taps + 3 * width, far, width, n, tile)
    if n_rows > 5:
        slide_doubles(n_rows, 5, pixels + 4 * stride, pixels + (n + 4) * stride, taps + 4 * width, far, width, n, tile)
    for k in range(n_rows - 1, n):
        slide_doubles(n_rows, n_rows, pixels + k * stride, NULL, taps + k * width, far, width, n, tile)
    for row in range(n_rows):
        for column in range(TILE_COLUMNS):
            (<unaligned_doubles *> (sums + row * sums_stride + column * DOUBLES))[0] = tile[row * TILE_COLUMNS + column]


cdef void add_doubles "hp_add_doubles" (int n_rows, const double *pixels, Py_ssize_t stride, const double *taps,
                                        Py_ssize_t far, Py_ssize_t width, Py_ssize_t n, double *sums,
                                        Py_ssize_t sums_stride) noexcept nogil:
    cdef int row
    if n_rows == TILE_ROWS and n >= TILE_ROWS - 1:
        double_tile(TILE_ROWS, pixels, stride, taps, far, width, n, sums, sums_stride)
    else:
        for row in range(n_rows):
            double_tile(1, pixels + row * stride, stride, taps + row * far, far, width, n, sums + row * sums_stride,
                        sums_stride)


cdef inline void weight_tile "hp_weight_tile" (int order, bint squared, const double *weights, Py_ssize_t stride,
                                               const double *taps, Py_ssize_t width, const double *distance,
                                               double *weighted, double *total) noexcept nogil:
    """Sums of the size of the kernel, or of its square, times weights and alone, for one tile of doubles."""
    cdef Py_ssize_t i, j, p, area = width * width
    cdef int column, k
    cdef doubles tap
    cdef doubles[TILE_COLUMNS] d, weighted_sum, total_sum
    for column in range(TILE_COLUMNS):
        d[column] = (<const unaligned_doubles *> (distance + column * DOUBLES))[0]
        weighted_sum[column] = total_sum[column] = no_doubles
    for j in range(width):
        for i in range(width):
            p = j * width + i
            for column in range(TILE_COLUMNS):
                tap = spread_double(taps[order * area + p])
                for k in range(order - 1, -1, -1):
                    tap = tap * d[column] + taps[k * area + p]
                tap = tap * tap if squared else size_of(tap)
                total_sum[column] = total_sum[column] + tap
                weighted_sum[column] = weighted_sum[column] \
                    + tap * (<const unaligned_doubles *> (weights + j * stride + i + column * DOUBLES))[0]
    for column in range(TILE_COLUMNS):
        (<unaligned_doubles *> (weighted + column * DOUBLES))[0] = weighted_sum[column]
        (<unaligned_doubles *> (total + column * DOUBLES))[0] = total_sum[column]


cdef void weigh "hp_weigh" (int order, bint squared, const double *weights, Py_ssize_t stride, const double *taps,
                            Py_ssize_t width, const double *distance, double *weighted, double *total) noexcept nogil:
    """The same, with what is usual as constants."""
    if order == 1 and not squared:
        weight_tile(1, False, weights, stride, taps, width, distance, weighted, total)
    elif order == 2 and not squared:
        weight_tile(2, False, weights, stride, taps, width, distance, weighted, total)
    else:
        weight_tile(order, squared, weights, stride, taps, width, distance, weighted, total)


cdef double sum_of_sizes(const double *taps, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef doubles sums = no_doubles
    cdef double total = 0
    for i in range(n // DOUBLES):
        sums = sums + size_of((<const unaligned_doubles *> (taps + i * DOUBLES))[0])
    for i in range(n // DOUBLES * DOUBLES, n):
        total += fabs(taps[i])
    for i in range(DOUBLES):
        total += (<double *> &sums)[i]
    return total
