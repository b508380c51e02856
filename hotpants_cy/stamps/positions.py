"""Stars in any form, on the sky or on the image -> 0-based pixels of the science image (conventions 3.3)."""

import logging
import os
import re
import warnings

import numpy as np

from ..exceptions import InputError
from ..inputs.text import check_size, read_text
from .ds9 import pixels_of_regions
from .sky import observation_time, pixels_of_sky

__all__ = ['observation_time', 'pixel_positions']

_log = logging.getLogger(__name__)

PIXEL_COLUMNS = (('x', 'y'), ('x_centroid', 'y_centroid'), ('x_fit', 'y_fit'), ('x_0', 'y_0'),
                 ('xcentroid', 'ycentroid'), ('x_peak', 'y_peak'), ('x_init', 'y_init'))
SKY_COLUMNS = 'skycoord', 'sky_centroid', 'sky'
EQUATORIAL = ('ra', 'dec')
DS9 = b'# Region file format: DS9'
SYNONYMS = ' or '.join(map(','.join, PIXEL_COLUMNS[1:])) + ', or a SkyCoord as ' + ' or '.join(SKY_COLUMNS)
ACCEPTED = (f'an (N, 2) array of 0-based (x, y), a table with columns x,y or {SYNONYMS}, or ra,dec (degrees), a '
            'SkyCoord, a ds9 region file, or a file with such a table')


def pixel_positions(stars, frame, what='stars', *, keep_unknown=False):
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
    keep_unknown : bool, optional
        Keep rows without a finite position, as NaN. Default: they are left out.

    Returns
    -------
    float64 array (n, 2)
        (x, y) in 0-based pixels, some of them perhaps off the image.

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
        positions = pixels_of_sky(SkyCoord(stars), frame, what)
    elif _is_table(stars):
        positions = _of_table(_as_table(stars, what), frame, what)
    elif isinstance(stars, (list, tuple)) and len(stars) and all(isinstance(star, SkyCoord) for star in stars):
        positions = pixels_of_sky(SkyCoord(list(stars)), frame, what)
    else:
        positions = _of_pairs(stars, what)
    known = np.isfinite(positions).all(axis=1)
    if keep_unknown:
        positions[~known] = np.nan
        return positions
    if not known.all():
        _log.info('%d of %d %s have no position on the image and are left out', np.sum(~known), len(known), what)
    return positions[known]


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
            return pixels_of_sky(table[names[name]], frame, what)
    if all(name in names for name in EQUATORIAL):
        return pixels_of_sky(_equatorial(table, names, what), frame, what)
    raise InputError(f'{what}: the table has columns {", ".join(table.colnames) or "of no name"}; rename two of them '
                     f'to x, y (0-based pixels: those of SExtractor minus 1) or to ra, dec; or take {SYNONYMS}')


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


# -- files ----------------------------------------------------------------------------------------

def _of_file(path, frame, what):
    if not os.path.isfile(path):
        hint = f'; {what} must be {ACCEPTED}' if os.sep not in path and '.' not in path else ''     # no name of a file
        raise InputError(f'{what}: there is no file {path!r}{hint}')
    try:
        check_size(path)
        with open(path, 'rb') as file:
            is_regions = path.lower().endswith('.reg') or file.read(len(DS9)) == DS9
    except OSError as error:
        raise InputError(f'{what}: cannot read {path}: {error.strerror}') from error
    except InputError as error:
        raise InputError(f'{what}: {error}') from error
    return (pixels_of_regions(read_text(path), path, frame, what) if is_regions
            else _of_table(_read_table(path, what), frame, what))


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
