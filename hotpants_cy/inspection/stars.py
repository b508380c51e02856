"""Stars in a difference: what is left of those that were fitted, and of others."""

from dataclasses import dataclass

import numpy as np

from ..inputs.correlated import WHITE, CorrelatedNoise
from ..kernel.weighted import DISAGREES
from .samples import BOX, difference_boxes, image_boxes, limits_of
from .sky import shared_noise

__all__ = ['StarSample', 'sample_stars']

BRIGHT = 20           # sigma of its pixel that the peak of a star must reach
SEEN = 3              # sigma from which on a pixel belongs to a star
SHARED = 0.2          # least flux in the fainter image, over that in the brighter, of a star that both show
NEAR = 3              # pixels within which two positions are of one star
PLATEAU = 4           # pixels within 0.3 % of the brightest that no star has unless it is saturated


@dataclass
class StarSample:
    """Stars of one region; an entry per star in each array.

    Attributes
    ----------
    x, y : array
        Brightest pixel, in pixels of the image.
    fitted : bool array
        The kernel was fitted to the star, or to a substamp that holds it.
    saturated : bool array
        It has a plateau.
    shared : bool array
        Both images show it, at the same place.
    chi2 : array
        Mean of (difference / noise)^2 over its pixels.
    residual : array
        Rms of the difference beyond the noise over rms of the starlight, over its pixels.
    peak_residual : array
        Largest difference beyond the noise over the star's peak.
    flux_residual, flux_error : array
        Flux left in the difference over the flux of the star, and its error.
    varies : bool array
        Vetting found another flux ratio than that of the others, or a robust fit rejected it.
    sharpening : array
        Part of the light in the central 3 x 3 pixels in the image that was not convolved, over that in the other.
    """

    x: np.ndarray
    y: np.ndarray
    fitted: np.ndarray
    saturated: np.ndarray
    shared: np.ndarray
    chi2: np.ndarray
    residual: np.ndarray
    peak_residual: np.ndarray
    flux_residual: np.ndarray
    flux_error: np.ndarray
    varies: np.ndarray
    sharpening: np.ndarray


def sample_stars(run, sky_width=1.0, most=150):
    """Look at the brightest stars of a region: the substamps used, and peaks of either image.

    Parameters
    ----------
    run : RegionalSubtraction
        After its last step.
    sky_width : float, optional
        What the noise has to be multiplied by to be that of the sky. Default 1.
    most : int, optional
        Number of stars that were not fitted, and of those that were. Default 150.

    Returns
    -------
    StarSample
    """
    half = min(run.config.rss, 12)
    peaks, fitted = _peaks(run, half, most)
    corners, shape = peaks - half, (2 * half + 1, 2 * half + 1)
    difference, noise = difference_boxes(run, corners, shape)
    source, target = run.pair()
    raw, variances = zip(*(image_boxes(image, run, corners, shape) for image in (source, target)), strict=True)
    (x0, y0), scale = run.region.origin, run.products.scale
    sign = 1 if run.direction == 't' else -1
    seen = scale * raw[1]
    model, seen = _above_sky(seen - sign * difference), _above_sky(seen)   # what was subtracted, and from what
    light = np.fmax(model, seen)
    middle = np.s_[:, half - 2:half + 3, half - 2:half + 3]
    peak = np.nanmax(np.where(np.isfinite(light), light, -np.inf)[middle], axis=(1, 2))
    keep = np.isfinite(noise[middle]).all(axis=(1, 2)) & (peak > BRIGHT * sky_width * noise[:, half, half])
    keep &= _smooth(light, half)
    saturated = np.any([_plateau(_above_sky(image)[middle]) for image in raw], axis=0)
    measured = _measure(*(cube[keep] for cube in (difference, noise, light)), sky_width, peak[keep], middle,
                        _noise_of_neighbours(run, variances))
    raw = [_above_sky(image[keep]) for image in raw]
    core = np.s_[:, half - 3:half + 4, half - 3:half + 4]
    flux = [image[core].sum(axis=(1, 2)) * ratio
            for image, ratio in zip(raw, (run.products.kernel_sum, 1), strict=True)]
    shared = np.minimum(*flux) > SHARED * np.maximum(*flux)
    sharp = [_central_part(image, half) for image in raw]
    with np.errstate(divide='ignore', invalid='ignore'):
        sharpening = np.where(np.minimum(*sharp) > 0, sharp[1] / sharp[0], np.nan)
    x, y = peaks[keep, 0] + x0, peaks[keep, 1] + y0
    return StarSample(x, y, fitted[keep], saturated[keep], shared, *measured, _vary(run, x, y), sharpening)


def _vary(run, x, y):
    """Which stars are known to vary, since they have been left out of the fit for that."""
    known = [(s.x, s.y) for s in run.substamps(run.direction) if s.reason == DISAGREES]
    if run.seeds is not None:
        positions, kinds = run.seeds.measures.positions, run.seeds.kinds
        known += [position for position, kind in zip(positions, kinds, strict=True) if kind == 'variable']
    known = np.array(known, float).reshape(-1, 2)
    away = np.abs(np.column_stack([x, y])[:, np.newaxis] - known).max(axis=2)
    return (away < NEAR).any(axis=1)


def _noise_of_neighbours(run, variances):
    """What pixels of the difference share where images have correlated noise; else it matters little for a flux."""
    if all(image.correlated.is_white for image in run.pair()):
        return WHITE
    plane = shared_noise(run, [np.nanmedian(boxes) for boxes in variances])
    return CorrelatedNoise(plane / plane[len(plane) // 2, len(plane) // 2])


def _measure(difference, noise, light, sky_width, peak, middle, correlated):
    """Chi2, residuals and fluxes of stars, over the pixels that belong to each."""
    star = light > SEEN * sky_width * noise
    d, n, s = (np.where(star, cube, 0.0) for cube in (difference, noise * sky_width, light))
    number = star.sum(axis=(1, 2))
    with np.errstate(divide='ignore', invalid='ignore'):
        chi2 = np.sum(np.where(star, difference / noise, 0.0)**2, axis=(1, 2)) / number
        excess = np.sum(d**2 - n**2, axis=(1, 2))
        residual = np.sqrt(np.maximum(excess, 0) / np.sum(s**2, axis=(1, 2)))
        # the largest of some 20 values of pure noise is about 2 sigma
        largest = np.maximum(np.abs(d[middle]) - 2 * n[middle], 0).max(axis=(1, 2)) / peak
        flux = s.sum(axis=(1, 2))
        error = np.sqrt(np.sum(correlated.spread(np.nan_to_num(n))**2, axis=(1, 2)))
        return chi2, residual, largest, d.sum(axis=(1, 2)) / flux, error / flux


def _above_sky(boxes):
    """Boxes without the median of their rim."""
    rim = np.ones(boxes.shape[1:], bool)
    rim[2:-2, 2:-2] = False
    values = boxes[:, rim]
    values[~np.isfinite(values).any(axis=1)] = 0
    return boxes - np.nanmedian(values, axis=1)[:, np.newaxis, np.newaxis]


def _smooth(light, half):
    """Whether the four neighbours of the brightest pixel have some light, as cosmic rays and hot pixels do not."""
    around = [light[:, half + dy, half + dx] for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    return np.nanmin(np.nan_to_num(around, nan=-np.inf), axis=0) > 0.05 * light[:, half, half]


def _plateau(core):
    flat = core.reshape(len(core), -1)
    top = flat.max(axis=1, keepdims=True)
    return (top[:, 0] > 0) & ((flat >= 0.997 * top).sum(axis=1) >= PLATEAU)


def _central_part(image, half):
    image = np.nan_to_num(image)
    with np.errstate(divide='ignore', invalid='ignore'):
        return image[:, half - 1:half + 2, half - 1:half + 2].sum(axis=(1, 2)) / image.sum(axis=(1, 2))


def _peaks(run, half, most):
    """Centres (x, y) in the buffered region, (n, 2), of stars to look at, and whether each was fitted."""
    (x0, y0), (ny, nx) = run.region.origin, run.region.shape
    used = np.array([(s.x - x0, s.y - y0) for s in run.used_substamps()], int).reshape(-1, 2)[:most]
    scales = run.products.scale * run.products.kernel_sum, run.products.scale
    found = np.vstack([_brightest(image, scale, run, half) for image, scale in zip(run.pair(), scales, strict=True)])
    order = np.argsort(-found[:, 2])
    kept = []
    for x, y in found[order, :2].astype(int):
        if len(kept) == most:
            break
        # once, though seen in both images
        if all(abs(x - u) > 5 or abs(y - v) > 5 for u, v in kept):
            kept.append((x, y))
    kept = np.array(kept, int).reshape(-1, 2)
    if len(used) and len(kept):
        away = np.abs(kept[:, np.newaxis] - used).max(axis=2).min(axis=1)
        kept = kept[away > run.config.rss]          # the others took part in the fit
    peaks, fitted = np.vstack([used, kept]), np.arange(len(used) + len(kept)) < len(used)
    inside = ((peaks >= half) & (peaks < np.array([nx, ny]) - half)).all(axis=1)
    return peaks[inside], fitted[inside]


def _brightest(image, scale, run, half):
    """The brightest pixel (x, y, height over the noise) of each box of an image, as far as the kernel fit may see."""
    (ox, oy), (x0, x1, y0, y1) = run.region.origin, limits_of(run)
    x0, x1, y0, y1 = x0 + half, x1 - half, y0 + half, y1 - half
    nx, ny = (x1 - x0) // BOX, (y1 - y0) // BOX
    if nx < 1 or ny < 1:
        return np.zeros((0, 3))
    cut = np.s_[oy + y0:oy + y0 + ny * BOX, ox + x0:ox + x0 + nx * BOX]
    values = image.data[cut]
    if image.known_flags is not None:
        values = np.where(image.known_flags[cut] == 0, values, -np.inf)
    values = values.reshape(ny, BOX, nx, BOX)
    top = values.max(axis=(1, 3))
    rows, columns = np.nonzero((top < image.kernel_high) & np.isfinite(top))
    flat = values[rows, :, columns].reshape(len(rows), -1)
    if not len(flat):
        return np.zeros((0, 3))
    y, x = np.divmod(flat.argmax(axis=1), BOX)
    y, x = y0 + rows * BOX + y, x0 + columns * BOX + x
    with np.errstate(invalid='ignore', divide='ignore'):
        height = np.nan_to_num(scale * (flat.max(axis=1) - np.median(flat[:, ::7], axis=1)) / run.products.noise[y, x])
    return np.column_stack([x, y, height])[height > BRIGHT]
