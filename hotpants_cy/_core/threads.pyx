# cython: language_level=3
"""What OpenMP offers to this process."""

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    static int hotpants_max_threads(void) { return omp_get_max_threads(); }
    #else
    static int hotpants_max_threads(void) { return 0; }
    #endif
    """
    int hotpants_max_threads() nogil


def max_threads():
    """Threads that OpenMP would use now; 0 if the package was built without it."""
    return hotpants_max_threads()
