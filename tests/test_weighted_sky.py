"""A weighted fit takes the background from the sky between the stars, and from nothing else that lies there."""

from functools import cache

import numpy as np
import pytest
from astropy.table import QTable
from numpy.testing import assert_allclose
from scipy.signal import fftconvolve

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.kernel.weighted_sky import Sky

SHAPE, SKIES = (300, 320), (400, 250)


def config(**changes):
    return hp.HotpantsConfig(**{'ko': 0, 'bgo': 0, 'nstampx': 6, 'nstampy': 6, 'force_convolve': 't', 'rkernel': 7,
                                'rss': 10, 'deg_fixe': (4, 2), 'sigma_gauss': (0.7, 1.5), 'weights': True,
                                'robust': 'tukey'} | changes)


@cache
def pair(seed=0, n_stars=12):
    return make_pair(SHAPE, seed=seed, n_stars=n_stars, n_transients=0, profile='gaussian', science_sky=SKIES[0],
                     template_sky=SKIES[1])


def sky_of(scene, **changes):
    """The sky, and the design that it was made for."""
    hot = hp.Hotpants(scene.template, scene.science, config=config(**changes))
    hot.iterative_fit_and_clip()
    design = hot.regions[0].design('t')
    return Sky.of(design), design


def fitted(scene, science=None, **changes):
    science = scene.science if science is None else science
    return hp.Hotpants(scene.template, science, config=config(**changes)).kernel


def offset(kernel):
    """Error of the sky that is left in the difference, in data units."""
    return kernel.background(160, 150) - (SKIES[0] - kernel.sum(160, 150) * SKIES[1])


def with_light(scene, light):
    science = scene.science.copy()
    science.data = (science.data + light).astype('f4')
    return science


@pytest.mark.parametrize('bgo', [0, 2])
def test_sums_are_those_of_the_convolved_image_and_of_the_background(bgo):
    sky, design = sky_of(pair(), bgo=bgo)
    n = len(design.basis)
    assert len(sky.x) > 30
    assert_allclose(sky.vectors[:, n], sky.n_pixels)
    if bgo:
        at_centres = design.background_terms.values(*design.frame.normalise(sky.x, sky.y))[:, 1]
        assert_allclose(sky.vectors[:, n + 1] / sky.n_pixels, at_centres, atol=1e-9)
    convolved = [fftconvolve(design.source_data.astype(float), image, 'same') for image in design.basis.images]
    levels = [np.median(plane[20:-20, 20:-20]) for plane in convolved]
    assert_allclose(np.mean(sky.vectors[:, 0] / sky.n_pixels), levels[0], rtol=2e-3)
    assert_allclose(np.mean(sky.vectors[:, :n] / sky.n_pixels[:, None], axis=0)[1:], levels[1:], atol=0.5)


def test_stars_are_not_sky():
    scene = pair()
    sky, design = sky_of(scene)
    excess = sky.target / sky.n_pixels - np.median(scene.science.data)
    assert np.abs(excess).max() < 5 * np.sqrt(sky.target_variance / sky.n_pixels**2).max() + 1
    assert sky.n_pixels.sum() < design.target_data.size


def test_the_sky_tells_the_background_where_stars_are_few():
    plain, weighted = (np.std([offset(fitted(pair(seed), weights=weights, robust=None)) for seed in range(8)])
                       for weights in (False, True))
    assert weighted < 0.2 < plain


def test_a_fit_without_weights_looks_at_stars_alone(monkeypatch):
    monkeypatch.setattr(Sky, 'of', None)
    fitted(pair(), weights=False)


def test_faint_sources_of_one_image_are_no_background():
    scene, rng = pair(), np.random.default_rng(3)
    new = QTable({'x': rng.uniform(20, 300, 40), 'y': rng.uniform(20, 280, 40), 'flux': np.full(40, 1200.0)})
    light = scene.science_psf.image(SHAPE, new)
    assert light.mean() > 0.4
    assert abs(offset(fitted(scene, with_light(scene, light))) - offset(fitted(scene))) < 0.1


def test_a_nebula_over_a_part_of_the_sky_has_no_say():
    scene = pair()
    light = np.zeros(SHAPE)
    light[:90, :110] = 8.0
    assert abs(offset(fitted(scene, with_light(scene, light))) - offset(fitted(scene))) < 0.3


def test_masked_sky_has_no_say():
    scene, offsets = pair(), []
    for value in (0.0, 3e4):
        science = scene.science.copy()
        science.mask = np.zeros(SHAPE, bool)
        science.mask[100:200] = True
        science.data[100:200] = value
        offsets.append(offset(fitted(scene, science)))
    assert offsets[0] == offsets[1]


def test_a_crowded_field_has_no_sky_and_is_fitted_all_the_same():
    crowded = pair(n_stars=3000)
    assert sky_of(crowded)[0] is None
    assert abs(fitted(crowded).sum(160, 150) / crowded.kernel_sum - 1) < 0.005


def test_the_error_of_the_background_is_its_scatter():
    pulls = []
    for seed in range(16):
        kernel = fitted(pair(seed))
        slope = np.append(SKIES[1] * kernel.basis.images.sum(axis=(1, 2)), 1.0)
        pulls.append(offset(kernel) / np.sqrt(slope @ kernel.covariance @ slope))
    assert 0.6 < np.std(pulls) < 1.4
    assert abs(np.mean(pulls)) < 0.8
