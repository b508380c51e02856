# A random sample of a box of pixels, as C HOTPANTS draws it (spec, Appendix A).
#
# To be included where `Box` and `eligible` are told.
cdef enum:
    N_SAMPLE = 100
    N_TABLE = 98


cdef struct Generator:
    # three linear congruential generators, shuffled (spec, Appendix A)
    long x1
    long x2
    long x3
    double table[N_TABLE]


cdef inline double next_entry(Generator *g) noexcept nogil:
    g.x1 = (7141 * g.x1 + 54773) % 259200
    g.x2 = (8121 * g.x2 + 28411) % 134456
    return (g.x1 + g.x2 * (1.0 / 134456)) * (1.0 / 259200)


cdef void seed(Generator *g) noexcept nogil:
    cdef int j
    g.x1 = (7141 * 55439 + 54773) % 259200
    g.x2 = g.x1 % 134456
    g.x1 = (7141 * g.x1 + 54773) % 259200
    g.x3 = g.x1 % 243000
    for j in range(1, N_TABLE):
        g.table[j] = next_entry(g)


cdef double draw(Generator *g) noexcept nogil:
    cdef double value
    cdef long j
    cdef double fresh = next_entry(g)
    g.x3 = (4561 * g.x3 + 51349) % 243000
    j = 1 + (97 * g.x3) // 243000
    value = g.table[j]
    g.table[j] = fresh
    return value


def random_draws(double[::1] out):
    """Fill ``out`` with the first draws of the generator; for tests of Appendix A."""
    cdef Generator g
    cdef Py_ssize_t i
    seed(&g)
    for i in range(out.shape[0]):
        out[i] = draw(&g)


cdef bint any_eligible(const Box *box) noexcept nogil:
    cdef Py_ssize_t x, y
    for y in range(box.ny):
        for x in range(box.nx):
            if eligible(box, x, y):
                return True
    return False


cdef int sorted_sample(const Box *box, float *sample) noexcept nogil:
    """Up to 100 eligible values drawn with replacement, ascending."""
    cdef Generator g
    cdef Py_ssize_t _trial, x, y
    cdef int n = 0, i
    cdef float value
    if not any_eligible(box):                    # the draws would all be in vain
        return 0
    seed(&g)
    for _trial in range(box.nx * box.ny):
        x = <Py_ssize_t> floor(draw(&g) * box.nx)
        y = <Py_ssize_t> floor(draw(&g) * box.ny)
        if not eligible(box, x, y):
            continue
        value = box.values[y * box.value_stride + x]
        i = n
        while i > 0 and sample[i - 1] > value:
            sample[i] = sample[i - 1]
            i -= 1
        sample[i] = value
        n += 1
        if n == N_SAMPLE:
            break
    return n
