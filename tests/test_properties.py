"""What holds for every value, not only for those that we thought of (hypothesis)."""
import contextlib
import io
import os
import warnings
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

import hotpants_cy as hp
from hotpants_cy.cli.flags import FLAGS
from hotpants_cy.cli.options import config_of, parse
from hotpants_cy.datasets import make_pair
from hotpants_cy.inputs.bits import Bits
from hotpants_cy.inputs.frame import Frame, as_frame
from hotpants_cy.stamps.positions import pixel_positions

# the same examples each time, since a test that fails now and then helps nobody; others in a campaign
CAMPAIGN = int(os.environ.get('HOTPANTS_CY_CAMPAIGN', 0))


def examples(number):
    return settings(derandomize=not CAMPAIGN, deadline=None, max_examples=CAMPAIGN or number,
                    suppress_health_check=[HealthCheck.too_slow])


many, few = examples(150), examples(15)
NAMES = [spec.name for spec in fields(hp.HotpantsConfig)]
numbers = st.integers(-10**6, 10**6) | st.integers() | st.floats() | st.sampled_from([0, 1, 2, 0.5, 2.0, 1e300, -0.0])
words = st.text(max_size=5) | st.sampled_from(['t', 'i', 'b', 'u', 'v', 's', 'h', 'T', ''])
values = st.recursive(st.none() | st.booleans() | numbers | words | st.binary(max_size=3),
                      lambda inner: st.lists(inner, max_size=5) | st.tuples(inner, inner), max_leaves=8)


# -- configuration ----------------------------------------------------------------------------

@many
@given(st.sampled_from(NAMES), values)
def test_a_value_is_taken_or_refused_by_the_name_of_its_parameter(name, value):
    try:
        config = hp.HotpantsConfig(**{name: value})
    except (TypeError, ValueError) as error:
        text = str(error)
    else:
        text = name
        assert hp.HotpantsConfig.from_dict(config.to_dict()) == config
        assert hash(config.replace()) == hash(config)
    assert name in text
    assert '\n' not in text
    assert len(text) < 1000


@many
@given(st.dictionaries(st.sampled_from(NAMES), values, max_size=6))
def test_several_values_are_checked_together(chosen):
    try:
        config = hp.HotpantsConfig(**chosen)
    except (TypeError, ValueError) as error:
        config, words = hp.HotpantsConfig(), str(error)
    else:
        words = 'nothing is impossible here'
    assert 'impossible' in words
    assert config.rss >= config.rkernel
    assert len(config.deg_fixe) == len(config.sigma_gauss) == config.ngauss
    assert config.n_comp_total >= 1 + config.n_bg_vectors


@many
@given(st.text(min_size=1, max_size=12).filter(lambda name: name not in NAMES))
def test_an_unknown_parameter_is_named(name):
    with pytest.raises(TypeError) as caught:
        hp.HotpantsConfig(**{name: 1})
    assert repr(name) in str(caught.value)


# -- the command line -------------------------------------------------------------------------

flags = st.sampled_from([flag.name for group in FLAGS.values() for flag in group if flag.name not in (
    '--help', '--version')])
plain_words = words.filter(lambda word: '\0' not in word)
tokens = flags | numbers.map(str) | plain_words | st.sampled_from(['1e999', '-1', '3.7'])


@many
@given(st.lists(tokens, max_size=8))
def test_any_command_line_is_understood_or_refused_in_one_line(line):
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            args = parse(['-inim', 's', '-tmplim', 't', '-outim', 'd', *line])
    except SystemExit as error:
        assert error.code == 1                       # noqa: PT017
        assert len(err.getvalue().splitlines()) == 1
        assert err.getvalue().startswith('hotpants-cy: error: ')
    else:
        assert isinstance(config_of(args), hp.HotpantsConfig)
        assert err.getvalue() == ''
    assert out.getvalue() == ''


# -- images -----------------------------------------------------------------------------------

dtypes = (hnp.integer_dtypes(endianness='?') | hnp.unsigned_integer_dtypes(endianness='?')
          | hnp.floating_dtypes(endianness='?', sizes=(16, 32, 64)))
images = dtypes.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))


def in_another_layout(image, layout):
    """The same pixels, differently in memory."""
    if layout == 'F':
        return np.asfortranarray(image)
    if layout == 'strided':
        return np.repeat(np.repeat(image, 2, axis=0), 3, axis=1)[::2, ::3]
    return image[::-1, ::-1].copy()[::-1, ::-1] if layout == 'reversed' else image


@many
@given(images, st.sampled_from(['C', 'F', 'strided', 'reversed']))
def test_any_array_of_numbers_becomes_the_same_frame(image, layout):
    image = in_another_layout(image, layout)
    before = image.tobytes()
    with np.errstate(over='ignore'):
        single = image.astype('f4')
    try:
        frame = as_frame(image, name='science')
    except hp.InputError:
        usable = np.isfinite(single) & (np.abs(single) < 1e18)
        tiny = (image != 0) & (np.abs(single) < 1.2e-38)     # would lose its digits
        assert not usable.any() or tiny.any()
        return
    finally:
        assert image.tobytes() == before
    assert frame.data.dtype == np.dtype('f4')
    assert frame.data.flags.c_contiguous
    assert np.isfinite(frame.data).all()
    bad = np.zeros(image.shape, bool) if frame.flags is None else frame.flags != 0
    assert bad[~np.isfinite(single)].all()
    assert not bad[np.abs(single) < 1e17].any()
    assert_array_equal(frame.data[~bad], single[~bad])


@many
@given(images, st.data())
def test_masks_of_any_kind_mask_those_pixels(image, data):
    kind = st.sampled_from([np.dtype(bool), np.dtype('u1'), np.dtype('>i4')])
    mask = data.draw(kind.flatmap(lambda dtype: hnp.arrays(dtype, image.shape)))
    try:
        frame = Frame.from_planes(image, mask=mask)
    except hp.InputError:
        return
    masked = np.zeros(image.shape, bool) if frame.flags is None else (frame.flags & Bits.INPUT_MASK) != 0
    assert_array_equal(masked, mask != 0)


@many
@given(hnp.arrays(hnp.scalar_dtypes() | hnp.complex_number_dtypes() | hnp.unicode_string_dtypes(),
                  hnp.array_shapes(min_dims=0, max_dims=4, max_side=3)))
def test_what_is_no_image_is_refused_in_one_sentence(thing):
    if thing.ndim == 2 and thing.dtype.kind in 'iuf' and thing.dtype.itemsize <= 8:
        return
    with contextlib.suppress(hp.InputError):
        frame = as_frame(thing, name='science')
        assert frame.data.ndim == 2
        assert thing.dtype.kind in 'iuf'


# -- positions --------------------------------------------------------------------------------

NOWHERE = SimpleNamespace(wcs=None, meta={}, shape=(50, 60))
coordinates = st.floats() | st.integers(-5, 70)


@many
@given(st.lists(st.tuples(coordinates, coordinates), max_size=8))
def test_positions_are_kept_in_order_but_for_those_that_are_none(pairs):
    found = pixel_positions(pairs, NOWHERE)
    with np.errstate(over='ignore'):
        wanted = [pair for pair in np.array(pairs, float).reshape(-1, 2) if np.isfinite(pair).all()]
    assert found.shape == (len(wanted), 2)
    assert_array_equal(found, np.reshape(wanted, (-1, 2)))


@many
@given(values)
def test_what_are_no_positions_is_refused_in_one_sentence(thing):
    assume(not isinstance(thing, str))               # a name of a file
    try:
        found = pixel_positions(thing, NOWHERE)
    except hp.InputError as error:
        assert str(error).startswith('stars')        # noqa: PT017
    else:
        assert found.ndim == 2
        assert found.shape[1] == 2
        assert np.isfinite(found).all()


# -- whole subtractions -----------------------------------------------------------------------

PAIR = make_pair((96, 96), seed=4, n_transients=0)
SMALL = hp.HotpantsConfig(rkernel=4, rss=6, nstampx=3, nstampy=3, ko=0, bgo=0, fitthresh=8, force_convolve='t')


@few
@given(st.lists(st.tuples(st.floats(-1e9, 1e9) | st.floats(-5, 100), st.floats(-1e9, 1e9) | st.floats(-5, 100)),
                min_size=1, max_size=30))
def test_stars_anywhere_end_in_a_difference_or_a_sentence(stars):
    try:
        with warnings.catch_warnings(action='ignore', category=hp.HotpantsWarning):
            result = hp.subtract(PAIR.science, PAIR.template, stars=stars, config=SMALL, n_threads=1)
    except hp.HotpantsError as error:
        assert '\n' not in str(error)                # noqa: PT017
    else:
        assert result.difference.shape == PAIR.science.shape
        assert np.isfinite(result.difference.data[~result.difference.mask]).all()


@few
@given(st.sampled_from(['>f4', '<f4', '>f8', '<f8']), st.sampled_from(['C', 'F', 'strided', 'reversed']))
def test_the_layout_in_memory_changes_no_bit(dtype, layout):
    def difference(dtype, layout):
        science, template = (in_another_layout(image.data.astype('f4').astype(dtype), layout)
                             for image in (PAIR.science, PAIR.template))
        return hp.subtract(science, template, config=SMALL, n_threads=1).difference.data
    with warnings.catch_warnings(action='ignore', category=hp.HotpantsWarning):
        assert difference(dtype, layout).tobytes() == difference('<f4', 'C').tobytes()


@few
@given(hnp.arrays('f4', (96, 96), elements=st.sampled_from([np.nan, np.inf, -np.inf, 0, -1e30, 3e38, 100]),
                  fill=st.just(1.0)))
def test_pixels_of_any_value_do_not_spread(spoil):
    spoilt = spoil != 1
    science = np.where(spoilt, spoil, PAIR.science.data).astype('f4')
    try:
        with warnings.catch_warnings(action='ignore', category=hp.HotpantsWarning):
            result = hp.subtract(science, PAIR.template.data, config=SMALL, n_threads=1)
    except hp.HotpantsError as error:
        assert '\n' not in str(error)                # noqa: PT017
        return
    good = ~result.difference.mask
    assert np.isfinite(result.difference.data[good]).all()
    assert not good[~np.isfinite(science)].any()
