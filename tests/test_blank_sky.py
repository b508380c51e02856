"""The level that is left in blank sky is taken off before sources are looked for; its scatter is in their errors."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from scipy import ndimage

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair, positions_of
from hotpants_cy.products.blank_sky import Boxes, scatter_beyond_noise, sky_left, sky_of

N = 512
CONFIG = hp.HotpantsConfig(ko=0, bgo=0, nstampx=6, nstampy=6)


def width_of(values):
    low, high = np.percentile(values, (15.87, 84.13))
    return (high - low) / 2


def with_more(image, plane=0.0, sigma_factor=1.0):
    """An image with something added, and errors multiplied."""
    return CCDData(image.data + plane, unit=image.unit, meta=image.meta, mask=image.mask,
                   uncertainty=StdDevUncertainty(image.uncertainty.array * sigma_factor))


@pytest.fixture(scope='module')
def pair():
    return make_pair((N, N), seed=11, n_transients=12, transient_snr=(8, 40))


def wavy(amplitude):
    """A sky that goes up and down with a period of 256 pixels."""
    y, x = np.indices((N, N)) * (2 * np.pi / 256)
    return amplitude * np.sin(x) * np.sin(y)


@pytest.fixture(scope='module')
def plain(pair):
    return hp.subtract(pair.science, pair.template, config=CONFIG, n_threads=1)


@pytest.fixture(scope='module')
def waved(pair, plain):
    noise = np.nanmedian(plain.difference.uncertainty.array)
    return hp.subtract(with_more(pair.science, wavy(0.5 * noise)), pair.template, config=CONFIG, n_threads=1)


# -- boxes ----------------------------------------------------------------------------------------

@pytest.mark.parametrize(('shape', 'cell'), [((100, 230), 32), ((20, 300), 64), ((7, 5), 32), ((64, 64), 64.0)])
def test_boxes_cover_each_pixel_once(shape, cell):
    boxes, seen = Boxes(shape, cell), np.zeros(shape, int)
    for place, cut in boxes:
        seen[cut] += 1
        assert boxes.full(0)[place] == 0
    assert (seen == 1).all()


def test_boxes_of_a_slope_are_blended_to_the_slope():
    y, x = np.indices((120, 200), float)
    plane = 3 + 0.2 * x - 0.1 * y
    boxes = Boxes(plane.shape, 20)
    levels = boxes.full(0)
    for place, cut in boxes:
        levels[place] = plane[cut].mean()
    inner = np.s_[10:-10, 10:-10]
    assert boxes.blended(levels).dtype == np.float32
    np.testing.assert_allclose(boxes.blended(levels)[inner], plane[inner], atol=0.16)     # half a pixel of the slope


def test_the_sky_of_an_image_is_that_without_its_stars():
    rng = np.random.default_rng(1)
    plane = (100 + rng.normal(0, 1, (256, 256))).astype(np.float32)
    plane[40:80, 40:80] += 5000
    np.testing.assert_allclose(sky_of(plane, np.ones(plane.shape, bool)), 100, atol=0.3)


# -- level ----------------------------------------------------------------------------------------

def test_sky_that_is_left_is_taken_off_the_score_and_not_off_the_difference(waved, plain, pair):
    y, x = np.indices((N, N)) * (2 * np.pi / 256)
    high = (np.sin(x) * np.sin(y) > 0.5) & ~waved.score.mask & ~plain.score.mask
    pull, before = (np.median(r.difference.data[high] / r.difference.uncertainty.array[high]) for r in (waved, plain))
    change = np.median(waved.score.data[high]) - np.median(plain.score.data[high])
    assert pull - before > 0.3
    # boxes of 43 pixels follow such a wave for the most part; a flux is a sum over the noise area
    assert abs(change) < 0.3 * (pull - before) / np.sqrt(np.sum(plain.psf(N // 2, N // 2)**2))
    assert abs(np.median(waved.whitened.data[high])) < 0.1
    both = ~waved.score.mask & ~plain.score.mask
    assert width_of(waved.score.data[both]) == pytest.approx(width_of(plain.score.data[both]), abs=0.04)


def test_headers_say_what_was_done_about_the_sky(waved, plain):
    words = 'the smooth sky that was left in the difference is taken off'
    for image in (waved.score, waved.flux, waved.whitened):
        assert words in str(image.meta['HISTORY'])
    assert words not in str(plain.score.meta['HISTORY'])
    assert words not in str(waved.difference.meta.get('HISTORY', ''))


def test_sources_on_sky_that_is_left_keep_their_flux(waved, plain, pair):
    xy = positions_of(pair.transients)
    before, after = (np.array([r._scores.measure(x, y) for x, y in xy]) for r in (plain, waved))
    pulls = (after[:, 0] - before[:, 0]) / before[:, 1]
    assert abs(pulls.mean()) < 0.2
    assert np.abs(pulls).max() < 1


def test_noise_alone_has_no_sky_left(plain):
    (run,), (field,) = plain._hot.live_regions, plain.noise.fields
    assert sky_left(run.products.difference, field, 3.6) is None
    shifted = run.products.difference + 0.3 * np.nanmedian(field.noise)
    np.testing.assert_allclose(np.median(sky_left(shifted, field, 3.6)), 0.3 * np.nanmedian(field.noise), rtol=0.15)


def test_a_bright_source_is_not_its_own_sky(plain, pair):
    """Its flux changes by less than half a per cent, even where sky is taken off."""
    (run,), (field,) = plain._hot.live_regions, plain.noise.fields
    noise, psf = np.nanmedian(field.noise), plain.psf(N // 2, N // 2)
    half = len(psf) // 2
    flux = 40 * noise / np.sqrt(np.sum(psf**2))
    difference = run.products.difference + 0.2 * np.float32(noise)
    there = difference.copy()
    there[N // 2 - half:N // 2 + half + 1, N // 2 - half:N // 2 + half + 1] += flux * psf
    change = sky_left(there, field, 3.6) - sky_left(difference, field, 3.6)
    assert change[N // 2, N // 2] / np.sum(psf**2) < 0.005 * flux


def test_wide_sources_that_no_pixel_shows_are_not_their_own_sky(plain):
    (run,), (field,) = plain._hot.live_regions, plain.noise.fields
    noise, fwhm = np.nanmedian(field.noise), 9.0
    v, u = np.mgrid[-40:41, -40:41]
    psf = np.exp(-4 * np.log(2) * (u * u + v * v) / fwhm**2)
    psf /= psf.sum()
    flux = 14 * noise / np.sqrt(np.sum(psf**2))
    assert flux * psf.max() < 2.2 * noise
    difference = run.products.difference + 0.2 * np.float32(noise)
    there, places = difference.copy(), [(y, x) for y in range(60, N - 60, 90) for x in range(60, N - 60, 90)]
    for y, x in places:
        there[y - 40:y + 41, x - 40:x + 41] += flux * psf
    change = sky_left(there, field, fwhm) - sky_left(difference, field, fwhm)
    assert np.mean([change[place] for place in places]) / np.sum(psf**2) < 0.01 * flux


def test_many_sources_are_no_scatter_of_the_sky():
    rng, blank = np.random.default_rng(4), np.ones((400, 400), bool)
    score = ndimage.gaussian_filter(rng.normal(0, 1, blank.shape), 4)
    score /= score.std()
    v, u = np.mgrid[-30:31, -30:31]
    for y in range(50, 351, 50):
        for x in range(50, 351, 50):
            score[y - 30:y + 31, x - 30:x + 31] += 30 * np.exp(-(u * u + v * v) / (4 * 4.0**2))
    assert scatter_beyond_noise(score.astype(np.float32), blank, 4 * np.pi * 4.0**2) == 1


def test_where_no_pixel_is_good_no_sky_is_taken_off(plain):
    (run,), (field,) = plain._hot.live_regions, plain.noise.fields
    bad = replace(field, flags=np.full_like(field.flags, hp.HotpantsFlags.OUTPUT_ISBAD))
    assert sky_left(run.products.difference, bad, 3.6) is None


# -- scatter --------------------------------------------------------------------------------------

def test_scatter_beyond_noise_is_told_where_it_is_certain():
    rng, blank = np.random.default_rng(2), np.ones((300, 300), bool)
    score = rng.normal(0, 1, blank.shape).astype(np.float32)
    assert scatter_beyond_noise(score, blank, 5.0) == 1
    assert scatter_beyond_noise(1.2 * score, blank, 5.0) == pytest.approx(1.2, rel=0.02)
    assert scatter_beyond_noise(0.8 * score, blank, 5.0) == 1
    assert scatter_beyond_noise(1.2 * score, blank, 1e4) == 1
    assert scatter_beyond_noise(score, ~blank, 5.0) == 1


def test_errors_too_small_for_the_sky_widen_those_of_fluxes_and_not_the_score(pair, plain, caplog):
    small = [with_more(image, sigma_factor=0.8) for image in (pair.science, pair.template)]
    with caplog.at_level(logging.INFO, 'hotpants_cy'):
        result = hp.subtract(*small, config=CONFIG, n_threads=1)
        good = ~result.score.mask & ~plain.score.mask
    assert 0.97 < width_of(result.score.data[good]) < 1.05
    assert 'blank sky: fluxes scatter 1.2' in caplog.text
    assert 'errors of fluxes are 1.2' in str(result.flux.meta['HISTORY'])
    x, y = positions_of(pair.transients)[0]
    assert result._scores.measure(x, y)[1] == pytest.approx(plain._scores.measure(x, y)[1], rel=0.04)
    table, before = (r.find_candidates(threshold=6) for r in (result, plain))
    assert abs(len(table) - len(before)) <= 1


class FieldOfOneNoise:
    """As much of a `NoiseField` as the level of the sky needs."""

    origin = 0, 0

    def __init__(self, noise, shape):
        self.noise, self.good = np.full(shape, noise, np.float32), np.ones(shape, bool)

    def autocorrelation(self, x, y):
        return np.ones((1, 1))


@pytest.mark.parametrize(('noise', 'draw'), [
    (3**0.5, lambda rng, shape: rng.gamma(3, size=shape) - 3),
    (21.8, lambda rng, shape: np.round((rng.normal(0, 20, shape) + 9) / 30) * 30 - 9)], ids=['skewed', 'coarse'])
def test_noise_whose_median_is_off_its_mean_leaves_no_sky(noise, draw):
    difference = draw(np.random.default_rng(2), (300, 300)).astype('f4')
    left = sky_left(difference, FieldOfOneNoise(noise, difference.shape), 3.5)
    assert left is None or np.abs(left).max() < 0.05 * noise


def test_sources_in_one_image_are_no_scatter_of_the_sky():
    rng = np.random.default_rng(4)
    score = rng.normal(size=(300, 300)).astype('f4')
    spread = np.exp(-np.sum((np.mgrid[-12:13, -12:13] / 2.5)**2, axis=0) / 2)
    for x, y in rng.integers(15, 285, (90, 2)):
        score[y - 12:y + 13, x - 12:x + 13] += rng.uniform(8, 40) * spread
    assert 1.4826 * np.median(np.abs(score - np.median(score))) > 1.1
    assert scatter_beyond_noise(score, np.ones(score.shape, bool), 40.0) == 1
