"""Stars to fit the kernel to: a list that the user brings, or the bright ones of an image."""

import logging
import math

import numpy as np

from ..checks import checked, integer, or_none, positive, real
from ..exceptions import InputError
from ..inputs.frame import as_frame
from .peaks import Peaks, Sky, boxes_around, filled_value
from .positions import pixel_positions
from .shapes import FWHM_OF_SIGMA, cutouts

__all__ = ['find_stars', 'star_positions']

_log = logging.getLogger(__name__)

GUESS = 3.0               # FWHM in pixels to begin with
BRIGHT = 200              # peaks that the FWHM is measured from
SHARPEST_STAR = 0.15      # neighbours of the peak over the peak: what stars of FWHM 1.5 exceed
SHARP = 0.6               # the same, over what the least favourable place of a star in its pixel gives
NARROW = 0.7              # FWHM of a source over that of stars: cosmic rays lie below
SAME_SIZE = 0.2           # what the logarithms of the sizes of stars may differ by
CORE = 0.6                # sigma of the weight over that of the stars: the wings of a Moffat profile count little
SAMPLE = 200_000          # pixels that tell a value that stands for nothing
LONG = 4.0                # sigma in pixels of the weight that tells trails from stars
TRAIL = 0.85, 0.35        # of its variance: more along, and less across, has what goes on where the weight ends
LOPSIDED = 1.5            # pixels that the centroid of a trail is off its ridge, at most
NARROWEST = 0.9           # sigma in pixels of the weight: what it lets pass must be sampled well


def star_positions(catalog):
    """Positions of a 1-based star list as the engine wants them.

    Parameters
    ----------
    catalog : array (n, 2)
        Positions (x, y) in pixels, the centre of the first pixel being (1, 1) [C: ``-ssf``].

    Returns
    -------
    float32 array (n, 2)
        The same, 0-based.

    Raises
    ------
    InputError
        It is not a list of pairs of finite numbers.

    Examples
    --------
    >>> star_positions([(10, 20.5)])
    array([[ 9. , 19.5]], dtype=float32)
    """
    try:
        positions = np.array(catalog, np.float32)
    except (TypeError, ValueError):
        positions = np.empty(0)
    if positions.ndim != 2 or positions.shape[1] != 2 or not np.isfinite(positions).all():
        raise InputError('a star catalogue must be a list of positions (x, y), each of two finite numbers')
    return positions - np.float32(1)


def find_stars(ccd, *, fwhm=None, threshold=10.0, n_brightest=500, saturation=None, avoid=None, avoid_radius=5.0,
               mask=None):
    """Find the bright stars of an image, in less time than it takes to subtract it.

    Peaks are looked for among the maxima of blocks of 3 × 3 pixels, so that of two stars closer than some 5 pixels, or
    3 FWHM if one is much brighter, only the brighter one may be found. What is sharper than stars, what is saturated,
    and what has a bad pixel within a FWHM is left out. Galaxies and blends may come out: they are for the vetting, as
    are cosmic rays that outnumber the stars.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, array, str, `~pathlib.Path` or Frame
        The image, masked where it is bad; with or without its sky.
    fwhm : float, optional
        Full width at half maximum of the stars, in pixels. Default: measured.
    threshold : float, optional
        Least height of the peak over the sky, in sigmas of the sky. Default 10.
    n_brightest : int, optional
        Largest number of stars. Default 500.
    saturation : float or `~astropy.units.Quantity`, optional
        Pixels from here up are saturated, in data units. Default: judged from peaks that are flat, and near to the
        highest of the image.
    avoid : optional
        Positions where no star is wanted, in any form that ``stars`` may have.
    avoid_radius : float, optional
        How far from these, in pixels. Default 5.
    mask : bool array, shape (ny, nx), optional
        True is bad, in addition to the image's own mask.

    Returns
    -------
    `~astropy.table.QTable`
        One row per star, the brightest first; no row if there is none. ``id`` from 1; ``x_centroid`` and
        ``y_centroid`` in 0-based pixels; ``sky_centroid`` if there is a WCS; ``peak``, the highest pixel over the sky,
        and ``flux`` within 1.5 FWHM, in the unit of the image; ``snr`` of that flux, with the uncertainty of the
        image or else the scatter of its sky; ``fwhm`` of a Gaussian as wide as the core. ``meta`` has the FWHM typical
        of the image, the parameters, the date and the versions.

    Raises
    ------
    InputError
        The image, the mask or a parameter is impossible.

    Examples
    --------
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy import find_stars
    >>> pair = make_pair((256, 256), seed=1, n_transients=0)
    >>> stars = find_stars(pair.science, n_brightest=20)
    >>> len(stars), stars['flux'].unit
    (20, Unit("adu"))
    >>> bool(abs(stars.meta['fwhm'] / 3.6 - 1) < 0.1)
    True
    """
    fwhm, threshold = checked('fwhm', fwhm, or_none(positive())), checked('threshold', threshold, positive())
    n_brightest = checked('n_brightest', n_brightest, integer(1, 2**31 - 1))
    avoid_radius = checked('avoid_radius', avoid_radius, real(0))
    frame = as_frame(ccd, name='science', mask=None if hasattr(ccd, 'flags') and hasattr(ccd, 'variance') else mask)
    bad = _bad_pixels(frame, mask)
    saturation = _in_unit(saturation, frame.unit)
    sky = Sky.of(frame.data, bad)
    peaks = Peaks.of(frame.data, bad, sky, threshold, 3 * n_brightest + BRIGHT)
    peaks = peaks[~peaks.saturated(saturation) & peaks.as_wide_as(SHARPEST_STAR)]
    peaks = peaks[~_are_trails(np.nan_to_num(_over_sky(frame.data, bad, peaks)))]
    if fwhm is None:
        fwhm = _typical_fwhm(frame.data, bad, peaks)
    # opposite neighbours of a Gaussian's highest pixel are lowest, on average, where it is centred on the pixel
    peaks = peaks[peaks.as_wide_as(SHARP * math.exp(-4 * math.log(2) / fwhm**2))][:2 * n_brightest]
    columns = _measure(frame, bad, peaks, fwhm)
    if avoid is not None:
        columns = _away_from(columns, pixel_positions(avoid, frame, 'avoid'), avoid_radius)
    columns = columns[np.argsort(-columns['flux'], kind='stable')][:n_brightest]
    _log.info('%d stars found, FWHM %.2f pixels', len(columns), fwhm)
    return _table(columns, frame, {'fwhm': float(fwhm), 'threshold': threshold, 'n_brightest': n_brightest,
                                   'saturation': saturation})


def _in_unit(level, unit):
    if level is None or not hasattr(level, 'unit'):
        return level
    try:
        return float(level.to_value(unit or ''))
    except Exception as error:
        raise InputError(f'saturation={level} does not convert to {unit or "a number"}, as the image has') from error


def _bad_pixels(frame, mask):
    bad = np.zeros(frame.shape, bool) if frame.flags is None else frame.flags != 0
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != frame.shape:
            raise InputError(f'the mask has shape {mask.shape}, the image {frame.shape}: they must be the same')
        bad |= mask > 0
    some = np.s_[::max(1, bad.size // SAMPLE)]
    filled = filled_value(frame.data.reshape(-1)[some][~bad.reshape(-1)[some]])
    return bad if np.isnan(filled) else bad | (frame.data == filled)


def _moments(over, sigma, iterations, adapt):
    """Centroids (n,) from the middle of boxes over the sky, and sigmas, by moments under a round Gaussian weight.

    A round weight is a product of one in x and one in y, so that all moments come from two small matrix products.
    """
    offsets = np.arange(over.shape[1]) - over.shape[1] // 2
    dx, dy, size = np.zeros(len(over)), np.zeros(len(over)), np.full(len(over), float(sigma))
    for _ in range(iterations):
        weight = np.maximum(CORE * (size if adapt else sigma), NARROWEST)
        powers = []
        for centre in (dx, dy):
            u = offsets - centre[:, np.newaxis]
            gauss = np.exp(-0.5 * (u / np.reshape(weight, (-1, 1)))**2)
            powers.append(np.stack([gauss, gauss * u, gauss * u * u], axis=2))
        sums = powers[1].transpose(0, 2, 1) @ over @ powers[0]
        with np.errstate(all='ignore'):
            x, y = sums[:, 0, 1] / sums[:, 0, 0], sums[:, 1, 0] / sums[:, 0, 0]
            measured = ((sums[:, 0, 2] + sums[:, 2, 0]) / sums[:, 0, 0] - x**2 - y**2) / 2
            # the product of two Gaussians: inverse variances add
            after = np.sqrt(1 / (1 / measured - 1 / weight**2))
        size = np.clip(np.nan_to_num(after, nan=2 * GUESS), 0.3, 2 * GUESS)
        gain = 1 + (sigma / weight)**2
        dx, dy = (np.clip(d + np.clip(np.nan_to_num(gain * s), -1, 1), -4, 4) for d, s in ((dx, x), (dy, y)))
    return dx, dy, after


def _over_sky(data, bad, peaks, half_width=15):
    """Boxes around peaks over their sky, NaN where nothing is known."""
    return boxes_around(data, bad, peaks.x, peaks.y, half_width) - peaks.sky[:, np.newaxis, np.newaxis]


def _are_trails(over):
    """Which boxes over the sky show a piece of a line, like that of a satellite, whose ridge has many peaks."""
    centre = over.shape[1] // 2
    u = np.arange(over.shape[1]) - centre
    gauss = np.exp(-0.5 * (u / LONG)**2)
    over = np.minimum(over, 1.5 * over[:, centre, centre, np.newaxis, np.newaxis])       # else neighbours count
    powers = np.stack([gauss, gauss * u, gauss * u * u])
    sums = powers @ over @ powers.T
    with np.errstate(all='ignore'):
        sums = sums / sums[:, :1, :1]
        x, y = sums[:, 0, 1], sums[:, 1, 0]
        xx, yy, xy = sums[:, 0, 2] - x * x, sums[:, 2, 0] - y * y, sums[:, 1, 1] - x * y
        middle, apart = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
        # a neighbour makes a star as long, on one side
        return ((middle + apart > TRAIL[0] * LONG**2) & (middle - apart < TRAIL[1] * LONG**2)
                & (np.hypot(x, y) < LOPSIDED))


def _typical_fwhm(data, bad, peaks):
    """FWHM that most of the brightest sources have: stars are of one size, cosmic rays and galaxies of many."""
    peaks = peaks[:BRIGHT]
    *_, sigma = _moments(np.nan_to_num(_over_sky(data, bad, peaks)), GUESS / FWHM_OF_SIGMA, 15, adapt=True)
    sizes = np.sort(np.log(FWHM_OF_SIGMA * sigma[np.isfinite(sigma) & (sigma > 0)]))
    if not len(sizes):
        return GUESS
    last = np.searchsorted(sizes, sizes + SAME_SIZE, 'right')
    first = len(sizes) - 1 - np.argmax((last - np.arange(len(sizes)))[::-1])      # the widest of equals
    return math.exp(np.median(sizes[first:last[first]]))


def _measure(frame, bad, peaks, fwhm):
    """Columns of the sources that look like stars, or more extended."""
    half_width = math.ceil(2 * fwhm) + 1
    over = _over_sky(frame.data, bad, peaks, half_width)
    filled = np.nan_to_num(over)
    dx, dy, sigma = _moments(filled, fwhm / FWHM_OF_SIGMA, 6, adapt=False)
    offsets = np.arange(-half_width, half_width + 1)
    distance = np.sqrt((offsets - dx[:, np.newaxis])[:, np.newaxis, :]**2
                       + (offsets - dy[:, np.newaxis])[:, :, np.newaxis]**2)
    aperture = np.clip(1.5 * fwhm + 0.5 - distance, 0, 1)     # falls off over one pixel
    flux = (aperture * filled).sum(axis=(1, 2))
    if frame.variance is None:
        noise = peaks.sigma**2 * (aperture**2).sum(axis=(1, 2))
    else:
        noise = (aperture**2 * np.nan_to_num(cutouts(frame.variance, peaks.x, peaks.y, half_width))).sum(axis=(1, 2))
    with np.errstate(invalid='ignore'):
        good = (sigma > NARROW * fwhm / FWHM_OF_SIGMA) & (flux > 0)
    good &= ~(np.isnan(over) & (distance < max(fwhm, 1.5))).any(axis=(1, 2)) & (np.hypot(dx, dy) < max(fwhm / 2, 1.5))
    columns = np.rec.fromarrays(
        [peaks.x + dx, peaks.y + dy, peaks.height, flux, flux / np.sqrt(np.maximum(noise, 1e-60)),
         FWHM_OF_SIGMA * sigma], names='x_centroid,y_centroid,peak,flux,snr,fwhm')[good]
    return _single(columns, max(fwhm, 1.5))


def _single(columns, radius):
    """Of sources that lie closer than a radius, the highest."""
    from scipy.spatial import KDTree
    columns = columns[np.argsort(-columns['peak'], kind='stable')]
    keep = np.ones(len(columns), bool)
    if len(columns) > 1:
        pairs = KDTree(np.column_stack([columns['x_centroid'], columns['y_centroid']])).query_pairs(radius)
        for higher, lower in sorted(pairs):
            keep[lower] &= not keep[higher]
    return columns[keep]


def _away_from(columns, positions, radius):
    if not len(positions) or not len(columns):
        return columns
    from scipy.spatial import KDTree
    distance, _ = KDTree(positions).query(np.column_stack([columns['x_centroid'], columns['y_centroid']]))
    return columns[distance > radius]


def _table(columns, frame, parameters):
    """What users get, with units, sky positions and provenance."""
    import astropy
    import photutils
    from astropy import units as u
    from astropy.coordinates import SkyCoord
    from astropy.table import QTable
    from astropy.time import Time

    from .._version import __version__
    stars = QTable({'id': np.arange(1, len(columns) + 1), 'x_centroid': columns['x_centroid'],
                    'y_centroid': columns['y_centroid']})
    if frame.wcs is not None:
        sky = frame.wcs.pixel_to_world(columns['x_centroid'], columns['y_centroid'])
        if isinstance(sky, SkyCoord):
            stars['sky_centroid'] = sky
    for name in ('peak', 'flux'):
        stars[name] = columns[name] if frame.unit is None else columns[name] * frame.unit
    stars['snr'] = columns['snr']
    stars['fwhm'] = columns['fwhm'] * u.pix
    stars.meta = {'date': Time.now().utc.isot, **parameters,
                  'version': {'hotpants_cy': __version__, 'photutils': photutils.__version__,
                              'astropy': astropy.__version__, 'numpy': np.__version__}}
    return stars
