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
    static const hp_doubles hp_zero_doubles = {0};
    /* without this the compiler would make one function of all its uses, and keep the tile in memory */
    static inline __attribute__((always_inline)) void hp_slide(int, int, int, const float *, const float *,
                                                               const float *, Py_ssize_t, hp_floats *);
    static inline __attribute__((always_inline)) void hp_convolve_tile(int, int, const float *, Py_ssize_t,
                                                                       const float *, Py_ssize_t, float *, Py_ssize_t);
    """
    enum:
        LANES "HP_LANES"
    ctypedef float floats "hp_floats"
    ctypedef float unaligned "hp_unaligned"
    ctypedef double doubles "hp_doubles"
    ctypedef double unaligned_doubles "hp_unaligned_doubles"
    ctypedef int bits "hp_bits"
    floats zeros "hp_zeros"
    doubles zero_doubles "hp_zero_doubles"

cdef enum:
    TILE = 12                  # vectors of outputs, so that they and what feeds them stay in 16 registers
    HALF_LANES = LANES // 2    # of a vector of doubles


cdef inline Py_ssize_t padded(Py_ssize_t columns) noexcept nogil:
    """Columns of output that whole vectors cover, two at least."""
    return max(2, (columns + LANES - 1) // LANES) * LANES


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
                                                   const float *taps, Py_ssize_t width, float *sums,
                                                   Py_ssize_t sums_stride) noexcept nogil:
    """Sums of ``n_rows`` rows of ``n_columns`` vectors; there is one row more than the kernel has, at most.

    The counts are constants where this is called, so that the compiler can unroll the loops and keep all of the tile
    in registers.  Above the last row that all outputs see are as many that only the first see as there are below that
    only the last see: they are taken together, and all registers are always in use.
    """
    cdef Py_ssize_t k
    cdef int row, column
    cdef floats[TILE] tile
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
            (<unaligned *> (sums + row * sums_stride + column * LANES))[0] = tile[row * n_columns + column]


cdef void convolve_rows(int n, int n_columns, const float *pixels, Py_ssize_t stride, const float *taps,
                        Py_ssize_t width, float *sums, Py_ssize_t sums_stride) noexcept nogil:
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


cdef void convolve_pixels(const float *pixels, Py_ssize_t stride, Py_ssize_t nx, Py_ssize_t ny, const float *taps,
                          Py_ssize_t width, float *sums, Py_ssize_t sums_stride) noexcept nogil:
    """Sums of taps, ``width`` in a row, times pixels, of which the first meets the first tap.

    Rows go in groups of nearly equal size; the last vector of a row may reach beyond it, where memory is there.
    """
    cdef Py_ssize_t x = 0, y, end = padded(nx), most, n_groups
    cdef int n, n_columns
    while x < end:
        n_columns = 2 if (end - x) // LANES == 2 or (end - x) // LANES == 4 else 3
        most = min(TILE // n_columns, width + 1)
        y = 0
        while y < ny:
            n_groups = (ny - y + most - 1) // most
            n = <int> ((ny - y + n_groups - 1) // n_groups)
            convolve_rows(n, n_columns, pixels + y * stride + x, stride, taps, width, sums + y * sums_stride + x,
                          sums_stride)
            y += n
        x += n_columns * LANES
