# Mode, median and quartiles from a histogram (spec 3.3, step 3).
cdef enum:
    N_BINS = 256               # and one more for what does not count
    MAX_HISTOGRAMS = 5


cdef void find_bins(const float *values, Py_ssize_t n, Limits limits, double bin1, double width,
                    int *numbers) noexcept nogil:
    """Bin of each of a few values: the first is for all below, and what is not a number, the last for all above."""
    cdef Py_ssize_t i
    cdef double position
    for i in range(n):
        position = (values[i] - bin1) / width
        position = N_BINS - 2 if position >= N_BINS - 2 else position
        position = position if position >= 0 else -1
        # below zero it is -1, and else what is cut off is what `floor` would
        numbers[i] = N_BINS if outside(values[i], limits) else <int> position + 1


cdef void fill_histogram(const float *values, Py_ssize_t n, Limits limits, double bin1, double width,
                         long *bins) noexcept nogil:
    cdef Py_ssize_t i, start = 0, size
    cdef int[N_BINS + 1] even, odd                   # two counts, so that one need not wait for the other
    cdef int[STRIP] numbers
    for i in range(N_BINS + 1):
        even[i] = odd[i] = 0
    while start < n:
        size = min(STRIP, n - start)
        find_bins(values + start, size, limits, bin1, width, numbers)
        for i in range(size // 2):
            even[numbers[2 * i]] += 1
            odd[numbers[2 * i + 1]] += 1
        if size % 2:
            even[numbers[size - 1]] += 1
        start += STRIP
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


cdef int histogram(const float *values, Py_ssize_t n_values, Limits limits, Py_ssize_t n, double bin1, double width,
                   double *out) noexcept nogil:
    """Mode, median and quartile widths of the ``n`` values between limits; code 1 if no histogram of five fits them."""
    cdef long bins[N_BINS]
    cdef int _attempt, taken
    cdef long count
    cdef double lower, upper, middle
    for _attempt in range(MAX_HISTOGRAMS):
        fill_histogram(values, n_values, limits, bin1, width, bins)
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
