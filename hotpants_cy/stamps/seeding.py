"""Stamps filled from stars that were vetted, instead of by the search."""

import numpy as np

from .substamp import Substamp, SubstampStatus
from .vetting import FAINTEST, vet

__all__ = ['plant', 'positions_of', 'refused_substamps', 'vetted']


def plant(sides, seeds, region, grid, config):
    """Fill the stamps of each side with vetted stars, best first, a few per cell that do not overlap.

    Other than for a list of C HOTPANTS (spec 3.7), the cells leave no gaps between them, and a star may lie at the edge
    of one.

    Parameters
    ----------
    sides : list of Side
        Template, science image, or both; filled in place, with the same stars.
    seeds : Seeds
    region : Region
    grid : StampGrid
    config : `~hotpants_cy.HotpantsConfig`
    """
    (x0, y0), (ny, nx) = region.origin, region.shape
    border = config.rss + config.rkernel
    cells, taken = {}, np.empty((0, 2))
    for k in seeds.best:
        position = np.array([round(v[k]) for v in (seeds.measures.science.x, seeds.measures.science.y)])
        x, y = position - (x0, y0)
        if not (border <= x < nx - border and border <= y < ny - border):
            continue
        cell = cells.setdefault((y * grid.ny // ny, x * grid.nx // nx), [])
        if len(cell) < config.nss and np.abs(taken - position).max(axis=1, initial=0, where=True).min(
                initial=np.inf) > config.rss:
            cell.append((*map(int, position), float(seeds.score[k])))
            taken = np.vstack([taken, position])
    for side in sides:
        side.n_filled = side.n_found = 0
        for slot, (_, stars) in zip(side.slots, sorted((c, s) for c, s in cells.items() if s), strict=False):
            slot.reset()
            for x, y, score in stars:
                slot.substamps.append(Substamp(side.n_found, side.n_filled, x, y, score,
                                               't' if side.name == 'template' else 'i'))
                side.n_found += 1
            side.n_filled += 1


def refused_substamps(seeds, direction):
    """The stars that were refused, as substamps of one direction with their reasons."""
    refused = []
    for k in np.flatnonzero(~seeds.good):
        position = seeds.measures.positions[k]
        x, y = (round(float(v)) for v in position) if np.isfinite(position).all() else (-1, -1)
        score = seeds.score[k]
        refused.append(Substamp(int(k), -1, x, y, float(score) if np.isfinite(score) else 0.0, direction,
                                SubstampStatus.REFUSED, seeds.reasons[k]))
    return refused


def positions_of(stars, frame, exposure):
    """Positions (n, 2) of what a user gives for stars, 0-based, and words for where they come from."""
    if isinstance(stars, str) and stars == 'auto':
        from .catalog import find_stars
        table = find_stars(frame, saturation=exposure.kernel_high)
        return np.column_stack([table['x_centroid'], table['y_centroid']]).astype(float), 'photutils'
    from .positions import pixel_positions
    return pixel_positions(stars, frame), 'the list given'


def vetted(measures, exposures, config=None, *, footprint=None, border=None, avoid=(), avoid_radius=None,
           source='a list', faintest=FAINTEST):
    """Vet stars for a configuration, or for a footprint and a border in pixels."""
    footprint = config.rss if footprint is None else footprint
    border = config.rss + config.rkernel if border is None else border
    return vet(measures, *exposures, footprint=footprint, border=border, avoid=avoid,
               avoid_radius=footprint if avoid_radius is None else avoid_radius, source=source,
               faintest=faintest)
