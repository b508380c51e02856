# The kernel of `exact.pyx` in a block and in its rows.
include "rings.pxi"


cdef void shift(int order, Py_ssize_t area, const Block *b, const double *terms, double *shifted) noexcept nogil:
    """Terms in powers of the distances to the middle of the block: Taylor's shift, in x and then in y."""
    cdef int p, q, m
    cdef Py_ssize_t i
    cdef double *low
    cdef double *high
    for i in range(n_terms(order) * area):
        shifted[i] = terms[i]
    for q in range(order):
        for m in range(order - q):
            for p in range(order - q - 1, m - 1, -1):
                low, high = shifted + term(order, p, q) * area, shifted + term(order, p + 1, q) * area
                for i in range(area):
                    low[i] = low[i] + b.middle_x * high[i]
    for p in range(order):
        for m in range(order - p):
            for q in range(order - p - 1, m - 1, -1):
                low, high = shifted + term(order, p, q) * area, shifted + term(order, p, q + 1) * area
                for i in range(area):
                    low[i] = low[i] + b.middle_y * high[i]


cdef inline double y_distance(const Kernel *k, const Block *b, Py_ssize_t y) noexcept nogil:
    """From the middle of the block to one of its rows."""
    return k.y[b.y0 + y] - b.middle_y


cdef void render(const Kernel *k, const Block *b, double y, const int *n_rings, double *row) noexcept nogil:
    """All A of one row, at the rows of so many rings of taps."""
    cdef int p, q, last
    cdef Py_ssize_t i, first
    cdef double *out
    cdef const double *part
    cdef const double *next_part
    for p in range(k.order + 1):
        first, last = (k.width // 2 + 1 - n_rings[p]) * k.width, k.order - p
        out, part = row + p * k.area, b.terms + term(k.order, p, last) * k.area
        next_part = part - k.area if last > 0 else part
        for i in range(first, k.area - first):
            out[i] = part[i] * y + next_part[i] if last > 0 else part[i]
        for q in range(last - 2, -1, -1):
            part = b.terms + term(k.order, p, q) * k.area
            for i in range(first, k.area - first):
                out[i] = out[i] * y + part[i]


cdef inline float *taps_of(const Kernel *k, const Block *b, Py_ssize_t r, int p) noexcept nogil:
    """Planes of one A of one row of a tile; the last A is the same in all rows."""
    return b.taps + ((r if p < k.order else 0) * (k.order + 1) + p) * PLANES * k.plane


cdef void render_singles(const Kernel *k, const Block *b, float y, Py_ssize_t r) noexcept nogil:
    """The first three planes of all A of one row but the last, in single precision."""
    cdef int p, q, last
    cdef Py_ssize_t i, n = 3 * k.plane
    cdef float *out
    cdef const float *part
    cdef const float *second
    cdef const float *third
    for p in range(k.order):
        last = k.order - p
        out, part = taps_of(k, b, r, p), b.single_terms + term(k.order, p, last) * n
        second, third = part - n, part - (2 * n if last > 1 else 0)
        for i in range(n):
            out[i] = (part[i] * y + second[i]) * y + third[i] if last > 1 else part[i] * y + second[i]
        for q in range(last - 3, -1, -1):
            part = b.single_terms + term(k.order, p, q) * n
            for i in range(n):
                out[i] = out[i] * y + part[i]


cdef void add_taps(const Kernel *k, double *totals) noexcept nogil:
    """Sums of the terms over all taps."""
    cdef Py_ssize_t t, i
    for t in range(n_terms(k.order)):
        totals[t] = 0
        for i in range(k.area):
            totals[t] += k.terms[t * k.area + i]


# -- which taps need what ----------------------------------------------------------------------------

cdef double LARGEST_SUM = 4    # in single precision, in units of the noise: it errs by some 1e-7 of itself
cdef double MEAN_STEP = 0.886  # from the mean difference of two pixels to their scatter
cdef double NEGLIGIBLE = 4e-7  # of the variance, for each of its terms
cdef double STEEP = 0.5        # change of the kernel in a block from which the terms of its square may cancel


cdef void weigh_rings(const Kernel *k, Block *b) noexcept nogil:
    """Upper limits of the size of each A from each ring of taps outwards, times its power of the largest distance.

    The size is the root of the sum of the squares.
    """
    cdef Py_ssize_t h, half = k.width // 2
    cdef int p, q
    cdef double total, factor
    for h in range((k.order + 1) * (half + 2)):
        b.outside[h] = 0
    for p in range(k.order + 1):
        for q in range(k.order - p + 1):
            total, factor = 0, fabs(b.distance[0])**p * fabs(y_distance(k, b, 0))**q
            for h in range(half, -1, -1):
                total += ring(b.terms + term(k.order, p, q) * k.area, k.width, half - h)
                b.outside[p * (half + 2) + h] += factor * sqrt(total)
            if p == 0 and q == 0:
                b.size = b.outside[0]


cdef inline place *places_of(const Kernel *k, const Block *b, int m) noexcept nogil:
    """Memory for the places of a pattern of the variance, behind those of the image."""
    return b.places + k.plane + m * k.area


cdef void find_patterns(int kind, const Kernel *k, const Block *b) noexcept nogil:
    """All taps of image and variance, as long as none are left out."""
    cdef int m, p
    find_triples(k.width, b.of_image, b.places)
    b.of_image.far = (k.order + 1) * PLANES * k.plane
    for p in range(1, k.order + 1):
        b.of_image[p] = b.of_image[0]
    b.of_image[k.order].far = 0                      # the last A is the same in all rows
    for m in range(2 * k.order + 1):
        find_taps(k.width, k.width // 2 + 1, b.stride, b.of_variance + m, places_of(k, b, m))
        b.of_variance[m].far = ((2 * k.order + 1) * 3 * k.plane if kind == SQUARE_VARIANCE
                                else b.of_image[min(m, k.order)].far)


cdef inline Py_ssize_t whole_tile(Py_ssize_t n_rings, const Kernel *k) noexcept nogil:
    """So many rings or none: fewer would not fill the rows of a tile."""
    return min(max(n_rings, TILE_ROWS // 2), k.width // 2 + 1) if n_rings else 0


cdef double noise(const Kernel *k, const Block *b) noexcept nogil:
    """Scatter of the source pixels of a block, from row to row in the column where it is least."""
    cdef Py_ssize_t x
    cdef double least = INFINITY
    for x in range(b.nx + k.width - 1):
        least = b.steps[x] if b.steps[x] < least else least
    return MEAN_STEP * least / max(1, b.ny + k.width - 2)


cdef void choose_precision(const Kernel *k, const Block *b) noexcept nogil:
    """How many rings of taps of each A need double precision: outside no sum can exceed the noise by much."""
    cdef Py_ssize_t h, x, half = k.width // 2
    cdef int p
    cdef double squared = 0, limit = LARGEST_SUM * noise(k, b) * b.size, pixels
    for x in range(b.nx + k.width - 1):
        squared += b.squared[x]
    pixels = sqrt(squared)
    for p in range(k.order + 1):
        h = 0
        # what is not a number needs it everywhere
        while h <= half and not b.outside[p * (half + 2) + h] * pixels <= limit:
            h += 1
        b.n_double[p] = whole_tile(h, k)
        b.of_image[p].n = k.width if h <= half else 0


cdef bint choose_squares(float lowest, float highest, const Kernel *k, const Block *b) noexcept nogil:
    """How many rings of each term of the kernel squared matter to the variance, whatever the pixels look like.

    Return false if the kernel changes so much in the block that the terms might cancel.
    """
    cdef Py_ssize_t h, m, p, half = k.width // 2
    cdef double change = -b.size, least, sizes
    for p in range(k.order + 1):
        change += b.outside[p * (half + 2)]
    least = NEGLIGIBLE * lowest * (b.size - change)**2
    for m in range(2 * k.order + 1):
        h = 0
        while h <= half:
            sizes = 0
            for p in range(max(0, m - k.order), min(m, k.order) + 1):
                sizes += b.outside[p * (half + 2) + h] * b.outside[(m - p) * (half + 2) + h]
            if sizes * highest <= least:
                break
            h += 1
        h = whole_tile(h, k)
        if b.of_variance[m].n != max(0, 2 * h - 1):
            find_taps(k.width, h, b.stride, b.of_variance + m, places_of(k, b, m))
    return change <= STEEP * b.size


# -- taps of some rows ---------------------------------------------------------------------------------

cdef void prepare_singles(const Kernel *k, const Block *b) noexcept nogil:
    """Terms in single precision, and which of their taps are summed so."""
    cdef Py_ssize_t t
    cdef int p
    for t in range(n_terms(k.order)):
        split_taps(b.terms + t * k.area, k.width, k.plane, b.single_terms + t * 3 * k.plane)
    for p in range(k.order + 1):
        mask_rings(k.width, k.plane, b.n_double[p], b.masks + p * 3 * k.plane)


cdef void render_rows(const Kernel *k, const Block *b, Py_ssize_t y, Py_ssize_t n) noexcept nogil:
    """All A of some rows, in single precision, and in double precision where it is needed."""
    cdef Py_ssize_t r
    cdef double distance
    for r in range(n):
        distance = y_distance(k, b, y + r)
        render(k, b, distance, b.n_double, b.kernels + r * (k.order + 1) * k.area)
        render_singles(k, b, <float> distance, r)
    memcpy(taps_of(k, b, 0, k.order), b.single_terms + term(k.order, k.order, 0) * 3 * k.plane,
           3 * k.plane * sizeof(float))


cdef void mix_rows(const Kernel *k, const Block *b, Py_ssize_t n) noexcept nogil:
    """All planes of taps, with zeros for those that are summed in double precision."""
    cdef Py_ssize_t r
    cdef int p
    for r in range(n):
        for p in range(k.order + 1 if r == 0 else k.order):
            mix_taps(taps_of(k, b, r, p), b.masks + p * 3 * k.plane, k.plane)


# -- the kernel squared ----------------------------------------------------------------------------------

cdef void square_rows(const Kernel *k, const Block *b, Py_ssize_t n) noexcept nogil:
    """What multiplies the powers of the distance in the kernel squared, of some rows."""
    cdef Py_ssize_t r
    for r in range(n):
        if k.order == 2:
            square_parabola(k, b, r, b.squares + r * 5 * 3 * k.plane)
        else:
            square_polynomial(k, b, r, b.squares + r * (2 * k.order + 1) * 3 * k.plane)


cdef void square_parabola(const Kernel *k, const Block *b, Py_ssize_t r, float *out) noexcept nogil:
    """In half the time that `square_polynomial` takes: most taps matter to the first term alone."""
    cdef Py_ssize_t i, m, first, last, n_rows = 0, n = k.plane // FLOATS
    for m in range(1, 5):
        n_rows = max(n_rows, b.of_variance[m].n)
    first = (k.width - n_rows) // 2 * triples(k.width) // FLOATS
    last = min(((k.width + n_rows) // 2 * triples(k.width) + FLOATS - 1) // FLOATS, n)
    for i in range(3):
        square_vectors(False, k, b, r, i * n, i * n + first, out)
        square_vectors(True, k, b, r, i * n + first, i * n + last, out)
        square_vectors(False, k, b, r, i * n + last, (i + 1) * n, out)


cdef void square_vectors(bint all_terms, const Kernel *k, const Block *b, Py_ssize_t r, Py_ssize_t start,
                         Py_ssize_t stop, float *out) noexcept nogil:
    cdef Py_ssize_t i, n = 3 * k.plane
    cdef const float *taps[3]
    cdef floats first, second, third
    for i in range(3):
        taps[i] = taps_of(k, b, r, <int> i)
    out += start * FLOATS
    for i in range(start, stop):
        first = (<const unaligned *> (taps[0] + i * FLOATS))[0]
        (<unaligned *> out)[0] = first * first
        if all_terms:
            second = (<const unaligned *> (taps[1] + i * FLOATS))[0]
            third = (<const unaligned *> (taps[2] + i * FLOATS))[0]
            (<unaligned *> (out + n))[0] = (first + first) * second
            (<unaligned *> (out + 2 * n))[0] = (first + first) * third + second * second
            (<unaligned *> (out + 3 * n))[0] = (second + second) * third
            (<unaligned *> (out + 4 * n))[0] = third * third
        out += FLOATS


cdef void square_polynomial(const Kernel *k, const Block *b, Py_ssize_t r, float *out) noexcept nogil:
    """The same of any order."""
    cdef Py_ssize_t x, n = 3 * k.plane
    cdef int m, p, lowest
    cdef const float *left
    cdef const float *right
    for m in range(2 * k.order + 1):
        lowest = max(0, m - k.order)
        # pairs of A whose powers are m, those that are met twice first
        for p in range(lowest, (m + 1) // 2):
            left, right = taps_of(k, b, r, p), taps_of(k, b, r, m - p)
            for x in range(n):
                out[x] = 2 * left[x] * right[x] + (out[x] if p > lowest else 0)
        left = taps_of(k, b, r, m // 2)
        for x in range(n if m % 2 == 0 else 0):
            out[x] = left[x] * left[x] + (out[x] if m // 2 > lowest else 0)
        out += n
