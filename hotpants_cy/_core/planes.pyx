# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Clipped moments of difference and noise over whole planes, of good and of OK pixels at once (spec 3.2, 8.5).

Nothing is decided on these numbers: the compiler may sum them in lanes side by side (``-fassociative-math``), and
chunks of pixels are summed apart, so that the bits are the same for any number of threads.  The caller guarantees
planes of one shape.
"""
from cython.parallel cimport prange
from libc.math cimport fabs, isfinite

cdef enum:
    STRIP = 256
    N_SUMS = 14                # number, sum and sum of squares of each list; number and sum of chi2
    CHI2 = 12
    NOT_FINITE = 0x88          # HotpantsFlags NAN | INPUT_ISBAD
    ANY = 0xffff               # good pixels have none of these
    BAD = 0x8000               # OUTPUT_ISBAD

cdef double ZERO = 1e-10       # pixels this near to zero carry no information
cdef float LARGEST = 3.4028235e38


cdef inline bint lost(float v, int *flag) noexcept nogil:
    """Flag a pixel that is not finite."""
    if isfinite(v):
        return False
    flag[0] |= NOT_FINITE
    return True


cdef void add_strip(const float *values, Py_ssize_t n, double low, double high, double *sums) noexcept nogil:
    """Number, sum and sum of squares of the values between two limits."""
    cdef Py_ssize_t k
    cdef int count = 0
    cdef double total = 0, total2 = 0
    cdef float v, square
    for k in range(n):
        v = values[k] if (values[k] >= low) & (values[k] <= high) & (fabs(values[k]) > ZERO) else 0
        square = v * v                               # a float32 product, as in C (P3)
        count += v != 0
        total += v
        total2 += square
    sums[0] += count
    sums[1] += total
    sums[2] += total2


cdef void add_chi2(const float *difference, const float *noise, Py_ssize_t n, double *sums) noexcept nogil:
    cdef Py_ssize_t k
    cdef int count = 0
    cdef double total = 0
    cdef float d, q
    for k in range(n):
        d = difference[k] if fabs(difference[k]) > ZERO else 0
        q = <float> (1.0 / noise[k])
        count += d != 0
        total += d * d * q * q
    sums[0] += count
    sums[1] += total


cdef inline bint plain(const float *difference, const float *noise, const int *flags, Py_ssize_t n) noexcept nogil:
    """Whether all pixels of a strip are good, finite and noisy."""
    cdef Py_ssize_t k
    cdef int seen = 0
    for k in range(n):
        seen |= flags[k] | (not fabs(difference[k]) <= LARGEST) | (not noise[k] <= LARGEST) | (not noise[k] > 0)
    return seen == 0


cdef void add_pixel(float difference, float noise, int *flag, const double *limits, bint first,
                    double *sums) noexcept nogil:
    """One pixel, in the order in which C takes the lists: what is not finite changes the list of what follows."""
    cdef float q
    # the first sweep flags a good pixel whose noise alone is not finite, but its difference stays on the list
    if flag[0] & ANY == 0 and not lost(difference, flag) \
            or not first and flag[0] & ANY == NOT_FINITE and isfinite(difference) and not isfinite(noise):
        add_strip(&difference, 1, limits[0], limits[1], sums)
    if flag[0] & ANY == 0 and not lost(noise, flag):
        add_strip(&noise, 1, limits[2], limits[3], sums + 3)
    if first and flag[0] == 0 and not fabs(difference) <= ZERO:
        q = <float> (1.0 / noise)
        sums[CHI2] += 1
        sums[CHI2 + 1] += difference * difference * q * q
    if flag[0] & 0xff and not flag[0] & BAD and not lost(difference, flag):
        add_strip(&difference, 1, limits[4], limits[5], sums + 6)
    if flag[0] & 0xff and not flag[0] & BAD and not lost(noise, flag):
        add_strip(&noise, 1, limits[6], limits[7], sums + 9)


cdef void sweep_chunk(const float *difference, const float *noise, int *flags, Py_ssize_t n, const double *limits,
                      bint first, double *sums) noexcept nogil:
    cdef Py_ssize_t start = 0, k, size
    while start < n:
        size = min(STRIP, n - start)
        if plain(difference + start, noise + start, flags + start, size):
            add_strip(difference + start, size, limits[0], limits[1], sums)
            add_strip(noise + start, size, limits[2], limits[3], sums + 3)
            if first:
                add_chi2(difference + start, noise + start, size, sums + CHI2)
        else:
            for k in range(start, start + size):
                add_pixel(difference[k], noise[k], flags + k, limits, first, sums)
        start += STRIP


def sweep(const float[:, ::1] difference, const float[:, ::1] noise, int[:, ::1] flags, const double[::1] limits,
          bint first, double[:, ::1] sums, int n_threads):
    """Number, sum and sum of squares of the values within limits, by chunks of pixels.

    The lists are difference and noise of good pixels (no flag), then of OK pixels (flagged, but not bad); ``limits``
    has the lowest and highest value of each.  ``sums`` (zero on entry) has a row of 14 per chunk: three per list, then
    number and sum of (difference / noise)^2 over good pixels (spec 8.5.3), if this is the ``first`` sweep.
    ``flags`` gets 0x88 where a value is not finite.
    """
    cdef Py_ssize_t chunk, start, stop, n = difference.shape[0] * difference.shape[1], n_chunks = sums.shape[0]
    cdef const float *d = &difference[0, 0]
    cdef const float *s = &noise[0, 0]
    cdef int *m = &flags[0, 0]
    for chunk in prange(n_chunks, nogil=True, schedule='static', num_threads=n_threads):
        start = chunk * n // n_chunks
        stop = (chunk + 1) * n // n_chunks
        sweep_chunk(d + start, s + start, m + start, stop - start, &limits[0], first, &sums[chunk, 0])
