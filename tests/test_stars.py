"""Stars that the user brings, to fit the kernel to."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.stamps.catalog import star_positions
from hotpants_cy.stamps.regions import regions_of, stamp_grid

CONFIG = hp.HotpantsConfig(rkernel=6, rss=9, nstampx=4, nstampy=3, ko=0, nss=2)
SHAPE = 200, 300
PAIR = make_pair(SHAPE, seed=19, n_transients=0, star_flux=(2e4, 2e5), n_stars=60)
SIGHTS = 't', 'i'


def hotpants(stars, **changes):
    return hp.Hotpants(PAIR.template, PAIR.science, star_catalog=stars, config=CONFIG.replace(**changes))


def found(stars, **changes):
    """Positions (x, y) of the substamps of template and science image."""
    return [[(s.x, s.y) for s in side] for side in hotpants(stars, **changes).find_stamps()]


def well_inside(positions):
    """Those 0-based positions that can be taken, if there is a star."""
    region, grid = regions_of(SHAPE, CONFIG)[0], stamp_grid(SHAPE, CONFIG)
    x, y = (positions[:, axis] - (positions[:, axis] * n // length) * length / n for axis, n, length in
            ((0, grid.nx, region.shape[1]), (1, grid.ny, region.shape[0])))
    in_cell = (x > 9) & (y > 9) & (x < grid.width - 10) & (y < grid.width - 10)
    # and so far from the edge of the image that the kernel reaches all of the substamp
    in_image = np.all((positions > 25) & (positions < np.array(SHAPE[::-1]) - 25), axis=1)
    return positions[in_cell & in_image]


@pytest.fixture(scope='module')
def stars():
    """Whole 0-based positions of isolated stars that can be taken, far off the diagonal."""
    table = np.column_stack([PAIR.stars['x'], PAIR.stars['y']])
    alone = [p for p in table if np.sort(np.hypot(*(table - p).T))[1] > 20]
    inside = well_inside(np.round(np.array(alone)).astype(int))
    assert len(inside) >= 4
    return inside


def cells(positions):
    grid = stamp_grid(SHAPE, CONFIG)
    firsts = [[k * length // n for k in range(n)] for n, length in ((grid.nx, SHAPE[1]), (grid.ny, SHAPE[0]))]
    return [tuple(int(np.searchsorted(first, v, 'right')) for first, v in zip(firsts, p, strict=True))
            for p in positions]


# -- what is taken ----------------------------------------------------------------------------

def test_stars_of_the_list_are_taken_where_they_are_counted_from_one(stars):
    for taken in found(stars + 1, auto_search=False):
        assert set(taken) == {tuple(p) for p in stars.tolist()}


@pytest.mark.parametrize('kind', [list, tuple, np.asarray, lambda a: a.astype('>f8'), lambda a: a.astype('i2'),
                                  lambda a: [tuple(p) for p in a]])
def test_any_list_of_pairs_is_a_catalogue(stars, kind):
    assert found(kind(stars + 1), auto_search=False) == found(stars + 1, auto_search=False)


def test_with_auto_search_off_nothing_else_is_taken(stars):
    one = stars[:1]
    assert found(one + 1, auto_search=False) == [[tuple(one[0].tolist())]] * 2
    assert [len(side) for side in found(one + 1)] > [4, 4]


def test_with_auto_search_on_the_search_fills_up_what_is_open(stars):
    one, alone = stars[:1], found(None)
    for taken, without in zip(found(one + 1), alone, strict=True):
        here, = cells(one)
        assert tuple(one[0].tolist()) in taken
        assert [p for p, c in zip(taken, cells(taken), strict=True) if c != here] == [
            p for p, c in zip(without, cells(without), strict=True) if c != here]
        assert len(taken) >= len(without)


def test_stars_of_the_list_come_first_in_their_stamp(stars):
    hot = hotpants(stars + 1)
    found = hot.find_stamps()[0]
    first = {(s.x, s.y) for k, s in enumerate(found) if k == 0 or found[k - 1].stamp_group_id != s.stamp_group_id}
    brought = {tuple(p) for p in stars.tolist()}
    assert {c for c in cells(brought)} <= {c for c in cells(first & brought)}


def test_no_more_stars_per_stamp_than_asked_for(stars):
    for nss in (1, 2):
        for side in hotpants(stars + 1, nss=nss).find_stamps():
            stamps = [s.stamp_group_id for s in side]
            assert max(stamps.count(stamp) for stamp in stamps) == nss


@pytest.mark.parametrize('direction', SIGHTS)
def test_the_fit_uses_the_stars_of_the_list_and_is_right(stars, direction):
    hot = hotpants(stars + 1, auto_search=False, force_convolve=direction)
    _, used = hot.iterative_fit_and_clip()
    assert {(s.x, s.y) for s in used} <= {tuple(p) for p in stars.tolist()}
    assert len(used) >= 3
    ratio = PAIR.kernel_sum if direction == 't' else 1 / PAIR.kernel_sum
    assert hot.kernel.sum(150, 100) == pytest.approx(ratio, rel=0.02 if direction == 't' else 0.05)


# -- marks ------------------------------------------------------------------------------------

def overlapping(positions):
    """Pairs of substamps of one image whose boxes have each other's centre."""
    p = np.array(positions)
    near = np.abs(p[:, np.newaxis] - p).max(axis=2) <= CONFIG.rss
    return np.count_nonzero(near) - len(p)


def test_a_star_of_the_list_is_not_found_again(stars):
    for taken in found(stars[:3] + 1, nss=3):
        assert overlapping(taken) == 0


def test_c_finds_it_again_for_it_marks_the_transposed_place(stars):
    assert sum(overlapping(taken) for taken in found(stars[:3] + 1, nss=3, parity=True)) > 0


# -- what is not ------------------------------------------------------------------------------

@pytest.mark.parametrize('shift', [(500, 0), (0, 500), (-1000, 0)])
def test_stars_outside_the_image_are_left_out(stars, shift):
    both = np.vstack([stars[:2], stars + shift]) + 1
    assert found(both, auto_search=False) == found(stars[:2] + 1, auto_search=False)


def test_empty_sky_is_not_taken_for_a_star(stars):
    table = np.column_stack([PAIR.stars['x'], PAIR.stars['y']])
    grid = np.stack(np.meshgrid(np.arange(20, 280, 5), np.arange(20, 180, 5)), -1).reshape(-1, 2)
    empty = well_inside(np.array([p for p in grid if np.hypot(*(table - p).T).min() > 25]))
    assert len(empty) >= 3
    with pytest.raises(hp.NoStampsError):
        found(empty + 1, auto_search=False)


def test_a_masked_star_is_not_taken(stars):
    mask = np.zeros(SHAPE, bool)
    mask[stars[0, 1] + 3, stars[0, 0] - 3] = True
    hot = hp.Hotpants(PAIR.template, PAIR.science, i_mask=mask, star_catalog=stars + 1,
                      config=CONFIG.replace(auto_search=False))
    for side in hot.find_stamps():
        assert {(s.x, s.y) for s in side} == {tuple(p) for p in stars[1:].tolist()}


@pytest.mark.parametrize('catalog', [[], [1, 2], [(1, 2, 3)], [(1, np.nan)], [(np.inf, 1)], 'stars.txt', [('a', 'b')],
                                     {'x': 1}, 5, [[1, 2], [3]]], ids=str)
def test_what_is_no_list_of_positions_is_refused(catalog):
    with pytest.raises(hp.InputError, match='star catalogue'):
        hotpants(catalog)


def test_positions_are_moved_to_count_from_zero_and_not_changed():
    catalog = np.array([(1, 1), (10, 20.5)])
    before = catalog.copy()
    assert_allclose(star_positions(catalog), [(0, 0), (9, 19.5)])
    assert_array_equal(catalog, before)
