"""Noise that neighbouring pixels share is measured on the sky of a difference, and given to the image that has it."""

from copy import copy
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import fftconvolve

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.inspection.noise_correlation import REACH, _excess, _products, measure_correlations
from hotpants_cy.inspection.sky import sample_sky
from hotpants_cy.subtraction import with_measured_noise

SIDEWAYS, UPWARDS = np.array([[0.0, 0.6, 0.4]]), np.array([[0.0], [0.7], [0.3]])       # as linear interpolation does it
FILTER = SIDEWAYS * UPWARDS
CONFIG = hp.HotpantsConfig(ko=0, bgo=0, nstampx=6, nstampy=6, rkernel=8, deg_fixe=(4, 2), sigma_gauss=(0.8, 2.0),
                           weights=True, robust='tukey')


@cache
def without_noise():
    return make_pair((400, 400), seed=5, n_stars=120, n_transients=0, noise=False)


def noisy(image, rng, smooth):
    """An image with noise of its variance, smooth or white."""
    image, white = image.copy(), rng.normal(size=image.shape)
    noise = fftconvolve(white, FILTER, 'same') / np.sqrt(np.sum(FILTER**2)) if smooth else white
    image.data = image.data + noise * image.uncertainty.array
    return image


@cache
def images(smooth=(), direction='t'):
    """Science image and template, of which those named have smooth noise; the sharper one is that to convolve."""
    pair, rng = without_noise(), np.random.default_rng(1)
    sources = (pair.science, pair.template)[::1 if direction == 't' else -1]
    return [noisy(image, rng, name in smooth) for image, name in zip(sources, ('science', 'template'), strict=True)]


@cache
def subtracted(smooth=(), correlations='measure', direction='t', **changes):
    return hp.subtract(*images(smooth, direction), config=CONFIG.replace(force_convolve=direction, **changes),
                       noise_correlations=correlations, n_threads=2)


def known_to(result):
    """The images whose noise is known to correlate."""
    return result.difference.meta.get('NOISCORR', '')


def neighbours(plane):
    y, x = (n // 2 for n in plane.shape)
    return plane[y, x + 1], plane[y + 1, x]


def width_by_noise(result):
    """Width of fluxes over their errors by noise, which those of the score may exceed."""
    sky = ~result.score.mask
    for star in without_noise().stars:
        y, x = np.ogrid[:400, :400]
        sky &= np.hypot(x - star['x'], y - star['y']) > 14
    return np.std(result.score.data[sky]) * result._scores._found[1][0].scale


SMOOTH = [('science',), ('template',), ('science', 'template')]


@pytest.mark.parametrize('direction', ['t', 'i'])
@pytest.mark.parametrize('smooth', SMOOTH, ids=' and '.join)
def test_correlated_noise_goes_to_the_images_that_have_it(smooth, direction):
    assert known_to(subtracted(smooth, direction=direction)) == ' and '.join(smooth)


@pytest.mark.parametrize('smooth', SMOOTH, ids=' and '.join)
def test_the_score_is_as_wide_as_it_says(smooth):
    assert width_by_noise(subtracted(smooth, (None, None))) > 1.05
    assert width_by_noise(subtracted(smooth)) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize('smooth', SMOOTH, ids=' and '.join)
def test_the_correlation_is_that_of_the_noise(smooth):
    hot = hp.Hotpants(*reversed(images(smooth)), config=CONFIG.replace(force_convolve='t'), n_threads=2)
    hot.assemble('difference')
    true = fftconvolve(FILTER, FILTER[::-1, ::-1]) / np.sum(FILTER**2)
    for name, plane in zip(('science', 'template'), measure_correlations(hot), strict=True):
        assert (plane is None) == (name not in smooth)
        if plane is not None:
            near = slice(len(plane) // 2 - len(true) // 2, len(plane) // 2 + len(true) // 2 + 1)
            assert_allclose(plane[near, near], true, atol=0.04)
            assert plane.sum() == pytest.approx(true.sum(), rel=0.25)
            assert_allclose(plane, plane[::-1, ::-1], atol=1e-9)


def test_what_the_mean_of_a_box_takes_off_is_given_back():
    white = np.random.default_rng(8).normal(size=(4000, 24, 24))
    smooth = fftconvolve(white, np.full((1, 5, 5), 0.2), 'same', axes=(1, 2))
    products, pairs = _products(smooth[:, 4:-4, 4:-4])
    plain = products / products.max() * pairs.max() / pairs
    excess = _excess(plain, np.ones((1, 1)), 16**2)
    lags = np.maximum(1 - np.abs(np.arange(-REACH, REACH + 1)) / 5, 0)          # of means over five pixels
    true = np.outer(lags, lags) - (np.arange(81) == 40).reshape(9, 9)
    assert np.abs(excess - true).max() < 0.02
    plain[REACH, REACH] = 0
    assert np.abs(plain - true).max() > 0.05


def test_what_is_measured_is_a_correlation_that_a_user_may_give():
    hot = hp.Hotpants(*reversed(images(('science', 'template'))), config=CONFIG.replace(force_convolve='t'))
    hot.assemble('difference')
    given = subtracted.__wrapped__(('science', 'template'), measure_correlations(hot))
    assert_array_equal(given.difference.data, subtracted(('science', 'template')).difference.data)


@pytest.mark.parametrize('direction', ['t', 'i'])
def test_white_noise_stays_white(direction):
    measured, plain = (subtracted((), how, direction) for how in ('measure', (None, None)))
    assert known_to(measured) == ''
    assert_array_equal(measured.difference.data, plain.difference.data)


@pytest.mark.filterwarnings('ignore::hotpants_cy.NoiseModelWarning')
@pytest.mark.parametrize('factors', [(2, 1), (1, 2), (2, 2), (0.5, 0.5)], ids=str)
def test_white_noise_stays_white_where_uncertainties_are_wrong(factors):
    pair = [image.copy() for image in images()]
    for image, factor in zip(pair, factors, strict=True):
        image.uncertainty.array = image.uncertainty.array * factor
    result = hp.subtract(*pair, config=CONFIG.replace(force_convolve='t'), noise_correlations='measure')
    assert known_to(result) == ''


def test_what_fills_the_place_of_missing_pixels_is_not_taken_for_smooth_noise():
    science, template = (image.copy() for image in images())
    science.data[::57, ::61] = np.nan
    hot = hp.Hotpants(template, science, config=CONFIG.replace(force_convolve='t'))
    hot.assemble('difference')
    sky = sample_sky(hot.region)
    assert np.isnan(sky.pull).any()
    for image in sky.images:
        assert_array_equal(np.isnan(image), np.isnan(sky.pull))


@pytest.mark.filterwarnings('ignore::hotpants_cy.HotpantsWarning')
@pytest.mark.parametrize('seed', range(4))
def test_an_image_too_small_to_tell_has_white_noise(seed):
    pair = make_pair((64, 64), seed=seed, n_stars=8, n_transients=0)
    config = CONFIG.replace(nstampx=3, nstampy=3, rkernel=4, rss=6, deg_fixe=(2,), sigma_gauss=(1.0,), weights=False)
    assert known_to(hp.subtract(pair.science, pair.template, config=config, noise_correlations='measure')) == ''


def test_automatic_subtraction_measures_by_itself_and_says_so():
    result = hp.subtract(*images(('science', 'template')), config='auto')
    assert known_to(result) == 'science and template'
    assert 'neighbours share 4' in result.config.reasons['noise_correlations']
    assert 'noise_correlations = yes: by the sky of the difference' in ''.join(result.difference.meta['HISTORY'])


def test_automatic_subtraction_does_not_measure_what_is_said():
    result = hp.subtract(*images(('science', 'template')), config='auto', noise_correlations=(None, None))
    assert known_to(result) == ''
    assert 'noise_correlations' not in result.config.reasons


def test_without_a_word_only_automatic_subtraction_measures():
    assert known_to(subtracted(('science', 'template'), None)) == ''


def test_several_regions_are_measured_together():
    assert known_to(subtracted(('science', 'template'), nregx=2, nstampx=3)) == 'science and template'


def test_a_template_without_noise_is_no_obstacle():
    pair = without_noise()
    template = pair.template.copy()
    template.uncertainty.array[...] = 0
    science = noisy(pair.science, np.random.default_rng(3), smooth=True)
    result = hp.subtract(science, template, config=CONFIG.replace(force_convolve='t'), noise_correlations='measure')
    assert known_to(result) == 'science'


@pytest.mark.parametrize('error', [hp.SingularFitError, hp.MismatchError])
def test_where_the_fit_with_it_does_not_stand_noise_stays_white(monkeypatch, caplog, error):
    hot = hp.Hotpants(*reversed(images(('science', 'template'))), config=CONFIG.replace(force_convolve='t'))
    hot.assemble('difference')

    class Failing(hp.Hotpants):
        def assemble(self, name):
            raise error('no solution')

    def again(self, *args):
        twin = copy(self)
        twin.__class__ = Failing
        return twin
    monkeypatch.setattr(hp.Hotpants, 'again', again)
    assert with_measured_noise(hot) is hot
    assert 'no solution' in caplog.text


def test_an_image_without_sky_tells_nothing():
    science, template = (image.copy() for image in images(('science', 'template')))
    config = CONFIG.replace(force_convolve='t')
    hot = hp.Hotpants(template, science, config=config)
    hot.assemble('difference')
    hot.region.products.noise[...] = np.nan                  # as where all is masked
    assert measure_correlations(hot) is None


def test_matching_knows_the_noise_of_its_images():
    smooth = fftconvolve(FILTER, FILTER[::-1, ::-1])
    smooth /= smooth.max()
    white, known = (hp.match_psf(*reversed(images(('template',))), config=CONFIG, noise_correlations=(given, None))
                    for given in (None, smooth))
    rise = np.nanmedian(known.uncertainty.array / white.uncertainty.array)
    assert 1.2 < rise < smooth.sum()**0.5
