# Block convolution with vectors, in single precision: what `vector_tiles.pxi` sums, made exact enough.
#
# Sums in single precision err by up to 2e-6 of the brightest pixel.  Hence the level of the sky is taken off an image
# first, and pixels much brighter than the noise are taken out and added one by one in double precision: what is left is
# of the order of 1e-5 of the noise.  Where there are too many of them (the edge of what is exposed, a galaxy), sums
# over a few rows of the kernel are added in double precision.  Variances are positive, and nobody needs seven digits of
# them: taps that could not change the fifth are left out.
from libc.math cimport INFINITY, fabsf, isfinite

ctypedef float number          # of patches and taps

include "vector_tiles.pxi"
include "blocks.pxi"

cdef extern from *:
    """
    static inline __attribute__((always_inline)) void hp_finish(int, const Py_ssize_t *, const double *, Py_ssize_t,
                                                                const double *, const double *, const float *,
                                                                Py_ssize_t, float *);
    """

cdef enum:
    PART = 4 * HALF_LANES      # pixels of a kernel that are rendered at a time
    NARROW = 24                # columns that bright pixels are added to at a time
    WIDE = 32                  # or so many
    MOST_VECTORS = 16          # that these fill
    SKY = 16                   # pixels that the sky of a block is known from
    STRIDE = 17                # columns from one of them to the next
    MOST_BRIGHT = 4            # one pixel in so many, at most
    BAND = 4                   # rows of a kernel whose sums are added up in double precision where pixels are rough

lanes = LANES                  # output pixels in a vector

cdef float BRIGHT = 8.5        # times the noise, as far from the sky a pixel is bright
cdef float ALIKE = 3           # times the noise, up to which the skies of two blocks may differ
cdef double NEGLIGIBLE = 2e-5  # of a variance: half of it is what the noise may be off

cdef float LARGEST = 3.4028235e38
cdef float SMALLEST = 1.1754944e-38


cdef void render_part(const double *constant, const double *varying, Py_ssize_t area, const double *x_terms,
                      const double *y_terms, Py_ssize_t n_terms, double *kernel) noexcept nogil:
    """PART pixels of a kernel, which stay in registers."""
    cdef Py_ssize_t t
    cdef const unaligned_doubles *s = <const unaligned_doubles *> constant
    cdef unaligned_doubles *out = <unaligned_doubles *> kernel
    cdef doubles a = s[0], b = s[1], c = s[2], d = s[3]
    cdef double weight
    for t in range(n_terms):
        weight = x_terms[t] * y_terms[t]
        s = <const unaligned_doubles *> (varying + t * area)
        a = a + weight * s[0]
        b = b + weight * s[1]
        c = c + weight * s[2]
        d = d + weight * s[3]
    out[0], out[1], out[2], out[3] = a, b, c, d


cdef void render(const Kernels *k, const double *x_terms, const double *y_terms, double *kernel) noexcept nogil:
    """Kernel at the position where the spatial terms have these factors in x and y (6.4)."""
    cdef Py_ssize_t p, t
    if k.area < PART:
        for p in range(k.area):
            kernel[p] = k.constant[p]
            for t in range(k.n_terms):
                kernel[p] += x_terms[t] * y_terms[t] * k.varying[t * k.area + p]
        return
    for p in range(k.area // PART):
        render_part(k.constant + p * PART, k.varying + p * PART, k.area, x_terms, y_terms, k.n_terms, kernel + p * PART)
    p = k.area - PART                                # the last part reaches back to pixels that are known
    render_part(k.constant + p, k.varying + p, k.area, x_terms, y_terms, k.n_terms, kernel + p)


include "vector_image.pxi"
include "vector_variance.pxi"
