"""Sources found in a difference: both signs, with what one needs to tell the real ones."""

import math
from functools import cached_property

import numpy as np

from .checks import checked, positive
from .inspection.drawing import add_picture
from .products.correlation import DifferenceNoise
from .products.position import likeliest_offset
from .products.score import ScoreImages
from .progress import in_parts

__all__ = ['Detections', 'find_candidates']
__doctest_requires__ = {'Detections.covariance': ['astropy>=7.1']}

DIPOLE = 0.3            # of the stronger pole that the weaker one has, at least
NARROW, WIDE = 1.25, 2.0    # FWHM: radius of the pixels that tell a position; beside bad pixels, and how far it may be
BELOW = 0.8             # of the threshold that a pixel must have: between pixels the score may be higher
N_WIDTHS = 12           # of a Gaussian that are tried before the best is looked for


class Detections:
    """What a result can be asked about sources in its difference; each is made when it is asked for."""

    @cached_property
    def noise(self):
        """The noise of the difference with its covariances: a `~hotpants_cy.products.correlation.DifferenceNoise`."""
        return DifferenceNoise.of(self._hot)

    @cached_property
    def psf(self):
        """The PSF of the difference, `~hotpants_cy.products.psf.FieldPSF`: ``psf(x, y)`` is its picture there.

        It is made from the ``psf`` given, or that of the images; without one, it is measured on the stars that the
        kernel was fitted to.
        """
        return self._hot.difference_psf

    @cached_property
    def _scores(self):
        return ScoreImages.of(self._hot, self.psf, noise=self.noise)

    @property
    def whitened(self):
        """The difference with white noise of standard deviation 1, as `~astropy.nddata.CCDData` without unit."""
        return self._scores.whitened

    @property
    def score(self):
        """Significance of a point source in each pixel, in sigma and with its sign, as `~astropy.nddata.CCDData`."""
        return self._scores.score

    @property
    def flux(self):
        """Flux of a point source in each pixel and its error, on the scale of the difference."""
        return self._scores.flux

    def find_candidates(self, threshold=5.0):
        """Find point sources of both signs; see `hotpants_cy.candidates.find_candidates`.

        Returns
        -------
        `~astropy.table.QTable`
            The most significant first.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=3, n_transients=4, transient_snr=(20, 50))
        >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
        >>> table = result.find_candidates(threshold=6)
        >>> len(table)
        4
        """
        return find_candidates(self, threshold)

    def aperture_error(self, positions, radius):
        """Standard deviation of the sum of the difference in circles, covariances included.

        Parameters
        ----------
        positions : table, array (n, 2), `~astropy.coordinates.SkyCoord` or one pair
            Centres, 0-based (x, y) pixels or sky positions.
        radius : float
            In pixels.

        Returns
        -------
        `~astropy.units.Quantity` (n,)
            In the unit of the difference.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
        >>> (error,) = result.aperture_error([(128, 128)], radius=4)
        >>> error.unit
        Unit("adu")
        """
        return self.noise.aperture_error(positions, radius)

    def psf_flux_error(self, positions):
        """Standard deviation of PSF fluxes, fitted with the noise of each pixel as weight, covariances included.

        Parameters
        ----------
        positions : table, array (n, 2), `~astropy.coordinates.SkyCoord` or one pair
            0-based (x, y) pixels or sky positions.

        Returns
        -------
        `~astropy.units.Quantity` (n,)
            In the unit of the difference.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
        >>> result.psf_flux_error([(128, 128), (60, 90)]).shape
        (2,)
        """
        return self.noise.psf_flux_error(positions, self.psf)

    def covariance(self, cutout):
        """Covariances of the pixels of a part of the difference.

        Parameters
        ----------
        cutout : tuple of slice, or `~astropy.nddata.Cutout2D`
            Like ``np.s_[100:120, 200:220]``, of at most 16384 pixels.

        Returns
        -------
        `~astropy.nddata.Covariance`
            Of the pixels row by row, in the unit of the difference squared.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
        >>> import numpy as np
        >>> result.covariance(np.s_[100:110, 100:110]).shape
        (100, 100)
        """
        return self.noise.covariance(cutout)


def find_candidates(result, threshold=5.0, *, images=None):
    r"""Find point sources in the score of a subtraction.

    Every local maximum of the score above the threshold, and every minimum below its negative, is taken, brightest
    first, unless a brighter one explains it: what that leaves in its surroundings through PSF and filter is
    subtracted before the threshold is applied. Positions between pixels are those of greatest likelihood: peaks of the
    score lie off the source, on the side of less noise. A source with a bad core, of which the score has the rim alone,
    is placed by its wings. Errors of fluxes contain what the kernel leaves of bright stars.

    Parameters
    ----------
    result : SubtractionResult
    threshold : float, optional
        Least significance :math:`|F|/\sigma_F`. Default 5.
    images : ScoreImages, optional
        Default: those of ``result``.

    Returns
    -------
    `~astropy.table.QTable`
        The most significant first. Columns:

        - ``id``, from 1;
        - ``x``, ``y``: position in 0-based pixels; ``sky``, if the science image has a WCS;
        - ``flux``, ``flux_err``: in the unit and on the scale of the difference, negative for what has faded;
        - ``snr``: their ratio, with its sign; ``sign``: 1 or -1;
        - ``fwhm``: that of a round Gaussian fitted to the difference there, in pixels; NaN if none fits. The PSF's own
          is in ``meta['fwhm']``;
        - ``masked_fraction``: of the pixels within one FWHM; large if the core is bad and the wings had to tell;
        - ``dipole``: whether the difference has two poles there, as badly registered or moving sources leave;
        - ``star_distance``: to the nearest star that the kernel was fitted to, in pixels.

    Raises
    ------
    InputError
        The threshold is not above zero.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.candidates import find_candidates
    >>> from hotpants_cy.datasets import make_pair
    >>> pair = make_pair((256, 256), seed=3, n_transients=4, transient_snr=(20, 50))
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    >>> table = find_candidates(result)
    >>> bool(all(table['snr'][:4] > 10))
    True
    """
    threshold = checked('threshold', threshold, positive())
    images = result._scores if images is None else images
    difference, score = result.difference, images.score
    data = np.where(difference.mask, np.nan, difference.data).astype(float)
    sigma = np.where(difference.mask, np.nan, images.hot.assemble('noise')).astype(float)
    ny, nx = data.shape
    fwhm = images.psf.fwhm(nx // 2, ny // 2)
    used = result.substamps[result.substamps['status'] == 'USED_IN_FINAL_FIT']
    stars = np.column_stack([used['x'], used['y']]).astype(float)
    rows = []
    for x, y in _unexplained(_peaks(score, threshold), images, threshold, (data, sigma, fwhm)):
        flux, error, _ = images.measure(x, y)
        if not abs(flux) >= threshold * error:
            continue
        sign = 1 if flux > 0 else -1
        box, noise, masked = _box(data, sigma, x, y, fwhm)
        rows.append((x, y, flux, error, flux / error, sign, _width(sign * box, fwhm, x, y), masked,
                     _two_poles(box, noise), np.min(np.hypot(*(stars - (x, y)).T), initial=math.inf)))
    return _table(rows, result, {'threshold': threshold, 'fwhm': fwhm})


def _peaks(score, threshold):
    """Local extrema of the score as (x, y, score), the most significant first; x and y whole numbers."""
    from photutils.detection import find_peaks
    found = []
    for sign in (1, -1):
        plane = np.where(score.mask, 0, sign * score.data)
        if plane.max() > BELOW * threshold:
            table = find_peaks(plane, BELOW * threshold, box_size=3)
            columns = table['x_peak', 'y_peak', 'peak_value']
            found += [(int(x), int(y), sign * float(value)) for x, y, value in columns.iterrows()]
    return sorted(found, key=lambda peak: -abs(peak[2]))


def _unexplained(peaks, images, threshold, planes):
    """Positions between pixels of those peaks that are not what brighter ones leave around them."""
    score = images.score
    left = np.where(score.mask, 0.0, score.data).astype(float)
    kept = []
    for x, y, value in _in_turn(peaks):
        # what is left must still be a peak of the same sign
        sign = math.copysign(1, value)
        if left[y, x] * sign < BELOW * threshold:
            continue
        place, apart = _likeliest(x, y, sign, images.psf, *planes)
        if images.noise.at(*place) is None:
            place = x, y
        # two edges of a bad core are one source
        if any(np.hypot(place[0] - a, place[1] - b) < apart and sign == s for a, b, s in kept):
            continue
        kept.append((*place, sign))
        add_picture(left, -left[y, x] * images.response(*place, (x, y)), x, y)
    return [(x, y) for x, y, _ in kept]


def _in_turn(peaks):
    """One peak after the other, with a word in the log now and then: a poor difference has many."""
    for start, stop in in_parts(len(peaks), 'looking for candidates', whole=False):
        yield from peaks[start:stop]


def _likeliest(x, y, sign, psf, data, sigma, fwhm):
    """Likeliest position of a source of which pixel (x, y) is a peak of the score, and how near no other can be."""
    half = math.ceil(WIDE * fwhm)
    picture = psf(x, y)
    cut, noise, _ = _box(data, sigma, x, y, WIDE * fwhm)
    weight = np.where(np.isfinite(cut) & (noise > 0), 1 / np.square(np.where(noise > 0, noise, 1)), 0)
    yy, xx = np.mgrid[-half:half + 1, -half:half + 1]
    near = np.hypot(xx, yy) <= NARROW * fwhm
    # beside bad pixels the source may be among them, and its wings must tell; else its neighbours must not
    reach, apart = WIDE * fwhm, fwhm
    if (weight[near] > 0).all():
        weight, reach, apart = np.where(near, weight, 0), 0.5 * fwhm, 0.25 * fwhm
    dx, dy = likeliest_offset(sign * cut, weight, picture, reach)
    return (x + dx, y + dy), apart


def _box(data, sigma, x, y, fwhm):
    """Difference and sigma around a position, NaN beyond one FWHM and where bad, and the masked part of the circle."""
    half = math.ceil(fwhm)
    yy, xx = np.mgrid[round(y) - half:round(y) + half + 1, round(x) - half:round(x) + half + 1]
    inside = (yy >= 0) & (xx >= 0) & (yy < data.shape[0]) & (xx < data.shape[1])
    cut = [np.where(inside, plane[yy.clip(0, data.shape[0] - 1), xx.clip(0, data.shape[1] - 1)], np.nan)
           for plane in (data, sigma)]
    near = np.hypot(xx - x, yy - y) <= fwhm
    return (*(np.where(near, plane, np.nan) for plane in cut), float(np.mean(~np.isfinite(cut[0][near]))))


def _two_poles(data, sigma):
    """Whether significant pixels of both signs are there, none of them much weaker than the other."""
    significant = np.where(np.abs(data) > 2 * sigma, data, 0)
    poles = np.sort([np.sum(significant.clip(0)), np.sum((-significant).clip(0))])
    return bool(poles[0] > DIPOLE * poles[1])


def _width(box, fwhm, x, y):
    """FWHM of a round Gaussian fitted to a picture of a source; NaN if it has none that could be one."""
    from scipy.optimize import minimize_scalar
    half, good = box.shape[0] // 2, np.isfinite(box)
    if good.sum() < 9:
        return math.nan
    yy, xx = np.nonzero(good)
    r2 = (xx - half - (x - round(x)))**2 + (yy - half - (y - round(y)))**2
    values = box[good]

    def explained(width):
        """What a Gaussian of this width, with the peak that fits best, takes off the sum of the squares."""
        profile = np.exp(-4 * math.log(2) / width**2 * r2)
        return max(profile @ values, 0)**2 / (profile @ profile)

    # the likeliest of some widths, and what lies between its neighbours
    widths = np.geomspace(0.5, 5 * fwhm, N_WIDTHS)
    best = int(np.argmax([explained(width) for width in widths]))
    between = widths[max(best - 1, 0)], widths[min(best + 1, N_WIDTHS - 1)]
    width = minimize_scalar(lambda width: -explained(width), bounds=between, method='bounded').x
    return float(width) if explained(width) > 0 and width < 4.9 * fwhm else math.nan


def _table(rows, result, meta):
    from astropy.table import QTable
    unit = result.difference.unit
    names = ('x', 'y', 'flux', 'flux_err', 'snr', 'sign', 'fwhm', 'masked_fraction', 'dipole', 'star_distance')
    kinds = (float, float, float, float, float, int, float, float, bool, float)
    rows = sorted(rows, key=lambda row: -abs(row[4]))
    table = QTable({'id': np.arange(1, len(rows) + 1)}, meta=meta)
    for k, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        column = np.array([row[k] for row in rows], kind)
        table[name] = column * unit if name.startswith('flux') else column
        if name == 'y' and result.difference.wcs is not None and result.difference.wcs.has_celestial:
            table['sky'] = result.difference.wcs.celestial.pixel_to_world(table['x'], table['y'])
    return table
