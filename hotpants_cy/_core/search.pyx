# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""The search for substamps in one grid cell (spec 3.4 and 3.5).

The caller guarantees that the cell lies inside the arrays and that the outputs have room for ``target`` peaks.
"""
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY

include "numbers.pxi"

cdef enum:
    # HotpantsFlags BAD_PIXVAL | SAT | LOW | NAN | BAD_CONV | INPUT_MASK | INPUT_ISBAD: all but OK_CONV
    FORBIDDEN = 0xbf
    MAX_LEVELS = 1000
    FEW = 32                   # pixels that are looked at together


cdef struct Cell:
    const float *data
    int *mask
    Py_ssize_t stride
    Py_ssize_t nx
    Py_ssize_t ny
    Py_ssize_t half_width      # of a substamp
    double sky
    double inverse_sigma
    double high                # values from here up are saturated
    double threshold
    double floor               # level of the last scan
    int bad
    int skip


cdef double box_score(const Cell *cell, Py_ssize_t xc, Py_ssize_t yc) noexcept nogil:
    """Sum of the significant pixels around a position; 0 if any pixel of the box is unusable (3.5)."""
    cdef Py_ssize_t x, y, i
    cdef int forbidden = FORBIDDEN | cell.bad | cell.skip
    cdef double sky = <float> cell.sky, inverse_sigma = <float> cell.inverse_sigma    # rounded here only (P5)
    cdef double value, score = 0
    for y in range(max(yc - cell.half_width, 0), min(yc + cell.half_width + 1, cell.ny)):
        for x in range(max(xc - cell.half_width, 0), min(xc + cell.half_width + 1, cell.nx)):
            i = y * cell.stride + x
            if cell.mask[i] & forbidden:
                return 0
            value = cell.data[i]
            if value >= cell.high:
                cell.mask[i] |= cell.bad
                return 0
            if (value - sky) * inverse_sigma > cell.threshold:
                score += value
    return score


cdef inline bint stands_out(const Cell *cell, double value) noexcept nogil:
    """Whether a value is significant or saturated."""
    return value >= cell.high or not (value - cell.sky) * cell.inverse_sigma < cell.threshold


cdef float lowest_that_stands_out(const Cell *cell) noexcept nogil:
    """The lowest value that stands out, as do all above it; infinity if there is none."""
    cdef long long low = place_of(-INFINITY), high = place_of(INFINITY), middle
    if stands_out(cell, -INFINITY):
        return -INFINITY
    while high - low > 1:
        middle = (low + high) // 2
        if stands_out(cell, number_at(middle)):
            high = middle
        else:
            low = middle
    return number_at(high)


cdef inline bint significant(const Cell *cell, Py_ssize_t i) noexcept nogil:
    """Whether a pixel may belong to a star: usable, and high enough over the sky; marks it if it is saturated."""
    cdef double value = cell.data[i]
    if cell.mask[i] & (FORBIDDEN | cell.bad | cell.skip):
        return False
    if value >= cell.high:
        cell.mask[i] |= cell.bad
        return False
    return not (value - cell.sky) * cell.inverse_sigma < cell.threshold


cdef inline bint any_higher(const float *values, Py_ssize_t n, float level) noexcept nogil:
    cdef Py_ssize_t x
    cdef int seen = 0
    for x in range(n):
        seen |= values[x] > level
    return seen != 0


cdef void recentre(const Cell *cell, Py_ssize_t *xc, Py_ssize_t *yc) noexcept nogil:
    """Move to the brightest usable pixel of the box around a candidate; what is saturated is brighter, and marked."""
    cdef Py_ssize_t x, y, i, left = max(xc[0] - cell.half_width, 0), y0 = yc[0]
    cdef Py_ssize_t right = min(xc[0] + cell.half_width + 1, cell.nx)
    cdef float highest = cell.data[y0 * cell.stride + xc[0]]
    for y in range(max(y0 - cell.half_width, 0), min(y0 + cell.half_width + 1, cell.ny)):
        if not any_higher(cell.data + y * cell.stride + left, right - left, highest):
            continue
        for x in range(left, right):
            i = y * cell.stride + x
            if cell.data[i] > highest and significant(cell, i):
                highest = cell.data[i]
                xc[0] = x
                yc[0] = y


cdef void mark_used(const Cell *cell, Py_ssize_t xc, Py_ssize_t yc) noexcept nogil:
    """Set the skip bit on the box; column 0 and row 0 of the cell are never marked (P6)."""
    cdef Py_ssize_t x, y
    for y in range(max(yc - cell.half_width, 1), min(yc + cell.half_width + 1, cell.ny)):
        for x in range(max(xc - cell.half_width, 1), min(xc + cell.half_width + 1, cell.nx)):
            cell.mask[y * cell.stride + x] |= cell.skip


cdef inline bint any_candidate(const float *values, Py_ssize_t n, float lowest) noexcept nogil:
    cdef Py_ssize_t x
    cdef int seen = 0
    for x in range(n):
        seen |= not values[x] < lowest               # what is not a number is one
    return seen != 0


cdef Py_ssize_t collect_candidates(const Cell *cell, float lowest, int *candidates) noexcept nogil:
    """Pixels, by their number in the cell, that a scan may stop at: only they are significant, or saturated."""
    cdef Py_ssize_t x, y, start, n = 0
    cdef const float *data
    for y in range(cell.ny):
        data = cell.data + y * cell.stride
        start = 0
        while start < cell.nx:
            if any_candidate(data + start, min(FEW, cell.nx - start), lowest):
                for x in range(start, min(start + FEW, cell.nx)):
                    candidates[n] = <int> (y * cell.nx + x)      # always written: no branch
                    n += not data[x] < lowest
            start += FEW
    return n


cdef Py_ssize_t scan(const Cell *cell, const int *candidates, Py_ssize_t n, double level, Py_ssize_t found,
                     Py_ssize_t target, int *xs, int *ys, double *scores) noexcept nogil:
    """Take the peaks above a level in the order of the pixels, until ``target`` are found."""
    cdef Py_ssize_t c, x, y, i, xc, yc, refused = -1     # the last: its neighbours lead to it again, in vain
    cdef double score
    for c in range(n):
        x = candidates[c] % cell.nx
        y = candidates[c] // cell.nx
        i = y * cell.stride + x
        if not significant(cell, i) or not cell.data[i] > level:
            continue
        xc = x
        yc = y
        recentre(cell, &xc, &yc)
        if yc * cell.nx + xc == refused:
            continue
        score = box_score(cell, xc, yc)
        if score == 0:
            refused = yc * cell.nx + xc
            continue
        xs[found] = <int> xc
        ys[found] = <int> yc
        scores[found] = score
        found += 1
        mark_used(cell, xc, yc)
        if found >= target:
            return found
    return found


cdef Cell cell_of(const float[:, ::1] data, int[:, ::1] mask, Py_ssize_t x0, Py_ssize_t y0, Py_ssize_t nx,
                  Py_ssize_t ny, Py_ssize_t half_width, double sky, double sigma, double high, double threshold,
                  int bad, int skip) noexcept nogil:
    cdef Cell cell
    cell.data = &data[y0, x0]
    cell.mask = &mask[y0, x0]
    cell.stride = data.shape[1]
    cell.nx = nx
    cell.ny = ny
    cell.half_width = half_width
    cell.sky = sky
    cell.inverse_sigma = 1 / sigma
    cell.high = high
    cell.threshold = threshold
    cell.floor = sky + threshold * sigma
    cell.bad = bad
    cell.skip = skip
    return cell


cdef int fill_peaks(const Cell *cell, int target, int *xs, int *ys, double *scores, int *work) noexcept nogil:
    """Find up to ``target`` peaks, brightest level first; how many there are."""
    cdef Py_ssize_t n, found = 0
    cdef double level
    cdef float fraction = <float> 0.9
    cdef int _level
    n = collect_candidates(cell, lowest_that_stands_out(cell), work)
    for _level in range(MAX_LEVELS):
        level = cell.sky + (cell.high - cell.sky) * fraction
        if not level > cell.floor:
            level = cell.floor
        found = scan(cell, work, n, level, found, target, xs, ys, scores)
        if found >= target or not level > cell.floor:
            break
        fraction = <float> (fraction - 0.2)
    return <int> found


cdef int peaks_of_box(const float[:, ::1] data, int[:, ::1] mask, const Py_ssize_t *box, Py_ssize_t half_width,
                      double sky, double sigma, double high, double threshold, int bad, int skip, int target, int *xs,
                      int *ys, double *scores, int *work) noexcept nogil:
    cdef Cell cell
    if box[2] <= 0 or box[3] <= 0:
        return 0
    cell = cell_of(data, mask, box[0], box[1], box[2], box[3], half_width, sky, sigma, high, threshold, bad, skip)
    return fill_peaks(&cell, target, xs, ys, scores, work)


def peaks_of_boxes(const float[:, ::1] data, int[:, ::1] mask, const Py_ssize_t[:, ::1] boxes, Py_ssize_t half_width,
                   const double[::1] sky, const double[::1] sigma, double high, double threshold, int bad, int skip,
                   int[:, ::1] xs, int[:, ::1] ys, double[:, ::1] scores, int[::1] found, int[:, ::1] work):
    """Find up to as many peaks as ``xs`` has columns in each box (x0, y0, nx, ny), brightest level first.

    Boxes do not overlap; ``found`` tells how many there are. Positions are relative to the corner of the box.  ``mask``
    gets ``bad`` on saturated pixels and ``skip`` on the boxes around peaks taken.  ``work`` has a row per thread, with
    room for the largest box.
    """
    cdef Py_ssize_t i
    cdef int target = <int> xs.shape[1], n_threads = <int> work.shape[0]
    for i in prange(boxes.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        found[i] = peaks_of_box(data, mask, &boxes[i, 0], half_width, sky[i], sigma[i], high, threshold, bad, skip,
                                target, &xs[i, 0], &ys[i, 0], &scores[i, 0], &work[threadid(), 0])


def score_at(const float[:, ::1] data, int[:, ::1] mask, Py_ssize_t x0, Py_ssize_t y0, Py_ssize_t nx,
             Py_ssize_t ny, Py_ssize_t half_width, double sky, double sigma, double high, double threshold,
             int bad, int skip, Py_ssize_t x, Py_ssize_t y):
    """Score of a substamp centred at (x, y) in a cell, 0 if it is unusable; for stars from a list (3.7)."""
    cdef Cell cell = cell_of(data, mask, x0, y0, nx, ny, half_width, sky, sigma, high, threshold, bad, skip)
    return box_score(&cell, x, y)
