"""What the images show of the substamps in use, and the weights of their pixels under a kernel.

Arrays are of shape (n, pixels of a substamp) unless they say otherwise.
"""

from dataclasses import dataclass

import numpy as np

from ..stamps.shapes import cutouts
from .fourier import convolve_stack
from .weights import LARGEST_ERROR, extra_scatter, influence, model_error, predicted_variance

__all__ = ['Sight', 'Weighing', 'bad_pixels', 'chi2']

LARGEST_SCATTER = 0.2        # of the flux ratios of stars, relative
FEWEST_STARS = 8             # of which one can be told to stand out


@dataclass(frozen=True)
class Sight:
    """Substamps as the two images show them.

    Attributes
    ----------
    slots : int array (n,)
        Of the design.
    x, y : int array (n,)
        Centres in pixels of the image.
    target, target_variance : float64 array
    source_variance : float64 array (n, size + 2 r, size + 2 r)
        Of all pixels that the kernel reaches.
    good : bool array
        Pixels that are good in the target.
    source_bad : bool array (n, size + 2 r, size + 2 r)
    """

    slots: np.ndarray
    x: np.ndarray
    y: np.ndarray
    target: np.ndarray
    target_variance: np.ndarray
    source_variance: np.ndarray
    good: np.ndarray
    source_bad: np.ndarray

    @classmethod
    def of(cls, design, slots):
        """Look at the substamps in use at ``slots`` of a `Design`."""
        slots, (x0, y0), half, r = np.asarray(slots), design.region.origin, design.config.rss, design.config.rkernel
        x, y = np.array([(design.stamps[k].substamp.x, design.stamps[k].substamp.y) for k in slots]).T
        near, wide = ([np.s_[b - reach:b + reach + 1, a - reach:a + reach + 1] for a, b in zip(x, y, strict=True)]
                      for reach in (half, half + r))
        target = cutouts(design.target_data, x - x0, y - y0, half).reshape(len(slots), -1).astype(float)
        variance = np.array([design.target.variance(cut) for cut in near], float).reshape(len(slots), -1)
        source_variance = np.array([design.source.variance(cut) for cut in wide], float)
        good = ~np.array([bad_pixels(design.target, cut) for cut in near]).reshape(len(slots), -1)
        source_bad = np.array([bad_pixels(design.source, cut) for cut in wide]) | ~(source_variance >= 0)
        good &= np.isfinite(variance) & (variance >= 0)
        return cls(slots, x, y, target, np.where(good, variance, 0), np.where(source_bad, 0, source_variance), good,
                   source_bad)

    def seen_variance(self, half_width):
        """Variance of the source in the pixels of the substamps themselves; ``half_width`` is that of the kernel."""
        inside = slice(half_width, -half_width or None)
        return self.source_variance[:, inside, inside].reshape(self.target.shape)

    def pixels(self, half, which=slice(None)):
        """Positions (x, y) of the pixels of substamps of half width ``half``, of all or of some of them."""
        offsets = np.arange(-half, half + 1)
        dy, dx = (v.ravel() for v in np.meshgrid(offsets, offsets, indexing='ij'))
        return self.x[which, np.newaxis] + dx, self.y[which, np.newaxis] + dy


@dataclass(frozen=True)
class Weighing:
    """Weights under one kernel, and what they come from.

    Attributes
    ----------
    model : float64 array
        Prediction of the target.
    variance : float64 array
        Of target minus prediction, with the error of the model.
    white : float64 array
        The part of it that is not correlated from pixel to pixel.
    good : bool array
    weights : float64 array
    influence : float64 array (n,)
        Of whole stars, from 0 to 1.
    error : float
        Of the model: the part of the light of stars that it misses beyond noise.
    """

    model: np.ndarray
    variance: np.ndarray
    white: np.ndarray
    good: np.ndarray
    weights: np.ndarray
    influence: np.ndarray
    error: float

    @classmethod
    def of(cls, design, sight, model, largest_error=LARGEST_ERROR):
        """Weigh the pixels of a `Sight` under a `KernelModel`.

        The error of the model excuses residuals of bright stars from the loss, but takes no weight from them: with less
        of them the model would get worse, and its error larger. From one kernel to the next it must not grow.
        """
        config = design.config
        predicted = _prediction(design, sight, model)
        model_variance, good = _through(sight, model, config.single('kfm'))
        variance = predicted_variance(sight.target, predicted, sight.target_variance, model_variance, good)
        good &= variance > 0
        variance = np.where(good, variance, 1.0)
        residual = np.where(good, sight.target - predicted, 0)
        stars = predicted - np.median(predicted, axis=1)[:, np.newaxis]
        error = min(model_error(residual, variance, stars, good), largest_error)
        noise, variance = variance, variance + np.square(error * stars)
        stars_count = _star_influence(residual, variance, np.where(good, stars, 0), good, config.robust)
        weights = influence(residual / np.sqrt(variance), config.robust) * stars_count[:, np.newaxis]
        divisor = noise if config.weights else np.median(noise[good]) if good.any() else 1.0
        weights = np.where(good, weights / divisor, 0)
        return cls(predicted, variance, np.maximum(variance - model_variance, 0), good, weights, stars_count, error)


def chi2(residual, variance, good):
    """Mean squared residual over variance of the good pixels of each star; zero where there are none."""
    return np.sum(np.where(good, residual**2 / variance, 0), axis=1) / np.maximum(good.sum(axis=1), 1)


def _prediction(design, sight, model):
    """Substamps of the source under the kernel, with the background."""
    convolved = np.einsum('sb,sbp->sp', model.coefficients(sight.x, sight.y), design.vectors[sight.slots])
    return convolved + model.background(*sight.pixels(design.config.rss))


def _through(sight, model, good_fraction):
    """Variance of the source under the kernel, and which pixels are good after a bad one spoils those around it."""
    kernels = model.images(sight.x, sight.y)
    variance = np.maximum(convolve_stack(sight.source_variance, kernels**2), 0).reshape(sight.target.shape)
    good = sight.good.copy()
    hit = np.flatnonzero(sight.source_bad.any(axis=(1, 2)))
    if len(hit):
        sizes = np.abs(kernels[hit])
        spoiled = convolve_stack(sight.source_bad[hit].astype(float), sizes)
        limit = (1 - good_fraction) * sizes.sum(axis=(1, 2)) + 1e-9
        good[hit] &= (spoiled <= limit[:, np.newaxis, np.newaxis]).reshape(len(hit), -1)
    return variance, good


def _star_influence(residual, variance, light, good, loss):
    """What whole stars count: less where their flux or their shape is not what the kernel predicts."""
    if loss is None or len(residual) < FEWEST_STARS:
        return np.ones(len(residual))
    information = np.maximum(np.sum(light**2 / variance, axis=1), 1e-300)
    change = np.sum(light * residual / variance, axis=1) / information
    change -= np.median(change)
    scatter = extra_scatter(np.abs(change), 1 / information, np.ones(len(change)), LARGEST_SCATTER)
    merits = chi2(residual, variance, good)
    excess = merits - np.median(merits)
    typical = max(1.4826 * float(np.median(np.abs(excess))), 1e-300)
    return (influence(change / np.sqrt(1 / information + scatter**2), loss)
            * influence(np.maximum(excess, 0) / typical, loss))


def bad_pixels(exposure, cut):
    """Pixels of a section that are flagged, or too bright for the fit."""
    data = exposure.cutout(cut)
    return (exposure.flags(cut) != 0) | ~(data < exposure.kernel_high)
