"""Stars are measured in both images, and each refusal has its reason."""
import numpy as np
import pytest
from astropy.nddata import CCDData

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair, positions_of
from hotpants_cy.inputs.exposure import Exposure
from hotpants_cy.inputs.frame import as_frame
from hotpants_cy.stamps.measures import measure_stars
from hotpants_cy.stamps.seeding import apart, plant, stars_by_cell, vetted
from hotpants_cy.stamps.shapes import measure_shapes
from hotpants_cy.stamps.vetting import size_of_stars

SHAPE = (400, 400)


@pytest.fixture(scope='module')
def pair():
    return make_pair(SHAPE, seed=4, n_stars=60, star_flux=(3e4, 2e5), n_transients=0)


def exposures(science, template, **config):
    config = hp.HotpantsConfig(**config)
    return [Exposure.of(as_frame(image, name=name), config)
            for image, name in ((template, 'template'), (science, 'science'))]


def vet_pair(science, template, positions, footprint=8, border=20, **options):
    pair = exposures(science, template)
    return vetted(measure_stars(positions, *pair), pair, footprint=footprint, border=border, **options)


def isolated(pair, distance=25, border=40):
    """Positions of stars that have no other near."""
    xy = positions_of(pair.stars)
    gaps = np.abs(xy[:, np.newaxis] - xy).max(axis=2) + 1e9 * np.eye(len(xy))
    keep = (gaps.min(axis=1) > distance) & (xy > border).all(axis=1) & (xy < SHAPE[0] - 1 - border).all(axis=1)
    return xy[keep]


def changed(image, **changes):
    twin = image.copy()
    for name, value in changes.items():
        setattr(twin, name, value)
    return twin


def stamp(image, xy, value, half=0):
    x, y = np.round(xy).astype(int)
    image.data[y - half:y + half + 1, x - half:x + half + 1] = value


# -- shapes -----------------------------------------------------------------------------------

@pytest.mark.parametrize('fwhm', [1.5, 2.5, 4.0, 8.0])
def test_gaussian_stars_have_the_width_they_were_made_with(fwhm):
    pair = make_pair((300, 300), seed=1, n_stars=12, star_flux=(2e5, 4e5), science_fwhm=fwhm, profile='gaussian',
                     n_transients=0)
    shapes = measure_shapes(pair.science.data, pair.science.uncertainty.array**2, positions_of(pair.stars),
                            half_width=25)
    assert np.nanmedian(shapes.fwhm) == pytest.approx(fwhm, rel=0.02)
    assert np.nanmedian(shapes.elongation) < 1.05


def test_an_elongated_star_has_its_axes():
    y, x = np.mgrid[:61, :61] - 30.0
    star = 1e4 * np.exp(-0.5 * ((x / 3)**2 + (y / 1.5)**2))
    shapes = measure_shapes(star, 1.0, [(30, 30)])
    assert shapes.covariance[0] == pytest.approx(np.diag([9.0, 2.25]), rel=0.01, abs=0.01)
    assert shapes.elongation[0] == pytest.approx(2, rel=0.01)


def test_centroid_and_flux_of_an_isolated_star_are_right():
    y, x = np.mgrid[:61, :61]
    star = 7e3 * np.exp(-0.5 * ((x - 30.3)**2 + (y - 29.6)**2) / 2.0**2)
    shapes = measure_shapes(star, 1.0, [(31, 29)])
    assert (shapes.x[0], shapes.y[0]) == pytest.approx((30.3, 29.6), abs=0.01)
    assert shapes.flux[0] == pytest.approx(7e3 * 2 * np.pi * 4, rel=0.01)


def test_nothing_has_no_shape():
    shapes = measure_shapes(np.zeros((50, 50)), 1.0, [(25, 25), (0, 0), (-90, 700)])
    assert np.isnan(shapes.fwhm).all()


# -- vetting ----------------------------------------------------------------------------------

def test_good_stars_pass(pair):
    seeds = vet_pair(pair.science, pair.template, isolated(pair))
    assert seeds.good.mean() > 0.8, seeds.reasons


def test_a_saturated_star_is_refused(pair):
    xy = isolated(pair)
    science = pair.science.copy()
    stamp(science, xy[0], 9e4, half=2)
    ex = [Exposure.of(as_frame(image, name=name), hp.HotpantsConfig(iuthresh=5e4))
          for image, name in ((pair.template, 'template'), (science, 'science'))]
    seeds = vetted(measure_stars(xy, *ex), ex, footprint=8, border=20)
    assert seeds.kinds[0] == 'saturated'
    assert '25 pixels around it are saturated in the science image' in seeds.reasons[0]


def test_a_star_with_a_flat_top_is_refused(pair):
    xy = isolated(pair)
    science = pair.science.copy()
    x, y = np.round(xy[0]).astype(int)
    box = science.data[y - 6:y + 7, x - 6:x + 7]
    np.minimum(box, 0.3 * box.max(), out=box)
    seeds = vet_pair(science, pair.template, xy)
    assert seeds.kinds[0] in ('saturated', 'variable', 'wide')


def test_a_masked_pixel_in_the_footprint_refuses_a_star(pair):
    xy = isolated(pair)
    template = pair.template.copy()
    template.mask = np.zeros(SHAPE, bool)
    x, y = np.round(xy[1]).astype(int)
    template.mask[y + 7, x] = True
    seeds = vet_pair(pair.science, template, xy)
    assert seeds.kinds[1] == 'masked'
    assert seeds.reasons[1] == '1 pixel around it is masked in the template image'
    assert not vet_pair(pair.science, template, xy, footprint=6).kinds[1]


@pytest.mark.parametrize(('weights', 'offset', 'kind'), [(True, 7, ''), (True, 3, 'masked'), (False, 7, 'masked')])
def test_weights_do_without_a_masked_pixel_but_in_the_core(pair, weights, offset, kind):
    xy, template = isolated(pair), pair.template.copy()
    template.mask = np.zeros(SHAPE, bool)
    x, y = np.round(xy[1]).astype(int)
    template.mask[y + offset, x] = True
    ex = exposures(pair.science, template)
    config = hp.HotpantsConfig(weights=weights, rss=8, rkernel=6)
    seeds = vetted(measure_stars(xy, *ex), ex, config)
    assert seeds.kinds[1] == kind


def test_a_star_near_the_edge_or_off_the_image_is_refused(pair):
    seeds = vet_pair(pair.science, pair.template, [(5, 200), (-40, 3), (399.2, 399.2), (1e9, 4)])
    assert seeds.kinds == ['at the edge', 'off the image', 'at the edge', 'off the image']


def test_a_position_without_a_star_is_refused(pair):
    sky = make_pair(SHAPE, seed=9, n_stars=1, n_transients=0)
    seeds = vet_pair(sky.science, sky.template, [(200, 200), (150, 99)])
    assert all(kind in ('without a profile', 'faint') for kind in seeds.kinds)


def test_a_variable_star_is_refused_with_its_ratio(pair):
    xy = isolated(pair)
    science = pair.science.copy()
    x, y = np.round(xy[2]).astype(int)
    box = np.s_[y - 10:y + 11, x - 10:x + 11]
    science.data[box] += 0.5 * (science.data[box] - np.median(science.data[box]))
    seeds = vet_pair(science, pair.template, xy)
    assert seeds.kinds[2] == 'variable'
    assert 'its flux ratio is' in seeds.reasons[2]


def test_a_star_that_moved_is_refused(pair):
    xy = isolated(pair)
    science = pair.science.copy()
    x, y = np.round(xy[3]).astype(int)
    science.data[y - 10:y + 11, x - 10:x + 11] = science.data[y - 10:y + 11, x - 12:x + 9].copy()
    assert vet_pair(science, pair.template, xy).kinds[3] == 'moved'


def test_a_star_listed_twice_counts_once(pair):
    xy = isolated(pair)
    seeds = vet_pair(pair.science, pair.template, np.vstack([xy, xy[4] + 0.2]))
    assert seeds.kinds[-1] == 'listed twice'
    assert not seeds.kinds[4]


def test_what_is_to_be_avoided_is(pair):
    xy = isolated(pair)
    seeds = vet_pair(pair.science, pair.template, xy, avoid=xy[:2] + 3, avoid_radius=4)
    assert seeds.kinds[:2] == ['to be avoided'] * 2
    assert vet_pair(pair.science, pair.template, xy, avoid=xy[:2] + 3, avoid_radius=2).kinds[:2] != seeds.kinds[:2]


def test_blends_are_taken_where_stars_are_few(pair):
    xy = isolated(pair)[:4]
    science, template = pair.science.copy(), pair.template.copy()
    for image in (science, template):
        x, y = np.round(xy[0]).astype(int)
        image.data[y - 6:y + 7, x - 1:x + 12] += 0.6 * (image.data[y - 6:y + 7, x - 6:x + 7].copy() - np.median(
            image.data))
    seeds = vet_pair(science, template, xy)
    assert not seeds.kinds[0]
    assert any('is taken although' in note for note in seeds.notes)


@pytest.mark.parametrize('n_galaxies', [0, 10, 40, 80])
def test_stars_have_the_smallest_size_that_many_have(n_galaxies):
    rng = np.random.default_rng(1)
    sizes = np.concatenate([rng.normal(1.3, 0.03, 20), rng.uniform(1.8, 5, n_galaxies)])
    assert size_of_stars(sizes) == pytest.approx(1.3, rel=0.03)


@pytest.mark.parametrize('n', [1, 2, 5])
def test_a_few_stars_have_a_size_too(n):
    assert size_of_stars(np.linspace(1.5, 1.5 + 0.02 * n, n)) == pytest.approx(1.52, rel=0.04)


def test_fewer_that_are_sharper_are_no_stars():
    assert size_of_stars(np.array([1.0, 1.6, 1.61])) == 1.6
    assert size_of_stars(np.array([0.6] * 11 + [1.4] * 20)) == 1.4


def with_galaxies(pair, n):
    """Both images with ``n`` round galaxies of many sizes."""
    rng = np.random.default_rng(5)
    galaxies = np.column_stack([rng.uniform(45, 355, (n, 2)), rng.uniform(2e4, 2e5, n), rng.uniform(1.5, 5, n)])
    for image, fwhm, ratio in ((pair.science, 3.6, 0.85), (pair.template, 2.8, 1)):
        light = sum(ratio * flux * gaussian(image.shape, (x, y), np.hypot(fwhm / 2.355, sigma))
                    for x, y, flux, sigma in galaxies)
        yield CCDData(image.data + light, unit='adu', uncertainty=image.uncertainty)


def gaussian(shape, where, sigma):
    y, x = np.ogrid[:shape[0], :shape[1]]
    return np.exp(-0.5 * ((x - where[0])**2 + (y - where[1])**2) / sigma**2) / (2 * np.pi * sigma**2)


def test_a_psf_is_that_of_stars_where_most_sources_are_galaxies():
    pair = make_pair((400, 400), seed=8, n_stars=25, n_transients=0, star_flux=(2e4, 2e5))
    result = hp.subtract(*with_galaxies(pair, 50), config='auto')
    assert result.psf(200, 200).max() == pytest.approx(pair.science_psf(200, 200)(200, 200), rel=0.05)
    assert result.kernel.sum(200, 200) == pytest.approx(0.85, rel=0.01)


def test_a_psf_is_that_of_stars_where_the_search_finds_galaxies_too():
    pair = make_pair((400, 400), seed=8, n_stars=25, n_transients=0, star_flux=(2e4, 2e5))
    config = hp.HotpantsConfig(ko=0, nstampx=6, nstampy=6, ks=20)         # which keeps galaxies in the fit
    result = hp.subtract(*with_galaxies(pair, 20), config=config)
    assert result.psf(200, 200).max() == pytest.approx(pair.science_psf(200, 200)(200, 200), rel=0.05)


def test_the_tally_counts_the_reasons(pair):
    seeds = vet_pair(pair.science, pair.template, [(5, 200), (3, 100), (-40, 3)])
    assert seeds.tally() == '2 at the edge, 1 off the image'


# -- planting ---------------------------------------------------------------------------------

def test_of_overlapping_stars_the_better_one_is_kept():
    assert apart([(50, 50, 9.0), (60, 50, 8.0), (61, 90, 7.0)], 10) == [(50, 50, 9.0), (61, 90, 7.0)]


class Grid:
    nx = ny = 2
    width = 50


class Field:
    origin, shape = (0, 0), (100, 100)


def test_few_stars_are_each_on_their_own():
    stars = [(10, 10, 5.0), (20, 10, 9.0), (30, 10, 7.0)]
    assert stars_by_cell(stars, Field, Grid, 3) == [[(10, 10, 5.0)], [(20, 10, 9.0)], [(30, 10, 7.0)]]


def test_of_many_stars_the_best_of_each_cell_come_first():
    stars = [(x, 10, 9.0 - x / 10) for x in range(0, 60, 10)]
    assert stars_by_cell(stars, Field, Grid, 3) == [[(0, 10, 9.0), (10, 10, 8.0), (20, 10, 7.0)], [(50, 10, 4.0)]]


def test_subtract_takes_the_stars_given_and_tells_of_the_refused(pair):
    xy = np.vstack([isolated(pair), [(3, 3)]])
    result = hp.subtract(pair.science, pair.template, stars=xy, config=hp.HotpantsConfig(ko=0, rkernel=7, rss=12))
    table = result.substamps
    refused = table[table['status'] == 'REFUSED']
    assert (refused['x'][-1], refused['y'][-1]) == (3, 3)
    assert 'from the edge' in refused['reason'][-1]
    used = table[table['status'] == 'USED_IN_FINAL_FIT']
    assert len(used) >= 5
    given = {tuple(p) for p in np.round(xy).astype(int).tolist()}
    assert all(any(abs(x - a) <= 1 and abs(y - b) <= 1 for a, b in given)
               for x, y in zip(used['x'], used['y'], strict=True))


def test_a_clipped_star_is_followed_by_the_next_of_its_stamp(pair):
    ex = exposures(pair.science, pair.template, ko=0)
    seeds = vetted(measure_stars(positions_of(pair.stars), *ex), ex, footprint=8, border=20)
    config = hp.HotpantsConfig(rkernel=7, rss=8, nstampx=2, nstampy=2)
    from hotpants_cy.stamps.grid import Side
    from hotpants_cy.stamps.regions import regions_of, stamp_grid
    region, grid = regions_of(SHAPE, config)[0], stamp_grid(SHAPE, config)
    sides = [Side.of(name, e.data, e.kernel_high, grid.nx * grid.ny)
             for name, e in zip(('template', 'science'), ex, strict=True)]
    plant(sides, seeds, region, grid, config)
    assert [len(stamp.substamps) for stamp in sides[0].stamps] == [3] * 4
    for stamp_ in sides[0].stamps:
        scores = [substamp.score for substamp in stamp_.substamps]
        assert scores == sorted(scores, reverse=True)
    assert [(s.x, s.y) for st in sides[0].stamps for s in st.substamps] == [
        (s.x, s.y) for st in sides[1].stamps for s in st.substamps]


def test_stars_none_of_which_can_be_used_are_an_error_that_counts(pair):
    with pytest.raises(hp.NoStampsError, match=r'none of 2 stars from the list given can be used .*: 2 at the edge'):
        hp.subtract(pair.science, pair.template, stars=[(1, 1), (2, 300)])


def test_one_star_or_none_is_said_in_words(pair):
    with pytest.raises(hp.NoStampsError, match=r'the one star from the list given cannot be used .*: 1 at the edge'):
        hp.subtract(pair.science, pair.template, stars=[(1, 1)])
    with pytest.raises(hp.NoStampsError, match='no star came from the list given; give more'):
        hp.subtract(pair.science, pair.template, stars=np.empty((0, 2)))


def test_the_search_keeps_away_from_what_is_to_be_avoided(pair):
    config = hp.HotpantsConfig(ko=0, rkernel=7, rss=12)
    used = hp.subtract(pair.science, pair.template, config=config).substamps
    target = np.array([used['x'][0], used['y'][0]], float)
    again = hp.subtract(pair.science, pair.template, config=config, avoid=[target]).substamps
    assert np.abs(np.column_stack([again['x'], again['y']]) - target).max(axis=1).min() > 12


def test_stars_and_star_catalog_together_are_refused(pair):
    with pytest.raises(hp.InputError, match='not both'):
        hp.Hotpants(pair.template, pair.science, star_catalog=[(1, 1)], stars=[(1, 1)])


def test_a_change_of_configuration_vets_the_stars_again(pair):
    hot = hp.Hotpants(pair.template, pair.science, stars=isolated(pair), config=hp.HotpantsConfig(rkernel=7, rss=12))
    before = hot.seeds.good.sum()
    hot.config = hp.HotpantsConfig(rkernel=20, rss=40)
    assert hot.seeds.good.sum() < before


def test_ccddata_is_left_as_it_was(pair):
    before = pair.science.data.copy()
    hp.subtract(pair.science, pair.template, stars='auto', config=hp.HotpantsConfig(ko=0))
    assert isinstance(pair.science, CCDData)
    np.testing.assert_array_equal(pair.science.data, before)
