r"""What is left of bright stars beyond noise, as a variance of the fluxes measured near them.

No kernel makes two images quite equal: it is cut off, its shapes are few, it varies over the field otherwise than a
polynomial does, and its coefficients have errors. All that leaves a part of the light of stars in the difference. Its
pattern is not known, but its size can be seen on the stars themselves. With L the light above the sky that both images
have, and normalised Gaussians G of three widths, fluxes F get the variance

.. math:: \mathrm{Var}_m(F) = A^2 \sum_{k=1}^3 s_k^2\; (G_k \otimes L^2) , \qquad A = 1 \Big/ \sum \phi^2 ,

and the :math:`s_k`, errors relative to the flux of a star, are those with which the fluxes around the stars scatter as
their errors say, each where its own part is the largest.

Saturated pixels lack an unknown amount of light, about as much as they have. The convolution carries some of that
beyond the pixels that are flagged for it, which is taken as an error as large as itself.
"""

import logging
from dataclasses import dataclass

import numpy as np

from ..inputs.bits import Bits
from .blank_sky import SAMPLED, fwhm_of, scatter_beyond_noise, sky_of

__all__ = ['Misfit', 'excess_scatter']

log = logging.getLogger(__name__)

WIDTHS = 0.25, 1.0, 2.5         # standard deviations of the Gaussians, in FWHM: from the core to wings and cut kernels
BRIGHT = 5.0                    # sigmas over the sky of a pixel that counts as light of a star
ASKED = 0.05                    # relative error that a pixel must be able to show
TYPICAL, LARGEST = 0.005, 0.5   # that which those that count fully show; that which can come out at most
UNSEEN = 0.3                    # of the error of a flux: light of stars that leaves less by that error is none
FEWEST = 6                      # stars at least
SURE = 1.0                      # standard errors that the excess must have
EVERY = 2                       # one pixel of so many in x and y for the scatters
FAINT = 1e-3                    # of the largest weight: values that count less are left out
LIMIT = 3.0                     # sigmas beyond which a residual counts no more
STEPS, ROUNDS = 16, 3           # of bisection; of one scatter after the other


@dataclass(frozen=True, eq=False)
class Misfit:
    """The error of the model around the stars of one region.

    Parameters
    ----------
    variance : float32 array (ny, nx) or None
        Of the flux of a point source in each pixel; None if nothing is to be added.
    errors : tuple of float
        The scatters :math:`s_k`.
    scale : float
        By which errors from noise are to be multiplied, since blank sky has more than noise; 1 if it has not.
    """

    variance: np.ndarray | None
    errors: tuple
    scale: float

    @classmethod
    def of(cls, run, filters, flux, error, good, psf):
        """Measure it.

        Parameters
        ----------
        run : RegionalSubtraction
        filters : DifferenceFilters
            Of the same region.
        flux, error : float32 array (ny, nx)
            Flux of a point source in each pixel, and its error from noise.
        good : bool array (ny, nx)
            Where both can be used.
        psf : 2-D array
            Picture of the PSF, of sum 1.
        """
        area = 1 / np.sum(psf**2)
        fwhm = fwhm_of(area)
        leak = saturated_light(run, filters)
        parts = [] if leak is None else [np.square(area * leak, dtype=np.float32)]
        if leak is not None:
            error = np.sqrt(np.square(error) + parts[0])
        spread = _spread(common_light(run, filters.noise), fwhm, area)
        with np.errstate(divide='ignore', invalid='ignore'):
            blank = good & (sum(spread) < np.square(UNSEEN / TYPICAL * error))
            scale = scatter_beyond_noise(flux / error, blank, area)
        if scale > 1:
            log.info('blank sky: fluxes scatter %.2f times as much as by noise, which is in their errors', scale)
        errors = _scatters(flux, error * np.float32(scale), good, spread, np.pi * fwhm**2)
        log.info('error of the model near stars: %s of their flux, from the core outwards',
                 ', '.join(f'{100 * e:.2f} %' for e in errors))
        parts += [np.float32(s**2) * plane for s, plane in zip(errors, spread, strict=True) if s]
        return cls(sum(parts) if parts else None, errors, scale)

    def at(self, x, y):
        """Standard deviation at a position in pixels of the region."""
        if self.variance is None:
            return 0.0
        ny, nx = self.variance.shape
        return float(np.sqrt(self.variance[min(max(round(y), 0), ny - 1), min(max(round(x), 0), nx - 1)]))


def saturated_light(run, filters):
    """Light of saturated pixels that is convolved into each pixel, float32 (ny, nx); None if there is none."""
    from scipy.ndimage import find_objects, label
    from scipy.signal import convolve
    source, cut = run.pair()[0], run.region.buffered
    saturated = (source.flags(cut) & Bits.SAT) != 0
    if not saturated.any():
        return None
    data, kernels = source.cutout(cut), filters.kernels
    sky, half = np.median(data[filters.noise.good][::SAMPLED]), kernels.half_width
    light = np.pad(np.where(saturated & np.isfinite(data), data - sky, np.float32(0)), half)
    spread = np.zeros_like(light)
    for rows, columns in find_objects(label(np.pad(saturated, half))[0]):
        kernel = np.abs(kernels.at((columns.start + columns.stop) / 2 - half, (rows.start + rows.stop) / 2 - half))
        wide = np.s_[rows.start - half:rows.stop + half, columns.start - half:columns.stop + half]
        spread[wide] += convolve(light[rows, columns], kernel)
    return spread[half:-half, half:-half] if half else spread


def common_light(run, field):
    """Light above the sky that both images have, on the scale of the difference: a new source has none.

    Parameters
    ----------
    run : RegionalSubtraction
    field : NoiseField

    Returns
    -------
    float32 array (ny, nx)
        Zero where it is not significant, and in bad pixels that are not saturated.
    """
    target = run.pair()[1].cutout(run.region.buffered)
    scale, sign = np.float32(field.scale), np.float32(1 if run.direction == 't' else -1)
    # the lesser of the image that was not convolved, and the one that was
    both = scale * target - np.maximum(sign * np.where(field.good, run.products.difference, 0), 0)
    light = both - sky_of(both, field.good)
    counted = field.good | ((field.flags & Bits.SAT) != 0)
    return np.where(counted & (light > BRIGHT * field.noise) & np.isfinite(light), light, np.float32(0))


def _spread(light, fwhm, area):
    """The light squared and spread to each of the widths, as fluxes squared."""
    from scipy.ndimage import gaussian_filter
    if not light.any():
        return [light] * len(WIDTHS)
    square = np.square(light * np.float32(area))
    return [gaussian_filter(square, width * fwhm, mode='constant').clip(0) for width in WIDTHS]


def _scatters(flux, error, good, spread, most):
    """Scatters of all parts, each from the pixels where its own is the largest one."""
    # fluxes of neighbouring pixels are nearly the same
    some = np.s_[::EVERY, ::EVERY]
    flux, error, good, spread, most = flux[some], error[some], good[some], [s[some] for s in spread], most / EVERY**2
    told = good & np.isfinite(flux)
    told &= np.maximum.reduce(spread) > (0.3 / ASKED**2) * np.square(error)
    stars = _stars(spread[0], told, error)
    flux, noise, *spread = (plane[told].astype(float) for plane in (flux, np.square(error), *spread))
    largest, scatters = np.argmax(spread, axis=0), [0.0] * len(spread)
    for _ in range(ROUNDS):
        for k in range(len(spread)):
            chosen, scatters[k] = largest == k, 0.0
            known = noise + sum(s**2 * plane for s, plane in zip(scatters, spread, strict=True))
            scatters[k] = excess_scatter(flux[chosen], known[chosen], spread[k][chosen], stars[chosen], most)
    return tuple(scatters)


def _stars(core, told, error):
    """Number of the bright star that each pixel of ``told`` belongs to."""
    from scipy.ndimage import distance_transform_edt, label
    numbers, n = label(ASKED**2 * core > error**2)
    if not n:
        return np.zeros(np.count_nonzero(told), int)
    nearest = distance_transform_edt(numbers == 0, return_distances=False, return_indices=True)
    return numbers[tuple(nearest[:, told])]


def excess_scatter(values, variances, scales, groups, most=np.inf):
    """The scatter s with which ``values`` are as large as the variances ``variances + s^2 scales`` let expect.

    Parameters
    ----------
    values, variances, scales : float64 array (n,)
    groups : int array (n,)
        Which values belong together. As long as less than a quarter are far off, they do not matter much.
    most : float, optional
        Number of values that those of one group may count for.

    Returns
    -------
    float
        Zero if there are less than six groups that count, or if it is not significant.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> light, groups = np.full(4000, 1e4), np.arange(4000) // 20
    >>> print(f'{excess_scatter(rng.normal(0, np.hypot(100, 20), 4000), np.full(4000, 1e4), light, groups):.1f}')
    0.2
    """
    if not len(values):
        return 0.0
    weights = (scales / (variances / TYPICAL**2 + scales))**2
    kept = weights > FAINT * weights.max()
    values, variances, scales, weights = (a[kept] for a in (values, variances, scales, weights))
    _, index = np.unique(groups[kept], return_inverse=True)
    sums = np.bincount(index, weights)
    weights = weights * np.minimum(1, most / np.maximum(sums, 1e-300))[index]
    counts = np.bincount(index, weights)
    if not counts.sum()**2 > FEWEST * np.sum(counts**2):
        return 0.0

    def excess(scatter):
        return weights * (_loss(values**2 / (variances + scatter**2 * scales)) - _EXPECTED)

    of_groups = np.bincount(index, excess(0.0))
    if not of_groups.sum() > SURE * np.sqrt(np.sum(of_groups**2)):
        return 0.0
    low, high = 0.0, LARGEST
    for _ in range(STEPS):
        scatter = 0.5 * (low + high)
        low, high = (scatter, high) if excess(scatter).sum() > 0 else (low, scatter)
    return high


def _loss(squares):
    """Tukey's: how large a deviation in sigmas is, given its square; at most 1."""
    return 1 - np.maximum(1 - squares / LIMIT**2, 0)**3


def _expected_loss():
    z = np.linspace(-8, 8, 4001)
    return float(np.average(_loss(z**2), weights=np.exp(-z**2 / 2)))


_EXPECTED = _expected_loss()
