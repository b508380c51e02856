# Sums of values between two limits, as if they were added one by one in the order of the pixels (spec 3.2).
#
# Numbers that are multiples of g add up without any rounding, in whatever order, as long as their magnitudes sum to
# less than 2^53 g. A float32 is a multiple of its last place, which is more than 2^-24 of it: sums below 2^29 times the
# smallest value are taken in lanes side by side, and only where that ends the values are added one by one.
from libc.math cimport INFINITY, nextafterf

include "doubles.pxi"
include "numbers.pxi"

cdef enum:
    STRIP = 512                # values that are looked at together; a multiple of the lanes

cdef double ROOM = 536870912.0                       # 2^29


cdef struct Sums:
    Py_ssize_t n
    double total
    double absolute            # of the magnitudes
    double squares             # float32 products, as in C (P3)


cdef struct Strip:
    # values that are taken, with zeros for the others, which change no sum
    float[STRIP] values
    float[STRIP] magnitudes
    float[STRIP] squares


cdef struct Limits:
    float low
    float high


cdef inline Limits everything() noexcept nogil:
    cdef Limits limits
    limits.low = -INFINITY
    limits.high = INFINITY
    return limits


cdef inline bint outside(float v, Limits limits) noexcept nogil:
    return (v < limits.low) | (v > limits.high)      # what is not a number is inside


cdef int take(const float *values, Py_ssize_t n, Limits limits, Strip *strip) noexcept nogil:
    """Take the values of a strip that are between limits; how many these are."""
    cdef Py_ssize_t i
    cdef int count = 0
    cdef float v
    for i in range(n):
        v = 0 if outside(values[i], limits) else values[i]
        count += not outside(values[i], limits)
        strip.values[i] = v
        strip.magnitudes[i] = fabsf(v)
        strip.squares[i] = v * v
    for i in range(n, STRIP):
        strip.values[i] = strip.magnitudes[i] = strip.squares[i] = 0
    return count


cdef float lower_bound(const Strip *strip, float bound) noexcept nogil:
    """Half of the smallest magnitude if any is below ``bound``, zeros apart; half, so that few others are."""
    cdef Py_ssize_t i
    cdef int below = 0
    for i in range(STRIP):
        below |= (strip.magnitudes[i] < bound) & (strip.magnitudes[i] != 0)
    if below:
        for i in range(STRIP):
            if strip.magnitudes[i] != 0:
                bound = min(bound, strip.magnitudes[i] / 2)
    return bound


cdef inline double total_of(doubles lanes) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(LANES):
        total += (<double *> &lanes)[i]
    return total


cdef void add_in_lanes(const Strip *strip, Sums *sums) noexcept nogil:
    """Add a strip in no order that matters."""
    cdef Py_ssize_t i = 0
    cdef doubles values = zeros, magnitudes = zeros, squares = zeros
    while i < STRIP:
        values = values + widened(strip.values + i)
        magnitudes = magnitudes + widened(strip.magnitudes + i)
        squares = squares + widened(strip.squares + i)
        i += LANES
    sums.total += total_of(values)
    sums.absolute += total_of(magnitudes)
    sums.squares += total_of(squares)


cdef void add_in_order(const Strip *strip, Sums *sums) noexcept nogil:
    """Add a strip one by one."""
    cdef Py_ssize_t i
    cdef double total = sums.total, absolute = sums.absolute, squares = sums.squares      # in registers
    for i in range(STRIP):
        total += strip.values[i]
        absolute += strip.magnitudes[i]
        squares += strip.squares[i]
    sums.total = total
    sums.absolute = absolute
    sums.squares = squares


cdef Sums sums_between(const float *values, Py_ssize_t n, Limits limits) noexcept nogil:
    cdef Py_ssize_t start = 0
    cdef Strip strip
    cdef Sums sums, next_sums
    cdef float bound = INFINITY                      # no magnitude is below
    cdef bint any_order = True
    sums.n = 0
    sums.total = sums.absolute = sums.squares = 0
    while start < n:
        sums.n += take(values + start, min(STRIP, n - start), limits, &strip)
        if any_order:
            next_sums = sums
            bound = lower_bound(&strip, bound)
            add_in_lanes(&strip, &next_sums)
            any_order = next_sums.absolute < ROOM * bound and next_sums.squares < ROOM * <float> (bound * bound)
        if any_order:
            sums = next_sums
        else:
            add_in_order(&strip, &sums)
        start += STRIP
    return sums


# -- limits -----------------------------------------------------------------------------------------

cdef inline bint near(double v, double centre, double inverse, double n_sigma) noexcept nogil:
    """Whether a value is not dropped (3.2), which also holds where nothing can be compared."""
    return not fabs(v - centre) * inverse > n_sigma


cdef float last_near(float start, float end, double centre, double inverse, double n_sigma) noexcept nogil:
    """The last number on the way from ``start``, which is near, to ``end``, which is not."""
    cdef long long inner = place_of(start), outer = place_of(end), middle
    while inner - outer > 1 or outer - inner > 1:
        middle = (inner + outer) // 2
        if near(number_at(middle), centre, inverse, n_sigma):
            inner = middle
        else:
            outer = middle
    return number_at(inner)


cdef Limits limits_around(double centre, double inverse, double n_sigma) noexcept nogil:
    """The numbers that are not dropped lie between these: no rounding makes what is farther from the centre nearer."""
    cdef Limits limits = everything()
    cdef float below = <float> centre, above = <float> centre
    if near(INFINITY, centre, inverse, n_sigma):     # nothing can be compared
        return limits
    if below > centre:
        below = nextafterf(below, -INFINITY)
    elif above < centre:
        above = nextafterf(above, INFINITY)
    if near(below, centre, inverse, n_sigma):
        limits.low = last_near(below, limits.low, centre, inverse, n_sigma)
    else:
        limits.low = above
    if near(above, centre, inverse, n_sigma):
        limits.high = last_near(above, limits.high, centre, inverse, n_sigma)
    else:
        limits.high = below                          # with the other limit above it if neither is near
    return limits
