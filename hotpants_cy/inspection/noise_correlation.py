"""What noise neighbouring pixels of the images must share, by the sky of their difference."""

import numpy as np

from ..inputs.correlated import CorrelatedNoise, transform_of
from ..products.noise_field import self_products
from .sky import means_of, sample_sky, shared_noise, within_four_widths

__all__ = ['measure_correlations']

BOXES, FEWEST = 1024, 16     # of sky, at most and at least; of a region, too
QUIET = 0.5                  # part of them: the quietest alone are those that noise has made so
REACH = 4                    # pixels: images are resampled with no wider kernels
SMOOTH = 0.85                # roughness below which the noise of an image was smoothed for certain
CLEAR, CERTAIN = 0.1, 5.0    # correlation of neighbours beyond that expected which needs no such sign; in sigmas
TELLING = 2.0                # mean square of all correlations beyond those expected, over that of chance
HIDDEN = 0.03                # power of an image under the kernel, over the largest, below which nothing is known of it
KNOWN = 0.3                  # error of a power that is known
BLANK = 1.15                 # variance of an image in quiet boxes over that of its noise, without much light of stars
LOWEST = 0.01                # power of the noise over that of white noise


def measure_correlations(hot):
    r"""Measure the autocorrelation of the images' noise where the difference has nothing but sky.

    If the noise of both images has the power :math:`P` over that of white noise, then that of their difference has

    .. math:: P \, (V_U + V_C |\hat{K}|^2) .

    So :math:`P` is what the sky shows over what white noise under the kernel would show. It goes to the image in which
    neighbouring pixels differ by less than their variance says, or to both if that is true of both, or of none. Where
    they share it otherwise in truth, the noise of the difference has the right shape, and a scale that can be off by
    some per cent. What pixels farther apart than a few have in common is structure, and not looked for.

    Parameters
    ----------
    hot : Hotpants
        After its last step, with images whose noise is taken to be white.

    Returns
    -------
    (float64 array (n, n) or None, float64 array (n, n) or None) or None
        Of science image and template, 1 in the centre; None where the sky shows nothing that white noise under the
        kernel would not, or is too small to tell.
    """
    direction = hot.live_regions[0].direction
    runs = [run for run in hot.live_regions if run.direction == direction]
    seen = [(run, sky) for run, sky in ((run, sample_sky(run, max(BOXES // len(runs), FEWEST), QUIET)) for run in runs)
            if sky is not None and sky.pull.shape[1] > REACH and np.isfinite(sky.variances).all()]
    n_boxes = sum(len(sky.pull) for _, sky in seen)
    if n_boxes < FEWEST:
        return None
    products, pairs = (sum(planes) for planes in zip(*(_products(sky.pull) for _, sky in seen), strict=True))
    whole = np.mean([_expected(run, sky.variances) for run, sky in seen], axis=0)
    if not (pairs > 0).all() or not _middle(products) > 0 or not _middle(whole) > 0:
        return None
    excess = _excess(_normalised(products / pairs), _normalised(whole), _middle(pairs) / n_boxes)
    smooth = np.median([sky.roughness for _, sky in seen], axis=0) < SMOOTH
    if not _is_correlated(excess, pairs, smooth.any()):
        return None
    which = smooth if smooth.any() else np.median([sky.variances for _, sky in seen], axis=0) > 0
    own = np.mean([_expected(run, np.where(which, sky.variances, 0)) for run, sky in seen], axis=0)
    itself = np.mean([_of_image(sky, k) for _, sky in seen for k in np.flatnonzero(which)], axis=0)
    plane = _explaining(excess, _normalised(whole), own / _middle(whole), itself, 1 / np.sqrt(_middle(pairs)))
    source, target = (plane if images else None for images in which)
    return (target, source) if direction == 't' else (source, target)


def _is_correlated(excess, pairs, smooth):
    """Whether that is more than chance, and of an image whose noise is not smooth more than structure."""
    if smooth:
        return np.mean(excess**2 * pairs) > TELLING
    beside = max(abs(excess[REACH, REACH + 1]), abs(excess[REACH + 1, REACH]))
    return beside > max(CLEAR, CERTAIN / np.sqrt(_middle(pairs)))


def _expected(run, variances):
    """Covariances in the difference by the noise of the image that was convolved and of the other one."""
    return _within(shared_noise(run, variances), 2 * run.fit.model.half_width)


def _products(boxes):
    """Sums of products of pixels at each distance within reach, and of how many: two arrays."""
    boxes = within_four_widths(boxes)
    boxes = boxes - means_of(boxes)[:, np.newaxis, np.newaxis]
    known, n = np.isfinite(boxes), 2 * (boxes.shape[1] // 2 + REACH) + 1
    for planes in np.where(known, boxes, 0), known.astype(float):
        yield _within(self_products(planes, n), REACH)


def _excess(correlation, expected, n):
    """What correlations in boxes of n pixels are above those expected, had no mean been taken off the boxes."""
    beyond = correlation - _within(expected, REACH)
    # the mean takes off as much from all of them: what n pixels share, over n
    shared = (expected.sum() + beyond.sum()) / (n - np.sum(1 - correlation))
    return beyond + (1 - correlation) * shared


def _of_image(sky, k):
    """Autocorrelation of one of the images in quiet boxes, over the variance that it should have."""
    products, pairs = _products(sky.centred[k])
    return products / np.maximum(pairs, 1) / (sky.seen_variances[k] or sky.variances[k])      # most counts may be alike


def _explaining(excess, expected, own, itself, error):
    """Autocorrelation of the noise that is in ``own`` of what is expected, which makes correlations so much more.

    Of frequencies of which the kernel has left nothing, or less than the ``error`` of correlations hides, the image
    ``itself`` tells: it has no light there, or hardly any. Correlations do not tell the variance of the difference,
    which smooth noise under a kernel makes larger; it is such that the variance of the image is what it was.
    """
    points = len(own) + 4 * REACH                    # an odd number
    error = error * len(excess) if _middle(itself) < BLANK else 0.0
    white, own, more, itself = (transform_of(plane, points) for plane in (expected, own, excess, itself))
    hidden = np.square(HIDDEN * own.max()) + np.square(error / KNOWN)
    seen = own**2 / (own**2 + hidden)
    undo, unseen = seen / own, (1 - seen) * itself
    scale = np.sum(1 - seen - unseen + white * undo) / np.sum((white + more) * undo)
    power = seen + (scale * (white + more) - white) * undo + unseen
    plane = np.fft.fftshift(np.fft.ifft2(np.maximum(power, LOWEST)).real)
    return CorrelatedNoise(_normalised(_within(plane, 2 * REACH))).autocorrelation


def _middle(plane):
    return plane[len(plane) // 2, len(plane) // 2]


def _normalised(plane):
    """Correlations of covariances."""
    return plane / _middle(plane)


def _within(plane, reach):
    """The middle of a plane of an odd side, filled up with zeros if it is smaller."""
    plane = np.pad(plane, max(0, reach - len(plane) // 2))
    middle = len(plane) // 2
    return plane[middle - reach:middle + reach + 1, middle - reach:middle + reach + 1]
