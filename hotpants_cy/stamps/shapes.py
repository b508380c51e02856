"""Size and shape of stars by adaptive moments: how wide the PSF of an image is, and which way."""

import math
from dataclasses import dataclass

import numpy as np

__all__ = ['Shapes', 'cutouts', 'measure_shapes']

FWHM_OF_SIGMA = math.sqrt(8 * math.log(2))

ITERATIONS = 40
BRIEF = 0.003               # relative change of the area per iteration that ends them
SHARPEST, WIDEST = 0.35, 12.0   # sigma in pixels of what is taken for an image of something
NARROWEST = 1.2             # sigma in pixels of the weight: what it lets pass must be sampled well


@dataclass(frozen=True, eq=False)
class Shapes:
    """Shapes of n sources; NaN where a source has none.

    Attributes
    ----------
    x, y : float64 array (n,)
        Centroids in pixels, 0-based.
    flux, peak, snr : float64 array (n,)
        Flux through the weight and highest pixel, both over the local sky, in data units; and that flux over its noise.
    covariance : float64 array (n, 2, 2)
        Second moments in pixels squared, as of a Gaussian: x before y.
    """

    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    peak: np.ndarray
    snr: np.ndarray
    covariance: np.ndarray

    @property
    def sigma(self):
        """Geometric mean of the two sigmas, in pixels."""
        return _size(self.covariance)

    @property
    def fwhm(self):
        """Full width at half maximum of a Gaussian as wide, in pixels."""
        return FWHM_OF_SIGMA * self.sigma

    @property
    def elongation(self):
        """Major over minor axis."""
        with np.errstate(invalid='ignore', divide='ignore'):
            trace = np.trace(self.covariance, axis1=1, axis2=2) / 2
            spread = np.sqrt(np.maximum(trace**2 - _size(self.covariance)**4, 0))
            return np.sqrt((trace + spread) / (trace - spread))


def _size(moments):
    """Geometric mean of the sigmas; zero where there are none, NaN where nothing is known."""
    determinant = moments[:, 0, 0] * moments[:, 1, 1] - moments[:, 0, 1]**2
    return np.maximum(determinant, 0)**0.25


def cutouts(plane, x, y, half_width):
    """Boxes of ``2 * half_width + 1`` pixels around whole positions, (n, size, size); NaN beyond the edge."""
    offsets = np.arange(-half_width, half_width + 1)
    rows, columns = (y[:, np.newaxis] + offsets)[:, :, np.newaxis], (x[:, np.newaxis] + offsets)[:, np.newaxis, :]
    ny, nx = plane.shape
    boxes = plane[np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)].astype(float)
    boxes[((rows < 0) | (rows >= ny) | (columns < 0) | (columns >= nx))] = np.nan
    return boxes


def measure_shapes(data, variance, positions, half_width=15):
    """Measure sources by moments under a Gaussian that adapts itself to each (Bernstein & Jarvis 2002).

    Parameters
    ----------
    data : array (ny, nx)
        In data units; pixels that are not finite are left out.
    variance : array (ny, nx) or float
        Of the data, squared.
    positions : float array (n, 2)
        Approximate centres (x, y) in pixels, 0-based.
    half_width : int, optional
        Of the box looked at, in pixels. Default 15.

    Returns
    -------
    Shapes

    Examples
    --------
    >>> from hotpants_cy.datasets import make_pair, positions_of
    >>> pair = make_pair((128, 128), seed=2, n_stars=1, n_transients=0, profile='gaussian', science_fwhm=4.0)
    >>> shapes = measure_shapes(pair.science.data, 25.0, positions_of(pair.stars))
    >>> bool(abs(shapes.fwhm[0] / 4 - 1) < 0.05)
    True
    """
    positions = np.reshape(np.asarray(positions, float), (-1, 2))
    x0, y0 = np.round(positions).astype(int).T
    boxes = cutouts(data, x0, y0, half_width)
    noise = np.full(boxes.shape, float(variance)) if np.ndim(variance) == 0 else cutouts(
        variance, x0, y0, half_width)
    boxes -= _local_sky(boxes)[:, np.newaxis, np.newaxis]
    known = np.isfinite(boxes) & np.isfinite(noise)
    boxes[~known], noise[~known] = 0, 0
    middle = np.s_[:, max(half_width - 2, 0):half_width + 3, max(half_width - 2, 0):half_width + 3]
    peak = boxes[middle].max(axis=(1, 2), initial=-np.inf)
    return _adapt(boxes, noise, positions, (x0, y0), peak, half_width)


def _local_sky(boxes):
    """Median of the outermost ring of each box, 3 pixels wide."""
    ring = np.ones(boxes.shape[1:], bool)
    ring[3:-3, 3:-3] = False
    with np.errstate(invalid='ignore'):
        values = np.ma.masked_invalid(boxes[:, ring])
        return np.ma.median(values, axis=1).filled(np.nan) if len(boxes) else np.empty(0)


def _adapt(boxes, noise, positions, corner, peak, half_width):
    """Iterate centre and moments, under a weight that follows them."""
    n = len(boxes)
    offsets = np.arange(-half_width, half_width + 1, dtype=float)
    dx, dy = positions.T - np.array(corner)
    moments = np.tile(np.eye(2) * 1.5**2, (n, 1, 1))
    alive = np.isfinite(peak) & (peak > 0)
    flux, snr, moving = np.full(n, np.nan), np.full(n, np.nan), alive.copy()
    for _ in range(ITERATIONS):
        k = np.flatnonzero(moving)
        if not len(k):
            break
        weight = moments[k] + np.maximum(NARROWEST**2 - _size(moments[k])**2, 0)[:, np.newaxis, np.newaxis] * np.eye(2)
        u = offsets[np.newaxis, np.newaxis, :] - dx[k, np.newaxis, np.newaxis]
        v = offsets[np.newaxis, :, np.newaxis] - dy[k, np.newaxis, np.newaxis]
        total, error, shift, measured = _weighted(boxes[k], noise[k], u, v, weight)
        with np.errstate(all='ignore'):
            snr[k], after = total / error, _deweight(measured, weight)
            # of a Gaussian source, a weight of its own size sees half the flux and half the shift
            part = (_size(weight) / _size(weight + after))**2
            flux[k], shift = total / part, shift / part
            fine = (total > 0) & (_size(after) > SHARPEST) & (_size(after) < WIDEST)
            step = np.clip(np.where(fine, shift, 0), -1, 1)
            dx[k], dy[k] = dx[k] + step[0], dy[k] + step[1]
            fine &= np.hypot(dx[k], dy[k]) < half_width / 2
            done = (np.abs(_size(after) / _size(moments[k]) - 1) < BRIEF) & (np.abs(step).max(axis=0) < 0.01)
        moments[k[fine]] = after[fine]
        alive[k[~fine]] = False
        moving[k[~fine | done]] = False
    moments[~alive] = np.nan
    x, y = (np.where(alive, d + c, np.nan) for d, c in zip((dx, dy), corner, strict=True))
    return Shapes(x, y, *(np.where(alive, value, np.nan) for value in (flux, peak, snr)), moments)


def _weighted(boxes, noise, u, v, weight):
    """Sum, its noise, centroid (2, n) and second moments (n, 2, 2) under Gaussian weights."""
    inverse = np.linalg.inv(weight)[:, :, :, np.newaxis, np.newaxis]
    weights = np.exp(-0.5 * (inverse[:, 0, 0] * u**2 + 2 * inverse[:, 0, 1] * u * v + inverse[:, 1, 1] * v**2))
    light = weights * boxes
    total, error = light.sum(axis=(1, 2)), np.sqrt((weights**2 * noise).sum(axis=(1, 2)))
    with np.errstate(all='ignore'):
        shift = np.array([(light * a).sum(axis=(1, 2)) for a in (u, v)]) / total
        second = np.array([(light * a).sum(axis=(1, 2)) for a in (u * u, u * v, v * v)]) / total
    second -= np.array([shift[0]**2, shift[0] * shift[1], shift[1]**2])
    return total, error, shift, second[[[0, 1], [1, 2]]].transpose(2, 0, 1)


def _deweight(measured, weight):
    """Moments of Gaussians that have ``measured`` ones under ``weight``; NaN if there is none."""
    bounded = np.isfinite(measured).all(axis=(1, 2)) & (_size(measured) > 0) & (measured[:, 0, 0] > 0)
    inverse = np.linalg.inv(np.where(bounded[:, np.newaxis, np.newaxis], measured, np.eye(2))) - np.linalg.inv(weight)
    bounded &= (_size(inverse) > 0) & (inverse[:, 0, 0] > 0)
    after = np.linalg.inv(np.where(bounded[:, np.newaxis, np.newaxis], inverse, np.eye(2)))
    after[~bounded] = np.nan
    return after
