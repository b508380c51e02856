"""The five steps one by one, as pyhotpants has them."""

import warnings

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from numpy.testing import assert_array_equal

import hotpants_cy as hp
from hotpants_cy.cli.main import main
from hotpants_cy.datasets import make_pair

CONFIG = hp.HotpantsConfig(rkernel=6, rss=9, nstampx=4, nstampy=4, ko=1)
PAIR = make_pair((210, 230), seed=12, n_transients=3, star_flux=(8e3, 2e5))
SCIENCE, TEMPLATE = PAIR.science.data, PAIR.template.data
STATUS = hp.SubstampStatus


def hotpants(template=PAIR.template, science=PAIR.science, *args, config=CONFIG, **options):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', hp.HotpantsWarning)
        return hp.Hotpants(template, science, *args, config=config, **options)


def planes_of(hot):
    return hot.convolve_and_difference()


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert_array_equal(a, b)


# -- steps ------------------------------------------------------------------------------------

def test_the_steps_one_by_one_give_what_subtract_gives():
    hot = hotpants()
    hot.find_stamps()
    hot.fit_and_select_direction()
    hot.iterative_fit_and_clip()
    difference, convolved, noise, flags = hot.convolve_and_difference()
    result = hp.subtract(PAIR.science, PAIR.template, config=CONFIG)
    good = ~result.difference.mask
    assert_array_equal(difference, result.difference.data)
    assert_array_equal(flags, result.difference.flags)
    assert_array_equal(convolved[good], result.convolved.data[good])
    assert_array_equal(noise[good], result.difference.uncertainty.array[good])


def test_the_last_step_alone_runs_all_before_it():
    step_by_step = hotpants()
    for step in ('find_stamps', 'fit_and_select_direction', 'iterative_fit_and_clip'):
        getattr(step_by_step, step)()
    assert_same(planes_of(step_by_step), planes_of(hotpants()))


@pytest.mark.parametrize('step', ['find_stamps', 'fit_and_select_direction', 'iterative_fit_and_clip',
                                  'convolve_and_difference', 'get_final_outputs'])
def test_a_step_can_be_asked_for_again_at_any_time(step):
    hot = hotpants()
    first = getattr(hot, step)()
    everything = [plane.copy() for plane in planes_of(hot)]
    again = getattr(hot, step)()
    if step == 'find_stamps':
        assert [(s.x, s.y) for side in first for s in side] == [(s.x, s.y) for side in again for s in side]
    elif step == 'fit_and_select_direction':
        assert first == again
    elif step == 'iterative_fit_and_clip':
        assert_array_equal(first[0], again[0])
    assert_same(planes_of(hot), everything)


def test_find_stamps_finds_stars_of_both_images():
    template, science = hotpants().find_stamps()
    stars = np.column_stack([PAIR.stars['x'], PAIR.stars['y']])
    for found in (template, science):
        assert len(found) >= 5
        assert all(np.hypot(*(stars - [s.x, s.y]).T).min() < 2 for s in found)


@pytest.mark.parametrize(('direction', 'empty'), [('t', 1), ('i', 0)])
def test_a_forced_direction_searches_one_image_only(direction, empty):
    hot = hotpants(config=CONFIG.replace(force_convolve=direction))
    found = hot.find_stamps()
    assert found[empty] == []
    assert len(found[1 - empty]) > 0
    assert (hot.template_substamps, hot.image_substamps) == found
    assert hot.fit_and_select_direction() == direction


def test_the_sharper_image_is_convolved():
    assert hotpants().fit_and_select_direction() == 't'
    assert hotpants(PAIR.science, PAIR.template).fit_and_select_direction() == 'i'


def test_the_fit_gives_its_solution_and_the_stars_it_used():
    hot = hotpants()
    direction = hot.fit_and_select_direction()
    solution, used = hot.iterative_fit_and_clip()
    # 49 basis functions, of which the first is constant and the others linear, and a linear background
    assert solution.shape == (1 + 48 * 3 + 3,)
    assert solution[0] == pytest.approx(hot.region.fit.model.sum(115, 105))
    assert len(used) >= 3
    assert all(s.status == STATUS.USED_IN_FINAL_FIT for s in used)
    found = hot.template_substamps if direction == 't' else hot.image_substamps
    assert {id(s) for s in used} == {id(s) for s in found if s.status == STATUS.USED_IN_FINAL_FIT}


def test_final_outputs_have_the_names_of_pyhotpants():
    hot = hotpants()
    out = hot.get_final_outputs()
    assert_same([out[name] for name in ('diff_image', 'convolved_image', 'noise_image', 'output_mask')], planes_of(hot))
    assert out['conv_direction'] == 't'
    assert_array_equal(out['kernel_solution'], hot.iterative_fit_and_clip()[0])
    assert set(out['stats']) >= {'diff_mean', 'diff_std', 'noise_mean', 'x2norm', 'nx2norm'}
    assert set(out['fit_stats']) >= {'meansig', 'scatter', 'nskipped'}
    good = out['output_mask'] == 0
    assert out['stats']['nx2norm'] == np.count_nonzero(good)
    pull = (out['diff_image'] / out['noise_image'])[good].astype(float)
    assert out['stats']['x2norm'] == pytest.approx(np.mean(pull**2), rel=1e-4)
    assert out['fit_stats']['nskipped'] >= 0


def test_the_objects_images_are_not_modified():
    before = SCIENCE.tobytes(), TEMPLATE.tobytes()
    planes_of(hotpants(TEMPLATE, SCIENCE))
    assert (SCIENCE.tobytes(), TEMPLATE.tobytes()) == before


# -- masks and errors given apart -------------------------------------------------------------

def test_errors_given_apart_are_those_of_the_images():
    sigma = {'t_error': PAIR.template.uncertainty.array, 'i_error': PAIR.science.uncertainty.array}
    assert_same(planes_of(hotpants(TEMPLATE, SCIENCE, **sigma)), planes_of(hotpants()))


@pytest.mark.parametrize('dtype', [bool, np.uint8, np.int32, float])
def test_masks_given_apart_are_those_of_the_images(dtype):
    mask = np.zeros(SCIENCE.shape, bool)
    mask[60:70, 90:95] = True
    science = PAIR.science.copy()
    science.mask = mask
    apart = planes_of(hotpants(i_mask=mask.astype(dtype)))
    assert_same(apart, planes_of(hotpants(science=science)))
    assert (apart[3][mask] & 0x8000).all()


def test_masks_given_apart_add_to_those_of_the_images():
    masks = np.zeros((2, *TEMPLATE.shape), bool)
    masks[0, 60:63, 90:95] = masks[1, 120:123, 40:44] = True
    template = PAIR.template.copy()
    template.mask = masks[0]
    flags = planes_of(hotpants(template, t_mask=masks[1]))[3]
    assert (flags[masks.any(axis=0)] & 0x8000).all()


@pytest.mark.parametrize('name', ['t_mask', 'i_mask', 't_error', 'i_error'])
def test_masks_and_errors_of_another_shape_are_refused(name):
    with pytest.raises(hp.InputError, match=r'shape \(3, 4\)'):
        hotpants(**{name: np.ones((3, 4), bool if 'mask' in name else 'f4')})


# -- the command line -------------------------------------------------------------------------

C_DEFAULTS = {'tuthresh': 25000, 'tuktresh': 25000, 'tlthresh': 0, 'iuthresh': 25000, 'iuktresh': 25000, 'ilthresh': 0,
              'fillval': 1e-30, 'fillval_noise': 0, 'parity': True}
SMALL = ['-r', '6', '-rss', '9', '-nsx', '4', '-nsy', '4', '-ko', '1']


@pytest.fixture
def files(tmp_path):
    """Science image and template as files, and a function that runs the command line on them."""
    paths = {name: str(tmp_path / f'{name}.fits') for name in ('inim', 'tmplim', 'ini', 'tni', 'imi', 'outim', 'oni',
                                                                'oci', 'omi')}
    mask = np.zeros(SCIENCE.shape, np.int32)
    mask[60:70, 90:95] = 0x80
    for name, data in (('inim', SCIENCE), ('tmplim', TEMPLATE), ('imi', mask), ('ini', PAIR.science.uncertainty.array),
                       ('tni', PAIR.template.uncertainty.array)):
        CCDData(data, unit='adu').write(paths[name])
    return paths


def run(files, *names, options=()):
    flags = [token for name in (*names, 'inim', 'tmplim', 'outim', 'oni', 'omi') for token in (f'-{name}', files[name])]
    assert main([*flags, *SMALL, *options, '-v', '0']) == 0
    return [CCDData.read(files[name], unit='adu').data for name in ('outim', 'oni', 'omi')]


@pytest.mark.parametrize(('options', 'changes'), [
    ((), {}),
    (('-c', 'i', '-n', 'i'), {'force_convolve': 'i', 'normalize': 'i'}),
    (('-c', 't', '-n', 'u', '-kcs', '5', '-bgo', '2'), {'force_convolve': 't', 'normalize': 'u', 'kcs': 5, 'bgo': 2}),
    (('-ig', '2', '-tr', '5', '-iu', '3000', '-tp', '-7', '-ft', '12', '-convvar', '-fi', '-5', '-ssig', '2.5'),
     {'igain': 2, 'trdnoise': 5, 'iuthresh': 3000, 'tpedestal': -7, 'fitthresh': 12, 'conv_var': True, 'fillval': -5,
      'stat_sig': 2.5}),
    (('-ng', '2', '4', '1.1', '2', '2.2', '-ks', '1.5'), {'deg_fixe': (4, 2), 'ks': 1.5, 'sigma_gauss': tuple(
        float(np.float32(s)) for s in (1.1, 2.2))}),
])
def test_subtract_gives_the_numbers_of_the_command_line(files, options, changes):
    difference, noise, mask = run(files, options=options)
    result = hp.subtract(files['inim'], files['tmplim'], config=CONFIG.replace(**C_DEFAULTS | changes))
    good = ~result.difference.mask
    assert good.mean() > 0.5
    assert_array_equal(result.difference.data, difference)
    assert_array_equal(result.difference.flags, mask)
    assert_array_equal(result.difference.uncertainty.array[good], noise[good])


def test_noise_and_masks_mean_the_same_to_subtract_and_to_the_command_line(files):
    difference, noise, flags = run(files, 'ini', 'tni', 'imi')
    mask = np.zeros(SCIENCE.shape, bool)
    mask[60:70, 90:95] = True
    science = CCDData(SCIENCE, unit='adu', mask=mask, uncertainty=StdDevUncertainty(PAIR.science.uncertainty.array))
    result = hp.subtract(science, PAIR.template, config=CONFIG.replace(**C_DEFAULTS))
    assert_array_equal(result.difference.data, difference)
    assert_array_equal(result.difference.flags, flags)
    assert_array_equal(result.difference.uncertainty.array[~result.difference.mask], noise[~result.difference.mask])


# -- what is refused --------------------------------------------------------------------------

@pytest.mark.parametrize('config', [{'ko': 1}, 'default.toml', hp.HotpantsConfig])
def test_the_configuration_must_be_one(config):
    with pytest.raises(TypeError, match='config must be a HotpantsConfig'):
        hotpants(config=config)
