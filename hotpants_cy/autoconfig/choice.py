"""A few kernels are tried on stars held out; the one that predicts them best is taken, the simplest of equals."""

import logging
import math
from dataclasses import dataclass

import numpy as np

from ..kernel.basis import basis_of
from ..kernel.design import Design
from ..kernel.prediction import predicted_chi2
from ..kernel.spatial import RegionFrame
from ..stamps.grid import Side
from ..stamps.regions import regions_of
from ..stamps.seeding import plant, seed_grid
from ..words import counted

__all__ = ['Trial', 'try_kernels']

log = logging.getLogger(__name__)

LEAST_STARS = 10             # with fewer, the folds say nothing
MOST_STARS = 150
EQUAL = 0.005                # relative difference of chi2 that is none
WORST = 0.1                  # part of the stars, those that no kernel predicts, that is left out
RADIUS = 2.0                 # FWHM around a star that count
REACH = 2.5                  # FWHM that the kernels tried reach


@dataclass(frozen=True)
class Trial:
    """One kernel that was tried.

    Attributes
    ----------
    changes : dict
        Parameters by name.
    n_unknown : int
        Unknowns of its fit.
    chi2 : float64 array
        Of each star while it was held out.
    """

    changes: dict
    n_unknown: int
    chi2: np.ndarray


def try_kernels(config, menus, exposures, seeds, fwhm, n_threads):
    """Go through menus one after the other, each time keeping the best entry.

    Parameters
    ----------
    config : HotpantsConfig
    menus : list of list of dict
        Each menu is a list of changes to the configuration, to which no change at all is added unless the menu has
        the direction, which must be decided.
    exposures : (Exposure, Exposure)
        Template and science image.
    seeds : Seeds
        Vetted stars.
    fwhm : float
        Of the broader image, in pixels.
    n_threads : int

    Returns
    -------
    config : HotpantsConfig
    told : dict
        Words for the parameters that the trials decided, by name.
    """
    bench = Bench(exposures, seeds, fwhm, n_threads)
    told, first = {}, bench.trial(config, {})
    if first is None:
        return config, told
    for menu in menus:
        tried = [bench.trial(config, changes) for changes in menu]
        undecided = 'force_convolve' in menu[0]
        trials = [trial for trial in [first, *tried][undecided:] if trial is not None]
        first = choose(trials)
        scores = scores_of(trials)
        for trial, score in zip(trials, scores, strict=True):
            log.info('held-out chi2 %.4f with %d unknowns: %s', score, trial.n_unknown, trial.changes or 'as it was')
        words = (f'predicts {counted(len(first.chi2), "star")} held out best: chi2 {scores[trials.index(first)]:.3f}, '
                 f'others {min(scores):.3f} to {max(scores):.3f}')
        told |= dict.fromkeys({name for changes in menu for name in changes}, words)
        config = config.replace(**first.changes)
    return config, told


def scores_of(trials):
    """Mean chi2 of each trial over the same stars, without those that no trial predicts."""
    table = np.array([trial.chi2 for trial in trials])
    table[:, ~np.isfinite(table).any(axis=0)] = 0
    kept = np.argsort(table.min(axis=0), kind='stable')[:max(1, round((1 - WORST) * table.shape[1]))]
    return [float(np.mean(row)) for row in table[:, kept]]


def choose(trials):
    """The simplest trial of those about as good as the best."""
    scores = scores_of(trials)
    good = [k for k, score in enumerate(scores) if score <= (1 + EQUAL) * min(scores)]
    return trials[min(good, key=lambda k: (trials[k].n_unknown, scores[k]))]


class Bench:
    """What trials share: images, stars, and the vectors of a basis that several of them use."""

    def __init__(self, exposures, seeds, fwhm, n_threads):
        self.exposures, self.seeds, self.n_threads = dict(zip('ti', exposures, strict=True)), seeds, n_threads
        self.radius, self.reach = RADIUS * fwhm, math.ceil(REACH * fwhm)
        self.last = None, None                   # the vectors of the last basis, and what they belong to
        self.slots = None                        # stars that agree with one another

    def trial(self, config, changes):
        """Try one configuration; None if there is no room for it or not a star."""
        try:
            changed = config.replace(**changes)
            # the wings of the kernel take time, and decide nothing
            tried = changed.replace(rkernel=min(changed.rkernel, self.reach))
        except ValueError:
            return None
        design = self.design(tried)
        if len(design.stamps) < LEAST_STARS:
            return None
        if self.slots is None:
            # stars that vary would vote for a kernel of their own
            self.slots = design.alike(range(len(design.stamps)))
        return Trial(changes, changed.n_comp_total, predicted_chi2(design, self.slots, self.radius))

    def design(self, config):
        """Equations of all stars for one configuration."""
        key = config.replace(ko=0)
        if self.last[0] == key:
            return self.last[1].of_order(config)
        self.last = key, self._design(config)
        return self.last[1]

    def _design(self, config):
        direction = 'i' if config.force_convolve == 'i' else 't'
        source, target = (self.exposures[d] for d in ('ti' if direction == 't' else 'it'))
        region = regions_of(source.data.shape, config)[0]
        grid = seed_grid(config)
        side = Side.of(source.name, source.data[region.buffered], source.kernel_high, grid.nx * grid.ny)
        plant([side], self.seeds, region, grid, config)
        some = side.stamps[::-(-len(side.stamps) // MOST_STARS) or 1]          # from all over the field
        design = Design(some, source, target, region, basis_of(config), RegionFrame(region.origin, region.shape),
                        config, self.n_threads)
        design.weigh_stars()
        return design
