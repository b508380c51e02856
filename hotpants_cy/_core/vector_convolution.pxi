# Block convolution with vectors, in single precision: what `vector_tiles.pxi` sums, made exact enough.
#
# Sums in single precision err by up to 2e-6 of the brightest pixel.  Hence the level of the sky is taken off an image
# first, and pixels much brighter than the sky scatters are taken out and added one by one in double precision: what is
# left is of the order of 1e-5 of the noise.  Variances are positive, and nobody needs seven digits of them: taps that
# could not change the fifth are left out.
from libc.math cimport fabsf, isfinite

ctypedef float number          # of patches and taps

include "vector_tiles.pxi"
include "blocks.pxi"

cdef enum:
    PART = 4 * HALF_LANES      # pixels of a kernel that are rendered at a time
    SPREAD = 6 * HALF_LANES    # columns that bright pixels are added to at a time
    SKY = 21                   # pixels that the sky of a block is known from
    STRIDE = 17                # columns from one of them to the next
    MOST_BRIGHT = 4            # one pixel in so many, at most

cdef float BRIGHT = 12         # times the median distance from the sky, from there on a pixel is bright
cdef float ALIKE = 4           # times that distance, up to which the skies of two blocks may differ
cdef double NEGLIGIBLE = 2e-5  # of a variance: half of it is what the noise may be off

cdef float LARGEST = 3.4028235e38
cdef float SMALLEST = 1.1754944e-38


cdef void render_part(const double *constant, const double *varying, Py_ssize_t area, const double *x_terms,
                      const double *y_terms, Py_ssize_t n_terms, double *kernel) noexcept nogil:
    """PART pixels of a kernel, which stay in registers."""
    cdef Py_ssize_t t
    cdef const unaligned_doubles *s = <const unaligned_doubles *> constant
    cdef unaligned_doubles *out = <unaligned_doubles *> kernel
    cdef doubles a = s[0], b = s[1], c = s[2], d = s[3]
    cdef double weight
    for t in range(n_terms):
        weight = x_terms[t] * y_terms[t]
        s = <const unaligned_doubles *> (varying + t * area)
        a = a + weight * s[0]
        b = b + weight * s[1]
        c = c + weight * s[2]
        d = d + weight * s[3]
    out[0], out[1], out[2], out[3] = a, b, c, d


cdef void render(const Kernels *k, const double *x_terms, const double *y_terms, double *kernel) noexcept nogil:
    """Kernel at the position where the spatial terms have these factors in x and y (6.4)."""
    cdef Py_ssize_t p, t
    if k.area < PART:
        for p in range(k.area):
            kernel[p] = k.constant[p]
            for t in range(k.n_terms):
                kernel[p] += x_terms[t] * y_terms[t] * k.varying[t * k.area + p]
        return
    for p in range(k.area // PART):
        render_part(k.constant + p * PART, k.varying + p * PART, k.area, x_terms, y_terms, k.n_terms, kernel + p * PART)
    p = k.area - PART                                # the last part reaches back to pixels that are known
    render_part(k.constant + p, k.varying + p, k.area, x_terms, y_terms, k.n_terms, kernel + p)


# -- the image ------------------------------------------------------------------------------------

cdef struct Pixels:
    # bright ones, row by row
    Py_ssize_t *starts         # where each row begins, and where the last ends
    Py_ssize_t *places         # of a group: columns; of a block: where what they spread begins in the turned kernel
    double *heights            # over the level


cdef struct Extra:
    # work memory for the sums of a group and its blocks
    double *sky                # its level and scatter
    double *turned             # the kernel as a bright pixel spreads it, with zeros around each row
    Pixels group
    Pixels block
    float *sums


cdef inline Py_ssize_t sums_stride(Py_ssize_t step) noexcept nogil:
    return (padded(step) + SPREAD - 1) // SPREAD * SPREAD


cdef inline Py_ssize_t turned_stride(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    return width + 2 * sums_stride(step)


cdef inline Py_ssize_t most_bright(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """Bright pixels of a group, at most, and one more."""
    return (step + width - 1) * (GROUP * step + width - 1) // MOST_BRIGHT + 1


cdef inline Py_ssize_t extra(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """How much more work memory the sums need."""
    return (2 + width * turned_stride(width, step) + 2 * (step + width + 2 * most_bright(width, step))
            + step * sums_stride(step))


cdef Extra divide(const Group *g) noexcept nogil:
    """Divide the work memory of `extra`."""
    cdef Extra e
    cdef Py_ssize_t rows = g.step + g.width, most = most_bright(g.width, g.step)
    e.sky = g.more
    e.turned = e.sky + 2
    e.group.starts = <Py_ssize_t *> (e.turned + g.width * turned_stride(g.width, g.step))
    e.group.places = e.group.starts + rows
    e.group.heights = <double *> (e.group.places + most)
    e.block.starts = <Py_ssize_t *> (e.group.heights + most)
    e.block.places = e.block.starts + rows
    e.block.heights = <double *> (e.block.places + most)
    e.sums = <float *> (e.block.heights + most)
    return e


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


cdef void find_sky(const Group *g, Py_ssize_t x0, Py_ssize_t nx, float *level, float *scatter) noexcept nogil:
    """Level of the sky of a block and scatter around it, from a few pixels in as many columns and rows."""
    cdef float[SKY] sky
    cdef float v
    cdef int i, n = 0
    for i in range(SKY):
        v = g.image[i * g.ny // SKY * g.stride + x0 + i * STRIDE % nx]
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


cdef Py_ssize_t blocks_alike(const Group *g) noexcept nogil:
    """How many blocks of a group have the same sky; ``g.more`` gets mean level and scatter of these."""
    cdef Py_ssize_t k, n = n_blocks(g)
    cdef float first = 0, smallest = 0, level, scatter
    cdef double levels = 0, scatters = 0
    for k in range(n):
        find_sky(g, k * g.step, min(g.step + g.width - 1, g.nx - k * g.step), &level, &scatter)
        if k == 0:
            first = level
            smallest = scatter
        elif not fabsf(level - first) <= ALIKE * min(scatter, smallest):
            n = k
            break
        levels += level
        scatters += scatter
    g.more[0] = levels / n
    g.more[1] = scatters / n
    return n


cdef inline bint is_bright(float height, float limit) noexcept nogil:
    # what is not finite may stay: it fills its footprint as it should
    return (fabsf(height) > limit) & (fabsf(height) <= LARGEST)


cdef inline int count_bright(const float *row, Py_ssize_t n, float level, float limit) noexcept nogil:
    cdef Py_ssize_t x
    cdef int count = 0
    for x in range(n):
        count += is_bright(row[x] - level, limit)
    return count


cdef float bright_limit(const Group *g, float level, float scatter, Py_ssize_t *starts) noexcept nogil:
    """How far from the level pixels are bright; not so near that many are, or that they round as well as the level.

    ``starts`` gets how many bright pixels there are before each row.
    """
    cdef Py_ssize_t s, most = g.nx * g.ny // MOST_BRIGHT
    cdef float limit = max(BRIGHT * scatter, fabsf(level) / 32)
    starts[0] = 0
    while True:
        for s in range(g.ny):
            starts[s + 1] = starts[s] + count_bright(g.image + s * g.stride, g.nx, level, limit)
        if starts[g.ny] <= most:
            return limit
        limit = max(4 * limit, SMALLEST)


cdef void take_out(float *row, Py_ssize_t first, Py_ssize_t n, float level, float limit, Pixels *bright,
                   Py_ssize_t *count) noexcept nogil:
    """Put the level in the place of the bright ones of a few pixels, and these on the list."""
    cdef Py_ssize_t x
    for x in range(first, first + n):
        if is_bright(row[x] - level, limit):
            bright.places[count[0]] = x
            bright.heights[count[0]] = <double> row[x] - level
            row[x] = level
            count[0] += 1


cdef void prepare(const Group *g) noexcept nogil:
    """List the bright pixels of a group, put the level in their place, and take it off all pixels."""
    cdef Py_ssize_t s, x, n = 0
    cdef float *row
    cdef Extra e = divide(g)
    cdef float level = <float> e.sky[0], limit = bright_limit(g, level, <float> e.sky[1], e.group.starts)
    e.sky[0] = level
    for s in range(g.ny):
        row = g.image + s * g.stride
        x = 0
        while n < e.group.starts[s + 1]:             # until all of the row are found
            if count_bright(row + x, min(LANES, g.nx - x), level, limit):
                take_out(row, x, min(LANES, g.nx - x), level, limit, &e.group, &n)
            x += LANES
        for x in range(g.nx):
            row[x] = row[x] - level
    for x in range(g.width * turned_stride(g.width, g.step)):
        e.turned[x] = 0


cdef Py_ssize_t list_bright(const Block *b, const Group *g, const Extra *e, Py_ssize_t x) noexcept nogil:
    """List those bright pixels of the group that the block sees, which starts at ``x``; return how many there are."""
    cdef Py_ssize_t s, k, place, n = 0, stride = turned_stride(g.width, g.step)
    for s in range(b.ny + b.width - 1):
        e.block.starts[s] = n
        for k in range(e.group.starts[s], e.group.starts[s + 1]):
            place = e.group.places[k] - x
            e.block.places[n] = s * stride - place   # always written, seen or not: no branch
            e.block.heights[n] = e.group.heights[k]
            n += (place >= 0) & (place < b.nx + b.width - 1)
    e.block.starts[b.ny + b.width - 1] = n
    return n


cdef void turn_kernel(const Block *b, const Group *g, double *turned) noexcept nogil:
    """The kernel as a bright pixel spreads it, row by row from right to left."""
    cdef Py_ssize_t i, j, margin = sums_stride(g.step), stride = turned_stride(g.width, g.step)
    for j in range(b.width):
        for i in range(b.width):
            turned[j * stride + margin + i] = b.kernel[j * b.width + b.width - 1 - i]


cdef void spread(const Pixels *bright, Py_ssize_t first, Py_ssize_t last, const double *turned, double level,
                 double *row) noexcept nogil:
    """SPREAD output pixels in a row: the level, and what bright pixels give to it."""
    cdef Py_ssize_t k
    cdef const unaligned_doubles *t
    cdef unaligned_doubles *out = <unaligned_doubles *> row
    cdef double height
    cdef doubles a, b, c, d, e, f
    a = b = c = d = e = f = zero_doubles + level
    for k in range(first, last):
        t = <const unaligned_doubles *> (turned + bright.places[k])
        height = bright.heights[k]
        a = a + height * t[0]
        b = b + height * t[1]
        c = c + height * t[2]
        d = d + height * t[3]
        e = e + height * t[4]
        f = f + height * t[5]
    out[0], out[1], out[2] = a, b, c
    out[3], out[4], out[5] = d, e, f


cdef void finish_image(const Block *b, const Group *g, const Extra *e, double level) noexcept nogil:
    """Add level, bright pixels and sums, and write them out."""
    cdef Py_ssize_t x, y, i, margin = sums_stride(g.step), stride = turned_stride(g.width, g.step)
    cdef double[SPREAD] row
    cdef float *out
    cdef const float *sums
    for y in range(b.ny):
        for x in range((b.nx + SPREAD - 1) // SPREAD):
            spread(&e.block, e.block.starts[y], e.block.starts[y + b.width],
                   e.turned + margin + b.width - 1 - y * stride + x * SPREAD, level, row)
            sums = e.sums + y * margin + x * SPREAD
            out = b.out + y * b.out_stride + x * SPREAD
            if b.room - x * SPREAD >= SPREAD:
                for i in range(SPREAD):
                    out[i] = <float> (row[i] + sums[i])
            else:
                for i in range(b.room - x * SPREAD):
                    out[i] = <float> (row[i] + sums[i])


cdef void convolve_image(const Block *b, const Group *g, Py_ssize_t x) noexcept nogil:
    """The image of a block whose first pixel is ``x`` pixels into the group, over the level of the sky."""
    cdef Py_ssize_t p
    cdef Extra e = divide(g)
    cdef double total = 0
    for p in range(b.width * b.width):
        b.taps[p] = <float> b.kernel[p]
        total += b.kernel[p]
    if list_bright(b, g, &e, x):
        turn_kernel(b, g, e.turned)
    convolve_pixels(g.image + x, g.stride, b.nx, b.ny, b.taps, b.width, e.sums, sums_stride(g.step))
    finish_image(b, g, &e, e.sky[0] * total)


# -- the variance ---------------------------------------------------------------------------------

cdef void find_range(const Block *b, const Group *g, Py_ssize_t x0, float *lowest, float *highest) noexcept nogil:
    """Lowest and highest variance that a block sees; what is not a number is the highest."""
    cdef Py_ssize_t x, y
    cdef const bits *row
    cdef bits low, high
    # positive numbers are ordered as the integers of the same bits are, which compare faster
    low = high = (<const bits *> (g.variance + x0))[0]
    for y in range(b.ny + b.width - 1):
        row = <const bits *> (g.variance + y * g.stride + x0)
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


cdef Py_ssize_t negligible_margin(const Block *b, const Group *g, Py_ssize_t x) noexcept nogil:
    """How many taps on each side of the kernel hardly matter to a variance, whatever the pixels look like."""
    cdef Py_ssize_t p, margin = 0
    cdef double total = 0, outside = 0
    cdef float lowest, highest
    find_range(b, g, x, &lowest, &highest)
    for p in range(b.width * b.width):
        total += b.kernel[p]**2
    while margin < b.half:
        outside += ring_weight(b, margin)
        if not outside * highest <= NEGLIGIBLE * total * lowest:
            break
        margin += 1
    return margin


cdef void convolve_variance(const Block *b, const Group *g, Py_ssize_t x, bint plain) noexcept nogil:
    """The variance of a block, with the squares of the taps or, if ``plain``, with the taps."""
    cdef Py_ssize_t i, j, margin = 0 if plain else negligible_margin(b, g, x), width = b.width - 2 * margin
    cdef Py_ssize_t stride = sums_stride(g.step)
    cdef const double *row
    cdef float *sums = divide(g).sums
    for j in range(width):
        row = b.kernel + (j + margin) * b.width + margin
        for i in range(width):
            b.taps[j * width + i] = <float> (row[i] if plain else row[i] * row[i])
    convolve_pixels(g.variance + margin * (g.stride + 1) + x, g.stride, b.nx, b.ny, b.taps, width, sums, stride)
    for j in range(b.ny):
        for i in range(min(b.room, padded(b.nx))):
            b.out[j * b.out_stride + i] = sums[j * stride + i]
