"""Whitened differences, scores and fluxes: white where they should be, in units of their own noise, unbiased."""

from itertools import product

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from scipy import ndimage
from scipy.signal import fftconvolve
from scipy.spatial import cKDTree

import hotpants_cy as hp
from hotpants_cy.datasets import PSF, make_pair
from hotpants_cy.exceptions import InputError
from hotpants_cy.kernel.basis import GaussianBasis
from hotpants_cy.kernel.model import KernelModel
from hotpants_cy.kernel.spatial import RegionFrame
from hotpants_cy.products.correlation import DifferenceNoise
from hotpants_cy.products.filters import Filterable, FilterField, nodes
from hotpants_cy.products.given_psf import GivenPSF
from hotpants_cy.products.noise_field import NoiseField
from hotpants_cy.products.psf import FieldPSF, difference_psf
from hotpants_cy.products.score import ScoreImages
from hotpants_cy.products.whitening import DifferenceFilters

N = 400
SHARP = {'science_fwhm': 2.8, 'template_fwhm': 3.6}
DIRECTIONS = {'t': {}, 'i': SHARP}


# -- filters that vary ------------------------------------------------------------------------

def test_varying_filters_are_those_blended_for_each_pixel():
    rng = np.random.default_rng(1)
    plane = rng.normal(size=(60, 90)).astype(np.float32)
    field = FilterField(np.linspace(0, 89, 3), np.linspace(0, 59, 2), rng.normal(size=(2, 3, 5, 5)))
    got = field.apply(Filterable(plane, 8))
    padded = np.pad(plane, 2)
    for x, y in ((0, 0), (89, 59), (30, 20), (44, 3), (70, 58)):
        want = np.sum(field.at(x, y) * padded[y:y + 5, x:x + 5])
        assert got[y, x] == pytest.approx(want, abs=1e-4)


def test_nodes_cover_the_axis():
    assert nodes(100).tolist() == [0, 99]
    assert nodes(1000)[[0, -1]].tolist() == [0, 999]
    assert len(nodes(1000)) == 6


# -- a kernel that is known, and noise that is drawn ------------------------------------------

@pytest.fixture(scope='module')
def known():
    """Noise of a difference whose kernel varies, and some realisations of it."""
    basis = GaussianBasis(8, (2, 0), (1.0, 2.0))
    rng = np.random.default_rng(1)
    solution = np.concatenate([[0.9], rng.normal(0, 0.03, (len(basis) - 1) * 3), [0.0]])
    model = KernelModel(solution, basis, 1, 0, RegionFrame((0, 0), (N, N)), 't', 5)
    plain, convolved = (np.full((N, N), v, np.float32) * (1 + np.arange(N, dtype=np.float32) / N) for v in (100, 300))
    flags = np.full((N, N), hp.HotpantsFlags.OUTPUT_ISBAD, np.int32)
    flags[8:-8, 8:-8] = 0
    sigma = np.sqrt(plain + model.convolve_planes(convolved.copy(), convolved)[1])
    noise = NoiseField(plain, convolved, flags, sigma, model, 1.0, (0, 0))
    draws = [(rng.normal(0, 1, (N, N)) * np.sqrt(plain)
              - model.convolve_planes((rng.normal(0, 1, (N, N)) * np.sqrt(convolved)).astype(np.float32))[0])
             .astype(np.float32) for _ in range(4)]
    return noise, draws


def correlations(planes, lags=(1, 2, 3)):
    """Autocorrelation along both axes, mean over realisations; the edge is left out."""
    inside = [plane[40:-40, 40:-40] for plane in planes]
    power = np.mean([np.mean(p**2) for p in inside])
    return np.array([np.mean([(np.mean(p[:, lag:] * p[:, :-lag]), np.mean(p[lag:] * p[:-lag])) for p in inside])
                     for lag in lags]) / power


def test_the_whitened_difference_is_white_and_of_width_one(known):
    noise, draws = known
    whitened = []
    for draw in draws:
        filters = DifferenceFilters(noise, draw)
        w = filters.whitening
        whitened.append(filters.signal(w) / np.sqrt(filters.variance(w)))
    assert correlations(draws)[0] > 0.1
    assert np.abs(correlations(whitened)).max() < 0.005
    values = np.array(whitened)[:, 40:-40, 40:-40]
    assert values.std() == pytest.approx(1, abs=0.005)
    # anywhere in the field, though noise and kernel vary
    quarters = [part.std() for half in np.array_split(values, 2, axis=1) for part in np.array_split(half, 2, axis=2)]
    assert quarters == pytest.approx([1] * 4, abs=0.01)


def test_whitening_filters_are_real_symmetric_and_short(known):
    filters = DifferenceFilters(*(known[0], known[1][0])).whitening.filters
    np.testing.assert_allclose(filters, filters[..., ::-1, ::-1], atol=1e-9)
    assert 21 <= filters.shape[-1] <= 41


def test_a_noiseless_template_needs_no_whitening():
    basis = GaussianBasis(6, (0,), (1.5,))
    model = KernelModel(np.array([0.9, 0.0]), basis, 0, 0, RegionFrame((0, 0), (100, 100)), 't', 5)
    plain, nothing = np.full((100, 100), 25, np.float32), np.zeros((100, 100), np.float32)
    noise = NoiseField(plain, nothing, np.zeros((100, 100), np.int32), np.sqrt(plain), model, 1.0, (0, 0))
    w = DifferenceFilters(noise, plain).whitening.at(50, 50)
    middle = w.shape[0] // 2
    assert w[middle, middle] == pytest.approx(0.2)
    assert np.count_nonzero(np.abs(w) > 1e-9) == 1


def test_inputs_that_are_correlated_are_whitened_too(known):
    noise, _ = known
    rng, k = np.random.default_rng(4), np.outer([0.15, 0.7, 0.15], [0.1, 0.8, 0.1])
    k /= np.linalg.norm(k)
    flat = np.full((N, N), 200, np.float32)
    given = NoiseField(flat, flat, noise.flags, noise.noise, noise.kernel, 1.0, (0, 0), fftconvolve(k, k), None)
    whitened = []
    for _ in range(3):
        plain, convolved = (rng.normal(0, 200**0.5, (N, N)) for _ in range(2))
        difference = fftconvolve(plain, k, mode='same') - noise.kernel.convolve_planes(convolved.astype(np.float32))[0]
        filters = DifferenceFilters(given, difference.astype(np.float32))
        w = filters.whitening
        inside = np.s_[8:-8, 8:-8]
        whitened.append(filters.signal(w)[inside] / np.sqrt(filters.variance(w)[inside]))
    assert np.abs(correlations(whitened)).max() < 0.01
    assert np.array(whitened)[:, 40:-40, 40:-40].std() == pytest.approx(1, abs=0.01)


# -- pairs ------------------------------------------------------------------------------------

def images_of(pair, *, psf=None, **changes):
    config = hp.HotpantsConfig(**{'ko': 1, **changes})
    hot = hp.Hotpants(pair.template, pair.science, config=config, n_threads=1)
    return ScoreImages.of(hot, difference_psf(hot, psf))


def blank_sky(pair, image, distance=15):
    sources = np.vstack([np.column_stack([table['x'], table['y']]) for table in (pair.stars, pair.transients)])
    yx = np.indices(pair.science.shape).reshape(2, -1)
    far = cKDTree(sources).query(yx[::-1].T)[0].reshape(pair.science.shape) > distance
    return far & ~image.mask


@pytest.mark.parametrize('direction', DIRECTIONS)
def test_score_and_whitened_difference_have_width_one_in_blank_sky(direction):
    pair = make_pair((512, 512), seed=3, profile='gaussian', **DIRECTIONS[direction])
    images = images_of(pair, force_convolve=direction)
    for image in (images.score, images.whitened):
        assert image.unit == ''
        sky = image.data[blank_sky(pair, image)]
        assert sky.size > 60_000
        assert sky.std() == pytest.approx(1, abs=0.02)
        assert np.abs(sky).max() < 5.5


def test_fluxes_of_transients_come_back():
    ratios, weights = [], []
    for direction, seed in product(DIRECTIONS, (1, 2)):
        pair = make_pair((512, 512), seed=seed, n_transients=30, transient_snr=(50, 300), **DIRECTIONS[direction])
        images = images_of(pair, force_convolve=direction)
        kernel, middle = images.hot.kernel, (256, 256)
        for x, y, flux in zip(pair.transients['x'], pair.transients['y'], pair.transients['flux'].value, strict=True):
            # the scale of the difference, as fitted: the error of the kernel sum is not that of the score
            true = flux * kernel.sum(x, y) if direction == 'i' else flux / kernel.sum(*middle)
            got, error, good = images.measure(x, y)
            assert good > 0.95
            ratios.append(got / true)
            weights.append((true / error)**2)
    assert np.average(ratios, weights=weights) == pytest.approx(1, abs=0.005)


def test_the_score_of_a_source_is_its_flux_over_its_error():
    pair = make_pair((400, 400), seed=6, n_transients=8, transient_snr=(20, 60))
    images = images_of(pair)
    for x, y in zip(pair.transients['x'], pair.transients['y'], strict=True):
        ix, iy = round(x), round(y)
        flux, error, _ = images.measure(ix, iy)
        assert images.score.data[iy, ix] == pytest.approx(flux / error, rel=0.01)
        assert images.flux.data[iy, ix] == pytest.approx(flux, rel=0.01)
        assert images.flux.uncertainty.array[iy, ix] == pytest.approx(error, rel=0.01)
    assert images.flux.unit == 'adu'


def test_bad_pixels_cost_signal_and_bias_nothing():
    blocks = [np.s_[:, x:x + 1] for x in range(20, 512, 29)]
    found, expected = [], []
    for seed in (1, 2, 3):
        pair = make_pair((512, 512), seed=seed, n_transients=30, transient_snr=(50, 300), masked_blocks=blocks)
        images = images_of(pair, psf=pair.science_psf, rss=11, nss=6, ko=0)
        assert np.isnan(images.score.data[:, 20]).all()
        for x, y, flux in zip(pair.transients['x'], pair.transients['y'], pair.transients['flux'].value, strict=True):
            got, error, good = images.measure(x, y)
            if 0.3 < good < 0.98:
                found.append(got * images.hot.kernel.sum(256, 256) / flux)
                expected.append((flux / error)**2)
    assert len(found) > 15
    assert np.average(found, weights=expected) == pytest.approx(1, abs=0.01)


def test_where_bad_pixels_weigh_too_much_there_is_no_score():
    pair = make_pair((300, 300), seed=2, nan_blocks=[np.s_[150:153, 100:103]])
    images = images_of(pair, ko=0)
    score, flags = images.score, images.score.flags
    assert score.mask[149:154, 99:104].all()
    assert flags[149, 99] & hp.HotpantsFlags.BAD_CONV
    assert not score.mask[151, 125]
    assert np.isnan(score.data[score.mask]).all()
    assert np.isfinite(score.data[~score.mask]).all()
    assert score.mask[:10].all()


def test_regions_are_put_together():
    pair = make_pair((300, 500), seed=3, n_transients=0)
    images = images_of(pair, ko=0, nregx=2, nstampx=4, nstampy=5)
    score = images.score
    sky = blank_sky(pair, score)
    for half in (np.s_[:, :250], np.s_[:, 250:]):
        assert score.data[half][sky[half]].std() == pytest.approx(1, abs=0.03)


# -- the PSF ----------------------------------------------------------------------------------

@pytest.mark.parametrize(('profile', 'variation'), [('moffat', 0.0), ('gaussian', 0.0), ('moffat', 0.15)])
def test_the_psf_measured_is_the_true_one(profile, variation):
    pair = make_pair((700, 700), seed=3, profile=profile, variation=variation)
    hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(ko=1), n_threads=1)
    psf = difference_psf(hot)
    for x, y in ((350, 350), (100, 100), (600, 500)):
        image, half = psf(x, y), psf.half_width
        yy, xx = np.mgrid[-half:half + 1, -half:half + 1]
        true = pair.science_psf(x, y)(x + xx, y + yy)
        assert image.sum() == pytest.approx(1)
        # what a matched flux would be off by
        assert np.sum(true * image) / np.sum(image**2) == pytest.approx(1, abs=0.007)
        assert psf.fwhm(x, y) == pytest.approx(pair.science_psf.fwhm_at(x, y), rel=0.02)


@pytest.mark.parametrize('profile', ['moffat', 'gaussian'])
def test_double_stars_do_not_make_a_psf_vary(profile):
    pair = make_pair((700, 700), seed=5, profile=profile)      # the brightest star has another in its light
    hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(ko=1), n_threads=1)
    psf = difference_psf(hot)
    assert psf.profile.order == 0
    assert psf.fwhm(600, 500) == pytest.approx(pair.science_psf.fwhm_at(600, 500), rel=0.005)


def out_of_focus(image, radius=2.5, seed=3):
    """The image with each star spread over a ring; noise as independent as it was."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rng, light = np.random.default_rng(seed), image.data - np.median(image.data)
    ring = np.mean([ndimage.shift(light, (radius * np.sin(a), radius * np.cos(a)), order=1) for a in angles], axis=0)
    return CCDData(ring + rng.normal(400, 20, ring.shape), unit='adu',
                   uncertainty=StdDevUncertainty(np.full(ring.shape, 20.0)))


FOCUS = hp.HotpantsConfig(ko=0, bgo=0, rkernel=15, normalize='i')


def focus_pair():
    return make_pair((400, 400), seed=3, n_stars=40, n_transients=10, transient_snr=(100, 300), star_flux=(5e4, 2e5))


def test_a_ring_is_the_psf_of_the_template_under_the_kernel():
    pair = focus_pair()
    result = hp.subtract(out_of_focus(pair.science, 3), pair.template, config=FOCUS, stars=pair.stars, n_threads=1)
    picture, known = result.psf(200, 200), pair.transients
    middle = len(picture) // 2
    assert picture[middle, middle] < 0.85 * picture.max()
    fluxes = [result._scores.measure(x, y)[0] for x, y in zip(known['x'], known['y'], strict=True)]
    assert np.average(np.array(fluxes) / known['flux'].value, weights=known['flux'].value) == pytest.approx(1, abs=0.02)


def test_stars_out_of_focus_in_both_images_give_a_warning_that_their_psf_is_not_known(caplog):
    pair = focus_pair()
    for template, words in ((pair.template, False), (out_of_focus(pair.template, seed=4), True)):
        caplog.clear()
        science = out_of_focus(pair.science, 3)
        hp.subtract(science, template, config=FOCUS, stars=pair.stars, n_threads=1).psf.fwhm(200, 200)
        assert ('does not look like its stars' in caplog.text) == words


def test_a_psf_given_is_used_and_convolved_if_its_image_was():
    for direction, options in DIRECTIONS.items():
        pair = make_pair((300, 300), seed=1, profile='gaussian', **options)
        config = hp.HotpantsConfig(ko=0, force_convolve=direction, nstampx=5, nstampy=5)
        hot = hp.Hotpants(pair.template, pair.science, config=config, n_threads=1)
        true = (pair.science_psf if direction == 't' else pair.template_psf).fwhm
        yy, xx = np.mgrid[-15:16, -15:16]
        picture = pair.science_psf(0, 0)(xx, yy)
        for psf in (pair.science_psf, picture, lambda x, y, picture=picture: picture):
            got = difference_psf(hot, psf)
            assert got.fwhm(150, 150) == pytest.approx(true, rel=0.02)
            stamp, yx = got.stamp(150.4, 149.8), np.indices(got(150, 150).shape).reshape(2, -1)
            assert stamp.sum() == pytest.approx(1)
            moved = yx[::-1] @ (stamp - got(150, 150)).ravel()
            np.testing.assert_allclose(moved, (0.4, -0.2), atol=0.003)


def test_psfs_that_cannot_be():
    for psf in (np.ones((4, 5)), np.ones(5), np.zeros((5, 5)), np.full((3, 3), np.nan)):
        with pytest.raises(InputError, match='odd sides'):
            GivenPSF.of(psf, (0, 0))


def test_errors_of_psf_fluxes_belong_to_the_noise():
    pair = make_pair((300, 300), seed=1)
    hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(ko=0, nstampx=5, nstampy=5), n_threads=1)
    psf = FieldPSF(GivenPSF.of(PSF(3.6), (150, 150)))
    errors = DifferenceNoise.of(hot).psf_flux_error([(150.2, 140.7), (-20, 5)], psf)
    assert errors.unit == 'adu'
    assert np.isnan(errors[1])
    # the optimal filter cannot be worse, but its error has what the kernel leaves of stars too
    optimal = ScoreImages.of(hot, psf).measure(150.2, 140.7)[1]
    assert 0.9 * errors[0].value < optimal < 1.005 * errors[0].value


def test_the_difference_carries_its_psf_and_a_file_keeps_it(tmp_path):
    pair = make_pair((300, 300), seed=5)
    result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0, nstampx=5, nstampy=5))
    result.difference.write(tmp_path / 'before.fits')
    assert type(result.difference).read(tmp_path / 'before.fits').psf is None
    picture = result.difference.psf
    np.testing.assert_array_equal(picture, result.psf(150, 150))
    result.difference.write(tmp_path / 'after.fits')
    np.testing.assert_allclose(type(result.difference).read(tmp_path / 'after.fits').psf, picture)


ONE_STAMP = hp.HotpantsConfig(ko=0, bgo=0, nstampx=1, nstampy=1, deg_fixe=(0,), sigma_gauss=(1.0,))


def test_a_difference_without_stars_enough_has_no_psf():
    pair = make_pair((200, 200), seed=5, n_transients=0)
    config = ONE_STAMP.replace(nss=1)
    assert hp.subtract(pair.science, pair.template, config=config).difference.psf is None


def test_where_the_fit_used_fewer_than_three_stars_the_others_found_show_the_psf_too():
    pair = make_pair((200, 200), seed=5, n_transients=0)
    result = hp.subtract(pair.science, pair.template, config=ONE_STAMP)
    assert np.sum(result.substamps['status'] == 'USED_IN_FINAL_FIT') == 1
    assert result.psf.fwhm(100, 100) == pytest.approx(pair.science_psf.fwhm_at(100, 100), rel=0.03)


def test_a_model_of_photutils_is_a_psf_wherever_it_stands():
    pair = make_pair((200, 200), seed=1)
    result = [hp.subtract(pair.science, pair.template, psf=psf,
                          config=hp.HotpantsConfig(ko=0, nstampx=3, nstampy=3, force_convolve='t')).psf(90, 80)
              for psf in (pair.science_psf(3.3, 7.7), lambda x, y: pair.science_psf(x, y))]
    middle = [picture[picture.shape[0] // 2 - 9:][:19, picture.shape[0] // 2 - 9:][:, :19] for picture in result]
    np.testing.assert_allclose(*middle, rtol=1e-6)
