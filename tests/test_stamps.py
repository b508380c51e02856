"""Regions, the grid of stamps, and how its slots are filled (spec 2.3 to 2.6, 3.1, 3.7, 3.8)."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from hotpants_cy.config import HotpantsConfig
from hotpants_cy.stamps.grid import Side, cells_of, find_stamps
from hotpants_cy.stamps.regions import Region, StampGrid, regions_of, stamp_grid
from hotpants_cy.stamps.statistics import SectionStatistics

T_BAD, T_SKIP, I_BAD, I_SKIP = 0x100, 0x200, 0x400, 0x800


def config(**values):
    return HotpantsConfig(**dict(rkernel=2, rss=3, nstampx=3, nstampy=2, nss=2, fitthresh=10.0) | values)


# -- layout -----------------------------------------------------------------------------------

@pytest.mark.parametrize(('shape', 'values', 'expected'), [
    ((2048, 2048), dict(rkernel=10, rss=15, nstampx=10, nstampy=10), (10, 10, 183)),
    ((240, 260), dict(rkernel=6, rss=9, nstampx=4, nstampy=4), (4, 4, 47)),                  # Appendix C
    ((240, 260), dict(rkernel=5, rss=7, nstampx=3, nstampy=3, nregx=2), (3, 3, 31)),         # 43 - 11 is even
    ((512, 512), dict(rkernel=10, rss=15, nstampx=10, nstampy=10), (10, 10, 51)),            # 29 is below 31
    ((100, 60), dict(rkernel=10, rss=15), (1, 1, 51)),
    ((40, 60), dict(rkernel=10, rss=15), (1, 0, 51))])
def test_stamps_are_narrower_than_their_share_by_a_kernel(shape, values, expected):
    assert stamp_grid(shape, HotpantsConfig(**values)) == StampGrid(*expected)


@pytest.mark.parametrize('seed', range(20))
def test_the_grid_is_that_of_the_spec(seed):
    rng = np.random.default_rng(seed)
    ny, nx = rng.integers(60, 1500, 2).tolist()
    limits = dict(rkernel=(1, 9), rss=(9, 14), nregx=(1, 4), nregy=(1, 4), nstampx=(1, 12), nstampy=(1, 12))
    c = HotpantsConfig(**{name: int(rng.integers(*limit)) for name, limit in limits.items()})
    r, s = c.rkernel, c.rss
    w = min(nx // c.nregx // c.nstampx, ny // c.nregy // c.nstampy) - (2*r + 1)
    w -= w % 2 == 0
    n_x, n_y = c.nstampx, c.nstampy
    if w < 2*s + 1:
        w = 2*s + 1 + 2*r + 1 - 1
        n_x, n_y = nx // c.nregx // w, ny // c.nregy // w
    assert stamp_grid((ny, nx), c) == StampGrid(n_x, n_y, w)


def test_cells_start_at_equal_steps_and_end_with_the_region():
    region = Region(0, 0, 259, 0, 239, (10, 259, 0, 239))
    cells = list(cells_of(region, StampGrid(4, 3, 70)))
    assert [corner for corner, _ in cells] == [(x, y) for y in (0, 80, 160) for x in (0, 62, 125, 187)]
    assert [shape for _, shape in cells[:4]] == [(70, 70), (70, 70), (70, 70), (70, 63)]


def test_one_region_is_the_image():
    region, = regions_of((240, 260), config())
    assert region == Region(0, 0, 259, 0, 239, (0, 259, 0, 239))
    assert (region.origin, region.shape, region.section) == ((0, 0), (240, 260), '[1:260,1:240]')


@pytest.mark.parametrize('seed', range(20))
def test_several_regions_are_those_of_the_spec(seed):
    rng = np.random.default_rng(seed)
    ny, nx = rng.integers(100, 900, 2).tolist()
    c = config(nregx=int(rng.integers(2, 5)), nregy=int(rng.integers(1, 5)))
    h, expected = stamp_grid((ny, nx), c).width // 2, []
    for j in range(c.nregy):
        for i in range(c.nregx):
            x0, x1 = i*(nx - 1) // c.nregx, min((i + 1)*(nx - 1) // c.nregx, nx - 1)
            y0, y1 = j*(ny - 1) // c.nregy, min((j + 1)*(ny - 1) // c.nregy, ny - 1)
            buffer = max(0, x0 - h), min(nx - 1, x1 + h), max(0, y0 - h), min(ny - 1, y1 + h)
            expected.append(Region(len(expected), x0, x1, y0, y1, buffer))
    assert regions_of((ny, nx), c) == expected


@pytest.mark.parametrize('n', [1, 2, 3])
def test_regions_cover_the_image(n):
    times = np.zeros((101, 97), int)
    for region in regions_of(times.shape, config(nregx=n, nregy=n)):
        times[region.output] += 1
    assert times.min() == 1
    assert (times > 1).sum() <= (n - 1) * (101 + 97)           # one shared row and column at each border


def test_the_inside_of_a_region_is_what_is_written():
    image = np.arange(101 * 97).reshape(101, 97)
    for region in regions_of(image.shape, config(nregx=3, nregy=2)):
        assert image[region.buffered].shape == region.shape
        assert image[region.buffered][0, 0] == image[region.origin[::-1]]
        assert_array_equal(image[region.buffered][region.inner], image[region.output])


# -- filling -----------------------------------------------------------------------------------

SHAPE = (80, 120)                                              # 3 x 2 cells of 35 pixels, at 0/40/80 and 0/40
CELLS = [(0, 0), (40, 0), (80, 0), (0, 40), (40, 40), (80, 40)]


def image(*stars, seed=0, sky=100.0):
    """A sky with scatter 2, and on it stars (x, y, peak) of one pixel."""
    data = np.random.default_rng(seed).normal(sky, 2, SHAPE).astype('f4')
    for x, y, peak in stars:
        data[y, x] = sky + peak
    return data


def in_cell(k, peak=300.0, dx=15, dy=17):
    return CELLS[k][0] + dx, CELLS[k][1] + dy, peak


def search(template=None, science=None, mask=None, stars=None, high=5000.0, **values):
    c = config(**values)
    mask = np.zeros(SHAPE, 'i4') if mask is None else mask
    region, = regions_of(SHAPE, c)
    sides = [Side.of(name, data, high, 6) for name, data in (('template', template), ('science', science))
             if data is not None]
    find_stamps(sides, mask, region, stamp_grid(SHAPE, c), c, stars)
    return *sides, mask


def positions(side):
    return [[(s.x, s.y) for s in stamp.substamps] for stamp in side.stamps]


def test_the_layout_of_these_tests():
    region, = regions_of(SHAPE, config())
    assert list(cells_of(region, stamp_grid(SHAPE, config()))) == [(corner, (35, 35)) for corner in CELLS]


def test_a_slot_is_used_until_it_holds_a_star():
    side, _ = search(image(in_cell(1), in_cell(4), in_cell(5)), min_frac_stamps=0)
    assert positions(side) == [[in_cell(k)[:2]] for k in (1, 4, 5)]
    assert side.n_filled == 3
    assert len(side.slots) == 6
    assert [(s.id, s.stamp_group_id) for stamp in side.stamps for s in stamp.substamps] == [(0, 0), (1, 1), (2, 2)]


def test_positions_are_those_of_the_image():
    c = config(nregx=2)
    wide = np.hstack([image(in_cell(1)), image(in_cell(4, dx=20))])
    region = regions_of(wide.shape, c)[1]
    assert region.origin[0] > 0
    side = Side.of('template', np.ascontiguousarray(wide[region.buffered]), 5000.0, 6)
    find_stamps([side], np.zeros(region.shape, 'i4'), region, stamp_grid(wide.shape, c), c)
    assert [p for stamp in positions(side) for p in stamp] == [(SHAPE[1] + 60, 57)]


def test_the_brightest_stars_come_first_and_no_more_than_asked_for():
    side, _ = search(image(in_cell(2, 300), in_cell(2, 900, 5, 5), in_cell(2, 600, 28, 8)), min_frac_stamps=0)
    assert positions(side) == [[in_cell(2, dx=5, dy=5)[:2], in_cell(2, dx=28, dy=8)[:2]]]


def test_both_images_have_slots_of_their_own():
    template, science, mask = search(image(in_cell(0), in_cell(3)), image(in_cell(3), seed=1), min_frac_stamps=0)
    assert positions(template) == [[in_cell(0)[:2]], [in_cell(3)[:2]]]
    assert positions(science) == [[in_cell(3)[:2]]]
    x, y, _ = in_cell(3)
    assert mask[y, x] == T_SKIP | I_SKIP
    x, y, _ = in_cell(0)
    assert mask[y, x] == T_SKIP


def test_both_images_are_measured_before_either_is_searched():
    template, science, _ = search(image(in_cell(0)), image(in_cell(0), seed=1), min_frac_stamps=0)
    for side in (template, science):
        clean = SectionStatistics()
        clean.measure(side.data, np.zeros(SHAPE, 'i4'), CELLS[0], (35, 35), 3.0, 3)
        assert_array_equal(side.slots[0].statistics.values, clean.values)


def test_the_sky_of_the_cell_before_stands_where_it_cannot_be_measured():
    mask = np.zeros(SHAPE, 'i4')
    mask[:35, 40:75] = 0x40                                    # grown pixels: fine for a star, not for the sky
    data = image(in_cell(1))
    side, _ = search(data, mask=mask, min_frac_stamps=0)
    before = SectionStatistics()
    before.measure(data, np.zeros(SHAPE, 'i4'), CELLS[0], (35, 35), 3.0, 3)
    assert positions(side) == [[in_cell(1)[:2]]]
    sky = side.slots[0].statistics
    assert (sky.mode, sky.fwhm) == (before.mode, before.fwhm)
    assert (sky.code, sky.mean, sky.sd) == (5, 0, 1e10)


# -- the second attempt ------------------------------------------------------------------------------

FAINT = 30.0                                                   # below 20 sigma of 2, above 10
BOTH_KINDS = in_cell(0), in_cell(1), in_cell(3, FAINT), in_cell(4, FAINT)


def test_too_few_stamps_are_searched_again_with_a_lower_threshold():
    side, _ = search(image(*BOTH_KINDS), fitthresh=20.0, min_frac_stamps=0.5)
    assert positions(side) == [[star[:2]] for star in BOTH_KINDS]


@pytest.mark.parametrize('fraction', [0.0, 0.3, float(np.float32(2) / np.float32(6))])
def test_enough_stamps_are_not_searched_again(fraction):
    side, _ = search(image(*BOTH_KINDS), fitthresh=20.0, min_frac_stamps=fraction)
    assert positions(side) == [[star[:2]] for star in BOTH_KINDS[:2]]


def test_the_fraction_is_compared_in_single_precision():
    above = float(np.nextafter(np.float32(2) / np.float32(6), np.float32(1)))
    side, _ = search(image(*BOTH_KINDS), fitthresh=20.0, min_frac_stamps=above)
    assert side.n_filled == 4


def test_either_image_may_call_for_a_second_search():
    template, science, _ = search(image(*BOTH_KINDS), image(*(in_cell(k) for k in range(6)), seed=1), fitthresh=20.0,
                                  min_frac_stamps=0.5)
    assert (template.n_filled, science.n_filled) == (4, 6)


def test_the_second_search_forgets_used_pixels_and_keeps_unusable_ones():
    data = image(*BOTH_KINDS, in_cell(2, 9000))
    data[50, 100] = np.nan
    side, mask = search(data, fitthresh=20.0, min_frac_stamps=0.9)
    assert side.n_filled == 4
    x, y, _ = in_cell(2)
    assert mask[y, x] == T_BAD
    assert mask[50, 100] == 0x88
    boxes = np.zeros(SHAPE, bool)
    for x, y, _ in BOTH_KINDS:
        boxes[y - 3:y + 4, x - 3:x + 4] = True
    assert_array_equal((mask & T_SKIP) != 0, boxes)


def test_a_factor_of_one_finds_what_the_first_search_has_left():
    many = [in_cell(0, 900 - 50*k, 4 + 9*(k % 4), 4 + 9*(k // 4)) for k in range(8)]
    once, _ = search(image(*many), nss=1, min_frac_stamps=0)
    twice, _ = search(image(*many), nss=1, min_frac_stamps=0.9, scale_fitthresh=1.0)
    assert once.n_filled == twice.n_filled == 1
    # two peaks are taken for one substamp and both stay marked, so that the next best is found
    assert positions(once) == [[many[0][:2]]]
    assert positions(twice) == [[many[2][:2]]]


def test_slots_of_the_first_search_are_wiped_by_a_second_one_that_finds_nothing():
    side, mask = search(image(in_cell(0)), min_frac_stamps=0.9, scale_fitthresh=1.0)
    assert side.n_filled == 0
    assert not any(stamp.substamps for stamp in side.slots)
    assert (mask & T_SKIP).any()


def test_statistics_of_the_first_search_do_not_reach_the_second():
    mask = np.zeros(SHAPE, 'i4')
    mask[:35, :35] = 0x40
    data = image(in_cell(0, 300), in_cell(5, 900))
    side, _ = search(data, mask=mask, fitthresh=20.0, min_frac_stamps=0.9)
    # the first cell cannot be measured: a fresh slot has sky 0 and sigma 0, and then every pixel is a star
    assert side.slots[0].statistics.mode == side.slots[0].statistics.fwhm == 0
    assert len(side.slots[0].substamps) == 2


def test_a_grid_without_cells_has_no_stamps():
    c = config()
    region = Region(0, 0, 119, 0, 79, (0, 119, 0, 79))
    side = Side.of('template', image(), 5000.0, 0)
    find_stamps([side], np.zeros(SHAPE, 'i4'), region, StampGrid(0, 2, 35), c)
    assert side.stamps == []


# -- stars from a list --------------------------------------------------------------------------------

def listed(*stars):
    return np.array([star[:2] for star in stars], 'f4')


def test_stars_of_a_list_are_taken_in_its_order_where_they_are():
    stars = in_cell(0, 300, 10, 10), in_cell(0, 900, 25, 25)
    side, mask = search(image(*stars), stars=listed(*stars) + np.float32(0.7), min_frac_stamps=0, auto_search=False)
    assert positions(side) == [[star[:2] for star in stars]]
    assert {tuple(p) for p in np.argwhere(mask == T_SKIP)} == {(y + j, x + i) for x, y, _ in stars
                                                              for j in range(-3, 4) for i in range(-3, 4)}


def test_the_search_fills_up_what_the_list_leaves_open():
    stars = in_cell(0, 300, 10, 10), in_cell(0, 900, 25, 25), in_cell(2)
    side, _ = search(image(*stars), stars=listed(stars[0]), min_frac_stamps=0)
    assert positions(side) == [[stars[0][:2], stars[1][:2]], [stars[2][:2]]]


def test_a_star_of_the_list_without_light_is_not_taken():
    side, _ = search(image(), stars=listed(in_cell(0)), min_frac_stamps=0, auto_search=False)
    assert side.n_filled == 0


@pytest.mark.parametrize(('dx', 'taken'), [(3, False), (3.01, True), (30.99, True), (31, False)])
def test_stars_of_a_list_must_lie_a_kernel_inside_the_cell(dx, taken):
    data = image()
    data[10:25, int(dx) - 3 if dx > 3 else 0:int(dx) + 4] = 400
    side, _ = search(data, stars=np.array([[dx, 17]], 'f4'), min_frac_stamps=0, auto_search=False)
    assert side.n_filled == taken


def test_c_marks_stars_of_a_list_at_the_transposed_place():
    side, mask = search(image(in_cell(1)), stars=listed(in_cell(1)), min_frac_stamps=0, auto_search=False, parity=True)
    x, y, _ = in_cell(1)
    assert side.n_filled == 1
    assert {tuple(p) for p in np.argwhere(mask == T_SKIP)} == {(x + j, y + i) for j in range(-3, 4)
                                                              for i in range(-3, 4)}
