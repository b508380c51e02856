"""What is measured of a subtraction of a scene whose truth is known: `measure`, a dictionary of numbers."""
import math
from itertools import pairwise

import numpy as np
from quality_scenes import RATIO, distance_from, ideal_difference, ideal_variance
from scipy.ndimage import maximum_filter
from scipy.signal import fftconvolve
from scipy.spatial import cKDTree

import hotpants_cy
from hotpants_cy.datasets import positions_of

BRIGHT, NEAR = 20.0, 8.0            # sky sigmas of the peak of a bright star; pixels around one
BOXES = 8                           # boxes along a side
LOWEST = 3.5                        # sigmas of the peaks that are kept
KEPT, KEPT_PER_MEGAPIXEL = 40, 8     # highest false peaks that are kept, at least


def measure(scene, outcome):
    """All numbers of one outcome; what cannot be measured is missing."""
    d, judged = outcome.difference, scene.judged & np.isfinite(outcome.difference)
    blank = scene.blank & judged
    sigma = np.sqrt(ideal_variance(scene)) if outcome.sigma is None else outcome.sigma
    typical = float(np.median(sigma[blank]))
    pull = np.where(judged, d / sigma, 0.0)
    numbers = {'ksum': outcome.kernel_sum / RATIO - 1, 'seconds': outcome.seconds, 'memory': outcome.memory,
               'kept': judged.sum() / scene.judged.sum(),
               'sky_mean': d[blank].mean() / typical, 'sky_width': float(np.std(pull[blank]))}
    numbers |= around_stars(scene, d, sigma, judged, outcome.scaled)
    if outcome.scaled:
        numbers |= boxes(d, noise_alone(scene, outcome), blank)
    numbers |= {f'lag{n}': lag for n, lag in enumerate(autocorrelation(d, blank), 1)}
    real = cKDTree(scene.moving)
    for name, sign in (('maxima', 1), ('minima', -1)):
        xy, heights = peaks(sign * pull, judged)
        numbers[name] = int(np.sum((heights > 5) & (real.query(xy)[0] > scene.broad)))
    numbers |= detection(scene, outcome, judged, sigma, real) | fluxes(scene, outcome, d)
    if outcome.result is not None:
        numbers |= held_out(scene, outcome, d, judged)
        status = np.asarray(outcome.result.substamps['status'])
        numbers['used'] = int(np.sum(status == 'USED_IN_FINAL_FIT'))
    return numbers


def applied(outcome, science, template):
    """Difference of two planes with the kernel that was fitted, without the background; None if there is none."""
    result = outcome.result
    if result is None:
        return None
    kernel, options = result.kernel, {'n_threads': 1, 'exact': result.config.exact}
    if result.direction == 't':
        return science - kernel.apply(template, **options)
    ny, nx = science.shape
    return (kernel.apply(science, **options) - template) / kernel.sum(nx // 2, ny // 2)


def noise_alone(scene, outcome):
    """What the difference would be without the errors of kernel and background."""
    noise = applied(outcome, *scene.noise)
    return ideal_difference(scene, *scene.noise) if noise is None else noise


def around_stars(scene, d, sigma, judged, scaled=True):
    """Residuals of unsaturated, constant stars that were part of the pair."""
    stars, level = scene.constant, math.sqrt(np.median(scene.variance[0]))
    height = stars['flux_science'] * scene.psfs[0].peak
    xy, moving = positions_of(stars), cKDTree(scene.moving)
    free = moving.query(xy)[0] > 3 * scene.broad
    bright = free & (height > BRIGHT * level)
    still = judged & (distance_from(d.shape, scene.moving) > 2 * scene.broad)
    numbers = {}
    for name, some, radius in (('width_bright', bright, NEAR), ('chi2', free & (height > 5 * level), 2 * scene.broad)):
        near = (distance_from(d.shape, xy[some]) <= radius) & still
        if near.sum() > 100:
            numbers[name] = float(np.std((d / sigma)[near])) if name == 'width_bright' else float(
                np.mean((d / sigma)[near]**2))
    ratios = []
    for k in np.argsort(-np.where(bright, height, 0))[:20 if scaled else 0]:
        x, y = np.round(xy[k]).astype(int)
        cut = np.s_[max(y - 2, 0):y + 3, max(x - 2, 0):x + 3]
        if bright[k] and judged[cut].all() and judged[cut].size == 25:
            ratios.append(np.max(np.abs(d[cut])) / height[k])
    return numbers | ({'peak_residual': float(np.median(ratios))} if ratios else {})


def boxes(d, noise, blank):
    """Rms of the medians of blank sky in boxes, and of the noise alone. Poisson noise has a median off zero."""
    offset = np.nanmedian(noise[blank])
    edges = np.linspace(0, len(d), BOXES + 1).astype(int)
    medians = []
    for y0, y1 in pairwise(edges):
        for x0, x1 in pairwise(edges):
            some = blank[y0:y1, x0:x1]
            if some.sum() > 50:
                medians.append([np.nanmedian(plane[y0:y1, x0:x1][some]) - offset for plane in (d, noise)])
    if not medians:
        return {}
    rms = np.sqrt(np.mean(np.square(medians), axis=0))
    return {'boxes': rms[0], 'boxes_noise': rms[1], 'boxes_ratio': rms[0] / rms[1]}


def autocorrelation(plane, good):
    """Correlation of good pixels with those 1 to 3 to the right of them and above."""
    values = np.where(good, plane, 0.0)
    values[good] -= values[good].mean()
    variance, lags = np.mean(values[good]**2), []
    for n in (1, 2, 3):
        both = [good[:, n:] & good[:, :-n], good[n:] & good[:-n]]
        sums = np.sum(values[:, n:] * values[:, :-n]) + np.sum(values[n:] * values[:-n])
        lags.append(sums / sum(b.sum() for b in both) / variance)
    return lags


def peaks(plane, judged):
    """Positions and heights of local maxima above a few sigmas."""
    plane = np.where(judged & np.isfinite(plane), plane, 0.0)
    y, x = np.nonzero((plane == maximum_filter(plane, 3)) & (plane > LOWEST))
    return np.column_stack([x, y]).reshape(-1, 2), plane[y, x]


def detection(scene, outcome, judged, sigma, real):
    """Heights at the transients and of false peaks, in the plane that the method would look for sources in."""
    if outcome.scored:
        score = outcome.result.score
        plane, whitened = np.where(score.mask, np.nan, score.data), outcome.result.whitened
    elif outcome.score is not None:
        plane, whitened = outcome.score, None
    else:
        plane, whitened = plain_filter(scene, outcome.difference, sigma), None
    good = judged & np.isfinite(plane)
    values = plane[scene.blank & good]
    numbers = {'score_width': float(np.std(values))}
    if whitened is not None:
        usable = scene.blank & judged & np.isfinite(whitened.data) & ~whitened.mask
        numbers |= {f'white{n}': lag for n, lag in enumerate(autocorrelation(whitened.data.astype(float), usable), 1)}
    found = [peaks(sign * plane, good) for sign in (1, -1)]
    false = np.concatenate([heights[real.query(xy)[0] > 2 * scene.broad] for xy, heights in found])
    seen = []
    for x, y in np.round(positions_of(scene.transients)).astype(int):
        cut = np.s_[max(y - 1, 0):y + 2, max(x - 1, 0):x + 2]
        if scene.judged[y, x]:
            seen.append(np.nanmax(plane[cut]) if good[cut].any() else 0.0)
    megapixels = scene.judged.sum() / 1e6
    highest = np.sort(false)[::-1][:max(KEPT, round(KEPT_PER_MEGAPIXEL * megapixels))]
    return numbers | {'false': _listed(highest), 'seen': _listed(seen), 'megapixels': megapixels}


def plain_filter(scene, d, sigma):
    """Significance of point sources by the true PSF, taking pixels for independent."""
    psf, half = scene.broad_psf, 12
    y, x = np.indices((2 * half + 1,) * 2) - half
    profile = psf(0, 0).evaluate(x, y, 1, 0, 0, psf.fwhm, *psf.shear, psf.beta)
    good = np.isfinite(d) & np.isfinite(sigma) & (sigma > 0)
    weight = np.where(good, 1 / np.where(good, sigma, 1)**2, 0)
    top = fftconvolve(np.where(good, d, 0) * weight, profile[::-1, ::-1], 'same')
    bottom = fftconvolve(weight, profile[::-1, ::-1]**2, 'same')
    return np.where(good & (bottom > 0), top / np.sqrt(np.maximum(bottom, 1e-30)), np.nan)


def fluxes(scene, outcome, d):
    """Bias of the transients' fluxes: by a fit of the true PSF for all methods, and as the package measures them."""
    total, weight = 0.0, 0.0
    for row in scene.transients:
        x, y, flux, snr = (float(row[name]) for name in ('x', 'y', 'flux', 'snr'))
        cut = np.s_[round(y) - 6:round(y) + 7, round(x) - 6:round(x) + 7]
        if scene.judged[cut].all() and np.isfinite(d[cut]).all():
            yy, xx = np.mgrid[cut]
            p = scene.broad_psf(x, y)(xx, yy)
            if outcome.result is not None and outcome.result.direction == 'i':
                p = _fitted(outcome.result.kernel.image(x, y), scene, x, y, cut)
            total += snr**2 * (np.sum(p * d[cut]) / np.sum(p * p) / flux - 1)
            weight += snr**2
    numbers = {'flux_bias': total / weight} if weight and outcome.scaled else {}
    if outcome.scored:
        found = hotpants_cy.recovery(outcome.result, scene.transients, known=scene.moving)
        numbers |= {'recovered_bias': found.flux_bias, 'pull_mean': found.pull_mean, 'pull_width': found.pull_width}
    return numbers


def _fitted(kernel, scene, x, y, cut):
    """PSF of a transient where the science image was convolved, of the same flux."""
    half = len(kernel) // 2
    yy, xx = np.mgrid[cut[0].start - half:cut[0].stop + half, cut[1].start - half:cut[1].stop + half]
    return fftconvolve(scene.psfs[0](x, y)(xx, yy), kernel / kernel.sum(), 'valid')


def held_out(scene, outcome, d, judged):
    """Residual of stars that the kernel was not fitted to, per pixel within 2 FWHM, over its noise squared."""
    probes = scene.probes
    added = applied(outcome, probes.science, probes.template)
    result = outcome.result
    own = probes.science_variance, probes.template_variance
    variances = [plane + more for plane, more in zip(scene.variance, own, strict=True)]
    total, number = 0.0, 0
    for x, y in positions_of(probes.stars):
        half = math.ceil(2 * scene.broad)
        cut = np.s_[round(y) - half:round(y) + half + 1, round(x) - half:round(x) + half + 1]
        yy, xx = np.mgrid[cut]
        good = judged[cut] & (np.hypot(xx - x, yy - y) <= 2 * scene.broad) & np.isfinite(added[cut])
        square, r = result.kernel.image(x, y)**2, result.kernel.half_width
        wide = tuple(slice(c.start - r, c.stop + r) for c in cut)
        convolved, plain = variances[::-1] if result.direction == 't' else variances
        variance = fftconvolve(convolved[wide], square, 'valid') + plain[cut]
        if result.direction == 'i':
            variance = variance / result.kernel.sum(*(n // 2 for n in d.shape[::-1]))**2
        total += np.sum(((d + added)[cut]**2 / variance)[good])
        number += good.sum()
    return {'chi2_held_out': total / number} if number else {}


def _listed(values):
    return ' '.join(f'{v:.3g}' for v in values)


def completeness(rows, allowed):
    """Part of the transients above the height that false peaks exceed so often per megapixel; its error; the height.

    Parameters
    ----------
    rows : list of dict
        Of one method and scene, with ``false``, ``seen``, ``megapixels``.
    allowed : float
        False peaks per megapixel.
    """
    false = np.sort(np.concatenate([_numbers(row['false']) for row in rows]))[::-1]
    seen = np.concatenate([_numbers(row['seen']) for row in rows])
    number = int(allowed * sum(float(row['megapixels']) for row in rows))
    limit = max(false[number] if number < len(false) else LOWEST, LOWEST)
    part = np.mean(seen > limit) if len(seen) else math.nan
    return float(part), float(np.sqrt(part * (1 - part) / max(len(seen), 1))), float(limit)


def _numbers(text):
    return np.array([float(v) for v in str(text).split()])
