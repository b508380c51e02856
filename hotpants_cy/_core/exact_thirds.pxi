# Two thirds of the products do, for `exact.pyx`: outputs are taken two by two, and taps in threes (S. Winograd,
# Arithmetic Complexity of Computations, SIAM 1980).
#
# Two outputs next to each other, of pixels p and taps h, share products in
#     p0 h0 + p1 h1 + p2 h2 = (p0 - p2) h0 + (p1 + p2) (h0 + h1 + h2) / 2 + (p2 - p1) (h0 - h1 + h2) / 2
#     p1 h0 + p2 h1 + p3 h2 =                (p1 + p2) (h0 + h1 + h2) / 2 - (p2 - p1) (h0 - h1 + h2) / 2 - (p1 - p3) h2
# four where there were six.  So there are four planes of pixels, in which even and odd columns lie apart, and five of
# taps: the first, second and third of each triple, and what is left of them in the two products in the middle.
cdef enum:
    PRODUCTS = 4
    PLANES = 5                 # of taps
    MARGIN = 2                 # pairs of columns beyond the last that a product needs
    PAIRS = COLUMNS // 2


cdef inline Py_ssize_t triples(Py_ssize_t width) noexcept nogil:
    """In a row of taps; the last one may be filled up with zeros."""
    return (width + 2) // 3


cdef inline Py_ssize_t plane_size(Py_ssize_t width) noexcept nogil:
    """Taps of a plane, in whole vectors."""
    return (width * triples(width) + FLOATS - 1) // FLOATS * FLOATS


cdef inline Py_ssize_t half_row(Py_ssize_t width) noexcept nogil:
    """Even or odd columns that products with all triples need."""
    return PAIRS + 3 * (triples(width) - 1) // 2 + 1


cdef inline Py_ssize_t plane_of(int product) noexcept nogil:
    """Plane of taps that belongs to a product."""
    return 0 if product == 0 else 3 if product == 1 else 4 if product == 2 else 2


cdef void take_differences(const float *row, Py_ssize_t length, float *out, Py_ssize_t plane) noexcept nogil:
    """A row of all products' pixels; ``row`` holds even and odd columns, each of ``length`` and `MARGIN`."""
    cdef Py_ssize_t x
    cdef const float *even = row
    cdef const float *odd = row + length + MARGIN
    for x in range(length):
        out[x] = even[x] - even[x + 1]
        out[length + x] = odd[x] - odd[x + 1]
    out += plane
    for x in range(length):
        out[x] = odd[x] + even[x + 1]
        out[length + x] = even[x + 1] + odd[x + 1]
    out += plane
    for x in range(length):
        out[x] = even[x + 1] - odd[x]
        out[length + x] = odd[x + 1] - even[x + 1]
    out += plane
    for x in range(length):
        out[x] = odd[x] - odd[x + 1]
        out[length + x] = even[x + 1] - even[x + 2]


cdef inline void take_apart(const float *pixels, Py_ssize_t n, Py_ssize_t length, float *row) noexcept nogil:
    """Even and odd columns of ``n`` pixels, and zeros behind them."""
    cdef Py_ssize_t x
    cdef float *odd = row + length + MARGIN
    for x in range(n // 2):
        row[x], odd[x] = pixels[2 * x], pixels[2 * x + 1]
    for x in range(n // 2, length + MARGIN):
        row[x] = odd[x] = 0
    if n % 2 == 1:
        row[n // 2] = pixels[n - 1]


cdef void find_triples(Py_ssize_t width, pattern *p, place *places) noexcept nogil:
    """All triples of taps, and the pixels of a product that they meet."""
    cdef Py_ssize_t j, q, i = 0
    p.n, p.across, p.below, p.stride, p.places = width, triples(width), triples(width), 2 * half_row(width), places
    for j in range(width):
        for q in range(triples(width)):
            places[i].pixel = <int> (j * p.stride + (q % 2) * half_row(width) + 3 * q // 2)
            places[i].tap = <int> i
            i += 1


cdef void find_taps(Py_ssize_t width, Py_ssize_t n_rings, Py_ssize_t stride, pattern *p, place *places) noexcept nogil:
    """Taps of so many rings, in the first three planes, one by one, and the pixels that they meet."""
    cdef Py_ssize_t margin = width // 2 + 1 - n_rings, i, j
    p.n = p.across = max(0, 2 * n_rings - 1)
    p.below, p.stride, p.places = triples(width), stride, places
    for j in range(margin, margin + p.n):
        for i in range(margin, margin + p.n):
            places.pixel = <int> (j * stride + i)
            places.tap = <int> (i % 3 * plane_size(width) + j * p.below + i // 3)
            places += 1


cdef void split_taps(const double *taps, Py_ssize_t width, Py_ssize_t plane, float *out) noexcept nogil:
    """The first three planes of taps."""
    cdef Py_ssize_t i, j, q, n = triples(width)
    for i in range(3):
        for j in range(width):
            for q in range(n - 1):
                out[j * n + q] = <float> taps[j * width + 3 * q + i]
            q = n - 1
            out[j * n + q] = <float> taps[j * width + 3 * q + i] if 3 * q + i < width else 0
        for j in range(width * n, plane):
            out[j] = 0
        out += plane


cdef void mask_rings(Py_ssize_t width, Py_ssize_t plane, Py_ssize_t n_rings, float *mask) noexcept nogil:
    """Zeros for so many rings of taps in their three planes, ones for all others."""
    cdef Py_ssize_t i, j, first = width // 2 + 1 - n_rings
    for i in range(3 * plane):
        mask[i] = 1
    for i in range(first, width - first):
        for j in range(first, width - first):
            mask[i % 3 * plane + j * triples(width) + i // 3] = 0


cdef void mix_taps(float *taps, const float *mask, Py_ssize_t plane) noexcept nogil:
    """Take those taps of the first three planes that the mask has, and make the last two planes from them."""
    cdef Py_ssize_t x
    cdef floats first, second, third
    for x in range(plane // FLOATS):
        first = (<const unaligned *> taps)[0] * (<const unaligned *> mask)[0]
        second = (<const unaligned *> (taps + plane))[0] * (<const unaligned *> (mask + plane))[0]
        third = (<const unaligned *> (taps + 2 * plane))[0] * (<const unaligned *> (mask + 2 * plane))[0]
        (<unaligned *> taps)[0], (<unaligned *> (taps + 2 * plane))[0] = first, third
        (<unaligned *> (taps + 3 * plane))[0] = (first + third + second) * <float> 0.5
        (<unaligned *> (taps + 4 * plane))[0] = (first + third - second) * <float> 0.5
        taps += FLOATS
        mask += FLOATS


cdef void join_products(const float *products, Py_ssize_t plane, float *out) noexcept nogil:
    """A row of sums from those of each product."""
    cdef Py_ssize_t x
    cdef const float *second = products + plane
    cdef const float *third = products + 2 * plane
    cdef const float *fourth = products + 3 * plane
    for x in range(PAIRS):
        out[2 * x] = products[x] + (second[x] + third[x])
        out[2 * x + 1] = (second[x] - third[x]) - fourth[x]
