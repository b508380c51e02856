"""Parameters are checked by name and range, one by one and together."""

import math
import pickle
import re
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from hotpants_cy import HotpantsConfig

FIELDS = {f.name: f for f in fields(HotpantsConfig)}
ANYTHING_BUT_A_NUMBER = ['2', b'2', [2], {}, 1j, True]
THRESHOLDS = [f'{side}{which}' for side in 'ti' for which in ('uthresh', 'uktresh', 'lthresh')]
SWITCHES = [name for name, f in FIELDS.items() if 'bool' in str(f.type)]
FILES = [name for name in FIELDS if name.endswith('_file')]


def whole(low, high, none=False):
    return [low - 1, high + 1, 2.5, 3.0, math.nan, *ANYTHING_BUT_A_NUMBER, *([] if none else [None])]


def real(*outside):
    return [math.nan, math.inf, -math.inf, None, *outside, *ANYTHING_BUT_A_NUMBER]


# what each parameter must refuse
IMPOSSIBLE = {
    **{name: [math.nan, math.inf, -math.inf, *ANYTHING_BUT_A_NUMBER] for name in THRESHOLDS},
    **dict.fromkeys(('tgain', 'igain'), real(0, -1.5)),
    **dict.fromkeys(('trdnoise', 'irdnoise', 'fitthresh', 'ks'), real(-1e-9)),
    **dict.fromkeys(('tpedestal', 'ipedestal', 'kfm', 'kf_spread_mask2'), real()),
    **dict.fromkeys(('rkernel', 'rss'), whole(1, 1000)),
    **dict.fromkeys(('nx', 'ny'), whole(1, 10**9)),
    'kcs': whole(1, 1000, none=True),
    **dict.fromkeys(('ko', 'bgo'), whole(0, 10)),
    'ngauss': whole(1, 100, none=True),
    'deg_fixe': ['642', 6, None, (), (6, 4, -1), (6, 4, 21), (6, 4, 2.0), (6, 4, '2'), (6, 4, True)],
    'sigma_gauss': ['0.7', 0.7, None, (), (0.7, 1.5, 0), (0.7, 1.5, -3), (0.7, 1.5, math.nan), (0.7, 1.5, '3')],
    **dict.fromkeys(('scale_fitthresh', 'min_frac_stamps'), real(-0.1, 1.1)),
    **dict.fromkeys(('nregx', 'nregy'), whole(1, 1000)),
    **dict.fromkeys(('nstampx', 'nstampy', 'nss'), whole(1, 10000)),
    'stat_sig': real(0, -3),
    'kf_spread_mask1': real(-1, 1001),
    **{name: ['', 'x', 'T', 'template', None, 1, b't'] for name in ('force_convolve', 'normalize', 'fom')},
    **{name: [None, *ANYTHING_BUT_A_NUMBER] for name in ('fillval', 'fillval_noise')},
    **{name: [0, 1, 'yes', math.nan, *([] if name == 'use_pca' else [None])] for name in SWITCHES},
    'basis_images': [0, 'x', np.ones((3, 3)), np.ones((2, 3, 4)), np.ones((2, 4, 4)), np.full((2, 3, 3), math.nan)],
    'robust': ['Tukey', '', 0, True, 'none', b'huber'],
    'verbose': [value for value in whole(0, 2) if not isinstance(value, (bool, np.bool_))],
    'good_range': [5, (), (0, 9, 0), (0, 9, 0, 9, 0), (9, 5, 0, 9), (0, 9, 9, 5), (-1, 9, 0, 9), (0, 9.5, 0, 9)],
    'region_list': [5, (), (0, 9, 0, 9), [(9, 5, 0, 9)], [(0, 9, 0)], [(0, 9, 0, 9.5)], 'r.txt', [None]],
    **{name: [1, b'out.fits', ['out.fits'], True] for name in FILES},
}


def message(**values):
    with pytest.raises(ValueError, match='impossible') as caught:
        HotpantsConfig(**values)
    return str(caught.value)


# -- one by one -------------------------------------------------------------------------------

def test_this_table_knows_every_parameter():
    assert set(IMPOSSIBLE) == set(FIELDS)


@pytest.mark.parametrize('name', FIELDS)
def test_impossible_values_are_refused_with_name_value_range_and_flag(name):
    for value in IMPOSSIBLE[name]:
        text = message(**{name: value})
        assert re.match(rf'{name}=({re.escape(repr(value))}|<\w+ of shape .*>) is impossible: it must be ', text)
        assert FIELDS[name].metadata['range'] in text
        assert FIELDS[name].metadata['flag'] in text
        assert '\n' not in text


@pytest.mark.parametrize('name', FIELDS)
def test_the_default_of_every_parameter_is_possible(name):
    default = FIELDS[name].default
    value = getattr(HotpantsConfig(**{name: default}), name)
    assert value == getattr(HotpantsConfig(), name) or math.isnan(default)


@pytest.mark.parametrize('name', FIELDS)
def test_replace_checks_like_a_new_one(name):
    with pytest.raises(ValueError, match=f'^{name}='):
        HotpantsConfig().replace(**{name: IMPOSSIBLE[name][0]})


@pytest.mark.parametrize(('name', 'close'), [('rkernal', 'rkernel'), ('nstamp', 'nstamp[xy]'),
                                             ('normalise', 'normalize'), ('tukthresh', 'tuthresh'),
                                             ('sigma_gaus', 'sigma_gauss')])
def test_an_unknown_name_is_a_type_error_that_suggests_another(name, close):
    with pytest.raises(TypeError, match=f'{name}.*did you mean {close}'):
        HotpantsConfig(**{name: 1})


def test_an_unknown_name_like_no_other_gets_no_suggestion():
    with pytest.raises(TypeError, match=r"no parameter 'zzz'$"):
        HotpantsConfig(zzz=1)


def test_there_are_no_positional_parameters():
    with pytest.raises(TypeError):
        HotpantsConfig(10)


def test_numpy_numbers_become_ordinary_ones():
    config = HotpantsConfig(rkernel=np.int16(9), fitthresh=np.float32(12.5), parity=np.True_,
                            deg_fixe=np.array([3, 1]), sigma_gauss=[np.float64(1), 2])
    values = config.rkernel, config.fitthresh, config.parity, *config.deg_fixe, *config.sigma_gauss
    assert values == (9, 12.5, True, 3, 1, 1.0, 2.0)
    assert [type(v) for v in values] == [int, float, bool, int, int, float, float]


def test_paths_become_text(tmp_path):
    assert HotpantsConfig(output_file=tmp_path / 'd.fits').output_file == str(tmp_path / 'd.fits')


# -- together ---------------------------------------------------------------------------------

@pytest.mark.parametrize(('values', 'words'), [
    ({'rss': 9}, ('rss=9', 'rkernel=10')),
    ({'rkernel': 16}, ('rss=15', 'rkernel=16')),
    ({'deg_fixe': (6, 4)}, ('deg_fixe=(6, 4)', 'sigma_gauss')),
    ({'sigma_gauss': (1.0,)}, ('deg_fixe=(6, 4, 2)', '(1.0,)')),
    ({'ngauss': 2}, ('ngauss=2', '3 entries')),
    ({'tuthresh': 10, 'tlthresh': 20}, ('tuthresh=10', 'tlthresh=20')),
    ({'iuthresh': -5, 'ilthresh': -2}, ('iuthresh=-5', 'ilthresh=-2')),
])
def test_values_that_contradict_each_other_are_refused(values, words):
    text = message(**values)
    assert all(word in text for word in words)


def test_a_substamp_may_be_as_wide_as_the_kernel():
    assert HotpantsConfig(rss=10).substamp_width == HotpantsConfig().kernel_width == 21


def test_limits_may_lie_below_zero():
    config = HotpantsConfig(iuthresh=-2, ilthresh=-500)
    assert (config.ilthresh, config.iuthresh) == (-500, -2)


def test_the_number_of_gaussians_follows_from_their_sigmas():
    assert HotpantsConfig().ngauss == 3
    assert HotpantsConfig(deg_fixe=(4, 2), sigma_gauss=(1, 2)).ngauss == 2


# -- copies -----------------------------------------------------------------------------------

def test_replace_gives_a_changed_copy():
    config = HotpantsConfig(ko=1)
    changed = config.replace(rkernel=8, normalize='i')
    assert (changed.rkernel, changed.normalize, changed.ko) == (8, 'i', 1)
    assert (config.rkernel, config.normalize) == (10, 't')


def test_replacing_the_gaussians_changes_their_number():
    assert HotpantsConfig().replace(deg_fixe=(4,), sigma_gauss=(1.5,)).ngauss == 1


def test_replace_refuses_unknown_names():
    with pytest.raises(TypeError, match='did you mean rkernel'):
        HotpantsConfig().replace(rkernl=8)


def test_a_dict_and_back_is_the_same():
    config = HotpantsConfig(rkernel=7, tuthresh=5e4, deg_fixe=(2,), sigma_gauss=(1.1,), fillval=-1, fillval_noise=0,
                            conv_var=True, output_file='d.fits')
    values = config.to_dict()
    assert set(values) == set(FIELDS)
    assert HotpantsConfig.from_dict(values) == HotpantsConfig(**values) == config


def test_part_of_a_dict_keeps_the_other_defaults():
    assert HotpantsConfig.from_dict({'ko': 1}).to_dict() | {'fillval': 0, 'fillval_noise': 0} \
        == HotpantsConfig(ko=1, fillval=0, fillval_noise=0).to_dict()


def test_the_dict_of_one_is_not_tied_to_it():
    config = HotpantsConfig()
    config.to_dict()['rkernel'] = 3
    assert config.rkernel == 10


def test_it_can_be_pickled():
    config = HotpantsConfig(rkernel=7, fillval=0, fillval_noise=0)
    assert pickle.loads(pickle.dumps(config)) == config


def test_it_cannot_be_changed_or_extended():
    config = HotpantsConfig()
    with pytest.raises(FrozenInstanceError):
        config.rkernel = 5
    with pytest.raises(FrozenInstanceError):
        config.rkernal = 5
    with pytest.raises(FrozenInstanceError):
        del config.rkernel


def test_equal_configurations_have_equal_hashes():
    assert HotpantsConfig() == HotpantsConfig()
    assert hash(HotpantsConfig(ko=1, fillval=0)) == hash(HotpantsConfig(ko=1, fillval=0))
