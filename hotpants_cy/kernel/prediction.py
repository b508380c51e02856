"""How well a kernel model predicts stars that it was not fitted to: K-fold cross-validation over stars."""

import numpy as np

from ..stamps.shapes import cutouts
from .factors import solve_system
from .fourier import convolve_stack

__all__ = ['predicted_chi2']

FOLDS = 5
RIDGE = 1e-12              # of the diagonal, so that singular menus still predict something


def predicted_chi2(design, slots, radius, folds=FOLDS):
    """Mean squared residual over variance of each substamp, under the kernel fitted to those of the other folds.

    Parameters
    ----------
    design : Design
        Filled with the substamps to use.
    slots : sequence of int
        Stamps to look at.
    radius : float
        Pixels within this distance of the centre count, in pixels.
    folds : int, optional
        Default 5.

    Returns
    -------
    float64 array
        Of each of ``slots``; infinite where there is no solution.
    """
    slots = np.asarray(slots)
    chi2 = np.full(len(slots), np.inf)
    # neighbours, which come one after the other, go to different folds
    for fold in range(folds):
        held_out = np.arange(len(slots)) % folds == fold
        if not held_out.any() or held_out.all():
            continue
        matrix, vector = design.equations(slots[~held_out])
        matrix[np.diag_indices_from(matrix)] *= 1 + RIDGE
        solution = solve_system(matrix, vector)
        if solution is not None:
            chi2[held_out] = _chi2(design, design.model_of(solution), slots[held_out], radius)
    return chi2


def _chi2(design, model, slots, radius):
    half = design.config.rss
    offsets = np.arange(-half, half + 1)
    near = (offsets[np.newaxis]**2 + offsets[:, np.newaxis]**2 <= radius**2).ravel()
    x, y = np.array([(design.stamps[k].substamp.x, design.stamps[k].substamp.y) for k in slots]).T
    x0, y0 = design.region.origin
    targets = cutouts(design.target_data, x - x0, y - y0, half).reshape(len(slots), -1)[:, near]
    predicted = design.convolved(slots, model.coefficients(x, y))[:, near]
    residuals = targets - predicted - model.background(x, y)[:, np.newaxis]
    variances = _variances(design, model.images(x, y), slots).reshape(len(slots), -1)[:, near]
    with np.errstate(all='ignore'):
        return np.mean(np.where(variances > 0, residuals**2 / variances, 0), axis=1)


def _variances(design, kernels, slots):
    """Variance of the residuals: that of the target, and of the source under the square of the kernel."""
    source, target = [], []
    for k in slots:
        substamp, half = design.stamps[k].substamp, design.config.rss
        cut = np.s_[substamp.y - half:substamp.y + half + 1, substamp.x - half:substamp.x + half + 1]
        source.append(design.source.variance(cut))
        target.append(design.target.variance(cut))
    source = np.pad(source, ((0, 0), *[(design.config.rkernel,) * 2] * 2), mode='edge').astype(float)
    spread = convolve_stack(source, kernels**2, n_threads=design.n_threads)
    spread *= design.source.correlated.gain(kernels)[:, np.newaxis, np.newaxis]
    return np.maximum(spread, 0) + target
