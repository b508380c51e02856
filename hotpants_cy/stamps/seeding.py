"""Stamps filled from stars that were vetted, instead of by the search."""

import numpy as np

from ..checks import checked, or_none, real
from ..inputs.exposure import letter_of
from .regions import StampGrid
from .substamp import Substamp, SubstampStatus
from .vetting import FAINTEST, SPOILED, vet

__all__ = ['checked_radius', 'plant', 'positions_of', 'refused_substamps', 'seed_grid', 'vetted']


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
    stars = apart(inside(seeds, region, config.rss + config.rkernel), config.rss)
    stamps = stars_by_cell(stars, region, grid, config.nss)
    for side in sides:
        side.n_filled = side.n_found = 0
        for slot, members in zip(side.slots, stamps, strict=False):
            slot.reset()
            for x, y, score in members:
                slot.substamps.append(Substamp(side.n_found, side.n_filled, x, y, score, letter_of(side.name)))
                side.n_found += 1
            side.n_filled += 1


def seed_grid(config):
    """Layout of stamps for vetted stars: as many as asked for, since boxes may reach into the next one."""
    return StampGrid(config.nstampx, config.nstampy, 0)


def inside(seeds, region, border):
    """Good stars of a region, best first, as (x, y, score); none nearer than ``border`` pixels to its edge."""
    (x0, y0), (ny, nx), best = region.origin, region.shape, seeds.best
    x, y = (np.round(v[best]).astype(int) for v in (seeds.measures.science.x, seeds.measures.science.y))
    fits = (x - x0 >= border) & (x - x0 < nx - border) & (y - y0 >= border) & (y - y0 < ny - border)
    return list(zip(x[fits].tolist(), y[fits].tolist(), seeds.score[best][fits].tolist(), strict=True))


def apart(stars, distance):
    """Stars of which none is within ``distance`` pixels, in x and in y, of a better one."""
    positions, kept = np.array([star[:2] for star in stars]).reshape(-1, 2), []
    for k in range(len(stars)):
        if (np.abs(positions[kept] - positions[k]).max(axis=1) > distance).all():
            kept.append(k)
    return [stars[k] for k in kept]


def stars_by_cell(stars, region, grid, most):
    """Stars of each cell, at most a few; where there are no more stars than cells, each is on its own."""
    if len(stars) <= grid.nx * grid.ny:
        return [[star] for star in sorted(stars, key=lambda star: (star[1], star[0]))]
    (x0, y0), (ny, nx), cells = region.origin, region.shape, {}
    for x, y, score in stars:
        cells.setdefault(((y - y0) * grid.ny // ny, (x - x0) * grid.nx // nx), []).append((x, y, score))
    return [cells[cell][:most] for cell in sorted(cells)]


def refused_substamps(seeds, direction):
    """The stars that were refused, as substamps of one direction with their reasons."""
    refused, scores = [], seeds.score
    for k in np.flatnonzero(~seeds.good):
        position = seeds.measures.positions[k]
        x, y = (round(float(v)) for v in position) if np.isfinite(position).all() else (-1, -1)
        score = scores[k]
        refused.append(Substamp(int(k), -1, x, y, float(score) if np.isfinite(score) else 0.0, direction,
                                SubstampStatus.REFUSED, seeds.reasons[k]))
    return refused


def positions_of(stars, frame, exposure, what='stars'):
    """Positions (n, 2) of what a user gives for stars, 0-based, and words for where they come from."""
    if isinstance(stars, str) and stars == 'auto' and what == 'stars':
        from .catalog import find_stars
        table = find_stars(frame, saturation=exposure.kernel_high)
        return np.column_stack([table['x_centroid'], table['y_centroid']]).astype(float), 'photutils'
    from .positions import pixel_positions
    return pixel_positions(stars, frame, what), 'the list given'


def checked_radius(radius):
    """A radius in pixels, or None; an `InputError` if it is neither."""
    return checked('avoid_radius', radius, or_none(real(0)))


def vetted(measures, exposures, config=None, *, footprint=None, border=None, avoid=(), avoid_radius=None,
           source='a list', faintest=FAINTEST):
    """Vet stars for a configuration, or for a footprint and a border in pixels."""
    checked_radius(avoid_radius)
    footprint = config.rss if footprint is None else footprint
    border = config.rss + config.rkernel if border is None else border
    weighted = config is not None and (config.weights or config.robust)
    return vet(measures, *exposures, footprint=footprint, border=border, avoid=avoid,
               avoid_radius=footprint if avoid_radius is None else avoid_radius, source=source,
               faintest=faintest, spoiled=SPOILED if weighted else 0.0)
