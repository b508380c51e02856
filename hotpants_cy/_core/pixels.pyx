# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Loops over all pixels with the rounding of the spec: noise model, thresholds, background, difference.

The caller guarantees planes of one shape.
"""
from cython.parallel cimport prange
from libc.math cimport fabs, sqrt

cdef enum:
    BAD_PIXVAL = 0x81          # HotpantsFlags, each with INPUT_ISBAD
    SAT = 0x82
    LOW = 0x84


def model_variance(const float[:, ::1] data, double inverse_gain, double read_variance, float[:, ::1] out,
                   int n_threads):
    """Poisson and read noise: ``|data| / gain + (read noise / gain)^2`` (spec 2.7.2)."""
    cdef Py_ssize_t x, y
    for y in prange(data.shape[0], nogil=True, schedule='static', num_threads=n_threads):
        for x in range(data.shape[1]):
            out[y, x] = <float> (fabs(<double> data[y, x]) * inverse_gain + read_variance)


def flag_thresholds(const float[:, ::1] data, float fill, float low, float high, int[:, ::1] flags, int n_threads):
    """Flag fill values, saturated and low pixels (spec 2.7.4); NaN satisfies none."""
    cdef Py_ssize_t x, y
    cdef float v
    for y in prange(data.shape[0], nogil=True, schedule='static', num_threads=n_threads):
        for x in range(data.shape[1]):
            v = data[y, x]
            if v == fill:
                flags[y, x] |= BAD_PIXVAL
            if v >= high:
                flags[y, x] |= SAT
            if v <= low:
                flags[y, x] |= LOW


def add_polynomial(const double[::1] coefficients, int order, double half_nx, double half_ny, Py_ssize_t x0,
                   Py_ssize_t y0, Py_ssize_t frame, float[:, ::1] out, int n_threads):
    """Add a polynomial to all pixels but a frame; monomials as in spec 6.4, x power outer.

    (x0, y0) is the position of pixel (0, 0) in the coordinates that ``half_nx, half_ny`` normalise.
    """
    cdef Py_ssize_t x, y
    for y in prange(frame, out.shape[0] - frame, nogil=True, schedule='static', num_threads=n_threads):
        for x in range(frame, out.shape[1] - frame):
            out[y, x] = <float> (out[y, x] + polynomial(&coefficients[0], order, (x + x0 - half_nx) / half_nx,
                                                        (y + y0 - half_ny) / half_ny))


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


def difference(const float[:, ::1] convolved, const float[:, ::1] target, const float[:, ::1] convolved_variance,
               const float[:, ::1] target_variance, double scale, bint negate, Py_ssize_t frame, float fill,
               float[:, ::1] out, float[:, ::1] noise, int n_threads):
    """Difference and its noise (spec 8.2, 8.4): ``(convolved - target) * scale``, negated if asked.

    The frame gets ``fill`` and the noise of the target alone; ``scale`` is 1 for no normalisation.
    ``out`` may be ``convolved``, and ``noise`` one of the variances.
    """
    cdef Py_ssize_t x, y, nx = out.shape[1], ny = out.shape[0]
    cdef float d, s
    cdef bint inside
    for y in prange(ny, nogil=True, schedule='static', num_threads=n_threads):
        for x in range(nx):
            inside = frame <= x < nx - frame and frame <= y < ny - frame
            s = target_variance[y, x] + convolved_variance[y, x]
            s = <float> sqrt(<double> s)
            d = fill
            if inside:
                d = convolved[y, x] - target[y, x]
                if scale != 1:
                    d = <float> (d * scale)
                    s = <float> (s * scale)
                if negate:
                    d = -d
            out[y, x] = d
            noise[y, x] = s
