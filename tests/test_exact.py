"""With ``exact`` each pixel has its own kernel: equal to brute force, and without the pattern of blocks."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.inputs.noise import NoiseModel
from hotpants_cy.instructions import VARIABLE, available_instructions
from hotpants_cy.kernel import exact as exact_kernel
from hotpants_cy.kernel.basis import GaussianBasis
from hotpants_cy.kernel.model import KernelModel
from hotpants_cy.kernel.spatial import RegionFrame

SHAPE, ORIGIN = (93, 110), (7, 400)
WIDE = (2000, 2400)             # a field in which the kernel of a few pixels hardly varies
NOISE = NoiseModel(1.5, 4)


# -- brute force --------------------------------------------------------------------------------

def brute_force(model, data, variance, flags, plain=False, good_fraction=0.95):
    """Image with background, variance and flags in double precision; NaN and 0 in the frame."""
    r, (ny, nx) = model.half_width, data.shape
    image, variance_out, flags_out = *np.full((2, ny, nx), np.nan), np.zeros((ny, nx), int)
    xs = np.arange(r, nx - r)
    for y in range(r, ny - r):
        at = xs + model.frame.origin[0], np.full(len(xs), y + model.frame.origin[1])
        kernels = model.images(*at)[:, ::-1, ::-1]
        pixels, variances, seen = (footprints(plane[y - r:y + r + 1], 2 * r + 1) for plane in (data, variance, flags))
        image[y, xs] = (kernels * pixels).sum(axis=(1, 2)) + model.background(*at)
        variance_out[y, xs] = ((kernels if plain else kernels**2) * variances).sum(axis=(1, 2))
        flags_out[y, xs] = verdicts(flags[y, xs], seen, np.abs(kernels), good_fraction)
    return image, variance_out, flags_out


def footprints(rows, width):
    """What each pixel of the middle row sees, (n, width, width), in double precision if it is no flag."""
    rows = rows if rows.dtype.kind == 'i' else rows.astype(float)
    return np.lib.stride_tricks.sliding_window_view(rows, (width, width))[0]


def verdicts(own, seen, sizes, good_fraction):
    own = own | np.where(own & 0x80, 0x8000, 0)
    good = np.where(seen & 0x80, 0, sizes).sum(axis=(1, 2)) / sizes.sum(axis=(1, 2))
    return own | np.where(seen.any(axis=(1, 2)), np.where(good < good_fraction, 0x8010, 0x40), 0)


# -- what is given to both ------------------------------------------------------------------------

def model_of(ko, half=5, shape=SHAPE, amplitude=0.03):
    """A kernel that varies wildly."""
    basis, n = GaussianBasis(half, (2, 2), (1.2, 2.5)), (ko + 1) * (ko + 2) // 2
    solution = np.random.default_rng(ko).normal(0, amplitude, 1 + (len(basis) - 1) * n + 3)
    solution[[0, -3, -2, -1]] = 0.9, 20, 3, -4
    return KernelModel(solution, basis, ko, 1, RegionFrame(ORIGIN, shape), 't', 2 * half + 1)


def planes(shape=SHAPE, flagged=0.01):
    """Sky, a star as bright as they get, and bad pixels, alone and in a heap."""
    rng = np.random.default_rng(2)
    data = rng.normal(300, 17, shape).astype('f4')
    data[40:43, 50:53] = 60000
    flags = np.where(rng.random(shape) < flagged, rng.choice([0x81, 0x20, 0x80, 0x8000], shape), 0).astype('i4')
    flags[70:78, 20:31] = 0x80
    return data, flags


def assert_equal_planes(found, expected, half=5):
    """Within a millionth of the noise, but for the rounding to single precision."""
    inside = np.s_[half:-half, half:-half]
    image, variance, flags = (plane[inside] for plane in found)
    image_expected, variance_expected, flags_expected = (plane[inside] for plane in expected)
    rounding = 0.5 * np.spacing(np.abs(image_expected).astype('f4'))
    noise = np.sqrt(np.abs(variance_expected))            # a kernel with negative wings makes the plain one negative
    assert (np.abs(image - image_expected) <= rounding + 1e-6 * noise).all()
    size = np.maximum(np.abs(variance_expected), 1e-3 * np.median(np.abs(variance_expected)))
    assert (np.abs(variance - variance_expected) <= 2e-6 * size).all()
    assert_array_equal(flags, flags_expected)


def exactly(model, data, flags, **options):
    return model.convolve_planes(data, flags=flags, noise=NOISE, fill=np.nan, good_fraction=0.95, background=True,
                                 exact=True, **options)


# -- the planes -------------------------------------------------------------------------------------

@pytest.mark.parametrize('instructions', available_instructions())
@pytest.mark.parametrize('ko', [0, 1, 2, 3, 5])
@pytest.mark.parametrize('field', [SHAPE, WIDE], ids=['it varies wildly', 'it varies slowly'])
def test_planes_are_those_of_brute_force(field, ko, instructions, monkeypatch):
    monkeypatch.setenv(VARIABLE, instructions)
    model, (data, flags) = model_of(ko, shape=field), planes()
    expected = brute_force(model, data, NOISE.variance(data), flags)
    assert len(set(expected[2].ravel())) > 5
    assert_equal_planes(exactly(model, data, flags), expected)


@pytest.mark.parametrize('instructions', available_instructions())
@pytest.mark.parametrize('level', [0, 300])
def test_stars_galaxies_and_hot_pixels_are_as_exact(level, instructions, monkeypatch):
    """Most sums are in single precision here, with taps that fall off as those of real kernels do."""
    monkeypatch.setenv(VARIABLE, instructions)
    basis, rng = GaussianBasis(10, (6, 4, 2), (0.7, 1.5, 3.0)), np.random.default_rng(8)
    sizes = np.abs(basis.images[1:]).sum(axis=(1, 2))
    terms = rng.normal(0, 0.1, (6, len(sizes))) / sizes / np.sqrt(len(sizes))
    solution = np.concatenate([[0.9], terms.T.ravel(), [0, 0, 0]])
    model = KernelModel(solution, basis, 2, 1, RegionFrame(ORIGIN, WIDE), 't', 21)
    data, (y, x) = rng.normal(level, 17, (75, 330)), np.mgrid[:75, :330]
    for where, height, width in [(30, 300, 1.5), (100, 3e4, 1.5), (170, 2000, 8), (240, 3e4, 0.1)]:
        data += height * np.exp(-0.5 * ((x - where)**2 + (y - 40)**2) / width**2)
    data, none = data.astype('f4'), np.zeros(data.shape, 'i4')
    variance = (np.abs(data - level) + 300).astype('f4')
    found = model.convolve_planes(data, variance, none, fill=np.nan, background=True, exact=True)
    assert_equal_planes(found, brute_force(model, data, variance, none), 10)


@pytest.mark.parametrize('good_fraction', [0, 0.3, 0.9, 0.99, 1])
@pytest.mark.parametrize('flagged', [0.003, 0.2, 0.8])
def test_any_number_of_bad_pixels_and_any_fraction(flagged, good_fraction):
    model, (data, flags) = model_of(2, shape=WIDE), planes(flagged=flagged)
    *_, expected = brute_force(model, data, data, flags, good_fraction=good_fraction)
    *_, found = model.convolve_planes(data, flags=flags, exact=True, good_fraction=good_fraction)
    assert_array_equal(found[5:-5, 5:-5], expected[5:-5, 5:-5])


@pytest.mark.parametrize('half', [1, 2, 8])
@pytest.mark.parametrize('shape', [(17, 17), (18, 75), (60, 19)], ids=str)
def test_sizes_of_kernel_and_image(half, shape):
    model = model_of(2, half, shape)
    data, _ = planes(SHAPE)
    data = np.ascontiguousarray(data[30:30 + shape[0], 40:40 + shape[1]] if shape[1] < 70 else data[:18, :75])
    flags = np.zeros(shape, 'i4')
    flags[5, 6] = 0x80
    expected = brute_force(model, data, NOISE.variance(data), flags)
    assert_equal_planes(exactly(model, data, flags), expected, half)


@pytest.mark.parametrize('plain', [False, True])
def test_a_variance_plane_is_convolved_with_the_square_or_the_kernel(plain):
    model, (data, flags) = model_of(2, amplitude=0.004), planes()
    variance = np.random.default_rng(5).uniform(200, 400, SHAPE).astype('f4')
    found = model.convolve_planes(data, variance, flags, fill=np.nan, plain_variance=plain, exact=True, background=True,
                                  good_fraction=0.95)
    assert_equal_planes(found, brute_force(model, data, variance, flags, plain))


def test_a_block_without_numbers_fills_the_footprints_that_see_it_alone():
    model, (data, flags) = model_of(1), planes()
    clean, *_ = exactly(model, data, flags)
    data[20:30, 60:75] = np.nan
    data[50, 50] = np.inf
    image, variance, _ = exactly(model, data, flags)
    touched = np.zeros(SHAPE, bool)
    touched[15:35, 55:80] = touched[45:56, 45:56] = True
    frame = np.isnan(clean)
    assert_array_equal(~np.isfinite(image), touched | frame)
    assert_array_equal(~np.isfinite(variance), touched)
    np.testing.assert_allclose(image[~touched & ~frame], clean[~touched & ~frame], rtol=1e-7, atol=1e-5)


def test_frame_and_planes_left_out():
    model, (data, flags) = model_of(2), planes()
    everything = exactly(model, data, flags)
    image, none, no_flags = model.convolve_planes(data, fill=-3, exact=True, background=True)
    assert none.size == no_flags.size == 0
    inside = np.s_[5:-5, 5:-5]
    np.testing.assert_allclose(image[inside], everything[0][inside], rtol=1.2e-7, atol=1e-5)
    image[inside] = -3
    assert (image == -3).all()
    for plane in everything[1:]:
        plane[inside] = 0
        assert (plane == 0).all()


@pytest.mark.parametrize('n_threads', [2, 3, 7])
@pytest.mark.parametrize('by_fft', [False, True])
def test_threads_change_no_bit(n_threads, by_fft, monkeypatch):
    monkeypatch.setattr(exact_kernel, 'fft_pays', lambda *_: by_fft)
    model, (data, flags) = model_of(2), planes()
    for one, many in zip(exactly(model, data, flags), exactly(model, data, flags, n_threads=n_threads), strict=True):
        assert one.tobytes() == many.tobytes()


# -- large kernels ----------------------------------------------------------------------------------

@pytest.mark.parametrize('ko', [0, 1, 2])
@pytest.mark.parametrize('plain', [False, True])
def test_large_kernels_go_by_fft_and_nothing_but_the_time_tells(ko, plain, monkeypatch):
    monkeypatch.setattr(exact_kernel, 'fft_pays', lambda *_: True)
    monkeypatch.setattr(exact_kernel, 'TILE', 40)                     # several tiles
    model, (data, flags) = model_of(ko, amplitude=0.004), planes()
    found = exactly(model, data, flags, plain_variance=plain)
    assert_equal_planes(found, brute_force(model, data, NOISE.variance(data), flags, plain))


@pytest.mark.parametrize('instructions', available_instructions())
def test_when_the_fft_pays(instructions, monkeypatch):
    monkeypatch.setenv(VARIABLE, instructions)
    data = np.random.default_rng(3).normal(300, 10, (200, 200)).astype('f4')
    none = np.empty((0, 0), 'f4')
    assert not exact_kernel.fft_pays(model_of(2, 8), data, none, None)
    assert exact_kernel.fft_pays(model_of(2, 30), data, none, None)
    data[100, 100] = np.nan
    assert not exact_kernel.fft_pays(model_of(2, 30), data, none, None)


@pytest.mark.skipif('v4' not in available_instructions(), reason='this CPU has no AVX-512')
def test_wider_vectors_sum_faster_so_that_the_fft_pays_later(monkeypatch):
    data, pays = np.random.default_rng(3).normal(300, 10, (200, 200)).astype('f4'), {}
    for instructions in ('base', 'v3', 'v4'):
        monkeypatch.setenv(VARIABLE, instructions)
        pays[instructions] = [exact_kernel.fft_pays(model_of(1, half), data, data, None) for half in (20, 33, 40)]
    assert pays == {'base': [True, True, True], 'v3': [False, True, True], 'v4': [False, False, True]}


# -- subtractions -----------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def pair():
    return make_pair((230, 260), seed=4, star_flux=(8e3, 3e5))


def config_of(**values):
    return hp.HotpantsConfig(rkernel=6, rss=9, nstampx=4, nstampy=4, ko=2, exact=True, **values)


@pytest.mark.filterwarnings('ignore::hotpants_cy.exceptions.DeconvolutionWarning')
@pytest.mark.parametrize('direction', ['t', 'i'])
def test_a_subtraction_uses_the_kernel_of_each_pixel(pair, direction):
    result = hp.subtract(pair.science, pair.template, config=config_of(force_convolve=direction, normalize='u'))
    source, target = (pair.template, pair.science) if direction == 't' else (pair.science, pair.template)
    data = source.data.astype('f4')
    image, *_ = brute_force(result.kernel, data, data, np.zeros(data.shape, int))
    difference = (target.data - image) * (1 if direction == 't' else -1)
    good = ~result.difference.mask & np.isfinite(image)
    noise = result.difference.uncertainty.array
    rounding = np.spacing(np.abs(image).astype('f4')) + np.spacing(np.abs(difference).astype('f4'))
    assert good.sum() > 30000
    assert (np.abs(result.difference.data - difference) <= 1e-6 * noise + rounding)[good].all()
    applied = result.kernel.apply(data, background=True, exact=True)
    np.testing.assert_allclose(applied[good], image[good], rtol=1e-7, atol=1e-5)


def test_the_convolved_image_can_be_made_again(pair):
    result = hp.subtract(pair.science, pair.template, config=config_of(force_convolve='t', normalize='u'))
    good = ~result.difference.mask
    applied = result.kernel.apply(pair.template.data, background=True, exact=True)
    assert_array_equal(result.convolved.data[good], applied[good])


def test_regions_have_their_own_kernels():
    pair = make_pair((260, 520), seed=4, star_flux=(8e3, 3e5))
    result = hp.subtract(pair.science, pair.template,
                         config=config_of(nregx=2, force_convolve='t', normalize='u').replace(ko=1))
    assert len(result.kernel.models) == 2
    good = ~result.difference.mask
    assert good.sum() > 100_000
    applied = result.kernel.apply(pair.template.data, background=True, exact=True)
    assert_array_equal(result.convolved.data[good], applied[good])
    assert_array_equal(result.difference.data[good], (pair.science.data.astype('f4') - applied)[good])


def test_the_pattern_of_blocks_vanishes():
    """Blocks leave power at one wave per block in the residual of a pair whose PSF varies."""
    model = replace(model_of(1, 6, (240, 240), 0.004), block_width=13)
    y, x = np.mgrid[:240, :240]
    template = (300 + 2e4 * np.exp(-0.5 * ((x - 120)**2 + (y - 120)**2) / 60**2)).astype('f4')
    zeros = np.zeros(template.shape, int)
    science, *_ = brute_force(model, template, template, zeros)
    power = {}
    for exact in (False, True):
        residual = (science - model.apply(template, background=True, exact=exact))[6:-6, 6:-6]
        wave = np.exp(2j * np.pi * np.arange(residual.shape[1]) / 13)
        power[exact] = np.abs(((residual - residual.mean()) * wave).mean())
    assert power[False] > 1e-3
    assert power[True] < 1e-3 * power[False]


def test_it_is_off_unless_asked_for(pair):
    assert not hp.HotpantsConfig().exact
    assert hp.HotpantsConfig(parity=True, exact=True).exact
    blocks, exact = (hp.subtract(pair.science, pair.template, config=config_of().replace(exact=on))
                     for on in (False, True))
    assert_array_equal(blocks.kernel.solution, exact.kernel.solution)
    assert not np.array_equal(blocks.difference.data, exact.difference.data, equal_nan=True)


def test_the_flag():
    from hotpants_cy.cli.options import config_of as config_of_line
    from hotpants_cy.cli.options import parse
    line = ['-inim', 's.fits', '-tmplim', 't.fits', '-outim', 'd.fits']
    assert config_of_line(parse([*line, '--exact'])).exact
    assert not config_of_line(parse(line)).exact
