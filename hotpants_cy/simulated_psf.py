"""The point spread function of simulated images: `PSF`."""

import math
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.table import QTable

__all__ = ['PSF']


@dataclass(frozen=True)
class PSF:
    """A round point spread function, which may widen along the diagonal of the image.

    Calling it with a position gives the photutils model of a source of unit flux there, so it goes wherever
    photutils wants a model; its values at pixel centres are what the images hold.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum at the centre of the image, in pixels.
    profile : {'moffat', 'gaussian'}, optional
        Default 'moffat'.
    beta : float, optional
        Power of the Moffat profile. Default 3.5.
    variation : float, optional
        Relative change of ``fwhm`` from the lower left to the upper right corner. Default 0.
    shape : tuple of int, optional
        Shape ``(ny, nx)`` of the image; needed for a ``variation``.

    Examples
    --------
    >>> from hotpants_cy.datasets import PSF
    >>> psf = PSF(3.0, 'gaussian', variation=0.1, shape=(101, 101))
    >>> psf.fwhm_at(50, 50), psf.fwhm_at(100, 100)
    (3.0, 3.15)
    """

    fwhm: float
    profile: str = 'moffat'
    beta: float = 3.5
    variation: float = 0.0
    shape: tuple | None = None

    def fwhm_at(self, x, y):
        """Full width at half maximum in pixels at a position, or at arrays of them."""
        if not self.variation:
            return self.fwhm + 0.0 * np.asarray(x)[()]
        ny, nx = self.shape
        return self.fwhm * (1 + self.variation * (x / (nx - 1) + y / (ny - 1) - 1) / 2)

    def __call__(self, x, y):
        """Return the photutils model of a source of unit flux at a position."""
        from photutils.psf import CircularGaussianPSF, MoffatPSF
        if self.profile == 'gaussian':
            return CircularGaussianPSF(x_0=x, y_0=y, fwhm=self.fwhm_at(x, y))
        return MoffatPSF(x_0=x, y_0=y, alpha=self.fwhm_at(x, y) * self._alpha_per_fwhm, beta=self.beta)

    def image(self, shape, sources):
        """Return the noise-free float64 image of sources, a table with columns x, y and flux.

        Examples
        --------
        >>> from astropy.table import QTable
        >>> from hotpants_cy.datasets import PSF
        >>> image = PSF(3.0, 'gaussian').image((41, 41), QTable({'x': [20], 'y': [18], 'flux': [100.0]}))
        >>> round(float(image.sum()), 1), int(image.argmax()) == 18 * 41 + 20
        (100.0, True)
        """
        from photutils.datasets import make_model_image
        x, y = (np.asarray(sources[name], float) for name in ('x', 'y'))
        width = self.fwhm_at(x, y)
        params = QTable({'x_0': x, 'y_0': y, 'flux': u.Quantity(sources['flux']).value})
        if self.profile == 'gaussian':
            params['fwhm'] = width
        else:
            params['alpha'] = width * self._alpha_per_fwhm
        # so wide that what a bright star has beyond is far below the noise
        reach = math.ceil((4 if self.profile == 'gaussian' else 12) * self.fwhm)
        return make_model_image(shape, self(0, 0), params, model_shape=2 * reach + 1)

    def noise_area(self, x, y):
        """Pixels of sky whose noise a PSF-weighted flux there has: one over the sum of the squared PSF.

        Examples
        --------
        >>> from hotpants_cy.datasets import PSF
        >>> round(float(PSF(3.0, 'gaussian').noise_area(20, 20)), 1)
        20.4
        """
        width = self.fwhm_at(x, y)
        if self.profile == 'gaussian':
            return math.pi / math.log(4) * width ** 2
        return math.pi * (width * self._alpha_per_fwhm / (self.beta - 1)) ** 2 * (2 * self.beta - 1)

    @property
    def _alpha_per_fwhm(self):
        return 0.5 / math.sqrt(2 ** (1 / self.beta) - 1)
