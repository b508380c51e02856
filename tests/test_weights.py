"""With weights and a robust loss the kernel sum is right, whatever masked pixels and variable stars say."""

from functools import cache

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from numpy.testing import assert_allclose, assert_array_equal

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.kernel.covariance import bias_of_noise
from hotpants_cy.kernel.fourier import convolve_stack
from hotpants_cy.kernel.model import KernelModel
from hotpants_cy.kernel.weighing import Sight, Weighing, _star_influence, _through, flux_changes
from hotpants_cy.kernel.weights import (
    LOSSES,
    STAR_LOSSES,
    core_errors,
    extra_scatter,
    influence,
    middle,
    model_error,
    predicted_variance,
    sensitivity,
)

BOTH = {'weights': True, 'robust': 'tukey'}


def config(**changes):
    return hp.HotpantsConfig(ko=0, bgo=0, nstampx=6, nstampy=6, force_convolve='t', rkernel=7, rss=10,
                             deg_fixe=(4, 2), sigma_gauss=(0.7, 1.5), **changes)


@cache
def pair(seed=0, **changes):
    return make_pair((300, 300), seed=seed, n_transients=0, profile='gaussian', **changes)


def fitted(science, template, **changes):
    hot = hp.Hotpants(template, science, config=config(**changes))
    hot.iterative_fit_and_clip()
    return hot


def with_variables(scene, seed, fraction=0.2):
    """The science image after some of its stars have changed by up to a half."""
    rng, stars = np.random.default_rng(seed), scene.stars.copy()
    stars['flux'] *= rng.uniform(-0.5, 0.5, len(stars))
    change = scene.science_psf.image(scene.science.shape, stars[rng.random(len(stars)) < fraction])
    science = scene.science.copy()
    science.data = (science.data + scene.kernel_sum * change).astype('f4')
    return science


# -- the parts ----------------------------------------------------------------------------------

def test_influence_of_huber_falls_with_the_deviation_and_that_of_tukey_vanishes():
    assert_allclose(influence([0, 2.01, -20.1], 'huber'), [1, 1, 0.1])
    assert_allclose(influence([0, 7.04 / 2, 7.04, -50], 'tukey'), [1, 0.75**2, 0, 0])
    assert_array_equal(influence([0, 7], None), 1)


@pytest.mark.parametrize(('limits', 'worth'), [(LOSSES, 0.99), (STAR_LOSSES, 0.95)])
@pytest.mark.parametrize('loss', ['huber', 'tukey'])
def test_a_robust_mean_of_gaussian_noise_is_worth_nearly_as_much_as_the_mean(loss, limits, worth):
    z, step = np.random.default_rng(4).normal(size=2_000_000), 1e-4
    counts = [(z + d) * influence(z + d, loss, limits) for d in (-step, 0, step)]
    slope = np.mean(counts[2] - counts[0]) / (2 * step)
    assert slope**2 / np.mean(counts[1]**2) == pytest.approx(worth, abs=0.003)       # Huber 1964


@pytest.mark.parametrize('loss', [None, 'huber', 'tukey'])
def test_sensitivity_is_the_slope_of_what_a_deviation_counts(loss):
    z, step = np.array([-7, -4, -2, -1, 0, 0.5, 1.3, 3, 4.6, 5, 50]), 1e-6
    counts = [(z + d) * influence(z + d, loss) for d in (-step, step)]
    assert_allclose(sensitivity(z, loss), (counts[1] - counts[0]) / (2 * step), atol=1e-6)


@pytest.mark.parametrize('loss', [None, 'huber', 'tukey'])
def test_noise_that_light_and_residual_share_counts_by_the_sensitivity(loss):
    rng, shared = np.random.default_rng(5), 0.6          # of the variance of the residual
    light = rng.normal(0, np.sqrt(shared), 2_000_000)
    residual = rng.normal(0, np.sqrt(1 - shared), light.size) - light
    shift = np.mean(influence(residual, loss) * residual * light)
    assert_allclose(shift, -shared * np.mean(sensitivity(residual, loss)), atol=0.003)


def test_faint_stars_that_are_constant_seem_constant():
    rng, half_noise = np.random.default_rng(6), 8.0
    flux, profile = np.repeat([3e3, 3e5], 500), np.exp(-np.square(np.linspace(-12, 12, 1000)))
    truth = flux[:, np.newaxis] * profile / profile.sum()
    noise = rng.normal(0, half_noise, (2, *truth.shape))
    variance = np.full(truth.shape, 2 * half_noise**2)
    light = truth + noise[1]
    change, signal = flux_changes(noise[0] - noise[1], variance, variance / 2, light)
    errors = np.sqrt(np.sum(light**2 / variance, axis=1)) / signal
    for some in (flux < 1e4, flux > 1e4):
        pulls = (change / errors)[some]
        assert abs(np.median(pulls)) < 0.15
        assert 0.85 < 1.4826 * np.median(np.abs(pulls)) < 1.15


def test_the_middle_of_changes_is_that_of_the_best_known_and_knows_its_error():
    rng = np.random.default_rng(7)
    errors = np.geomspace(0.001, 0.1, 30)
    values = [middle(rng.normal(1, errors), errors**2) for _ in range(2000)]
    medians, squared = np.array(values).T
    assert abs(medians.mean() - 1) < 1e-4
    assert_allclose(medians.std(), np.sqrt(squared[0]), rtol=0.25)
    assert medians.std() < 0.7 * np.std([np.median(rng.normal(1, errors)) for _ in range(2000)])
    best_has_changed = np.append(np.full(29, 1.0), 9.0)
    assert middle(best_has_changed, errors[::-1]**2)[0] == 1


def test_the_core_of_a_star_that_is_not_met_is_told_and_a_cosmic_ray_in_it_is_not():
    rng, y = np.random.default_rng(8), np.arange(-9, 10)
    light = np.exp(-(y**2 + y[:, np.newaxis]**2) / 4).ravel() * np.array([[4e4], [4e4], [4e4], [400]])
    variance = light + 400.0
    residual = rng.normal(0, np.sqrt(variance))
    residual[1] += 0.04 * light[1] * rng.choice([-1, 1], light.shape[1])
    residual[2, 180] += 4e4
    errors = core_errors(residual, variance, light, np.ones(light.shape, bool))
    assert errors[0] < 0.01
    assert 0.05 < errors[1] < 0.07
    assert errors[2] < 0.01
    assert np.isfinite(core_errors(residual, variance, light, np.zeros(light.shape, bool))).all()


def noisy(rng, signal, gain=2.0, floor=30.0):
    variance = signal / gain + floor
    return rng.normal(signal, np.sqrt(variance)), variance


def test_variances_made_from_noisy_pixels_are_led_back_to_those_of_the_signal():
    rng, signal = np.random.default_rng(1), np.geomspace(100, 20_000, 40_000).reshape(40, -1)
    (target, truth), (model, _) = noisy(rng, signal), noisy(rng, signal)
    from_data = target / 2.0 + 30.0
    predicted = predicted_variance(target, model, from_data, model / 2.0 + 30.0, np.ones(signal.shape, bool))
    residual = (target - model) / np.sqrt(2 * truth)
    assert abs(np.corrcoef(residual.ravel(), (from_data / truth).ravel())[0, 1]) > 0.5
    assert abs(np.corrcoef(residual.ravel(), (predicted / truth).ravel())[0, 1]) < 0.02
    assert_allclose(np.median(predicted / truth), 2, rtol=1e-3)


def test_one_star_known_better_than_all_others_does_not_reject_them():
    changes, errors = np.append(0.0, np.linspace(-0.1, 0.1, 15)), np.append(1e-4, np.full(15, 0.01))
    kept = _star_influence(changes, errors**2, 0.0, np.ones(16), 'tukey')
    assert (kept > 0.5).all()
    changes[3] = 0.9
    assert _star_influence(changes, errors**2, 0.0, np.ones(16), 'tukey')[3] < 0.1


def test_variances_not_made_from_the_pixels_stay():
    rng, signal = np.random.default_rng(1), np.geomspace(100, 20_000, 40_000).reshape(40, -1)
    (target, truth), (model, _) = noisy(rng, signal), noisy(rng, signal)
    predicted = predicted_variance(target, model, truth, truth, np.ones(signal.shape, bool))
    assert_allclose(predicted, 2 * truth, rtol=0.03)


def test_those_best_known_tell_most_of_a_scatter():
    rng, errors = np.random.default_rng(9), np.geomspace(0.001, 0.1, 30)

    def found(scatter, weights):
        return np.median([extra_scatter(np.abs(values), errors**2, np.ones(30), 0.2, weights)
                          for values in rng.normal(0, np.hypot(errors, scatter), (300, 30))])
    assert abs(found(0.01, 1 / errors) - 0.01) < 0.002
    assert abs(found(0.002, 1 / errors) - 0.002) < abs(found(0.002, None) - 0.002)


def test_shapes_that_are_nearly_alike_have_errors_too():
    pair = make_pair((256, 256), seed=2, n_stars=60, n_transients=0, star_flux=(5e3, 2e5))
    options = {'weights': True, 'robust': 'tukey', 'nstampx': 6, 'nstampy': 6, 'fitthresh': 10}
    narrow = hp.HotpantsConfig(ko=0, deg_fixe=(6, 4, 2), sigma_gauss=(0.5, 1, 2), **options)
    usual = hp.HotpantsConfig(ko=0, **options)
    errors = []
    for config in (narrow, usual):
        kernel = hp.subtract(pair.science, pair.template, config=config).kernel
        assert (np.diag(kernel.covariance) > 0).all()
        errors.append(kernel.sum_error(128, 128))
    assert errors[0] == pytest.approx(errors[1], rel=0.3)


def test_extra_scatter_is_what_the_noise_does_not_explain():
    rng = np.random.default_rng(2)
    sizes = np.abs(rng.normal(0, np.hypot(1, 0.5), 20_000))
    assert_allclose(extra_scatter(sizes, np.ones(20_000), np.ones(20_000), 5.0), 0.5, atol=0.03)
    assert extra_scatter(sizes / 2, np.ones(20_000), np.ones(20_000), 5.0) == 0


def test_model_error_is_the_part_of_the_light_that_is_missed():
    rng, stars = np.random.default_rng(3), np.full((20, 100), 5000.0)
    residual = rng.normal(0, np.hypot(10, 0.02 * stars))
    assert_allclose(model_error(residual, np.full(stars.shape, 100.0), stars, stars > 0), 0.02, rtol=0.05)
    assert model_error(residual[:1, :9], np.full((1, 9), 100.0), stars[:1, :9], stars[:1, :9] > 0) == 0


@pytest.mark.parametrize('whole', [False, True])
def test_a_stack_is_convolved_as_scipy_does(whole):
    from scipy.signal import convolve
    rng = np.random.default_rng(4)
    pictures, kernels = rng.normal(size=(3, 17, 22)), rng.normal(size=(3, 5, 5))
    expected = [convolve(p, k, mode='full' if whole else 'valid') for p, k in zip(pictures, kernels, strict=True)]
    assert_allclose(convolve_stack(pictures, kernels, whole), expected, atol=1e-12)


# -- the fit ------------------------------------------------------------------------------------

@pytest.mark.parametrize('robust', [None, 'tukey'])
def test_the_weighted_fit_is_that_of_linear_algebra(robust):
    scene = pair()
    design = fitted(scene.science, scene.template, weights=True, robust=robust).regions[0].design('t')
    from hotpants_cy.kernel.weighted import WeightedDesign
    weighted, slots = WeightedDesign.of(design), [k for k, s in enumerate(design.stamps) if s.alive]
    model = weighted.solve(slots)
    sight = Sight.of(weighted, slots)
    weighing = Weighing.of(weighted, sight, model)
    lost = weighing.noise_weights.sum() / weighing.weights.sum()
    assert lost == 1 if robust is None else 0.9 < lost < 0.95      # 0.92 where noise is Gaussian
    sky, (of_sky, _) = weighted.sky, weighted.sky.weights(model, design.basis, robust)
    vectors = np.concatenate([*(weighted.all_vectors(sight, k) for k in range(len(slots))), sky.vectors.T], axis=1)
    weights = np.concatenate([weighing.weights.ravel(), of_sky])
    products, noise = (vectors * weights) @ vectors.T, np.zeros((len(vectors),) * 2)
    n = len(design.basis)
    pictures, sums = design.basis.images.reshape(n, -1), design.basis.images.sum(axis=(1, 2))
    noise[:n, :n] = (np.sum(weighing.noise_weights * sight.seen_variance(7)) * (pictures @ pictures.T)
                     + np.sum(of_sky * sky.source_variance) * np.outer(sums, sums))
    plain = np.linalg.solve(products, (vectors * weights) @ np.concatenate([sight.target.ravel(), sky.target]))
    values, modes = np.linalg.eig(np.linalg.solve(products, noise))
    led_back = 1 + (values + values**2) / (1 + values**4)
    expected = ((modes * led_back) @ np.linalg.solve(modes, plain)).real
    solution, *_ = weighted._solve_weighted(sight, weighing, model)
    assert_allclose(vectors.T @ solution, vectors.T @ expected, rtol=1e-6)


def test_shapes_of_a_kernel_that_are_nothing_but_noise_do_not_run_away():
    rng = np.random.default_rng(3)
    basis, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    parts = np.array([0.0, 0.001, 0.02, 0.3, 5.0, 1e4])
    correction = bias_of_noise(basis @ basis.T, basis @ np.diag(parts) @ basis.T)
    assert_allclose(basis.T @ correction @ basis, np.diag((parts + parts**2) / (1 + parts**4)), atol=1e-10)


def each_star_alone(scene, science):
    """Equations with each star in a stamp of its own."""
    hot = hp.Hotpants(scene.template, science, stars='auto', config=config())
    hot.find_stamps()
    region = hot.regions[0]
    region.sides['t'].spread(400)
    return region.design('t')


def test_flux_ratios_of_single_stars_scatter_by_their_errors():
    scene = pair(n_stars=60, star_flux=(3e3, 4e5), variation=0)
    design = each_star_alone(scene, scene.science)
    errors = design.local_errors(range(len(design.stamps)))
    pulls = (design.local_sums() - scene.kernel_sum) / errors
    assert len(pulls) > 20
    assert errors.max() > 8 * errors.min()
    assert 0.5 < np.std(pulls) < 1.1              # the noise of the core stands for that of all pixels


def test_of_stars_that_are_alike_a_bright_variable_one_is_left_out_and_faint_ones_are_not():
    scene = pair(n_stars=60, star_flux=(3e3, 4e5), variation=0)
    first = each_star_alone(scene, scene.science)
    star = first.stamps[int(np.argmin(first.local_errors(range(len(first.stamps)))))].substamp
    science = scene.science.copy()
    science.data[star.y - 9:star.y + 10, star.x - 9:star.x + 10] *= np.float32(1.07)
    design = each_star_alone(scene, science)
    slots = range(len(design.stamps))
    left_out = set(slots) - set(design.alike(slots))
    assert [(design.stamps[k].substamp.x, design.stamps[k].substamp.y) for k in left_out] == [(star.x, star.y)]


def test_masked_pixels_have_no_say():
    scene = pair()
    hot = fitted(scene.science, scene.template, **BOTH)
    spots = [(s.x + 3, s.y - 2) for s in hot.regions[0].used_substamps()][::2]
    sums = []
    for value in (0.0, 3e4):
        science = scene.science.copy()
        science.mask = np.zeros(science.shape, bool)
        for x, y in spots:
            science.data[y, x], science.mask[y, x] = value, True
        stars = np.array([(s.x, s.y) for s in hot.regions[0].used_substamps()], float)
        sums.append(hp.Hotpants(scene.template, science, stars=stars, config=config(**BOTH)).kernel.sum(150, 150))
    assert sums[0] == sums[1]
    assert abs(sums[0] - scene.kernel_sum) < 0.01


def test_a_saturated_pixel_or_one_far_too_low_spoils_more_of_its_surroundings_than_a_dead_one():
    scene, lost = pair(), []
    first = fitted(scene.science, scene.template, weights=True)
    stars = np.array([(s.x, s.y) for s in first.regions[0].used_substamps()])
    for value in (np.nan, 6e4, -6e4):
        template = scene.template.copy()
        template.data[np.minimum(stars[:, 1] + 12, 299), stars[:, 0]] = value          # outside the box of the star
        limits = config(weights=True, tuthresh=5e4, tlthresh=-5e4)
        hot = hp.Hotpants(template, scene.science, config=limits, stars=stars)
        hot.fit_and_select_direction()
        design = hot.regions[0].design('t')
        sight = Sight.of(design, range(len(design.stamps)))
        lost.append(np.mean(np.sum(~_through(design, sight, first.kernel.images(sight.x, sight.y), 0.99)[1], axis=1)))
    dead, saturated, far_too_low = lost
    assert 2 < dead < 0.5 * min(saturated, far_too_low)


@pytest.mark.parametrize('changes', [{'weights': True}, {'robust': 'huber'}, {'robust': 'tukey'}, BOTH])
def test_the_kernel_sum_is_that_of_the_images(changes):
    scene = pair()
    kernel = fitted(scene.science, scene.template, **changes).kernel
    assert abs(kernel.sum(150, 150) - scene.kernel_sum) < 3 * kernel.sum_error(150, 150) < 0.02


@pytest.mark.parametrize('seed', [3, 11])
def test_variable_stars_lose_their_influence(seed):
    scene = pair(seed, n_stars=100)
    science = with_variables(scene, seed + 50)
    plain, robust = (fitted(science, scene.template, **k).kernel.sum(150, 150) / scene.kernel_sum - 1
                     for k in ({}, BOTH))
    assert abs(plain) > 0.1
    assert abs(robust) < 0.005


def test_a_variable_star_is_told_why_it_was_not_used():
    scene = pair(3, n_stars=100)
    hot = fitted(with_variables(scene, 53), scene.template, **BOTH)
    reasons = [s.reason for s in hot.substamps('t') if s.status.name == 'REJECTED_ITERATIVE_FIT']
    assert any('flux or shape' in reason for reason in reasons)


def test_the_error_of_the_kernel_sum_is_its_scatter():
    pulls = []
    for seed in range(24):
        scene = pair(100 + seed)
        kernel = fitted(scene.science, scene.template, **BOTH).kernel
        pulls.append((kernel.sum(150, 150) - scene.kernel_sum) / kernel.sum_error(150, 150))
    assert 0.65 < np.std(pulls) < 1.35
    assert abs(np.mean(pulls)) < 0.7


def test_the_error_of_the_kernel_sum_knows_that_flux_ratios_scatter():
    pulls = []
    for seed in range(12):
        scene, rng = pair(200 + seed, n_stars=100), np.random.default_rng(seed)
        change = scene.stars.copy()
        change['flux'] *= rng.normal(0, 0.03, len(change))
        science = scene.science.copy()
        science.data = (science.data + scene.kernel_sum * scene.science_psf.image(science.shape, change)).astype('f4')
        kernel = fitted(science, scene.template, **BOTH).kernel
        pulls.append((kernel.sum(150, 150) - scene.kernel_sum) / kernel.sum_error(150, 150))
    assert 0.6 < np.sqrt(np.mean(np.square(pulls))) < 1.6


def test_weights_do_not_need_more_than_gain_and_read_noise():
    scene = pair()
    science, template = (np.array(image.data) for image in (scene.science, scene.template))
    kernel = fitted(science, template, tgain=1, igain=1, trdnoise=5, irdnoise=5, **BOTH).kernel
    assert abs(kernel.sum(150, 150) - scene.kernel_sum) < 3 * kernel.sum_error(150, 150)


def test_a_science_image_convolved_is_fitted_with_weights_as_well():
    scene = pair()
    result = hp.subtract(scene.template, scene.science, config=config(**BOTH).replace(force_convolve='i'))
    assert abs(result.kernel.sum(150, 150) - scene.kernel_sum) < 3 * result.kernel.sum_error(150, 150)


def test_any_number_of_threads_gives_the_same_bits():
    scene = pair()
    first, second = (hp.subtract(scene.science, scene.template, config=config(**BOTH), n_threads=n) for n in (1, 3))
    assert_array_equal(first.difference.data, second.difference.data)
    assert first.kernel.sum_error(9, 9) == second.kernel.sum_error(9, 9)


def test_without_weights_there_is_no_error():
    scene = pair()
    assert np.isnan(fitted(scene.science, scene.template).kernel.sum_error(150, 150))


@pytest.mark.parametrize('more', [{'weights': True}, {'robust': 'tukey'}])
def test_more_functions_than_pixels_are_an_error_and_no_warning(more):
    scene = make_pair((256, 256), seed=1)
    with pytest.raises(hp.HotpantsError, match='49 functions are more than its 9 pixels'):
        hp.subtract(scene.science, scene.template, config=hp.HotpantsConfig(rkernel=1, rss=1, **more))


def test_uncertainties_of_zero_leave_pixels_out():
    scene = pair()
    sigma = scene.science.uncertainty.array.copy()
    sigma[:, :100] = 0
    science = CCDData(scene.science.data, unit='adu', uncertainty=StdDevUncertainty(sigma))
    template = CCDData(scene.template.data, unit='adu', uncertainty=StdDevUncertainty(np.zeros_like(sigma)))
    kernel = fitted(science, template, **BOTH).kernel
    assert abs(kernel.sum(150, 150) - scene.kernel_sum) < 0.02


# -- what is told and kept -------------------------------------------------------------------------

def test_the_header_says_how_the_kernel_was_fitted():
    scene = pair()
    result = hp.subtract(scene.science, scene.template, config=config(**BOTH))
    meta = result.difference.meta
    assert (meta['FITWGHT'], meta['FITLOSS']) == (True, 'tukey')
    assert meta['KSUME00'] == pytest.approx(result.kernel.sum_error(150, 150))
    plain = hp.subtract(scene.science, scene.template, config=config()).difference.meta
    assert not {'FITWGHT', 'FITLOSS', 'EXACTKER', 'KSUME00'} & set(plain)


def test_a_kernel_file_keeps_the_covariance(tmp_path):
    scene = pair()
    kernel = fitted(scene.science, scene.template, **BOTH).kernel
    kernel.write(tmp_path / 'kernel.fits')
    again = KernelModel.read(tmp_path / 'kernel.fits')
    assert again == kernel
    assert_array_equal(again.covariance, kernel.covariance)


def test_the_command_line_fits_with_weights(tmp_path):
    from hotpants_cy.cli.main import main
    scene = pair()
    for name in ('science', 'template'):
        getattr(scene, name).write(tmp_path / f'{name}.fits')
    main(['-inim', str(tmp_path / 'science.fits'), '-tmplim', str(tmp_path / 'template.fits'), '-outim',
          str(tmp_path / 'diff.fits'), '-ko', '0', '-bgo', '0', '-tu', '1e6', '-iu', '1e6', '-nsx', '6', '-nsy', '6',
          '-c', 't', '--weights', '--robust', 'tukey'])
    header = CCDData.read(tmp_path / 'diff.fits', unit='adu').header
    assert header['FITLOSS'] == 'tukey'
    assert 0 < float(header['KSUME00']) < 0.02
