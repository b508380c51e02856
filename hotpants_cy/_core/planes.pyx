# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Clipped moments of difference and noise over whole planes, of good and of OK pixels at once (spec 3.2, 8.5).

Nothing is decided on these numbers: the compiler may sum them in lanes side by side (``-fassociative-math``), and
chunks of pixels are summed apart, so that the bits are the same for any number of threads.  Values near the middle of
a list, its core, are summed at once; those further out are kept, so that narrower limits need no other look at the
planes.  The caller guarantees planes of one shape.
"""
from cython.parallel cimport prange
from libc.math cimport fabs, fabsf, isfinite

cdef enum:
    STRIP = 64
    FEW = 16
    N_SUMS = 14                # number, sum and sum of squares of each list; number and sum of chi2
    CHI2 = 12
    N_LISTS = 4
    NOT_FINITE = 0x88          # HotpantsFlags NAN | INPUT_ISBAD
    ANY = 0xffff               # good pixels have none of these
    BAD = 0x8000               # OUTPUT_ISBAD

cdef float ZERO = 1e-10        # pixels this near to zero carry no information
cdef float LARGEST = 3.4028235e38


cdef inline bint lost(float v, int *flag) noexcept nogil:
    """Flag a pixel that is not finite."""
    if isfinite(v):
        return False
    flag[0] |= NOT_FINITE
    return True


cdef struct List:
    # values of one list in a chunk: sums of the core, and what lies around it
    float low                  # of the core
    float high
    double *sums
    float *kept
    Py_ssize_t n_kept
    Py_ssize_t room            # for what is kept; more is counted, and lost


ctypedef fused real:
    float
    double


cdef int add_between(const float *values, Py_ssize_t n, real low, real high, double *sums) noexcept nogil:
    """Number, sum and sum of squares of the values between two limits, compared in the precision of these.

    Return the number.
    """
    cdef Py_ssize_t k
    cdef int count = 0
    cdef double total = 0, total2 = 0
    cdef float v, square
    for k in range(n):
        v = values[k] if (values[k] >= low) & (values[k] <= high) & (fabsf(values[k]) > ZERO) else 0
        square = v * v                               # a float32 product, as in C (P3)
        count += v != 0
        total += v
        total2 += square
    sums[0] += count
    sums[1] += total
    sums[2] += total2
    return count


cdef void keep(const float *values, Py_ssize_t n, List *part) noexcept nogil:
    """Keep those of a few values that do not belong to the core."""
    cdef Py_ssize_t k, n_kept = part.n_kept, room = part.room
    cdef int n_outside = 0
    cdef float v, low = part.low, high = part.high
    for k in range(n):
        n_outside += (values[k] < low) | (values[k] > high)
    if n_outside == 0:
        return
    for k in range(n):
        v = values[k]
        part.kept[min(n_kept, room)] = v             # always written, kept or not: no branch
        n_kept += ((v < low) | (v > high)) & (fabsf(v) > ZERO)
    part.n_kept = n_kept


cdef void add(const float *values, Py_ssize_t n, List *part) noexcept nogil:
    """Put finite values on a list."""
    cdef Py_ssize_t k = 0
    if add_between(values, n, part.low, part.high, part.sums) == n:
        return
    while k < n:
        keep(values + k, min(FEW, n - k), part)      # were the number a constant, gcc would not take vectors
        k += FEW


cdef void add_chi2(const float *difference, const float *noise, Py_ssize_t n, double *sums) noexcept nogil:
    cdef Py_ssize_t k
    cdef int count = 0
    cdef double total = 0
    cdef float d, q
    for k in range(n):
        d = difference[k] if fabs(difference[k]) > ZERO else 0
        q = <float> 1 / noise[k]                     # rounded as C's quotient in double precision is
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


cdef void add_pixel(float difference, float noise, int *flag, bint first, List *lists, double *chi2) noexcept nogil:
    """One pixel, in the order in which C takes the lists: what is not finite changes the list of what follows."""
    cdef float q
    # the first sweep flags a good pixel whose noise alone is not finite, but its difference stays on the list
    if flag[0] & ANY == 0 and not lost(difference, flag) \
            or not first and flag[0] & ANY == NOT_FINITE and isfinite(difference) and not isfinite(noise):
        add(&difference, 1, lists)
    if flag[0] & ANY == 0 and not lost(noise, flag):
        add(&noise, 1, lists + 1)
    if first and flag[0] == 0 and not fabs(difference) <= ZERO:
        q = <float> (1.0 / noise)
        chi2[0] += 1
        chi2[1] += difference * difference * q * q
    if flag[0] & 0xff and not flag[0] & BAD and not lost(difference, flag):
        add(&difference, 1, lists + 2)
    if flag[0] & 0xff and not flag[0] & BAD and not lost(noise, flag):
        add(&noise, 1, lists + 3)


cdef void sweep_chunk(const float *difference, const float *noise, int *flags, Py_ssize_t n, bint first, List *lists,
                      double *chi2) noexcept nogil:
    cdef Py_ssize_t start = 0, k, size
    while start < n:
        size = min(STRIP, n - start)
        if plain(difference + start, noise + start, flags + start, size):
            add(difference + start, size, lists)
            add(noise + start, size, lists + 1)
            if first:
                add_chi2(difference + start, noise + start, size, chi2)
        else:
            for k in range(start, start + size):
                add_pixel(difference[k], noise[k], flags + k, first, lists, chi2)
        start += STRIP


cdef void start_and_sweep(const float *difference, const float *noise, int *flags, Py_ssize_t n, bint first,
                          const float *core, double *sums, float *kept, Py_ssize_t room,
                          Py_ssize_t *n_kept) noexcept nogil:
    cdef int i
    cdef List[N_LISTS] lists
    for i in range(N_LISTS):
        lists[i].low = core[2 * i]
        lists[i].high = core[2 * i + 1]
        lists[i].sums = sums + 3 * i
        lists[i].kept = kept + i * (room + 1)
        lists[i].n_kept = 0
        lists[i].room = room
    sweep_chunk(difference, noise, flags, n, first, lists, sums + CHI2)
    for i in range(N_LISTS):
        n_kept[i] = lists[i].n_kept


def sweep(const float[:, ::1] difference, const float[:, ::1] noise, int[:, ::1] flags, const float[:, ::1] core,
          bint first, double[:, ::1] sums, float[:, :, ::1] kept, Py_ssize_t[:, ::1] n_kept, int n_threads):
    """Number, sum and sum of squares of the values of a core, by chunks of pixels; values around it, one by one.

    The lists are difference and noise of good pixels (no flag), then of OK pixels (flagged, but not bad); ``core``
    has the lowest and highest value of each.  ``sums`` (zero on entry) has a row of 14 per chunk: three per list, then
    number and sum of (difference / noise)^2 over good pixels (spec 8.5.3), if this is the ``first`` sweep.
    ``kept`` gets the other values, by chunk and list, and ``n_kept`` how many there are, which may be more than there
    is room for; the last place is for rubbish.  ``flags`` gets 0x88 where a value is not finite.
    """
    cdef Py_ssize_t chunk, start, stop, n = difference.shape[0] * difference.shape[1], n_chunks = sums.shape[0]
    cdef const float *d = &difference[0, 0]
    cdef const float *s = &noise[0, 0]
    cdef int *m = &flags[0, 0]
    for chunk in prange(n_chunks, nogil=True, schedule='static', num_threads=n_threads):
        start = chunk * n // n_chunks
        stop = (chunk + 1) * n // n_chunks
        start_and_sweep(d + start, s + start, m + start, stop - start, first, &core[0, 0], &sums[chunk, 0],
                        &kept[chunk, 0, 0], kept.shape[2] - 1, &n_kept[chunk, 0])


def add_kept(const float[:, :, ::1] kept, const Py_ssize_t[:, ::1] n_kept, const double[:, ::1] limits,
             double[:, ::1] sums, int n_threads):
    """Add what was kept between ``limits`` to the sums of each chunk."""
    cdef Py_ssize_t chunk, i
    for chunk in prange(kept.shape[0], nogil=True, schedule='static', num_threads=n_threads):
        for i in range(N_LISTS):
            add_between(&kept[chunk, i, 0], min(n_kept[chunk, i], kept.shape[2] - 1), limits[i, 0], limits[i, 1],
                        &sums[chunk, 3 * i])
