# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Clipped moments and histogram statistics of image sections (spec 3.2, 3.3 and 8.5).

Every sum runs in the order of the pixels: the decisions taken on these numbers are exact comparisons.
The caller guarantees that boxes lie inside their arrays and that work arrays hold the whole box.
"""
from libc.math cimport NAN, fabs, floor, sqrt

cdef enum:
    N_SAMPLE = 100
    N_BINS = 256
    STRIP = 256                # values whose bins are found at a time
    N_TABLE = 98
    MAX_HISTOGRAMS = 5
    NOT_FINITE = 0x88          # HotpantsFlags NAN | INPUT_ISBAD

cdef double ZERO = 1e-10       # pixels this near to zero carry no information
cdef double BIG = 1e10
cdef double LARGEST = 3.4028234663852886e38


cdef struct Box:
    # a section of values and the mask under it
    const float *values
    int *mask
    Py_ssize_t value_stride
    Py_ssize_t mask_stride
    Py_ssize_t nx
    Py_ssize_t ny
    int use                    # pixels must have one of these bits, if any is given
    int reject                 # and none of these


cdef struct Generator:
    # three linear congruential generators, shuffled (spec, Appendix A)
    long x1
    long x2
    long x3
    double table[N_TABLE]


cdef inline bint eligible(const Box *box, Py_ssize_t x, Py_ssize_t y) noexcept nogil:
    cdef int m = box.mask[y * box.mask_stride + x]
    if box.use != 0 and (m & box.use) == 0:
        return False
    if box.reject != 0 and (m & box.reject) != 0:
        return False
    return not fabs(box.values[y * box.value_stride + x]) <= ZERO


# -- the random sample (Appendix A) -----------------------------------------------------------

cdef inline double next_entry(Generator *g) noexcept nogil:
    g.x1 = (7141 * g.x1 + 54773) % 259200
    g.x2 = (8121 * g.x2 + 28411) % 134456
    return (g.x1 + g.x2 * (1.0 / 134456)) * (1.0 / 259200)


cdef void seed(Generator *g) noexcept nogil:
    cdef int j
    g.x1 = (7141 * 55439 + 54773) % 259200
    g.x2 = g.x1 % 134456
    g.x1 = (7141 * g.x1 + 54773) % 259200
    g.x3 = g.x1 % 243000
    for j in range(1, N_TABLE):
        g.table[j] = next_entry(g)


cdef double draw(Generator *g) noexcept nogil:
    cdef double value
    cdef long j
    cdef double fresh = next_entry(g)
    g.x3 = (4561 * g.x3 + 51349) % 243000
    j = 1 + (97 * g.x3) // 243000
    value = g.table[j]
    g.table[j] = fresh
    return value


def random_draws(double[::1] out):
    """Fill ``out`` with the first draws of the generator; for tests of Appendix A."""
    cdef Generator g
    cdef Py_ssize_t i
    seed(&g)
    for i in range(out.shape[0]):
        out[i] = draw(&g)


cdef bint any_eligible(const Box *box) noexcept nogil:
    cdef Py_ssize_t x, y
    for y in range(box.ny):
        for x in range(box.nx):
            if eligible(box, x, y):
                return True
    return False


cdef int sorted_sample(const Box *box, float *sample) noexcept nogil:
    """Up to 100 eligible values drawn with replacement, ascending."""
    cdef Generator g
    cdef Py_ssize_t _trial, x, y
    cdef int n = 0, i
    cdef float value
    if not any_eligible(box):                    # the draws would all be in vain
        return 0
    seed(&g)
    for _trial in range(box.nx * box.ny):
        x = <Py_ssize_t> floor(draw(&g) * box.nx)
        y = <Py_ssize_t> floor(draw(&g) * box.ny)
        if not eligible(box, x, y):
            continue
        value = box.values[y * box.value_stride + x]
        i = n
        while i > 0 and sample[i - 1] > value:
            sample[i] = sample[i - 1]
            i -= 1
        sample[i] = value
        n += 1
        if n == N_SAMPLE:
            break
    return n


# -- sigma clipping (3.2) -----------------------------------------------------------------------

cdef int clip(const float *values, Py_ssize_t n, double n_sigma, int max_passes, float *work, double *mean,
              double *sd) noexcept nogil:
    """Mean and sigma of the pass before the last rejection; ``work`` gets the values kept, and may be ``values``."""
    cdef Py_ssize_t i, kept, before = -1
    cdef int passes = 0
    cdef double total = 0, total2 = 0, centre, inverse
    cdef float v
    cdef bint stays
    if n == 0:
        mean[0] = 0
        sd[0] = BIG
        return 1
    for i in range(n):
        v = values[i]
        total += v
        v = v * v                                    # a float32 product, as in C (P3)
        total2 += v
    while n != before and passes < max_passes:
        before = n
        if n == 0:
            mean[0] = 0
            sd[0] = BIG
            return 2
        mean[0] = centre = total / n
        if n == 1:
            sd[0] = BIG
            return 3
        sd[0] = sqrt((total2 - n * centre * centre) / (n - 1))
        inverse = 1 / sd[0]
        kept = 0
        total = 0
        total2 = 0
        for i in range(n):                           # what is kept is summed for the next pass; zeros change no sum
            v = values[i]
            stays = not fabs(v - centre) * inverse > n_sigma
            work[kept] = v                           # always written, kept or not: no branch
            kept += stays
            v = v if stays else 0
            total += v
            v = v * v
            total2 += v
        values = work
        n = kept
        passes += 1
    return 0


def sigma_clip(float[::1] values, double n_sigma, int max_passes):
    """Clip ``values`` (overwritten); return mean, sigma and a code that is 0 when all went well."""
    cdef double mean = 0, sd = 0
    cdef int code
    cdef float *first
    with nogil:
        first = &values[0] if values.shape[0] else NULL
        code = clip(first, values.shape[0], n_sigma, max_passes, first, &mean, &sd)
    return mean, sd, code


# -- the histogram (3.3, step 3) ------------------------------------------------------------------

cdef void find_bins(const float *values, Py_ssize_t n, double bin1, double width, int *numbers) noexcept nogil:
    """Bin of each of a few values: the first is for all below, and what is not a number, the last for all above."""
    cdef Py_ssize_t i
    cdef double position
    for i in range(n):
        position = (values[i] - bin1) / width
        position = N_BINS - 2 if position >= N_BINS - 2 else position
        position = position if position >= 0 else -1
        numbers[i] = <int> position + 1              # it is not negative: what is cut off is what `floor` would


cdef void fill_histogram(const float *values, Py_ssize_t n, double bin1, double width, long *bins) noexcept nogil:
    cdef Py_ssize_t i, start = 0, size
    cdef int[N_BINS] even, odd                       # two counts, so that one need not wait for the other
    cdef int[STRIP] numbers
    for i in range(N_BINS):
        even[i] = odd[i] = 0
    while start < n:
        size = min(STRIP, n - start)
        find_bins(values + start, size, bin1, width, numbers)
        for i in range(size // 2):
            even[numbers[2 * i]] += 1
            odd[numbers[2 * i + 1]] += 1
        if size % 2:
            even[numbers[size - 1]] += 1
        start += size
    for i in range(N_BINS):
        bins[i] = even[i] + odd[i]


cdef double mode_bin(const long *bins, double tenth) noexcept nogil:
    """Centre of the densest tenth of the values, in bins."""
    cdef int low = 1, high = 1, best = 1, j
    cdef long count = 0
    cdef double density, highest = -1, moment = 0
    while True:
        while count < tenth and high < N_BINS - 1:
            count += bins[high]
            high += 1
        density = <double> count / (high - low)
        if density > highest:
            highest = density
            best = low
        if high >= N_BINS - 1:
            break
        count -= bins[low]
        low += 1
    count = 0
    j = best
    while count < tenth and j < N_BINS - 1:
        count += bins[j]
        moment += <double> j * bins[j]
        j += 1
    return moment / count + 0.5 if count > 0 else NAN


cdef double quantile_bin(const long *bins, double target, int *taken, long *count) noexcept nogil:
    """Position of a quantile in bins, going on from the ``taken`` bins with ``count`` values."""
    while count[0] < target and taken[0] < N_BINS:
        count[0] += bins[taken[0]]
        taken[0] += 1
    return taken[0] - (count[0] - target) / <double> bins[taken[0] - 1]


cdef int histogram(const float *values, Py_ssize_t n, double bin1, double width, double *out) noexcept nogil:
    """Mode, median and quartile widths; code 1 if no histogram of five fits the values."""
    cdef long bins[N_BINS]
    cdef int _attempt, taken
    cdef long count
    cdef double lower, upper, middle
    for _attempt in range(MAX_HISTOGRAMS):
        fill_histogram(values, n, bin1, width, bins)
        out[3] = bin1 + width * (mode_bin(bins, n / 10.0) - 1)
        taken = 0
        count = 0
        lower = quantile_bin(bins, n / 4.0, &taken, &count)
        upper = quantile_bin(bins, 3.0 * n / 4.0, &taken, &count)
        if lower < 1 or upper > N_BINS - 1:
            bin1 -= 128 * width
            width *= 2
        elif upper - lower < 40:
            width /= 3
            bin1 = out[3] - 128 * width
        else:
            taken = 0
            count = 0
            middle = quantile_bin(bins, n / 2.0, &taken, &count)
            out[5] = width * (upper - lower) / 1.35
            out[6] = width * (middle - lower) * 2 / 1.35
            out[2] = bin1 + width * (middle - 1)
            return 0
    return 1


# -- statistics of a section (3.3) ------------------------------------------------------------------

cdef Py_ssize_t collect(const Box *box, float *work) noexcept nogil:
    """Gather the eligible values; flag those that are not finite."""
    cdef Py_ssize_t x, y, n = 0
    cdef int m, use = box.use if box.use != 0 else -1, all_used = box.use == 0, reject = box.reject
    cdef const float *values
    cdef int *mask
    cdef bint taken
    for y in range(box.ny):
        values = box.values + y * box.value_stride
        mask = box.mask + y * box.mask_stride
        for x in range(box.nx):
            m = mask[x]
            taken = (all_used | ((m & use) != 0)) & ((m & reject) == 0) & (not fabs(values[x]) <= ZERO)
            if taken & (not fabs(values[x]) <= LARGEST):
                mask[x] |= NOT_FINITE
                taken = False
            work[n] = values[x]                      # always written, taken or not: no branch
            n += taken
    return n


cdef int section(const Box *box, double n_sigma, int max_passes, float *work, double *out) noexcept nogil:
    cdef float sample[N_SAMPLE]
    cdef int n_sample, i90, i50
    cdef Py_ssize_t i, n, kept = 0
    cdef double width, bin1, centre, inverse, total = 0
    cdef float v
    cdef bint stays
    if box.nx * box.ny < N_SAMPLE:
        return 4
    for i in range(N_SAMPLE):
        sample[i] = 0
    n_sample = sorted_sample(box, sample)
    i90 = <int> (<float> 0.9 * n_sample)
    i50 = <int> (0.5 * n_sample)
    width = (sample[i90] - sample[i50]) / 100.0
    bin1 = sample[i50] - 128.0 * width
    n = collect(box, work)
    if clip(work, n, n_sigma, max_passes, work + box.nx * box.ny, &out[1], &out[4]) != 0:
        return 5
    # the last limits on all values: a value dropped by an early pass may lie inside them again
    centre = out[1]
    inverse = 1 / out[4]
    for i in range(n):
        v = work[i]
        stays = not fabs(v - centre) * inverse > n_sigma
        work[kept] = v
        kept += stays
        total += fabs(v) if stays else 0
    if kept == 0 or width == 0:
        out[2] = out[3] = sample[i50]
        out[5] = out[6] = 0
        return 2 if kept == 0 else 3
    if histogram(work, kept, bin1, width, out) != 0:
        return 1
    out[0] = total
    return 0


def section_statistics(const float[:, ::1] values, int[:, ::1] mask, Py_ssize_t x0, Py_ssize_t y0,
                       Py_ssize_t nx, Py_ssize_t ny, int use, int reject, double n_sigma, int max_passes,
                       float[::1] work, double[::1] out, bint cutout=False):
    """Statistics of the box with corner (x0, y0): sum, mean, median, mode, sd, fwhm, lfwhm into ``out``.

    Entries that a failure leaves open keep what they held.  The code returned is 0 for success.
    ``mask`` gets 0x88 where an eligible value is not finite.  With ``cutout`` the values are
    those of the box alone.  ``work`` has room for the box twice.
    """
    cdef Box box
    cdef int code
    if nx <= 0 or ny <= 0:
        return 4
    box.values = &values[0, 0] if cutout else &values[y0, x0]
    box.mask = &mask[y0, x0]
    box.value_stride = values.shape[1]
    box.mask_stride = mask.shape[1]
    box.nx = nx
    box.ny = ny
    box.use = use
    box.reject = reject
    with nogil:
        code = section(&box, n_sigma, max_passes, &work[0], &out[0])
    return code


def box_chi2(const float[:, ::1] difference, const float[:, ::1] noise, const int[:, ::1] mask,
             Py_ssize_t x0, Py_ssize_t y0, Py_ssize_t width):
    """Mean of (difference / noise)^2 over a square, without pixels that have 0x80; -1 if there are none (8.4.3)."""
    cdef Py_ssize_t x, y, n = 0
    cdef double total = 0
    cdef float d, q
    for y in range(y0, y0 + width):
        for x in range(x0, x0 + width):
            if mask[y, x] & 0x80:
                continue
            d = difference[y, x]
            q = <float> (1.0 / noise[y, x])
            d = d * d * q * q
            total += d
            n += 1
    return total / n if n > 0 else -1.0
