"""Region files of ds9 -> 0-based pixels of the science image."""

import logging
import re

import numpy as np

from ..exceptions import InputError
from .sky import pixels_of_sky

__all__ = ['pixels_of_regions']

_log = logging.getLogger(__name__)

SYSTEMS = {'image': None, 'physical': None, 'icrs': 'icrs', 'fk5': 'fk5', 'j2000': 'fk5', 'fk4': 'fk4',
           'b1950': 'fk4', 'galactic': 'galactic', 'ecliptic': 'barycentricmeanecliptic'}
OTHER_SYSTEMS = 'linear', 'amplifier', 'detector', 'wcs'
SHAPE = re.compile(r'\+?\s*(?P<shape>[a-z]+)\s*(?:\(\s*|\s)(?P<rest>.*)', re.IGNORECASE)
CENTRED = 'circle', 'point', 'box', 'rotbox', 'ellipse', 'annulus'


def pixels_of_regions(text, path, frame, what):
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
        return pixels_of_sky(SkyCoord(lon, lat, unit='deg', frame=SYSTEMS[system]), frame, what)
    pixels = np.column_stack([lon, lat])
    if system == 'physical':
        # IRAF's keywords: image = LTM physical + LTV
        meta = frame.meta or {}
        pixels = pixels * [float(meta.get(key, 1)) for key in ('LTM1_1', 'LTM2_2')]
        pixels = pixels + [float(meta.get(key, 0)) for key in ('LTV1', 'LTV2')]
    return pixels - 1
