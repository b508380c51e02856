"""The point spread function of a difference: given by the user, or measured on the stars that the kernel was fitted to.

A transient looks in the difference as in the science image, convolved if that is what was convolved. If the kernel is
right, this is how a star looks in the image that was not convolved.
"""

import logging
import math
from dataclasses import dataclass, replace

import numpy as np

from ..exceptions import InputError
from ..inputs.bits import Bits
from ..stamps.measures import variance_of
from ..stamps.shapes import measure_shapes
from ..stamps.vetting import WIDER, size_of_stars
from .given_psf import LARGEST_HALF_WIDTH, check_psf
from .starfit import fit_stars

__all__ = ['FieldPSF', 'difference_psf', 'star_boxes']

log = logging.getLogger(__name__)

FEWEST = 3                      # stars that a PSF is measured on
FOREIGN = 0.08                  # light of stars in the wrong place: they have no profile like that which is fitted
STARS_PER_TERM = 3              # of the variation of a kernel that is believed to make the PSF
CLEARLY = 0.5                   # of that, which the stars of the template have at most if these are taken
FIT_HALF_WIDTH = 25             # of the boxes cut out around stars; the fit chooses by their width what it uses


@dataclass(frozen=True, eq=False)
class FieldPSF:
    """A point spread function that may vary over the image: its sum in a box of pixels is 1.

    Parameters
    ----------
    profile : object
        Has ``half_width``, and ``draw(x, y, dx, dy, half_width)``, which gives the pixels around a source at (x, y)
        that lies (dx, dy) off the centre of the central pixel.
    kernel : callable, optional
        ``kernel(x, y)`` gives a 2-D array of odd sides that the profile is convolved with.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.products.psf import difference_psf
    >>> pair = make_pair((256, 256), seed=1)
    >>> hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    >>> psf = difference_psf(hot)
    >>> image = psf(128, 128)
    >>> image.shape[0] == 2 * psf.half_width + 1, float(image.sum())
    (True, 1.0)
    """

    profile: object
    kernel: object = None

    def __repr__(self):
        width, convolved = 2 * self.half_width + 1, ', convolved' if self.kernel is not None else ''
        return f'<{type(self).__name__}: {width} x {width} pixels, {type(self.profile).__name__}{convolved}>'

    @property
    def half_width(self):
        """Half width of the box, which is ``2 * half_width + 1`` wide, in pixels."""
        return self.profile.half_width

    def __call__(self, x, y):
        """Picture at a position, its source in the centre of the central pixel.

        Parameters
        ----------
        x, y : float
            Position in pixels, 0-based.

        Returns
        -------
        float64 array (width, width)
            Rows along y; of sum 1.
        """
        return self._draw(x, y, 0.0, 0.0)

    def stamp(self, x, y, pixel=None):
        """Picture of a source between pixels, as the pixels around one of them see it.

        Parameters
        ----------
        x, y : float
            Position of the source in pixels, 0-based.
        pixel : (int, int), optional
            Central pixel (x, y) of the picture. Default: ``(round(x), round(y))``.

        Returns
        -------
        float64 array (width, width)
            Rows along y; of sum 1.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> psf = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).psf
        >>> picture = psf.stamp(128.3, 100.0)
        >>> bool(picture[:, psf.half_width + 1:].sum() > picture[:, :psf.half_width].sum())
        True
        """
        ix, iy = (round(x), round(y)) if pixel is None else pixel
        return self._draw(x, y, x - ix, y - iy)

    def _draw(self, x, y, dx, dy):
        from scipy.signal import fftconvolve
        if self.kernel is None:
            image = self.profile.draw(x, y, dx, dy, self.half_width)
        else:
            kernel = self.kernel(x, y)
            image = self.profile.draw(x, y, dx, dy, self.half_width + len(kernel) // 2)
            image = fftconvolve(image, kernel, mode='valid')
        return image / image.sum()

    def fwhm(self, x, y):
        """Full width at half maximum at a position: that of a circle as large as where the PSF is above half.

        Parameters
        ----------
        x, y : float
            Position in pixels, 0-based.

        Returns
        -------
        float
            In pixels.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> psf = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0)).psf
        >>> bool(3.4 < psf.fwhm(128, 128) < 3.8)       # the science image's, 3.6
        True
        """
        from scipy.ndimage import zoom
        image = self(x, y)
        fine = zoom(image, 8, order=3)
        side = (len(image) - 1) / (len(fine) - 1)
        return 2 * side * math.sqrt(np.count_nonzero(fine > 0.5 * fine.max()) / math.pi)


@dataclass(frozen=True, eq=False)
class KernelWhere:
    """The kernel of the regions of one direction; in the others a source stays as it is."""

    runs: list
    direction: str

    def __call__(self, x, y):
        """Kernel at a position."""
        inside = [run for run in self.runs if run.region.x0 <= x <= run.region.x1
                  and run.region.y0 <= y <= run.region.y1]
        run = (inside or self.runs)[-1]
        return run.fit.model.image(x, y) if run.direction == self.direction else np.ones((1, 1))


def difference_psf(hot, psf=None):
    """Point spread function of the difference of a `~hotpants_cy.Hotpants` object.

    Parameters
    ----------
    hot : Hotpants
        Its kernel is fitted if it is not yet.
    psf : 2-D array or callable, optional
        PSF of the science image: a picture of odd sides with the source in its centre, or ``psf(x, y)``, which gives
        such a picture, or a model of x and y like those of photutils. Default: the ``psf`` that came with the
        science image, or with the template; else it is measured on the stars that the kernel was fitted to.

    Returns
    -------
    FieldPSF

    Raises
    ------
    InputError
        The PSF given cannot be used, or too few stars were used in the fit to measure one.
    """
    hot.iterative_fit_and_clip()
    runs, (ny, nx) = hot.live_regions, hot.science.shape
    for given, own in ((psf, 'i'), (hot.science.psf, 'i'), (hot.template.psf, 't')):
        if given is not None:
            return FieldPSF(check_psf(given, (ny, nx)), _kernel(runs, own))
    used = [(s.x, s.y) for run in runs for s in run.used_substamps()]
    if len(used) < FEWEST:                           # the others are stars as well, but vary, or are spoiled
        used = sorted({(s.x, s.y) for run in runs for s in run.substamps(run.direction)})
    stars = [place for place, shaped in zip(used, _have_shapes_of_stars(used, hot), strict=True) if shaped]
    profile, own = _measured(runs[0], stars if len(stars) >= FEWEST else used)
    return FieldPSF(profile, _kernel(runs, own))


def _measured(run, stars):
    """Profile of the stars in the science image, or in the template where these look more like one; and which it is.

    The kernel makes rings and trails of round stars, if there are enough to know it.
    """
    profile = star_profile(run.science, stars)
    if profile.missed > FOREIGN:
        try:
            other = star_profile(run.template, stars)
        except InputError:
            other = profile
        known = run.fit.n_used >= STARS_PER_TERM * run.fit.model.varying.shape[1]
        if known and other.missed < CLEARLY * profile.missed:
            log.info('the PSF of the template under the kernel is taken: stars of the science image have no profile')
            return replace(other, half_width=max(other.half_width, profile.half_width)), 't'
        log.warning('warning: the PSF measured on the science image does not look like its stars, %.0f %% of their '
                    'light is elsewhere: score and fluxes will be off; give psf, a picture of it',
                    100 * profile.missed)
    return profile, 'i'


def _have_shapes_of_stars(used, hot):
    """Which of the positions used have the shape of stars; galaxies may serve for a kernel, but show no PSF."""
    seeds = hot.seeds
    if seeds is None and used:
        science = hot.live_regions[0].science
        sigma = measure_shapes(science.data, variance_of(science), used).sigma
        return sigma <= WIDER * size_of_stars(sigma[np.isfinite(sigma)]) if np.isfinite(sigma).any() else sigma > 0
    if seeds is None or not seeds.shapeless:
        return [True] * len(used)
    good = np.flatnonzero(seeds.good)
    places = np.column_stack([seeds.measures.science.x, seeds.measures.science.y])[good]
    return [good[np.argmin(np.hypot(*(places - place).T))] not in seeds.shapeless for place in used]


def _kernel(runs, own):
    """What the PSF of an image, named by its letter, is convolved with in the difference; None if with nothing."""
    return KernelWhere(runs, own) if any(run.direction == own for run in runs) else None


def star_profile(exposure, positions):
    """Measure a PSF on stars near whole-number positions of an `~hotpants_cy.inputs.exposure.Exposure`."""
    if len(positions) < FEWEST:
        raise InputError(f'a PSF needs {FEWEST} good stars, and there are {len(positions)}: give psf, a picture of it')
    boxes = star_boxes(exposure, positions, FIT_HALF_WIDTH)
    profile = fit_stars(*boxes, np.array(positions, float), exposure.data.shape, LARGEST_HALF_WIDTH)
    log.info('PSF of the %s measured on %d stars: FWHM %.2f pixels', exposure.name, profile.n_stars, profile.fwhm)
    return profile


def star_boxes(exposure, positions, half):
    """Cutouts of data and variance around positions, NaN where bad or outside: (n, width, width) each."""
    width = 2 * half + 1
    boxes = np.full((2, len(positions), width, width), np.nan)
    ny, nx = exposure.data.shape
    for box, (x, y) in zip(boxes.swapaxes(0, 1), positions, strict=True):
        y0, y1, x0, x1 = max(0, y - half), min(ny, y + half + 1), max(0, x - half), min(nx, x + half + 1)
        cut = np.s_[y0:y1, x0:x1]
        good = (exposure.flags(cut) & Bits.INPUT_ISBAD) == 0
        inside = np.s_[y0 - y + half:y1 - y + half, x0 - x + half:x1 - x + half]
        for plane, values in zip(box, (exposure.data[cut], exposure.variance(cut)), strict=True):
            plane[inside] = np.where(good, values, np.nan)
    return boxes
