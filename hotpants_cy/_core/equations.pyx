# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Normal equations of the global fit and their solution, operation by operation as the spec has it (6.2, 6.3).

LAPACK pivots and sums in another order; on numerically singular fits that is another kernel (spec 10.4).
"""
from cython.parallel cimport prange, threadid
from libc.math cimport fabs

include "doubles.pxi"

cdef enum:
    PANEL = 4                  # pivots whose rows are taken from all others at once


cdef void add_one(const double *a, double weight, Py_ssize_t n, double *out) noexcept nogil:
    cdef Py_ssize_t m
    for m in range(n):
        out[m] = out[m] + weight * a[m]


cdef void add_four(const double *a, const double *b, const double *c, const double *d, double wa, double wb, double wc,
                   double wd, Py_ssize_t n, double *out) noexcept nogil:
    """The same for four of them, one after the other."""
    cdef Py_ssize_t m
    for m in range(n):
        out[m] = (((out[m] + wa * a[m]) + wb * b[m]) + wc * c[m]) + wd * d[m]


cdef void add_kernel_rows(const double[:, :, ::1] gram, const double[:, ::1] rhs, const int[::1] slots,
                          const double[:, ::1] terms, Py_ssize_t n_basis, Py_ssize_t n, double[:, ::1] matrix,
                          double[::1] vector) noexcept nogil:
    """Add the substamps to the rows of basis function ``n``: lower triangle and right hand side (6.2).

    So far a row has one spatial term after the other, so that sums run side by side, and no term that is higher than
    its own, since a pair of terms has the same products either way; `unfold` sorts it.
    """
    cdef Py_ssize_t n_terms = terms.shape[1], n_slots = slots.shape[0], t, u, i, row
    cdef double *out
    for t in range(n_terms):
        row = 1 + (n - 1) * n_terms + t
        for i in range(n_slots):
            vector[row] += rhs[slots[i], n] * terms[i, t]
            matrix[row, 0] += terms[i, t] * gram[slots[i], n, 0]
        for u in range(t + 1):
            out = &matrix[row, 1 + u * (n_basis - 1)]
            i = 0
            while i + 4 <= n_slots:
                add_four(&gram[slots[i], n, 1], &gram[slots[i + 1], n, 1], &gram[slots[i + 2], n, 1],
                         &gram[slots[i + 3], n, 1], terms[i, t] * terms[i, u], terms[i + 1, t] * terms[i + 1, u],
                         terms[i + 2, t] * terms[i + 2, u], terms[i + 3, t] * terms[i + 3, u], n, out)
                i += 4
            while i < n_slots:
                add_one(&gram[slots[i], n, 1], terms[i, t] * terms[i, u], n, out)
                i += 1


cdef void add_background_rows(const double[:, ::1] gram, const double[::1] rhs, const double[::1] terms,
                              Py_ssize_t n_basis, double[:, ::1] matrix, double[::1] vector) noexcept nogil:
    """The same for the first row and those of the background."""
    cdef Py_ssize_t n_terms = terms.shape[0], n_background = gram.shape[0] - n_basis
    cdef Py_ssize_t n, m, u, row, first, start = 1 + (n_basis - 1) * n_terms
    matrix[0, 0] += gram[0, 0]
    vector[0] += rhs[0]
    for n in range(n_background):
        row = start + n
        vector[row] += rhs[n_basis + n]
        matrix[row, 0] += gram[n_basis + n, 0]
        for m in range(1, n_basis):
            first = 1 + (m - 1) * n_terms
            for u in range(n_terms):
                matrix[row, first + u] += gram[n_basis + n, m] * terms[u]
        for m in range(n + 1):
            matrix[row, start + m] += gram[n_basis + n, n_basis + m]


cdef void unfold(double[:, ::1] matrix, Py_ssize_t n_basis, Py_ssize_t n_terms) noexcept nogil:
    """Sort the rows of `add_kernel_rows`, and mirror the lower triangle."""
    cdef Py_ssize_t i, j, m, t, u, n_kernel = 1 + (n_basis - 1) * n_terms
    # a row goes to the column of the same number, in rows that have been read already
    for i in range(1, n_kernel):
        t = (i - 1) % n_terms
        matrix[0, i] = matrix[i, 0]
        j = 1
        for m in range((i - 1) // n_terms + 1):
            for u in range(n_terms):
                if j <= i:
                    matrix[j, i] = matrix[i - t + max(t, u), 1 + min(t, u) * (n_basis - 1) + m]
                j += 1
    for i in range(n_kernel):
        for j in range(i):
            matrix[i, j] = matrix[j, i]
    for i in range(n_kernel, matrix.shape[0]):
        for j in range(i):
            matrix[j, i] = matrix[i, j]


def assemble(const double[:, :, ::1] gram, const double[:, ::1] rhs, const int[::1] slots,
             const double[:, ::1] terms, Py_ssize_t n_basis, double[:, ::1] matrix, double[::1] vector, int n_threads):
    """Sum the substamps at ``slots`` into the full symmetric ``matrix`` and ``vector`` (zero on entry).

    ``terms[i]`` are the spatial monomials at the centre of substamp ``i``.  Each thread has rows of its own, to which
    the substamps are added one after the other.
    """
    cdef Py_ssize_t i, n
    # the longest rows first
    for n in prange(n_basis, nogil=True, schedule='dynamic', num_threads=n_threads):
        if n < n_basis - 1:
            add_kernel_rows(gram, rhs, slots, terms, n_basis, n_basis - 1 - n, matrix, vector)
        else:
            for i in range(slots.shape[0]):
                add_background_rows(gram[slots[i]], rhs[slots[i]], terms[i], n_basis, matrix, vector)
    with nogil:
        unfold(matrix, n_basis, terms.shape[1])


cdef bint row_scales(const double[:, ::1] a, double[::1] scales) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef double largest
    for i in range(a.shape[0]):
        largest = 0
        for j in range(a.shape[0]):
            if fabs(a[i, j]) > largest:
                largest = fabs(a[i, j])
        if not largest > 0:
            return False
        scales[i] = 1 / largest
    return True


cdef void swap_rows(double[:, ::1] a, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    cdef Py_ssize_t k
    cdef double held
    for k in range(a.shape[1]):
        held = a[i, k]
        a[i, k] = a[j, k]
        a[j, k] = held


cdef void eliminate(double[:, ::1] a, Py_ssize_t k, Py_ssize_t i, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Take what pivot row ``k`` explains from columns ``first`` to ``last`` of row ``i``."""
    cdef Py_ssize_t j
    cdef double factor = a[i, k]
    for j in range(first, last):
        a[i, j] = a[i, j] - factor * a[k, j]


cdef void eliminate_panel(double[:, ::1] a, Py_ssize_t k, Py_ssize_t i, Py_ssize_t lower) noexcept nogil:
    """The same for PANEL pivot rows from ``k`` on, one after the other, all columns behind them, and two rows.

    A single row is given twice.
    """
    cdef Py_ssize_t j = k + PANEL, n = a.shape[0], pivot
    cdef const double *f = &a[i, k]
    cdef const double *g = &a[lower, k]
    cdef double fa = f[0], fb = f[1], fc = f[2], fd = f[3], ga = g[0], gb = g[1], gc = g[2], gd = g[3]
    cdef doubles p, q, r, s, upper_row, lower_row
    while j + LANES <= n:
        p = (<const unaligned *> &a[k, j])[0]
        q = (<const unaligned *> &a[k + 1, j])[0]
        r = (<const unaligned *> &a[k + 2, j])[0]
        s = (<const unaligned *> &a[k + 3, j])[0]
        upper_row = (<const unaligned *> &a[i, j])[0]
        lower_row = (<const unaligned *> &a[lower, j])[0]
        (<unaligned *> &a[i, j])[0] = (((upper_row - fa * p) - fb * q) - fc * r) - fd * s
        (<unaligned *> &a[lower, j])[0] = (((lower_row - ga * p) - gb * q) - gc * r) - gd * s
        j += LANES
    for pivot in range(k, k + PANEL):
        eliminate(a, pivot, i, j, n)
        if lower != i:
            eliminate(a, pivot, lower, j, n)


cdef void take_pivot(double[:, ::1] a, Py_ssize_t k, Py_ssize_t end, double[::1] scales,
                     int[::1] pivots) noexcept nogil:
    """Bring the row with the largest element in column ``k`` up, divide the column by it, eliminate up to ``end``."""
    cdef Py_ssize_t i, best = k, n = a.shape[0]
    cdef double largest = 0, size, factor
    for i in range(k, n):
        size = scales[i] * fabs(a[i, k])
        if size >= largest:
            largest = size
            best = i
    if best != k:
        swap_rows(a, best, k)
        scales[best] = scales[k]
    pivots[k] = <int> best
    if a[k, k] == 0:
        a[k, k] = 1e-20
    factor = 1 / a[k, k]
    for i in range(k + 1, n):
        a[i, k] *= factor
        eliminate(a, k, i, k + 1, end)


cdef bint decompose(double[:, ::1] a, double[::1] scales, int[::1] pivots) noexcept nogil:
    """LU of ``a`` in place, as Crout's method rounds it; False if a row is all zero.

    Implicitly scaled partial pivoting in which the last of equal rows wins; updates are taken
    outwards from a few pivots at a time, which is the same arithmetic as Crout's column sums.
    """
    cdef Py_ssize_t i, k, start = 0, end, n = a.shape[0]
    if not row_scales(a, scales):
        return False
    while start < n:
        end = min(start + PANEL, n)
        for k in range(start, end):
            take_pivot(a, k, end, scales, pivots)
        for k in range(start, end):
            for i in range(k + 1, end):
                eliminate(a, k, i, end, n)
        if end < n:
            for i in range(end, n, 2):
                eliminate_panel(a, start, i, min(i + 1, n - 1))
        start = end
    return True


cdef void substitute(const double[:, ::1] a, const int[::1] pivots, double[::1] b) noexcept nogil:
    """Solve with the factors of `decompose`; each sum runs along its row."""
    cdef Py_ssize_t i, j, n = a.shape[0]
    cdef double total
    for i in range(n):
        total = b[pivots[i]]
        b[pivots[i]] = b[i]
        for j in range(i):
            total = total - a[i, j] * b[j]
        b[i] = total
    for i in range(n - 1, -1, -1):
        total = b[i]
        for j in range(i + 1, n):
            total = total - a[i, j] * b[j]
        b[i] = total / a[i, i]


def factorise(double[:, ::1] matrix, double[::1] scales, int[::1] pivots):
    """Replace ``matrix`` by its LU factors; return False if a row is all zero."""
    cdef bint regular
    with nogil:
        regular = decompose(matrix, scales, pivots)
    return regular


def solve(const double[:, ::1] factors, const int[::1] pivots, double[::1] vector):
    """Replace ``vector`` by the solution of the factorised equations."""
    with nogil:
        substitute(factors, pivots, vector)


cdef bint solve_one(const double *matrix, Py_ssize_t stride, double[:, ::1] work, double[::1] scales, int[::1] pivots,
                    double[::1] vector) noexcept nogil:
    """Replace a vector by the solution for a matrix, which is left as it is; False if a row of that is zero."""
    cdef Py_ssize_t i, j, n = vector.shape[0]
    for i in range(n):
        for j in range(n):
            work[i, j] = matrix[i * stride + j]
    if not decompose(work, scales, pivots):
        return False
    substitute(work, pivots, vector)
    return True


def solve_each(const double[:, :, ::1] matrices, const int[::1] slots, double[:, ::1] vectors, double[:, :, ::1] work,
               double[:, ::1] scales, int[:, ::1] pivots, unsigned char[::1] regular):
    """Replace ``vectors`` by solutions for the matrices at ``slots``, of which as much counts as a vector is long.

    ``regular`` tells where there is one; each thread has a matrix ``work``, and a row of ``scales`` and ``pivots``.
    """
    cdef Py_ssize_t k
    cdef int n_threads = <int> work.shape[0]
    for k in prange(slots.shape[0], nogil=True, schedule='dynamic', num_threads=n_threads):
        regular[k] = solve_one(&matrices[slots[k], 0, 0], matrices.shape[2], work[threadid()], scales[threadid()],
                               pivots[threadid()], vectors[k])
