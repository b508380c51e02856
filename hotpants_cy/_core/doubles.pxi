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
    #define hp_widened(floats) __builtin_convertvector(*(const hp_floats *) (floats), hp_doubles)
    #else
    typedef double hp_doubles, hp_unaligned;
    #define hp_widened(floats) ((double) *(floats))
    #endif
    #define hp_zeros ((hp_doubles) {0})
    """
    enum:
        LANES "HP_LANES"
    ctypedef double doubles "hp_doubles"
    ctypedef double unaligned "hp_unaligned"
    doubles zeros "hp_zeros"
    doubles widened "hp_widened"(const float *) noexcept nogil
