"""The least squares problem of one direction: vectors of every substamp, normal equations, solutions, merits."""

import logging

import numpy as np

from .._core import equations, substamps
from ..exceptions import SingularFitError, TooFewStampsError
from .model import KernelModel
from .spatial import Monomials

__all__ = ['Design']

log = logging.getLogger(__name__)


class Design:
    """Find the kernel that turns ``source`` into ``target`` at the substamps in use.

    The vectors and products of each stamp's current substamp are computed once and kept (spec 5.1, 5.2), one
    slot per stamp.

    Parameters
    ----------
    stamps : list of Stamp
        Stamps with their substamps.
    source, target : Exposure
        The image to be convolved, and the one to be matched.
    region : Region
        The part of the images to work on.
    basis : GaussianBasis
    frame : RegionFrame
        Coordinates of the region.
    config : `~hotpants_cy.HotpantsConfig`
    n_threads : int
    """

    def __init__(self, stamps, source, target, region, basis, frame, config, n_threads=1):
        self.stamps = stamps
        self.source, self.target = source, target
        self.source_data, self.target_data = (e.cutout(region.buffered) for e in (source, target))
        self.region, self.basis, self.frame, self.config, self.n_threads = region, basis, frame, config, n_threads
        self.direction = source.name[0].replace('s', 'i')
        self.terms, self.background_terms = Monomials(config.ko), Monomials(config.bgo)
        n, size = len(stamps), config.substamp_width
        n_total = len(basis) + len(self.background_terms)
        self.vectors = np.empty((n, len(basis), size * size))
        self.gram = np.empty((n, n_total, n_total))
        self.rhs = np.empty((n, n_total))
        self.variance = np.empty((n, size, size), np.float32)
        self.fill(range(n))

    def _positions(self, slots):
        """Centres of the substamps in use, in pixels of the region."""
        x0, y0 = self.region.origin
        positions = [(self.stamps[k].substamp.x - x0, self.stamps[k].substamp.y - y0) for k in slots]
        return np.ascontiguousarray(np.array(positions, np.int32).reshape(-1, 2).T)

    def fill(self, slots):
        """Compute vectors and products of the substamps in use at ``slots``."""
        slots = np.array(list(slots), np.int32)
        xs, ys = self._positions(slots)
        y_filters, y_index, x_filters = self.basis.sliding_filters
        size, half = self.config.substamp_width, self.config.rss
        work = np.empty((self.n_threads, substamps.work_size(self.gram.shape[1], len(y_filters), size,
                                                             self.basis.width)))
        substamps.fill(self.source_data, self.target_data, xs, ys, slots, y_filters, y_index, x_filters,
                       self.basis.minus_first, half, self.config.bgo, self.vectors, self.gram, self.rhs, work)
        x0, y0 = self.region.origin
        for slot, x, y in zip(slots, xs + x0, ys + y0, strict=True):
            cut = np.s_[y - half:y + half + 1, x - half:x + half + 1]
            self.variance[slot] = self.source.variance(cut) + self.target.variance(cut)

    def local_sums(self):
        """Kernel sum of each substamp fitted alone, with a constant background; NaN if singular (spec 5.3)."""
        n = len(self.basis) + 1
        sums = []
        for gram, rhs in zip(self.gram, self.rhs, strict=True):
            lower = np.tril(gram[:n, :n])
            solution = _solve(lower + np.tril(lower, -1).T, rhs[:n].copy())
            sums.append(np.nan if solution is None else solution[0])
        return np.array(sums)

    def solve(self, slots):
        """Fit the kernel to the substamps in use at ``slots`` (spec 6.2, 6.3).

        Returns
        -------
        KernelModel

        Raises
        ------
        TooFewStampsError
            There are fewer substamps than spatial terms; with ``parity`` only if there are none.
        SingularFitError
            There is no finite solution.
        """
        self._check_number(len(slots))
        slots = np.array(slots, np.int32)
        x0, y0 = self.region.origin
        xs, ys = self._positions(slots)
        terms = np.ascontiguousarray(self.terms.values(*self.frame.normalise_single(xs + x0, ys + y0)))
        n_basis = len(self.basis)
        size = 1 + (n_basis - 1) * len(self.terms) + len(self.background_terms)
        matrix, vector = np.zeros((size, size)), np.zeros(size)
        equations.assemble(self.gram, self.rhs, slots, terms, n_basis, matrix, vector)
        solution = _solve(matrix, vector)
        if solution is None:
            raise SingularFitError(f'the fit of {size} kernel and background terms to {len(slots)} substamps has no '
                                   'finite solution: lower ko, bgo or the degrees, or find more stars')
        return KernelModel(solution, self.basis, self.config.ko, self.config.bgo, self.frame, self.direction,
                           self.config.block_width)

    def _check_number(self, n):
        needed = 1 if self.config.parity else len(self.terms)
        if n < needed:
            raise TooFewStampsError(
                f'{n} substamps are left of {sum(len(s.substamps) for s in self.stamps)} in {len(self.stamps)} stamps, '
                f'but a kernel of order ko={self.config.ko} needs {needed} or more: lower ko, lower fitthresh '
                f'({self.config.fitthresh:g}), or raise ks ({self.config.ks:g})')
        if n < len(self.terms):
            log.warning('only %d substamps for the %d spatial terms of the kernel: the result means little', n,
                        len(self.terms))

    def merits(self, model, slots, mask):
        """Merit of the substamps in use at ``slots`` under a kernel; -1 where it is meaningless (spec 5.4)."""
        slots = np.array(slots, np.int32)
        xs, ys = self._positions(slots)
        x0, y0 = self.region.origin
        coefficients = np.array([model.coefficients(x, y) for x, y in zip(xs + x0, ys + y0, strict=True)])
        background = np.array([model.background(x, y) for x, y in zip(xs + x0, ys + y0, strict=True)])
        merits = np.empty(len(slots))
        substamps.variance_merits(self.target_data, mask, xs, ys, slots, self.config.rss, self.vectors,
                                  coefficients.reshape(len(slots), len(self.basis)), background, self.variance, merits,
                                  np.empty((self.n_threads, self.config.substamp_width**2), np.float32))
        return merits


def _solve(matrix, vector):
    """Solution of a symmetric system, overwriting it; None if there is no finite one."""
    n = len(vector)
    pivots = np.empty(n, np.int32)
    if not equations.factorise(matrix, np.empty(n), pivots):
        return None
    equations.solve(matrix, pivots, vector)
    return vector if np.isfinite(vector).all() else None
