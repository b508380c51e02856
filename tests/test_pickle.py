"""Everything that a user holds can be pickled, sent to another process, and go on there."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

CONFIG = hp.HotpantsConfig(rkernel=6, rss=9, nstampx=4, nstampy=4, ko=1)
PAIR = make_pair((210, 230), seed=12, n_transients=3, star_flux=(8e3, 2e5))
STEPS = ['find_stamps', 'fit_and_select_direction', 'iterative_fit_and_clip', 'convolve_and_difference']
y, x = np.indices((13, 13)) - 6
PICTURES = np.array([np.exp(-(x**2 + y**2) / (2 * s**2)) for s in (1.0, 1.5, 2.5)])
COPIES = [*(pytest.param(lambda o, p=p: pickle.loads(pickle.dumps(o, p)), id=f'protocol {p}')
            for p in (2, pickle.HIGHEST_PROTOCOL)), pytest.param(copy.deepcopy, id='deepcopy')]


def hotpants(**changes):
    return hp.Hotpants(PAIR.template, PAIR.science, config=CONFIG.replace(**changes))


def assert_same_outputs(one, other):
    a, b = one.get_final_outputs(), other.get_final_outputs()
    assert a.keys() == b.keys()
    for name in a:
        if isinstance(a[name], np.ndarray):
            assert_array_equal(a[name], b[name])
        else:
            assert a[name] == b[name]


@pytest.fixture(scope='module')
def straight():
    """What comes out without any pickling."""
    hot = hotpants()
    hot.run_pipeline()
    return hot


@pytest.mark.parametrize('duplicate', COPIES)
@pytest.mark.parametrize('n_steps', range(5))
def test_after_every_step_an_object_can_be_pickled_and_go_on(straight, n_steps, duplicate):
    hot = hotpants()
    for step in STEPS[:n_steps]:
        getattr(hot, step)()
    again = duplicate(hot)
    assert again.config == CONFIG
    assert_same_outputs(again, straight)
    assert [(s.x, s.y, s.status, s.merit, s.chi2) for s in again.final_substamps] == [
        (s.x, s.y, s.status, s.merit, s.chi2) for s in straight.final_substamps]
    assert_same_outputs(hot, straight)


def test_what_was_pickled_looks_inside_and_starts_again(straight):
    again = pickle.loads(pickle.dumps(straight))
    assert_array_equal(again.visualize_kernel((50, 60)), straight.visualize_kernel((50, 60)))
    for star, same in zip(straight.final_substamps, again.final_substamps, strict=True):
        for name in ('image_cutout', 'template_cutout', 'noise_variance_cutout', 'convolved_model_global'):
            assert_array_equal(getattr(same, name), getattr(star, name))
    again.config = CONFIG.replace(force_convolve='i')
    assert_same_outputs(again, hotpants(force_convolve='i'))
    assert straight.config == CONFIG


def test_a_copy_shares_nothing_that_changes():
    hot = hotpants()
    hot.find_stamps()
    again = copy.deepcopy(hot)
    again.iterative_fit_and_clip()
    assert {s.status for s in hot.template_substamps} == {hp.SubstampStatus.FOUND}
    assert hp.SubstampStatus.USED_IN_FINAL_FIT in {s.status for s in again.template_substamps}


@pytest.mark.parametrize('changes', [{}, {'nregx': 2, 'nstampx': 2, 'fitthresh': 10, 'ko': 0}], ids=['one', 'regions'])
@pytest.mark.parametrize('duplicate', COPIES)
def test_a_result_can_be_pickled(changes, duplicate):
    result = hp.subtract(PAIR.science, PAIR.template, config=CONFIG.replace(**changes))
    again = duplicate(result)
    for name in ('difference', 'convolved', 'background'):
        one, other = getattr(result, name), getattr(again, name)
        assert_array_equal(other.data, one.data)
        assert_array_equal(other.mask, one.mask)
        assert_array_equal(other.uncertainty.array, one.uncertainty.array)
        assert type(other.uncertainty) is type(one.uncertainty)
        assert_array_equal(other.flags, one.flags)
        assert (other.unit, dict(other.meta)) == (one.unit, dict(one.meta))
        assert_allclose(*(i.wcs.pixel_to_world_values(12.5, 200) for i in (one, other)), rtol=1e-13)
    assert (again.direction, again.statistics, again.config) == (result.direction, result.statistics, result.config)
    assert again.substamps.colnames == result.substamps.colnames
    assert list(again.substamps['status']) == list(result.substamps['status'])
    template = PAIR.template.data
    assert_array_equal(again.kernel.apply(template), result.kernel.apply(template))


@pytest.mark.parametrize('changes', [{}, {'basis_images': PICTURES, 'ko': 0}], ids=['Gaussians', 'images'])
@pytest.mark.parametrize('duplicate', COPIES)
def test_a_kernel_can_be_pickled(changes, duplicate):
    kernel = hotpants(**changes).kernel
    again = duplicate(kernel)
    assert again == kernel
    assert_array_equal(again.image(50, 60), kernel.image(50, 60))
    assert_array_equal(again.apply(PAIR.template.data, background=True),
                       kernel.apply(PAIR.template.data, background=True))


@pytest.mark.parametrize('duplicate', COPIES)
def test_a_configuration_can_be_pickled_and_changed(duplicate):
    config = CONFIG.replace(basis_images=PICTURES, fillval=np.nan, region_list=[(0, 100, 0, 100)])
    again = duplicate(config)
    assert again == config
    assert hash(again) == hash(config)
    assert_array_equal(again.basis_images, PICTURES.astype('f4'))
    assert again.replace(ko=2) == config.replace(ko=2) != config


def test_a_substamp_can_be_pickled_alone(straight):
    star = straight.iterative_fit_and_clip()[1][0]
    again = pickle.loads(pickle.dumps(star))
    assert again == star
    assert again.status is star.status
    assert_array_equal(again.basis_vectors, star.basis_vectors)


@pytest.mark.parametrize('name', hp.exceptions.__all__)
def test_an_error_keeps_its_words(name):
    error = pickle.loads(pickle.dumps(getattr(hp, name)('3 of 5 are bad')))
    assert type(error) is getattr(hp, name)
    assert str(error) == '3 of 5 are bad'


def test_another_process_goes_on_where_this_one_stopped(straight, tmp_path):
    hot = hotpants()
    hot.fit_and_select_direction()
    (tmp_path / 'hot.pickle').write_bytes(pickle.dumps(hot))
    code = ('import pickle, numpy; hot = pickle.load(open("hot.pickle", "rb")); '
            'numpy.save("difference.npy", hot.run_pipeline()["diff_image"])')
    subprocess.run([sys.executable, '-c', code], cwd=tmp_path, check=True, timeout=60)
    assert_array_equal(np.load(tmp_path / 'difference.npy'), straight.run_pipeline()['diff_image'])
