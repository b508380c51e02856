"""Scenes that settings are judged by: their truth is true, and the judge is just."""

import sys
from pathlib import Path

import numpy as np
import pytest

import hotpants_cy as hp

BENCHMARKS = Path(__file__).resolve().parents[1] / 'benchmarks'


@pytest.fixture(scope='module', autouse=True)
def benchmarks():
    if not (BENCHMARKS / 'scenes.py').exists():
        pytest.skip('the benchmarks are not here')
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope='module')
def scene():
    from scenes import scene
    return scene(14)          # with uncertainties, so that nothing is warned of


def test_the_same_number_gives_the_same_scene(scene):
    from scenes import scene as make
    again = make(14)
    np.testing.assert_array_equal(again.pair.science.data, scene.pair.science.data)
    np.testing.assert_array_equal(again.probes.template, scene.probes.template)


def test_the_scenes_cover_what_they_promise():
    from scenes import properties
    every = [properties(n) for n in range(128)]
    for name, low, high in (('fwhm', 1.6, 7.5), ('stars', 40, 2500), ('variable', 0, 0.19), ('flux_ratio', 0.33, 2.7),
                            ('variation', 0, 0.14), ('galaxies', 0, 28)):
        values = [p[name] for p in every]
        assert min(values) <= low
        assert max(values) >= high
    assert {p['inputs'] for p in every} == {'bare', 'sigma', 'mask'}
    assert 40 < sum(p['template_fwhm'] > p['fwhm'] for p in every) < 90


def test_the_variance_is_that_of_the_noise():
    from hotpants_cy.datasets import _expose
    level = np.full((300, 300), 500.0)
    image = _expose(level, np.random.default_rng(1), 2.0, 5.0, 0.5, 1e9, 'science')
    assert image.data.std() == pytest.approx(image.uncertainty.array[0, 0], rel=0.01)


def test_elliptical_light_has_unit_flux_and_the_width_that_was_asked_for():
    from light import Light
    y, x = np.indices((201, 201)) - 100.0
    for beta in (np.inf, 3.5):
        image = Light.evaluate(x, y, 1, 0, 0, 4.0, 0.1, 0.05, beta)
        assert image.sum() == pytest.approx(1, abs=2e-3)
    round_image = Light.evaluate(x, y, 1, 0, 0, 4.0, 0, 0, 3.5)
    assert round_image[100, 102] == pytest.approx(round_image[100, 100] / 2)


def test_held_out_stars_tell_a_good_kernel_from_a_bad_one(scene):
    from compare_settings import judged
    config = {'sigma_gauss': (0.5, 1.0, 2.0), 'igain': scene.gain[0], 'tgain': scene.gain[1], 'normalize': 'i',
              'irdnoise': scene.read_noise[0], 'trdnoise': scene.read_noise[1], 'iuthresh': scene.saturation[0],
              'tuthresh': scene.saturation[1]}
    good, poor = (judged(scene, hp.subtract(scene.pair.science, scene.pair.template,
                                            config=hp.HotpantsConfig(**config, force_convolve='t', **changes)))
                  for changes in ({'ko': 1}, {'ko': 0, 'rkernel': 2}))
    assert 0.9 < good['chi2'] < 1.2 < poor['chi2']
    assert good['cost'] < poor['cost']
    assert good['kernel_sum'] == pytest.approx(scene.pair.kernel_sum, rel=0.02)


def test_the_scale_of_the_difference_does_not_matter(scene):
    from compare_settings import judged
    one, other = (judged(scene, hp.subtract(scene.pair.science, scene.pair.template, config=hp.HotpantsConfig(
        force_convolve='t', ko=1, normalize=normalize))) for normalize in 'it')
    assert one['chi2'] == pytest.approx(other['chi2'], rel=1e-4)
    assert one['cost'] == pytest.approx(other['cost'], rel=1e-4)


def test_the_summary_counts_the_best_and_the_failed():
    from settings_table import summary, table
    rows = [{'scene': n, 'setting': name, 'chi2': chi2, 'error': '' if chi2 else 'NoStampsError'}
            for n, pair in enumerate([(1.0, 1.04), (1.2, 1.0), ('', 1.0)])
            for name, chi2 in zip(('one', 'two'), pair, strict=True)]
    rows.append({'scene': 3, 'setting': 'one', 'chi2': 1.0, 'error': ''})       # the other has not been run there
    one, two = summary(table(rows, 'chi2', ('one', 'two')), ('one', 'two'))
    assert one['scenes'] == 3
    assert one['within 5 % of the best other'] == pytest.approx(1 / 3)
    assert two['within 5 % of the best other'] == 1
    assert (one['failed where another did not'], two['failed where another did not']) == (1, 0)


def test_every_published_setting_is_possible():
    from settings import SETTINGS, Known
    for fwhm in ((1.5, 1.5), (8, 2), (2.5, 7)):
        known = Known((512, 512), fwhm, (100, 50), (10, 7), (6e4, 6e4), (1, 2), (5, 5), 40)
        for name, setting in SETTINGS.items():
            assert setting(known) == 'auto' or setting(known).rss >= setting(known).rkernel, name
