"""The walk over the stamps of a region, for the template and the science image together (spec 3.1, 3.8)."""

import logging
from dataclasses import dataclass

import numpy as np

from ..inputs.flags import HotpantsFlags
from .search import search_cell
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
    """

    name: str
    data: np.ndarray
    high: float
    bits: tuple
    slots: list
    n_filled: int = 0

    @classmethod
    def of(cls, name, data, high, n_cells):
        """Side with empty slots."""
        letter = name[0].replace('s', 'i').upper()
        bits = tuple(int(getattr(HotpantsFlags, f'{letter}_{what}')) for what in ('BAD', 'SKIP'))
        return cls(name, data, high, bits, [Stamp() for _ in range(n_cells)])

    @property
    def stamps(self):
        """The stamps that hold a substamp."""
        return self.slots[:self.n_filled]


def cells_of(region, grid):
    """Yield the corner (x, y) and shape (ny, nx) of each cell, in pixels of the buffered region (spec 3.1)."""
    ny, nx = region.shape
    for row in range(grid.ny):
        y0 = row * ny // grid.ny
        for column in range(grid.nx):
            x0 = column * nx // grid.nx
            yield (x0, y0), (min(grid.width, ny - y0), min(grid.width, nx - x0))


def find_stamps(sides, mask, region, grid, config):
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
    """
    threshold = np.float32(config.fitthresh)
    walk(sides, mask, region, grid, config, float(threshold))
    fewest = min(np.float32(side.n_filled) / np.float32(max(grid.nx * grid.ny, 1)) for side in sides)
    if grid.nx * grid.ny == 0 or not fewest < config.single('min_frac_stamps'):
        return
    threshold = threshold * np.float32(config.scale_fitthresh)
    log.info('only %.0f %% of the stamps hold a star; searching again with a threshold of %g sigma',
             100 * fewest, threshold)
    if config.single('scale_fitthresh') < 1:         # otherwise slots and marks stay (P10)
        for side in sides:
            side.slots = [Stamp() for _ in side.slots]
        mask &= ~(HotpantsFlags.T_SKIP | HotpantsFlags.I_SKIP)
    walk(sides, mask, region, grid, config, float(threshold))


def walk(sides, mask, region, grid, config, threshold):
    """Go through the cells once; a slot that gets a substamp is kept, and the next one is opened."""
    work = np.empty(max(grid.width, 1)**2, np.float32)
    for side in sides:
        side.n_filled = 0
    for corner, shape in cells_of(region, grid):
        open_slots = [side.slots[side.n_filled] for side in sides]
        for side, stamp in zip(sides, open_slots, strict=True):
            stamp.reset()
            stamp.statistics.measure(side.data, mask, corner, shape, config.single('stat_sig'), STAMP_PASSES,
                                     work=work)
        for side, stamp in zip(sides, open_slots, strict=True):
            sky = stamp.statistics
            found = search_cell(side.data, mask, corner, shape, sky.mode, sky.fwhm, high=side.high,
                                threshold=threshold, half_width=config.rss, wanted=config.nss, bits=side.bits)
            x_origin, y_origin = region.origin
            stamp.substamps = [Substamp(k, side.n_filled, x + x_origin, y + y_origin, score)
                               for k, (x, y, score) in enumerate(found)]
            log.debug('%s stamp at %s: sky %.1f, sigma %.1f, %d stars', side.name, corner, sky.mode, sky.fwhm,
                      len(found))
            side.n_filled += bool(found)
    for side in sides:
        log.info('%d of %d %s stamps hold a star', side.n_filled, grid.nx * grid.ny, side.name)
