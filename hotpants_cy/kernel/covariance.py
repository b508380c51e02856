"""Errors of the coefficients of a kernel: how the noise of both images enters them."""

import math

import numpy as np

from ..inputs.correlated import WHITE
from ..instructions import loops
from ..threads import map_in_threads
from .fourier import convolve_stack

__all__ = ['bias_of_noise', 'fit_covariance']

NOISY = 1.0                  # part of what determines a shape of the kernel that is noise, from where it stays as it is


def fit_covariance(design, sight, weighing, equations, model):
    r"""Covariance of the coefficients of a weighted fit.

    With the vectors X, weights W and equations :math:`A = X^T W X` the solution is :math:`A^{-1} X^T W t`. Its
    covariance is :math:`A^{-1} X^T W\, C\, W X A^{-1}` for residuals of the covariance :math:`C = V + K V_s K^T`, since
    the noise of the convolved image is correlated; V and V_s are no diagonals where images have correlated noise
    themselves. The correction for what noise adds to A comes on top of it. Where
    the flux ratios of stars scatter beyond noise, as with imperfect flat fields, C has the scatter times the light of
    each star, which the bright ones do not average out.

    Parameters
    ----------
    design : WeightedDesign
    sight : Sight
    weighing : Weighing
    equations : (float64 array (n, n), float64 array (n, n))
        A, and what the noise of the convolved image adds to it.
    model : KernelModel

    Returns
    -------
    float64 array (n, n)
    """
    kernels = model.images(sight.x, sight.y)
    local = np.array(map_in_threads(lambda k: _noise_products(design, sight, weighing, kernels, k),
                                    range(len(sight.slots)), design.n_threads))
    noise, _ = design.sum_up_all(sight, local, np.zeros(local.shape[:2]))
    if design.sky is not None:
        weights, variance = design.sky.weights(model, design.basis, design.config.robust)
        noise += design.sum_up_all(design.sky, *design.sky.products(weights**2 * variance))[0]
    parts, modes = _modes(*equations)
    corrected = (modes * (1 + _led_back(parts))) @ modes.T
    return corrected @ noise @ corrected.T


def bias_of_noise(matrix, noise):
    r"""What to add to the inverse of the equations for the noise of the vectors that they were made with.

    With the products :math:`A + N` of noisy vectors, :math:`(A + N)^{-1} b` is too small, by :math:`1 - \lambda` along
    each eigenvector of :math:`(A + N)^{-1} N`. It is led back by :math:`\lambda + \lambda^2`, but not along those that
    are mostly noise: these would run away.

    Parameters
    ----------
    matrix, noise : float64 array (n, n)
        A + N and N.

    Returns
    -------
    float64 array (n, n)
    """
    parts, modes = _modes(matrix, noise)
    return (modes * _led_back(parts)) @ modes.T


def _modes(matrix, noise):
    """Eigenvalues of N under A + N, and eigenvectors M: M M^T is the inverse of A + N, where that is determined."""
    # coefficients of very different size: with ones on the diagonal nothing is lost
    scales = 1 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    values, vectors = np.linalg.eigh(matrix * scales * scales[:, np.newaxis])
    known = values > values[-1] * len(values) * np.finfo(float).eps
    half = scales[:, np.newaxis] * vectors[:, known] / np.sqrt(values[known])
    parts, modes = np.linalg.eigh(half.T @ noise @ half)
    return parts, half @ modes


def _led_back(parts):
    return parts * (1 + parts) / (1 + (parts / NOISY)**4)


def _noise_products(design, sight, weighing, kernels, k):
    """Covariance of the right hand side of one substamp; without BLAS, whose threads get in the way of ours."""
    weighted, width = design.all_vectors(sight, k) * weighing.weights[k], design.config.substamp_width
    # how each pixel of the source enters: W X correlated with the kernel; shapes that are nearly the same, as of narrow
    # Gaussians of high degree, need double precision
    pictures = weighted.reshape(-1, width, width)
    spread = convolve_stack(pictures, kernels[k:k + 1, ::-1, ::-1], whole=True)
    scattered = weighing.scatter * np.einsum('kp,p->k', weighted, weighing.light(k))
    own, missed = (plane[k].reshape(width, width) for plane in (weighing.own, weighing.missed))
    return (_products(pictures, own, design.target.correlated, missed)
            + _products(spread, sight.source_variance[k], design.source.correlated)
            + np.outer(scattered, scattered))


def _products(pictures, variance, correlated, more=0.0):
    """Covariance (n, n) of sums of pixels of this variance, and of more that is white, under n weights (n, ny, nx)."""
    if not correlated.is_white:
        white = _products(pictures, more, WHITE) if np.any(more) else 0.0
        return white + _products(correlated.spread(pictures * np.sqrt(variance)), np.ones(1), WHITE)
    variance = variance + more
    vectors = np.ascontiguousarray(pictures.reshape(len(pictures), -1))
    weights = np.broadcast_to(variance.ravel(), vectors.shape[1])
    n, area = vectors.shape
    width, order, nowhere = math.isqrt(area), -1, np.zeros(1, np.int32)         # there is no background to be added
    products, compiled = np.empty((1, n, n)), loops('products')
    compiled.weighted_products(np.zeros((1, area)), np.sqrt(weights)[np.newaxis], nowhere, nowhere, nowhere, width // 2,
                               order, 1, 1, vectors[np.newaxis], products, np.empty((1, n)),
                               np.empty((1, compiled.work_size(n, width))))
    return products[0]
