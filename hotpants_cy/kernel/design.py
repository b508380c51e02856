"""The least squares problem of one direction: vectors of every substamp, normal equations, merits."""

import copy
import logging

import numpy as np

from ..exceptions import SingularFitError, TooFewStampsError
from ..inputs.bits import Bits
from ..instructions import loops
from ..stamps.statistics import GOOD, SectionStatistics
from ..words import counted
from .factors import Factors
from .model import KernelModel
from .spatial import Monomials
from .vectors import Vectors

__all__ = ['Design']

log = logging.getLogger(__name__)

RESIDUAL_PASSES = 5
CORE = 3                     # half width in pixels of what tells the noise of a star
ALIKE = 2.5                  # scatters from the median that flux ratios of stars are alike within
RATIO_SCATTER = 0.01         # what these scatter by without any noise, of the median
SEARCH_MARKS = int(Bits.T_BAD | Bits.T_SKIP | Bits.I_BAD | Bits.I_SKIP)


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
        self.direction = source.letter
        self.terms, self.background_terms = Monomials(config.ko), Monomials(config.bgo)
        n, size = len(stamps), config.substamp_width
        n_total = len(basis) + len(self.background_terms)
        self.vectors = Vectors(n, (len(basis), size * size), self.source_data.nbytes)
        self.gram = np.empty((n, n_total, n_total))
        self.rhs = np.empty((n, n_total))
        self.variance = np.empty((n, size, size), np.float32)
        self.star_weights = np.ones(n)
        self.centres = np.empty((2, n), np.int32)
        self.fill(range(n))

    def _positions(self, slots):
        """Centres of the substamps in use, in pixels of the region."""
        return self.centres.take(slots, axis=1)

    def of_order(self, config):
        """The same substamps and vectors, for another spatial order of the kernel."""
        twin = copy.copy(self)
        twin.config, twin.terms = config, Monomials(config.ko)
        return twin

    def fill(self, slots):
        """Compute vectors and products of the substamps in use at ``slots``."""
        slots = np.array(list(slots), np.int32)
        x0, y0 = self.region.origin
        stars = [self.stamps[k].substamp for k in slots]
        self.centres[:, slots] = xs, ys = np.array([[s.x - x0 for s in stars], [s.y - y0 for s in stars]], np.int32)
        size, half, compiled = self.config.substamp_width, self.config.rss, loops('products')
        work = np.empty((self.n_threads, compiled.work_size(self.gram.shape[1], size)))
        at_a_time = 16 * self.n_threads             # so that vectors are still at hand when their products are taken
        for which, inside, rows, vectors in self.vectors.blocks_of(slots):
            for k in range(0, len(which), at_a_time):
                some = which[k:k + at_a_time]
                places = xs[some], ys[some], inside[k:k + at_a_time], half
                self.basis.convolve(self.source_data, *places, vectors, self.n_threads)
                compiled.products(self.target_data, *places, self.config.bgo, vectors, self.gram[rows], self.rhs[rows],
                                  work)
        corners = np.stack([xs, ys], axis=1) + self.region.origin - half
        self.variance[slots] = self.source.variances(corners, size) + self.target.variances(corners, size)

    def convolved(self, slots, coefficients):
        """Substamps at ``slots``, each under the kernel with its row of coefficients, (n, pixels)."""
        out = np.empty((len(slots), self.vectors.n_pixels))
        for which, inside, _, vectors in self.vectors.blocks_of(np.asarray(slots, np.int32)):
            some = np.empty((len(which), out.shape[1]))
            loops('products').combinations(vectors, inside, np.ascontiguousarray(coefficients[which]), some,
                                           self.n_threads)
            out[which] = some
        return out

    def _core_variances(self):
        """Mean variance in the core of each star."""
        core = slice(max(self.config.rss - CORE, 0), self.config.rss + CORE + 1)
        return np.maximum(self.variance[:, core, core].mean(axis=(1, 2), dtype=float), 1e-300)

    def weigh_stars(self):
        """Give each star, as a whole, one over the mean variance of its core as its weight."""
        weights = 1 / self._core_variances()
        weights /= weights.max(initial=1e-300)
        self.star_weights = weights
        self.gram *= weights[:, np.newaxis, np.newaxis]
        self.rhs *= weights[:, np.newaxis]

    def local_sums(self, slots=None):
        """Kernel sum of each substamp, or of those at ``slots``, fitted alone; NaN if singular (spec 5.3)."""
        slots = np.arange(len(self.stamps)) if slots is None else np.asarray(slots, int)
        return self._solve_alone(slots, self.rhs[slots, :len(self.basis) + 1])[:, 0]

    def _solve_alone(self, slots, vectors):
        """Solutions of each substamp's own equations, with a constant background; NaN where there is no finite one."""
        (m, n), n_threads, vectors = vectors.shape, self.n_threads, vectors.copy()
        regular = np.empty(m, np.uint8)
        loops('equations').solve_each(self.gram, np.asarray(slots, np.int32), vectors, np.empty((n_threads, n, n)),
                                      np.empty((n_threads, n)), np.empty((n_threads, n), np.int32), regular)
        vectors[(regular == 0) | ~np.isfinite(vectors).all(axis=1)] = np.nan
        return vectors

    def local_solution(self, slot):
        """Coefficients of the kernel of one substamp alone, and its constant background; None if singular."""
        (solution,) = self._solve_alone([slot], self.rhs[[slot], :len(self.basis) + 1])
        return None if np.isnan(solution[0]) else solution

    def local_errors(self, slots):
        """Standard deviation of the sums of `local_sums` by the noise in the core of each star."""
        slots = np.asarray(slots, int)
        inverses = self._solve_alone(slots, np.eye(1, len(self.basis) + 1).repeat(len(slots), axis=0))[:, 0]
        return np.sqrt(np.maximum(inverses, 0) * self.star_weights[slots] * self._core_variances()[slots])

    def alike(self, slots):
        """Those of ``slots`` whose stars, each fitted alone, agree in flux ratio as their noise allows.

        All, if too few do. Their scatter counts where it is larger than their noise.
        """
        slots = np.asarray(slots)
        sums = self.local_sums(slots)
        if not np.isfinite(sums).any():
            return slots
        middle = np.nanmedian(sums)
        with np.errstate(divide='ignore', invalid='ignore'):
            pulls = np.abs(sums - middle) / np.hypot(self.local_errors(slots), RATIO_SCATTER * middle)
        kept = pulls <= ALIKE * max(1, 1.4826 * np.nanmedian(pulls))
        return slots[kept] if kept.sum() >= max(2 * len(self.terms), len(slots) // 3) else slots

    def equations(self, slots):
        """Matrix and right hand side of the substamps in use at ``slots`` (spec 6.2)."""
        slots = np.array(slots, np.int32)
        x0, y0 = self.region.origin
        xs, ys = self._positions(slots)
        return self.sum_up(xs + x0, ys + y0, self.gram, self.rhs, slots)

    def sum_up(self, x, y, gram, rhs, slots):
        """Equations of the coefficients from products of substamps, at ``slots`` of them, centred at (x, y)."""
        terms = np.ascontiguousarray(self.terms.values(*self.frame.normalise_single(x, y)))
        n_basis = len(self.basis)
        size = 1 + (n_basis - 1) * len(self.terms) + len(self.background_terms)
        matrix, vector = np.zeros((size, size)), np.zeros(size)
        loops('equations').assemble(gram, rhs, slots, terms, n_basis, matrix, vector, self.n_threads)
        return matrix, vector

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
        matrix, vector = self.equations(slots)
        self.factors = Factors(matrix)
        solution = self.factors.solution(vector)
        if solution is None:
            stars = counted(len(slots), 'substamp')
            raise SingularFitError(f'the fit of kernel and background to {stars} has no finite solution: lower ko, bgo '
                                   'or the degrees, or find more stars')
        return self.model_of(solution)

    def model_of(self, solution):
        """The `KernelModel` with these coefficients."""
        return KernelModel(solution, self.basis, self.config.ko, self.config.bgo, self.frame, self.direction,
                           self.config.block_width)

    def outliers(self, mean, scatter):
        """Slots whose substamps fit much worse than the others, and words for it."""
        n_sigma = self.config.single('ks')
        # a stamp that has just been passed on is judged by its last chi2, as in C (P13)
        slots = [k for k, stamp in enumerate(self.stamps) if stamp.alive and stamp.chi2 - mean > n_sigma * scatter]
        return slots, f'its merit is more than {n_sigma:g} x {scatter:.3g} above {mean:.3g}'

    def finish(self, model, slots, mean_merit):
        """The last model with all that is known of it, and the covariance of its background coefficients.

        The latter is as if all pixels fitted were alike. Their residual variance is taken from the mean merit and the
        mean variance of the substamps in use at ``slots``, those of the last solution.
        """
        n = len(self.background_terms)
        columns = [self.factors.solve(unit)[-n:] for unit in np.eye(len(model.solution))[-n:]]
        return model, np.array(columns) * (mean_merit * float(self.variance[slots].mean(dtype=float)))

    def _check_number(self, n):
        # each substamp tells a level and two slopes of the background
        needed = 1 if self.config.parity else max(len(self.terms), -(-len(self.background_terms) // 3))
        if n < needed:
            self._check_basis()
            raise TooFewStampsError(
                f'{counted(n, "substamp")} of {sum(len(s.substamps) for s in self.stamps)} in '
                f'{counted(len(self.stamps), "stamp")} can be used, '
                f'but orders ko={self.config.ko} and bgo={self.config.bgo} need {needed} or more: lower them, lower '
                f'fitthresh ({self.config.fitthresh:g}), or raise ks ({self.config.ks:g})')
        if n < len(self.terms):
            log.warning('only %s for the %d spatial terms of the kernel: the result means little',
                        counted(n, 'substamp'), len(self.terms))

    def _check_basis(self):
        if len(self.basis) > self.basis.width**2:
            raise TooFewStampsError(
                f'no star determines the kernel: its {len(self.basis)} functions are more than its '
                f'{self.basis.width**2} pixels; raise rkernel ({self.config.rkernel}), or lower deg_fixe '
                f'{self.config.deg_fixe}')

    def merits(self, model, slots, mask, kind='v'):
        """Merit of the substamps in use at ``slots`` under a kernel; -1 where it is meaningless (spec 5.4).

        Parameters
        ----------
        model : KernelModel
        slots : sequence of int
        mask : int32 array (ny, nx)
            Working mask of the region.
        kind : {'v', 's', 'h'}
            Mean squared residual over variance, scatter of the residual, its scatter by the histogram [C: ``-fom``].

        Returns
        -------
        float64 array
        """
        slots = np.array(slots, np.int32)
        xs, ys = self._positions(slots)
        x0, y0 = self.region.origin
        coefficients, background = model.coefficients(xs + x0, ys + y0), model.background(xs + x0, ys + y0)
        if kind != 'v':
            return np.array([self._scatter(*item, mask, kind)
                             for item in zip(slots, xs, ys, coefficients, background, strict=True)])
        merits, work = np.empty(len(slots)), np.empty((self.n_threads, self.config.substamp_width**2), np.float32)
        for which, inside, rows, vectors in self.vectors.blocks_of(slots):
            some = np.empty(len(which))
            loops('substamps').variance_merits(self.target_data, mask, xs[which], ys[which], inside, self.config.rss,
                                               vectors, coefficients[which], background[which], self.variance[rows],
                                               some, work)
            merits[which] = some
        return merits

    def _scatter(self, slot, x, y, coefficients, background, mask, kind):
        """Scatter of the residual of one substamp, in data units; -1 if it cannot be told."""
        size = self.config.substamp_width
        corner = int(x) - self.config.rss, int(y) - self.config.rss
        residual = np.empty((size, size), np.float32)
        loops('substamps').residuals(self.target_data, mask, *corner, self.vectors[slot], coefficients, background,
                                     residual)
        # C also leaves out what the search has marked, which is nearly all of the substamp (P28)
        selection = GOOD if self.config.parity else (0, GOOD[1] & ~SEARCH_MARKS)
        section = SectionStatistics()
        code = section.measure(residual, mask, corner, residual.shape, self.config.single('stat_sig'), RESIDUAL_PASSES,
                               selection, cutout=True)
        value = section.sd if kind == 's' else section.fwhm
        return value if code == 0 and 0 <= value < 1e10 else -1
