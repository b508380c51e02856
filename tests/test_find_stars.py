"""Stars that an image finds in itself: complete, in place, and nothing else."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.nddata import CCDData, NDData, StdDevUncertainty
from astropy.table import QTable
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial import KDTree

from hotpants_cy.datasets import PSF, make_pair
from hotpants_cy.exceptions import InputError
from hotpants_cy.inputs.frame import as_frame
from hotpants_cy.stamps.catalog import find_stars

SHAPE = 300, 320
SKY, FWHM = 400.0, 3.6


@pytest.fixture(scope='module')
def pair():
    return make_pair(SHAPE, seed=3, n_transients=0)


def truth(pair, margin=10.0):
    """Positions of stars that nothing can excuse from being found: bright, alone, and inside."""
    xy = np.column_stack([pair.stars['x'], pair.stars['y']])
    flux = pair.kernel_sum * pair.stars['flux'].value
    peak = flux * pair.science_psf(0, 0)(0, 0)
    near = KDTree(xy).query_ball_point(xy, max(10.0, 3 * pair.science_psf.fwhm))
    alone = np.array([flux[others].sum() < 1.1 * flux[k] for k, others in enumerate(near)])
    ny, nx = pair.science.shape
    inside = np.all((xy > margin) & (xy < np.array([nx, ny]) - 1 - margin), axis=1)
    return xy[alone & inside & (peak > 15 * np.median(pair.science.uncertainty.array))]


def positions(stars):
    return np.column_stack([stars['x_centroid'], stars['y_centroid']])


def distances(here, there):
    """From each of ``here`` to the nearest of ``there``."""
    return KDTree(there).query(here)[0]


def all_stars(pair):
    return np.column_stack([pair.stars['x'], pair.stars['y']])


# -- what is found ----------------------------------------------------------------------------

@pytest.mark.parametrize(('profile', 'fwhm', 'within'), [
    ('gaussian', 1.5, 0.05), ('gaussian', 2.0, 0.02), ('gaussian', 3.6, 0.02), ('gaussian', 8.0, 0.02),
    ('moffat', 1.5, 0.2), ('moffat', 2.5, 0.1), ('moffat', 3.6, 0.05), ('moffat', 5.0, 0.05), ('moffat', 8.0, 0.05)])
def test_bright_stars_are_found_in_their_place_with_their_width(profile, fwhm, within):
    pair = make_pair(SHAPE, seed=5, profile=profile, science_fwhm=fwhm, n_transients=0, star_flux=(4e4, 1e6),
                     n_stars=60)
    stars, expected = find_stars(pair.science), truth(pair, 3 + fwhm)
    assert len(expected) >= 10
    off = distances(expected, positions(stars))
    assert off.max() < 1
    assert np.median(off) < 0.1
    assert_allclose(stars.meta['fwhm'], fwhm, rtol=within)
    assert_allclose(np.median(stars['fwhm'].value), fwhm, rtol=within)


@pytest.mark.parametrize('value', [0.0, 5.0, 412.5])
def test_an_area_of_one_value_without_a_mask_hides_no_stars_and_makes_none(value):
    pair = make_pair((400, 400), seed=2, n_transients=0)
    image = pair.science.data.copy()
    image[:, :130] = value
    found = find_stars(image)
    assert found.meta['fwhm'] == pytest.approx(3.6, rel=0.1)
    assert found['x_centroid'].min() > 130
    right = pair.stars['x'] > 150
    bright = right & (pair.stars['flux'] > np.quantile(pair.stars['flux'], 0.6))
    places = [np.column_stack([table[x], table[y]]) for table, x, y in (
        (found, 'x_centroid', 'y_centroid'), (pair.stars[bright], 'x', 'y'))]
    distance, _ = KDTree(places[0]).query(places[1])
    assert np.mean(distance < 2) > 0.8


def test_nothing_else_is_found(pair):
    assert distances(positions(find_stars(pair.science)), all_stars(pair)).max() < 2


def test_fluxes_and_peaks_are_those_of_the_simulation():
    pair = make_pair(SHAPE, seed=5, profile='gaussian', n_stars=20, n_transients=0, star_flux=(4e4, 1e6))
    stars, expected = find_stars(pair.science), truth(pair)
    _, mine = KDTree(positions(stars)).query(expected)
    _, its = KDTree(all_stars(pair)).query(expected)
    flux = pair.kernel_sum * pair.stars['flux'][its]
    assert_allclose(stars['flux'][mine] / flux, 1, atol=0.05)
    assert np.all((stars['peak'][mine] < 1.1 * flux * pair.science_psf(0, 0)(0, 0)) & (stars['peak'][mine] > 0 * u.adu))


def test_signal_over_noise_is_the_scatter_of_the_flux():
    fluxes, snr = [], []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        scene = PSF(3.0, 'gaussian').image((80, 80), QTable({'x': [40.2], 'y': [39.7], 'flux': [3000.0]}))
        image = CCDData(scene + rng.normal(0, 10, scene.shape), uncertainty=StdDevUncertainty(np.full((80, 80), 10.)),
                        unit='adu')
        star = find_stars(image, fwhm=3.0)[0]
        fluxes.append(star['flux'].value)
        snr.append(star['snr'])
        assert_allclose(find_stars(image.data, fwhm=3.0)['snr'], star['snr'], rtol=0.2)   # from the scatter of the sky
    assert_allclose(np.mean(fluxes) / np.std(fluxes), np.mean(snr), rtol=0.35)


@pytest.mark.parametrize('n_stars', [10, 960])
def test_sparse_and_crowded_fields_have_stars(n_stars):
    pair = make_pair(SHAPE, seed=4, n_stars=n_stars, n_transients=0, science_fwhm=2.5)
    stars, expected = find_stars(pair.science, n_brightest=1000), truth(pair, 6)
    assert len(expected) >= 5
    assert np.mean(distances(expected, positions(stars)) < 1) > 0.95


@pytest.mark.parametrize('fwhm', [1.5, 3.0, 8.0])
def test_a_stamp_of_an_image_has_its_star(fwhm):
    scene = PSF(fwhm).image((40, 40), QTable({'x': [18.3], 'y': [20.6], 'flux': [1e5]}))
    image = np.random.default_rng(2).poisson(scene + 100).astype('>f4')
    stars = find_stars(image)
    assert len(stars) == 1
    assert_allclose(positions(stars), [[18.3, 20.6]], atol=0.1)


def test_brightest_come_first_and_no_more_than_asked_for(pair):
    every = find_stars(pair.science)
    assert np.all(np.diff(every['flux']) <= 0)
    few = find_stars(pair.science, n_brightest=7)
    assert_array_equal(few['id'], np.arange(1, 8))
    assert_allclose(positions(few), positions(every)[:7], atol=0.02)


def test_a_higher_threshold_leaves_the_higher_peaks(pair):
    stars = find_stars(pair.science, threshold=100.0)
    assert 0 < len(stars) < len(find_stars(pair.science))
    assert stars['peak'].min() > 90 * np.sqrt(SKY + 25) * u.adu


def test_a_width_that_is_given_is_taken(pair):
    stars = find_stars(pair.science, fwhm=3.5)
    assert stars.meta['fwhm'] == 3.5
    assert distances(truth(pair), positions(stars)).max() < 1


# -- whatever the image is like ---------------------------------------------------------------

def test_all_kinds_of_images_give_the_same_stars(pair, tmp_path):
    path = tmp_path / 'science.fits'
    pair.science.write(path)
    expected = find_stars(pair.science)
    for image in (as_frame(pair.science, name='science'), path, str(path),
                  NDData(pair.science.data, uncertainty=pair.science.uncertainty, unit='adu', wcs=pair.science.wcs)):
        stars = find_stars(image)
        assert stars.colnames == expected.colnames
        assert_array_equal(stars['flux'], expected['flux'])
    bare = find_stars(pair.science.data)
    assert_array_equal(positions(bare), positions(expected))
    assert 'sky_centroid' not in bare.colnames
    assert not hasattr(bare['flux'], 'unit') or bare['flux'].unit is None


def test_the_level_of_the_sky_does_not_matter(pair):
    expected = find_stars(pair.science.data)
    stars = find_stars(pair.science.data - np.float32(SKY))
    assert_allclose(positions(stars), positions(expected), atol=0.01)
    assert_allclose(stars['flux'], expected['flux'], rtol=0.01)


def test_a_gradient_does_not_matter(pair):
    y, x = np.mgrid[:SHAPE[0], :SHAPE[1]]
    stars = find_stars(pair.science.data + 0.5 * x + 1e-3 * (y - 100)**2)
    off = distances(truth(pair), positions(stars))
    assert np.mean(off < 1) > 0.9
    assert np.median(off) < 0.1
    assert distances(positions(stars), all_stars(pair)).max() < 2


@pytest.mark.parametrize('how', ['masked', 'nan', 'argument', 'argument of a frame'])
def test_no_star_comes_out_of_a_bad_block(pair, how):
    image, block = pair.science.copy(), np.s_[60:200, 80:220]
    bad = np.zeros(SHAPE, bool)
    bad[block] = True
    rng = np.random.default_rng(0)
    if how == 'masked':
        image.mask = bad
        image.data[block] = rng.normal(3e4, 3e3, (140, 140))
    elif how == 'nan':
        image.data[block] = np.nan
    if how == 'argument of a frame':
        image = as_frame(image, name='science')
    x, y = positions(find_stars(image, mask=bad if how.startswith('argument') else None)).T
    assert not bad[np.rint(y).astype(int), np.rint(x).astype(int)].any()
    expected = truth(pair)
    far = (expected[:, 0] < 70) | (expected[:, 0] > 230) | (expected[:, 1] < 50) | (expected[:, 1] > 210)
    assert distances(expected[far], np.column_stack([x, y])).max() < 1


def test_scattered_bad_pixels_cost_only_the_stars_they_hit(pair):
    image = pair.science.copy()
    bad = np.random.default_rng(1).random(SHAPE) < 0.003
    image.data[bad] = np.nan
    hit = KDTree(np.argwhere(bad)[:, ::-1]).query(truth(pair))[0] < 6
    assert (~hit).sum() > 5
    assert distances(truth(pair)[~hit], positions(find_stars(image))).max() < 1


@pytest.mark.parametrize('fwhm', [2.0, 3.6])
def test_hot_pixels_and_cosmic_rays_are_no_stars(fwhm):
    pair = make_pair(SHAPE, seed=7, n_transients=0, science_fwhm=fwhm)
    rng = np.random.default_rng(1)
    data = pair.science.data.copy()
    for x, y in rng.integers(5, 290, (60, 2)):
        data[y, x] += rng.uniform(300, 3e4)
    for x, y in rng.integers(10, 280, (20, 2)):
        level, steep, length = rng.uniform(500, 2e4), rng.uniform(-1, 1), rng.integers(2, 8)
        for k in range(length):
            data[y + round(k * steep), x + k] += level
    stars = find_stars(data)
    assert len(stars) > 20
    assert distances(positions(stars), all_stars(pair)).max() < 2
    assert_allclose(stars.meta['fwhm'], fwhm, rtol=0.12)


def test_data_without_noise_are_fine():
    pair = make_pair(SHAPE, seed=3, n_transients=0, noise=False)
    stars = find_stars(pair.science.data)
    assert distances(truth(pair), positions(stars)).max() < 0.05
    assert np.isfinite(stars['snr']).all()


# -- saturation -------------------------------------------------------------------------------

@pytest.mark.parametrize('level', [None, 20000.0, 20000 * u.adu])
@pytest.mark.parametrize('fwhm', [2.0, 5.0])
def test_saturated_stars_are_left_out(fwhm, level):
    pair = make_pair(SHAPE, seed=8, n_transients=0, science_fwhm=fwhm, saturation=2e4, n_saturated=8)
    stars = find_stars(pair.science, saturation=level)
    assert len(stars) > 15
    clipped = all_stars(pair)[:8]
    # a star of its own may lie beside one that is cut off
    assert distances(clipped, positions(stars)).min() > fwhm
    assert stars['peak'].max() < (2e4 - SKY) * u.adu


def test_saturated_stars_are_left_out_where_their_level_is_not_quite_one():
    pair = make_pair(SHAPE, seed=8, n_transients=0, saturation=2e4, n_saturated=8)
    flat = np.random.default_rng(5).normal(1, 0.002, SHAPE)
    stars = find_stars(pair.science.data * flat)
    assert distances(all_stars(pair)[:8], positions(stars)).min() > FWHM


def test_stars_with_a_masked_core_are_left_out():
    pair = make_pair(SHAPE, seed=8, n_transients=0, saturation=2e4, n_saturated=8)
    pair.science.mask = pair.science.data >= 2e4
    assert distances(all_stars(pair)[:8], positions(find_stars(pair.science))).min() > FWHM


def test_no_star_is_lost_where_none_is_saturated():
    # peaks at the corner of four pixels and wide ones are flat, but not cut off
    for fwhm, centre in ((3.0, 50.5), (8.0, 50.0), (10.0, 50.5)):
        scene = PSF(fwhm, 'gaussian').image((101, 101), QTable({'x': [centre], 'y': [centre], 'flux': [1e5]}))
        assert_allclose(positions(find_stars(scene + 10)), [[centre, centre]], atol=0.01)


# -- stars to avoid ---------------------------------------------------------------------------

def test_positions_to_avoid_are_avoided(pair):
    every = positions(find_stars(pair.science))
    expected = every[distances(every, every[:3]) > 5]
    world = pair.science.wcs.pixel_to_world(*every[:3].T)
    for avoid in (every[:3], QTable({'x': every[:3, 0], 'y': every[:3, 1]}), world):
        assert_allclose(positions(find_stars(pair.science, avoid=avoid)), expected)
    wide = find_stars(pair.science, avoid=every[0], avoid_radius=60)
    assert_allclose(positions(wide), every[distances(every, every[:1]) > 60])


def test_what_to_avoid_may_be_nothing(pair):
    assert len(find_stars(pair.science, avoid=[])) == len(find_stars(pair.science))


# -- the table --------------------------------------------------------------------------------

def test_the_table_has_units_the_sky_and_its_origin(pair):
    stars = find_stars(pair.science)
    assert isinstance(stars, QTable)
    assert stars.colnames == ['id', 'x_centroid', 'y_centroid', 'sky_centroid', 'peak', 'flux', 'snr', 'fwhm']
    assert stars['peak'].unit == stars['flux'].unit == u.adu
    assert stars['fwhm'].unit == u.pix
    back = pair.science.wcs.world_to_pixel(stars['sky_centroid'])
    assert_allclose(back, positions(stars).T, atol=1e-6)
    assert stars.meta['threshold'] == 10
    assert set(stars.meta['version']) >= {'hotpants_cy', 'photutils'}


@pytest.mark.parametrize('image', [
    np.zeros((60, 60)), np.full((300, 300), 7), np.ones((2, 2)), np.random.default_rng(0).normal(0, 1, (400, 400))],
    ids=['zero', 'constant', 'tiny', 'noise'])
def test_no_star_is_an_empty_table(image):
    stars = find_stars(image)
    assert isinstance(stars, QTable)
    assert len(stars) == 0
    assert set(stars.colnames) >= {'id', 'x_centroid', 'y_centroid', 'peak', 'flux', 'snr', 'fwhm'}


def test_no_star_has_a_place_on_the_sky(pair):
    image = CCDData(np.zeros((50, 50)), unit='adu', wcs=pair.science.wcs)
    stars = find_stars(image)
    assert isinstance(stars['sky_centroid'], SkyCoord)
    assert len(stars) == 0


def test_the_image_stays_as_it_was(pair):
    before = pair.science.data.copy()
    find_stars(pair.science, mask=np.zeros(SHAPE, bool))
    assert_array_equal(pair.science.data, before)


@pytest.mark.parametrize(('options', 'words'), [
    ({'fwhm': 0}, 'fwhm=0 is impossible'), ({'threshold': -1}, 'threshold=-1'), ({'n_brightest': 'all'}, 'n_brightest'),
    ({'n_brightest': 7.5}, 'n_brightest=7.5'), ({'avoid_radius': -1}, 'avoid_radius=-1'),
    ({'mask': np.zeros((3, 3), bool)}, 'shape'), ({'saturation': 3 * u.s}, 'saturation=3.0 s does not convert'),
    ({'avoid': object()}, 'avoid')])
def test_what_cannot_be_is_an_error(pair, options, words):
    with pytest.raises(InputError, match=words):
        find_stars(pair.science, **options)


def test_an_image_without_a_good_pixel_is_an_error():
    with pytest.raises(InputError, match='all pixels are NaN'):
        find_stars(np.full((20, 20), np.nan))


def test_a_frame_that_its_mask_leaves_empty_has_no_star(pair):
    assert len(find_stars(as_frame(pair.science, name='science'), mask=np.ones(SHAPE, bool))) == 0


def test_a_star_that_an_added_mask_cuts_is_left_out():
    # unlike the image's own mask, it does not change the values of a frame
    scene = PSF(4.0).image((80, 80), QTable({'x': [40.0], 'y': [40.0], 'flux': [1e5]}))
    frame = as_frame(np.random.default_rng(0).poisson(scene + 100), name='science')
    cut = np.zeros((80, 80), bool)
    cut[:, 42:44] = True
    assert len(find_stars(frame)) == 1
    assert len(find_stars(frame, mask=cut)) == 0


def test_peaks_along_a_trail_are_no_stars():
    pair = make_pair((400, 400), seed=3, n_stars=30, n_transients=0, star_flux=(2e4, 2e5))
    y, x = np.indices((400, 400))
    across = (y - 0.6 * x - 40) / np.hypot(1, 0.6)
    image = CCDData(pair.science.data + 3000 * np.exp(-0.5 * (across / 1.6)**2), unit='adu')
    image.data[:] = np.random.default_rng(1).normal(image.data, np.sqrt(image.data))
    stars = find_stars(image)
    assert_allclose(stars.meta['fwhm'], 3.6, rtol=0.1)
    sx, sy = positions(stars).T
    assert np.mean(np.abs(sy - 0.6 * sx - 40) < 5) < 0.1
