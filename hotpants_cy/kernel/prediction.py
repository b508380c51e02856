"""How well a kernel model predicts stars that it was not fitted to: K-fold cross-validation over stars."""

import numpy as np

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
        solution = _solve(*design.equations(slots[~held_out]))
        if solution is not None:
            model = design.model_of(solution)
            chi2[held_out] = [_chi2(design, model, slot, radius) for slot in slots[held_out]]
    return chi2


def _solve(matrix, vector):
    """Solution by Cholesky: nothing here must agree with C to the last bit."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    matrix = matrix / np.outer(scale, scale)
    matrix[np.diag_indices_from(matrix)] += RIDGE
    try:
        solution = cho_solve(cho_factor(matrix, overwrite_a=True, check_finite=False), vector / scale) / scale
    except (LinAlgError, ValueError):
        return None
    return solution if np.isfinite(solution).all() else None


def _chi2(design, model, slot, radius):
    substamp, half = design.stamps[slot].substamp, design.config.rss
    offsets = np.arange(-half, half + 1)
    near = (offsets[np.newaxis]**2 + offsets[:, np.newaxis]**2 <= radius**2).ravel()
    x0, y0 = design.region.origin
    cut = np.s_[substamp.y - y0 - half:substamp.y - y0 + half + 1, substamp.x - x0 - half:substamp.x - x0 + half + 1]
    coefficients = model.coefficients(substamp.x, substamp.y)
    predicted = coefficients @ design.vectors[slot][:, near] + model.background(substamp.x, substamp.y)
    residual = design.target_data[cut].ravel()[near] - predicted
    variance = design.variance[slot].ravel()[near]
    good = variance > 0
    return float(np.mean(residual[good]**2 / variance[good])) if good.any() else np.inf
