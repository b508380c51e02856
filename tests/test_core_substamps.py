"""Vectors, products and merits of substamps agree to the bit with slow twins written from the spec (5.1, 5.2, 5.4)."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hotpants_cy._core import products as compiled
from hotpants_cy._core import substamps
from hotpants_cy.kernel.basis import GaussianBasis, ImageBasis

SHAPE = (47, 56)
BASES = [GaussianBasis(4, (2, 1), (0.8, 1.9)), GaussianBasis(1, (0,), (0.7,)), GaussianBasis(6, (6,), (1.5,))]


# -- the twins ----------------------------------------------------------------------------------

def separable_vector(image, x, y, half, x_factor, y_factor):
    """Convolution with one separable function, the y sums rounded after every tap (5.1)."""
    r, size = len(x_factor) // 2, 2*half + 1
    columns = np.zeros((size, size + 2*r), 'f4')
    for d in range(-r, r + 1):
        rows = image[y - half + d:y + half + 1 + d, x - half - r:x + half + r + 1].astype(float)
        columns = (columns + rows * y_factor[r - d]).astype('f4')
    out = np.zeros((size, size))
    for d in range(-r, r + 1):
        out = out + columns[:, r + d:r + d + size].astype(float) * x_factor[r - d]
    return out


def gaussian_vectors(image, x, y, half, basis):
    vectors = [separable_vector(image, x, y, half, *factors) for factors in zip(*basis.factors, strict=True)]
    return np.array([v - vectors[0] if minus else v for v, minus in zip(vectors, basis.minus_first, strict=True)])


def image_vectors(image, x, y, half, basis):
    """Sums of float32 products, row by row; C slides the pictures along as they are (P27)."""
    r, size, vectors = basis.half_width, 2*half + 1, []
    for picture in basis.pictures if basis.flipped else basis.pictures[:, ::-1, ::-1]:
        out = np.zeros((size, size))
        for dy, dx in np.ndindex(picture.shape):
            out = out + image[y - half - r + dy:, x - half - r + dx:][:size, :size] * picture[dy, dx]
        vectors.append(out)
    return np.array([vectors[0], *(v - vectors[0] for v in vectors[1:])])


def background_vectors(shape, x, y, half, order):
    ny, nx = shape
    hx, hy = np.float32(0.5*nx), np.float32(0.5*ny)
    xf = ((np.arange(x - half, x + half + 1, dtype='f4') - hx) / hx).astype(float)
    yf = ((np.arange(y - half, y + half + 1, dtype='f4') - hy) / hy).astype(float)[:, np.newaxis]

    def power(base, n):
        return np.ones_like(base) if n == 0 else power(base, n - 1) * base

    return np.array([power(xf, p) * power(yf, q) for p in range(order + 1) for q in range(order + 1 - p)])


def running_sum(values):
    return np.cumsum(values)[-1]


def normal_equations(vectors, target):
    """Products in raster order, those with the target column by column (5.2)."""
    gram = np.array([[running_sum(v * w) for w in vectors] for v in vectors])
    return gram, np.array([running_sum((v * target.astype(float)).T) for v in vectors])


def model(vectors, coefficients):
    out = np.zeros(vectors.shape[1:], 'f4')
    for vector, a in zip(vectors, coefficients, strict=True):
        out = (out + a * vector).astype('f4')
    return out


def merit(vectors, coefficients, background, target, mask, variance):
    d = model(vectors, coefficients).astype(float) - target + background
    used = ((mask & 0x80) == 0) & ~(np.abs(target.astype(float)) <= 1e-10) & np.isfinite(d)
    if not used.any():
        return -1.0
    total = running_sum(d[used] * d[used] / variance[used]) / used.sum()
    return total if total < 1e10 else -1.0


# -- what is given to both --------------------------------------------------------------------------

def picture(seed, shape=SHAPE):
    rng = np.random.default_rng(seed)
    return (rng.normal(200, 15, shape) + 8000 * (rng.random(shape) < 0.05)).astype('f4')


def centres(reach, n=7, seed=0):
    """Positions up to the very edges, in arrays as the compiled functions want them."""
    ny, nx = SHAPE
    rng = np.random.default_rng(seed)
    xs, ys = rng.integers(reach, nx - reach, n), rng.integers(reach, ny - reach, n)
    xs[:4], ys[:4] = [reach, nx - 1 - reach, reach, nx - 1 - reach], [reach, reach, ny - 1 - reach, ny - 1 - reach]
    return xs.astype('i4'), ys.astype('i4')


def shuffled(n, n_slots, seed=1):
    return np.random.default_rng(seed).permutation(n_slots)[:n].astype('i4')


def convolved(image, xs, ys, slots, half, basis, n_threads):
    vectors = np.full((len(slots) + 2, len(basis), (2*half + 1)**2), np.nan)
    basis.convolve(image, xs, ys, slots, half, vectors, n_threads)
    return vectors


# -- vectors ------------------------------------------------------------------------------------

@pytest.mark.parametrize('basis', BASES, ids=lambda basis: f'{len(basis)} terms')
@pytest.mark.parametrize('half', [6, 9])
@pytest.mark.parametrize('n_threads', [1, 2, 3])
def test_separable_vectors_are_those_of_the_twin(basis, half, n_threads):
    image, (xs, ys) = picture(1), centres(half + basis.half_width)
    slots = shuffled(7, 9)
    vectors = convolved(image, xs, ys, slots, half, basis, n_threads)
    for x, y, slot in zip(xs, ys, slots, strict=True):
        assert_array_equal(vectors[slot], gaussian_vectors(image, x, y, half, basis).reshape(len(basis), -1))
    assert np.isnan(np.delete(vectors, slots, axis=0)).all()


def image_basis(width, n=4, **options):
    return ImageBasis(np.random.default_rng(width).normal(0, 1, (n, width, width)).astype('f4'), **options)


@pytest.mark.parametrize('flipped', [False, True])
@pytest.mark.parametrize('width', [1, 7])
@pytest.mark.parametrize('n_threads', [1, 2, 3])
def test_image_vectors_are_those_of_the_twin(flipped, width, n_threads):
    basis, half = image_basis(width, flipped=flipped), 5
    image, (xs, ys) = picture(2), centres(half + width // 2)
    slots = shuffled(7, 9)
    vectors = convolved(image, xs, ys, slots, half, basis, n_threads)
    for x, y, slot in zip(xs, ys, slots, strict=True):
        assert_array_equal(vectors[slot], image_vectors(image, x, y, half, basis).reshape(len(basis), -1))
    assert np.isnan(np.delete(vectors, slots, axis=0)).all()


@pytest.mark.parametrize('basis', [*BASES, image_basis(5)], ids=lambda basis: f'{len(basis)} terms')
def test_vectors_are_convolutions_with_the_basis_images(basis):
    from scipy.signal import convolve2d
    image, (xs, ys), half = picture(3), centres(6 + basis.half_width), 6
    vectors = convolved(image, xs, ys, np.arange(7, dtype='i4'), half, basis, 1)
    for n, k in enumerate(basis.images):
        whole = convolve2d(image.astype(float), k, mode='same')
        cuts = [whole[y - half:y + half + 1, x - half:x + half + 1].ravel() for x, y in zip(xs, ys, strict=True)]
        np.testing.assert_allclose(vectors[:7, n], cuts, rtol=0, atol=2e-6 * np.abs(k).sum() * image.max())


def test_what_is_not_a_number_stays_within_reach():
    basis, half, image = BASES[0], 6, picture(4)
    clean = convolved(image, *centres(10), np.arange(7, dtype='i4'), half, basis, 1)
    image[0, 0] = np.nan
    vectors = convolved(image, *centres(10), np.arange(7, dtype='i4'), half, basis, 1)
    bad = np.isnan(vectors[0]).reshape(len(basis), 13, 13)
    # corner of the first footprint: the only pixel of it that sees the corner of the image
    assert bad[:, 0, 0].all()
    assert bad.sum() == len(basis)
    assert_array_equal(vectors[1:7], clean[1:7])


# -- products -------------------------------------------------------------------------------------

def products(target, xs, ys, slots, half, order, vectors, n_threads):
    n_total = vectors.shape[1] + (order + 1) * (order + 2) // 2
    gram = np.full((len(vectors), n_total, n_total), np.nan)
    rhs = np.full((len(vectors), n_total), np.nan)
    compiled.products(target, xs, ys, slots, half, order, vectors, gram, rhs,
                      np.empty((n_threads, compiled.work_size(n_total, 2*half + 1))))
    return gram, rhs


@pytest.mark.parametrize('order', [0, 1, 3])
@pytest.mark.parametrize('half', [0, 3, 4])
@pytest.mark.parametrize('n_threads', [1, 2, 3])
def test_products_are_those_of_the_twin(order, half, n_threads):
    (xs, ys), slots, target = centres(half), shuffled(7, 9), picture(5)
    vectors = np.random.default_rng(6).normal(0, 1000, (9, 4, (2*half + 1)**2))
    gram, rhs = products(target, xs, ys, slots, half, order, vectors, n_threads)
    for x, y, slot in zip(xs, ys, slots, strict=True):
        size = 2*half + 1
        everything = [*vectors[slot].reshape(-1, size, size), *background_vectors(SHAPE, x, y, half, order)]
        expected = normal_equations(everything, target[y - half:y + half + 1, x - half:x + half + 1])
        lower = np.tril_indices(len(everything))
        assert_array_equal(gram[slot][lower], expected[0][lower])
        assert_array_equal(rhs[slot], expected[1])
    assert np.isnan(np.delete(gram, slots, axis=0)).all()
    assert np.isnan(np.delete(rhs, slots, axis=0)).all()


def test_no_substamp_is_no_work():
    none = np.empty(0, 'i4')
    gram, rhs = products(picture(1), none, none, none, 3, 1, np.zeros((2, 4, 49)), 2)
    assert np.isnan(gram).all()
    assert np.isnan(rhs).all()


@pytest.mark.parametrize('n_vectors', [1, 3, 4, 9])
@pytest.mark.parametrize('n_threads', [1, 3])
def test_vectors_are_summed_up_with_the_factors_of_each_substamp(n_vectors, n_threads):
    rng, slots = np.random.default_rng(n_vectors), shuffled(5, 8)
    vectors, factors = rng.normal(size=(8, n_vectors, 49)), rng.normal(size=(5, n_vectors))
    out = np.full((5, 49), np.nan)
    compiled.combinations(vectors, slots, factors, out, n_threads)
    assert_allclose(out, np.einsum('kn,knp->kp', factors, vectors[slots]), rtol=1e-13, atol=1e-13)


# -- merits -----------------------------------------------------------------------------------------

def merit_problem(seed, half, n=7, n_basis=5):
    """Substamps whose model is the target but for noise; some pixels flagged, some zero."""
    rng = np.random.default_rng(seed)
    (xs, ys), size = centres(half, n), 2*half + 1
    target, mask = picture(seed), rng.choice([0, 0, 0x40, 0x80, 0x384], SHAPE).astype('i4')
    target[rng.random(SHAPE) < 0.05] = 0
    vectors, slots = rng.normal(0, 100, (n + 2, n_basis, size*size)), shuffled(n, n + 2)
    for x, y, slot in zip(xs, ys, slots, strict=True):
        vectors[slot, 0] = target[y - half:y + half + 1, x - half:x + half + 1].ravel()
    coefficients, background = rng.normal(0, 0.02, (n, n_basis)), rng.normal(0, 5, n)
    coefficients[:, 0] += 1
    return target, mask, xs, ys, slots, half, vectors, coefficients, background, \
        rng.uniform(100, 300, (n + 2, size, size)).astype('f4')


def merits_of(problem, n_threads):
    *_, half, _, coefficients, _, _ = problem
    out = np.full(len(coefficients), np.nan)
    substamps.variance_merits(*problem, out, np.empty((n_threads, (2*half + 1)**2), 'f4'))
    return out


def twin_merits(problem):
    target, mask, xs, ys, slots, half, vectors, coefficients, background, variance = problem
    cuts = [np.s_[y - half:y + half + 1, x - half:x + half + 1] for x, y in zip(xs, ys, strict=True)]
    return [merit(vectors[k].reshape(-1, 2*half + 1, 2*half + 1), a, b, target[cut], mask[cut], variance[k])
            for k, a, b, cut in zip(slots, coefficients, background, cuts, strict=True)]


@pytest.mark.parametrize('half', [0, 5, 8])
@pytest.mark.parametrize('n_threads', [1, 2, 5])
def test_merits_are_those_of_the_twin(half, n_threads):
    problem = merit_problem(half, half)
    assert_array_equal(merits_of(problem, n_threads), twin_merits(problem))


def test_pixels_that_are_not_finite_do_not_count():
    problem = merit_problem(11, 6)
    clean, (target, _, xs, ys, *_) = merits_of(problem, 1), problem
    target[ys[5]:ys[5] + 3, xs[5]:xs[5] + 3], target[2, :9] = np.nan, np.inf
    assert_array_equal(merits_of(problem, 2), twin_merits(problem))
    assert (merits_of(problem, 1) != clean).any()


@pytest.mark.parametrize('spoil', ['flags', 'zeros', 'misfit'])
def test_a_merit_without_meaning_is_minus_one(spoil):
    problem = merit_problem(12, 4)
    target, mask, *_, background, _ = problem
    if spoil == 'flags':
        mask[:] = 0x80
    elif spoil == 'zeros':
        target[:] = 1e-11
    else:
        background[:] = 1e9
    assert_array_equal(merits_of(problem, 1), -1)
    assert_array_equal(twin_merits(problem), -1)


@pytest.mark.parametrize('half', [0, 5])
def test_residuals_are_those_of_the_twin(half):
    target, mask, xs, ys, slots, _, vectors, coefficients, background, _ = merit_problem(13, half)
    target[ys[5], xs[5]] = np.nan
    for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
        out = np.full((2*half + 1, 2*half + 1), -7, 'f4')
        substamps.residuals(target, mask, x - half, y - half, vectors[slots[k]], coefficients[k], background[k], out)
        cut = np.s_[y - half:y + half + 1, x - half:x + half + 1]
        expected = model(vectors[slots[k]].reshape(-1, *out.shape), coefficients[k])
        used = ((mask[cut] & 0x80) == 0) & ~(np.abs(target[cut].astype(float)) <= 1e-10)
        expected[used] = (expected.astype(float) - target[cut] + background[k])[used]
        assert_array_equal(out, expected)
