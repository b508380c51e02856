# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Clipped moments and histogram statistics of image sections (spec 3.2, 3.3 and 8.5).

Every sum is as if taken in the order of the pixels: the decisions taken on these numbers are exact comparisons.
The caller guarantees that boxes lie inside their arrays and that work arrays hold the whole box.
"""
from cython.parallel cimport prange, threadid
from libc.float cimport FLT_MAX
from libc.math cimport NAN, fabs, fabsf, floor, sqrt
from libc.string cimport memcpy

cdef enum:
    SOME = 64                  # values that are collected at a time
    NOT_FINITE = 0x88          # HotpantsFlags NAN | INPUT_ISBAD

cdef double ZERO = 1e-10       # pixels this near to zero carry no information
cdef double BIG = 1e10
cdef float SMALL = 2e-10       # more than that


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


cdef inline bint eligible(const Box *box, Py_ssize_t x, Py_ssize_t y) noexcept nogil:
    cdef int m = box.mask[y * box.mask_stride + x]
    if box.use != 0 and (m & box.use) == 0:
        return False
    if box.reject != 0 and (m & box.reject) != 0:
        return False
    return not fabs(box.values[y * box.value_stride + x]) <= ZERO


include "sample.pxi"


# -- sigma clipping (3.2) -----------------------------------------------------------------------

include "moments.pxi"


cdef int clip(const float *values, Py_ssize_t n, double n_sigma, int max_passes, double *mean,
              double *sd) noexcept nogil:
    """Mean and sigma of the pass before the last rejection."""
    cdef Py_ssize_t before = -1
    cdef int _pass
    cdef Limits limits = everything(), narrower
    cdef Sums sums = sums_between(values, n, limits)
    for _pass in range(max_passes):
        if sums.n == before:
            return 0
        before = sums.n
        mean[0] = sums.total / sums.n if sums.n > 0 else 0
        sd[0] = BIG
        if sums.n < 2:
            return 3 if sums.n == 1 else 2 if _pass > 0 else 1
        sd[0] = sqrt((sums.squares - sums.n * mean[0] * mean[0]) / (sums.n - 1))
        if _pass + 1 < max_passes:                   # otherwise what would be kept is not looked at
            narrower = limits_around(mean[0], 1 / sd[0], n_sigma)
            limits.low = max(limits.low, narrower.low)
            limits.high = min(limits.high, narrower.high)
            sums = sums_between(values, n, limits)
    return 0


def sigma_clip(const float[::1] values, double n_sigma, int max_passes):
    """Clip ``values``; return mean, sigma and a code that is 0 when all went well."""
    cdef double mean = 0, sd = 0
    cdef int code
    with nogil:
        code = clip(&values[0] if values.shape[0] else NULL, values.shape[0], n_sigma, max_passes, &mean, &sd)
    return mean, sd, code


include "histogram.pxi"


# -- statistics of a section (3.3) ------------------------------------------------------------------

cdef inline bint all_eligible(const float *values, const int *mask, Py_ssize_t n, int use, int reject) noexcept nogil:
    """Whether all of a few values are surely eligible and finite; compared in single precision, thus near zero not."""
    cdef Py_ssize_t x
    cdef int bad = 0, any_will_do = use == 0
    for x in range(n):
        bad |= (mask[x] & reject) | (not fabsf(values[x]) > SMALL) | (not fabsf(values[x]) <= FLT_MAX) \
            | (not (any_will_do | ((mask[x] & use) != 0)))
    return bad == 0


cdef Py_ssize_t collect_strip(const Box *box, const float *values, int *mask, Py_ssize_t n,
                              float *work) noexcept nogil:
    """Gather the eligible ones of a few values; flag those that are not finite."""
    cdef Py_ssize_t x, taken = 0
    cdef int m
    if all_eligible(values, mask, n, box.use, box.reject):
        memcpy(work, values, n * sizeof(float))
        return n
    for x in range(n):
        m = mask[x]
        if box.use != 0 and m & box.use == 0 or m & box.reject or fabs(values[x]) <= ZERO:
            continue
        if fabsf(values[x]) <= FLT_MAX:
            work[taken] = values[x]
            taken += 1
        else:
            mask[x] |= NOT_FINITE
    return taken


cdef Py_ssize_t collect(const Box *box, float *work) noexcept nogil:
    """Gather the eligible values; flag those that are not finite."""
    cdef Py_ssize_t x, y, n = 0
    for y in range(box.ny):
        x = 0
        while x < box.nx:
            n += collect_strip(box, box.values + y * box.value_stride + x, box.mask + y * box.mask_stride + x,
                               min(SOME, box.nx - x), work + n)
            x += SOME
    return n


cdef int section(const Box *box, double n_sigma, int max_passes, float *work, double *out) noexcept nogil:
    cdef float sample[N_SAMPLE]
    cdef int n_sample, i90, i50
    cdef Py_ssize_t i, n
    cdef double width, bin1
    cdef Limits limits
    cdef Sums sums
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
    if clip(work, n, n_sigma, max_passes, &out[1], &out[4]) != 0:
        return 5
    # the last limits on all values: a value dropped by an early pass may lie inside them again
    limits = limits_around(out[1], 1 / out[4], n_sigma)
    sums = sums_between(work, n, limits)
    if sums.n == 0 or width == 0:
        out[2] = out[3] = sample[i50]
        out[5] = out[6] = 0
        return 2 if sums.n == 0 else 3
    if histogram(work, n, limits, sums.n, bin1, width, out) != 0:
        return 1
    out[0] = sums.absolute
    return 0


cdef int measure(const float[:, ::1] values, int[:, ::1] mask, Py_ssize_t x0, Py_ssize_t y0, Py_ssize_t nx,
                 Py_ssize_t ny, int use, int reject, double n_sigma, int max_passes, float *work, double *out,
                 bint cutout) noexcept nogil:
    cdef Box box
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
    return section(&box, n_sigma, max_passes, work, out)


def section_statistics(const float[:, ::1] values, int[:, ::1] mask, Py_ssize_t x0, Py_ssize_t y0,
                       Py_ssize_t nx, Py_ssize_t ny, int use, int reject, double n_sigma, int max_passes,
                       float[::1] work, double[::1] out, bint cutout=False):
    """Statistics of the box with corner (x0, y0): sum, mean, median, mode, sd, fwhm, lfwhm into ``out``.

    Entries that a failure leaves open keep what they held.  The code returned is 0 for success.
    ``mask`` gets 0x88 where an eligible value is not finite.  With ``cutout`` the values are
    those of the box alone.  ``work`` has room for the box.
    """
    cdef int code
    with nogil:
        code = measure(values, mask, x0, y0, nx, ny, use, reject, n_sigma, max_passes, &work[0], &out[0], cutout)
    return code


def statistics_of_boxes(const float[:, ::1] values, int[:, ::1] mask, const Py_ssize_t[:, ::1] boxes, int use,
                        int reject, double n_sigma, int max_passes, float[:, ::1] work, double[:, ::1] out,
                        int[::1] codes):
    """`section_statistics` of boxes (x0, y0, nx, ny) that do not overlap, with a row of ``work`` per thread."""
    cdef Py_ssize_t i
    cdef int n_threads = <int> work.shape[0]
    for i in prange(boxes.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        codes[i] = measure(values, mask, boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3], use, reject, n_sigma,
                           max_passes, &work[threadid(), 0], &out[i, 0], False)


cdef double chi2_of_box(const float[:, ::1] difference, const float[:, ::1] noise, const int[:, ::1] mask,
                        Py_ssize_t x0, Py_ssize_t y0, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t x, y, start, n = 0
    cdef double total = 0
    cdef float[SOME] terms
    cdef float d, q
    for y in range(y0, y0 + width):
        start = x0
        while start < x0 + width:
            for x in range(start, min(start + SOME, x0 + width)):
                d = difference[y, x]
                q = <float> (1.0 / noise[y, x])
                terms[x - start] = 0 if mask[y, x] & 0x80 else d * d * q * q
                n += not mask[y, x] & 0x80
            for x in range(start, min(start + SOME, x0 + width)):
                total += terms[x - start]
            start += SOME
    return total / n if n > 0 else -1.0


def chi2_of_boxes(const float[:, ::1] difference, const float[:, ::1] noise, const int[:, ::1] mask,
                  const Py_ssize_t[:, ::1] corners, Py_ssize_t width, double[::1] out, int n_threads):
    """Mean of (difference / noise)^2 over squares with first pixels ``corners`` (x0, y0) (8.4.3).

    Pixels that have 0x80 are left out; -1 where no other is.
    """
    cdef Py_ssize_t i
    for i in prange(corners.shape[0], nogil=True, schedule='static', num_threads=n_threads):
        out[i] = chi2_of_box(difference, noise, mask, corners[i, 0], corners[i, 1], width)
