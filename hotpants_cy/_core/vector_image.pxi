# The image of a block, of `vector_convolution.pxi`: over the level of the sky, bright pixels apart.
include "vector_thirds.pxi"

cdef struct Pixels:
    # bright ones, row by row
    Py_ssize_t *starts         # where each row begins, and where the last ends
    Py_ssize_t *places         # of a group: columns; of a block: where what they spread begins in the turned kernel
    double *heights            # over the level


cdef struct Extra:
    # work memory for the sums of a group and its blocks
    double *sky                # its level and noise, and whether it is rough
    double *base               # what the sums of a block are added to: one row, or a row for each of its own
    double *turned             # the kernel as a bright pixel spreads it, with zeros around each row: these stay
    Pixels group
    Pixels block
    bits *lowest               # variance of each column of the group
    bits *highest
    float *sums
    Thirds thirds


cdef inline Py_ssize_t turned_stride(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    return width + 2 * sums_stride(step)


cdef inline Py_ssize_t most_bright(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """Bright pixels of a group, at most, and one more."""
    return (step + width - 1) * (GROUP * step + width - 1) // MOST_BRIGHT + 1


cdef inline Py_ssize_t extra(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """How much more work memory the sums need."""
    return (3 + step * sums_stride(step) + width * turned_stride(width, step)
            + 2 * (step + width + 2 * most_bright(width, step)) + group_stride(width, step)
            + (step + 1) * sums_stride(step) + thirds_size(width, step))


cdef Extra divide(const Group *g) noexcept nogil:
    """Divide the work memory of `extra`."""
    cdef Extra e
    cdef Py_ssize_t rows = g.step + g.width, most = most_bright(g.width, g.step)
    e.sky = g.more
    e.base = e.sky + 3
    e.turned = e.base + g.step * sums_stride(g.step)
    e.group.starts = <Py_ssize_t *> (e.turned + g.width * turned_stride(g.width, g.step))
    e.group.places = e.group.starts + rows
    e.group.heights = <double *> (e.group.places + most)
    e.block.starts = <Py_ssize_t *> (e.group.heights + most)
    e.block.places = e.block.starts + rows
    e.block.heights = <double *> (e.block.places + most)
    e.lowest = <bits *> (e.block.heights + most)
    e.highest = e.lowest + g.stride
    e.sums = <float *> (e.highest + g.stride)
    e.thirds = thirds_in(<double *> e.sums + (g.step + 1) * sums_stride(g.step), g.width, g.step)
    return e


cdef void start_row(const Group *g) noexcept nogil:
    """Clear the turned kernel: what lies around its rows stays zero."""
    cdef Py_ssize_t i
    cdef Extra e = divide(g)
    for i in range(g.width * turned_stride(g.width, g.step)):
        e.turned[i] = 0


cdef float middle(const float *values, int n) noexcept nogil:
    """Median of SKY values, of which only the first ``n`` count; the others are infinite."""
    cdef int i, k
    cdef int[SKY] rank
    for i in range(SKY):
        rank[i] = 0
    for k in range(SKY):                             # all ranks side by side, without a branch: faster than sorting
        for i in range(SKY):
            rank[i] += (values[k] < values[i]) | ((values[k] == values[i]) & (k < i))
    for i in range(SKY):
        if rank[i] == n // 2:
            return values[i]
    return 0


cdef void find_sky(const Group *g, Py_ssize_t x0, Py_ssize_t nx, float *level, float *noise) noexcept nogil:
    """Level of the sky of a block, and how much neighbours differ, from a few pixels in as many columns and rows."""
    cdef float[SKY] sky, steps
    cdef float total = 0
    cdef const float *pixel
    cdef int i, n = 0
    for i in range(SKY):
        sky[i] = steps[i] = INFINITY
    for i in range(SKY):
        pixel = g.image + i * g.ny // SKY * g.stride + x0 + i * STRIDE % max(nx - 1, 1)
        if isfinite(pixel[0]) and isfinite(pixel[1]):
            sky[n] = pixel[0]
            steps[n] = fabsf(pixel[1] - pixel[0])
            total += steps[n]
            n += 1
    level[0] = middle(sky, n)
    noise[0] = middle(steps, n)
    if noise[0] == 0 and n > 0:                      # most pixels are alike, of counts or of nothing
        noise[0] = total / n


cdef Py_ssize_t blocks_alike(const Group *g) noexcept nogil:
    """How many blocks of a group have the same sky; ``g.more`` gets mean level and noise of these."""
    cdef Py_ssize_t k, n = n_blocks(g)
    cdef float first = 0, smallest = 0, level, noise
    cdef double levels = 0, noises = 0
    for k in range(n):
        find_sky(g, k * g.step, min(g.step + g.width - 1, g.nx - k * g.step), &level, &noise)
        if k == 0:
            first = level
            smallest = noise
        elif not fabsf(level - first) <= ALIKE * min(noise, smallest):
            n = k
            break
        levels += level
        noises += noise
    g.more[0] = levels / n
    g.more[1] = noises / n
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


cdef float bright_limit(const Group *g, const Extra *e) noexcept nogil:
    """How far from the level pixels are bright; not so near that they round as well as the level, or that many are.

    Where it had to be widened the group is rough.  ``e.group.starts`` gets how many bright ones come before each row.
    """
    cdef Py_ssize_t s, most = g.nx * g.ny // MOST_BRIGHT
    cdef Py_ssize_t *starts = e.group.starts
    cdef float level = <float> e.sky[0], limit = max(BRIGHT * <float> e.sky[1], fabsf(level) / 32)
    starts[0] = 0
    e.sky[2] = 0
    while True:
        for s in range(g.ny):
            starts[s + 1] = starts[s] + count_bright(g.image + s * g.stride, g.nx, level, limit)
        if starts[g.ny] <= most:
            return limit
        limit = max(4 * limit, SMALLEST)
        e.sky[2] = 1


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


cdef void prepare_image(const Group *g) noexcept nogil:
    """List the bright pixels of a group, put the level in their place, and take it off all pixels."""
    cdef Py_ssize_t s, x, n = 0
    cdef float *row
    cdef Extra e = divide(g)
    cdef float level = <float> e.sky[0], limit = bright_limit(g, &e), largest = LARGEST
    cdef int bad = 0
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
            bad |= not fabsf(row[x]) <= largest
    if by_thirds(g.width):
        e.sky[2] = e.sky[2] or bad
        if e.sky[2] == 0:
            prepare_thirds(g, &e.thirds)


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


cdef inline void finish_columns "hp_finish" (int n_columns, const Py_ssize_t *places, const double *heights,
                                             Py_ssize_t n, const double *turned, const double *base,
                                             const float *sums, Py_ssize_t room, float *out) noexcept nogil:
    """A constant number of output pixels in a row, if there is room: the base, what bright pixels give, the sums."""
    cdef Py_ssize_t k
    cdef int i
    cdef const unaligned_doubles *t
    cdef doubles[MOST_VECTORS] total
    cdef double[WIDE] row
    for i in range(n_columns // HALF_LANES):
        total[i] = (<const unaligned_doubles *> (base + i * HALF_LANES))[0]
    for k in range(n):
        t = <const unaligned_doubles *> (turned + places[k])
        for i in range(n_columns // HALF_LANES):
            total[i] = total[i] + heights[k] * t[i]
    for i in range(n_columns // HALF_LANES):
        (<unaligned_doubles *> (row + i * HALF_LANES))[0] = total[i]
    if room >= n_columns:
        for i in range(n_columns):
            out[i] = <float> (row[i] + sums[i])
    else:
        for i in range(<int> room):
            out[i] = <float> (row[i] + sums[i])


cdef void finish_row(const Block *b, const Pixels *bright, Py_ssize_t y, const double *turned, const double *base,
                     const float *sums, float *out) noexcept nogil:
    cdef Py_ssize_t x = 0, first = bright.starts[y], n = bright.starts[y + b.width] - first
    while x < b.nx:
        if b.nx - x > NARROW:
            finish_columns(WIDE, bright.places + first, bright.heights + first, n, turned + x, base + x, sums + x,
                           b.room - x, out + x)
            x += WIDE
        else:
            finish_columns(NARROW, bright.places + first, bright.heights + first, n, turned + x, base + x, sums + x,
                           b.room - x, out + x)
            x += NARROW


cdef void finish_image(const Block *b, const Group *g, const Extra *e, Py_ssize_t base_stride) noexcept nogil:
    """Add base, bright pixels and sums, and write them out."""
    cdef Py_ssize_t y, margin = sums_stride(g.step), stride = turned_stride(g.width, g.step)
    for y in range(b.ny):
        finish_row(b, &e.block, y, e.turned + margin + b.width - 1 - y * stride, e.base + y * base_stride,
                   e.sums + y * margin, b.out + y * b.out_stride)


cdef void sum_in_bands(const Block *b, const Group *g, const Extra *e, Py_ssize_t x) noexcept nogil:
    """Sums of a rough block: in single precision over a few rows of the kernel, of these in double precision."""
    cdef Py_ssize_t j = 0, i, stride = sums_stride(g.step), height
    while j < b.width:
        height = min(BAND, b.width - j)
        convolve_pixels(g.image + x + j * g.stride, g.stride, b.nx, b.ny, b.taps + j * b.width, b.width, height,
                        e.sums, stride)
        for i in range(b.ny * stride):
            e.base[i] += e.sums[i]
            e.sums[i] = 0
        j += height


cdef void sum_image(const Block *b, const Group *g, const Extra *e, Py_ssize_t x, bint rough) noexcept nogil:
    """Sums of taps times pixels over the level of the sky, in the way that suits them."""
    cdef Py_ssize_t p
    if by_thirds(b.width) and not rough:
        sum_by_thirds(b, g, &e.thirds, x, e.sums)
        return
    for p in range(b.width * b.width):
        b.taps[p] = <float> b.kernel[p]
    if rough:
        sum_in_bands(b, g, e, x)
    else:
        convolve_pixels(g.image + x, g.stride, b.nx, b.ny, b.taps, b.width, b.width, e.sums, sums_stride(g.step))


cdef void convolve_image(const Block *b, const Group *g, Py_ssize_t x) noexcept nogil:
    """The image of a block whose first pixel is ``x`` pixels into the group, over the level of the sky."""
    cdef Py_ssize_t p, stride = sums_stride(g.step)
    cdef Extra e = divide(g)
    cdef double total = 0
    cdef bint rough = e.sky[2] != 0
    for p in range(b.ny):                            # of the output, to be there once it is written
        prefetch(b.out + p * b.out_stride, 1)
        prefetch(b.out + p * b.out_stride + b.nx - 1, 1)
    for p in range(b.width * b.width):
        total += b.kernel[p]
    for p in range((b.ny if rough else 1) * stride):
        e.base[p] = e.sky[0] * total
    if list_bright(b, g, &e, x):
        turn_kernel(b, g, e.turned)
    sum_image(b, g, &e, x, rough)
    finish_image(b, g, &e, stride if rough else 0)
