"""The compiled search for substamps agrees with a slow one written from the spec (3.4, 3.5)."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hotpants_cy._core import search
from hotpants_cy.stamps.search import rank, search_cell, search_cells

BAD, SKIP = 0x100, 0x200


# -- the twin ---------------------------------------------------------------------------------

class Cell:
    """A cell as spec 3.4 sees it; ``data`` and ``mask`` are those of the cell alone."""

    def __init__(self, data, mask, half, sky, sigma, high, threshold, bad=BAD, skip=SKIP):
        self.data, self.mask, self.half = data.astype(float), mask, half
        with np.errstate(divide='ignore'):
            self.sky, self.sigma, self.inverse = sky, sigma, np.divide(1.0, sigma)
        self.high, self.threshold, self.bad, self.skip = high, threshold, bad, skip
        self.peaks = []

    def box(self, x, y, first=0):
        ny, nx = self.data.shape
        for j in range(max(y - self.half, first), min(y + self.half + 1, ny)):
            for i in range(max(x - self.half, first), min(x + self.half + 1, nx)):
                yield i, j

    def usable(self, x, y):
        """Not forbidden, and not saturated; a saturated pixel is marked."""
        if self.mask[y, x] & (0xbf | self.bad | self.skip):
            return False
        if self.data[y, x] >= self.high:
            self.mask[y, x] |= self.bad
            return False
        return True

    def significance(self, x, y):
        return (self.data[y, x] - self.sky) * self.inverse

    def recentred(self, x, y):
        best, highest = (x, y), self.data[y, x]
        for i, j in self.box(x, y):
            if self.usable(i, j) and not self.significance(i, j) < self.threshold and self.data[j, i] > highest:
                best, highest = (i, j), self.data[j, i]
        return best

    def score(self, x, y):
        total, sky, inverse = 0.0, float(np.float32(self.sky)), float(np.float32(self.inverse))
        for i, j in self.box(x, y):
            if not self.usable(i, j):
                return 0.0
            if (self.data[j, i] - sky) * inverse > self.threshold:
                total += self.data[j, i]
        return total

    def scan(self, level, target):
        for y, x in np.ndindex(self.data.shape):
            if not self.usable(x, y) or self.significance(x, y) < self.threshold or not self.data[y, x] > level:
                continue
            centre = self.recentred(x, y)
            score = self.score(*centre)
            if score == 0:
                continue
            self.peaks.append((*centre, score))
            for i, j in self.box(*centre, first=1):
                self.mask[j, i] |= self.skip
            if len(self.peaks) == target:
                return

    def find(self, target):
        floor, fraction = self.sky + self.threshold*self.sigma, np.float32(0.9)
        while len(self.peaks) < target:
            level = self.sky + (self.high - self.sky) * float(fraction)
            self.scan(level if level > floor else floor, target)
            if not level > floor:
                break
            fraction = np.float32(float(fraction) - 0.2)
        return self.peaks


# -- agreement ----------------------------------------------------------------------------------

def field(seed, shape=(61, 70), n_stars=25, rounded=False):
    """Stars on a sky of 100 +- 5; with ``rounded`` in whole steps of 20, so that there are ties."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:shape[0], :shape[1]]
    image = rng.normal(100, 5, shape)
    for _ in range(n_stars):
        (x0, y0), peak = rng.uniform(0, shape[::-1]), 10**rng.uniform(1.5, 4)
        image += peak * np.exp(-((x - x0)**2 + (y - y0)**2) / 5)
    return (20 * np.rint(image / 20) if rounded else image).astype('f4')


def marks(seed, shape=(61, 70)):
    rng = np.random.default_rng(1000 + seed)
    mask = np.where(rng.random(shape) < 0.2, 0x40, 0)
    mask |= np.where(rng.random(shape) < 0.003, rng.choice([0x81, 0x100, 0x200, 0x20, 0x400, 0x8], shape), 0)
    return mask.astype('i4')


def find(data, mask, corner, shape, half, target, **settings):
    values = dict(sky=100.0, sigma=5.0, high=5000.0, threshold=4.0, bad=BAD, skip=SKIP) | settings
    (xs, ys), scores, found = np.empty((2, 1, target), 'i4'), np.empty((1, target)), np.empty(1, 'i4')
    sky, sigma, *others = values.values()
    search.peaks_of_boxes(data, mask, np.array([(*corner, *shape[::-1])], np.intp), half, np.array([sky], float),
                          np.array([sigma], float), *others, xs, ys, scores, found,
                          np.empty((1, max(shape[0] * shape[1], 1)), 'i4'))
    return list(zip(*(a[0, :found[0]].tolist() for a in (xs, ys, scores)), strict=True))


def assert_agrees(data, mask, corner, shape, half, target, **settings):
    expected_mask = mask.copy()
    cut = np.s_[corner[1]:corner[1] + shape[0], corner[0]:corner[0] + shape[1]]
    values = dict(sky=100.0, sigma=5.0, high=5000.0, threshold=4.0) | settings
    expected = Cell(data[cut], expected_mask[cut], half, **values).find(target)
    assert find(data, mask, corner, shape, half, target, **settings) == expected
    assert_array_equal(mask, expected_mask)
    return expected


@pytest.mark.parametrize('seed', range(12))
@pytest.mark.parametrize('rounded', [False, True])
@pytest.mark.parametrize('target', [1, 6, 40])
def test_peaks_and_marks_are_those_of_the_twin(seed, rounded, target):
    corner, shape = [((0, 0), (61, 70)), ((9, 4), (57, 61)), ((13, 20), (28, 31)), ((69, 60), (1, 1))][seed % 4]
    assert_agrees(field(seed, rounded=rounded), marks(seed), corner, shape, 3 + seed % 3, target)


@pytest.mark.parametrize('settings', [
    dict(sigma=0.0), dict(high=90.0), dict(high=np.inf), dict(threshold=0.0), dict(sky=np.nan), dict(sigma=np.nan),
    dict(sky=0.1 + 100, sigma=1/3), dict(high=130.0), dict(bad=0x400, skip=0x800)], ids=str)
def test_unusual_settings_are_handled_as_by_the_twin(settings):
    assert_agrees(field(3), marks(3), (2, 1), (55, 60), 4, 6, **settings)


def test_what_is_not_a_number_is_no_peak():
    data = field(5)
    data[10:20, 30:44] = np.nan
    peaks = assert_agrees(data, marks(5), (0, 0), (61, 70), 4, 30)
    assert peaks
    assert not any(np.isnan(data[y, x]) for x, y, _ in peaks)


@pytest.mark.parametrize('shape', [(0, 5), (5, 0), (-2, 9)])
def test_a_cell_without_pixels_has_no_peaks(shape):
    assert find(field(1), marks(1), (0, 0), shape, 4, 6) == []


# -- what the spec says, one by one -----------------------------------------------------------------

def star_at(*positions, shape=(40, 40), peak=1000.0):
    data = np.full(shape, 100, 'f4')
    for x, y in positions:
        data[y, x] = peak
    return data, np.zeros(shape, 'i4')


def test_a_star_is_found_where_it_is():
    data, mask = star_at((20, 15))
    assert find(data, mask, (5, 3), (30, 30), 4, 6) == [(15, 12, 1000.0)]


def test_the_first_column_and_row_of_a_cell_are_never_marked():
    data, mask = star_at((2, 3))
    find(data, mask, (0, 0), (40, 40), 4, 6)
    assert {tuple(p) for p in np.argwhere(mask == SKIP)} == {(y, x) for y in range(1, 8) for x in range(1, 7)}


def test_a_box_is_not_tested_beyond_the_cell():
    data, mask = star_at((10, 10))
    mask[:, 9], data[9, :] = 0x81, 9000
    assert find(data, mask, (10, 10), (20, 20), 4, 6) == [(0, 0, 1000.0)]
    assert find(data, mask, (9, 10), (20, 20), 4, 6) == []


@pytest.mark.parametrize('bit', [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x80, BAD, SKIP])
def test_one_forbidden_pixel_spoils_a_box(bit):
    data, mask = star_at((20, 20))
    mask[16, 24] = bit
    assert find(data, mask, (0, 0), (40, 40), 4, 6) == []


@pytest.mark.parametrize('bit', [0x40, 0x400, 0x800, 0x8000])
def test_grown_pixels_and_marks_of_the_other_image_do_not(bit):
    data, mask = star_at((20, 20))
    mask[16, 24] = bit
    assert find(data, mask, (0, 0), (40, 40), 4, 6) == [(20, 20, 1000.0)]


def test_saturated_pixels_are_marked_and_spoil_a_box():
    data, mask = star_at((20, 20))
    data[23, 22] = 5000
    assert find(data, mask, (0, 0), (40, 40), 4, 6) == []
    assert np.argwhere(mask).tolist() == [[23, 22]]
    assert mask[23, 22] == BAD


def test_of_equal_pixels_the_first_is_the_centre():
    data, mask = star_at((20, 20), (21, 20), (19, 21))
    assert find(data, mask, (0, 0), (40, 40), 4, 6) == [(20, 20, 3000.0)]


def test_brighter_levels_come_first_and_the_order_of_pixels_within_one():
    data, mask = star_at((5, 5), (30, 5), peak=600)
    data[30, 20] = 4800
    assert [p[:2] for p in find(data, mask, (0, 0), (40, 40), 4, 6)] == [(20, 30), (5, 5), (30, 5)]


def test_levels_are_fractions_in_single_precision():
    data, mask = star_at((5, 5), peak=9_000_000)
    data[30, 20] = 9_437_184                      # 0.9 of the range to the digit; the single 0.9 is less
    found = find(data, mask, (0, 0), (40, 40), 4, 6, sky=0.0, sigma=1000.0, high=10_485_760.0)
    assert [p[:2] for p in found] == [(20, 30), (5, 5)]


def test_the_score_rounds_the_sky_to_single_precision():
    data, mask = star_at((20, 20), peak=101)
    step = 2.0**-17                               # of single precision here
    assert find(data, mask, (0, 0), (40, 40), 4, 6, sky=101 - step, sigma=step/4, threshold=3.0) == [(20, 20, 101.0)]
    mask[:] = 0
    # 3.6 sigma in the scan; but the sky rounds up to the star
    assert find(data, mask, (0, 0), (40, 40), 4, 6, sky=101 - 0.45*step, sigma=step/8, threshold=3.0) == []


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('centre', [(0, 0), (30, 2), (17, 17), (44, 39)])
def test_the_score_of_a_given_position_is_that_of_the_twin(seed, centre):
    data, mask = field(seed), marks(seed) & 0x40
    expected_mask, cut = mask.copy(), np.s_[7:48, 11:57]
    expected = Cell(data[cut], expected_mask[cut], 5, 100.1, 5.3, 3000.0, 3.0).score(*centre)
    assert search.score_at(data, mask, 11, 7, 46, 41, 5, 100.1, 5.3, 3000.0, 3.0, BAD, SKIP, *centre) == expected
    assert_array_equal(mask, expected_mask)


# -- ranking --------------------------------------------------------------------------------------

@pytest.mark.parametrize('n', [0, 1, 2, 3, 17, 100])
def test_ranks_sort(n):
    scores = np.random.default_rng(n).integers(0, 20, n).tolist()
    order = rank(scores)
    assert sorted(order) == list(range(n))
    assert [scores[i] for i in order] == sorted(scores)


@pytest.mark.parametrize('wanted', [1, 2, 3])
def test_the_best_of_twice_as_many_peaks_are_kept(wanted):
    data, mask = field(8), np.zeros((61, 70), 'i4')
    peaks = find(data, mask.copy(), (4, 6), (50, 60), 3, 2 * wanted)
    assert len(peaks) == 2 * wanted
    best = sorted(peaks, key=lambda peak: -peak[2])[:wanted]
    found = search_cell(data, mask, (4, 6), (50, 60), 100.0, 5.0, high=5000.0, threshold=4.0, half_width=3,
                        wanted=wanted, bits=(BAD, SKIP))
    assert found == [(x + 4, y + 6, score) for x, y, score in best]


@pytest.mark.parametrize('n_threads', [1, 3])
def test_cells_searched_side_by_side_have_the_peaks_and_marks_of_each_alone(n_threads):
    data, mask = field(9), marks(9)
    alone, corners = mask.copy(), [(x, y) for y in (0, 20, 40) for x in (0, 23, 46)]
    sky, sigma = np.linspace(99, 101, 9), np.linspace(4, 6, 9)
    criteria = {'high': 3000.0, 'threshold': 3.0, 'half_width': 3, 'wanted': 2, 'bits': (BAD, SKIP)}
    expected = [search_cell(data, alone, corner, (20, 23), *values, **criteria)
                for *values, corner in zip(sky, sigma, corners, strict=True)]
    boxes = np.array([(x, y, 23, 20) for x, y in corners], np.intp)
    found = search_cells(data, mask, boxes, sky, sigma, **criteria, work=np.empty((n_threads, 460), 'f4'))
    assert found == expected
    assert sum(map(len, found)) > 9
    assert_array_equal(mask, alone)


@pytest.mark.parametrize(('sky', 'sigma', 'high', 'threshold'), [
    (100.1, 5.3, 3000.0, 3.0), (0.1, 1e-9, 50.0, 4.0), (-7.3, 2.0, 1e9, 20.0), (1000.0, 0.0, 1e5, 3.0),
    (100.0, np.inf, 500.0, 3.0), (np.nan, 1.0, 500.0, 3.0), (100.0, 5.0, 90.0, 3.0)])
def test_a_pixel_at_the_limit_is_a_candidate_as_for_the_twin(sky, sigma, high, threshold):
    with np.errstate(all='ignore'):
        edge = np.float32(min(sky + threshold * sigma, high))
    values = [np.nextafter(edge, np.float32(-np.inf)), edge, np.nextafter(edge, np.float32(np.inf))]
    data = np.full((30, 30), min(sky, 80) if np.isfinite(sky) else 0, 'f4')
    data[[5, 15, 25], [5, 15, 25]] = values
    with np.errstate(all='ignore'):
        assert_agrees(data, np.zeros((30, 30), 'i4'), (0, 0), (30, 30), 2, 6, sky=sky, sigma=sigma, high=high,
                      threshold=threshold)
