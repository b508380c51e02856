"""The walk over the stamps of a region, for the template and the science image together (spec 3.1, 3.8)."""

import logging
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..inputs.bits import Bits
from ..inputs.exposure import letter_of
from .search import mark_star, score_star, search_cell, search_cells
from .statistics import measure_boxes
from .substamp import Stamp, Substamp

__all__ = ['Side', 'find_stamps']

log = logging.getLogger(__name__)

STAMP_PASSES = 3


@dataclass
class Side:
    """One image of the pair, as the search sees it.

    Attributes
    ----------
    name : str
        'template' or 'science'.
    data : float32 array (ny, nx)
        Pixels of the region.
    high : float
        Values from here up may not take part in the fit.
    bits : (int, int)
        Flags for unusable and for used pixels of this image.
    slots : list of Stamp
        Stamps in the order of the grid; unfilled ones at the end.
    n_filled : int
        How many of them hold a substamp.
    n_found : int
        How many substamps there are.
    """

    name: str
    data: np.ndarray
    high: float
    bits: tuple
    slots: list
    n_filled: int = 0
    n_found: int = 0

    @classmethod
    def of(cls, name, data, high, n_cells):
        """Side with empty slots."""
        letter = letter_of(name).upper()
        bits = tuple(int(getattr(Bits, f'{letter}_{what}')) for what in ('BAD', 'SKIP'))
        return cls(name, data, high, bits, [Stamp() for _ in range(n_cells)])

    @property
    def stamps(self):
        """The stamps that hold a substamp."""
        return self.slots[:self.n_filled]

    def spread(self, most):
        """Give each substamp a stamp of its own, at most ``most``: first those that are first in theirs."""
        ranked = sorted((k, n) for n, stamp in enumerate(self.stamps) for k in range(len(stamp.substamps)))
        stamps = self.stamps
        self.slots = [Stamp([stamps[n].substamps[k]], statistics=stamps[n].statistics) for k, n in ranked[:most]]
        self.n_filled = len(self.slots)


def cells_of(region, grid):
    """Yield the corner (x, y) and shape (ny, nx) of each cell, in pixels of the buffered region (spec 3.1)."""
    ny, nx = region.shape
    for row in range(grid.ny):
        y0 = row * ny // grid.ny
        for column in range(grid.nx):
            x0 = column * nx // grid.nx
            yield (x0, y0), (min(grid.width, ny - y0), min(grid.width, nx - x0))


def find_stamps(sides, mask, region, grid, config, stars=None, n_threads=1):
    """Fill the stamps of each side with substamps, twice if the first threshold finds too few (spec 3.8).

    Parameters
    ----------
    sides : list of Side
        Template, science image, or both; filled in place.
    mask : int32 array (ny, nx)
        Working mask of the region; marked in place.
    region : Region
    grid : StampGrid
    config : `~hotpants_cy.HotpantsConfig`
    stars : float32 array (n, 2), optional
        Positions (x, y) of stars in pixels of the image, 0-based, to take before any search.
    n_threads : int, optional
        Default 1.
    """
    threshold = np.float32(config.fitthresh)
    walk(sides, mask, region, grid, config, float(threshold), stars, n_threads)
    fewest = min(np.float32(side.n_filled) / np.float32(max(grid.nx * grid.ny, 1)) for side in sides)
    if grid.nx * grid.ny == 0 or not fewest < config.single('min_frac_stamps'):
        return
    threshold = threshold * np.float32(config.scale_fitthresh)
    log.info('only %.0f %% of the stamps hold a star; searching again with a threshold of %g sigma',
             100 * fewest, threshold)
    if config.single('scale_fitthresh') < 1:         # otherwise slots and marks stay (P10)
        for side in sides:
            side.slots = [Stamp() for _ in side.slots]
        mask &= ~(Bits.T_SKIP | Bits.I_SKIP)
    walk(sides, mask, region, grid, config, float(threshold), stars, n_threads)


def walk(sides, mask, region, grid, config, threshold, stars, n_threads=1):
    """Go through the cells once; a slot that gets a substamp is kept, and the next one is opened."""
    work = np.empty(max(grid.width, 1)**2, np.float32)
    for side in sides:
        side.n_filled = side.n_found = 0
    cells = list(cells_of(region, grid))
    surveys = survey(sides, mask, cells, config, threshold, n_threads) if stars is None else [None] * len(cells)
    for (corner, shape), surveyed in zip(cells, surveys, strict=True):
        cell = Cell(sides, mask, region, corner, shape, config, threshold, work)
        if stars is not None:
            for x, y in cell.inside(stars):
                cell.take(x, y)
        if surveyed is not None:
            cell.adopt(*surveyed)
        elif stars is None or config.auto_search:
            cell.search()
        for side, stamp in zip(sides, cell.stamps, strict=True):
            log.debug('%s stamp at %s: sky %.1f, sigma %.1f, %d stars', side.name, corner, stamp.statistics.mode,
                      stamp.statistics.fwhm, len(stamp.substamps))
            side.n_filled += bool(stamp.substamps)
    for side in sides:
        log.info('%d of %d %s stamps hold a star', side.n_filled, grid.nx * grid.ny, side.name)


def survey(sides, mask, cells, config, threshold, n_threads):
    """Statistics and peaks of cells side by side: what a walk finds in a cell depends on others only if they overlap.

    Returns
    -------
    list
        Of each cell the statistics and the peaks of each side; None if it has to wait for the walk, since a
        statistic that fails leaves those of the slot's last cell standing (P8).
    """
    if config.nss < 1 or not cells or _overlap(cells):
        return [None] * len(cells)
    boxes = np.array([(x, y, nx, ny) for (x, y), (ny, nx) in cells], np.intp)
    work = np.empty((min(n_threads, len(cells)), max(boxes[:, 2:].prod(axis=1).max(), 1)), np.float32)
    statistics = [measure_boxes(side.data, mask, boxes, config.single('stat_sig'), STAMP_PASSES, work)
                  for side in sides]
    complete = [k for k in range(len(cells)) if not any(measured[k].code for measured in statistics)]
    surveyed = [None] * len(cells)
    peaks = [_peaks(side, mask, boxes, measured, complete, config, threshold, work)
             for side, measured in zip(sides, statistics, strict=True)]
    for k, *found in zip(complete, *peaks, strict=True):
        surveyed[k] = [measured[k] for measured in statistics], found
    return surveyed


def _peaks(side, mask, boxes, statistics, cells, config, threshold, work):
    sky, sigma = np.array([(statistics[k].mode, statistics[k].fwhm) for k in cells]).reshape(-1, 2).T.copy()
    return search_cells(side.data, mask, boxes[cells], **_criteria(side, sky, sigma, config, threshold),
                        wanted=config.nss, work=work)


def _overlap(cells):
    columns, rows = ({(corner[axis], shape[1 - axis]) for corner, shape in cells} for axis in (0, 1))
    return any(start + length > following for spans in (columns, rows)
               for (start, length), (following, _) in pairwise(sorted(spans)))


def _criteria(side, sky, sigma, config, threshold):
    return {'sky': sky, 'sigma': sigma, 'high': side.high, 'threshold': threshold, 'half_width': config.rss,
            'bits': side.bits}


class Cell:
    """One cell of the grid while it is filled, with the open slot of each side."""

    def __init__(self, sides, mask, region, corner, shape, config, threshold, work):
        self.sides, self.mask, self.region, self.config = sides, mask, region, config
        self.corner, self.shape, self.threshold, self.work = corner, shape, threshold, work
        self.stamps = [side.slots[side.n_filled] for side in sides]
        for stamp in self.stamps:
            stamp.reset()

    def measure(self):
        """Sky of the stamps that are still empty."""
        for side, stamp in zip(self.sides, self.stamps, strict=True):
            if not stamp.substamps:
                stamp.statistics.measure(side.data, self.mask, self.corner, self.shape,
                                         self.config.single('stat_sig'), STAMP_PASSES, work=self.work)

    def search(self):
        """Fill the stamps with the best peaks of their image (spec 3.4)."""
        self.measure()
        for side, stamp in zip(self.sides, self.stamps, strict=True):
            missing = self.config.nss - len(stamp.substamps)
            if missing > 0:
                found = search_cell(side.data, self.mask, self.corner, self.shape, **self._criteria(side, stamp),
                                    wanted=self.config.nss)
                for x, y, score in found[:missing]:
                    self._append(side, stamp, x, y, score)

    def adopt(self, statistics, peaks):
        """Take what a survey found."""
        for side, stamp, measured, found in zip(self.sides, self.stamps, statistics, peaks, strict=True):
            stamp.statistics = measured
            for x, y, score in found:
                self._append(side, stamp, x, y, score)

    def inside(self, stars):
        """Stars well inside the cell (spec 3.7)."""
        (x0, y0), (ny, nx) = self.corner, self.shape
        x0, y0 = x0 + self.region.origin[0], y0 + self.region.origin[1]
        margin = self.config.rkernel + 1
        x, y = stars.T
        return stars[(x > x0 + margin) & (x < x0 + nx - 1 - margin) & (y > y0 + margin) & (y < y0 + ny - 1 - margin)]

    def take(self, x, y):
        """Take a star from a list, if its box passes (spec 3.7)."""
        self.measure()
        x, y = int(x - np.float32(self.region.origin[0])), int(y - np.float32(self.region.origin[1]))
        for side, stamp in zip(self.sides, self.stamps, strict=True):
            if len(stamp.substamps) >= self.config.nss:
                continue
            score = score_star(side.data, self.mask, self.corner, self.shape, **self._criteria(side, stamp),
                               position=(x, y))
            if score != 0:
                self._append(side, stamp, x, y, score)
                mark_star(self.mask, x, y, self.config.rss, side.bits[1], transposed=self.config.parity)

    def _criteria(self, side, stamp):
        return _criteria(side, stamp.statistics.mode, stamp.statistics.fwhm, self.config, self.threshold)

    def _append(self, side, stamp, x, y, score):
        x0, y0 = self.region.origin
        stamp.substamps.append(Substamp(side.n_found, side.n_filled, x + x0, y + y0, score, letter_of(side.name)))
        side.n_found += 1
