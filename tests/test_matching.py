"""An image brought to the PSF and the flux scale of another."""

import numpy as np
import pytest
from astropy.nddata import CCDData
from photutils.aperture import CircularAperture, aperture_photometry

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.matching import match_psf

CONFIG = hp.HotpantsConfig(ko=0, nstampx=5, nstampy=5)


@pytest.fixture(scope='module')
def pair():
    return make_pair((320, 320), seed=4, n_transients=0, masked_blocks=[np.s_[200:204, 100:140]])


@pytest.fixture(scope='module')
def matched(pair):
    return match_psf(pair.template, pair.science, config=CONFIG, background=True, n_threads=1)


def test_what_comes_back_is_a_ccddata_of_the_image(pair, matched):
    assert isinstance(matched, CCDData)
    assert matched.unit == 'adu'
    assert matched.header['OBJECT'] == 'simulated template'
    assert matched.wcs.wcs.crval[0] == pair.template.wcs.wcs.crval[0]
    assert matched.uncertainty.array.shape == matched.shape
    assert matched.mask[:10].all()
    assert not matched.mask[10:-10, 10:-10].any()           # the reference's mask is not the image's
    assert np.isnan(matched.data[matched.mask]).all()


def test_matched_minus_reference_is_noise(pair, matched):
    good = ~matched.mask & ~pair.science.mask
    sigma = np.hypot(matched.uncertainty.array, pair.science.uncertainty.array)
    pull = (pair.science.data - matched.data)[good] / sigma[good]
    assert abs(pull.mean()) < 0.05
    assert pull.std() == pytest.approx(1, abs=0.05)


def test_fluxes_in_apertures_become_those_of_the_reference(pair, matched):
    ny, nx = matched.shape
    x, y = np.array(pair.stars['x']), np.array(pair.stars['y'])
    flux = pair.stars['flux'].value
    bright = (flux > 3e4) & (x > 25) & (y > 25) & (x < nx - 25) & (y < ny - 25)
    bright &= (np.abs(x - 120) > 40) | (np.abs(y - 202) > 20)
    assert bright.sum() >= 8
    small = CircularAperture(np.column_stack([x, y])[bright], 4)
    got, want = (aperture_photometry(data, small)['aperture_sum'] for data in (matched.data, pair.science.data))
    assert np.mean(got / want) == pytest.approx(1, abs=0.01)
    # and were not before
    assert abs(np.mean(aperture_photometry(pair.template.data, small)['aperture_sum'] / want) - 1) > 0.05


def test_the_background_is_added_only_if_asked_for(pair, matched):
    alone = match_psf(pair.template, pair.science, config=CONFIG, n_threads=1)
    assert np.nanmedian(matched.data) == pytest.approx(400, abs=3)
    assert np.nanmedian(alone.data) == pytest.approx(250 * alone.header['KSUM'], abs=3)
    assert np.nanstd(matched.data - alone.data) < 5


def test_the_psf_is_that_of_the_reference(pair, matched):
    half = matched.psf.shape[0] // 2
    yy, xx = np.mgrid[-half:half + 1, -half:half + 1]
    true = pair.science_psf(0, 0)(xx, yy)
    assert matched.psf.sum() == pytest.approx(1)
    assert np.abs(matched.psf - true).max() < 0.03 * true.max()


def test_a_psf_that_came_with_the_image_is_convolved(pair, matched):
    yy, xx = np.mgrid[-15:16, -15:16]
    template = CCDData(pair.template.data, unit='adu', uncertainty=pair.template.uncertainty,
                       psf=pair.template_psf(0, 0)(xx, yy))
    got = match_psf(template, pair.science, config=CONFIG, n_threads=1).psf
    half = got.shape[0] // 2
    yy, xx = np.mgrid[-half:half + 1, -half:half + 1]
    true = pair.science_psf(0, 0)(xx, yy)
    assert np.abs(got - true).max() < 0.03 * true.max()


def test_bad_pixels_of_the_image_spread_with_the_kernel(pair):
    template = pair.template.copy()
    template.data[100:103, 60:63] = np.nan
    flags = match_psf(template, pair.science, config=CONFIG, n_threads=1).flags
    assert (flags[99:104, 59:64] & hp.HotpantsFlags.OUTPUT_ISBAD).all()
    assert flags[101, 67] & hp.HotpantsFlags.OK_CONV
    assert not flags[101, 90]


def test_regions_are_put_together(pair):
    config = hp.HotpantsConfig(ko=0, nregx=2, nstampx=3, nstampy=5)
    matched = match_psf(pair.template, pair.science, config=config, background=True, n_threads=1)
    sigma = np.hypot(matched.uncertainty.array, pair.science.uncertainty.array)
    pull = ((pair.science.data - matched.data) / sigma)[~matched.mask & ~pair.science.mask]
    assert pull.std() == pytest.approx(1, abs=0.06)
