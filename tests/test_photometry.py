"""Fluxes can be measured with every kind of PSF; what else `measure_fluxes` promises is in test_datasets.py."""
import numpy as np
import pytest
from numpy.testing import assert_allclose

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.photometry import measure_fluxes


@pytest.fixture(scope='module')
def pair():
    return make_pair((256, 256), seed=3, n_transients=4, transient_snr=(20, 50))


@pytest.fixture(scope='module')
def image(pair):
    return pair.science.subtract(400 * pair.science.unit)


@pytest.fixture(scope='module')
def expected(pair, image):
    return measure_fluxes(image, pair.transients, pair.science_psf)


def picture_of(psf, x=128, y=128, half=20):
    yy, xx = np.mgrid[y - half:y + half + 1, x - half:x + half + 1]
    return psf(x, y)(xx, yy)


def test_pictures_of_a_psf_measure_what_the_psf_measures(pair, image, expected):
    radius = pair.science_psf.fwhm
    for psf in (picture_of(pair.science_psf), lambda x, y: picture_of(pair.science_psf)):
        found = measure_fluxes(image, pair.transients, psf, radius=radius)
        # a picture holds no light beyond its edge; between pixels it is interpolated
        assert_allclose(found['flux'], expected['flux'], rtol=0.01)
        assert_allclose(found['flux_err'], expected['flux_err'], rtol=0.01)


def test_a_model_of_photutils_serves_everywhere(pair, image, expected):
    found = measure_fluxes(image, pair.transients, pair.science_psf(7, 9), radius=pair.science_psf.fwhm)
    assert_allclose(found['flux'], expected['flux'], rtol=1e-3)


def test_the_psf_of_a_difference_measures_its_transients(pair):
    result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    found = measure_fluxes(result.difference, pair.transients, result.psf)
    truth = pair.transients['flux_template']                       # the scale of the difference
    assert_allclose(found['flux'], truth, rtol=0.2)
    assert (abs(found['flux'] - truth) < 4 * found['flux_err']).all()
    assert found['psf_fraction'].min() > 0.5


def test_a_psf_without_a_width_needs_a_radius(pair, image):
    with pytest.raises(hp.InputError, match='tells no fwhm'):
        measure_fluxes(image, pair.transients, picture_of(pair.science_psf))


def test_what_is_no_psf_is_refused(pair, image):
    with pytest.raises(hp.InputError, match='odd sides'):
        measure_fluxes(image, pair.transients, np.ones((4, 4)), radius=3)
