"""What the images show of the substamps in use, and the weights of their pixels under a kernel.

Arrays are of shape (n, pixels of a substamp) unless they say otherwise.
"""

from dataclasses import dataclass

import numpy as np

from ..stamps.shapes import cutouts
from .fourier import convolve_stack, in_single
from .weights import (
    LARGEST_ERROR,
    STAR_LOSSES,
    core_errors,
    extra_scatter,
    influence,
    middle,
    model_error,
    predicted_variance,
    sensitivity,
)

__all__ = ['Sight', 'Weighing', 'bad_pixels', 'chi2']

LARGEST_SCATTER = 0.2        # of the flux ratios of stars, relative
LEAST_SIGNAL = 0.01          # part of the predicted light, squared, that is no noise
FEWEST_STARS = 8             # of which one can be told to stand out
LARGEST_SPILL = 0.1          # sigmas of light of bad pixels that the kernel may bring to a good one


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
    source_wrong : float64 array (n, size + 2 r, size + 2 r)
        Light off the sky that bad pixels show: a part of that of a saturated star, or a number that stands for a
        value that is missing.
    """

    slots: np.ndarray
    x: np.ndarray
    y: np.ndarray
    target: np.ndarray
    target_variance: np.ndarray
    source_variance: np.ndarray
    good: np.ndarray
    source_bad: np.ndarray
    source_wrong: np.ndarray

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
        wrong = np.array([_wrong_light(design.source.cutout(cut), bad)
                          for cut, bad in zip(wide, source_bad, strict=True)])
        return cls(slots, x, y, target, np.where(good, variance, 0), np.where(source_bad, 0, source_variance), good,
                   source_bad, wrong)

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
    own, missed : float64 array
        The parts of it that are noise of the target, and the error of the model.
    good : bool array
    weights : float64 array
    noise_weights : float64 array
        Of what the noise of the convolved image adds to the equations. A residual has this noise too, and a robust
        loss passes on only a part of any change of it: for Gaussian noise the mean of noise times influenced residual
        goes with the `sensitivity` (Stein's lemma), which is less than the `influence`.
    influence : float64 array (n,)
        Of whole stars, from 0 to 1.
    scatter : float
        Of the flux ratios of stars beyond noise, relative.
    error : float
        Of the model: the part of the light of stars that it misses beyond noise.
    """

    model: np.ndarray
    variance: np.ndarray
    own: np.ndarray
    missed: np.ndarray
    good: np.ndarray
    weights: np.ndarray
    noise_weights: np.ndarray
    influence: np.ndarray
    scatter: float
    error: float

    def light(self, k):
        """Prediction of the k-th star without its sky."""
        return self.model[k] - np.median(self.model[k])

    @classmethod
    def of(cls, design, sight, model, largest_error=LARGEST_ERROR):
        """Weigh the pixels of a `Sight` under a `KernelModel`.

        The error of the model excuses residuals of bright stars from the loss, but takes no weight from them: with less
        of them the model would get worse, and its error larger. From one kernel to the next it must not grow. A star
        whose own core is missed by more is excused by that: else Tukey's loss would drop the core of the brightest one.
        """
        config = design.config
        predicted = _prediction(design, sight, model)
        kernels = model.images(sight.x, sight.y)
        model_variance, good = _through(design, sight, kernels, config.single('kfm'))
        variance = predicted_variance(sight.target, predicted, sight.target_variance, model_variance, good)
        good &= variance > 0
        variance = np.where(good, variance, 1.0)
        residual = np.where(good, sight.target - predicted, 0)
        stars = predicted - np.median(predicted, axis=1)[:, np.newaxis]
        error = min(model_error(residual, variance, stars, good), largest_error)
        noise, variance = variance, variance + np.square(error * stars)
        model_variance = np.where(good, np.minimum(model_variance, variance), 0)
        own = np.maximum(noise - model_variance, 0)
        missed = variance - model_variance - own
        changes = _compared(design, sight, kernels, residual, variance, (own, missed), np.where(good, stars, 0))
        scatter = _typical_scatter(*changes)
        stars_count = _star_influence(*changes, scatter, chi2(residual, variance, good), config.robust)
        divisor = noise if config.weights else np.median(noise[good]) if good.any() else 1.0
        worth = np.where(good, stars_count[:, np.newaxis] / divisor, 0)
        own_error = np.maximum(core_errors(residual, noise, stars, good), error)[:, np.newaxis]
        deviations = residual / np.sqrt(noise + np.square(own_error * stars))
        return cls(predicted, variance, own, missed, good,
                   influence(deviations, config.robust) * worth, sensitivity(deviations, config.robust) * worth,
                   stars_count, scatter, error)


def chi2(residual, variance, good):
    """Mean squared residual over variance of the good pixels of each star; zero where there are none."""
    return np.sum(np.where(good, residual**2 / variance, 0), axis=1) / np.maximum(good.sum(axis=1), 1)


def _prediction(design, sight, model):
    """Substamps of the source under the kernel, with the background."""
    convolved = design.convolved(sight.slots, model.coefficients(sight.x, sight.y))
    return convolved + model.background(*sight.pixels(design.config.rss))


def _wrong_light(data, bad):
    """Light off the sky, too much or too little, of the bad pixels of a section."""
    if not bad.any():
        return np.zeros(data.shape)
    sky = np.median(data[~bad]) if not bad.all() else 0.0
    return np.where(bad, np.abs(np.nan_to_num(data.astype(float) - sky, posinf=0, neginf=0)), 0)


def _through(design, sight, kernels, good_fraction):
    """Variance of the source under the kernel, and which pixels are good after a bad one spoils those around it.

    Far from a saturated star the kernel has little weight on it, and still brings in more of its wrong light than a
    robust loss would notice.
    """
    pictures, most = in_single(sight.source_variance)                # plenty for a variance
    variance = convolve_stack(pictures, kernels**2, n_threads=design.n_threads)
    variance = np.maximum(variance, 0).reshape(sight.target.shape) * most
    variance *= design.source.correlated.gain(kernels)[:, np.newaxis]
    good = sight.good.copy()
    hit = np.flatnonzero(sight.source_bad.any(axis=(1, 2)))
    if len(hit):
        sizes = np.abs(kernels[hit])
        spoiled = convolve_stack(sight.source_bad[hit].astype(float), sizes)
        limit = (1 - good_fraction) * sizes.sum(axis=(1, 2)) + 1e-9
        good[hit] &= (spoiled <= limit[:, np.newaxis, np.newaxis]).reshape(len(hit), -1)
        spill = convolve_stack(sight.source_wrong[hit], sizes).reshape(len(hit), -1)
        good[hit] &= spill <= LARGEST_SPILL * np.sqrt(sight.target_variance[hit] + variance[hit])
    return variance, good


def _compared(design, sight, kernels, residual, variance, parts, light):
    """Flux changes of stars, compared with those of all, and their squared errors."""
    own, missed = parts
    change, signal = flux_changes(residual, variance, variance - own - missed, light)
    # each pixel of the source enters by what the kernel has spread it to
    size, filters = sight.source_variance.shape[1] - kernels.shape[1] + 1, light / variance
    spread = convolve_stack(filters.reshape(-1, size, size).astype(np.float32), kernels[:, ::-1, ::-1], whole=True,
                            n_threads=design.n_threads)
    noise = np.sum(filters**2 * missed, axis=1) + sum(
        np.sum(np.square(image.correlated.spread(entering)), axis=(1, 2)) for image, entering in (
            (design.target, (filters * np.sqrt(own)).reshape(-1, size, size)),
            (design.source, spread * np.sqrt(sight.source_variance))))
    squared_errors = np.maximum(noise, 1e-100) / signal**2
    typical, its_error = middle(change, squared_errors)
    return change - typical, squared_errors + its_error


def flux_changes(residual, variance, model_variance, light):
    """Flux in the residual of each star over its predicted flux, and the sum of light over noise that tells it.

    The light that is predicted has noise, which the residual has with the other sign. Products of light with light or
    residual have the sum of its variance too much or too little; faint stars would all seem to have lost some light.
    """
    noise = np.sum(model_variance / variance, axis=1)
    squares = np.maximum(np.sum(light**2 / variance, axis=1), 1e-100)
    signal = np.maximum(squares - noise, LEAST_SIGNAL * squares)
    return (np.sum(light * residual / variance, axis=1) + noise) / signal, signal


def _typical_scatter(changes, squared_errors):
    """Scatter of flux ratios beyond noise, of which the brightest stars tell most."""
    if len(changes) < FEWEST_STARS:
        return 0.0
    return extra_scatter(np.abs(changes), squared_errors, np.ones(len(changes)), LARGEST_SCATTER,
                         1 / np.sqrt(squared_errors))


def _star_influence(changes, squared_errors, scatter, merits, loss):
    """What whole stars count: less where their flux or their shape is not what the kernel predicts."""
    if len(changes) < FEWEST_STARS:
        return np.ones(len(changes))
    pulls = np.abs(changes) / np.sqrt(squared_errors + scatter**2)
    excess = merits - np.median(merits)
    # what the brightest star tells of the scatter must not be the end of all others
    return (influence(pulls / max(_typical(pulls), 1), loss, STAR_LOSSES)
            * influence(np.maximum(excess, 0) / max(_typical(excess), 1e-300), loss, STAR_LOSSES))


def _typical(values):
    return 1.4826 * float(np.median(np.abs(values)))


def bad_pixels(exposure, cut):
    """Pixels of a section that are flagged, or too bright for the fit."""
    data = exposure.cutout(cut)
    return (exposure.flags(cut) != 0) | ~(data < exposure.kernel_high)
