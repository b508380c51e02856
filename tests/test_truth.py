"""Against the truth of simulated pairs: flux scale, fluxes of transients, noise, varying PSFs.

Seeds are fixed, so that a test passes always or never; the bounds are those of the claim, not of the seeds.
"""

import numpy as np
import pytest
from scipy.spatial import cKDTree

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.photometry import measure_fluxes

SHARP = {'science_fwhm': 2.8, 'template_fwhm': 3.6}       # the science image is the sharper one
DIRECTIONS = {'t': {}, 'i': SHARP}


def subtract(pair, **changes):
    return hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(**{'ko': 1, **changes}))


def centre(image):
    ny, nx = image.shape
    return nx // 2, ny // 2


def pulls(image):
    return (image.data / image.uncertainty.array).astype(float)


def distance_to_sources(pair):
    """Distance of each pixel to the nearest star or transient, in pixels."""
    sources = np.vstack([np.column_stack([table['x'], table['y']]) for table in (pair.stars, pair.transients)])
    yx = np.indices(pair.science.shape).reshape(2, -1)
    return cKDTree(sources).query(yx[::-1].T)[0].reshape(pair.science.shape)


def flux_pulls(pair, result):
    """(Measured - true) / error of the transients, on the flux scale of the difference."""
    direction, normalize = result.direction, result.config.normalize
    scale = 1 / result.kernel.sum(*centre(pair.science)) if normalize == direction else 1
    convolved, psf = {'t': (pair.template, pair.science_psf), 'i': (pair.science, pair.template_psf)}[direction]
    got = measure_fluxes(result.difference, pair.transients, psf, convolved=convolved,
                         kernel=lambda x, y: scale * result.kernel.image(x, y))
    on_template_scale = normalize == 't' or (normalize == 'u' and direction == 'i')
    true = pair.transients['flux_template' if on_template_scale else 'flux']
    return ((got['flux'] - true) / got['flux_err']).value


# -- flux scale -------------------------------------------------------------------------------

@pytest.mark.parametrize('flux_ratio', [0.85, 2.5, 0.4])
@pytest.mark.parametrize('direction', DIRECTIONS)
def test_the_kernel_sum_is_the_true_flux_ratio_within_one_percent(direction, flux_ratio):
    for seed in range(3):
        pair = make_pair((512, 512), seed=seed, flux_ratio=flux_ratio, **DIRECTIONS[direction])
        result = subtract(pair)
        assert result.direction == direction
        truth = flux_ratio if direction == 't' else 1 / flux_ratio
        for x, y in (centre(pair.science), (60, 450), (450, 60)):
            assert result.kernel.sum(x, y) == pytest.approx(truth, rel=0.01)


def test_the_kernel_sum_is_the_true_flux_ratio_where_the_psf_varies():
    pair = make_pair((768, 768), seed=1, variation=0.15, n_stars=500)
    assert subtract(pair, ko=2).kernel.sum(384, 384) == pytest.approx(pair.kernel_sum, rel=0.01)


def test_the_background_is_the_true_one():
    pair = make_pair((512, 512), seed=4, template_noise=0.1)
    result = subtract(pair, normalize='u')
    assert result.direction == 't'
    assert np.nanmedian(result.background.data) == pytest.approx(pair.background, abs=1)


# -- transients -------------------------------------------------------------------------------

@pytest.mark.parametrize('direction', DIRECTIONS)
def test_transients_come_back_within_their_errors_on_either_scale(direction):
    # the kernel sum is good to a few per mille, so brighter transients would measure that, not the noise
    pulls = {'t': [], 'i': []}
    for seed in range(13):
        pair = make_pair((512, 512), seed=seed, n_transients=25, transient_snr=(8, 60), **DIRECTIONS[direction])
        for normalize, found in pulls.items():
            found.append(flux_pulls(pair, subtract(pair, force_convolve=direction, normalize=normalize)))
    for found in map(np.concatenate, pulls.values()):
        found = found[np.isfinite(found)]
        assert found.size > 300
        assert abs(found.mean()) < 2 / np.sqrt(found.size)
        assert found.std() == pytest.approx(1, abs=0.1)


def test_transients_come_back_at_another_flux_ratio():
    found = []
    for seed in range(8):
        pair = make_pair((512, 512), seed=seed, n_transients=25, transient_snr=(8, 60), flux_ratio=2.5)
        found.append(flux_pulls(pair, subtract(pair)))
    found = np.concatenate(found)
    assert abs(found.mean()) < 2 / np.sqrt(found.size)
    assert found.std() == pytest.approx(1, abs=0.1)


def test_the_sign_of_a_transient_is_that_of_science_minus_template():
    for direction, options in DIRECTIONS.items():
        pair = make_pair((512, 512), seed=3, n_transients=5, transient_snr=(50, 100), **options)
        difference = subtract(pair, force_convolve=direction).difference
        for row in pair.transients:
            y, x = round(row['y']), round(row['x'])
            assert difference.data[y, x] > 5 * difference.uncertainty.array[y, x]


def test_transients_beside_a_masked_block_come_back_too():
    found = []
    for seed in range(6):
        # a lattice of bad columns: every transient has some near it
        blocks = [np.s_[:, x:x + 1] for x in range(20, 512, 37)]
        pair = make_pair((512, 512), seed=seed, n_transients=25, transient_snr=(8, 60), masked_blocks=blocks)
        found.append(flux_pulls(pair, subtract(pair, force_convolve='t', rss=11, nss=6)))
    found = np.concatenate(found)
    found = found[np.isfinite(found)]
    assert abs(found.mean()) < 2 / np.sqrt(found.size)
    assert found.std() == pytest.approx(1, abs=0.1)


# -- noise ------------------------------------------------------------------------------------

@pytest.mark.parametrize('normalize', ['t', 'i'])
@pytest.mark.parametrize('template_noise', [0, 0.1])
def test_the_sky_scatters_as_the_variance_says_when_the_template_is_clean(template_noise, normalize):
    for seed in range(3):
        pair = make_pair((512, 512), seed=seed, template_noise=template_noise)
        difference = subtract(pair, force_convolve='t', normalize=normalize).difference
        sky = ~difference.mask & (distance_to_sources(pair) > 15)
        assert sky.mean() > 0.4
        assert np.std(pulls(difference)[sky]) == pytest.approx(1, abs=0.03)
        assert np.mean(pulls(difference)[sky]) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize('direction', DIRECTIONS)
def test_the_sky_scatters_as_the_variance_says_with_two_noisy_images(direction):
    pair = make_pair((768, 768), seed=5, **DIRECTIONS[direction])
    difference = subtract(pair, force_convolve=direction).difference
    sky = ~difference.mask & (distance_to_sources(pair) > 15)
    assert np.std(pulls(difference)[sky]) == pytest.approx(1, abs=0.03)


def test_a_noisy_convolved_image_gives_no_more_noise_than_said():
    pair = make_pair((512, 512), seed=6, template_noise=3)
    difference = subtract(pair, force_convolve='t').difference
    sky = ~difference.mask & (distance_to_sources(pair) > 15)
    assert np.std(pulls(difference)[sky]) == pytest.approx(1, abs=0.05)


def test_stars_vanish_to_their_noise():
    pair = make_pair((768, 768), seed=7, n_transients=0, profile='gaussian')
    difference = subtract(pair).difference
    stars = ~difference.mask & (distance_to_sources(pair) < 3)
    assert stars.sum() > 5000
    assert np.std(pulls(difference)[stars]) == pytest.approx(1, abs=0.1)


# -- varying PSF ------------------------------------------------------------------------------

def test_a_varying_psf_is_followed_by_a_varying_kernel():
    pair = make_pair((768, 768), seed=8, n_transients=0, variation=0.15, n_stars=500, star_flux=(2e4, 4e5))
    near = distance_to_sources(pair) < 3

    def scatter(ko):
        difference = subtract(pair, ko=ko).difference
        return np.std(pulls(difference)[near & ~difference.mask])
    constant, quadratic = scatter(0), scatter(2)
    assert quadratic < 1.2
    assert constant > 1.5 * quadratic


def test_a_varying_kernel_has_the_width_that_the_psf_asks_for():
    pair = make_pair((768, 768), seed=8, n_transients=0, variation=0.15, n_stars=500, profile='gaussian')
    kernel = subtract(pair, ko=2).kernel
    offset = np.arange(-kernel.half_width, kernel.half_width + 1)
    for x, y in ((100, 100), (384, 384), (668, 668)):
        image = kernel.image(x, y)
        variance = np.sum(image.sum(axis=0) * offset**2) / image.sum()
        science, template = (fwhm / np.sqrt(8 * np.log(2)) for fwhm in (
            pair.science_psf.fwhm_at(x, y), pair.template_psf.fwhm))
        assert variance == pytest.approx(science**2 - template**2, rel=0.25)
