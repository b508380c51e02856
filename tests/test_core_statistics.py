"""Compiled statistics agree to the bit with slow ones written from the spec (3.2, 3.3, 8.4.3, 8.5.3, Appendix A)."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hotpants_cy._core import statistics

BIG = 1e10
GOOD, OK = (0, 0xffff), (0xff, 0x8000)
SUM, MEAN, MEDIAN, MODE, SD, FWHM, LFWHM = range(7)


# -- the twins --------------------------------------------------------------------------------

def running_sum(values):
    """Sum from left to right in float64; NumPy's own sum works pairwise."""
    return np.cumsum(values.astype(float))[-1]


def draws():
    """Numbers of Appendix A, one after the other."""
    def entry():
        nonlocal x1, x2
        x1, x2 = (7141*x1 + 54773) % 259200, (8121*x2 + 28411) % 134456
        return (x1 + x2*(1/134456)) * (1/259200)
    x1 = (54773 + 666) % 259200
    x1 = (7141*x1 + 54773) % 259200
    x2 = x1 % 134456
    x1 = (7141*x1 + 54773) % 259200
    x3 = x1 % 243000
    table = [entry() for _ in range(97)]
    while True:
        fresh = entry()
        x3 = (4561*x3 + 51349) % 243000
        j = 97*x3 // 243000
        yield table[j]
        table[j] = fresh


def clipped(values, n_sigma, passes):
    """Mean, sigma and code of spec 3.2."""
    kept, before = np.array(values, 'f4'), None
    if not kept.size:
        return 0.0, BIG, 1
    for _ in range(passes):
        n = len(kept)
        if n == before:
            break
        if n == 0:
            return 0.0, BIG, 2
        mean = running_sum(kept) / n
        if n == 1:
            return mean, BIG, 3
        with np.errstate(all='ignore'):
            sigma = np.sqrt((running_sum(kept*kept) - n*mean*mean) / (n - 1))
            kept = kept[~(np.abs(kept.astype(float) - mean) * (1/sigma) > n_sigma)]
        before = n
    return mean, sigma, 0


def sample_of(values, eligible):
    """Up to 100 eligible values in random order, then sorted; unused entries are zero."""
    (ny, nx), numbers, sample = values.shape, draws(), []
    for _ in range(nx * ny):
        x, y = int(next(numbers) * nx), int(next(numbers) * ny)
        if eligible[y, x]:
            sample.append(values[y, x])
            if len(sample) == 100:
                break
    return np.pad(np.sort(np.array(sample, 'f4')), (0, 100 - len(sample))), len(sample)


def densest_tenth(bins):
    tenth, end, densities = bins.sum() / 10, 1, []
    for start in range(1, 255):
        while bins[start:end].sum() < tenth and end < 255:
            end += 1
        densities.append(bins[start:end].sum() / (end - start))
        if end == 255:
            break
    start = end = 1 + int(np.argmax(densities))                  # the first of equal ones
    while bins[start:end].sum() < tenth and end < 255:
        end += 1
    j = np.arange(start, end)
    with np.errstate(invalid='ignore'):
        return (j * bins[j]).sum() / bins[j].sum() + 0.5


def quantile(bins, target):
    counts = np.cumsum(bins)
    k = np.searchsorted(counts, target) + 1
    return k - (counts[k - 1] - target) / bins[k - 1]


def histogram(values, bin1, width, out):
    n = len(values)
    for _ in range(5):
        index = np.clip(np.floor((values.astype(float) - bin1) / width) + 1, 0, 255).astype(int)
        bins = np.bincount(index, minlength=256)
        out[MODE] = bin1 + width * (densest_tenth(bins) - 1)
        lower, upper = quantile(bins, n / 4), quantile(bins, 3*n / 4)
        if lower < 1 or upper > 255:
            bin1, width = bin1 - 128*width, width * 2
        elif upper - lower < 40:
            width = width / 3
            bin1 = out[MODE] - 128*width
        else:
            middle = quantile(bins, n / 2)
            out[FWHM] = width * (upper - lower) / 1.35
            out[LFWHM] = width * (middle - lower) * 2 / 1.35
            out[MEDIAN] = bin1 + width * (middle - 1)
            return 0
    return 1


def section(values, mask, selection, n_sigma, passes, out):
    """Code of spec 3.3; changes ``mask`` and ``out``."""
    use, reject = selection
    if values.size < 100:
        return 4
    eligible = ((mask & use) != 0) | (use == 0)
    eligible &= (mask & reject) == 0
    eligible &= ~(np.abs(values.astype(float)) <= 1e-10)
    sample, n = sample_of(values, eligible)
    middle = float(sample[n // 2])
    width = float(np.float32(sample[9*n // 10] - sample[n // 2])) / 100
    finite = eligible & np.isfinite(values)
    mask[eligible & ~finite] |= 0x88
    out[MEAN], out[SD], code = clipped(values[finite], n_sigma, passes)
    if code:
        return 5
    with np.errstate(all='ignore'):
        kept = values[finite & ~(np.abs(values.astype(float) - out[MEAN]) * (1/out[SD]) > n_sigma)]
    if not len(kept) or width == 0:
        out[MODE] = out[MEDIAN] = middle
        out[FWHM] = out[LFWHM] = 0
        return 2 if not len(kept) else 3
    code = histogram(kept, middle - 128*width, width, out)
    if code == 0:
        out[SUM] = running_sum(np.abs(kept))
    return code


# -- the generator ------------------------------------------------------------------------------

def test_draws_are_those_of_the_twin():
    out = np.empty(10_000)
    statistics.random_draws(out)
    assert_array_equal(out, [u for u, _ in zip(draws(), out, strict=False)])


def test_draws_begin_anew_every_time():
    out = np.empty((2, 50))
    for row in out:
        statistics.random_draws(row)
    assert_array_equal(*out)


# -- sigma clipping -----------------------------------------------------------------------------

def with_outliers(n, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.1, rng.normal(0, 500, n), rng.normal(100, 3, n)).astype('f4')


@pytest.mark.parametrize('n', [1, 2, 3, 10, 101, 4096])
@pytest.mark.parametrize('n_sigma', [0.5, 1.5, 3.0, float(np.float32(2.3))])
@pytest.mark.parametrize('passes', [1, 3, 10])
def test_clipping_is_that_of_the_twin(n, n_sigma, passes):
    for seed in range(3):
        values = with_outliers(n, seed)
        # a pass that leaves equal values may find NaN for their scatter, as C does
        assert_array_equal(statistics.sigma_clip(values.copy(), n_sigma, passes), clipped(values, n_sigma, passes))


@pytest.mark.parametrize(('values', 'n_sigma', 'expected'), [
    ([], 3, (0, BIG, 1)),
    ([7], 3, (7, BIG, 3)),
    ([0, 1], 0.5, (0, BIG, 2)),                   # both are dropped
    ([1, 1, 1, 4], 1.4, (1, 0, 0)),               # nothing scatters about the mean any more, all survive
    ([5, 5, 5], 3, (5, 0, 0))])
def test_clipping_of_few_values(values, n_sigma, expected):
    assert statistics.sigma_clip(np.array(values, 'f4'), n_sigma, 10) == expected


def test_squares_are_rounded_to_single_precision():
    values = np.array([4097.0, 4099.0], 'f4')     # their squares need more than 24 bits
    mean, sigma, _ = statistics.sigma_clip(values.copy(), 3, 1)
    assert (mean, sigma) == clipped(values, 3, 1)[:2]
    assert sigma != np.std([4097.0, 4099.0], ddof=1)


@pytest.mark.parametrize('tiny', [1e-9, 1e-3, -1e-3, 0.0])
@pytest.mark.parametrize('place', [0, 700, 3000])
def test_sums_are_those_of_one_value_after_the_other_where_small_values_stand_among_large_ones(tiny, place):
    values = np.random.default_rng(place).uniform(1e4, 6e4, 4000).astype('f4')
    values[place:place + 5] = tiny
    assert statistics.sigma_clip(values, 3, 10) == clipped(values, 3, 10)


@pytest.mark.parametrize('scale', [1e-30, 1e-22, 1e18, 1e30])
def test_squares_may_vanish_or_overflow(scale):
    values = (np.random.default_rng(2).uniform(1, 9, 2000) * scale).astype('f4')
    with np.errstate(over='ignore', under='ignore'):
        assert_array_equal(statistics.sigma_clip(values, 3, 10), clipped(values, 3, 10))


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_list_with_what_is_not_finite_is_clipped_as_by_the_twin(value):
    values = np.append(with_outliers(900, 3), np.float32(value))
    with np.errstate(invalid='ignore'):
        assert_array_equal(statistics.sigma_clip(values, 3, 10), clipped(values, 3, 10))


@pytest.mark.parametrize('seed', range(20))
def test_values_beside_the_limits_are_dropped_as_by_the_twin(seed):
    rng = np.random.default_rng(seed)
    few = rng.normal(0, 1, 8).astype('f4')
    mean, sigma = few.mean(dtype=float), few.std(ddof=1, dtype=float)
    edges = np.float32(mean + np.array([-1, 1]) * rng.uniform(0.5, 2) * sigma)
    values = np.concatenate([few, edges, np.nextafter(edges, np.float32(9)), np.nextafter(edges, np.float32(-9))])
    for n_sigma in np.abs(edges.astype(float) - mean) / sigma:
        assert_array_equal(statistics.sigma_clip(values, n_sigma, 10), clipped(values, n_sigma, 10))


# -- sections -----------------------------------------------------------------------------------

def sky(rng, shape):
    return rng.normal(200, 14, shape)


def stars(rng, shape):
    return rng.normal(200, 14, shape) + 5000 * (rng.random(shape) < 0.03)


def whole_numbers(rng, shape):
    return np.rint(rng.normal(0, 3, shape))       # ties, and zeros that do not count


def heavy_tails(rng, shape):
    return rng.standard_cauchy(shape)


def two_levels(rng, shape):
    return rng.choice([10.0, 1000.0], shape)


def almost_constant(rng, shape):
    return np.where(rng.random(shape) < 0.02, 101.0, 100.0)


def steep(rng, shape):
    return rng.lognormal(0, 4, shape)


def narrow_core(rng, shape):
    return np.where(rng.random(shape) < 0.6, rng.normal(0, 1e-4, shape), rng.normal(0, 1, shape))


SKIES = [sky, stars, whole_numbers, heavy_tails, two_levels, almost_constant, steep, narrow_core]


def flags(rng, shape):
    return rng.choice([0, 0, 0, 0, 0x40, 0x84, 0x200, 0x8010], shape).astype('i4')


def measure(data, mask, corner, shape, selection=GOOD, n_sigma=3.0, passes=3, cutout=False):
    out, work = np.arange(10., 17.), np.empty(max(2 * shape[0] * shape[1], 1), 'f4')
    code = statistics.section_statistics(data, mask, *corner, *shape[::-1], *selection, n_sigma, passes, work, out,
                                         cutout)
    return code, out


@pytest.mark.parametrize('make', SKIES, ids=lambda make: make.__name__)
@pytest.mark.parametrize('selection', [GOOD, OK], ids=['good', 'ok'])
@pytest.mark.parametrize(('corner', 'shape'), [((0, 0), (10, 10)), ((7, 3), (23, 31)), ((4, 11), (50, 46))])
@pytest.mark.parametrize(('n_sigma', 'passes'), [(3.0, 3), (1.5, 5)])
def test_section_statistics_are_those_of_the_twin(make, selection, corner, shape, n_sigma, passes):
    rng = np.random.default_rng(len(make.__name__))
    data, mask = make(rng, (61, 50)).astype('f4'), flags(rng, (61, 50))
    cut = np.s_[corner[1]:corner[1] + shape[0], corner[0]:corner[0] + shape[1]]
    expected, expected_mask = np.arange(10., 17.), mask.copy()
    expected_code = section(data[cut], expected_mask[cut], selection, n_sigma, passes, expected)
    code, out = measure(data, mask, corner, shape, selection, n_sigma, passes)
    assert code == expected_code
    assert_array_equal(out, expected)
    assert_array_equal(mask, expected_mask)


@pytest.mark.parametrize('n_threads', [1, 3])
def test_boxes_measured_side_by_side_have_the_statistics_of_each_alone(n_threads):
    rng = np.random.default_rng(5)
    data, mask = stars(rng, (60, 70)).astype('f4'), flags(rng, (60, 70))
    data[30, 40] = np.nan
    boxes = np.array([(x, y, 23, 20) for y in (0, 20, 40) for x in (0, 23, 46)] + [(69, 0, 1, 60)], np.intp)
    alone, out, codes = mask.copy(), np.zeros((10, 7)), np.empty(10, 'i4')
    expected = [measure(data, alone, box[:2], box[:1:-1]) for box in boxes]
    statistics.statistics_of_boxes(data, mask, boxes, *GOOD, 3.0, 3, np.empty((n_threads, 460), 'f4'), out, codes)
    assert codes.tolist() == [code for code, _ in expected]
    assert_array_equal(out[:-1], [values for _, values in expected[:-1]])      # the last has too few pixels
    assert_array_equal(mask, alone)


def test_every_outcome_occurs_in_these_tests():
    rng = np.random.default_rng(1)
    codes = {measure(make(rng, (40, 41)).astype('f4'), np.zeros((40, 41), 'i4'), (0, 0), (40, 41))[0]
             for make in SKIES}
    assert codes == {0, 1, 3}                     # 2, 4 and 5 have tests of their own


def test_a_section_below_100_pixels_sets_nothing():
    code, out = measure(np.ones((9, 11), 'f4'), np.zeros((9, 11), 'i4'), (0, 0), (9, 11))
    assert code == 4
    assert_array_equal(out, np.arange(10., 17.))


@pytest.mark.parametrize('shape', [(0, 200), (200, 0), (-3, 50)])
def test_a_section_without_pixels_sets_nothing(shape):
    code, out = measure(np.ones((9, 11), 'f4'), np.zeros((9, 11), 'i4'), (0, 0), shape)
    assert code == 4
    assert_array_equal(out, np.arange(10., 17.))


@pytest.mark.parametrize(('level', 'bit'), [(0.0, 0), (100.0, 0x40)])
def test_a_section_without_eligible_pixels_sets_mean_and_scatter_alone(level, bit):
    code, out = measure(np.full((20, 20), level, 'f4'), np.full((20, 20), bit, 'i4'), (0, 0), (20, 20))
    assert code == 5
    assert_array_equal(out, [10, 0, 12, 13, BIG, 15, 16])


def test_when_the_clipping_leaves_nothing_the_mode_is_the_middle_of_the_sample():
    rng = np.random.default_rng(3)
    data, expected = rng.choice([-1.0, 1.0], (20, 20)).astype('f4'), np.arange(10., 17.)
    mask = np.zeros((20, 20), 'i4')
    code, out = measure(data, mask, (0, 0), (20, 20), n_sigma=0.5, passes=1)
    assert code == section(data, mask, GOOD, 0.5, 1, expected) == 2
    assert_array_equal(out, expected)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_flagged_and_left_out_of_mean_and_scatter(value):
    rng = np.random.default_rng(4)
    data, mask = rng.normal(50, 5, (30, 30)).astype('f4'), np.zeros((30, 30), 'i4')
    hidden = np.full((30, 30), 0x200, 'i4')
    data[3:5, 7] = data[20, 20] = value
    mask[20, 20] = 0x100                          # not eligible, so not looked at
    _, out = measure(data, mask, (0, 0), (30, 30))
    assert np.argwhere(mask == 0x88).tolist() == [[3, 7], [4, 7]]
    assert mask[20, 20] == 0x100
    hidden[np.isfinite(data)] = 0
    _, clean = measure(data, hidden, (0, 0), (30, 30))
    assert_array_equal(out[[MEAN, SD]], clean[[MEAN, SD]])


def test_a_cutout_is_measured_under_the_mask_of_its_place():
    rng = np.random.default_rng(5)
    data, mask = sky(rng, (61, 50)).astype('f4'), flags(rng, (61, 50))
    inside = measure(data, mask, (9, 5), (17, 21))
    alone = measure(np.ascontiguousarray(data[5:22, 9:30]), mask, (9, 5), (17, 21), cutout=True)
    assert inside[0] == alone[0] == 0
    assert_array_equal(inside[1], alone[1])


# -- chi2 of a difference -----------------------------------------------------------------------

def planes(seed, shape=(37, 53)):
    rng = np.random.default_rng(seed)
    # over so many magnitudes that the order of a sum shows
    difference, noise = (10**rng.uniform(-4, 8, shape)).astype('f4'), rng.uniform(5, 50, shape).astype('f4')
    difference[rng.random(shape) < 0.05] = 0
    return difference, noise, flags(rng, shape)


def squares(difference, noise):
    q = (1 / noise.astype(float)).astype('f4')
    return difference * difference * q * q


def box_chi2(difference, noise, mask, corner, width):
    out = np.empty(2)
    statistics.chi2_of_boxes(difference, noise, mask, np.array([(0, 0), corner], np.intp), width, out, 2)
    return out[1]


@pytest.mark.parametrize(('corner', 'width'), [((0, 0), 5), ((30, 11), 19), ((52, 36), 1), ((22, 6), 31), ((0, 0), 37)])
def test_box_chi2_is_that_of_the_twin(corner, width):
    difference, noise, mask = planes(7)
    (x, y), cut = corner, np.s_[corner[1]:corner[1] + width, corner[0]:corner[0] + width]
    chosen = squares(difference, noise)[cut][(mask[cut] & 0x80) == 0]
    expected = running_sum(chosen) / len(chosen) if len(chosen) else -1
    assert box_chi2(difference, noise, mask, (x, y), width) == expected


def test_box_chi2_of_bad_pixels_alone_is_minus_one():
    difference, noise, mask = planes(8)
    mask[3:8, 4:9] = 0x8080
    assert box_chi2(difference, noise, mask, (4, 3), 5) == -1
