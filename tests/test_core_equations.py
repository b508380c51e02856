"""The normal equations and their solution agree to the bit with slow twins written from the spec (6.2, 6.3)."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hotpants_cy._core import equations

# -- the twins ----------------------------------------------------------------------------------

def summed(gram, rhs, slots, terms, n_basis):
    """Lower triangle and right hand side of spec 6.2, entry by entry, mirrored in the end."""
    unknowns = [(0, None)] + [(n, t) for n in range(1, n_basis) for t in range(terms.shape[1])]
    unknowns += [(n, None) for n in range(n_basis, gram.shape[1])]
    matrix, vector = np.zeros((len(unknowns),) * 2), np.zeros(len(unknowns))
    for slot, w in zip(slots, terms, strict=True):
        for i, (n, t) in enumerate(unknowns):
            vector[i] += rhs[slot, n] * (1.0 if t is None else w[t])
            for j, (m, u) in enumerate(unknowns[:i + 1]):
                weight = (1.0 if t is None else w[t]) * (1.0 if u is None else w[u])
                matrix[i, j] += weight * gram[slot, n, m]
    return np.tril(matrix) + np.tril(matrix, -1).T, vector


def crout(a):
    """LU of a copy, column by column, and the row that was chosen for each pivot."""
    a, n, pivots = a.copy(), len(a), []
    scales = 1 / np.abs(a).max(axis=1)
    for j in range(n):
        for i in range(n):
            for k in range(min(i, j)):
                a[i, j] -= a[i, k] * a[k, j]
        sizes = scales[j:] * np.abs(a[j:, j])
        best = n - 1 - int(np.argmax(sizes[::-1]))           # the last of equal ones
        a[[j, best]] = a[[best, j]]
        scales[best] = scales[j]
        pivots.append(best)
        a[j, j] = a[j, j] or 1e-20
        a[j + 1:, j] *= 1 / a[j, j]
    return a, pivots


def substituted(lu, pivots, b):
    b, n = b.copy(), len(b)
    for i, p in enumerate(pivots):
        b[[i, p]] = b[[p, i]]
    for i in range(n):
        for j in range(i):
            b[i] -= lu[i, j] * b[j]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            b[i] -= lu[i, j] * b[j]
        b[i] /= lu[i, i]
    return b


# -- assembly -------------------------------------------------------------------------------------

@pytest.mark.parametrize('n_basis', [1, 2, 5])
@pytest.mark.parametrize('n_terms', [1, 3, 6])
@pytest.mark.parametrize('n_background', [1, 6])
@pytest.mark.parametrize('n_stamps', [0, 1, 6])
def test_assembly_is_that_of_the_twin(n_basis, n_terms, n_background, n_stamps):
    rng = np.random.default_rng(n_basis + n_terms + n_stamps)
    n_total, size = n_basis + n_background, 1 + (n_basis - 1)*n_terms + n_background
    gram, rhs = rng.normal(0, 1e6, (9, n_total, n_total)), rng.normal(0, 1e6, (9, n_total))
    gram[:, *np.triu_indices(n_total, 1)] = np.nan           # only the lower triangle is filled
    slots, terms = rng.permutation(9)[:n_stamps].astype('i4'), rng.uniform(-1, 1, (n_stamps, n_terms))
    terms[:, 0] = 1
    matrix, vector = np.zeros((size, size)), np.zeros(size)
    equations.assemble(gram, rhs, slots, terms, n_basis, matrix, vector, 2)
    expected = summed(np.nan_to_num(gram), rhs, slots, terms, n_basis)
    assert_array_equal(matrix, expected[0])
    assert_array_equal(vector, expected[1])


# -- solution -------------------------------------------------------------------------------------

def solved(matrix, vector):
    lu, pivots, x = matrix.copy(), np.full(len(vector), -1, 'i4'), vector.copy()
    assert equations.factorise(lu, np.empty(len(vector)), pivots)
    equations.solve(lu, pivots, x)
    return lu, pivots, x


def well_conditioned(rng, n):
    return rng.normal(0, 1, (n, n))


def badly_scaled(rng, n):
    return rng.normal(0, 1, (n, n)) * 10.0**rng.integers(-6, 7, (n, 1))


def gram_like(rng, n):
    """Nearly singular, as fits of a kernel are."""
    columns = rng.normal(0, 1, (3*n, 1)) + 1e-5 * rng.normal(0, 1, (3*n, n))
    return columns.T @ columns


def small_integers(rng, n):
    """Many equal candidates for pivots, and pivots of exactly zero."""
    return np.rint(rng.normal(0, 1, (n, n))) + np.eye(n)[rng.permutation(n)] * 4


@pytest.mark.parametrize('make', [well_conditioned, badly_scaled, gram_like, small_integers],
                         ids=lambda make: make.__name__)
@pytest.mark.parametrize('n', [1, 2, 3, 8, 25])
@pytest.mark.parametrize('seed', range(3))
def test_solution_is_that_of_the_twin(make, n, seed):
    rng = np.random.default_rng(seed)
    matrix, vector = make(rng, n), rng.normal(0, 100, n)
    vector[:seed] = 0                                        # leading zeros
    lu, pivots, x = solved(matrix, vector)
    expected_lu, expected_pivots = crout(matrix)
    assert_array_equal(pivots, expected_pivots)
    assert_array_equal(lu, expected_lu)
    assert_array_equal(x, substituted(expected_lu, expected_pivots, vector))


@pytest.mark.parametrize('make', [well_conditioned, badly_scaled])
def test_it_solves_the_equations(make):
    rng = np.random.default_rng(7)
    matrix, vector = make(rng, 40), rng.normal(0, 1, 40)
    assert_allclose(solved(matrix, vector)[2], np.linalg.solve(matrix, vector), rtol=1e-9)


def test_of_equal_rows_the_last_is_the_pivot():
    matrix = np.array([[2.0, 1.0, 0.0], [4.0, 0.0, 1.0], [-1.0, 0.5, 1.0]])      # each led by its largest
    assert solved(matrix, np.ones(3))[1][0] == 2


def test_a_pivot_of_zero_is_replaced_by_a_tiny_one():
    lu, _, _ = solved(np.ones((2, 2)), np.ones(2))
    assert lu[1, 1] == 1e-20


@pytest.mark.parametrize('row', [0, 2, 4])
def test_a_row_of_zeros_is_reported(row):
    matrix = np.random.default_rng(0).normal(0, 1, (5, 5))
    matrix[row] = 0
    assert not equations.factorise(matrix, np.empty(5), np.empty(5, 'i4'))


def test_one_factorisation_serves_several_right_hand_sides():
    rng = np.random.default_rng(3)
    matrix, vectors = rng.normal(0, 1, (12, 12)), rng.normal(0, 1, (4, 12))
    lu, pivots, _ = solved(matrix, vectors[0])
    for vector in vectors:
        x = vector.copy()
        equations.solve(lu, pivots, x)
        assert_array_equal(x, solved(matrix, vector)[2])


@pytest.mark.parametrize('n_threads', [1, 3])
def test_systems_solved_side_by_side_have_the_solutions_of_each_alone(n_threads):
    rng = np.random.default_rng(4)
    matrices, vectors = rng.normal(0, 1, (7, 9, 9)), rng.normal(0, 1, (7, 9))
    matrices[2, 5] = 0
    expected = [v if k == 2 else solved(a, v)[2] for k, (a, v) in enumerate(zip(matrices, vectors, strict=True))]
    # parts of larger matrices, in another order
    slots, larger, regular = np.arange(7, 0, -1, dtype='i4'), rng.normal(0, 1, (9, 12, 12)), np.empty(7, np.uint8)
    larger[slots, :9, :9] = matrices
    before = larger.copy()
    equations.solve_each(larger, slots, vectors, np.empty((n_threads, 9, 9)), np.empty((n_threads, 9)),
                         np.empty((n_threads, 9), 'i4'), regular)
    assert regular.tolist() == [1, 1, 0, 1, 1, 1, 1]
    assert_array_equal(vectors, expected)
    assert_array_equal(larger, before)
