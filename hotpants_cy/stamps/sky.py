"""Positions on the sky -> 0-based pixels of the science image, at the time of the observation."""

import logging
import warnings

import numpy as np

from ..exceptions import InputError
from ..words import counted

__all__ = ['observation_time', 'pixels_of_sky']

_log = logging.getLogger(__name__)

TIMES = (('MJD-AVG', 'mjd'), ('MJD-OBS', 'mjd'), ('DATE-AVG', None), ('DATE-OBS', None), ('JD', 'jd'))
POSSIBLE = 1880.0, 2200.0       # years between which an observation may lie: zeros in headers are none


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
    >>> from hotpants_cy.stamps.sky import observation_time
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


def pixels_of_sky(sky, frame, what):
    """Pixels of coordinates, moved to the time of the observation."""
    if frame.wcs is None or not getattr(frame.wcs, 'has_celestial', True):
        raise InputError(f'{what}: {counted(sky.size, "position")} on the sky cannot be used, since the science image '
                         'has no celestial WCS; give pixels, or an image with a WCS')
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
