"""How wide the score is near bright stars that the kernel was not fitted to, and how many transients it finds.

``python benchmarks/score.py stars [SEEDS]`` and ``python benchmarks/score.py sources [SEEDS]`` print the tables of
docs/user_guide/score_measured.inc.
"""
import argparse
import warnings

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.signal import fftconvolve
from scipy.spatial import cKDTree

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair, positions_of

N, WELL = 512, 1.2e5
BRIGHT = 400            # adu above the sky: 20 sigma
STARS = {
    'Moffat': {'star_flux': (4e3, 4e6), 'saturation': WELL},
    'Gaussian': {'star_flux': (4e3, 4e6), 'saturation': WELL, 'profile': 'gaussian'},
    'wings, beta 2.5': {'star_flux': (4e3, 2e6), 'beta': 2.5},
    'PSF varies by 25 %': {'star_flux': (4e3, 2e6), 'variation': 0.25},
}
SOURCES = {
    'Moffat, default': {},
    'Gaussian, kernel of 2 pixels, equal noise': {'science_fwhm': 5.5, 'template_fwhm': 2.8, 'template_sky': 400.0,
                                                  'flux_ratio': 1.0, 'profile': 'gaussian'},
    'the same, template three times noisier': {'science_fwhm': 5.5, 'template_fwhm': 2.8, 'template_noise': 3.0,
                                               'flux_ratio': 1.0, 'profile': 'gaussian'},
    'the same, science image sharper': {'science_fwhm': 2.8, 'template_fwhm': 5.5, 'template_sky': 400.0,
                                        'flux_ratio': 1.0, 'profile': 'gaussian'},
}


def distance(shape, positions):
    """Of each pixel to the nearest of some positions."""
    yx = np.indices(shape).reshape(2, -1)
    return cKDTree(positions).query(yx[::-1].T)[0].reshape(shape)


def near_stars(recipe, config, seed):
    """Scores near held-out stars and in the sky, without and with the error of the model; counts of what is found."""
    pair = make_pair((N, N), seed=seed, n_transients=12, transient_snr=(5, 14), **recipe)
    xy, well = positions_of(pair.stars), recipe.get('saturation', np.inf)
    height = 0.85 * pair.stars['flux'].value * pair.science_psf(0, 0)(0, 0)
    bright = np.flatnonzero((height > BRIGHT) & (1.6 * height < 0.9 * well)
                            & (xy.min(axis=1) > 45) & (xy.max(axis=1) < N - 46))
    held = xy[np.random.default_rng(seed).permutation(bright)[:len(bright) // 3]]
    if config != 'auto':
        limit = None if well == np.inf else 0.97 * well
        config = hp.HotpantsConfig(tuthresh=limit or 1e9, iuthresh=limit or 1e9, **config)
    result = hp.subtract(pair.science, pair.template, config=config, avoid=held, n_threads=1)
    score, transients = result.score, positions_of(pair.transients)
    images = result._scores
    misfit = images._found[1][0]
    error = result.flux.uncertainty.array
    noise = error if misfit.variance is None else np.sqrt(np.maximum(error**2 - misfit.variance, 1e-9))
    planes = np.where(score.mask, np.nan, np.stack([result.flux.data / noise, score.data]))
    free = ~score.mask & (distance(score.shape, transients) > 12)
    to_held = distance(score.shape, held)
    zones = [planes[:, free & zone] for zone in (to_held <= 4, to_held <= 8, distance(score.shape, xy) > 15)]
    table = result.find_candidates()
    there = np.column_stack([table['x'], table['y']]).reshape(-1, 2)
    real = cKDTree(transients).query(there)[0] < 4 if len(there) else np.zeros(0, bool)
    # what would be found without it
    false = [sum(np.count_nonzero(distances(peaks(sign * plane, free), transients) > 12) for sign in (1, -1))
             for plane in planes]
    return zones, false, np.count_nonzero(~real), np.count_nonzero(real), misfit.errors


def peaks(plane, judged, lowest=5.0):
    """Positions of local maxima."""
    plane = np.where(judged & np.isfinite(plane), plane, 0.0)
    y, x = np.nonzero((plane == maximum_filter(plane, 3)) & (plane > lowest))
    return np.column_stack([x, y]).reshape(-1, 2)


def distances(xy, positions):
    """Of positions to the nearest of others."""
    return cKDTree(positions).query(xy)[0] if len(xy) else np.zeros(0)


def stars(seeds):
    """Print the table of widths near stars."""
    for name, recipe in STARS.items():
        for words, config in (('auto', 'auto'), ('plain, ko=1', {'ko': 1}), ('plain, ko=0', {'ko': 0})):
            rows = [near_stars(recipe, config, seed) for seed in range(seeds)]
            zones = [np.concatenate(z, axis=1) for z in zip(*(row[0] for row in rows), strict=True)]
            widths = ['{:.2f} > {:.2f}'.format(*zone.std(axis=1)) for zone in zones]
            area = seeds * N * N / 1e6
            false = np.sum([row[1] for row in rows], axis=0) / area
            errors = 100 * np.mean([row[4] for row in rows], axis=0)
            print(f'{name:20} {words:12} r < 4: {widths[0]}  r < 8: {widths[1]}  sky: {widths[2]}  '
                  f'maxima and minima: {false[0]:.0f} > {false[1]:.0f}/Mpix  '
                  f'false candidates {sum(row[2] for row in rows) / area:.1f}/Mpix  '
                  f'found {sum(row[3] for row in rows)}/{12 * seeds}  errors {np.round(errors, 2)} %', flush=True)


def heights(recipe, seed):
    """Of false peaks, and at transients, in each of three planes; pixels judged."""
    pair = make_pair((N, N), seed=seed, n_transients=40, transient_snr=(3, 12), n_stars=60, **recipe)
    result = hp.subtract(pair.science, pair.template, config='auto', n_threads=1)
    difference, score = result.difference, result.score
    d = np.where(difference.mask, 0, difference.data).astype(float)
    weight = np.where(difference.mask, 0, difference.uncertainty.array.astype(float)**-2)
    psf = result.psf(N // 2, N // 2)[::-1, ::-1]
    filtered = fftconvolve(d * weight, psf, 'same') / np.sqrt(fftconvolve(weight, psf**2, 'same').clip(1e-30))
    transients = positions_of(pair.transients)
    judged = ~score.mask & (distance(score.shape, positions_of(pair.stars)) > 12)
    found = []
    for plane in (d * np.sqrt(weight), filtered, score.data):
        false = []
        for sign in (1, -1):
            xy = peaks(sign * plane, judged, 3.0)
            x, y = xy[distances(xy, transients) > 12].T
            false.append(sign * plane[y, x])
        seen = [plane[y - 1:y + 2, x - 1:x + 2].max() for x, y in np.round(transients).astype(int) if judged[y, x]]
        found.append((np.concatenate(false), seen))
    return found, np.count_nonzero(judged)


def sources(seeds, rate=10):
    """Print the table of completeness at equal numbers of false peaks."""
    for name, recipe in SOURCES.items():
        rows = [heights(recipe, seed) for seed in range(seeds)]
        area, words = sum(row[1] for row in rows) / 1e6, []
        for k, plane in enumerate(('D/sigma', 'plain filter', 'score')):
            false, seen = (np.concatenate([row[0][k][n] for row in rows]) for n in (0, 1))
            limit = np.sort(false)[::-1][int(rate * area)]
            part = np.mean(seen > limit)
            error = np.sqrt(part * (1 - part) / len(seen))
            words.append(f'{plane}: limit {limit:.2f}, {100 * part:.1f} +- {100 * error:.1f} %, '
                         f'{np.sum(false > 5) / area:.1f} false above 5')
        print(f'{name:42} {" | ".join(words)}', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('table', choices=['stars', 'sources'])
    parser.add_argument('seeds', type=int, nargs='?', default=8, help='pairs of each kind (%(default)s)')
    args = parser.parse_args()
    {'stars': stars, 'sources': sources}[args.table](args.seeds)


if __name__ == '__main__':
    warnings.simplefilter('ignore')
    main()
