"""The fitted background as a plane, with its error."""

import numpy as np

from ..kernel.spatial import Monomials

__all__ = ['background_planes']

_ROWS = 64


def background_planes(model, covariance, scale):
    """Background of a kernel model over its region.

    Parameters
    ----------
    model : KernelModel
    covariance : float64 array
        Of the background coefficients.
    scale : float
        Factor to the flux scale of the difference.

    Returns
    -------
    background, error : float32 arrays (ny, nx)
        In data units.
    """
    ny, nx = model.frame.shape
    (x0, y0), terms = model.frame.origin, Monomials(model.bgo)
    planes = np.empty((2, ny, nx), np.float32)
    for start in range(0, ny, _ROWS):
        rows = slice(start, min(start + _ROWS, ny))
        x, y = np.arange(nx)[np.newaxis, :] + x0, np.arange(rows.start, rows.stop)[:, np.newaxis] + y0
        values = terms.values(*model.frame.normalise(x, y))
        planes[0, rows] = model.background(x, y) * scale
        # rounding may push the variance of an ill-conditioned fit below zero
        planes[1, rows] = np.sqrt(np.maximum(np.einsum('...i,ij,...j', values, covariance, values), 0)) * abs(scale)
    return planes
