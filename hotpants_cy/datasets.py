"""Simulated pairs of images whose truth is known: for the demo, the documentation, tests and benchmarks."""

import math
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.table import QTable
from astropy.wcs import WCS

from .checks import checked, integer, or_none, positive, real
from .exceptions import InputError
from .simulated_psf import PSF
from .words import counted

__all__ = ['PSF', 'SimulatedPair', 'make_pair', 'positions_of']

EDGE = 40               # pixels that transients keep from the edge: kernels and stamps fit in
PIXEL_SCALE = 0.5       # arcsec
FIELD = (150.1, 2.2)    # degrees, where the images point
FLUX_SLOPE = 1.7        # dN/dF of the stars falls with this power


@dataclass(frozen=True, eq=False)
class SimulatedPair:
    """A science image, its template, and what is true about them.

    Attributes
    ----------
    science, template : `~astropy.nddata.CCDData`
        The images in adu, float32, with a TAN WCS and the standard deviation of their noise.
    stars, transients : `~astropy.table.QTable`
        Columns ``x``, ``y`` in 0-based pixels and ``flux`` in adu. That of a star is on the template's scale. That of
        a transient is on the science image's; its ``flux_template`` is the same light on the template's scale,
        on which differences are by default, and ``snr`` what PSF photometry of the science image could reach.
    science_psf, template_psf : PSF
        The point spread functions.
    kernel_sum : float
        Sum of the true kernel: flux in the science image over flux in the template.
    background : float
        Sky of the science image minus ``kernel_sum`` times that of the template, in adu.

    Examples
    --------
    >>> from hotpants_cy.datasets import make_pair
    >>> pair = make_pair((256, 256), seed=3, n_transients=4)
    >>> pair
    <SimulatedPair: 256 x 256 pixels, 40 stars, 4 transients>
    >>> pair.transients.colnames
    ['x', 'y', 'flux', 'snr', 'flux_template']
    """

    science: CCDData
    template: CCDData
    stars: QTable
    transients: QTable
    science_psf: PSF
    template_psf: PSF
    kernel_sum: float
    background: float

    def __repr__(self):
        ny, nx = self.science.shape
        return (f'<{type(self).__name__}: {nx} x {ny} pixels, {counted(len(self.stars), "star")}, '
                f'{counted(len(self.transients), "transient")}>')


def make_pair(shape=(512, 512), *, seed=0, n_stars=None, star_flux=(4e3, 4e5), n_transients=10,
              transient_snr=(10, 200), science_fwhm=3.6, template_fwhm=2.8, variation=0.0, profile='moffat',
              beta=3.5, flux_ratio=0.85, science_sky=400.0, template_sky=250.0, gain=1.0, read_noise=5.0,
              noise=True, template_noise=1.0, saturation=None, n_saturated=0, nan_blocks=(),
              masked_blocks=()) -> SimulatedPair:
    """Simulate a science image with transients, and a sharper template without.

    Both images lie on the same pixels. With ``profile='gaussian'`` and no ``variation`` the science PSF is the
    template's convolved with a Gaussian, to 1e-4 of a star's peak; with Moffat profiles the kernel has faint wings.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape ``(ny, nx)``. Default (512, 512).
    seed : int, optional
        The same seed gives the same pair; noise switched off leaves the scene as it is. Default 0.
    n_stars : int, optional
        Number of stars. Default: one per 40 × 40 pixels.
    star_flux : tuple of float, optional
        Faintest and brightest star, in adu of the template. Default (4e3, 4e5).
    n_transients : int, optional
        Number of transients, at least 40 pixels from the edge and four FWHM from stars and one another. Default 10.
    transient_snr : tuple of float, optional
        Lowest and highest signal-to-noise ratio of a transient in the science image. Default (10, 200).
    science_fwhm, template_fwhm : float, optional
        FWHM of the point spread functions in pixels. Default 3.6 and 2.8.
    variation : float, optional
        Relative change of ``science_fwhm`` from corner to corner. Default 0.
    profile : {'moffat', 'gaussian'}, optional
        Profile of both point spread functions. Default 'moffat'.
    beta : float, optional
        Power of the Moffat profile. Default 3.5.
    flux_ratio : float, optional
        Flux in the science image over that in the template: the true kernel sum. Default 0.85.
    science_sky, template_sky : float, optional
        Sky in electrons per pixel. Default 400 and 250.
    gain : float, optional
        Electrons per adu, of both images. Default 1.
    read_noise : float, optional
        Read noise in electrons, of both images. Default 5.
    noise : bool, optional
        Draw the noise. If not, the uncertainties still say what it would have been. Default True.
    template_noise : float, optional
        Factor on the template's noise: 0.1 for a coadd of a hundred, 0 (or False) for a perfect template,
        whose uncertainty then is zero. Default 1.
    saturation : float, optional
        Level in adu at which values are clipped, in both images. Default: none.
    n_saturated : int, optional
        That many of the stars reach three times the saturation level in both images. Default 0.
    nan_blocks, masked_blocks : sequence of tuple of slice, optional
        Blocks of the science image, e.g. ``[np.s_[20:40, 60:90]]``, that are NaN, or masked over wild values.
        Its mask is None when there are no masked blocks. Default: none.

    Returns
    -------
    SimulatedPair

    Raises
    ------
    InputError
        An unknown profile, a PSF or noise that cannot be, or no room for the transients.

    Examples
    --------
    >>> from hotpants_cy.datasets import make_pair
    >>> pair = make_pair((256, 256), seed=3, n_transients=4)
    >>> pair.science.shape, pair.science.unit, len(pair.transients)
    ((256, 256), Unit("adu"), 4)
    >>> pair.kernel_sum, pair.background
    (0.85, 187.5)
    """
    shape = tuple(int(n) for n in np.atleast_1d(shape))
    _check(shape, profile, saturation, n_saturated,
           above_zero={'science_fwhm': science_fwhm, 'template_fwhm': template_fwhm, 'flux_ratio': flux_ratio,
                       'gain': gain, 'beta': beta, 'science_sky': science_sky, 'template_sky': template_sky},
           not_negative={'read_noise': read_noise, 'template_noise': 0 if template_noise is False else template_noise},
           counts={'n_stars': n_stars, 'n_transients': n_transients, 'n_saturated': n_saturated})
    # a stream for each part, so that changing one leaves the others alone
    star_rng, transient_rng, *noise_rngs = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4))
    science_psf = PSF(science_fwhm, profile, beta, variation, shape)
    template_psf = PSF(template_fwhm, profile, beta, 0.0, shape)

    stars = _stars(star_rng, shape, n_stars, star_flux)
    if n_saturated:
        lowest_peak = min(template_psf(0, 0)(0, 0), flux_ratio * science_psf(*shape[::-1])(*shape[::-1]))
        stars['flux'][:n_saturated] = 3 * saturation / lowest_peak * u.adu
    transients = _transients(transient_rng, stars, science_psf, n_transients, transient_snr,
                             (science_sky + read_noise ** 2) / gain ** 2, gain)
    transients['flux_template'] = transients['flux'] / flux_ratio

    scenes = (science_sky / gain + flux_ratio * science_psf.image(shape, stars) + science_psf.image(shape, transients),
              template_sky / gain + template_psf.image(shape, stars))
    science, template = (
        _expose(scene, rng if noise else None, gain, read_noise, factor, saturation, name)
        for scene, rng, factor, name in zip(scenes, noise_rngs, (1.0, float(template_noise)),
                                            ('science', 'template'), strict=True))
    _spoil(science, nan_blocks, masked_blocks)
    return SimulatedPair(science, template, stars, transients, science_psf, template_psf, float(flux_ratio),
                         (science_sky - flux_ratio * template_sky) / gain)


def _check(shape, profile, saturation, n_saturated, above_zero, not_negative, counts):
    """Raise an InputError for what cannot be simulated."""
    if len(shape) != 2 or min(shape) < 2:
        raise InputError(f'shape={shape} is impossible: it must be (ny, nx) of at least 2 pixels each')
    if profile not in ('moffat', 'gaussian'):
        raise InputError(f"profile={profile!r} is unknown: it must be 'moffat' or 'gaussian'")
    for name, value in above_zero.items():
        checked(name, value, positive())
    for name, value in not_negative.items():
        checked(name, value, real(0))
    for name, value in counts.items():
        checked(name, value, or_none(integer(0, 10**9)))
    if n_saturated and saturation is None:
        raise InputError(f'n_saturated={n_saturated} needs a level: give saturation in adu too')


def _stars(rng, shape, n_stars, flux_range):
    """Random positions and a power law of fluxes, by inverting its cumulative distribution."""
    ny, nx = shape
    n_stars = max(1, nx * ny // 1600) if n_stars is None else n_stars
    power = 1 - FLUX_SLOPE
    low, high = (f ** power for f in flux_range)
    return QTable({'x': rng.uniform(-0.5, nx - 0.5, n_stars), 'y': rng.uniform(-0.5, ny - 0.5, n_stars),
                   'flux': rng.uniform(high, low, n_stars) ** (1 / power) * u.adu})


def _transients(rng, stars, psf, number, snr_range, sky_variance, gain):
    """Isolated positions, and fluxes spread evenly over the logarithm of the signal-to-noise ratio."""
    xy = _isolated(rng, psf.shape, positions_of(stars), number, 4 * psf.fwhm)
    snr = rng.permutation(np.geomspace(*snr_range, number))
    # flux / sqrt(flux / gain + noise_area * sky_variance) = snr, solved for the flux
    own = snr ** 2 / gain
    flux = (own + np.sqrt(own ** 2 + 4 * snr ** 2 * psf.noise_area(*xy.T) * sky_variance)) / 2
    return QTable({'x': xy[:, 0], 'y': xy[:, 1], 'flux': flux * u.adu, 'snr': snr})


def _isolated(rng, shape, occupied, number, distance):
    """Draw positions away from the edge, from those occupied, and from one another."""
    ny, nx = shape
    found = []
    for _ in range(1000 * number if min(shape) > 2 * EDGE else 0):
        if len(found) == number:
            break
        xy = rng.uniform(EDGE, (nx - 1 - EDGE, ny - 1 - EDGE))
        others = np.vstack([occupied, *found])
        if np.min(np.hypot(*(others - xy).T), initial=math.inf) >= distance:
            found.append(xy)
    if len(found) < number:
        raise InputError(f'only {len(found)} of {number} transients have room in {nx} x {ny} pixels, {EDGE} from the '
                         f'edge and {distance:.1f} from stars: ask for fewer, or for a larger image')
    return np.reshape(found, (-1, 2))


def _expose(scene, rng, gain, read_noise, factor, saturation, name):
    """Turn a noise-free scene in adu into an image with noise, uncertainty, WCS and header.

    A factor below one is what the mean of ``factor ** -2`` exposures has.
    """
    electrons = scene * gain
    sigma = factor * np.sqrt(electrons + read_noise ** 2) / gain
    if rng is not None and factor > 0:
        exposures = factor ** -2
        electrons = rng.poisson(electrons * exposures) / exposures + rng.normal(0, read_noise * factor, scene.shape)
    data = np.minimum(electrons / gain, math.inf if saturation is None else saturation)
    meta = {'OBJECT': f'simulated {name}', 'GAIN': gain, 'RDNOISE': read_noise * factor}
    if saturation is not None:
        meta['SATURATE'] = saturation
    return CCDData(data.astype(np.float32), unit='adu', wcs=_tan_wcs(scene.shape), meta=meta,
                   uncertainty=StdDevUncertainty(sigma.astype(np.float32)))


def _tan_wcs(shape):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
    wcs.wcs.cunit = 'deg', 'deg'
    wcs.wcs.crval = FIELD
    wcs.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    wcs.wcs.cdelt = -PIXEL_SCALE / 3600, PIXEL_SCALE / 3600
    return wcs


def _spoil(image, nan_blocks, masked_blocks):
    """Put in NaN, and masked values that nobody can use without being noticed."""
    for block in nan_blocks:
        image.data[block] = np.nan
    if masked_blocks:
        image.mask = np.zeros(image.shape, bool)
    for block in masked_blocks:
        image.data[block] = 3e4
        image.mask[block] = True


def positions_of(sources):
    """Positions ``(n, 2)`` of a table with x and y, or of a sequence of pairs.

    Examples
    --------
    >>> from hotpants_cy.datasets import positions_of
    >>> positions_of([(10, 20.5)])
    array([[10. , 20.5]])
    """
    if hasattr(sources, 'colnames'):
        return np.column_stack([sources['x'], sources['y']]).astype(float)
    return np.reshape(np.asarray(sources, float), (-1, 2))
