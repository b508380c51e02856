"""What a pixel and a star count in the fit: by the noise that the model predicts, and by how far off they are.

Arrays are of shape (n stars, pixels of a substamp) throughout.
"""

import math

import numpy as np

__all__ = ['LARGEST_ERROR', 'LOSSES', 'STAR_LOSSES', 'core_errors', 'extra_scatter', 'influence', 'middle',
           'model_error', 'predicted_variance', 'sensitivity']

#: Where the influence of a pixel's residual ends to grow (Huber), or has vanished (Tukey), in sigmas: both are worth
#: 99 % of a least squares fit where the noise is Gaussian.
LOSSES = {'huber': 2.01, 'tukey': 7.04}
#: The same of whole stars, which vary more often than pixels are off: 95 %.
STAR_LOSSES = {'huber': 1.345, 'tukey': 4.685}

LARGEST_ERROR = 0.2          # of the model, relative
BRIGHT = 5.0                 # sigmas over the sky of the pixels that tell it
ENOUGH = 50                  # such pixels
SAMPLE = 50_000              # pixels that are plenty for a slope
CORE = 13                    # brightest pixels of a star: those within two pixels of its peak


def influence(deviations, loss, limits=LOSSES):
    """Weight that a robust loss gives to deviations in sigmas, from 0 to 1.

    Parameters
    ----------
    deviations : float array
    loss : {None, 'huber', 'tukey'}
        None weighs all alike.
    limits : dict, optional
        `STAR_LOSSES` of whole stars. Default `LOSSES`, of pixels.

    Returns
    -------
    float64 array

    Examples
    --------
    >>> influence([0, 4.02, 100], 'huber')
    array([1.    , 0.5   , 0.0201])
    >>> influence([0, 100], 'tukey')
    array([1., 0.])
    """
    size = np.abs(np.asarray(deviations, float))
    if loss is None:
        return np.ones_like(size)
    limit = limits[loss]
    if loss == 'huber':
        return limit / np.maximum(size, limit)
    return np.square(1 - np.square(np.minimum(size / limit, 1)))


def sensitivity(deviations, loss):
    """Slope of ``deviation * influence``: the part of a small change of a deviation that a robust loss passes on.

    Parameters
    ----------
    deviations : float array
    loss : {None, 'huber', 'tukey'}

    Returns
    -------
    float64 array
        Below zero where a larger deviation counts less than a small one.

    Examples
    --------
    >>> sensitivity([0, 4.02, 100], 'huber')
    array([1., 0., 0.])
    """
    size = np.abs(np.asarray(deviations, float))
    if loss is None:
        return np.ones_like(size)
    if loss == 'huber':
        return (size <= LOSSES[loss]).astype(float)
    square = np.square(np.minimum(size / LOSSES[loss], 1))
    return (1 - square) * (1 - 5 * square)


def predicted_variance(target, model, target_variance, model_variance, good):
    r"""Variance of target minus model, as it is where both show what they should.

    The variances that come with images are mostly made from their noisy pixels. Weights from those favour the pixels
    that are too low, which biases fluxes. The best estimate of the signal in each pixel, the mean of target :math:`t`
    and model :math:`m` with the inverse of their variances as weights, is not correlated with :math:`t - m`. Each
    variance is therefore moved to it, along its slope with the noise of its own image, which is zero for
    variances that were not made from the pixels.

    Parameters
    ----------
    target, model : float64 array
        Pixels, and what the kernel makes of the other image.
    target_variance, model_variance : float64 array
        Their variances as given.
    good : bool array

    Returns
    -------
    float64 array
        Positive where ``good``.
    """
    total = target_variance + model_variance
    share = np.divide(model_variance, total, out=np.full_like(total, 0.5), where=total > 0)
    signal = share * target + (1 - share) * model
    predicted = (_moved(target_variance, target - signal, signal, total, good)
                 + _moved(model_variance, model - signal, signal, total, good))
    return np.clip(predicted, 0.25 * total, 4 * total)


def _moved(variance, noise, signal, total, good):
    """Variance without its slope with the noise of the pixels that it was made from."""
    every = max(1, variance.size // SAMPLE)
    while math.gcd(every, variance.shape[-1]) > 1:                   # else columns would be left out
        every += 1
    v, e, s, t, ok = (a.reshape(-1)[::every] for a in (variance, noise, signal, total, good))
    usual = ok & (np.abs(e) < 4 * np.sqrt(t)) & (t > 0)
    if np.count_nonzero(usual) < ENOUGH:
        return variance
    terms = np.stack([np.ones(np.count_nonzero(usual)), s[usual], e[usual]])
    # bright pixels, whose variance is known best in per cent, do not decide alone
    weighted = terms / np.square(t[usual])
    matrix, vector = weighted @ terms.T, weighted @ v[usual]
    scales = 1 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    slope = (scales * np.linalg.lstsq(matrix * scales * scales[:, np.newaxis], vector * scales, rcond=1e-12)[0])[2]
    return variance - max(slope, 0.0) * noise


def model_error(residual, variance, stars, good):
    """Part of the light of stars that the model misses beyond noise, from their bright pixels.

    Parameters
    ----------
    residual, variance : float64 array
    stars : float64 array
        Model without its sky.
    good : bool array

    Returns
    -------
    float
        Between 0 and 0.2.
    """
    bright = good & (stars > BRIGHT * np.sqrt(variance))
    if np.count_nonzero(bright) < ENOUGH:
        return 0.0
    return extra_scatter(np.abs(residual[bright]), variance[bright], stars[bright]**2, LARGEST_ERROR)


def core_errors(residual, variance, stars, good):
    """The same for the core of each star; parameters as in `model_error`.

    Returns
    -------
    float64 array (n,)
        Between 0 and 0.2.
    """
    light = np.where(good, stars, 0)
    core = np.argpartition(-light, min(CORE, light.shape[1] - 1), axis=1)[:, :CORE]
    residual, variance, light = (np.take_along_axis(v, core, axis=1) for v in (residual, variance, light))
    squares = np.square(np.maximum(light, 1e-30))
    excess = 1.4826**2 * np.median(residual**2 / squares, axis=1) - np.median(variance / squares, axis=1)
    return np.sqrt(np.clip(excess, 0, LARGEST_ERROR**2))


def middle(values, squared_errors):
    """Median of values that count by their errors, and its own squared error.

    Parameters
    ----------
    values, squared_errors : float64 array (n,)

    Returns
    -------
    median, squared_error : float
    """
    return weighted_median(values, 1 / np.sqrt(squared_errors)), 0.5 * np.pi / np.sum(1 / squared_errors)


def weighted_median(values, weights):
    """The value below which, and above which, lies half of the weight."""
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(sums, 0.5 * sums[-1])]])


def extra_scatter(sizes, variances, scales, largest, weights=None):
    """The scatter s with which ``sizes`` are as large as the variances ``variances + s^2 scales`` let expect.

    Parameters
    ----------
    sizes, variances, scales : float64 array (n,)
    largest : float
        Highest value that can come out; the lowest is zero.
    weights : float64 array (n,), optional
        How much each has to say in the median. Default: all the same.

    Returns
    -------
    float
    """
    if not len(sizes):
        return 0.0
    # half of the deviations are below 1 / 1.4826 where half of these squares are below that of the scatter
    squares = (1.4826**2 * np.square(sizes) - variances) / scales
    middle_one = np.median(squares) if weights is None else weighted_median(squares, weights)
    return float(np.sqrt(np.clip(middle_one, 0, largest**2)))
