"""The sky of a difference in boxes: its scatter over its noise, correlation and level."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..products.noise_field import covariances
from .samples import BOX, difference_boxes, image_boxes, limits_of, median_of, medians_of, robust_width

__all__ = ['SkySample', 'means_of', 'sample_sky', 'shared_noise', 'within_four_widths']

QUIET = 0.3           # part of the boxes that counts as blank


@dataclass
class SkySample:
    """Boxes of one region; difference and noise are on the scale of the difference.

    What takes time is made when it is asked for.

    Attributes
    ----------
    run : RegionalSubtraction
    median : array (n,)
        Median of difference over noise in each box.
    width : array (n_quiet,)
        Robust width of difference over noise in the boxes with least structure in the images.
    structure : array (n_quiet,)
        How far the brightest 5 % of the images stand above the sky in these boxes, over the noise.
    images : (array (n_quiet, size, size), array (n_quiet, size, size))
        Both images in these boxes, that first which was convolved; NaN where the difference is not known.
    variance_boxes : (array (n, size, size), array (n, size, size))
        Variances of their pixels, by their uncertainties, in all boxes.
    pull : array (n_quiet, size, size)
        Difference over noise in these boxes, without its median; NaN where it is not known.
    pixels : array (n,)
        Good pixels of each box.
    dead : float
        Fraction of boxes in which an image that has noise has one value.
    """

    run: object
    median: np.ndarray
    width: np.ndarray
    structure: np.ndarray
    images: tuple
    variance_boxes: tuple
    pull: np.ndarray
    pixels: np.ndarray
    dead: float

    @cached_property
    def variances(self):
        """Usual variances of the pixels of both images, by their uncertainties."""
        return [float(medians_of(plane.reshape(1, -1))[0]) for plane in self.variance_boxes]

    @cached_property
    def correlation(self):
        """Correlation of neighbouring pixels of difference over noise in each quiet box."""
        return _correlation(self.pull)

    @cached_property
    def shared(self):
        """What a pixel of the difference shares with those around it by the noise of both images: covariances."""
        return shared_noise(self.run, self.variances)

    @property
    def likeness(self):
        """Correlation of one image with the other in quiet boxes: 0 of sky with noise of its own.

        Of what neighbouring pixels differ by, which a smooth sky that both images show does not raise.
        """
        return _likeness(*(np.diff(image, axis=2) for image in self.images))

    @property
    def roughness(self):
        """Of each image: squared differences of neighbours over twice their variance, 1 of white noise, less of smooth.

        The smaller one of x and y; stars only add to it. NaN of an image without noise.
        """
        squares = [min(median_of(means_of(within_four_widths(np.diff(image, axis=axis))**2)) for axis in (1, 2))
                   for image in self.images]
        return [square / (2 * variance) if variance > 0 else np.nan
                for square, variance in zip(squares, self.seen_variances, strict=True)]

    @cached_property
    def centred(self):
        """The images in quiet boxes, without the median of each box and what is farther from it than noise is."""
        return [_centred(image) for image in self.images]

    @cached_property
    def seen_variances(self):
        """Variances of the images by what their pixels scatter, where that is less than their uncertainties say."""
        scatter = [median_of(means_of(image**2)) for image in self.centred]
        return [float(np.fmin(variance, seen)) for variance, seen in zip(self.variances, scatter, strict=True)]

    @property
    def expected_correlation(self):
        """Correlation of neighbours that the noise of both images would give."""
        same, beside, _ = _lags(self.shared)
        return beside / same if same != 0 else 0.0

    @property
    def variance_of_means(self):
        """Variance of a mean over that of as many independent pixels."""
        same, _, total = _lags(self.shared)
        return total / same if same != 0 else 1.0


def sample_sky(run, most=256, quiet=QUIET):
    """Look at up to ``most`` boxes, evenly spread over a region.

    Parameters
    ----------
    run : RegionalSubtraction
        After its last step.
    most : int, optional
        Default 256.
    quiet : float, optional
        Part of the boxes, those with least structure in the images, that counts as blank. Default 0.3.

    Returns
    -------
    SkySample or None
        None where no box has enough good pixels.
    """
    x0, x1, y0, y1 = limits_of(run)
    size = min(BOX, x1 - x0, y1 - y0)
    if size < 4:
        return None
    corners = _spread(x0, x1, y0, y1, size, most)
    shape = size, size
    difference, noise = difference_boxes(run, corners, shape)
    enough = np.isfinite(difference).mean(axis=(1, 2)) > 0.5
    if not enough.any():
        return None
    corners, pull = corners[enough], (difference / noise)[enough]
    source, target = run.pair()
    (a, a_variance), (b, b_variance) = (image_boxes(image, run, corners, shape) for image in (source, target))
    flat = [np.ptp(image, axis=(1, 2)) == 0 for image in (a, b)]
    alive = ~(flat[0] | flat[1])
    # an image without noise may be flat where there is nothing
    noisy = [np.nanmax(variance, axis=(1, 2)) > 0 for variance in (a_variance, b_variance)]
    dead = float(np.mean((flat[0] & noisy[0]) | (flat[1] & noisy[1])))
    if not alive.any():
        unknown, unknown_box = np.full(1, np.nan), np.full((1, *shape), np.nan)
        return SkySample(run, unknown, unknown, unknown, (a[:1], b[:1]), (unknown_box,) * 2, unknown_box, unknown, dead)
    structure = np.maximum(*(_structure(image[alive]) for image in (a, b)))
    calm = np.argsort(structure)[:max(round(quiet * len(structure)), min(8, len(structure)))]
    median = medians_of(pull.reshape(len(pull), -1))
    blank = (pull - median[:, np.newaxis, np.newaxis])[alive][calm]
    images = [np.where(np.isfinite(blank), image[alive][calm], np.nan) for image in (a, b)]
    return SkySample(run, median[alive], _width(blank), structure[calm], images, (a_variance, b_variance), blank,
                     np.isfinite(pull).sum(axis=(1, 2))[alive], dead)


def _spread(x0, x1, y0, y1, size, most):
    """Corners of boxes side by side, every so many if there are too many."""
    nx, ny = (x1 - x0) // size, (y1 - y0) // size
    step = max(1.0, np.sqrt(nx * ny / most))
    columns, rows = (np.unique((np.arange(0, n, step)).astype(int)) * size for n in (nx, ny))
    return np.stack(np.meshgrid(x0 + columns, y0 + rows), axis=-1).reshape(-1, 2)


def _structure(boxes):
    flat = np.sort(boxes.reshape(len(boxes), -1), axis=1)
    last = flat.shape[1] - 1                         # NaN if one is
    low, middle, high = (flat[:, round(part * last)] for part in (0.16, 0.5, 0.95))
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where((middle > low) & (flat[:, last] < np.inf), (high - middle) / (middle - low), np.inf)


def _width(pull):
    return robust_width(pull.reshape(len(pull), -1), axis=1)


def _correlation(pull):
    """Correlation of neighbours in x and y, of values within 4 widths."""
    pull = within_four_widths(pull)
    along = [means_of(pull[:, :, 1:] * pull[:, :, :-1]), means_of(pull[:, 1:] * pull[:, :-1])]
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.mean(along, axis=0) / means_of(pull**2)


def _likeness(a, b):
    """Correlation of two images, of values within 4 widths of the sky in both."""
    a, b = _centred(a), _centred(b)
    product = a * b
    a, b = (np.where(np.isfinite(product), image, np.nan) for image in (a, b))
    with np.errstate(divide='ignore', invalid='ignore'):
        return means_of(product) / np.sqrt(means_of(a**2) * means_of(b**2))


def _centred(boxes):
    """Values without the median of their box, and without those that are farther from it than noise is."""
    return within_four_widths(boxes - medians_of(boxes.reshape(len(boxes), -1))[:, np.newaxis, np.newaxis])


def within_four_widths(boxes):
    """Values that are no farther from zero than noise is; the others as NaN."""
    with np.errstate(invalid='ignore'):
        return np.where(np.abs(boxes) < 4 * _width(boxes)[:, np.newaxis, np.newaxis], boxes, np.nan)


def means_of(boxes):
    """Mean of what is known in each box; NaN where nothing is."""
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.nansum(boxes, axis=(1, 2)) / np.isfinite(boxes).sum(axis=(1, 2))


def shared_noise(run, variances):
    """Covariance of a pixel of the difference with those around it, in the middle of a region: (n, n).

    Parameters
    ----------
    run : RegionalSubtraction
        After its last step.
    variances : (float, float)
        Of the image that was convolved, before that, and of the other one.
    """
    source, target = run.pair()
    return covariances(run.fit.model.image(*_centre(run)), *reversed(variances), target.correlated.autocorrelation,
                       source.correlated.autocorrelation)


def _lags(correlation):
    """Of an autocorrelation: that in the centre, the mean of those beside it in x and y, and the sum of all."""
    plane = np.pad(correlation, 1)
    y, x = (n // 2 for n in plane.shape)
    return np.array([plane[y, x], 0.5 * (plane[y, x + 1] + plane[y + 1, x]), plane.sum()])


def _centre(run):
    r = run.region
    return (r.x0 + r.x1) / 2, (r.y0 + r.y1) / 2
