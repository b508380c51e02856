"""Noise that neighbouring pixels share, where the user says so: the fit, its errors and the noise plane know it."""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.signal import fftconvolve

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.inputs.correlated import WHITE, CorrelatedNoise, checked_correlations
from hotpants_cy.kernel.covariance import _products
from hotpants_cy.products.correlation import DifferenceNoise

SHIFTED, SMOOTH = np.array([0.0, 0.6, 0.4]), np.array([0.25, 0.5, 0.25])      # as interpolation does it in x and in y


def smoothing():
    """Filter of an image that was shifted by interpolation, and then smoothed."""
    return fftconvolve(np.outer(SHIFTED, SHIFTED), np.outer(SMOOTH, SMOOTH))


def correlation_of(smoothed):
    power = fftconvolve(smoothed, smoothed[::-1, ::-1])
    return power / power.max()


def resampled(image, rng):
    """An image with noise of this correlation, of the variance that it says."""
    noise, k = rng.normal(size=image.shape), smoothing()
    image = image.copy()
    image.data = image.data + fftconvolve(noise, k, 'same') / np.sqrt(np.sum(k**2)) * image.uncertainty.array
    return image


def noise_of(correlation):
    return CorrelatedNoise(checked_correlations((correlation, None))[0])


@cache
def without_noise():
    return make_pair((300, 300), seed=5, n_transients=0, noise=False)


@cache
def subtracted(seed, known=True, **changes):
    scene, rng, correlation = without_noise(), np.random.default_rng(seed), correlation_of(smoothing())
    config = hp.HotpantsConfig(**{'ko': 0, 'bgo': 0, 'nstampx': 6, 'nstampy': 6, 'force_convolve': 't', 'rkernel': 8,
                                  'deg_fixe': (4, 2), 'sigma_gauss': (0.8, 2.0), 'weights': True,
                                  'robust': 'tukey'} | changes)
    return hp.subtract(resampled(scene.science, rng), resampled(scene.template, rng), config=config, n_threads=1,
                       noise_correlations=(correlation,) * 2 if known else (None, None))


# -- the parts ----------------------------------------------------------------------------------

@pytest.mark.parametrize('correlation', [correlation_of(smoothing()), correlation_of(np.full((1, 3), 1 / 3)),
                                         correlation_of(np.outer(SHIFTED, [1.0]))])
def test_the_filter_makes_the_autocorrelation_of_white_noise(correlation):
    noise = noise_of(correlation)
    root = noise.filter
    power, (ny, nx) = fftconvolve(root, root), correlation.shape
    middle = len(power) // 2
    assert_allclose(power[middle - ny // 2:middle + ny // 2 + 1, middle - nx // 2:middle + nx // 2 + 1], correlation,
                    atol=0.01)
    assert noise.of_sums == pytest.approx(correlation.sum(), rel=0.03)
    assert_allclose(noise.autocorrelation.sum(), correlation.sum())


def test_powers_below_zero_of_a_correlation_that_was_measured_are_no_error():
    noise = noise_of([[0.52, 1.0, 0.52]])                                # there is no such noise
    assert np.sum(noise.filter**2) == pytest.approx(1)
    middle = len(noise.autocorrelation) // 2
    near = noise.autocorrelation[middle, middle:middle + 3]
    assert_allclose(near, [1, 0.52, 0], atol=0.03)
    assert CorrelatedNoise(noise.autocorrelation).power.min() > -1e-9


@pytest.mark.parametrize(('correlation', 'words'), [
    ([[0.9, 1.0, 0.9]], 'that of no noise'), (np.eye(67)[::-1], 'side of 67 pixels'), ([[2, 1, 2]], 'nowhere above 1'),
    ([[0, np.inf, 0], [0, 1, 0], [0, np.inf, 0]], 'nowhere above 1'), ([[np.nan, 1, np.nan]], 'symmetric'),
], ids=str)
def test_what_cannot_be_is_refused(correlation, words):
    with pytest.raises(hp.InputError, match=words):
        checked_correlations((None, correlation))


@pytest.mark.parametrize('shape', [(1, 3), (3, 1), (7, 3)])
def test_correlations_need_not_be_square(shape):
    plane = correlation_of(np.ones([(n + 1) // 2 for n in shape]))
    scene = without_noise()
    noise = hp.Hotpants(scene.template, scene.science, config=hp.HotpantsConfig(ko=0),
                        noise_correlations=(plane, plane))
    field = DifferenceNoise.of(noise).at(150, 150)
    weights = np.random.default_rng(4).normal(1, 1, size=(9, 9))
    covariance = field.covariance(140, 140, (9, 9)).toarray()
    assert weights.ravel() @ covariance @ weights.ravel() == pytest.approx(field.variance_of_sum(weights, 140, 140))
    assert field.autocorrelation(150, 150).max() == pytest.approx(1)


def test_white_noise_stays_as_it_is():
    weights = np.random.default_rng(1).normal(size=(3, 7, 9))
    assert WHITE.spread(weights) is weights
    assert CorrelatedNoise(np.ones((1, 1))).spread(weights) is weights
    assert_allclose(WHITE.gain(weights), 1)
    assert WHITE.of_sums == 1


def test_the_gain_of_a_kernel_is_that_of_sums_over_pairs_of_pixels():
    kernel, rho = np.random.default_rng(2).normal(1, 1, size=(5, 5)), correlation_of(smoothing())
    pairs = np.array([[rho[tuple(np.clip(np.subtract(b, a) + len(rho) // 2, 0, len(rho) - 1))]
                       * np.all(np.abs(np.subtract(b, a)) <= len(rho) // 2) for b in np.ndindex(5, 5)]
                      for a in np.ndindex(5, 5)])
    expected = kernel.ravel() @ pairs @ kernel.ravel() / np.sum(kernel**2)
    assert_allclose(CorrelatedNoise(rho).gain(kernel[np.newaxis]), expected, rtol=1e-3)


def test_covariances_of_weighted_sums_are_those_of_realisations():
    rng, k = np.random.default_rng(3), smoothing()
    weights, variance = rng.normal(1, 0.5, size=(2, 9, 9)), rng.uniform(1, 2, size=(9, 9))
    noise = fftconvolve(rng.normal(size=(20_000, 25, 25)), k[np.newaxis], 'same', axes=(1, 2))[:, 8:17, 8:17]
    sums = np.einsum('nyx,kyx->nk', noise / np.sqrt(np.sum(k**2)) * np.sqrt(variance), weights)
    assert_allclose(_products(weights, variance, CorrelatedNoise(correlation_of(k))), np.cov(sums.T), rtol=0.05)


# -- the subtraction ----------------------------------------------------------------------------

@pytest.mark.parametrize('changes', [{}, {'exact': True, 'ko': 1}])
def test_the_uncertainty_of_the_difference_is_its_scatter(changes):
    pulls = []
    for known in (True, False):
        difference = subtracted(1, known, **changes).difference
        pull = difference.data / difference.uncertainty.array
        pulls.append(1.4826 * np.nanmedian(np.abs(pull - np.nanmedian(pull))))
    assert pulls[0] == pytest.approx(1, abs=0.015)
    assert pulls[1] > 1.05


def test_the_convolved_image_made_again_has_the_same_uncertainty():
    result, (half, correlation) = subtracted(1), (8, CorrelatedNoise(correlation_of(smoothing())))
    kernel = result.kernel.image(150, 150)
    expected = (correlation.gain(kernel[np.newaxis]) * np.sum(kernel**2) * without_noise().template.uncertainty.array**2
                * result._hot.region.products.scale**2)
    inside, background = np.s_[half:-half, half:-half], without_noise().template.data < 252
    found = result.convolved.uncertainty.array**2 / expected
    assert np.median(found[inside][background[inside]]) == pytest.approx(1, rel=0.01)


def test_noise_that_is_known_does_not_make_fluxes_scatter():
    scatter = {known: np.mean([next(m.value for m in subtracted(10 + seed, known).quality.measures
                                    if m.name == 'flux_scatter') for seed in range(8)]) for known in (True, False)}
    assert scatter[True] < 0.5 * scatter[False]


def test_the_error_of_the_model_is_no_noise_of_the_image():
    variance, missed, rng = np.full((9, 9), 2.0), np.full((9, 9), 3.0), np.random.default_rng(5)
    weights, correlated = rng.normal(1, 0.5, size=(2, 9, 9)), CorrelatedNoise(correlation_of(smoothing()))
    assert_allclose(_products(weights, variance, correlated, missed),
                    _products(weights, variance, correlated) + _products(weights, missed, WHITE))
    assert_allclose(_products(weights, variance, WHITE, missed), _products(weights, variance + missed, WHITE))


def test_the_kernel_sum_is_right_and_has_its_error():
    truth = without_noise().kernel_sum
    sums, errors = ({known: np.array([(getattr(subtracted(10 + seed, known).kernel, what)(150, 150))
                                      for seed in range(24)]) for known in (True, False)}
                    for what in ('sum', 'sum_error'))
    pulls = (sums[True] - truth) / errors[True]
    assert 0.65 < np.std(pulls) < 1.35
    assert abs(np.mean(pulls)) < 0.7
    # noise that does not average out makes kernels too small where it is not taken back
    assert abs(sums[True].mean() - truth) < 0.6 * abs(sums[False].mean() - truth)


def test_the_header_says_so():
    assert subtracted(1).difference.meta['NOISCORR'] == 'science and template'
    assert 'NOISCORR' not in subtracted(1, known=False).difference.meta


def test_steps_one_by_one_know_it_too():
    scene, rng, correlation = without_noise(), np.random.default_rng(1), correlation_of(smoothing())
    science, template = resampled(scene.science, rng), resampled(scene.template, rng)
    config = subtracted(1).config
    hot = hp.Hotpants(template, science, config=config, n_threads=1, noise_correlations=(correlation, correlation))
    inside = np.s_[10:-10, 10:-10]
    assert_allclose(hot.assemble('noise')[inside], subtracted(1)._hot.assemble('noise')[inside])


def test_the_automatic_configuration_knows_it_too():
    scene, rng, correlation = without_noise(), np.random.default_rng(1), correlation_of(smoothing())
    images = resampled(scene.science, rng), resampled(scene.template, rng)
    known = hp.subtract(*images, config='auto', noise_correlations=(correlation, correlation))
    assert not known._hot.region.template.correlated.is_white
    assert known.quality.verdict == 'good'
    assert abs(known.kernel.sum(150, 150) - scene.kernel_sum) < 3 * known.kernel.sum_error(150, 150)
