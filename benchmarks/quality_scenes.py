"""Scenes of known truth that differ in one property each, to measure subtractions by: `make_scene`.

All have the PSFs, skies and flux ratio of the first one unless their `Recipe` says otherwise. Light and noise are kept
apart, so that what a method does wrong can be told from what the noise does.
"""
import math
from dataclasses import dataclass, replace

import numpy as np
from astropy.table import QTable
from light import Shape, flux_of, render
from scenes import Probes, _grown, _places
from scipy.ndimage import distance_transform_edt
from scipy.signal import fftconvolve

from hotpants_cy.datasets import _expose, positions_of

READ_NOISE, RATIO = 5.0, 0.85       # e-; true sum of the kernel
SLOPE = 1.7                         # dN/dF of the stars falls with this power
EDGE = 25                           # pixels at the border that are not judged
NEAR_FAULT = 12                     # pixels from saturated and bad ones that are not judged


@dataclass(frozen=True)
class Recipe:
    """Properties of a scene: pixels, electrons, fluxes on the template's scale."""

    size: int = 512
    fwhm: float = 3.6
    template_fwhm: float = 2.8
    beta: float = 3.5
    variation: float = 0.04
    shear: tuple = (0.0, 0.0)
    template_shear: tuple = (0.0, 0.0)
    spacing: float = 40             # one star in so many pixels squared
    flux: tuple = (500, 2e6)
    variable: float = 0.0
    galaxies: int = 0
    gaps: bool = False
    sky: float = 400.0
    template_sky: float = 250.0
    well: float = 6e4


DEFAULT = Recipe()
SCENES = {
    'issue 512': DEFAULT,
    'issue 2048': replace(DEFAULT, size=2048),
    'issue 4096': replace(DEFAULT, size=4096),
    'bright': replace(DEFAULT, flux=(4e3, 4e5)),
    'gaussian': replace(DEFAULT, beta=math.inf),
    'heavy wings': replace(DEFAULT, beta=2.5),
    'elliptical': replace(DEFAULT, shear=(0.05, 0.03), template_shear=(-0.03, 0.02)),
    'varying': replace(DEFAULT, variation=0.15),
    'crowded': replace(DEFAULT, spacing=13),
    'sparse': replace(DEFAULT, spacing=85),
    'variable 5': replace(DEFAULT, variable=0.05),
    'variable 10': replace(DEFAULT, variable=0.1),
    'variable 20': replace(DEFAULT, variable=0.2),
    'gaps': replace(DEFAULT, gaps=True, flux=(500, 8e6)),
    'galaxies': replace(DEFAULT, galaxies=25),
    'sharper science': replace(DEFAULT, fwhm=2.8, template_fwhm=3.6),
}


@dataclass(frozen=True, eq=False)
class TrueScene:
    """A pair and all that is true about it. Of two planes the first is the science image's; all are in electrons.

    Attributes
    ----------
    science, template : `~astropy.nddata.CCDData`
        With uncertainty, and with a mask where there are gaps.
    limits : (float, float)
        Where the images saturate.
    psfs : (Shape, Shape)
    noise, variance : (float array, float array)
        Noise drawn, and its variance.
    stars : `~astropy.table.QTable`
        ``x, y, flux, flux_science, variable, saturated``.
    transients : `~astropy.table.QTable`
        ``x, y, flux, snr``, on the scale of the science image.
    probes : Probes
        Held-out stars, which are no part of the pair.
    judged, blank : bool array
        Pixels to look at, and those of them far from any source.
    kernel : float array
        The true kernel in the middle of the field, of sum 1, that makes the sharper image the other.
    """

    science: object
    template: object
    limits: tuple
    psfs: tuple
    noise: tuple
    variance: tuple
    stars: QTable
    transients: QTable
    probes: Probes
    judged: np.ndarray
    blank: np.ndarray
    kernel: np.ndarray

    @property
    def sharper(self):
        """Which image is the sharper one."""
        return 'science' if self.psfs[0].fwhm < self.psfs[1].fwhm else 'template'

    @property
    def broad_psf(self):
        """PSF of the broader image, which is that of the difference."""
        return max(self.psfs, key=lambda psf: psf.fwhm)

    @property
    def broad(self):
        """FWHM of the broader PSF."""
        return max(psf.fwhm for psf in self.psfs)

    @property
    def constant(self):
        """Stars that neither vary nor saturate."""
        return self.stars[~self.stars['variable'] & ~self.stars['saturated']]

    @property
    def moving(self):
        """Positions of what has really changed."""
        return np.vstack([positions_of(self.transients), positions_of(self.stars[self.stars['variable']])])


def make_scene(name, seed):
    """Simulate one of `SCENES`."""
    p = SCENES[name]
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence([20261126, seed]).spawn(7)]
    shape = p.size, p.size
    psfs = (Shape(p.fwhm, p.beta, p.variation, p.shear, shape),
            Shape(p.template_fwhm, p.beta, 0.0, p.template_shear, shape))
    levels = [math.sqrt(sky + READ_NOISE**2) for sky in (p.sky, p.template_sky)]
    stars, galaxies = _stars(rngs[0], p, psfs), _galaxies(rngs[1], p)
    bad = _gaps(rngs[2], p)
    light = [render(psfs[k], stars, galaxies, k, 0.003 * levels[k], (0, 0), (RATIO, 1)[k]) for k in (0, 1)]
    transients = _transients(rngs[3], psfs[0], stars, galaxies, bad, levels[0])
    light[0] = light[0] + psfs[0].image(transients, 0.003 * levels[0])
    images, noise, variance, full = [], [], [], bad.copy()
    for k, sky in enumerate((p.sky, p.template_sky)):
        image = _expose(sky + light[k], rngs[4 + k], 1.0, READ_NOISE, 1.0, None, ('science', 'template')[k])
        noise.append(image.data - (sky + light[k]))
        variance.append(sky + light[k] + READ_NOISE**2)
        full |= image.data >= p.well
        image.data = np.minimum(image.data, np.float32(p.well))
        image.meta['SATURATE'] = p.well
        if p.gaps:
            image.mask = bad.copy()
            image.data[bad] = np.nan
        images.append(image)
    far_from_faults = distance_transform_edt(~full) > NEAR_FAULT if full.any() else ~full
    inside = np.zeros(shape, bool)
    inside[EDGE:-EDGE, EDGE:-EDGE] = True
    everything = np.vstack([positions_of(t) for t in (stars, galaxies, transients)])
    dark = distance_from(shape, everything) > 3 * max(p.fwhm, p.template_fwhm)
    probes = _held_out(rngs[6], stars, galaxies, ~far_from_faults, psfs, levels, p)
    return TrueScene(*images, (p.well, p.well), psfs, tuple(noise), tuple(variance), stars, transients, probes,
                     far_from_faults & inside, far_from_faults & inside & dark, _true_kernel(psfs))


def _stars(rng, p, psfs):
    """Random positions and a power law of fluxes; variable ones change by 10 per cent to a factor of three."""
    n, power = round((p.size / p.spacing)**2), 1 - SLOPE
    low, high = (f**power for f in p.flux)
    flux = rng.uniform(high, low, n)**(1 / power)
    factor = np.exp(rng.uniform(math.log(1.1), math.log(3), n) * rng.choice([-1, 1], n))
    variable = rng.uniform(size=n) < p.variable
    science = RATIO * flux * np.where(variable, factor, 1)
    full = np.maximum(flux * psfs[1].peak, science * psfs[0].peak) > 0.85 * p.well
    return QTable({'x': rng.uniform(-0.5, p.size - 0.5, n), 'y': rng.uniform(-0.5, p.size - 0.5, n), 'flux': flux,
                   'flux_science': science, 'variable': variable, 'saturated': full})


def _galaxies(rng, p):
    n, low, high = p.galaxies, 45, p.size - 45
    return QTable({'x': rng.uniform(low, high, n), 'y': rng.uniform(low, high, n),
                   'flux': 3000 * 100**rng.uniform(0, 1, n), 'radius': rng.uniform(2, 8, n),
                   'n': rng.uniform(0.7, 3, n), 'ellip': rng.uniform(0, 0.6, n), 'theta': rng.uniform(0, math.pi, n)})


def _gaps(rng, p):
    """Bad columns, blocks and pixels."""
    bad = np.zeros((p.size, p.size), bool)
    if p.gaps:
        bad[:, p.size // 3:p.size // 3 + 6] = True
        bad[:, rng.integers(0, p.size, 3)] = True
        for y, x in rng.integers(0, p.size - 30, (6, 2)):
            bad[y:y + 20, x:x + 30] = True
        bad |= rng.uniform(size=bad.shape) < 2e-4
    return bad


def _transients(rng, psf, stars, galaxies, bad, level):
    """New sources, one in 90 x 90 pixels on the sky and one on each galaxy, with S/N from 4 to 60."""
    xy = _places(rng, psf.shape, positions_of(stars), _grown(bad, 12), round((psf.shape[0] / 90)**2), 4 * psf.fwhm)
    angle = rng.uniform(0, 2 * math.pi, len(galaxies))
    hosts = np.column_stack([galaxies['x'] + galaxies['radius'] * np.cos(angle),
                             galaxies['y'] + galaxies['radius'] * np.sin(angle)])
    xy = np.vstack([xy, hosts.reshape(-1, 2)])
    snr = rng.permutation(np.geomspace(4, 60, len(xy)))
    return QTable({'x': xy[:, 0], 'y': xy[:, 1], 'flux': flux_of(snr, psf, level), 'snr': snr})


def _held_out(rng, stars, galaxies, dirty, psfs, levels, p, number=20):
    """Stars of S/N 50 to 500, far from others; their light and noise apart."""
    bright = stars[stars['flux'] > 4 * p.flux[0]]
    xy = _places(rng, dirty.shape, np.vstack([positions_of(bright), positions_of(galaxies)]), dirty, number,
                 3 * psfs[0].fwhm)
    flux = flux_of(np.geomspace(50, 400, len(xy)), psfs[1], levels[1])
    table = QTable({'x': xy[:, 0], 'y': xy[:, 1], 'flux': flux})
    planes = [psf.image(QTable({'x': xy[:, 0], 'y': xy[:, 1], 'flux': flux * scale}), 0.003 * level)
              for psf, level, scale in zip(psfs, levels, (RATIO, 1), strict=True)]
    return Probes(table, *(rng.poisson(plane).astype(float) for plane in planes), *planes)


def distance_from(shape, xy):
    """Distance of each pixel from the nearest position."""
    if not len(xy):
        return np.full(shape, np.inf)
    free = np.ones(shape, bool)
    y, x = np.clip(np.round(xy[:, ::-1]).astype(int), 0, np.array(shape) - 1).T
    free[y, x] = False
    return distance_transform_edt(free)


def _true_kernel(psfs, half=30, size=256):
    """Ratio of the transforms of both PSFs in the middle of the field, cut at a half width."""
    broad, sharp = sorted(psfs, key=lambda psf: -psf.fwhm)
    y, x = np.indices((size, size)) - size // 2
    of_broad, of_sharp = (np.fft.fft2(np.fft.ifftshift(
        psf(0, 0).evaluate(x, y, 1, 0, 0, psf.fwhm, *psf.shear, psf.beta))) for psf in (broad, sharp))
    # what the sharper one has nothing of cannot be told, and does not matter
    ratio = of_broad * np.conj(of_sharp) / (np.abs(of_sharp)**2 + 1e-12)
    kernel = np.fft.fftshift(np.fft.ifft2(ratio).real)
    return kernel[size // 2 - half:size // 2 + half + 1, size // 2 - half:size // 2 + half + 1]


def ideal_difference(scene, science, template):
    """Difference of two planes with the true kernel and flux ratio, on the scale of the science image."""
    return (science - RATIO * fftconvolve(template, scene.kernel, 'same') if scene.sharper == 'template'
            else fftconvolve(science, scene.kernel, 'same') - RATIO * template)


def ideal_variance(scene):
    """Variance of the difference with the true kernel."""
    science, template = scene.variance
    square = scene.kernel**2
    return (science + RATIO**2 * np.maximum(fftconvolve(template, square, 'same'), 0) if scene.sharper == 'template'
            else np.maximum(fftconvolve(science, square, 'same'), 0) + RATIO**2 * template)
