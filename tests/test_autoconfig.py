"""Parameters from the images: rules, reasons, trials on stars held out, and the ladder."""
import math
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from numpy.testing import assert_allclose

import hotpants_cy as hp
from hotpants_cy.autoconfig.choice import Trial, choose
from hotpants_cy.autoconfig.facts import look_at
from hotpants_cy.autoconfig.ladder import rungs
from hotpants_cy.autoconfig.rules import kernel_sigma
from hotpants_cy.datasets import make_pair, positions_of
from hotpants_cy.inputs.correlated import WHITE
from hotpants_cy.inputs.frame import as_frame
from hotpants_cy.kernel.prediction import _variances

SHAPE = (400, 400)


@pytest.fixture(scope='module')
def pair():
    return make_pair(SHAPE, seed=3, n_stars=120)


@pytest.fixture(scope='module')
def config(pair):
    return hp.HotpantsConfig.auto(pair.science, pair.template)


# -- rules ------------------------------------------------------------------------------------

def test_the_sharper_image_is_convolved(pair, config):
    assert config.force_convolve == 't'
    assert hp.HotpantsConfig.auto(pair.template, pair.science).force_convolve == 'i'


def test_the_kernel_has_the_width_that_is_missing():
    assert kernel_sigma(np.eye(2) * 4, np.eye(2) * 13) == pytest.approx(3)
    assert kernel_sigma(np.eye(2) * 13, np.eye(2) * 4) == 0


def test_a_kernel_between_crossed_ellipses_is_as_wide_as_the_wider_axis_needs():
    assert kernel_sigma(np.diag([4.0, 9.0]), np.diag([9.0, 4.0])) == pytest.approx(math.sqrt(5))


def test_each_value_has_its_reason(config):
    chosen = {'rkernel', 'rss', 'ko', 'bgo', 'deg_fixe', 'sigma_gauss', 'force_convolve', 'normalize', 'tlthresh',
              'ilthresh', 'tuthresh', 'iuthresh', 'nstampx', 'nstampy', 'igain', 'tgain'}
    assert chosen <= set(config.reasons)
    assert 'FWHM' in config.reasons['rkernel']


@pytest.mark.parametrize('seed', [1, 2])
def test_a_handful_of_stars_is_enough_for_the_kernel_sum(seed):
    pair = make_pair((300, 300), seed=seed, n_stars=5, star_flux=(2e5, 4e5), n_transients=0)
    kernel = hp.subtract(pair.science, pair.template, config='auto').kernel
    assert len(kernel.basis.sigmas) == 3
    assert abs(kernel.sum(150, 150) / pair.kernel_sum - 1) < 0.008


def test_what_the_user_fixes_wins(pair):
    config = hp.HotpantsConfig.auto(pair.science, pair.template, rkernel=8, ko=0, normalize='t', sigma_gauss=(1, 2))
    assert (config.rkernel, config.ko, config.normalize, config.sigma_gauss) == (8, 0, 't', (1.0, 2.0))
    assert len(config.deg_fixe) == 2
    assert config.reasons['rkernel'] == 'given'
    assert config.rss >= 8


def test_limits_that_the_user_fixes_win(pair):
    config = hp.HotpantsConfig.auto(pair.science, pair.template, iuthresh=50000.0, tlthresh=None)
    assert (config.iuthresh, config.tlthresh) == (50000, None)
    assert config.iuktresh < 50000
    assert config.reasons['iuthresh'] == 'given'


def test_explain_prints_values_and_reasons(config, capsys):
    config.explain()
    printed = capsys.readouterr().out
    assert f'rkernel = {config.rkernel}: ' in printed
    assert 'stat_sig = 3: default' in printed


def test_what_follows_from_others_was_not_given(capsys):
    config = hp.HotpantsConfig(ko=1).with_reasons({'rss': 'for the tests'}).replace(deg_fixe=(2,), sigma_gauss=(1.5,))
    config.explain()
    printed = capsys.readouterr().out.splitlines()
    assert 'ngauss = 1: follows from sigma_gauss' in printed
    assert 'use_pca = False: follows from basis_images' in printed
    assert 'deg_fixe = (2,): given' in printed


def test_a_plain_configuration_explains_itself_too(capsys):
    hp.HotpantsConfig(rkernel=7).explain()
    printed = capsys.readouterr().out
    assert 'rkernel = 7: given' in printed
    assert 'ko = 2: default' in printed


def test_given_widths_are_believed(pair):
    config = hp.HotpantsConfig.auto(pair.science, pair.template, science_fwhm=5.0, template_fwhm=3.0)
    assert 'of 5.00' in config.reasons['rss']


def test_the_psf_attribute_is_believed(pair):
    y, x = np.mgrid[:41, :41] - 20.0
    science = pair.science.copy()
    psf = np.exp(-0.5 * (x**2 + y**2) / 3.0**2)
    science.psf = psf / psf.sum()
    config = hp.HotpantsConfig.auto(science, pair.template)
    assert '4 FWHM of 7.06' in config.reasons['rkernel']


def test_saturation_comes_from_the_header(pair):
    science = pair.science.copy()
    science.meta['SATURATE'] = 21000.0
    assert look_at(as_frame(science, name='science')).saturation == 21000
    config = hp.HotpantsConfig.auto(science, pair.template)
    assert config.iuthresh == 21000
    assert config.iuktresh < 21000


def test_flat_tops_tell_the_saturation():
    pair = make_pair(SHAPE, seed=3, saturation=30000.0, n_saturated=4)
    del pair.science.meta['SATURATE']
    assert look_at(as_frame(pair.science, name='science')).saturation == pytest.approx(30000, rel=0.02)


def test_without_saturated_stars_there_is_no_limit(pair):
    assert look_at(as_frame(pair.science, name='science')).saturation is None


def test_the_sky_is_measured_in_spite_of_stars():
    pair = make_pair(SHAPE, seed=3, n_stars=900, science_sky=400.0, read_noise=5.0)
    facts = look_at(as_frame(pair.science, name='science'))
    assert facts.sky == pytest.approx(400, abs=15)
    assert facts.sigma == pytest.approx(math.sqrt(425), rel=0.25)


@pytest.mark.parametrize('value', [0.0, 5.0])
def test_areas_without_data_are_no_sky(value):
    pair = make_pair(SHAPE, seed=3, science_sky=400.0, read_noise=5.0)
    image = pair.science.copy()
    image.data[:, :SHAPE[1] // 3] = value
    facts = look_at(as_frame(image, name='science'))
    assert facts.sky == pytest.approx(400, abs=5)
    assert facts.sigma == pytest.approx(math.sqrt(425), rel=0.1)


@pytest.mark.parametrize('counts', [0.2, 3.0])
def test_few_counts_are_sky(counts):
    image = CCDData(np.random.default_rng(1).poisson(counts, SHAPE).astype(float), unit='adu')
    assert look_at(as_frame(image, name='science')).sky == np.median(image.data)


@pytest.mark.parametrize('gain', [0.5, 1.0, 4.0])
def test_without_uncertainty_the_noise_model_has_the_scatter_of_the_sky(gain):
    pair = make_pair(SHAPE, seed=5, gain=gain)
    frame = as_frame(CCDData(pair.science.data, unit='adu', meta={'GAIN': gain}), name='science')
    facts = look_at(frame)
    variance = facts.sky / facts.gain + (facts.read_noise / facts.gain)**2
    assert variance == pytest.approx(facts.sigma**2, rel=0.01)
    assert facts.gain == gain


def test_a_gain_that_the_sky_contradicts_is_replaced():
    pair = make_pair(SHAPE, seed=5, gain=4.0, science_sky=4000.0)
    facts = look_at(as_frame(CCDData(pair.science.data, unit='adu'), name='science'))
    assert facts.gain == pytest.approx(4.0, rel=0.15)
    assert 'gain = sky / sigma^2' in facts.noise_rule


def test_few_stars_get_a_simple_kernel():
    pair = make_pair(SHAPE, seed=2, n_stars=8, star_flux=(1e5, 4e5), n_transients=0)
    config = hp.HotpantsConfig.auto(pair.science, pair.template)
    assert config.ko == 0
    assert config.ncomp_ker <= 18


def test_images_without_a_star_get_the_usual_width():
    rng = np.random.default_rng(1)
    science, template = (CCDData(rng.normal(100, 5, SHAPE), unit='adu') for _ in range(2))
    assert 'no star' in hp.autoconfig.make_plan(as_frame(science, name='science'),
                                                as_frame(template, name='template')).facts.psf_rule


def test_a_varying_psf_gets_a_varying_kernel():
    pair = make_pair((600, 600), seed=1, variation=0.2, n_stars=400)
    assert hp.HotpantsConfig.auto(pair.science, pair.template).ko >= 1


# -- trials -----------------------------------------------------------------------------------

def trial(chi2, n_unknown):
    return Trial({'n': n_unknown}, n_unknown, np.array(chi2, float))


def test_of_equally_good_kernels_the_simplest_is_taken():
    assert choose([trial([1.0] * 20, 50), trial([1.002] * 20, 10)]).n_unknown == 10
    assert choose([trial([1.0] * 20, 50), trial([1.05] * 20, 10)]).n_unknown == 50


def test_a_star_that_no_kernel_predicts_does_not_decide():
    calm, wild = [1.0] * 19, [1.1] * 19
    assert choose([trial([*calm, 900.0], 50), trial([*wild, 500.0], 50)]).chi2[0] == 1.0


def test_a_kernel_without_a_solution_loses():
    assert choose([trial([np.inf] * 20, 5), trial([1.3] * 20, 50)]).n_unknown == 50


# -- results ----------------------------------------------------------------------------------

def test_subtract_with_auto_finds_the_flux_ratio(pair):
    result = hp.subtract(pair.science, pair.template, config='auto')
    assert result.kernel.sum(200, 200) == pytest.approx(pair.kernel_sum, rel=0.005)
    pull = result.difference.data / result.difference.uncertainty.array
    assert np.nanstd(np.clip(pull, -5, 5)) == pytest.approx(1, abs=0.05)


def test_the_header_has_the_reasons(pair):
    header = hp.subtract(pair.science, pair.template, config='auto').difference.header
    history = ''.join(str(line) for line in header['HISTORY'])
    assert 'rkernel = ' in history
    assert 'FWHM' in history


def test_auto_takes_the_users_stars(pair):
    stars = positions_of(pair.stars)
    result = hp.subtract(pair.science, pair.template, config='auto', stars=stars)
    used = result.substamps[result.substamps['status'] == 'USED_IN_FINAL_FIT']
    distance = np.abs(stars[:, np.newaxis] - np.column_stack([used['x'], used['y']])).max(axis=2).min(axis=0)
    assert distance.max() <= 1


def test_auto_is_the_same_for_any_number_of_threads(pair):
    one, two = (hp.subtract(pair.science, pair.template, config='auto', n_threads=n) for n in (1, 2))
    assert one.config == two.config
    np.testing.assert_array_equal(one.difference.data, two.difference.data)


def test_a_new_configuration_keeps_the_reasons_of_the_rest(config):
    changed = config.replace(ko=0)
    assert changed.reasons['ko'] == 'given'
    assert changed.reasons['rkernel'] == config.reasons['rkernel']


def test_unknown_words_for_a_configuration_are_an_error(pair):
    with pytest.raises(TypeError, match='HotpantsConfig'):
        hp.subtract(pair.science, pair.template, config='automatic')


def test_unknown_parameters_are_an_error(pair):
    with pytest.raises(TypeError, match='did you mean rkernel'):
        hp.HotpantsConfig.auto(pair.science, pair.template, rkernl=5)


# -- the ladder -------------------------------------------------------------------------------

def test_each_rung_is_simpler():
    unknowns = [config.n_comp_total for config, _ in rungs(hp.HotpantsConfig())]
    assert unknowns == sorted(unknowns, reverse=True)
    assert unknowns[-1] == 2


def test_the_ladder_leaves_alone_what_is_fixed():
    assert {config.ko for config, _ in rungs(hp.HotpantsConfig(), fixed={'ko'})} == {2}


def test_a_fit_that_does_not_stand_is_simplified_and_says_so():
    pair = make_pair((160, 160), seed=6, n_stars=3, star_flux=(3e4, 1e5), n_transients=0)
    result = hp.subtract(pair.science, pair.template, config='auto')
    assert result.kernel.sum(80, 80) == pytest.approx(pair.kernel_sum, rel=0.1)


def test_the_end_of_the_ladder_is_an_error_with_the_counts():
    rng = np.random.default_rng(1)
    science, template = (CCDData(rng.normal(100, 5, SHAPE), unit='adu',
                                 uncertainty=StdDevUncertainty(np.full(SHAPE, 5.0))) for _ in range(2))
    end = 'no kernel can be fitted, not even the simplest: '
    with pytest.raises(hp.NoStampsError, match=end + 'no star came from photutils; at last: no star'):
        hp.subtract(science, template, config='auto')
    with pytest.raises(hp.NoStampsError, match=end + r'of 2 stars from the list given 0 can be used \(.*2 '):
        hp.subtract(science, template, config='auto', stars=[(100, 100), (200, 250)])


def test_each_star_held_out_is_judged_by_the_noise_of_the_kernel_at_its_place():
    pictures = [SimpleNamespace(variance=lambda cut: np.ones((11, 11)), correlated=WHITE)] * 2
    stamps = [SimpleNamespace(substamp=SimpleNamespace(x=x, y=50)) for x in (20, 80)]
    design = SimpleNamespace(stamps=stamps, source=pictures[0], target=pictures[1], n_threads=1,
                             config=SimpleNamespace(rss=5, rkernel=2))
    kernels = np.zeros((2, 5, 5))
    kernels[:, 2, 2] = 1, 3
    assert_allclose(_variances(design, kernels, [0, 1]).mean(axis=(1, 2)), [1 + 1, 1 + 9])
