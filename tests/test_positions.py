"""Stars in any form, on the sky or on the image, end at the same pixels."""

import logging
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.nddata import CCDData, NDData
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time
from astropy.utils.masked import Masked
from numpy.testing import assert_allclose, assert_array_equal

from hotpants_cy.datasets import make_pair
from hotpants_cy.exceptions import InputError
from hotpants_cy.inputs.frame import as_frame
from hotpants_cy.stamps.positions import observation_time, pixel_positions

PAIR = make_pair((200, 240), seed=2, n_transients=0, n_stars=8)
WCS = PAIR.science.wcs
XY = np.column_stack([PAIR.stars['x'], PAIR.stars['y']])
WORLD = WCS.pixel_to_world(*XY.T)


def frame_at(time=None, **meta):
    image = CCDData(PAIR.science.data, unit='adu', wcs=WCS, meta={**meta, **({'DATE-OBS': time} if time else {})})
    return as_frame(image, name='science')


FRAME = frame_at()
NOWHERE = as_frame(PAIR.science.data, name='science')      # no WCS


def table_of(x, y, kind=Table, values=XY):
    return kind({x: values[:, 0], y: values[:, 1]})


# -- pixels -----------------------------------------------------------------------------------

@pytest.mark.parametrize('stars', [
    XY, XY.astype('>f8'), XY.tolist(), list(map(tuple, XY)), [*XY], XY * u.pix, XY * u.dimensionless_unscaled,
    np.ma.array(XY), np.asfortranarray(XY)])
def test_pairs_are_pixels_from_zero(stars):
    found = pixel_positions(stars, NOWHERE)
    assert found.dtype == np.float64
    assert_allclose(found, XY)


@pytest.mark.parametrize('names', [
    'x y', 'x_centroid y_centroid', 'x_fit y_fit', 'x_0 y_0', 'xcentroid ycentroid', 'x_peak y_peak', 'x_init y_init',
    'X Y', 'X_Centroid Y_CENTROID'])
@pytest.mark.parametrize('kind', [Table, QTable, dict, np.array])
def test_columns_are_found_by_name(names, kind):
    table = table_of(*names.split(), Table)
    table['flux'] = 1.0
    stars = {dict: lambda: {name: table[name] for name in table.colnames}, np.array: table.as_array}.get(
        kind, lambda: kind(table))()
    assert_allclose(pixel_positions(stars, NOWHERE), XY)


def test_centroids_win_over_peaks_and_pixels_over_the_sky():
    table = table_of('x_peak', 'y_peak', values=XY + 3)
    table['sky_centroid'] = WCS.pixel_to_world(*(XY + 5).T)
    table['x_centroid'], table['y_centroid'] = XY.T
    assert_allclose(pixel_positions(table, FRAME), XY)
    table['x'], table['y'] = XY.T + 1
    assert_allclose(pixel_positions(table, FRAME), XY + 1)


def test_columns_may_have_pixel_units_and_be_masked():
    table = QTable({'x': XY[:, 0] * u.pix, 'y': Masked(XY[:, 1], mask=np.arange(8) == 2) * u.pix})
    assert_allclose(pixel_positions(table, NOWHERE), np.delete(XY, 2, axis=0))
    table = Table({'x': MaskedColumn(XY[:, 0], mask=np.arange(8) < 2), 'y': XY[:, 1]})
    assert_allclose(pixel_positions(table, NOWHERE), XY[2:])


def test_photutils_tables_are_taken_as_they_are():
    from photutils.detection import DAOStarFinder, find_peaks
    data = PAIR.science.data - 400
    for table in (DAOStarFinder(500.0, 3.6)(data), find_peaks(data, 500.0, box_size=11),
                  find_peaks(data, 500.0, box_size=11, wcs=WCS)):
        found = pixel_positions(table, FRAME)
        assert len(found) == len(table) > 0
        assert np.hypot(*(found[:, np.newaxis] - XY).transpose(2, 0, 1)).min(axis=1).max() < 2


def test_rows_of_tables_are_stars():
    table = table_of('x', 'y')
    assert_allclose(pixel_positions(table[3], NOWHERE), XY[3:4])
    assert_allclose(pixel_positions(table.as_array()[3], NOWHERE), XY[3:4])
    assert_allclose(pixel_positions((12.5, 30), NOWHERE), [[12.5, 30]])


def test_data_frames_are_tables():
    class DataFrame:      # what pandas offers, which need not be installed
        columns = 'x', 'y'

        def to_records(self, index):
            assert index is False
            return np.rec.fromarrays(XY.T, names='x,y')
    assert_allclose(pixel_positions(DataFrame(), NOWHERE), XY)


def test_rows_without_position_are_left_out_and_counted(caplog):
    stars = XY.copy()
    stars[1, 0], stars[4, 1] = np.nan, np.inf
    with caplog.at_level(logging.INFO, 'hotpants_cy'):
        assert_allclose(pixel_positions(stars, NOWHERE), np.delete(XY, [1, 4], axis=0))
    assert '2 of 8 stars' in caplog.text
    masked = np.ma.array(XY, mask=np.isin(np.arange(16), 6).reshape(8, 2))
    assert_allclose(pixel_positions(masked, NOWHERE), np.delete(XY, 3, axis=0))


def test_positions_off_the_image_are_kept():
    assert_array_equal(pixel_positions([(-50, 3), (1e5, 2)], FRAME), [(-50, 3), (1e5, 2)])


@pytest.mark.parametrize('stars', [[], np.empty((0, 2)), Table({'x': [], 'y': []}), SkyCoord([], [], unit='deg'),
                                   Table({'ra': [], 'dec': [], 'pmra': [], 'pmdec': [], 'ref_epoch': []})])
def test_none_are_none(stars):
    assert pixel_positions(stars, frame_at('2026-01-01')).shape == (0, 2)


def test_what_is_given_stays_as_it_was():
    stars = XY.copy()
    pixel_positions(stars, NOWHERE)[:] = 0
    assert_array_equal(stars, XY)


# -- the sky ----------------------------------------------------------------------------------

@pytest.mark.parametrize('stars', [
    WORLD, WORLD.galactic, WORLD.fk5, list(WORLD), WORLD.reshape(2, 4), WORLD.frame, Table({'skycoord': WORLD}),
    QTable({'Sky_Centroid': WORLD}), QTable({'sky': WORLD.galactic}), Table({'ra': WORLD.ra.deg, 'dec': WORLD.dec.deg}),
    QTable({'RA': WORLD.ra.to(u.hourangle), 'DEC': WORLD.dec.to(u.rad)}),
    Table({'ra': WORLD.ra.to_string(unit='hour', sep=':', precision=6),
           'dec': WORLD.dec.to_string(sep=':', precision=6)}),
    Table({'Ra': WORLD.ra.to_string(unit='hour', sep='hms', precision=6),
           'Dec': WORLD.dec.to_string(sep='dms', precision=6)})], ids=str)
def test_the_sky_goes_through_the_wcs(stars):
    assert_allclose(pixel_positions(stars, FRAME), XY, atol=1e-4)


def test_one_coordinate_is_one_star():
    assert_allclose(pixel_positions(WORLD[3], FRAME), XY[3:4], atol=1e-6)


def test_nddata_with_a_wrapped_wcs_will_do():
    frame = as_frame(NDData(PAIR.science.data, wcs=WCS, unit='adu'), name='science')
    assert_allclose(pixel_positions(WORLD, frame), XY, atol=1e-6)


def test_the_other_side_of_the_sky_is_nowhere():
    far = SkyCoord([WORLD[0].ra.deg, 330], [WORLD[0].dec.deg, -2], unit='deg')
    assert_allclose(pixel_positions(far, FRAME), XY[:1], atol=1e-6)


def test_the_sky_needs_a_wcs():
    for stars in (WORLD, Table({'sky': WORLD}), Table({'ra': [1.0], 'dec': [2.0]})):
        with pytest.raises(InputError, match=r'positions? on the sky cannot be used, since .* no celestial WCS'):
            pixel_positions(stars, NOWHERE)


# -- proper motion ----------------------------------------------------------------------------

PM = np.linspace(-900, 900, 8) * u.mas / u.yr, np.linspace(500, -100, 8) * u.mas / u.yr
EPOCH, OBSERVED = 'J2016.0', '2026-01-01T00:00:00'


def gaia(**changes):
    """What astroquery returns for SELECT *: plain columns in degrees and mas/yr, the identifier twice."""
    table = Table({'SOURCE_ID': np.arange(8), 'source_id': np.arange(8), 'ra': WORLD.ra.deg, 'dec': WORLD.dec.deg,
                   'ref_epoch': np.full(8, 2016.0), 'pmra': PM[0].value, 'pmdec': PM[1].value, **changes})
    for name, unit in (('ra', 'deg'), ('dec', 'deg'), ('ref_epoch', 'yr'), ('pmra', 'mas/yr'), ('pmdec', 'mas/yr')):
        table[name].unit = unit
    return table


def moved(pm=PM, time=OBSERVED):
    start = SkyCoord(WORLD.ra, WORLD.dec, pm_ra_cosdec=pm[0], pm_dec=pm[1], obstime=Time(EPOCH))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return np.column_stack(WCS.world_to_pixel(start.apply_space_motion(new_obstime=Time(time))))


def test_a_decade_moves_the_stars_of_gaia():
    expected = moved()
    assert np.hypot(*(expected - XY).T).max() > 15      # 10 mas/yr for ten years are 0.2 pixels
    for table in (gaia(), QTable(gaia()), gaia()['ra', 'dec', 'pmra', 'pmdec', 'ref_epoch']):
        assert_allclose(pixel_positions(table, frame_at(OBSERVED)), expected, atol=1e-3)
    plain = Table({name.upper(): gaia()[name].data for name in ('ra', 'dec', 'pmra', 'pmdec', 'ref_epoch')})
    assert_allclose(pixel_positions(plain, frame_at(OBSERVED)), expected, atol=1e-3)
    assert_allclose(pixel_positions(gaia(), frame_at(**{'MJD-OBS': Time(OBSERVED).mjd})), expected, atol=1e-3)


def test_the_direction_of_the_motion_is_that_of_the_sky():
    # a pixel is 0.5 arcsec, x runs west, y north
    steps = pixel_positions(gaia(pmra=np.full(8, 100.0), pmdec=np.full(8, 50.0)), frame_at(OBSERVED)) - XY
    assert_allclose(steps, np.tile([-2.0, 1.0], (8, 1)), atol=0.01)


def test_stars_of_unknown_motion_stay():
    unknown = np.arange(8) % 3 == 0
    pm = [np.where(unknown, 0, p.value) * p.unit for p in PM]
    frame = frame_at(OBSERVED)
    masked = gaia(**{name: MaskedColumn(p.value, mask=unknown) for name, p in zip(('pmra', 'pmdec'), PM, strict=True)})
    nan = gaia(**{name: np.where(unknown, np.nan, p.value) for name, p in zip(('pmra', 'pmdec'), PM, strict=True)})
    for table in (masked, nan, QTable(masked)):
        assert_allclose(pixel_positions(table, frame), moved(pm), atol=1e-3)
    assert_allclose(pixel_positions(gaia(ref_epoch=MaskedColumn(np.full(8, 2016.0), mask=unknown)), frame), moved(pm),
                    atol=1e-3)


def test_coordinates_carry_their_own_motion():
    frame = frame_at(OBSERVED)
    given = {'pm_ra_cosdec': PM[0], 'pm_dec': PM[1]}
    sky = SkyCoord(WORLD.ra, WORLD.dec, obstime=Time(EPOCH), **given)
    for stars in (sky, Table({'sky': sky}), sky.galactic):
        assert_allclose(pixel_positions(stars, frame), moved(), atol=1e-3)
    # a motion of which half is known is unknown
    given['pm_dec'] = np.where(np.arange(8) == 1, np.nan, PM[1])
    sky = SkyCoord(WORLD.ra, WORLD.dec, obstime=Time(EPOCH), **given)
    assert_allclose(pixel_positions(sky, frame), moved([np.where(np.arange(8) == 1, 0, pm) for pm in PM]), atol=1e-3)


def test_motion_needs_both_epochs(caplog):
    with caplog.at_level(logging.INFO, 'hotpants_cy'):
        assert_allclose(pixel_positions(gaia(), FRAME), XY, atol=1e-4)
    assert 'no time of observation' in caplog.text
    sky = SkyCoord(WORLD.ra, WORLD.dec, pm_ra_cosdec=PM[0], pm_dec=PM[1])
    with caplog.at_level(logging.INFO, 'hotpants_cy'):
        assert_allclose(pixel_positions(sky, frame_at(OBSERVED)), XY, atol=1e-4)
    assert 'no epoch' in caplog.text
    table = gaia()
    table.remove_column('ref_epoch')
    assert_allclose(pixel_positions(table, frame_at(OBSERVED)), XY, atol=1e-4)


@pytest.mark.parametrize(('meta', 'mjd'), [
    ({'MJD-AVG': 60000.5, 'MJD-OBS': 60000.0}, 60000.5), ({'MJD-OBS': '60000.25', 'DATE-OBS': '2020-01-01'}, 60000.25),
    ({'DATE-AVG': '2023-02-25T12:00:00', 'DATE-OBS': '2023-02-25'}, 60000.5), ({'DATE-OBS': '2023-02-25'}, 60000.0),
    ({'JD': 2460000.5}, 60000.0), ({'mjd-obs': 60000.0}, 60000.0), ({'MJD-OBS': 0.0, 'DATE-OBS': '2023-02-25'}, 60000),
    ({'MJD-OBS': 'unknown', 'DATE-OBS': '', 'JD': 2460000.5}, 60000.0), ({'DATE-OBS': '25/02/23'}, None),
    ({}, None), (None, None), ({'MJD-OBS': float('nan')}, None)])
def test_time_of_observation_is_in_the_header(meta, mjd):
    time = observation_time(meta)
    assert (time is None) if mjd is None else time.mjd == pytest.approx(mjd)


def test_time_of_observation_may_be_in_the_wcs():
    wcs = WCS.deepcopy()
    assert observation_time({}, wcs) is None
    wcs.wcs.mjdobs = 60000.0
    assert observation_time({}, wcs).mjd == 60000.0
    wrapped = NDData(np.ones((2, 2)), wcs=wcs).wcs
    assert observation_time({}, wrapped).mjd == 60000.0


# -- ds9 regions ------------------------------------------------------------------------------

IMAGE = [f'{x + 1:.5f},{y + 1:.5f}' for x, y in XY]      # ds9 counts from 1
HEADER = ('# Region file format: DS9 version 4.1\n'
          'global color=green dashlist=8 3 width=1 font="helvetica 10 normal roman" select=1\n')
DEGREES, FK5 = ([f'{c.ra.deg:.8f},{c.dec.deg:.8f}' for c in sky] for sky in (WORLD, WORLD.fk5))
HOURS = [f'{c.ra.to_string(unit="hour", sep=":", precision=6)},{c.dec.to_string(sep=":", precision=6, alwayssign=True)}'
         for c in WORLD.fk5]
LETTERS = [f'{c.ra.to_string(unit="hour", precision=6)}, {c.dec.to_string(precision=6)}' for c in WORLD]
GALACTIC = [f'{c.l.deg:.8f}d, {c.b.deg:.8f}d' for c in WORLD.galactic]
SHAPES = ['circle({},5)', 'point({}) # point=cross', 'box({},6,7,30)', 'ellipse({},3,4,0)', 'annulus({},3,6,9)',
          '+circle( {}, 5 ) # color=red text={{a; circle(1,1,2) # b}}', 'CIRCLE({},5")', 'circle {} 5']


def regions(places, *before, separator='\n', shapes=SHAPES):
    return separator.join([*before, *(shape.format(p) for shape, p in zip(shapes, places, strict=True))]) + '\n'


@pytest.mark.parametrize('text', [
    regions(IMAGE, 'image'), regions(IMAGE, 'physical'), regions(IMAGE), regions(FK5, 'fk5'),
    regions(DEGREES, 'ICRS'), regions(FK5, 'j2000'), regions(HOURS, 'fk5'), regions(LETTERS, 'icrs'),
    regions(GALACTIC, 'galactic'), regions(IMAGE, 'image', separator='; ', shapes=['circle({},5)'] * 8),
    '\n'.join(f'{system};circle({place},2)' for system, place in zip(
        ['image', 'fk5'] * 4, [k for pair in zip(IMAGE[::2], HOURS[1::2], strict=True) for k in pair], strict=True)),
    regions([p.replace(',', ' ') for p in IMAGE], 'image', shapes=['point {}'] * 8)])
def test_regions_of_ds9(tmp_path, text):
    for name, content in (('stars.reg', text), ('STARS.REG', HEADER + text), ('other.txt', HEADER + text)):
        path = tmp_path / name
        path.write_text(content, encoding='utf-8')
        assert_allclose(pixel_positions(path, FRAME), XY, atol=1e-4)
    assert_allclose(pixel_positions(str(path), FRAME), XY, atol=1e-4)


def test_other_regions_are_passed_over(tmp_path, caplog):
    path = tmp_path / 'stars.reg'
    path.write_text(HEADER + 'image\npolygon(1,2,3,4,5,6)\n-circle(3,4,5)\n# circle(8,8,2)\n\ncircle(11,21,5)\n'
                    '# text(3,4) text={a}\nline(1,2,3,4)\n', encoding='utf-8')
    with caplog.at_level(logging.INFO, 'hotpants_cy'):
        assert_allclose(pixel_positions(path, FRAME), [[10, 20]])
    assert '3 regions' in caplog.text


def test_physical_pixels_are_not_image_pixels_after_a_trim(tmp_path):
    path = tmp_path / 'stars.reg'
    path.write_text('physical\ncircle(111,221,5)\nimage\ncircle(111,221,5)\n', encoding='utf-8')
    frame = frame_at(LTV1=-100.0, LTV2=-200.0)
    assert_allclose(pixel_positions(path, frame), [[10, 20], [110, 220]])


@pytest.mark.parametrize(('text', 'words'), [
    ('linear\ncircle(1,2,3)', r'line 1: the coordinate system linear'), ('image\ncircle(a,b,3)', r'line 2: \(a, b\)'),
    ('fk5\ncircle(10,95,3)', 'no latitude'), ('image\npoint(4)', 'has no position'),
    ('fk5\ncircle(25:61:61,2,3)', 'line 2')])
def test_regions_that_cannot_be_understood_are_errors(tmp_path, text, words):
    path = tmp_path / 'stars.reg'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(InputError, match=words):
        pixel_positions(path, FRAME)


def test_a_region_file_without_regions_has_no_star(tmp_path):
    path = tmp_path / 'stars.reg'
    path.write_text(HEADER, encoding='utf-8')
    assert pixel_positions(path, FRAME).shape == (0, 2)


# -- tables in files --------------------------------------------------------------------------

@pytest.mark.parametrize('name', ['stars.ecsv', 'stars.vot', 'stars.xml', 'stars.fits', 'stars.csv', 'stars.dat',
                                  'stars'])
def test_tables_in_files(tmp_path, name):
    path = tmp_path / name
    formats = {'stars.dat': 'ascii', 'stars': 'ascii.commented_header', 'stars.vot': 'votable', 'stars.xml': 'votable'}
    table = table_of('x_centroid', 'y_centroid')
    table.write(path, **({'format': formats[name]} if name in formats else {}))
    assert_allclose(pixel_positions(path, NOWHERE), XY)
    assert_allclose(pixel_positions(str(path), NOWHERE), XY)


@pytest.mark.parametrize('name', ['stars.ecsv', 'stars.vot', 'stars.fits'])
def test_gaia_in_files(tmp_path, name):
    path = tmp_path / name
    unknown = np.arange(8) == 3
    table = gaia(pmra=MaskedColumn(PM[0].value, mask=unknown), pmdec=MaskedColumn(PM[1].value, mask=unknown))
    table.remove_column('SOURCE_ID')
    table.write(path, **({'format': 'votable'} if name.endswith('vot') else {}))
    expected = moved([np.where(unknown, 0, p) for p in PM])
    assert_allclose(pixel_positions(path, frame_at(OBSERVED)), expected, atol=1e-3)


def test_a_sky_column_survives_a_file(tmp_path):
    path = tmp_path / 'stars.ecsv'
    QTable({'sky_centroid': WORLD}).write(path)
    assert_allclose(pixel_positions(path, FRAME), XY, atol=1e-6)


# -- nonsense ---------------------------------------------------------------------------------

@pytest.mark.parametrize(('stars', 'words'), [
    (XY.T, r'an array of shape \(2, 8\)'), (np.ones((4, 3)), r'shape \(4, 3\)'), (np.ones(5), r'shape \(5,\)'),
    (5.0, r'shape \(\)'), (object(), 'object'), (None, 'NoneType'), ([['a', 'b']], 'list'), ([(1, 2), (3,)], 'list'),
    (XY * u.deg, 'in deg'), (table_of('col1', 'col2'), 'has columns col1, col2'), (Table(), 'no name'),
    (table_of('x', 'dec'), 'has columns'), (QTable({'x': XY[:, 0] * u.m, 'y': XY[:, 1] * u.m}), 'in m'),
    (Table({'x': ['a'], 'y': ['b']}), 'not hold numbers'), (QTable({'ra': [1] * u.m, 'dec': [2] * u.m}), 'in m'),
    (Table({'ra': ['x:y'], 'dec': ['1:2']}), 'x:y')])
def test_nonsense_is_an_error_that_says_what_is_accepted(stars, words):
    with pytest.raises(InputError, match=words) as info:
        pixel_positions(stars, FRAME, 'stars')
    assert str(info.value).startswith('stars: ')


def test_files_that_are_not_there_or_no_tables_are_errors(tmp_path):
    with pytest.raises(InputError, match='there is no file'):
        pixel_positions('auto', FRAME)
    with pytest.raises(InputError, match='there is no file'):
        pixel_positions(tmp_path, FRAME)
    path = tmp_path / 'noise.fits'
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(InputError, match=r'avoid: .*noise\.fits'):
        pixel_positions(path, FRAME, 'avoid')
