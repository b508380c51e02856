"""Candidates: what was put in is found where and as bright as it is, and little else."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u

import hotpants_cy as hp
from hotpants_cy.candidates import find_candidates
from hotpants_cy.datasets import make_pair
from hotpants_cy.exceptions import InputError
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


def test_masked_pixels_are_told():
    pair = make_pair((400, 400), seed=5, n_transients=6, transient_snr=(60, 100))
    x, y = round(pair.transients['x'][0]), round(pair.transients['y'][0])
    pair.science.data[y - 2:y + 3, x + 3] = np.nan
    table, _, _ = searched(pair, ko=0)
    got, distance = nearest(table, pair.transients['x'][0], pair.transients['y'][0])
    assert distance < 0.3
    assert 0 < got['masked_fraction'] < 0.3


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
