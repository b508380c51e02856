"""The fit with weights: masked pixels count nothing, noisy ones little, stars and pixels that are off less and less.

HOTPANTS weighs all pixels alike and rejects whole stars; here the equations are solved again and again, each time with
the weights that the last kernel gives.
"""

import copy
import logging
from dataclasses import replace

import numpy as np

from ..exceptions import SingularFitError
from ..instructions import loops
from ..words import counted
from .covariance import bias_of_noise, fit_covariance
from .design import Design
from .factors import Factors
from .weighing import Sight, Weighing, chi2
from .weighted_sky import Sky

__all__ = ['DISAGREES', 'WeightedDesign']

log = logging.getLogger(__name__)

ROUNDS = 12                  # of solving at most
SETTLED = 0.02               # sigmas that no pixel changes by any more
OUT = 0.1                    # influence below which a star leaves its place to the next of its stamp


#: Why a robust fit rejects a star.
DISAGREES = 'flux or shape of its star are not what the kernel of the others predicts'


class WeightedDesign(Design):
    """The equations of a `Design`, with a weight for each pixel.

    The noise of the image that is convolved adds to its products with itself, which makes kernels too small; that is
    taken back to second order.

    Attributes
    ----------
    last : (Sight, Weighing, (float64 array, float64 array))
        Of the last solution: what was seen, how it was weighed, the equations and what noise adds to them.
    sky : Sky or None
        What is between the stars; None without weights, or where there is nothing but stars.
    """

    @classmethod
    def of(cls, design):
        """The same substamps and vectors, to be fitted with weights."""
        weighted = copy.copy(design)
        weighted.__class__ = cls
        weighted.last, weighted.sky = None, Sky.of(design) if design.config.weights else None
        return weighted

    @np.errstate(over='ignore', invalid='ignore')    # of a singular fit, whose solution will not be finite
    def solve(self, slots):
        """Fit the kernel to the substamps in use at ``slots``; see `Design.solve`."""
        self._check_number(len(slots))
        self._check_basis()
        sight = Sight.of(self, slots)
        model = Design.solve(self, self.alike(slots) if self.config.robust else slots)
        weighing = Weighing.of(self, sight, model)
        for number in range(1, ROUNDS + 1):  # noqa: B007
            solution, *equations = self._solve_weighted(sight, weighing, model)
            model, before = self.model_of(solution), weighing
            weighing = Weighing.of(self, sight, model, before.error)
            change = np.max(np.abs(weighing.model - before.model) / np.sqrt(weighing.variance), where=weighing.good,
                            initial=0)
            if change < SETTLED:
                break
        log.info('weighted fit: %d rounds, the last one changed pixels by up to %.3f sigma', number, change)
        self.last = sight, weighing, equations
        return model

    # -- equations ----------------------------------------------------------------------------

    def _solve_weighted(self, sight, weighing, model):
        """Solution without the bias of the noise in the convolved image; the equations, and what noise adds to them."""
        matrix, vector, noise = self._weighted_equations(sight, weighing, model)
        factors = Factors(matrix.copy())
        if factors.regular:
            solution = factors.solve(vector.copy()) + bias_of_noise(matrix, noise) @ vector
        if not factors.regular or not np.isfinite(solution).all():
            stars = counted(len(sight.slots), 'substamp')
            raise SingularFitError(f'the weighted fit of kernel and background to {stars} has no finite solution: '
                                   'lower ko, bgo or the degrees, or find more stars')
        return solution, matrix, noise

    def _weighted_equations(self, sight, weighing, model):
        """Matrix and right hand side, from stars and sky, and what noise in the convolved image adds to the matrix."""
        gram, rhs = self._products(sight, weighing.weights)
        matrix, vector = self.sum_up_all(sight, gram, rhs)
        noise, _ = self.sum_up_all(sight, self._noise_products(sight, weighing.noise_weights), np.zeros_like(rhs))
        if self.sky is None:
            return matrix, vector, noise
        weights, _ = self.sky.weights(model, self.basis, self.config.robust)
        gram, rhs = self.sky.products(weights)
        sky_matrix, sky_vector = self.sum_up_all(self.sky, gram, rhs)
        sky_noise, _ = self.sum_up_all(self.sky, self.sky.noise_products(weights, self.basis), np.zeros_like(rhs))
        return matrix + sky_matrix, vector + sky_vector, noise + sky_noise

    def _products(self, sight, weights):
        """Products of the vectors of each substamp under the weights (spec 5.2)."""
        n, size, n_total = len(sight.slots), self.config.substamp_width, self.gram.shape[1]
        gram, rhs = np.empty((n, n_total, n_total)), np.empty((n, n_total))
        (ny, nx), (xs, ys) = self.target_data.shape, self._positions(sight.slots)
        targets, roots = np.where(weights > 0, sight.target, 0), np.sqrt(weights)
        work = np.empty((self.n_threads, loops('products').work_size(n_total, size)))
        for which, inside, _, vectors in self.vectors.blocks_of(sight.slots.astype(np.int32)):
            some = np.empty((len(which), n_total, n_total)), np.empty((len(which), n_total))
            loops('products').weighted_products(
                targets[which], roots[which], xs[which], ys[which], inside, self.config.rss, self.config.bgo, 0.5 * nx,
                0.5 * ny, vectors, *some, work)
            gram[which], rhs[which] = some
        return gram, rhs

    def _noise_products(self, sight, weights):
        """What the noise of the convolved image adds to these products on the average."""
        n_basis = len(self.basis)
        pictures = self.source.correlated.spread(self.basis.images).reshape(n_basis, -1)
        seen = np.sum(weights * sight.seen_variance(self.config.rkernel), axis=1)
        noise = np.zeros((len(seen), *self.gram.shape[1:]))
        noise[:, :n_basis, :n_basis] = seen[:, np.newaxis, np.newaxis] * (pictures @ pictures.T)
        return noise

    def sum_up_all(self, sight, gram, rhs):
        """Equations from products of each substamp, or of each tile of the sky, seen; see `Design.sum_up`."""
        return self.sum_up(sight.x, sight.y, gram, rhs, np.arange(len(gram), dtype=np.int32))

    def all_vectors(self, sight, k):
        """Vectors of kernel and background of the k-th substamp seen, (n, pixels)."""
        x, y = (v[0] for v in sight.pixels(self.config.rss, [k]))
        background = self.background_terms.values(*self.frame.normalise(x, y))
        return np.concatenate([self.vectors[sight.slots[k]], background.T])

    # -- judging ------------------------------------------------------------------------------

    @np.errstate(over='ignore', invalid='ignore')
    def merits(self, model, slots, mask, kind='v'):
        """Mean squared residual over predicted variance of the good pixels of each substamp; see `Design.merits`.

        ``model`` and ``slots`` are those of the last `solve`, which has weighed all that is asked here.
        """
        if kind != 'v':
            return Design.merits(self, model, slots, mask, kind)
        sight, weighing, _ = self.last
        values = chi2(sight.target - weighing.model, weighing.variance, weighing.good)
        return np.where(weighing.good.any(axis=1) & np.isfinite(values), values, -1.0)

    def outliers(self, mean, scatter):
        """Slots whose stars are to give way to the next, and why; see `Design.outliers`."""
        if self.config.robust is None:
            return Design.outliers(self, mean, scatter)
        sight, weighing, _ = self.last
        out = [int(k) for k in sight.slots[weighing.influence < OUT] if self.stamps[k].alive]
        return out, DISAGREES

    def finish(self, model, slots, mean_merit):
        """The kernel with the covariance of its coefficients, and that of the background's; see `Design.finish`."""
        covariance, n = fit_covariance(self, *self.last, model), len(self.background_terms)
        return replace(model, covariance=covariance), covariance[-n:, -n:]
