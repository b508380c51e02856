# Sums of taps times pixels with the compiler's vector types, as wide as the instruction set that this is compiled for
# has them: a tile of outputs stays in registers while all rows of pixels slide over all rows of taps; pixels are loaded
# once for all rows of the tile, taps once for all its columns.
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
    typedef double hp_doubles __attribute__((vector_size(4 * HP_LANES)));
    static const hp_floats hp_zeros = {0};
    #define hp_forget() __asm__ volatile ("" ::: "memory")
    /* without this the compiler would make one function of all its uses, and keep the tile in memory */
    static inline __attribute__((always_inline)) void hp_slide(int, int, int, int, const float *, const float *,
                                                               Py_ssize_t, const float *, Py_ssize_t, Py_ssize_t,
                                                               hp_floats *);
    static inline __attribute__((always_inline)) void hp_climb(int, int, int, int, const float *, Py_ssize_t,
                                                               const float *, Py_ssize_t, Py_ssize_t, hp_floats *);
    static inline __attribute__((always_inline)) void hp_convolve_tile(int, int, int, const float *, Py_ssize_t,
                                                                       const float *, Py_ssize_t, Py_ssize_t, float *,
                                                                       Py_ssize_t);
    /* half a vector from one row of pixels and half from the next, where vectors are so wide that halves pay */
    #if HP_LANES == 16
    typedef float hp_half __attribute__((vector_size(32), aligned(4)));
    static inline hp_floats hp_join(const float *a, const float *b) {
        return __builtin_shufflevector(*(const hp_half *) a, *(const hp_half *) b,
                                       0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    }
    static inline void hp_part(hp_floats v, float *a, float *b) {
        *(hp_half *) a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
        *(hp_half *) b = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    }
    #else
    static inline hp_floats hp_join(const float *a, const float *b) { return hp_zeros; }
    static inline void hp_part(hp_floats v, float *a, float *b) {}
    #endif
    """
    enum:
        LANES "HP_LANES"
    ctypedef float floats "hp_floats"
    ctypedef float unaligned "hp_unaligned"
    ctypedef double doubles "hp_doubles"
    ctypedef double unaligned_doubles "hp_unaligned_doubles"
    ctypedef int bits "hp_bits"
    floats zeros "hp_zeros"
    void forget "hp_forget" () noexcept nogil
    floats join "hp_join" (const float *a, const float *b) noexcept nogil
    void part "hp_part" (floats v, float *a, float *b) noexcept nogil
    void prefetch "__builtin_prefetch" (const void *address, int to_write) noexcept nogil

cdef enum:
    TILE = 12                  # vectors of outputs, so that they and what feeds them stay in 16 registers
    PAIRED_ROWS = 11           # of outputs, and what pairs of them share: so many vectors stay in 32 registers
    PAIRED_TILE = 17
    HALF_LANES = LANES // 2    # of a vector of doubles


cdef inline Py_ssize_t padded(Py_ssize_t columns) noexcept nogil:
    """Columns of output that whole vectors cover, two at least."""
    return max(2, (columns + LANES - 1) // LANES) * LANES


cdef inline void slide "hp_slide" (int n_rows, int n_upper, int n_columns, int n_pairs, const float *upper,
                                   const float *lower, Py_ssize_t stride, const float *taps, Py_ssize_t width,
                                   Py_ssize_t height, floats *tile) noexcept nogil:
    """One row of pixels for the first ``n_upper`` output rows, another one for the rest.

    The first output row meets the row of taps ``taps``, the next the one before, and the rest are the height of the
    kernel further.  Pairs of output rows share a vector beyond the last whole one.
    """
    cdef Py_ssize_t i
    cdef int row, column, pair, upper_pairs = min(n_pairs, (n_upper + 1) // 2)
    cdef float tap
    cdef floats[3] source
    cdef floats *shared = tile + n_rows * n_columns
    for i in range(width):
        for column in range(n_columns):
            source[column] = (<const unaligned *> (upper + i + column * LANES))[0]
        for row in range(n_upper):
            tap = taps[i - row * width]
            for column in range(n_columns):
                tile[row * n_columns + column] = tile[row * n_columns + column] + tap * source[column]
        if n_pairs > 0:
            source[0] = join(upper + i + n_columns * LANES, upper + i + n_columns * LANES + stride)
        for pair in range(upper_pairs):
            shared[pair] = shared[pair] + taps[i - 2 * pair * width] * source[0]
        for column in range(n_columns if n_upper < n_rows else 0):
            source[column] = (<const unaligned *> (lower + i + column * LANES))[0]
        for row in range(n_upper, n_rows):
            tap = taps[i + (height - row) * width]
            for column in range(n_columns):
                tile[row * n_columns + column] = tile[row * n_columns + column] + tap * source[column]
        if upper_pairs < n_pairs:
            source[0] = join(lower + i + n_columns * LANES, lower + i + n_columns * LANES + stride)
        for pair in range(upper_pairs, n_pairs):
            shared[pair] = shared[pair] + taps[i + (height - 2 * pair) * width] * source[0]


cdef inline void climb "hp_climb" (int n_rows, int n_upper, int n_columns, int n_pairs, const float *pixels,
                                   Py_ssize_t stride, const float *taps, Py_ssize_t width, Py_ssize_t height,
                                   floats *tile) noexcept nogil:
    """The last row of pixels that only the first ``n_upper`` output rows see, and its like for the others."""
    slide(n_rows, n_upper, n_columns, n_pairs, pixels + (n_upper - 1) * stride,
          pixels + (height + n_upper - 1) * stride, stride, taps + (n_upper - 1) * width, width, height, tile)


cdef inline void convolve_tile "hp_convolve_tile" (int n_rows, int n_columns, int n_pairs, const float *pixels,
                                                   Py_ssize_t stride, const float *taps, Py_ssize_t width,
                                                   Py_ssize_t height, float *sums,
                                                   Py_ssize_t sums_stride) noexcept nogil:
    """Sums of ``n_rows`` rows of ``n_columns`` vectors; there is one row more than the kernel has, at most.

    The counts are constants where this is called, so that the compiler can unroll the loops and keep all of the tile
    in registers.  Above the last row that all outputs see are as many that only the first see as there are below that
    only the last see: they are taken together, and all registers are always in use.
    """
    cdef Py_ssize_t k
    cdef int row, column, n_vectors = n_rows * n_columns + n_pairs
    cdef floats[PAIRED_TILE] tile
    for row in range(n_vectors):
        tile[row] = zeros
        forget()                                     # so that this is no call of memset
    if n_rows > 1:
        climb(n_rows, 1, n_columns, n_pairs, pixels, stride, taps, width, height, tile)
    if n_rows > 2:
        climb(n_rows, 2, n_columns, n_pairs, pixels, stride, taps, width, height, tile)
    if n_rows > 3:
        climb(n_rows, 3, n_columns, n_pairs, pixels, stride, taps, width, height, tile)
    if n_rows > 4:
        climb(n_rows, 4, n_columns, n_pairs, pixels, stride, taps, width, height, tile)
    if n_rows > 5:
        climb(n_rows, 5, n_columns, n_pairs, pixels, stride, taps, width, height, tile)
    if n_rows > 6:
        climb(n_rows, 6, n_columns, n_pairs, pixels, stride, taps, width, height, tile)
    if n_rows > 7:
        climb(n_rows, 7, n_columns, n_pairs, pixels, stride, taps, width, height, tile)
    if n_rows > 8:
        climb(n_rows, 8, n_columns, n_pairs, pixels, stride, taps, width, height, tile)
    if n_rows > 9:
        climb(n_rows, 9, n_columns, n_pairs, pixels, stride, taps, width, height, tile)
    if n_rows > 10:
        climb(n_rows, 10, n_columns, n_pairs, pixels, stride, taps, width, height, tile)
    for k in range(n_rows - 1, height):
        slide(n_rows, n_rows, n_columns, n_pairs, pixels + k * stride, NULL, stride, taps + k * width, width, height,
              tile)
    for row in range(n_rows):
        for column in range(n_columns):
            (<unaligned *> (sums + row * sums_stride + column * LANES))[0] = tile[row * n_columns + column]
    for row in range(n_pairs):
        part(tile[n_rows * n_columns + row], sums + 2 * row * sums_stride + n_columns * LANES,
             sums + (2 * row + 1) * sums_stride + n_columns * LANES)


cdef void convolve_pairs(int n, const float *pixels, Py_ssize_t stride, const float *taps, Py_ssize_t width,
                         Py_ssize_t height, float *sums, Py_ssize_t sums_stride) noexcept nogil:
    """Rows of one vector and a half."""
    if n == 11:
        convolve_tile(11, 1, 6, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 10:
        convolve_tile(10, 1, 5, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 9:
        convolve_tile(9, 1, 5, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 8:
        convolve_tile(8, 1, 4, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 7:
        convolve_tile(7, 1, 4, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 6:
        convolve_tile(6, 1, 3, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 5:
        convolve_tile(5, 1, 3, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 4:
        convolve_tile(4, 1, 2, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 3:
        convolve_tile(3, 1, 2, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 2:
        convolve_tile(2, 1, 1, pixels, stride, taps, width, height, sums, sums_stride)
    else:
        convolve_tile(1, 1, 1, pixels, stride, taps, width, height, sums, sums_stride)


cdef void convolve_rows(int n, int n_columns, const float *pixels, Py_ssize_t stride, const float *taps,
                        Py_ssize_t width, Py_ssize_t height, float *sums, Py_ssize_t sums_stride) noexcept nogil:
    if n_columns == 3:
        if n == 4:
            convolve_tile(4, 3, 0, pixels, stride, taps, width, height, sums, sums_stride)
        elif n == 3:
            convolve_tile(3, 3, 0, pixels, stride, taps, width, height, sums, sums_stride)
        elif n == 2:
            convolve_tile(2, 3, 0, pixels, stride, taps, width, height, sums, sums_stride)
        else:
            convolve_tile(1, 3, 0, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 6:
        convolve_tile(6, 2, 0, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 5:
        convolve_tile(5, 2, 0, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 4:
        convolve_tile(4, 2, 0, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 3:
        convolve_tile(3, 2, 0, pixels, stride, taps, width, height, sums, sums_stride)
    elif n == 2:
        convolve_tile(2, 2, 0, pixels, stride, taps, width, height, sums, sums_stride)
    else:
        convolve_tile(1, 2, 0, pixels, stride, taps, width, height, sums, sums_stride)


cdef void convolve_pixels(const float *pixels, Py_ssize_t stride, Py_ssize_t nx, Py_ssize_t ny, const float *taps,
                          Py_ssize_t width, Py_ssize_t height, float *sums, Py_ssize_t sums_stride) noexcept nogil:
    """Sums of taps, ``width`` in a row, ``height`` rows, times pixels, of which the first meets the first tap.

    Rows go in groups of nearly equal size; the last vector of a row may reach beyond it, where memory is there.
    """
    cdef Py_ssize_t x = 0, y, end = padded(nx), most, n_groups
    cdef int n, n_columns
    cdef bint in_pairs
    while x < end:
        n_columns = 2 if (end - x) // LANES == 2 or (end - x) // LANES == 4 else 3
        in_pairs = LANES == 16 and LANES < nx - x <= LANES + HALF_LANES
        most = min(PAIRED_ROWS if in_pairs else TILE // n_columns, height + 1)
        y = 0
        while y < ny:
            n_groups = (ny - y + most - 1) // most
            n = <int> ((ny - y + n_groups - 1) // n_groups)
            if in_pairs:
                convolve_pairs(n, pixels + y * stride + x, stride, taps, width, height, sums + y * sums_stride + x,
                               sums_stride)
            else:
                convolve_rows(n, n_columns, pixels + y * stride + x, stride, taps, width, height,
                              sums + y * sums_stride + x, sums_stride)
            y += n
        x += n_columns * LANES
