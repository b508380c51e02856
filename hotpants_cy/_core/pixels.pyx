# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Loops over all pixels with the rounding of the spec: noise model, thresholds, background, difference.

The caller guarantees planes of one shape.
"""
from cython.parallel cimport prange, threadid
from libc.math cimport fabs, sqrt

cdef enum:
    STRIP = 256                # pixels whose flags are left alone together, since writing costs more than comparing
    BAD_PIXVAL = 0x81          # HotpantsFlags, each with INPUT_ISBAD
    SAT = 0x82
    LOW = 0x84
    INPUT_BAD = 0x80
    OK_NEAR = 0x40             # OK_CONV
    OUTPUT_BAD = 0x8000


def model_variance(const float[:, ::1] data, double inverse_gain, double read_variance, float[:, ::1] out,
                   int n_threads):
    """Poisson and read noise: ``|data| / gain + (read noise / gain)^2`` (spec 2.7.2)."""
    cdef Py_ssize_t x, y
    for y in prange(data.shape[0], nogil=True, schedule='static', num_threads=n_threads):
        for x in range(data.shape[1]):
            out[y, x] = <float> (fabs(<double> data[y, x]) * inverse_gain + read_variance)


cdef struct Limits:
    float fill
    float low
    float high
    int flag                   # for each pixel that has one of its own


cdef inline int threshold_flags(const Limits *limits, float v) noexcept nogil:
    """Flags of fill values, saturated and low pixels (spec 2.7.4); NaN satisfies none."""
    cdef int m = 0
    if v == limits.fill:
        m = BAD_PIXVAL
    if v >= limits.high:
        m |= SAT
    if v <= limits.low:
        m |= LOW
    return m


cdef void flag_values(const Limits *limits, const float *values, Py_ssize_t n, int *flags) noexcept nogil:
    """Add the flags of a row, which is not written to where there are none: untouched memory costs nothing."""
    cdef Py_ssize_t start = 0, x, stop
    cdef int m, seen
    while start < n:
        stop = min(start + STRIP, n)
        seen = 0
        for x in range(start, stop):
            seen |= (values[x] == limits.fill) | (values[x] >= limits.high) | (values[x] <= limits.low)
        if seen:
            for x in range(start, stop):
                m = threshold_flags(limits, values[x])
                flags[x] |= m | (limits.flag if m else 0)
        start = stop


def flag_thresholds(const float[:, ::1] data, float fill, float low, float high, int[:, ::1] flags, int n_threads):
    """Flag fill values, saturated and low pixels (spec 2.7.4); the plane of flags is not touched anywhere else."""
    cdef Py_ssize_t y
    cdef Limits limits = Limits(fill, low, high, 0)
    for y in prange(data.shape[0], nogil=True, schedule='static', num_threads=n_threads):
        flag_values(&limits, &data[y, 0], data.shape[1], &flags[y, 0])


def clear(int[:, ::1] flags, int n_threads):
    """Set all flags to 0."""
    cdef Py_ssize_t x, y
    for y in prange(flags.shape[0], nogil=True, schedule='static', num_threads=n_threads):
        for x in range(flags.shape[1]):
            flags[y, x] = 0


def any_flag(const int[:, ::1] flags, int bits, int n_threads):
    """Whether any pixel has one of some bits."""
    cdef Py_ssize_t x, y
    cdef int seen = 0
    for y in prange(flags.shape[0], nogil=True, schedule='static', num_threads=n_threads):
        for x in range(flags.shape[1]):
            seen |= flags[y, x]
    return seen & bits != 0


cdef void spread_row(const unsigned char *bad, Py_ssize_t n, Py_ssize_t n_rows, const unsigned char *any_bad,
                     Py_ssize_t here, Py_ssize_t growth, unsigned char *columns, unsigned char *near,
                     int *flags) noexcept nogil:
    """Flag the pixels of a row, of which a bad one is near; ``bad`` starts ``here`` rows before it."""
    cdef Py_ssize_t x, j
    cdef bint any_row = False
    for x in range(n + 2 * growth):
        columns[x] = 0
    for j in range(n_rows):
        if any_bad[j]:
            any_row = True
            for x in range(n):
                columns[growth + x] |= bad[j * n + x]
    if not any_row:
        return
    for x in range(n):
        near[x] = 0
    for j in range(2 * growth + 1):
        for x in range(n):
            near[x] |= columns[j + x]
    for x in range(n):
        flags[x] |= OK_NEAR if near[x] & ~bad[here * n + x] else 0


def spread_bad(int[:, ::1] flags, Py_ssize_t growth, unsigned char[:, ::1] bad, unsigned char[::1] any_bad,
               unsigned char[:, ::1] work, int n_threads):
    """Flag pixels with a bad one at most ``growth`` columns and rows away, but not the bad ones (spec 2.7.5).

    ``bad`` and ``any_bad`` are told which pixels are bad and in which rows there are some; ``work`` has a row of twice
    the length of a row of pixels and twice ``growth`` per thread.
    """
    cdef Py_ssize_t y, first, last, nx = flags.shape[1], ny = flags.shape[0]
    for y in prange(ny, nogil=True, schedule='static', num_threads=n_threads):
        any_bad[y] = hide_row(&flags[y, 0], INPUT_BAD, 0, &bad[y, 0], NULL, nx)
    for y in prange(ny, nogil=True, schedule='static', num_threads=n_threads):
        first = max(y - growth, 0)
        last = min(y + growth, ny - 1)
        spread_row(&bad[first, 0], nx, last - first + 1, &any_bad[first], y - first, growth, &work[threadid(), 0],
                   &work[threadid(), nx + 2 * growth], &flags[y, 0])


cdef bint hide_row(const int *flags, int bits, float fill, unsigned char *hidden, float *values,
                   Py_ssize_t n) noexcept nogil:
    """`hide` for a row, which may have no values; return whether any pixel has one of the bits."""
    cdef Py_ssize_t x
    cdef int seen = 0
    for x in range(n):
        hidden[x] = (flags[x] & bits) != 0
        seen |= flags[x]
    if values != NULL:
        for x in range(n):
            values[x] = fill if flags[x] & bits else values[x]
    return seen & bits != 0


def hide(const int[:, ::1] flags, int bits, float fill, unsigned char[:, ::1] hidden, float[:, ::1] plane,
         int n_threads):
    """Tell in ``hidden`` which pixels have one of some bits, and put ``fill`` there on a plane, if there is one."""
    cdef Py_ssize_t y
    cdef bint has_plane = plane.shape[0] > 0
    for y in prange(flags.shape[0], nogil=True, schedule='static', num_threads=n_threads):
        hide_row(&flags[y, 0], bits, fill, &hidden[y, 0], &plane[y, 0] if has_plane else NULL, flags.shape[1])


def add_polynomial(const double[::1] coefficients, int order, const double[::1] x_values, const double[::1] y_values,
                   Py_ssize_t frame, float[:, ::1] out, int n_threads):
    """Add a polynomial to all pixels but a frame; monomials as in spec 6.4, x power outer.

    ``x_values`` and ``y_values`` are the normalised coordinates of columns and rows.
    """
    cdef Py_ssize_t x, y
    cdef double row, slope
    for y in prange(frame, out.shape[0] - frame, nogil=True, schedule='static', num_threads=n_threads):
        if order > 1:
            for x in range(frame, out.shape[1] - frame):
                out[y, x] = <float> (out[y, x] + polynomial(&coefficients[0], order, x_values[x], y_values[y]))
        else:                                        # the same sum, with what a row has in common taken once
            row = coefficients[0] + (coefficients[1] * y_values[y] if order == 1 else 0)
            slope = coefficients[2] if order == 1 else 0
            for x in range(frame, out.shape[1] - frame):
                out[y, x] = <float> (out[y, x] + (row + slope * x_values[x]))


cdef double polynomial(const double *c, int order, double x, double y) noexcept nogil:
    cdef int i, _j, k = 0
    cdef double x_power = 1, y_power, total = 0
    for i in range(order + 1):
        y_power = 1
        for _j in range(order - i + 1):
            total = total + c[k] * x_power * y_power
            y_power = y_power * y
            k += 1
        x_power = x_power * x
    return total


cdef void flag_known(const int *known, Py_ssize_t n, int *flags) noexcept nogil:
    """Add known flags to a row; a bad pixel of the target makes the output bad (spec 8.3)."""
    cdef Py_ssize_t start = 0, x, stop
    cdef int seen
    while start < n:
        stop = min(start + STRIP, n)
        seen = 0
        for x in range(start, stop):
            seen |= known[x]
        if seen:
            for x in range(start, stop):
                flags[x] |= known[x] | (OUTPUT_BAD if known[x] & INPUT_BAD else 0)
        start = stop


cdef void flag_frame(Py_ssize_t n, Py_ssize_t frame, int *flags) noexcept nogil:
    """Flag both ends of a row."""
    cdef Py_ssize_t x
    for x in range(min(frame, n)):
        flags[x] |= OUTPUT_BAD
        flags[n - 1 - x] |= OUTPUT_BAD


cdef struct Noise:
    # the noise model of the image that is not convolved
    double inverse_gain
    double read_variance


cdef void noise_row(const Noise *t, const float *target, const float *variance, Py_ssize_t nx, double scale,
                    float *noise) noexcept nogil:
    """From the variance of the convolved image to the noise of the difference, in place."""
    cdef Py_ssize_t x
    cdef float s
    for x in range(nx):
        s = variance[x] if variance != NULL else <float> (fabs(<double> target[x]) * t.inverse_gain + t.read_variance)
        s = s + noise[x]
        s = <float> sqrt(<double> s)
        noise[x] = <float> (s * scale)


cdef void difference_row(const float *target, Py_ssize_t nx, double scale, float sign, float *out) noexcept nogil:
    cdef Py_ssize_t x
    cdef float d
    for x in range(nx):
        d = out[x] - target[x]
        out[x] = sign * <float> (d * scale)


def difference(const float[:, ::1] target, const float[:, ::1] target_variance, const int[:, ::1] target_flags,
               double inverse_gain, double read_variance, float target_fill, float low, float high, double scale,
               bint negate, Py_ssize_t frame, float fill, float[:, ::1] plane, float[:, ::1] noise, int[:, ::1] flags,
               int n_threads):
    """Turn a convolved image into a difference, its variance into noise, and add the target's flags, all in place.

    Difference and noise are ``(convolved - target) * scale``, negated if asked, and the root of both variances,
    scaled inside the frame (spec 8.2, 8.4); ``scale`` is 1 for no normalisation.  The frame gets ``fill`` and the
    noise of the target alone.  A pixel of the target is flagged if it is ``target_fill``, at or beyond ``low`` or
    ``high``, or in ``target_flags`` (shape (0, 0) if there are none); its variance, without a plane of it (shape
    (0, 0)), is ``abs(target) * inverse_gain + read_variance``.
    """
    cdef Py_ssize_t y, inner, nx = plane.shape[1], ny = plane.shape[0], first = min(frame, nx)
    cdef bint outside, has_flags = target_flags.shape[0] > 0, has_variance = target_variance.shape[0] > 0
    cdef float sign = -1 if negate else 1
    cdef const float *row
    cdef const float *given
    cdef Limits limits = Limits(target_fill, low, high, OUTPUT_BAD)
    cdef Noise t = Noise(inverse_gain, read_variance)
    for y in prange(ny, nogil=True, schedule='static', num_threads=n_threads):
        outside = y < frame or y >= ny - frame
        inner = 0 if outside else max(nx - 2 * frame, 0)
        row = &target[y, 0]
        given = &target_variance[y, 0] if has_variance else NULL
        if has_flags:
            flag_known(&target_flags[y, 0], nx, &flags[y, 0])
        flag_values(&limits, row, nx, &flags[y, 0])
        flag_frame(nx, nx if outside else frame, &flags[y, 0])
        noise_row(&t, row, given, first, 1, &noise[y, 0])
        noise_row(&t, row + first, given + first if has_variance else NULL, inner, scale, &noise[y, 0] + first)
        noise_row(&t, row + first + inner, given + first + inner if has_variance else NULL, nx - first - inner, 1,
                  &noise[y, 0] + first + inner)
        difference_row(row + first, inner, scale, sign, &plane[y, 0] + first)
        fill_ends(&plane[y, 0], nx, nx if outside else frame, fill)


cdef void fill_ends(float *row, Py_ssize_t n, Py_ssize_t frame, float fill) noexcept nogil:
    """Fill both ends of a row, or all of it."""
    cdef Py_ssize_t x
    for x in range(min(frame, n)):
        row[x] = fill
        row[n - 1 - x] = fill


def fill_frame(float[:, ::1] plane, Py_ssize_t frame, float fill, int n_threads):
    """Fill a frame of so many pixels, and touch nothing else."""
    cdef Py_ssize_t y, nx = plane.shape[1], ny = plane.shape[0]
    for y in prange(ny, nogil=True, schedule='static', num_threads=n_threads):
        fill_ends(&plane[y, 0], nx, nx if y < frame or y >= ny - frame else frame, fill)


def fill_flagged(const int[:, ::1] flags, int bit, Py_ssize_t frame, float fill, float[:, ::1] out, int n_threads):
    """Put ``fill`` where the flags have a bit, but in the frame."""
    cdef Py_ssize_t x, y
    for y in prange(frame, out.shape[0] - frame, nogil=True, schedule='static', num_threads=n_threads):
        for x in range(frame, out.shape[1] - frame):
            if flags[y, x] & bit:
                out[y, x] = fill
