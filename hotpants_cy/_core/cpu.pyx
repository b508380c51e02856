# cython: language_level=3
"""Which instruction sets this CPU has."""

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
    static int hotpants_has_v3(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
    static int hotpants_has_v4(void) {
    #if defined(HP_EMULATE_V4)
        return hotpants_has_v3();
    #else
        return hotpants_has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl");
    #endif
    }
    #else
    static int hotpants_has_v3(void) { return 0; }
    static int hotpants_has_v4(void) { return 0; }
    #endif
    """
    bint hotpants_has_v3() nogil
    bint hotpants_has_v4() nogil


def has_v3():
    """Whether the CPU has AVX2 and FMA (x86-64-v3)."""
    return hotpants_has_v3()


def has_v4():
    """Whether the CPU has the AVX-512 instructions of x86-64-v4."""
    return hotpants_has_v4()
