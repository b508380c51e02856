"""What both images say about each star of a list: shapes, flux ratio, neighbours."""

from dataclasses import dataclass

import numpy as np

from .shapes import Shapes, cutouts, measure_shapes

__all__ = ['StarMeasures', 'measure_stars', 'variance_of']


@dataclass(frozen=True, eq=False)
class StarMeasures:
    """What both images say about a list of stars.

    Attributes
    ----------
    positions : float64 array (n, 2)
        As given, (x, y) in pixels, 0-based.
    template, science : Shapes
    ratio, ratio_error : float64 array (n,)
        Flux in the science image over that in the template, in an aperture of twice the larger FWHM, and its error.
    neighbour : float64 array (n,)
        Highest pixel between one and two and a half FWHM away, over that of the star.
    """

    positions: np.ndarray
    template: Shapes
    science: Shapes
    ratio: np.ndarray
    ratio_error: np.ndarray
    neighbour: np.ndarray

    def __len__(self):
        return len(self.positions)

    def psf(self, good):
        """Typical second moments (2, 2) of template and science image, of the stars in ``good``."""
        return tuple(np.median(s.covariance[good], axis=0) if np.any(good) else np.full((2, 2), np.nan)
                     for s in (self.template, self.science))


def measure_stars(positions, template, science, half_width=15):
    """Measure stars in both images.

    Parameters
    ----------
    positions : float array (n, 2)
        (x, y) in pixels, 0-based.
    template, science : Exposure
    half_width : int, optional
        Of the box looked at, in pixels. Default 15.

    Returns
    -------
    StarMeasures
    """
    positions = np.reshape(np.asarray(positions, float), (-1, 2))
    shapes = [_shapes(exposure, positions, half_width) for exposure in (template, science)]
    x, y = (np.where(np.isfinite(v), v, w) for v, w in zip((shapes[1].x, shapes[1].y), positions.T, strict=True))
    sizes = [np.nanmedian(s.fwhm) if np.isfinite(s.fwhm).any() else 3.0 for s in shapes]
    radius = min(2 * max(sizes), half_width - 3.0)
    fluxes, errors = zip(*(_aperture(e, x, y, radius, half_width) for e in (template, science)), strict=True)
    with np.errstate(all='ignore'):
        ratio = fluxes[1] / fluxes[0]
        error = np.abs(ratio) * np.hypot(errors[0] / fluxes[0], errors[1] / fluxes[1])
    neighbour = np.max([_neighbour(e, x, y, max(sizes), half_width) for e in (template, science)], axis=0,
                       initial=0)
    return StarMeasures(positions, *shapes, ratio, error, neighbour)


def _shapes(exposure, positions, half_width):
    return measure_shapes(exposure.data, variance_of(exposure), positions, half_width)


def variance_of(exposure):
    """Variance plane of an exposure, or what gives that of the noise model where it is asked for."""
    return exposure.given_variance if exposure.given_variance is not None else _ModelVariance(exposure)


class _ModelVariance:
    """Variance of an exposure where it is asked for, as an array would give it."""

    ndim = 2

    def __init__(self, exposure):
        self.exposure, self.shape = exposure, exposure.data.shape

    def __getitem__(self, index):
        inverse_gain, read_variance = self.exposure.noise.factors
        return np.abs(self.exposure.data[index]) * inverse_gain + read_variance


def _distances(x, y, half_width):
    """Distance of the pixels of each box from its star, (n, size, size), and the middle of the boxes."""
    x0, y0 = np.round(x).astype(int), np.round(y).astype(int)
    offsets = np.arange(-half_width, half_width + 1)
    return np.hypot((offsets[np.newaxis, :] - (x - x0)[:, np.newaxis])[:, np.newaxis, :],
                    (offsets[np.newaxis, :] - (y - y0)[:, np.newaxis])[:, :, np.newaxis]), (x0, y0)


def _aperture(exposure, x, y, radius, half_width):
    """Flux over the local sky and its error; the edge of the aperture falls off over a pixel."""
    if not len(x):
        return np.empty(0), np.empty(0)
    distance, middle = _distances(x, y, half_width)
    boxes = cutouts(exposure.data, *middle, half_width)
    noise = cutouts(variance_of(exposure), *middle, half_width)
    weight = np.clip(radius + 0.5 - distance, 0, 1)
    with np.errstate(all='ignore'):
        sky = np.ma.median(np.ma.array(boxes, mask=(distance < radius + 1) | ~np.isfinite(boxes)), axis=(1, 2))
        above = boxes - np.ma.filled(sky, np.nan)[:, np.newaxis, np.newaxis]
        # pixels beyond the edge are NaN; they count only inside the aperture
        flux, variance = (np.where(weight > 0, v, 0).sum(axis=(1, 2)) for v in (weight * above, weight**2 * noise))
        return flux, np.sqrt(variance)


def _neighbour(exposure, x, y, fwhm, half_width):
    """Highest local maximum near a star, over the star's; what its own profile has there is no neighbour."""
    distance, middle = _distances(x, y, half_width)
    boxes = np.nan_to_num(cutouts(exposure.data, *middle, half_width))
    if not len(boxes):
        return np.empty(0)
    boxes -= np.median(boxes, axis=(1, 2))[:, np.newaxis, np.newaxis]
    inner = boxes[:, 1:-1, 1:-1]
    summit = np.ones(inner.shape, bool)
    n = boxes.shape[1]
    for i in range(3):
        for j in range(3):
            if (i, j) != (1, 1):
                summit &= inner >= boxes[:, i:n - 2 + i, j:n - 2 + j]
    near = (distance > max(fwhm, 1.5)) & (distance < max(2.5 * fwhm, 3))
    highest = np.where(summit & near[:, 1:-1, 1:-1], inner, 0).max(axis=(1, 2))
    own = np.where(distance <= max(fwhm, 1.5), boxes, 0).max(axis=(1, 2))
    with np.errstate(all='ignore'):
        return np.where(own > 0, highest / own, np.inf)
