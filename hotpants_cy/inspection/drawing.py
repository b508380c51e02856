"""Light of point sources on pixels: tables of sources, and PSFs of any kind as pictures between pixels."""

from dataclasses import dataclass

import numpy as np
from astropy import units as u

from ..exceptions import InputError
from ..products.given_psf import GivenPSF, ModelAnywhere, reach_of
from ..stamps.positions import pixel_positions

__all__ = ['add_picture', 'drawer', 'light_of', 'sources_of']

FLUX_COLUMNS = ('flux', 'flux_fit', 'flux_0', 'flux_init')


def sources_of(sources, image):
    """Positions (n, 2) in pixels and fluxes (n,) of a table, in the unit of an image; all of them finite."""
    names = getattr(sources, 'colnames', None) or list(getattr(sources, 'keys', list)())
    names += [] if names else list(getattr(getattr(sources, 'dtype', None), 'names', None) or ())
    known = {str(name).lower(): name for name in reversed(names)}
    column = next((known[name] for name in FLUX_COLUMNS if name in known), None)
    if column is None:
        raise InputError(f'sources: there is no flux; they must be a table with positions and a column '
                         f'{", ".join(FLUX_COLUMNS[:-1])} or {FLUX_COLUMNS[-1]}, not '
                         + (f'one with {", ".join(map(str, names))}' if names else f'a {type(sources).__name__}'))
    unit, given = getattr(image, 'unit', None), sources[column]
    try:
        flux = u.Quantity(given, unit).value        # converts, or takes plain numbers to be in that unit
    except (u.UnitConversionError, TypeError, ValueError) as error:
        raise InputError(f'sources: column {column} does not hold fluxes in {unit or "numbers"}: {error}') from error
    flux = np.ma.filled(np.ma.asarray(np.atleast_1d(flux), float), np.nan)
    xy = pixel_positions(sources, _Place(getattr(image, 'wcs', None), getattr(image, 'meta', None)), 'sources')
    bad = len(flux) - min(len(xy), np.isfinite(flux).sum())
    if bad:
        raise InputError(f'sources: {bad} of {len(flux)} have no finite position or flux; leave them out')
    return xy, flux


@dataclass(frozen=True)
class _Place:
    """What positions on the sky need of an image."""

    wcs: object
    meta: object


def light_of(xy, flux, draw, shape):
    """Plane of the light of sources, in the unit of their fluxes; what falls off it is lost."""
    light = np.zeros(shape)
    for (x, y), f in zip(xy, flux, strict=True):
        add_picture(light, f * draw(x, y), round(x), round(y))
    return light


def drawer(psf, shape, half_width):
    """Function of x and y that gives the pixels around a source of unit flux there, of odd sides."""
    if psf is None:
        raise InputError('there is no PSF to draw sources with: the image has none, so give psf')
    if half_width is not None and not half_width >= 1:
        raise InputError(f'half_width={half_width} is impossible: it must be 1 or more')
    if hasattr(psf, 'stamp'):               # a FieldPSF
        return psf.stamp
    where, half = (shape[1] // 2, shape[0] // 2), half_width
    source = ModelAnywhere.of(psf, half_width) if hasattr(psf, 'param_names') else psf
    given = GivenPSF.of(source, where)
    if half is None:
        half = given.half_width
        if callable(source):
            sample = source(*where)
            half = reach_of(sample) if callable(sample) else half
    return lambda x, y: given.draw(x, y, x - round(x), y - round(y), half)


def add_picture(plane, picture, x, y):
    """Add a picture of odd sides, centred on a pixel; what lies outside is lost."""
    half, (ny, nx) = picture.shape[0] // 2, plane.shape
    y0, y1, x0, x1 = max(0, y - half), min(ny, y + half + 1), max(0, x - half), min(nx, x + half + 1)
    if y0 < y1 and x0 < x1:
        plane[y0:y1, x0:x1] += picture[y0 - y + half:y1 - y + half, x0 - x + half:x1 - x + half]
