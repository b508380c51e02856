"""The real reference pairs with stars put into them: `measure_real`.

There is no truth but what was put in. Stars are held out of every fit alike by masking them (`real_pairs`); the
kernel is applied to them afterwards.
"""
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy.table import QTable
from compare_settings import judged_real
from quality_measures import _listed, autocorrelation, peaks
from quality_methods import METHODS, Failure
from real_pairs import names, real_pair
from scipy.ndimage import distance_transform_edt

import hotpants_cy
from hotpants_cy import HotpantsConfig

NAMES = names()
NUMBER = 40             # sources put in


@dataclass(frozen=True, eq=False)
class RealScene:
    """What methods need to know of a pair."""

    science: object
    template: object
    limits: tuple
    psfs: None = None


@lru_cache(1)
def _pair(name):
    """The pair, the PSF of its science image, and its pixels far from all light."""
    pair = real_pair(name)
    config = HotpantsConfig(**pair.known.common() | {'force_convolve': 't', 'ko': 0})
    psf = hotpants_cy.subtract(pair.science, pair.template, config=config, stars='auto', n_threads=1).psf
    science = np.where(pair.clean, pair.planes[0], pair.known.sky[0])
    light = (science > pair.known.sky[0] + 3 * pair.known.scatter[0]) | ~pair.clean | pair.science.mask
    return pair, psf, distance_transform_edt(~light) > 1.5 * pair.known.broad


def measure_real(name, seed, method):
    """Numbers of one method on a real pair with sources put in."""
    if 'name' in getattr(method, 'keywords', {}) or method is METHODS['photutils']:
        raise Failure('needs the true PSFs, or is not run on real pairs')
    pair, psf, dark = _pair(name)
    sources = _sources(pair, psf, dark, seed)
    science = hotpants_cy.inject(pair.science, sources, psf, gain=pair.gain, seed=seed)
    scene = RealScene(science, pair.template, tuple(limit if limit < 1e30 else None for limit in pair.known.saturation))
    outcome = method(scene)
    result = outcome.result
    good = np.isfinite(outcome.difference)
    away = np.ones(good.shape, bool)
    x, y = (np.round(sources[c]).astype(int) for c in 'xy')
    away[y, x] = False
    blank = dark & good & (distance_transform_edt(away) > 3 * pair.known.broad)
    pull = (outcome.difference / outcome.sigma)[blank]
    numbers = {'seconds': outcome.seconds, 'memory': outcome.memory, 'sky_mean': float(np.median(pull)),
               'sky_width': _width(pull)}
    lags = autocorrelation(np.where(good, outcome.difference, 0), blank)
    numbers |= {f'lag{n}': lag for n, lag in enumerate(lags, 1)}
    score, white = result.score, result.whitened
    usable = blank & ~score.mask
    numbers |= {'score_width': _width(score.data[usable])}
    numbers |= {f'white{n}': lag for n, lag in enumerate(
        autocorrelation(np.nan_to_num(white.data).astype(float), blank & ~white.mask), 1)}
    found = hotpants_cy.recovery(result, sources)
    numbers |= {'recovered_bias': found.flux_bias, 'pull_mean': found.pull_mean, 'pull_width': found.pull_width}
    false = np.concatenate([peaks(sign * score.data, usable)[1] for sign in (1, -1)])
    numbers |= {'false': _listed(np.sort(false)[::-1][:40]), 'megapixels': usable.sum() / 1e6,
                'seen': _listed(np.nan_to_num((found.table['flux'] / found.table['flux_err']).value))}
    judged = judged_real(pair, result)
    return numbers | {'chi2_held_out': judged.get('chi2', np.nan), 'used': int(np.sum(
        result.substamps['status'] == 'USED_IN_FINAL_FIT'))}


def _sources(pair, psf, dark, seed):
    """Sources of S/N 4 to 40 on dark, clean pixels, far from one another."""
    rng = np.random.default_rng([20261127, seed])
    y, x = np.nonzero(dark)
    order, found = rng.permutation(len(x)), []
    for k in order[:5000]:
        xy = x[k] + rng.uniform(-0.5, 0.5), y[k] + rng.uniform(-0.5, 0.5)
        inside = all(30 <= v < n - 30 for v, n in zip(xy, dark.shape[::-1], strict=True))
        if inside and all(np.hypot(xy[0] - a, xy[1] - b) > 4 * pair.known.broad for a, b in found):
            found.append(xy)
        if len(found) == NUMBER:
            break
    area = 1 / np.sum(psf(*(n // 2 for n in dark.shape[::-1]))**2)
    noise = np.sqrt(np.median(pair.variances[0][pair.clean]) * area)
    flux = rng.permutation(np.geomspace(4, 40, len(found))) * noise
    return QTable({'x': [xy[0] for xy in found], 'y': [xy[1] for xy in found], 'flux': flux})


def _width(values):
    """Standard deviation from the middle two thirds: real pairs have sources that nobody knows of."""
    low, high = np.percentile(values, (15.87, 84.13))
    return float((high - low) / 2)
