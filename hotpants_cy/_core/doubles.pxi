# Vectors of doubles for sums side by side, as wide as the instruction set that this is compiled for has them; a single
# double where the compiler has no vector types.
cdef extern from *:
    """
    #if defined(__AVX512F__)
    #define HP_LANES 8
    #elif defined(__AVX__)
    #define HP_LANES 4
    #elif defined(__GNUC__)
    #define HP_LANES 2
    #else
    #define HP_LANES 1             /* the same without vector types */
    #endif
    #if HP_LANES > 1
    typedef double hp_doubles __attribute__((vector_size(8 * HP_LANES)));
    typedef double hp_unaligned __attribute__((vector_size(8 * HP_LANES), aligned(8)));
    typedef float hp_floats __attribute__((vector_size(4 * HP_LANES), aligned(4)));
    /* gcc converts halves of vectors, and joins them, unless it is told how */
    #if defined(__AVX512VL__)
    #include <immintrin.h>
    #define hp_widened(floats) ((hp_doubles) _mm512_cvtps_pd(_mm256_loadu_ps(floats)))
    #define hp_rounded(v) ((hp_doubles) _mm512_cvtps_pd(_mm512_cvtpd_ps((__m512d) (v))))
    #elif HP_LANES == 4
    #include <immintrin.h>
    #define hp_widened(floats) ((hp_doubles) _mm256_cvtps_pd(_mm_loadu_ps(floats)))
    #define hp_rounded(v) ((hp_doubles) _mm256_cvtps_pd(_mm256_cvtpd_ps((__m256d) (v))))
    #else
    #define hp_widened(floats) __builtin_convertvector(*(const hp_floats *) (floats), hp_doubles)
    #define hp_rounded(v) __builtin_convertvector(__builtin_convertvector(v, hp_floats), hp_doubles)
    #endif
    #else
    typedef double hp_doubles, hp_unaligned;
    #define hp_widened(floats) ((double) *(floats))
    #define hp_rounded(v) ((double) (float) (v))
    #endif
    #define hp_zeros ((hp_doubles) {0})
    """
    enum:
        LANES "HP_LANES"
    ctypedef double doubles "hp_doubles"
    ctypedef double unaligned "hp_unaligned"
    doubles zeros "hp_zeros"
    doubles widened "hp_widened"(const float *) noexcept nogil
    doubles rounded "hp_rounded"(doubles) noexcept nogil           # to single precision
