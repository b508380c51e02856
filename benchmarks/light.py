"""Point spread functions and the light of stars and galaxies under them, for the scenes."""
import math
from dataclasses import dataclass

import numpy as np
from astropy.modeling import Fittable2DModel, Parameter
from astropy.modeling.models import Sersic2D
from astropy.nddata import overlap_slices
from astropy.table import QTable
from scipy.signal import fftconvolve

from hotpants_cy.datasets import positions_of

OVERSAMPLING = 3        # of galaxies


class Light(Fittable2DModel):
    """Source of unit area under an elliptical Gaussian (``beta`` = infinity) or Moffat profile."""

    flux, x_0, y_0 = Parameter(default=1), Parameter(default=0), Parameter(default=0)
    fwhm, g1, g2 = Parameter(default=3), Parameter(default=0), Parameter(default=0)
    beta = Parameter(default=math.inf, fixed=True)

    @staticmethod
    def evaluate(x, y, flux, x_0, y_0, fwhm, g1, g2, beta):
        dx, dy = x - x_0, y - y_0
        # the shear (g1, g2) keeps the area
        square = (((1 - g1) * dx - g2 * dy)**2 + ((1 + g1) * dy - g2 * dx)**2) / (1 - g1**2 - g2**2)
        if np.all(np.isinf(beta)):
            return flux * 4 * math.log(2) / (math.pi * fwhm**2) * np.exp(-4 * math.log(2) * square / fwhm**2)
        alpha2 = fwhm**2 / (4 * (2**(1 / beta) - 1))
        return flux * (beta - 1) / (math.pi * alpha2) * (1 + square / alpha2)**-beta


@dataclass(frozen=True)
class Shape:
    """An elliptical PSF that widens along the diagonal, used like `hotpants_cy.datasets.PSF`."""

    fwhm: float
    beta: float
    variation: float
    shear: tuple
    shape: tuple

    def fwhm_at(self, x, y):
        """Full width at half maximum in pixels."""
        ny, nx = self.shape
        return self.fwhm * (1 + self.variation * (x / (nx - 1) + y / (ny - 1) - 1) / 2)

    def __call__(self, x, y):
        return Light(1, x, y, self.fwhm_at(x, y), *self.shear, self.beta)

    @property
    def peak(self):
        """Central pixel of a source of unit flux."""
        return float(Light.evaluate(0, 0, 1, 0, 0, self.fwhm, *self.shear, self.beta))

    @property
    def noise_area(self):
        """Pixels of sky whose noise a PSF-weighted flux has: one over the sum of the squared PSF, which sums to
        half the peak for a Gaussian, and to (beta - 1) / (2 beta - 1) of it for a Moffat profile."""
        part = 0.5 if math.isinf(self.beta) else (self.beta - 1) / (2 * self.beta - 1)
        return 1 / (part * self.peak)

    def reach(self, flux, level):
        """Distance in pixels at which a source has fallen to a level."""
        ratio = np.maximum(flux * self.peak / level, 1.001)
        if math.isinf(self.beta):
            distance = self.fwhm * np.sqrt(np.log2(ratio)) / 2
        else:
            distance = self.fwhm * np.sqrt((ratio**(1 / self.beta) - 1) / (2**(1 / self.beta) - 1)) / 2
        return np.clip(1.2 * distance, 1.5 * self.fwhm, 0.4 * min(self.shape))

    def image(self, sources, level):
        """Noise-free image of sources, a table with x, y and flux, each out to where it falls to a level."""
        from photutils.datasets import make_model_image
        if not len(sources):
            return np.zeros(self.shape)
        xy, flux = positions_of(sources), np.asarray(sources['flux'], float)
        params = QTable({'x_0': xy[:, 0], 'y_0': xy[:, 1], 'flux': flux, 'fwhm': self.fwhm_at(*xy.T),
                         'model_shape': 2 * np.ceil(self.reach(flux, level)).astype(int) + 1})
        return make_model_image(self.shape, self(0, 0), params)


def render(psf, stars, galaxies, which, level, shift, scale):
    """Light of constant and variable sources in the science image (0) or the template (1), adu."""
    moved = QTable({'x': stars['x'] + shift[0], 'y': stars['y'] + shift[1],
                    'flux': stars['flux'] if which else stars['flux_science']})
    image = psf.image(moved, level)
    for galaxy in galaxies:
        # seen by both images as the same grid of points, three to a pixel, so that the kernel is that of the stars
        half = round(6 * galaxy['radius'] + 3 * psf.fwhm)
        fine = np.arange(-half * OVERSAMPLING, half * OVERSAMPLING + 1) / OVERSAMPLING
        x, y = np.meshgrid(fine, fine)
        body = Sersic2D(1, galaxy['radius'], galaxy['n'], 0, 0, galaxy['ellip'], galaxy['theta'])(x, y)
        px, py = round(galaxy['x']), round(galaxy['y'])
        light = Light.evaluate(x, y, 1, galaxy['x'] + shift[0] - px, galaxy['y'] + shift[1] - py,
                               psf.fwhm_at(px, py), *psf.shear, psf.beta)
        flux = galaxy['flux'] * scale
        seen = fftconvolve(body / body.sum(), light, 'same')[::OVERSAMPLING, ::OVERSAMPLING] * flux
        _add(image, seen, px, py)
    return image


def _add(image, part, x, y):
    """Add a square of odd side, centred on a pixel; what lies outside is lost."""
    large, small = overlap_slices(image.shape, part.shape, (y, x), mode='partial')
    image[large] += part[small]


def flux_of(snr, psf, level):
    """Electrons of a source with a signal-to-noise ratio: solves flux / sqrt(flux + area level^2) = snr."""
    return (snr**2 + np.sqrt(snr**4 + 4 * snr**2 * psf.noise_area * level**2)) / 2
