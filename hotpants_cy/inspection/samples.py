"""How one region of a finished subtraction is looked at: its images and its difference, in boxes."""

import numpy as np

from ..inputs.bits import Bits

__all__ = ['BOX', 'boxes_of', 'difference_boxes', 'image_boxes', 'limits_of', 'mean_of', 'median_of',
           'medians_of', 'robust_width']

BOX = 24              # pixels, side of a box
NORMAL = 1.4826       # standard deviation over median absolute deviation of a Gaussian


def mean_of(values):
    """Mean; NaN of no values."""
    values = np.asarray(values, float)
    return float(np.mean(values)) if len(values) else np.nan


def median_of(values):
    """Median of what is known; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else np.nan


def medians_of(rows):
    """Median of what is known in each row of a 2-D array; NaN where nothing is."""
    rows = np.sort(rows, axis=1)                     # NaN last; `nanmedian` takes far longer
    n, every = rows.shape[1] - np.isnan(rows).sum(axis=1), np.arange(len(rows))
    return np.where(n > 0, 0.5 * (rows[every, (n - 1) // 2] + rows[every, n // 2]), np.nan)


def robust_width(values, axis=None):
    """Standard deviation from the median absolute deviation, ignoring NaN; NaN of no values."""
    values = np.asarray(values, float)
    if axis is None:
        return float(robust_width(values.reshape(1, -1), axis=1)[0])
    return NORMAL * medians_of(np.abs(values - medians_of(values)[:, np.newaxis]))


def limits_of(run):
    """First and last pixel + 1 in x and y, in the buffered region, where there is a difference."""
    half, (ny, nx) = run.fit.model.half_width, run.region.shape
    rows, columns = run.region.inner
    return max(columns.start, half), min(columns.stop, nx - half), max(rows.start, half), min(rows.stop, ny - half)


def boxes_of(plane, corners, shape):
    """Boxes of a plane with first pixels ``corners`` (x, y), float64 (n, *shape)."""
    view = np.lib.stride_tricks.sliding_window_view(plane, shape)
    return view[corners[:, 1], corners[:, 0]].astype(float)


def image_boxes(exposure, run, corners, shape):
    """Values of an image in boxes of the region; the variance there, too."""
    (x0, y0), data = run.region.origin, exposure.data
    corners = np.add(corners, (x0, y0))
    values = boxes_of(data, corners, shape)
    if exposure.given_variance is not None:
        return values, boxes_of(exposure.given_variance, corners, shape)
    inverse_gain, read_variance = exposure.noise.factors
    return values, np.abs(values) * inverse_gain + read_variance


def difference_boxes(run, corners, shape):
    """Difference and noise in boxes, NaN where they cannot be trusted."""
    p = run.products
    difference, noise = (boxes_of(plane, corners, shape) for plane in (p.difference, p.noise))
    good = (boxes_of(p.flags, corners, shape).astype(int) & Bits.OUTPUT_ISBAD) == 0
    good &= np.isfinite(difference) & (noise > 0)
    return np.where(good, difference, np.nan), np.where(good, noise, np.nan)
