"""Block-wise convolution agrees with a slow one, pixel by pixel, written from the spec (7)."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hotpants_cy.instructions import VARIABLE, available_instructions, convolution_loops

pytestmark = pytest.mark.usefixtures('instructions')
NO_PLANE, NO_FLAGS = np.empty((0, 0), 'f4'), np.empty((0, 0), 'i4')


@pytest.fixture(params=available_instructions())
def instructions(request, monkeypatch):
    """Each set of instructions that this CPU runs."""
    monkeypatch.setenv(VARIABLE, request.param)
    return request.param


# -- the twin ---------------------------------------------------------------------------------

def block_kernels(solution, x_terms, y_terms, basis, width):
    """Kernels of all blocks, [row, column, v, u] (6.4)."""
    first, rest = solution[0], solution[1:1 + (len(basis) - 1) * x_terms.shape[1]].reshape(len(basis) - 1, -1)
    kernels = np.empty((len(y_terms), len(x_terms), width, width))
    for j, i in np.ndindex(kernels.shape[:2]):
        kernels[j, i] = (first*basis[0] + (rest @ (x_terms[i] * y_terms[j])) @ basis[1:]).reshape(width, width)
    return kernels


def convolve(image, variance, flags, kernels, step, plain, good_fraction):
    """Convolved image, variance and flags, NaN and 0 in the frame, and what the sums would be without signs and sky."""
    (ny, nx), r = image.shape, kernels.shape[-1] // 2
    out, variance_out, sizes = np.full((3, ny, nx), np.nan)
    flags_out, level = np.zeros((ny, nx), int), np.median(image)
    for y in range(r, ny - r):
        for x in range(r, nx - r):
            k = kernels[(y - r) // step, (x - r) // step][::-1, ::-1]
            footprint = np.s_[y - r:y + r + 1, x - r:x + r + 1]
            out[y, x] = (image[footprint] * k).sum()
            variance_out[y, x] = (variance[footprint] * (k if plain else k*k)).sum()
            sizes[y, x] = ((np.abs(image[footprint]) + level) * np.abs(k)).sum()
            flags_out[y, x] = verdict(flags[y, x], flags[footprint], np.abs(k), good_fraction)
    return out, variance_out, flags_out, sizes


def verdict(own, seen, sizes, good_fraction):
    own |= 0x8000 if own & 0x80 else 0
    if not seen.any():
        return own
    good = sizes[(seen & 0x80) == 0].sum() / sizes.sum()
    return own | (0x8010 if good < good_fraction else 0x40)


# -- what is given to both ------------------------------------------------------------------------

def problem(seed, shape, width, step, n_basis=3, n_terms=3, flagged=0.003):
    rng = np.random.default_rng(seed)
    image, variance = rng.normal(100, 30, shape).astype('f4'), rng.uniform(50, 150, shape).astype('f4')
    bits = rng.choice([0x81, 0x82, 0x20, 0x80, 0x8000], shape)
    flags = np.where(rng.random(shape) < flagged, bits, 0).astype('i4')
    n_y, n_x = (-(-length // step) for length in shape)
    x_terms, y_terms = rng.uniform(-1, 1, (n_x, n_terms)), rng.uniform(-1, 1, (n_y, n_terms))
    u = np.arange(width) - width // 2
    basis = rng.normal(0, 0.1, (n_basis, width*width)) * np.exp(-(u*u + u[:, np.newaxis]**2) / 8.0).ravel()
    solution = rng.normal(0, 1, 1 + (n_basis - 1)*n_terms + 3)          # 3 for a background, not used here
    return image, variance, flags, solution, x_terms, y_terms, basis


def run(problem, width, step, plain=False, good_fraction=0.9, n_threads=1, planes='vf'):
    image, variance, flags, *kernel = problem
    out, variance_out, flags_out = np.full_like(image, -7), np.full_like(variance, -7), np.full_like(flags, 0x1000)
    if 'v' not in planes:
        variance = variance_out = NO_PLANE
    if 'f' not in planes:
        flags = flags_out = NO_FLAGS
    loops = convolution_loops()
    work = np.full((n_threads, loops.work_size(width, step)), np.nan)
    solution, *terms, basis = kernel
    basis = np.ascontiguousarray(basis[:, ::-1])
    n = terms[0].shape[1]
    varying = solution[1:1 + (len(basis) - 1) * n].reshape(-1, n)
    term_kernels = np.vstack([solution[0] * basis[:1], varying.T @ basis[1:]])
    loops.convolve_blocks(image, variance, flags, solution, *terms, basis, term_kernels, width, step, plain, 0.0, 0.0,
                          good_fraction, out, variance_out, flags_out, work)
    return out, variance_out, flags_out


LAYOUTS = [((41, 52), 7, 7), ((40, 37), 5, 3), ((33, 50), 9, 1), ((30, 31), 3, 20), ((25, 26), 5, 100),
           ((9, 11), 9, 9), ((31, 28), 1, 4), ((60, 71), 21, 21), ((58, 49), 15, 18), ((50, 60), 5, 31),
           ((50, 47), 17, 1), ((55, 90), 19, 2), ((61, 64), 21, 40)]


@pytest.mark.parametrize(('shape', 'width', 'step'), LAYOUTS, ids=str)
@pytest.mark.parametrize('plain', [False, True])
def test_planes_are_those_of_the_twin(shape, width, step, plain):
    given, r = problem(width + step, shape, width, step), width // 2
    image, variance, flags, *kernel = given
    kernels = block_kernels(*kernel, width)
    expected, expected_variance, expected_flags, sizes = convolve(image, variance, flags, kernels, step, plain, 0.9)
    out, variance_out, flags_out = run(given, width, step, plain)
    inside = np.s_[r:shape[0] - r, r:shape[1] - r]
    # nothing after the fit is amplified: single precision of the terms will do
    assert (np.abs(out - expected)[inside] <= 2e-7 * sizes[inside]).all()
    largest = np.abs(kernels).sum(axis=(2, 3)).max()**(1 if plain else 2) * 150
    assert (np.abs(variance_out - expected_variance)[inside] <= 2e-7 * largest).all()
    assert_array_equal(flags_out, expected_flags | 0x1000)
    for plane in (out, variance_out):
        plane[inside] = -7
        assert (plane == -7).all()                            # the frame is left alone


@pytest.mark.parametrize('flagged', [0.001, 0.1, 0.6, 0.97, 1])
@pytest.mark.parametrize('good_fraction', [0, 0.2, 0.5, 0.99, 1])
def test_flags_are_those_of_the_twin_however_many_there_are(flagged, good_fraction):
    image, variance, flags, *kernel = given = problem(8, (40, 53), 9, 12, flagged=flagged)
    *_, expected, _ = convolve(image, variance, flags, block_kernels(*kernel, 9), 12, False, good_fraction)
    assert_array_equal(run(given, 9, 12, good_fraction=good_fraction)[2], expected | 0x1000)


@pytest.mark.parametrize(('shape', 'width', 'step'), LAYOUTS, ids=str)
@pytest.mark.parametrize('n_threads', [2, 4])
def test_threads_change_no_bit(shape, width, step, n_threads):
    given = problem(1, shape, width, step)
    for one, many in zip(run(given, width, step), run(given, width, step, n_threads=n_threads), strict=True):
        assert one.tobytes() == many.tobytes()


@pytest.mark.parametrize('planes', ['', 'v', 'f'])
def test_planes_left_out_change_nothing_in_the_others(planes):
    given = problem(2, (30, 43), 5, 6)
    everything, some = run(given, 5, 6), run(given, 5, 6, planes=planes)
    assert_array_equal(some[0], everything[0])
    for letter, part, whole in zip('vf', some[1:], everything[1:], strict=True):
        assert_array_equal(part, whole if letter in planes else np.empty((0, 0)))


@pytest.mark.parametrize('shape', [(6, 30), (30, 6), (6, 6)])
def test_an_image_without_room_for_the_kernel_is_all_frame(shape):
    out, variance_out, flags_out = run(problem(3, shape, 7, 7), 7, 7)
    assert (out == -7).all()
    assert (variance_out == -7).all()
    assert (flags_out == 0x1000).all()


def test_a_star_comes_out_as_the_kernel_not_as_its_mirror_image():
    kernel = np.arange(1.0, 26.0).reshape(5, 5)
    image = np.zeros((21, 21), 'f4')
    image[10, 12] = 2
    none = np.ones((21, 1))
    out, _, _ = run((image, NO_PLANE, NO_FLAGS, np.ones(1), none, none, kernel.reshape(1, 25)), 5, 1, planes='')
    assert_array_equal(out[8:13, 10:15], 2 * kernel)


@pytest.mark.parametrize(('width', 'rounding'), [(5, 2e-5), (21, 6e-5)])
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_what_is_not_a_number_fills_its_footprint_alone(width, rounding, value):
    given, r = problem(4, (60, 71), width, 7), width // 2
    clean, _, _ = run(given, width, 7)
    given[0][30, 37] = value
    out, _, _ = run(given, width, 7)
    footprint = np.zeros((60, 71), bool)
    footprint[30 - r:31 + r, 37 - r:38 + r] = True
    assert_array_equal(~np.isfinite(out), footprint)
    # the level that is taken off may differ
    np.testing.assert_allclose(out[~footprint], clean[~footprint], rtol=0, atol=rounding)


@pytest.mark.parametrize(('bit', 'good_fraction', 'there', 'beside'), [
    (0x80, 0.99, 0x8000 | 0x80 | 0x10, 0x8010), (0x80, 0.9, 0x8000 | 0x80 | 0x40, 0x40), (0x20, 0.99, 0x60, 0x40),
    (0x80, 0.96, 0x8000 | 0x80 | 0x40, 0x40)])
def test_one_flag_under_a_flat_kernel(bit, good_fraction, there, beside):
    flags, none = np.zeros((21, 21), 'i4'), np.ones((21, 1))
    flags[10, 10] = bit
    given = np.ones((21, 21), 'f4'), NO_PLANE, flags, np.ones(1), none, none, np.full((1, 25), 0.25)
    _, _, out = run(given, 5, 1, good_fraction=good_fraction, planes='f')      # a flag takes 1/25 of the weight
    expected = np.full((21, 21), 0x1000)
    expected[8:13, 8:13] |= beside
    expected[10, 10] = there | 0x1000
    assert_array_equal(out, expected)


def truth_and_result(image, kernel):
    """The sums in double precision, and what the loops make of them, with one kernel for all blocks of 21 pixels."""
    width = kernel.shape[0]
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(float), kernel.shape)
    none = np.ones((len(image), 1))
    out, variance_out, _ = run((image, np.abs(image) + 9, NO_FLAGS, np.ones(1), none, none, kernel.reshape(1, -1)),
                               width, 21, planes='v')
    inside = np.s_[width // 2:-(width // 2), width // 2:-(width // 2)]
    return (np.einsum('yxji,ji->yx', windows, kernel[::-1, ::-1]), out[inside],
            np.einsum('yxji,ji->yx', np.abs(windows) + 9, kernel[::-1, ::-1]**2), variance_out[inside])


def pair_of_gaussians(width):
    u = np.arange(width) - width // 2
    narrow, wide = (np.exp(-(u*u + u[:, np.newaxis]**2) / (2 * s*s)) / (2 * np.pi * s*s) for s in (1.0, 3.0))
    return 0.8 * narrow + 0.2 * wide


@pytest.mark.parametrize('what', ['stars', 'column', 'dead rows', 'half dead', 'vignetted', 'galaxy', 'crowded',
                                  'one pixel of 1e30'])
def test_bright_pixels_spoil_nothing_around_them(what):
    rng, kernel = np.random.default_rng(5), pair_of_gaussians(21)
    image = rng.normal(250, 15, (80, 90)).astype('f4')
    noise = 15
    if what == 'stars':
        image[rng.integers(0, 80, 60), rng.integers(0, 90, 60)] += 10**rng.uniform(2, 4.8, 60)
    elif what == 'column':
        image[:, 33] = 65535
    elif what == 'dead rows':
        image[10:70:7] = 0
        image[20, 30] = 3e4
    elif what == 'half dead':
        image[:, 40:] = 0
        image[33, 44] = 3e4
    elif what == 'vignetted':
        image *= np.clip(np.arange(90) / 60, 0.05, 1)
        image *= 4
    elif what == 'galaxy':
        y, x = np.mgrid[:80, :90]
        image += 1e4 * np.exp(-np.hypot(x - 45, y - 40) / 10)
    elif what == 'crowded':
        image += np.abs(rng.normal(0, 300, image.shape)) * (rng.random(image.shape) < 0.6)
    else:
        image[40, 50] = 1e30
    expected, out, expected_variance, variance_out = truth_and_result(image, kernel)
    error = np.abs(out - expected) / np.maximum(1e-4 * noise * kernel.max()**0.5, 4 * np.spacing(np.abs(out)))
    assert error.max() < 1
    np.testing.assert_allclose(variance_out, expected_variance, rtol=2.1e-5)


def test_a_bright_half_spoils_nothing_in_the_other():
    image = np.random.default_rng(7).normal(0, 0.5, (62, 130)).astype('f4')
    image[:, :40] += 5000
    expected, out, _, _ = truth_and_result(image, pair_of_gaussians(21))
    error = np.abs(out - expected)[:, 42:]           # blocks that see none of it
    assert error.max() < 1e-5


@pytest.mark.parametrize('lowest', [0, 1e-3, 1])
def test_taps_are_left_out_of_variances_only_where_they_do_not_matter(lowest):
    """One pixel among very faint ones."""
    image = np.full((63, 63), lowest, 'f4')
    image[30, 30] = 1e4
    kernel = pair_of_gaussians(21)
    none = np.ones((63, 1))
    _, out, _ = run((image, image, NO_FLAGS, np.ones(1), none, none, kernel.reshape(1, -1)), 21, 21, planes='v')
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(float), (21, 21))
    expected = np.einsum('yxji,ji->yx', windows, kernel[::-1, ::-1]**2)
    np.testing.assert_allclose(out[10:-10, 10:-10], expected, rtol=2.1e-5, atol=1e-30)
