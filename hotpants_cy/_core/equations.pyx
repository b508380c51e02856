# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Normal equations of the global fit and their solution, operation by operation as the spec has it (6.2, 6.3).

LAPACK pivots and sums in another order; on numerically singular fits that is another kernel (spec 10.4).
"""
from cython.parallel cimport prange
from libc.math cimport fabs


cdef void add_kernel_rows(const double[:, ::1] gram, const double[::1] rhs, const double[::1] terms, Py_ssize_t n,
                          double[:, ::1] matrix, double[::1] vector) noexcept nogil:
    """Add one substamp to the rows of basis function ``n``: lower triangle and right hand side (6.2)."""
    cdef Py_ssize_t n_terms = terms.shape[0], m, t, u, row
    cdef double weight
    cdef double *out
    for t in range(n_terms):
        row = 1 + (n - 1) * n_terms + t
        vector[row] += rhs[n] * terms[t]
        matrix[row, 0] += terms[t] * gram[n, 0]
        for u in range(n_terms):
            weight = terms[t] * terms[u]
            out = &matrix[row, 1 + u]
            for m in range(1, n + (1 if u <= t else 0)):
                out[(m - 1) * n_terms] = out[(m - 1) * n_terms] + weight * gram[n, m]


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


def assemble(const double[:, :, ::1] gram, const double[:, ::1] rhs, const int[::1] slots,
             const double[:, ::1] terms, Py_ssize_t n_basis, double[:, ::1] matrix, double[::1] vector, int n_threads):
    """Sum the substamps at ``slots`` into the full symmetric ``matrix`` and ``vector`` (zero on entry).

    ``terms[i]`` are the spatial monomials at the centre of substamp ``i``.  Each thread has rows of its own, to which
    the substamps are added one after the other.
    """
    cdef Py_ssize_t i, j, n
    # the longest rows first
    for n in prange(n_basis, nogil=True, schedule='dynamic', num_threads=n_threads):
        for i in range(slots.shape[0]):
            if n < n_basis - 1:
                add_kernel_rows(gram[slots[i]], rhs[slots[i]], terms[i], n_basis - 1 - n, matrix, vector)
            else:
                add_background_rows(gram[slots[i]], rhs[slots[i]], terms[i], n_basis, matrix, vector)
    with nogil:
        for i in range(matrix.shape[0]):
            for j in range(i):
                matrix[j, i] = matrix[i, j]


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


cdef bint decompose(double[:, ::1] a, double[::1] scales, int[::1] pivots) noexcept nogil:
    """LU of ``a`` in place, as Crout's method rounds it; False if a row is all zero.

    Implicitly scaled partial pivoting in which the last of equal rows wins; updates are taken
    outwards from each pivot, which is the same arithmetic as Crout's column sums.
    """
    cdef Py_ssize_t i, j, k, best, n = a.shape[0]
    cdef double largest, size, factor
    if not row_scales(a, scales):
        return False
    for k in range(n):
        largest = 0
        best = k
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
        for i in range(k + 1, n):
            factor = a[i, k]
            for j in range(k + 1, n):
                a[i, j] = a[i, j] - factor * a[k, j]
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
