"""Stars in any form, on the sky or on the image -> 0-based pixels of the science image (conventions 3.3)."""

import logging
import os
import re
import warnings

import numpy as np

from ..exceptions import InputError

__all__ = ['observation_time', 'pixel_positions']

_log = logging.getLogger(__name__)

PIXEL_COLUMNS = (('x', 'y'), ('x_centroid', 'y_centroid'), ('x_fit', 'y_fit'), ('x_0', 'y_0'),
                 ('xcentroid', 'ycentroid'), ('x_peak', 'y_peak'), ('x_init', 'y_init'))
SKY_COLUMNS = 'skycoord', 'sky_centroid', 'sky'
EQUATORIAL = ('ra', 'dec')
ACCEPTED = ('an (N, 2) array of 0-based (x, y), a table with columns ' + ' or '.join(map(','.join, PIXEL_COLUMNS))
            + ' (0-based pixels), ' + ' or '.join(SKY_COLUMNS) + ' (SkyCoord) or ra,dec (degrees), a SkyCoord, a ds9 '
            'region file, or a file with such a table')
TIMES = (('MJD-AVG', 'mjd'), ('MJD-OBS', 'mjd'), ('DATE-AVG', None), ('DATE-OBS', None), ('JD', 'jd'))
POSSIBLE = 1880.0, 2200.0       # years between which an observation may lie: zeros in headers are none


def pixel_positions(stars, frame, what='stars'):
    """Positions of stars on the science image.

    Parameters
    ----------
    stars : array-like, table, `~astropy.coordinates.SkyCoord`, str or `~pathlib.Path`
        One of

        - pairs (x, y), shape (n, 2), in 0-based pixels: the centre of the first one is (0, 0);
        - a `~astropy.table.Table`, structured array, dictionary of columns or pandas data frame with, in any case of
          the letters, the first of ``x, y``; ``x_centroid, y_centroid``; ``x_fit, y_fit``; ``x_0, y_0``;
          ``xcentroid, ycentroid``; ``x_peak, y_peak``; ``x_init, y_init`` (0-based pixels); ``skycoord``,
          ``sky_centroid`` or ``sky`` (SkyCoord); ``ra, dec`` (ICRS; degrees unless a unit says otherwise, or
          sexagesimal strings), with or without ``pmra, pmdec`` (mas/yr) and ``ref_epoch`` (Julian years), as Gaia has;
        - a SkyCoord of any frame; with proper motions and an ``obstime`` it is moved to the time of the observation;
        - a path to a ds9 region file, whose circles, points, boxes, ellipses and annuli are taken, or to any table
          that `~astropy.table.Table` reads.
    frame : Frame
        The science image.
    what : str, optional
        What to call the positions in messages; default ``'stars'``.

    Returns
    -------
    float64 array (n, 2)
        (x, y) in 0-based pixels, some of them perhaps off the image. Rows without a finite position are left out.

    Raises
    ------
    InputError
        It is none of these, or on the sky while the image has no WCS.

    Examples
    --------
    >>> from astropy.coordinates import SkyCoord
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inputs.frame import as_frame
    >>> from hotpants_cy.stamps.positions import pixel_positions
    >>> frame = as_frame(make_pair((128, 128), n_transients=0).science, name='science')
    >>> pixel_positions({'x_fit': [10.5], 'y_fit': [20.0]}, frame)
    array([[10.5, 20. ]])
    >>> pixel_positions(SkyCoord(150.1, 2.2, unit='deg'), frame).round(3)
    array([[63.5, 63.5]])
    """
    from astropy.coordinates import BaseCoordinateFrame, SkyCoord
    if isinstance(stars, (str, os.PathLike)):
        positions = _of_file(os.path.expanduser(os.fspath(stars)), frame, what)
    elif isinstance(stars, (SkyCoord, BaseCoordinateFrame)):
        positions = _of_sky(SkyCoord(stars), frame, what)
    elif _is_table(stars):
        positions = _of_table(_as_table(stars, what), frame, what)
    elif isinstance(stars, (list, tuple)) and len(stars) and all(isinstance(star, SkyCoord) for star in stars):
        positions = _of_sky(SkyCoord(list(stars)), frame, what)
    else:
        positions = _of_pairs(stars, what)
    known = np.isfinite(positions).all(axis=1)
    if not known.all():
        _log.info('%d of %d %s have no position on the image and are left out', np.sum(~known), len(known), what)
    return positions[known]


def observation_time(meta, wcs=None):
    """When an image was taken.

    Parameters
    ----------
    meta : dict-like or None
        Header. The first usable one of MJD-AVG, MJD-OBS, DATE-AVG, DATE-OBS and JD counts, on the scale TIMESYS.
    wcs : `~astropy.wcs.WCS`, optional
        What is asked next.

    Returns
    -------
    `~astropy.time.Time` or None

    Examples
    --------
    >>> from hotpants_cy.stamps.positions import observation_time
    >>> observation_time({'DATE-OBS': '2026-03-01T04:05:06'}).isot
    '2026-03-01T04:05:06.000'
    """
    from astropy.time import Time
    header = {str(key).upper(): meta[key] for key in meta or () if str(key).strip()}
    inner = getattr(getattr(wcs, 'low_level_wcs', wcs), 'wcs', None)
    candidates = [(header.get(key), form) for key, form in TIMES]
    candidates += [(getattr(inner, name, None), form) for name, form in
                   (('mjdavg', 'mjd'), ('mjdobs', 'mjd'), ('dateavg', None), ('dateobs', None))]
    scale = str(header.get('TIMESYS', 'utc')).strip().lower()
    scale = scale if scale in Time.SCALES and scale != 'local' else 'utc'
    for value, form in candidates:
        if value is None or value == '':
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                time = Time(float(value) if form else str(value).strip(), format=form, scale=scale)
                if POSSIBLE[0] < time.jyear < POSSIBLE[1]:
                    return time
        except (TypeError, ValueError):
            continue
    return None


# -- pixels ---------------------------------------------------------------------------------------

def _of_pairs(stars, what):
    if stars is None:
        raise _nonsense(stars, what)
    try:
        if np.ma.isMaskedArray(stars):
            stars = np.ma.filled(stars.astype(float), np.nan)
        positions = np.array(_in_pixels(stars, what), float)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise _nonsense(stars, what) from error
    if positions.size == 0:
        return np.empty((0, 2))
    if positions.shape == (2,):
        positions = positions[np.newaxis]
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise InputError(f'{what}: an array of shape {positions.shape} was given; {what} must be {ACCEPTED}')
    return positions


def _in_pixels(values, what):
    """Numbers of a Quantity in pixels, or of one without a unit; whatever else as it is."""
    from astropy import units as u
    if not hasattr(values, 'unit') or values.unit is None:
        return values
    if values.unit not in (u.pix, u.dimensionless_unscaled):
        raise InputError(f'{what}: the positions are in {values.unit}, but they must be in pixels; give positions on '
                         'the sky as a SkyCoord')
    return values.value


def _nonsense(stars, what):
    shown = repr(stars)
    shown = shown if len(shown) < 60 else shown[:57] + '...'
    return InputError(f'{what}: {type(stars).__name__} {shown} was given; {what} must be {ACCEPTED}')


# -- tables ---------------------------------------------------------------------------------------

def _is_table(stars):
    # data frames have columns too
    return (hasattr(stars, 'colnames') or hasattr(stars, 'columns') or isinstance(stars, dict)
            or getattr(getattr(stars, 'dtype', None), 'names', None) is not None)


def _as_table(stars, what):
    from astropy.table import QTable, Row, Table
    if isinstance(stars, Row):
        return stars.table[stars.index:stars.index + 1]
    if isinstance(stars, Table):
        return stars
    try:
        if hasattr(stars, 'to_records'):
            stars = stars.to_records(index=False)
        if isinstance(stars, dict):
            stars = {str(key): value for key, value in stars.items()}
        return QTable(np.atleast_1d(stars) if hasattr(stars, 'dtype') else stars)
    except Exception as error:
        raise _nonsense(stars, what) from error


def _of_table(table, frame, what):
    from astropy.coordinates import SkyCoord
    # a Gaia table has SOURCE_ID twice, in capitals and not: the first one of a name counts
    names = {name.lower(): name for name in reversed(table.colnames)}
    for x, y in PIXEL_COLUMNS:
        if x in names and y in names:
            return np.column_stack([_numbers(table[names[name]], None, what) for name in (x, y)])
    for name in SKY_COLUMNS:
        if name in names and isinstance(table[names[name]], SkyCoord):
            return _of_sky(table[names[name]], frame, what)
    if all(name in names for name in EQUATORIAL):
        return _of_sky(_equatorial(table, names, what), frame, what)
    raise InputError(f'{what}: the table has columns {", ".join(table.colnames) or "of no name"}; {what} must be '
                     f'{ACCEPTED}')


def _numbers(column, unit, what):
    """Values of a column as plain floats, in a unit or in pixels (None); NaN where they are masked."""
    from astropy.units import Quantity, UnitConversionError
    mask = np.ma.getmaskarray(column) if np.ma.isMaskedArray(column) else getattr(column, 'mask', False)
    column = getattr(column, 'unmasked', column)
    name = getattr(getattr(column, 'info', None), 'name', None)
    try:
        if unit is None:
            values = np.array(_in_pixels(column, what), float)
        elif getattr(column, 'unit', None) is not None:
            values = np.array(Quantity(np.ma.getdata(column), column.unit).to_value(unit), float)
        else:
            values = np.array(np.ma.getdata(column), float)
    except UnitConversionError as error:
        raise InputError(f'{what}: column {name} is in {column.unit}, which does not convert to {unit}') from error
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f'{what}: column {name} does not hold numbers') from error
    return np.where(mask, np.nan, values)


def _equatorial(table, names, what):
    """Coordinates with their proper motions, as far as a table has them."""
    from astropy import units as u
    from astropy.coordinates import SkyCoord
    from astropy.time import Time
    columns = [table[names[name]] for name in EQUATORIAL]
    if all(getattr(column, 'dtype', np.dtype(float)).kind in 'US' for column in columns):
        ra, dec = (_angles(column, unit, what) for column, unit in zip(columns, ('hourangle', 'deg'), strict=True))
    else:
        ra, dec = (_numbers(column, u.deg, what) * u.deg for column in columns)
    dec = np.where(np.abs(dec) <= 90 * u.deg, dec, np.nan)
    if not {'pmra', 'pmdec', 'ref_epoch'} <= set(names):
        return SkyCoord(ra, dec)
    pm_ra, pm_dec = (_numbers(table[names[name]], u.mas / u.yr, what) * u.mas / u.yr
                     for name in ('pmra', 'pmdec'))
    epoch = table[names['ref_epoch']]
    if isinstance(epoch, Time):
        return SkyCoord(ra, dec, pm_ra_cosdec=pm_ra, pm_dec=pm_dec, obstime=epoch)
    epoch = _numbers(epoch, u.yr, what)
    still = ~np.isfinite(epoch)
    pm_ra[still] = np.nan
    epoch = Time(np.where(still, 2016.0, epoch), format='jyear', scale='tcb')
    return SkyCoord(ra, dec, pm_ra_cosdec=pm_ra, pm_dec=pm_dec, obstime=epoch)


def _angles(texts, unit, what):
    """Angles of strings; sexagesimal ones in a unit, plain numbers in degrees."""
    from astropy import units as u
    from astropy.coordinates import Angle
    try:
        return u.Quantity([Angle(str(t).strip(), unit if re.search(r'[:\s]', str(t).strip()) else 'deg').to('deg')
                           for t in texts]) if len(texts) else [] * u.deg
    except (TypeError, ValueError) as error:
        raise InputError(f'{what}: {error}') from error


# -- the sky --------------------------------------------------------------------------------------

def _of_sky(sky, frame, what):
    """Pixels of coordinates, moved to the time of the observation."""
    if frame.wcs is None or not getattr(frame.wcs, 'has_celestial', True):
        raise InputError(f'{what}: {sky.size} positions on the sky were given, but the science image has no celestial '
                         'WCS; give pixels, or an image with a WCS')
    if sky.size == 0:
        return np.empty((0, 2))
    sky = _moved(sky.reshape(1) if sky.isscalar else sky.ravel(), observation_time(frame.meta, frame.wcs), what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')     # of what lies far outside, distortions cannot be inverted
            x, y = frame.wcs.world_to_pixel(sky)
    except Exception as error:
        raise InputError(f'{what}: the WCS of the science image does not take {sky.frame.name} coordinates to pixels: '
                         f'{error}') from error
    return np.column_stack([np.ma.filled(np.ma.asarray(v, float), np.nan) for v in (x, y)])


def _moved(sky, time, what):
    """Coordinates at another time, if they say how they move, and from when."""
    from astropy import units as u
    from astropy.coordinates import SkyCoord
    if 's' not in sky.data.differentials:
        return sky
    if sky.obstime is None or time is None:
        _log.info('the proper motions of the %s are not used: there is no %s', what,
                  'epoch of the positions' if sky.obstime is None else 'time of observation in the header')
        return sky
    icrs = sky.icrs
    motion = u.Quantity([icrs.pm_ra_cosdec, icrs.pm_dec], u.mas / u.yr)
    motion[:, ~np.isfinite(motion).all(axis=0)] = 0
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')     # ERFA about distances that nobody knows
        start = SkyCoord(icrs.ra, icrs.dec, pm_ra_cosdec=motion[0], pm_dec=motion[1], obstime=sky.obstime)
        return start.apply_space_motion(new_obstime=time)


# -- files ----------------------------------------------------------------------------------------

def _of_file(path, frame, what):
    if not os.path.isfile(path):
        raise InputError(f'{what}: there is no file {path!r}; {what} must be {ACCEPTED}')
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            text = file.read() if path.lower().endswith('.reg') else file.read(200)
            if path.lower().endswith('.reg') or text.startswith('# Region file format: DS9'):
                return _of_regions(text + file.read(), path, frame, what)
    except OSError as error:
        raise InputError(f'{what}: cannot read {path}: {error.strerror}') from error
    return _of_table(_read_table(path, what), frame, what)


def _read_table(path, what):
    """First table of a file, in the format that its name or its beginning tells, or any that can be guessed."""
    from astropy.io.registry import IORegistryError
    from astropy.table import QTable
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')     # about details of VOTables and units
            try:
                return QTable.read(path)
            except IORegistryError:
                return QTable.read(path, format='ascii')
    except Exception as error:
        reason = str(error).strip().split('\n')[0]
        raise InputError(f'{what}: {path} is neither a ds9 region file nor a table that astropy reads: '
                         f'{reason}') from error


SYSTEMS = {'image': None, 'physical': None, 'icrs': 'icrs', 'fk5': 'fk5', 'j2000': 'fk5', 'fk4': 'fk4',
           'b1950': 'fk4', 'galactic': 'galactic', 'ecliptic': 'barycentricmeanecliptic'}
OTHER_SYSTEMS = 'linear', 'amplifier', 'detector', 'wcs'
SHAPE = re.compile(r'\+?\s*(?P<shape>[a-z]+)\s*(?:\(\s*|\s)(?P<rest>.*)', re.IGNORECASE)
CENTRED = 'circle', 'point', 'box', 'rotbox', 'ellipse', 'annulus'


def _of_regions(text, path, frame, what):
    """Centres of ds9 regions, which count image pixels from 1."""
    system, passed, places = 'physical', 0, []
    for number, line in enumerate(text.splitlines(), 1):
        # what follows # are properties or a remark; a text among them may hold semicolons
        for part in filter(None, map(str.strip, line.split('#')[0].split(';'))):
            word = part.lower()
            if word in SYSTEMS:
                system = word
                continue
            if word in OTHER_SYSTEMS or re.fullmatch('wcs[a-z]', word):
                raise InputError(f'{what}: {path}, line {number}: the coordinate system {word} is not known here; '
                                 f'save the regions in one of {", ".join(SYSTEMS)}')
            match = SHAPE.match(part)
            if match is None or match['shape'].lower() not in CENTRED:
                passed += word.split()[0] != 'global'
                continue
            values = re.split(r'[,\s)]+', match['rest'])
            if len(values) < 2 or not values[1]:
                raise InputError(f'{what}: {path}, line {number}: {part[:60]!r} has no position')
            places.append((system, *values[:2], number))
    if passed:
        _log.info('%s: %d regions that are excluded, or are no %s, are passed over', path, passed, ', '.join(CENTRED))
    positions = np.full((len(places), 2), np.nan)
    for system in {place[0] for place in places}:
        rows = [k for k, place in enumerate(places) if place[0] == system]
        positions[rows] = _of_system(system, [places[k] for k in rows], path, frame, what)
    return positions


def _of_system(system, places, path, frame, what):
    """Pixels of the regions of one coordinate system."""
    from astropy import units as u
    from astropy.coordinates import Angle, SkyCoord
    lon, lat = [], []
    for _, first, second, number in places:
        try:
            if SYSTEMS[system] is None:
                lon.append(float(first.rstrip('ip')))
                lat.append(float(second.rstrip('ip')))
            else:
                hours = ':' in first and SYSTEMS[system] in ('icrs', 'fk5', 'fk4')
                lon.append(Angle(first, u.hourangle if hours else u.deg).to_value(u.deg))
                lat.append(Angle(second, u.deg).to_value(u.deg))
                if not abs(lat[-1]) <= 90:
                    raise ValueError(f'{second} is no latitude')
        except ValueError as error:
            raise InputError(f'{what}: {path}, line {number}: ({first}, {second}) is no position in the coordinate '
                             f'system {system}: {error}') from error
    if SYSTEMS[system] is not None:
        return _of_sky(SkyCoord(lon, lat, unit='deg', frame=SYSTEMS[system]), frame, what)
    pixels = np.column_stack([lon, lat])
    if system == 'physical':
        # IRAF's keywords: image = LTM physical + LTV
        meta = frame.meta or {}
        pixels = pixels * [float(meta.get(key, 1)) for key in ('LTM1_1', 'LTM2_2')]
        pixels = pixels + [float(meta.get(key, 0)) for key in ('LTV1', 'LTV2')]
    return pixels - 1
