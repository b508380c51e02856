"""Candidates: what was put in is found where and as bright as it is, and little else."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty

import hotpants_cy as hp
from hotpants_cy.candidates import find_candidates
from hotpants_cy.datasets import make_pair
from hotpants_cy.exceptions import InputError
from hotpants_cy.products.position import likeliest_offset
from hotpants_cy.products.psf import difference_psf
from hotpants_cy.products.score import ScoreImages


def searched(pair, threshold=5.0, **changes):
    """Candidates of a pair, the images and the result they are from."""
    config = hp.HotpantsConfig(**{'ko': 1, **changes})
    hot = hp.Hotpants(pair.template, pair.science, config=config, n_threads=1)
    result = hp.SubtractionResult.of(hot)
    images = ScoreImages.of(hot, difference_psf(hot))
    return find_candidates(result, threshold, images=images), images, result


@pytest.fixture(scope='module')
def pair():
    return make_pair((512, 512), seed=8, n_transients=12, transient_snr=(12, 80))


@pytest.fixture(scope='module')
def found(pair):
    return searched(pair)


def nearest(table, x, y):
    distance = np.hypot(table['x'] - x, table['y'] - y)
    return table[np.argmin(distance)], distance.min()


def test_transients_are_found_with_position_flux_and_width(pair, found):
    table, _, _ = found
    pulls = []
    for row in pair.transients:
        got, distance = nearest(table, row['x'], row['y'])
        assert distance < 6 / row['snr'] + 0.05
        assert got['sign'] == 1
        assert not got['dipole']
        assert got['masked_fraction'] == 0
        assert got['fwhm'] == pytest.approx(3.6, rel=0.1 + 3 / row['snr'])
        sky = pair.science.wcs.pixel_to_world(row['x'], row['y'])
        assert got['sky'].separation(sky) < 0.3 * u.arcsec
        pulls.append(((got['flux'] - row['flux_template']) / got['flux_err']).value)
    assert np.abs(np.mean(pulls)) < 1.2
    assert np.std(pulls) < 1.8
    assert table.meta['fwhm'] == pytest.approx(3.6, rel=0.02)


def test_the_table_is_in_order_and_has_units(found):
    table, _, result = found
    assert table['flux'].unit == result.difference.unit
    assert (np.diff(np.abs(table['snr'])) <= 0).all()
    assert table['id'].tolist() == list(range(1, len(table) + 1))
    np.testing.assert_allclose(table['flux'] / table['flux_err'], table['snr'])
    assert (np.abs(table['snr']) >= 5).all()
    used = result.substamps[result.substamps['status'] == 'USED_IN_FINAL_FIT']
    want = min(np.hypot(used['x'] - table['x'][0], used['y'] - table['y'][0]))
    assert table['star_distance'][0] == pytest.approx(want)


def test_little_else_is_found_in_the_sky(pair, found):
    table, _, _ = found
    sources = np.vstack([np.column_stack([t['x'], t['y']]) for t in (pair.stars, pair.transients)])
    far = [row for row in table if np.hypot(*(sources - (row['x'], row['y'])).T).min() > 10]
    assert len(far) == 0


def test_what_fades_is_found_with_a_negative_sign(pair):
    faded = SimpleNamespace(science=pair.template, template=pair.science)
    table, _, _ = searched(faded, force_convolve='i')
    for row in pair.transients:
        got, distance = nearest(table, row['x'], row['y'])
        assert distance < 6 / row['snr'] + 0.05
        assert got['sign'] == -1
        assert got['flux'] < 0
        assert got['snr'] < -5


def test_a_bright_source_has_no_companions():
    pair = make_pair((400, 400), seed=5, n_transients=3, transient_snr=(500, 1500))
    table, images, _ = searched(pair)
    for row in pair.transients:
        near = np.hypot(table['x'] - row['x'], table['y'] - row['y']) < 12
        assert near.sum() == 1
        # which is not for nothing: its surroundings are significant
        y, x = round(row['y']), round(row['x'])
        assert np.nanmax(np.abs(images.score.data[y - 4:y + 5, x - 7])) > 5


def test_a_neighbour_is_no_sidelobe():
    pair = make_pair((400, 400), seed=5, n_transients=2, transient_snr=(100, 101))
    x, y = (float(pair.transients[name][0]) for name in ('x', 'y'))
    yy, xx = np.indices(pair.science.shape)
    pair.science.data += 0.3 * pair.transients['flux'][0].value * pair.science_psf(x + 8, y)(xx, yy)
    table, _, _ = searched(pair)
    got, distance = nearest(table, x + 8, y)
    assert distance < 0.3
    assert got['snr'] > 15


def test_a_source_that_moved_is_a_dipole(pair):
    x, y = 300.0, 300.0
    far = np.hypot(pair.stars['x'] - x, pair.stars['y'] - y).min()
    assert far > 8
    yy, xx = np.indices(pair.science.shape)
    moved = make_pair((512, 512), seed=8, n_transients=12, transient_snr=(12, 80))
    moved.science.data += (8500 * pair.science_psf(x + 0.5, y)(xx, yy)).astype(np.float32)
    moved.template.data += (10000 * pair.template_psf(x - 0.5, y)(xx, yy)).astype(np.float32)
    table, _, _ = searched(moved)
    got, distance = nearest(table, x, y)
    assert distance < 4
    assert got['dipole']


@pytest.mark.parametrize('which', ['science', 'template'])
def test_a_pixel_of_endless_noise_spoils_nothing_else(which):
    pair = make_pair((256, 256), seed=3, n_transients=4, transient_snr=(20, 50))
    clean, _, _ = searched(pair, ko=0)
    row, place = pair.transients[0], np.s_[200, 200]           # far from all of them
    image = getattr(pair, which)
    image.data[place], image.uncertainty.array[place] = -1e9, 3e9
    table, noisy, _ = searched(pair, ko=0)
    assert len(table) == len(clean)
    assert nearest(table, row['x'], row['y'])[0]['snr'] == pytest.approx(nearest(clean, row['x'], row['y'])[0]['snr'],
                                                                        rel=0.02)
    scores = noisy.score.data[~noisy.score.mask]
    assert np.isfinite(scores).all()
    assert np.std(scores[np.abs(scores) < 4]) == pytest.approx(1, abs=0.05)


def test_masked_pixels_are_told():
    pair = make_pair((400, 400), seed=5, n_transients=6, transient_snr=(60, 100))
    x, y = round(pair.transients['x'][0]), round(pair.transients['y'][0])
    pair.science.data[y - 2:y + 3, x + 3] = np.nan
    table, _, _ = searched(pair, ko=0)
    got, distance = nearest(table, pair.transients['x'][0], pair.transients['y'][0])
    assert distance < 0.3
    assert 0 < got['masked_fraction'] < 0.3


def test_a_source_with_a_bad_core_is_one_candidate_where_it_is():
    pair = make_pair((400, 400), seed=5, n_transients=6, transient_snr=(150, 200))
    x, y = (float(pair.transients[name][0]) for name in ('x', 'y'))
    pair.science.data[round(y) - 2:round(y) + 4, round(x) - 2:round(x) + 2] = np.nan
    table, images, _ = searched(pair, ko=0)
    assert images.score.mask[round(y), round(x)]
    near = table[np.hypot(table['x'] - x, table['y'] - y) < 12]
    assert len(near) == 1
    assert np.hypot(near['x'] - x, near['y'] - y)[0] < 0.3
    assert near['masked_fraction'][0] > 0.4
    assert near['flux'][0].value == pytest.approx(pair.transients['flux_template'][0].value, rel=0.1)


@pytest.mark.parametrize('factor', [1e-4, 1e10])
def test_the_unit_does_not_matter(factor):
    pair = make_pair((256, 256), seed=3, n_transients=4, transient_snr=(20, 50))
    tables = []
    for f in (1, factor):
        images = [CCDData((image.data * f).astype(np.float32), unit='adu',
                          uncertainty=StdDevUncertainty(image.uncertainty.array * f))
                  for image in (pair.science, pair.template)]
        changed = SimpleNamespace(science=images[0], template=images[1])
        tables.append(searched(changed, 8, ko=0, nstampx=4, nstampy=4)[0])
    assert len(tables[0]) == len(tables[1]) >= 4
    np.testing.assert_allclose(tables[1]['flux'], tables[0]['flux'] * factor, rtol=1e-3)
    np.testing.assert_allclose(tables[1]['x'], tables[0]['x'], atol=1e-3)


# -- positions --------------------------------------------------------------------------------

def star(dx, dy, half):
    y, x = np.mgrid[-half:half + 1, -half:half + 1]
    return np.exp(-((x - dx)**2 + (y - dy)**2) / (2 * 1.5**2))


def test_positions_are_not_drawn_to_where_the_noise_is_low():
    rng, x = np.random.default_rng(3), np.arange(-8, 9)
    sigma = 0.05 * np.broadcast_to(np.exp(-0.25 * x), (17, 17))
    found = [likeliest_offset(star(0.3, -0.2, 8) + rng.normal(0, sigma), sigma**-2, star(0, 0, 20), 3)
             for _ in range(300)]
    error = np.std(found, axis=0) / 300**0.5
    assert error.max() < 0.006
    np.testing.assert_array_less(np.abs(np.mean(found, axis=0) - (0.3, -0.2)), 4 * error)


@pytest.mark.parametrize('place', [(3.4, -2.2), (-4.8, 0.1), (0.0, 0.0)])
def test_a_position_is_found_from_the_wings_alone(place):
    y, x = np.mgrid[-10:11, -10:11]
    weight = (np.hypot(x - place[0], y - place[1]) > 2.5).astype(float)
    data = np.where(weight > 0, star(*place, 10), np.nan)
    assert likeliest_offset(data, weight, star(0, 0, 20), 6) == pytest.approx(place, abs=0.01)


def test_nothing_is_nowhere_else():
    assert likeliest_offset(np.zeros((9, 9)), np.ones((9, 9)), star(0, 0, 12), 2) == (0, 0)
    assert likeliest_offset(np.ones((9, 9)), np.zeros((9, 9)), star(0, 0, 12), 2) == (0, 0)


def test_nothing_found_is_a_table_of_no_rows(found):
    _, images, result = found
    table = find_candidates(result, 1e6, images=images)
    assert len(table) == 0
    assert table['flux'].unit == 'adu'
    assert set(table.colnames) >= {'id', 'x', 'y', 'sky', 'flux', 'flux_err', 'snr', 'sign', 'fwhm', 'masked_fraction',
                                   'dipole', 'star_distance'}


def test_a_threshold_must_be_above_zero(found):
    with pytest.raises(InputError, match='above zero'):
        find_candidates(found[2], 0, images=found[1])
