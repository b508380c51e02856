r"""Blank sky of a difference: the level that is left in it, and how much its fluxes scatter beyond their noise.

The skies of two images differ by more than a polynomial. Means m of boxes of the difference, with errors e by noise,
tell how much is left (medians do not: those of few counts, or of whole numbers, are off); as they are noisy themselves,
only the part

.. math:: 1 - 1 \Big/ \langle (m/e)^2 \rangle

of them is believed (James & Stein 1961). Structure smaller than the boxes stays, and blank sky then scatters by more
than its noise: no source can be told from it more surely than that.
"""

import logging
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ['Boxes', 'fwhm_of', 'scatter_beyond_noise', 'sky_left', 'sky_of']

log = logging.getLogger(__name__)

SKY_CELL = 64                        # pixels of the boxes in which the sky of an image is taken
PSF_WIDTHS, CELLS = 12, (32, 128)    # boxes of a difference in FWHM: a source must not be its own sky; limits in pixels
LOUD = 4.0                           # sigmas of pixels that are no sky, nor those within half a FWHM
KNOWN = 0.2                          # part of a box that must be left
FAR = 5.0                            # errors beyond which a box counts no more
SURE = 2.0                           # standard errors that an excess must have
FEWEST = 100                         # independent fluxes that tell a scatter
FOUND = 5.0                          # sigmas of a source
MOST, COMPACT = 0.5, 2.5             # part of blank sky that sources may have; their surroundings over what stands out
FAINT_STARS = 0.03                   # what these, unseen in a single pixel, can add to it
SAMPLED = 97                         # one pixel of so many for the median of a plane
NORMAL = 1.4826                      # standard deviation over median absolute deviation of a Gaussian


@dataclass(frozen=True)
class Boxes:
    """Boxes side by side that cover a plane.

    Parameters
    ----------
    shape : (int, int)
        Of the plane.
    cell : float
        Side of a box in pixels, about.
    """

    shape: tuple
    cell: float

    @cached_property
    def edges(self):
        """First pixels of the boxes, and the end, along y and x."""
        return [np.linspace(0, n, max(1, round(n / self.cell)) + 1).astype(int) for n in self.shape]

    def __iter__(self):
        rows, columns = self.edges
        for j in range(len(rows) - 1):
            for i in range(len(columns) - 1):
                yield (j, i), (slice(*rows[j:j + 2]), slice(*columns[i:i + 2]))

    def full(self, value):
        """An array with one value for each box."""
        return np.full([len(e) - 1 for e in self.edges], float(value))

    def blended(self, values):
        """Values between the centres of the boxes by linear interpolation, float32 of the shape of the plane."""
        shares = [np.stack([np.interp(np.arange(n), (e[1:] + e[:-1]) / 2, unit) for unit in np.eye(len(e) - 1)], axis=1)
                  for n, e in zip(self.shape, self.edges, strict=True)]
        return shares[0].astype(np.float32) @ (values @ shares[1].T).astype(np.float32)


def sky_of(plane, good):
    """Sky of an image: median of the good pixels of boxes, blended between their centres; float32 (ny, nx)."""
    from scipy.ndimage import median_filter
    boxes = Boxes(plane.shape, SKY_CELL)
    levels = boxes.full(np.median(plane[good][::SAMPLED]) if good.any() else 0)
    for place, cut in boxes:
        if np.count_nonzero(good[cut]) > 0.3 * good[cut].size:
            levels[place] = np.median(plane[cut][good[cut]])
    # a box that a star or a galaxy fills is none of sky
    return boxes.blended(median_filter(levels, 3, mode='nearest'))


def sky_left(difference, field, fwhm):
    """The smooth part of a difference, where it is more than noise.

    Parameters
    ----------
    difference : float32 array (ny, nx)
    field : NoiseField
        Its noise.
    fwhm : float
        Of the PSF, in pixels.

    Returns
    -------
    float32 array (ny, nx) or None
        None if there is no more than noise.
    """
    if not field.good.any():
        return None
    boxes = Boxes(difference.shape, float(np.clip(PSF_WIDTHS * fwhm, *CELLS)))
    sky = field.good & ~_loud(difference, field, fwhm)
    (ny, nx), (x0, y0) = difference.shape, field.origin
    with np.errstate(divide='ignore', invalid='ignore'):     # of no noise nothing is known
        of_means = field.autocorrelation(x0 + nx // 2, y0 + ny // 2).sum().clip(0)   # variance; 1 of independent pixels
    levels, errors = boxes.full(0), boxes.full(np.inf)
    for place, cut in boxes:
        chosen = sky[cut]
        n = np.count_nonzero(chosen)
        if n > KNOWN * chosen.size:
            levels[place] = np.mean(difference[cut][chosen], dtype=float)
            errors[place] = np.sqrt(of_means / n) * np.median(field.noise[cut][chosen])
    known = np.isfinite(errors) & (errors > 0)
    n = np.count_nonzero(known)
    excess = np.mean(np.minimum((levels[known] / errors[known])**2, FAR**2)) if n else 0.0
    if not excess > 1 + SURE * np.sqrt(2 / max(n, 1)):
        return None
    levels = np.where(known, levels, np.median(levels[known])) * (1 - 1 / excess)
    log.info('sky of the difference: its level in boxes of %.0f pixels varies %.1f times as much as noise lets it, and '
             'is taken off for score and flux', boxes.cell, np.sqrt(excess))
    return boxes.blended(levels)


def _loud(difference, field, fwhm):
    """Pixels of sources: those that stand out by themselves, or with those within half a FWHM, and what is near."""
    from scipy.ndimage import maximum_filter, uniform_filter
    with np.errstate(divide='ignore', invalid='ignore'):
        pull = np.where(field.good & (field.noise > 0), difference / field.noise, 0)
    pull[~np.isfinite(pull)] = 0
    # what is wide need not be bright in any pixel
    means = uniform_filter(pull, 1 + 2 * round(fwhm / 2))
    middle, width = _middle_and_width(means[field.good][::SAMPLED])
    loud = (np.abs(pull) > LOUD) | (np.abs(means - middle) > LOUD * width)
    return maximum_filter(loud, 1 + 2 * math.ceil(fwhm / 2))


def _middle_and_width(values):
    """Median, and standard deviation from the median absolute deviation."""
    middle = np.median(values)
    return float(middle), NORMAL * float(np.median(np.abs(values - middle)))


def fwhm_of(area):
    """FWHM of a Gaussian with such a noise area."""
    return math.sqrt(area * math.log(4) / math.pi)


def _sources(score, blank, fwhm):
    """Pixels of sources in one image only, and their wings; none where what stands out is much, or extended."""
    from scipy.ndimage import maximum_filter
    with np.errstate(invalid='ignore'):
        peaks = blank & (np.abs(score) > FOUND)
    near = maximum_filter(peaks, 1 + 2 * math.ceil(fwhm)) & blank
    n = np.count_nonzero(near)
    few = n < MOST * np.count_nonzero(blank)
    return near if few and n > COMPACT * np.count_nonzero(peaks) else np.zeros_like(near)


def scatter_beyond_noise(score, blank, area):
    """How many times as much as by their errors fluxes scatter in blank sky; 1 if not certainly some per cent more.

    Parameters
    ----------
    score : float32 array (ny, nx)
        Fluxes over errors.
    blank : bool array (ny, nx)
    area : float
        Noise area of the PSF in pixels.

    Returns
    -------
    float
    """
    values = score[blank & ~_sources(score, blank, fwhm_of(area))]
    n = len(values) / (2 * area)                     # a filtered PSF is so much wider
    if n < FEWEST:
        return 1.0
    values = values[::max(1, len(values) // 500_000)]
    _, width = _middle_and_width(values)
    return width if width > 1 + FAINT_STARS + SURE * 1.17 / np.sqrt(n) else 1.0
