"""Loops over all pixels agree to the bit with NumPy (spec 2.7, 6.4, 8.2, 8.4), for any number of threads."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.ndimage import maximum_filter

from hotpants_cy._core import pixels

SHAPES = [(37, 52), (1, 9), (8, 1), (64, 64)]
pytestmark = pytest.mark.parametrize('n_threads', [1, 2, 5])


def plane(seed, shape, scale=1000):
    return np.random.default_rng(seed).normal(0, scale, shape).astype('f4')


@pytest.mark.parametrize('shape', SHAPES)
def test_model_variance_is_rounded_once(shape, n_threads):
    data, out = plane(1, shape), np.empty(shape, 'f4')
    inverse_gain, read_variance = float(np.float32(1 / 1.7)), float(np.float32(13.37))
    pixels.model_variance(data, inverse_gain, read_variance, out, n_threads)
    assert_array_equal(out, (np.abs(data.astype(float)) * inverse_gain + read_variance).astype('f4'))


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('fill', [1e-30, 50.0, np.nan])
@pytest.mark.parametrize(('low', 'high'), [(0.0, 100.0), (-np.inf, np.inf), (60.0, 40.0)])
def test_thresholds_include_their_limits(shape, fill, low, high, n_threads):
    rng = np.random.default_rng(2)
    data = rng.choice([-1, 0, 1e-30, 1, 50, 99.99999, 100, 1e9, np.nan, np.inf, -np.inf], shape).astype('f4')
    flags = rng.choice([0, 0x20, 0x40], shape).astype('i4')
    fill, low, high = (np.float32(v) for v in (fill, low, high))
    expected = flags | 0x81 * (data == fill) | 0x82 * (data >= high) | 0x84 * (data <= low)
    pixels.flag_thresholds(data, fill, low, high, flags, n_threads)
    assert_array_equal(flags, expected)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('order', [0, 1, 3])
@pytest.mark.parametrize(('frame', 'origin'), [(0, (0, 0)), (3, (0, 0)), (1, (-20, 500))])
def test_polynomial_is_added_inside_the_frame(shape, order, frame, origin, n_threads):
    rng = np.random.default_rng(3)
    exponents = [(p, q) for p in range(order + 1) for q in range(order + 1 - p)]
    coefficients, out = rng.normal(0, 50, len(exponents)), plane(4, shape)
    half_nx, half_ny = 26.5, 18.0
    y, x = np.mgrid[:shape[0], :shape[1]].astype(float)
    x, y = (x + origin[0] - half_nx) / half_nx, (y + origin[1] - half_ny) / half_ny

    def power(base, n):
        return np.ones_like(base) if n == 0 else power(base, n - 1) * base

    total = np.zeros(shape)
    for c, (p, q) in zip(coefficients, exponents, strict=True):
        total = total + c * power(x, p) * power(y, q)
    inside, expected = np.s_[frame:shape[0] - frame, frame:shape[1] - frame], out.copy()
    expected[inside] = (out.astype(float) + total)[inside]
    pixels.add_polynomial(coefficients, order, x[0].copy(), y[:, 0].copy(), frame, out, n_threads)
    assert_array_equal(out, expected)


FILL, LOW, HIGH = np.float32(50), np.float32(-1900), np.float32(2100)
NO_PLANE, NO_FLAGS = np.empty((0, 0), 'f4'), np.empty((0, 0), 'i4')


def twin_difference(target, target_variance, known, convolved, variance, flags, scale, negate, frame, fill):
    """Difference, noise and flags by NumPy (spec 8.2 to 8.4)."""
    inside = np.zeros(target.shape, bool)
    inside[frame:target.shape[0] - frame, frame:target.shape[1] - frame] = True
    noise = np.sqrt((target_variance + variance).astype(float)).astype('f4')
    noise[inside] = (noise[inside].astype(float) * scale).astype('f4')
    difference = ((convolved - target).astype(float) * scale).astype('f4') * (-1 if negate else 1)
    difference[~inside] = fill
    m = flags | known | 0x8000 * ((known & 0x80) != 0) | 0x8000 * ~inside
    m |= 0x8081 * (target == FILL) | 0x8082 * (target >= HIGH) | 0x8084 * (target <= LOW)
    return difference.astype('f4'), noise, m


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize(('scale', 'negate'), [(1.0, True), (1.0, False), (1/0.7996734455133588, True), (1.3, False)])
@pytest.mark.parametrize('frame', [0, 4])
@pytest.mark.parametrize('model', [False, True])
def test_difference_noise_and_flags_are_those_of_the_twin(shape, scale, negate, frame, model, n_threads):
    rng = np.random.default_rng(9)
    target, convolved, variance = plane(5, shape), plane(6, shape), np.abs(plane(7, shape))
    target[rng.random(shape) < 0.1] = FILL
    known, flags = rng.choice([0, 0, 0x20, 0x80, 0xa0], shape).astype('i4'), rng.choice([0, 0x40], shape).astype('i4')
    given = NO_PLANE if model else np.abs(plane(8, shape))
    target_variance = (np.abs(target.astype(float)) * 0.625 + 13.5).astype('f4') if model else given
    expected = twin_difference(target, target_variance, known, convolved, variance, flags, scale, negate, frame, -7)
    pixels.difference(target, given, known, 0.625, 13.5, FILL, LOW, HIGH, scale, negate, frame, -7, convolved, variance,
                      flags, n_threads)
    for got, wanted in zip((convolved, variance, flags), expected, strict=True):
        assert_array_equal(got, wanted)


def test_noise_of_a_negative_variance_is_not_a_number(n_threads):
    out, noise = np.zeros((3, 3), 'f4'), np.full((3, 3), -1, 'f4')
    pixels.difference(out.copy(), NO_PLANE, NO_FLAGS, 0.0, 0.0, np.nan, -np.inf, np.inf, 1.0, False, 1, 0.0, out, noise,
                      np.zeros((3, 3), 'i4'), n_threads)
    assert np.isnan(noise).all()


@pytest.mark.parametrize('frame', [0, 3])
def test_flagged_pixels_inside_the_frame_are_filled(frame, n_threads):
    flags = np.random.default_rng(1).choice([0, 0x40, 0x8000, 0x8010], (20, 30)).astype('i4')
    out = plane(2, flags.shape)
    expected, inside = out.copy(), np.s_[frame:20 - frame, frame:30 - frame]
    expected[inside][(flags[inside] & 0x8000) != 0] = -3
    pixels.fill_flagged(flags, 0x8000, frame, -3, out, n_threads)
    assert_array_equal(out, expected)


@pytest.mark.parametrize('shape', [(5, 9), (6, 4)])
@pytest.mark.parametrize('frame', [0, 1, 2, 3, 7])
def test_a_frame_is_filled_and_nothing_else(shape, frame, n_threads):
    out, (y, x) = plane(3, shape), np.indices(shape)
    inside = np.minimum.reduce([x, y, shape[1] - 1 - x, shape[0] - 1 - y]) >= frame
    expected = np.where(inside, out, np.float32(-3))
    pixels.fill_frame(out, frame, -3, n_threads)
    assert_array_equal(out, expected)


def test_what_is_flagged_is_hidden(n_threads):
    rng = np.random.default_rng(6)
    flags, values = rng.choice([0, 0x40, 0x8000, 0x8040, 0x81], (13, 17)).astype('i4'), plane(6, (13, 17))
    hidden, out = np.empty((13, 17), bool), values.copy()
    pixels.hide(flags, 0x8001, np.nan, hidden.view('u1'), out, n_threads)
    assert_array_equal(hidden, (flags & 0x8001) != 0)
    assert_array_equal(out, np.where(hidden, np.nan, values))
    pixels.hide(flags, 0x40, 0, hidden.view('u1'), NO_PLANE, n_threads)
    assert_array_equal(hidden, (flags & 0x40) != 0)


def test_any_flag_is_seen(n_threads):
    flags = np.zeros((9, 11), 'i4')
    flags[7, 2] = 0x82
    assert pixels.any_flag(flags, 0x80, n_threads)
    assert not pixels.any_flag(flags, 0x41, n_threads)


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('growth', [1, 3, 70])
@pytest.mark.parametrize('share', [0, 0.01, 0.5, 1])
def test_bad_pixels_flag_those_in_a_square_around_them(shape, growth, share, n_threads):
    rng = np.random.default_rng(7)
    flags = rng.choice([0, 0x20, 0x400], shape).astype('i4') | np.where(rng.random(shape) < share, 0x82, 0).astype('i4')
    bad = (flags & 0x80) != 0
    near = maximum_filter(bad, size=2*growth + 1, mode='constant')
    expected = flags | np.where(near & ~bad, 0x40, 0)
    out, some = flags.copy(), [np.full(n, 77, 'u1') for n in (shape, shape[0], (n_threads, 2 * (shape[1] + growth)))]
    pixels.spread_bad(out, growth, *some, n_threads)
    assert_array_equal(out, expected)
