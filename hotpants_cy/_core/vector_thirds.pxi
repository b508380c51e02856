# Two thirds of the products of a block do, for `vector_image.pxi`: rows are taken apart by what is left over when their
# number is divided by three (S. Winograd, Arithmetic Complexity of Computations, SIAM 1980).
#
# Three rows of outputs, of pixels p and taps h, share products in
#     p0 h0 + p1 h1 + p2 h2 = (p0 - p1 - p2) h0 + p1 (h0 + h1) + p2 (h0 + h2)
#     p1 h0 + p2 h1 + p3 h2 = (p2 - p1 - p3) h1 + p1 (h0 + h1) + p3 (h1 + h2)
#     p2 h0 + p3 h1 + p4 h2 = (p4 - p2 - p3) h2 + p2 (h0 + h2) + p3 (h1 + h2)
# six where there were nine, each of them a convolution with a third of the rows.  What is no number would spread over
# more than the kernel, and what is bright round more than it should: that is summed as it comes.
cdef enum:
    PRODUCTS = 6
    NARROWEST = 15             # kernel for which it pays


cdef struct Thirds:
    float *pixels              # three planes of differences: every third row of them
    float *taps                # of each product
    float *parts               # of the outputs: each product


cdef inline Py_ssize_t third(Py_ssize_t rows) noexcept nogil:
    return (rows + 2) // 3


cdef inline bint by_thirds(Py_ssize_t width) noexcept nogil:
    return width >= NARROWEST


cdef inline Py_ssize_t sums_stride(Py_ssize_t step) noexcept nogil:
    return (padded(step) + WIDE - 1) // WIDE * WIDE


cdef inline Py_ssize_t thirds_size(Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    """Numbers in double precision that hold what `thirds_in` divides; pairs of rows may write one row more."""
    return (3 * (third(step) + third(width)) * group_stride(width, step) + PRODUCTS * third(width) * width
            + (PRODUCTS * third(step) + 1) * sums_stride(step)) // 2 + 1


cdef Thirds thirds_in(double *memory, Py_ssize_t width, Py_ssize_t step) noexcept nogil:
    cdef Thirds t
    t.pixels = <float *> memory
    t.taps = t.pixels + 3 * (third(step) + third(width)) * group_stride(width, step)
    t.parts = t.taps + PRODUCTS * third(width) * width
    return t


cdef inline Py_ssize_t third_rows(const Group *g) noexcept nogil:
    """Rows in each plane of differences."""
    return third(g.ny - g.width + 1) + third(g.width) - 1


cdef inline floats at(const float *pixels) noexcept nogil:
    return (<const unaligned *> pixels)[0]


cdef void take_differences(const float *rows, Py_ssize_t stride, Py_ssize_t n, float *out,
                           Py_ssize_t plane) noexcept nogil:
    """A row of each plane of differences, from five rows of pixels."""
    cdef Py_ssize_t x, k
    cdef const float *p
    for k in range(n // LANES):
        x = k * LANES
        p = rows + x
        (<unaligned *> (out + x))[0] = at(p) - at(p + stride) - at(p + 2 * stride)
        (<unaligned *> (out + plane + x))[0] = at(p + 2 * stride) - at(p + stride) - at(p + 3 * stride)
        (<unaligned *> (out + 2 * plane + x))[0] = at(p + 4 * stride) - at(p + 2 * stride) - at(p + 3 * stride)
    for x in range(n // LANES * LANES, n):
        p = rows + x
        out[x] = p[0] - p[stride] - p[2 * stride]
        out[plane + x] = p[2 * stride] - p[stride] - p[3 * stride]
        out[2 * plane + x] = p[4 * stride] - p[2 * stride] - p[3 * stride]


cdef void prepare_thirds(const Group *g, const Thirds *t) noexcept nogil:
    """The differences of a group."""
    cdef Py_ssize_t i, n = third_rows(g)
    for i in range(g.ny * g.stride, (g.ny + SPARE_ROWS) * g.stride):
        g.image[i] = 0
    for i in range(n):
        take_differences(g.image + 3 * i * g.stride, g.stride, g.nx, t.pixels + i * g.stride, n * g.stride)


cdef void split_taps(const double *kernel, Py_ssize_t width, float *taps) noexcept nogil:
    """The taps of each product: every third row, then the sums of two of these; rows beyond the kernel are zero."""
    cdef Py_ssize_t j, i, size = third(width) * width
    cdef float *row
    for j in range(3 * third(width)):
        row = taps + j % 3 * size + j // 3 * width
        for i in range(width):
            row[i] = <float> kernel[j * width + i] if j < width else 0
    for i in range(size):
        taps[3 * size + i] = taps[i] + taps[size + i]
        taps[4 * size + i] = taps[i] + taps[2 * size + i]
        taps[5 * size + i] = taps[size + i] + taps[2 * size + i]


cdef void join_parts(const float *parts, Py_ssize_t ny, Py_ssize_t stride, float *sums) noexcept nogil:
    """Rows of outputs from the products that they are made of."""
    cdef Py_ssize_t y, x, part = third(ny) * stride
    cdef const float *own
    cdef const float *first
    cdef const float *second
    for y in range(ny):
        own = parts + y % 3 * part + y // 3 * stride
        first = parts + (3 if y % 3 < 2 else 4) * part + y // 3 * stride
        second = parts + (4 if y % 3 < 1 else 5) * part + y // 3 * stride
        for x in range(stride):
            sums[y * stride + x] = own[x] + first[x] + second[x]


cdef void sum_by_thirds(const Block *b, const Group *g, const Thirds *t, Py_ssize_t x, float *sums) noexcept nogil:
    """Sums of a block whose first pixel is ``x`` pixels into the group, after `prepare_thirds`."""
    cdef Py_ssize_t k, n_taps = third(b.width), ny = third(b.ny), stride = sums_stride(g.step)
    split_taps(b.kernel, b.width, t.taps)
    for k in range(PRODUCTS):
        if k < 3:
            convolve_pixels(t.pixels + k * third_rows(g) * g.stride + x, g.stride, b.nx, ny,
                            t.taps + k * n_taps * b.width, b.width, n_taps, t.parts + k * ny * stride, stride)
        else:
            convolve_pixels(g.image + (k - 2) * g.stride + x, 3 * g.stride, b.nx, ny,
                            t.taps + k * n_taps * b.width, b.width, n_taps, t.parts + k * ny * stride, stride)
    join_parts(t.parts, b.ny, stride, sums)
