"""Noise that neighbouring pixels share is measured on the sky of a difference, and given to the image that has it."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import fftconvolve

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.inspection.noise_correlation import measure_correlations
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


def width_of_score(result):
    sky = ~result.score.mask
    for star in without_noise().stars:
        y, x = np.ogrid[:400, :400]
        sky &= np.hypot(x - star['x'], y - star['y']) > 14
    return np.std(result.score.data[sky])


SMOOTH = [('science',), ('template',), ('science', 'template')]


@pytest.mark.parametrize('direction', ['t', 'i'])
@pytest.mark.parametrize('smooth', SMOOTH, ids=' and '.join)
def test_correlated_noise_goes_to_the_images_that_have_it(smooth, direction):
    assert known_to(subtracted(smooth, direction=direction)) == ' and '.join(smooth)


@pytest.mark.parametrize('smooth', SMOOTH, ids=' and '.join)
def test_the_score_is_as_wide_as_it_says(smooth):
    assert width_of_score(subtracted(smooth, (None, None))) > 1.05
    assert width_of_score(subtracted(smooth)) == pytest.approx(1, abs=0.04)


def test_the_correlation_is_that_of_the_noise():
    hot = hp.Hotpants(*reversed(images(('science', 'template'))), config=CONFIG, n_threads=2)
    hot.assemble('difference')
    true = fftconvolve(FILTER, FILTER[::-1, ::-1])
    for plane in measure_correlations(hot):
        assert_allclose(neighbours(plane), neighbours(true / true.max()), atol=0.02)
        assert plane[len(plane) // 2, len(plane) // 2] == pytest.approx(1)
        assert_allclose(plane, plane[::-1, ::-1], atol=1e-9)


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


def test_where_the_fit_with_it_does_not_stand_noise_stays_white(monkeypatch):
    hot = hp.Hotpants(*reversed(images(('science', 'template'))), config=CONFIG.replace(force_convolve='t'))
    hot.assemble('difference')

    def fails(self):
        raise hp.SingularFitError('no solution')
    monkeypatch.setattr(hp.Hotpants, 'iterative_fit_and_clip', fails)
    assert with_measured_noise(hot) is hot


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
