"""Clipped moments of whole planes are those of slow lists (spec 3.2, 8.5)."""

import numpy as np
import pytest

from hotpants_cy.products.statistics import NOTHING, output_statistics, plane_moments
from hotpants_cy.stamps.statistics import clipped_moments

LIMIT = 3.0


def planes(seed, shape=(70, 91), bad=0.02):
    rng = np.random.default_rng(seed)
    difference, noise = rng.normal(3, 10, shape).astype('f4'), rng.uniform(8, 12, shape).astype('f4')
    difference[rng.random(shape) < 0.01] *= 50
    difference[rng.random(shape) < 0.01] = 0
    flags = np.where(rng.random(shape) < bad, rng.choice([0x40, 0x20, 0x8010, 0x100], shape), 0).astype('i4')
    flags[:5] = 0x8000
    return difference, noise, flags


def lists(difference, noise, flags):
    """What C takes, list by list; flags what is not finite on the way."""
    for use, reject in ((0, 0xffff), (0xff, 0x8000)):
        for values in (difference, noise):
            chosen = ((flags & reject) == 0) & (((flags & use) != 0) if use else True) & ~(np.abs(values) <= 1e-10)
            lost = chosen & ~np.isfinite(values)
            yield values[chosen & ~lost]
            flags[lost] |= 0x88


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('n_threads', [1, 2, 5])
def test_moments_are_those_of_the_lists(seed, n_threads):
    difference, noise, flags = planes(seed)
    difference[20, 30:34], noise[40, 50:55] = np.nan, np.inf
    twin_flags = flags.copy()
    expected = [clipped_moments(values, LIMIT, 5) for values in lists(difference, noise, twin_flags)]
    moments, _ = plane_moments(difference, noise, flags, LIMIT, n_threads)
    np.testing.assert_allclose(moments, expected, rtol=1e-9)
    np.testing.assert_array_equal(flags, twin_flags)


def test_threads_change_no_bit():
    given = [planes(5, (700, 800)) for _ in range(3)]
    one, two, seven = (plane_moments(*p, LIMIT, n) for p, n in zip(given, (1, 2, 7), strict=True))
    assert one == two == seven


def test_chi2_counts_unflagged_pixels_with_a_difference():
    difference, noise, flags = planes(6)
    used = (flags == 0) & (difference != 0)
    _, (n, chi2) = plane_moments(difference, noise, flags, LIMIT, 2)
    assert n == used.sum()
    assert chi2 == pytest.approx(((difference / noise)[used].astype(float)**2).sum(), rel=1e-6)


def test_lists_of_no_pixel_have_no_scatter():
    difference, noise, flags = planes(7)
    flags[:] = 0x8000
    values = output_statistics(difference, noise, flags, LIMIT)
    assert (values['DMEAN'], values['DSIGE'], values['X2NRM'], values['NX2NRM']) == (0, NOTHING, NOTHING, 0)


def test_one_pixel_has_a_mean_and_no_scatter():
    difference, noise, flags = planes(8)
    flags[:] = 0x8000
    flags[30, 30], difference[30, 30] = 0, 4.5
    values = output_statistics(difference, noise, flags, LIMIT)
    assert (values['DMEAN'], values['DSIGE'], values['X2NRM'], values['NX2NRM']) == (4.5, NOTHING, NOTHING, 1)


@pytest.mark.parametrize('n_sigma', [0.5, 1.0, 6.0])
@pytest.mark.parametrize('kind', ['half flagged', 'two levels', 'sorted', 'heavy tails'])
def test_any_distribution_gives_the_moments_of_the_lists(n_sigma, kind):
    difference, noise, flags = planes(9, (300, 400))
    if kind == 'half flagged':                       # more of the rarer list than a chunk has room to keep
        flags[5:150] = 0x40
    elif kind == 'two levels':
        difference[100:] += 300
    elif kind == 'sorted':                           # no chunk looks like the sample
        difference, noise = (np.sort(plane, axis=None).reshape(plane.shape) for plane in (difference, noise))
    else:
        difference = difference**3
    expected = [clipped_moments(values, n_sigma, 5) for values in lists(difference, noise, flags.copy())]
    moments, _ = plane_moments(difference, noise, flags, n_sigma, 2)
    np.testing.assert_allclose(moments, expected, rtol=1e-6)
