"""The sky of an image, and the peaks that stand out of it: where stars may be."""

import math
import warnings
from dataclasses import dataclass

import numpy as np

from .shapes import cutouts

__all__ = ['Peaks', 'Sky', 'boxes_around', 'filled_value']

BLOCK = 3                 # pixels on a side of the blocks whose maxima are looked at, odd
SKY_BOX = 64              # pixels on a side of the boxes that the sky is measured in
FLAT = 0.01               # relative to the peak, what the pixels of a flat top differ by
LEVEL = 0.8               # of the highest peak: flat tops lower than that are none
FILLED = 0.01, 0.5, 10    # least and largest part of the pixels, and how many times that of any other value, of one
                          # that stands for nothing
SAME_LEVEL = 0.95         # of the lowest flat top: peaks above are cut off too


def filled_value(values):
    """The value that far more pixels have than any other, as areas without data that no mask tells of; NaN of none."""
    if not len(values):
        return np.nan
    each, counts = np.unique(values, return_counts=True)
    most = np.argmax(counts)
    least, largest, times = FILLED
    filled = (counts[most] > max(least * len(values), times * np.max(np.delete(counts, most), initial=0))
              and counts[most] < largest * len(values))
    return each[most] if filled else np.nan


@dataclass(frozen=True)
class Sky:
    """Level and scatter of the sky in boxes (my, mx), of that many pixels (by, bx) each."""

    level: np.ndarray
    sigma: np.ndarray
    box: tuple

    @classmethod
    def of(cls, data, bad):
        """Measure a sample of the pixels, of which large images need a smaller part."""
        from photutils.background import Background2D
        from scipy.ndimage import median_filter
        step = 1 << min(max((math.isqrt(data.size) // 512).bit_length() - 1, 0), 3)
        sample = np.s_[step // 2::step, step // 2::step]
        size = tuple(min(SKY_BOX // step, n) for n in data[sample].shape)
        if bad[sample].all():
            sample, step, size = np.s_[:, :], 1, tuple(min(SKY_BOX, n) for n in data.shape)
        if bad.all():
            return cls(np.zeros((1, 1)), np.ones((1, 1)), data.shape)
        # its own filter takes longer than all the rest
        found = Background2D(data[sample], size, mask=bad[sample], exclude_percentile=95, filter_size=1)
        level, sigma = (median_filter(mesh, 3, mode='nearest') for mesh in (found.background_mesh,
                                                                            found.background_rms_mesh))
        # data without noise, too, have a least step
        return cls(level, np.maximum(sigma, 1e-6 * np.abs(data[sample]).max() + 1e-30), tuple(n * step for n in size))

    def at(self, x, y):
        """Level and scatter at n positions, interpolated linearly between the middles of the boxes."""
        rows, columns = self._weights(x, y)
        return tuple(np.sum((rows @ mesh) * columns, axis=1) for mesh in (self.level, self.sigma))

    def on_grid(self, x, y):
        """Level and scatter where columns x and rows y cross, (rows, columns)."""
        rows, columns = self._weights(x, y)
        return tuple((rows @ mesh) @ columns.T for mesh in (self.level, self.sigma))

    def _weights(self, x, y):
        places = (np.clip((p + 0.5) / b - 0.5, 0, n - 1) for p, b, n in zip((y, x), self.box, self.level.shape,
                                                                          strict=True))
        return [np.maximum(1 - np.abs(place[:, np.newaxis] - np.arange(n)), 0)
                for place, n in zip(places, self.level.shape, strict=True)]


@dataclass(frozen=True)
class Peaks:
    """Highest pixels (x, y) of n sources, boxes of 5 × 5 pixels around them, and the sky there."""

    x: np.ndarray
    y: np.ndarray
    box: np.ndarray
    sky: np.ndarray
    sigma: np.ndarray

    @classmethod
    def of(cls, data, bad, sky, threshold, number):
        """Find the highest ones of an image, highest first."""
        ny, nx = (n // BLOCK for n in data.shape)
        values = np.where(bad, np.finfo(np.float32).min, data)[:ny * BLOCK, :nx * BLOCK] if bad.any() else data
        rows = np.maximum.reduce([values[k:ny * BLOCK:BLOCK] for k in range(BLOCK)])
        highest = np.maximum.reduce([rows[:, k:nx * BLOCK:BLOCK] for k in range(BLOCK)])
        level, sigma = sky.on_grid(*(BLOCK * (np.arange(n) + 0.5) - 0.5 for n in (nx, ny)))
        column, row = _find_peaks(highest - level, threshold * sigma, number)
        block = cutouts(values, BLOCK * column + BLOCK // 2, BLOCK * row + BLOCK // 2, BLOCK // 2).reshape(-1, BLOCK**2)
        down, right = np.divmod(block.argmax(axis=1), BLOCK) if len(block) else (row, column)
        x, y = BLOCK * column + right, BLOCK * row + down
        return cls(x, y, boxes_around(data, bad, x, y, 2), *sky.at(x, y))

    def __getitem__(self, which):
        return Peaks(*(getattr(self, name)[which] for name in ('x', 'y', 'box', 'sky', 'sigma')))

    def __len__(self):
        return len(self.x)

    @property
    def height(self):
        """Over the sky."""
        return self.box[:, 2, 2] - self.sky

    def as_wide_as(self, least):
        """Whether opposite neighbours have ``least`` of the peak, in x and in y, as not in hot pixels and tracks."""
        over = self.box - self.sky[:, np.newaxis, np.newaxis]
        pairs = np.minimum(over[:, 2, 1] + over[:, 2, 3], over[:, 1, 2] + over[:, 3, 2]) / 2
        return pairs >= least * self.height      # not where a neighbour is bad

    def saturated(self, level):
        """Whether the peaks reach a level in data units; if it is None, whether they seem to be cut off."""
        top = self.box[:, 2, 2]
        if level is not None:
            return top >= level
        # a star between four pixels makes them equal, but not five
        near = self.box >= (top - FLAT * self.height)[:, np.newaxis, np.newaxis]
        flat = (near.sum(axis=(1, 2)) > 4) & (self.height > LEVEL * self.height.max(initial=0))
        return top > (np.min(top[flat]) - (1 - SAME_LEVEL) * np.min(self.height[flat]) if flat.any() else np.inf)


def _find_peaks(image, threshold, number):
    if not image.size:
        return np.zeros((2, 0), int)
    from photutils.detection import find_peaks
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')      # that there is none
        found = find_peaks(image, threshold, box_size=3, n_peaks=number)
    if found is None:
        return np.zeros((2, 0), int)
    found.sort('peak_value', reverse=True)
    return np.array([found['x_peak'], found['y_peak']], int)


def boxes_around(data, bad, x, y, half_width):
    """Boxes around pixels, NaN where they are bad or beyond the edge."""
    boxes = cutouts(data, x, y, half_width)
    if bad.any():
        boxes[cutouts(bad, x, y, half_width) != 0] = np.nan
    return boxes
