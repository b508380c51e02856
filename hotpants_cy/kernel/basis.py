"""Kernel bases: Gaussians times polynomials (spec 4.1; Alard & Lupton 1998, equation 3), or any images (4.2)."""

import functools
import math
import operator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..instructions import loops

__all__ = ['GaussianBasis', 'ImageBasis', 'basis_of']


@dataclass(frozen=True)
class GaussianBasis:
    """Gaussians times polynomials: ``exp(-(u^2 + v^2) / (2 sigma^2)) u^p v^q``.

    Terms with even p and q are normalised and, but for the first, have the first subtracted, so that
    only the first one carries flux.

    Parameters
    ----------
    half_width : int
        Of the kernel, in pixels [C: ``-r``].
    degrees : tuple of int
        Degree of the polynomial of each Gaussian [C: ``-ng``].
    sigmas : tuple of float
        Sigma of each Gaussian in pixels [C: ``-ng``].

    Examples
    --------
    >>> basis = GaussianBasis(10, (6, 4, 2), (0.7, 1.5, 3.0))
    >>> len(basis), basis.images.shape
    (49, (49, 21, 21))
    >>> round(float(basis.images[0].sum()), 12)
    1.0
    """

    half_width: int
    degrees: tuple
    sigmas: tuple

    @property
    def width(self):
        """Full width of the kernel in pixels."""
        return 2 * self.half_width + 1

    @cached_property
    def terms(self):
        """The (Gaussian, p, q) of each basis function, in the order of the solution (spec 4.1)."""
        return [(g, p, q) for g, degree in enumerate(self.degrees)
                for p in range(degree + 1) for q in range(degree - p + 1)]

    @property
    def steepness(self):
        """``1 / (2 sigma^2)`` of each Gaussian, which C holds in single precision."""
        return [float(np.float32(1 / (2 * sigma * sigma))) for sigma in self.sigmas]

    def __len__(self):
        return len(self.terms)

    def _factor(self, gaussian, power, normalised):
        steepness = self.steepness[gaussian]
        # math.exp is libm's, whose last bit decides ill-conditioned fits; NumPy's differs (spec 10.4)
        values = [math.exp(-u * u * steepness) * float(u)**power
                  for u in range(-self.half_width, self.half_width + 1)]
        if normalised:
            scale = 1 / functools.reduce(operator.add, values)     # sum() compensates from Python 3.12 on
            values = [value * scale for value in values]
        return np.array(values)

    @cached_property
    def factors(self):
        """Factors in x and y of each term, two (n, width) arrays, before the first term is subtracted."""
        factor = functools.cache(self._factor)           # terms have many of them in common
        pairs = [[factor(g, power, p % 2 == 0 and q % 2 == 0) for power in (p, q)] for g, p, q in self.terms]
        x_factors, y_factors = np.array(pairs).transpose(1, 0, 2)
        return np.ascontiguousarray(x_factors), np.ascontiguousarray(y_factors)

    @cached_property
    def minus_first(self):
        """Which terms have the first one subtracted, as uint8."""
        return np.array([n > 0 and p % 2 == 0 and q % 2 == 0 for n, (_, p, q) in enumerate(self.terms)], np.uint8)

    @cached_property
    def images(self):
        """The basis functions as images, (n, width, width), rows along y."""
        x_factors, y_factors = self.factors
        images = x_factors[:, np.newaxis, :] * y_factors[:, :, np.newaxis]
        images[self.minus_first.astype(bool)] -= images[0]
        return images

    @cached_property
    def sliding_filters(self):
        """Filters for the stamp convolution: distinct y filters, which one each term has, x filters; reversed."""
        x_factors, y_factors = self.factors
        distinct, index = [], []
        known = {}
        for (g, p, q), row in zip(self.terms, y_factors[:, ::-1], strict=True):
            key = g, q, p % 2 == 0 and q % 2 == 0
            if key not in known:
                known[key] = len(distinct)
                distinct.append(row)
            index.append(known[key])
        return np.array(distinct), np.array(index, np.int32), np.ascontiguousarray(x_factors[:, ::-1])

    def convolve(self, image, xs, ys, slots, half_width, vectors, n_threads):
        """Convolve substamps of half width ``half_width`` centred at (xs, ys), into ``vectors`` at ``slots``."""
        y_filters, y_index, x_filters = self.sliding_filters
        length = loops('substamps').separable_work_size(2 * half_width + 1, self.width)
        loops('substamps').convolve_separable(image, xs, ys, slots, y_filters, y_index, x_filters, self.minus_first,
                                              half_width, vectors, np.empty((n_threads, length)))


@dataclass(frozen=True, eq=False)
class ImageBasis:
    """Any images of one odd size, like principal components; all but the first have the first subtracted.

    Parameters
    ----------
    pictures : float32 array (n, width, width)
        Basis images, rows along y [C: ``-pca``].
    flipped : bool, optional
        Fit with the images flipped, as C does by mistake (P27): right only for symmetric ones. Default False.
    """

    pictures: np.ndarray
    flipped: bool = False

    def __len__(self):
        return len(self.pictures)

    @property
    def width(self):
        """Full width of the kernel in pixels."""
        return self.pictures.shape[1]

    @property
    def half_width(self):
        """Half width of the kernel in pixels."""
        return self.width // 2

    @cached_property
    def images(self):
        """The basis functions as images, (n, width, width), rows along y."""
        images = self.pictures.astype(float)
        images[1:] -= images[0]
        return images

    def convolve(self, image, xs, ys, slots, half_width, vectors, n_threads):
        """Convolve substamps of half width ``half_width`` centred at (xs, ys), into ``vectors`` at ``slots``."""
        pictures = self.pictures if self.flipped else self.pictures[:, ::-1, ::-1]
        loops('substamps').convolve_dense(image, xs, ys, slots, np.ascontiguousarray(pictures), half_width, vectors,
                                          n_threads)


def basis_of(config):
    """Basis that a `~hotpants_cy.HotpantsConfig` asks for."""
    if config.use_pca:
        return ImageBasis(config.basis_images, flipped=config.parity)
    return GaussianBasis(config.rkernel, config.deg_fixe, config.sigma_gauss)
