#!/usr/bin/env python3
"""Width of fluxes over their noise where images were resampled: noise taken as white, measured, known; as Markdown.

Scenes of `quality_scenes` are shifted by fractions of a pixel with linear interpolation, and their uncertainties with
them, as they should be. A width above 1 makes every 5 sigma less than that.
"""
import argparse
import itertools
import logging
import math
import warnings

import numpy as np
from astropy.nddata import StdDevUncertainty
from quality_scenes import SCENES, make_scene
from scipy.ndimage import shift
from scipy.signal import fftconvolve

import hotpants_cy as hp

SHIFTS = {'science': (0.5, 0.35), 'template': (0.45, 0.4)}
RESAMPLED = {'none': (), 'science': ('science',), 'template': ('template',), 'both': ('science', 'template')}


def shares(offset):
    """What a pixel takes of two neighbours."""
    return np.array([offset, 1 - offset])


def moved(image, dx, dy):
    """An image shifted by less than a pixel; its pixels have less noise than before."""
    image, (wx, wy) = image.copy(), map(shares, (dx, dy))
    image.data = shift(np.nan_to_num(image.data.astype(float)), (dy, dx), order=1, mode='nearest').astype('f4')
    variance = shift(image.uncertainty.array.astype(float)**2, (dy, dx), order=1, mode='nearest')
    image.uncertainty = StdDevUncertainty(np.sqrt(variance * np.sum(wx**2) * np.sum(wy**2)))
    return image


def correlation(dx, dy):
    """Autocorrelation of the noise of such an image."""
    weights = np.outer(shares(dy), shares(dx))
    plane = fftconvolve(weights, weights[::-1, ::-1])
    return plane / plane.max()


def width(scene, images, correlations):
    """Standard deviation of fluxes over their errors by noise in blank sky: the score, had these not been widened."""
    result = hp.subtract(*images, config='auto', noise_correlations=correlations, n_threads=1)
    sky = scene.blank & ~result.score.mask
    return float(np.std(result.score.data[sky])) * result._scores._found[1][0].scale


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scenes', nargs='+', default=['issue 512', 'galaxies', 'crowded', 'sharper science'],
                        choices=list(SCENES), metavar='SCENE', help=', '.join(SCENES))
    parser.add_argument('--seeds', type=int, default=4)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    print('| scene | resampled | taken as white | measured | known |')
    print('|---' * 5 + '|')
    for name, (words, which) in itertools.product(args.scenes, RESAMPLED.items()):
        widths = []
        for seed in range(1, args.seeds + 1):
            scene = make_scene(name, seed)
            images = [moved(image, *SHIFTS[part]) if part in which else image
                      for part, image in (('science', scene.science), ('template', scene.template))]
            known = tuple(correlation(*SHIFTS[part]) if part in which else None for part in SHIFTS)
            widths.append([width(scene, images, how) for how in ((None, None), 'measure', known)])
        widths = np.array(widths)
        cells = (f'{mean:.3f} ± {error:.3f}' for mean, error in zip(
            widths.mean(axis=0), widths.std(axis=0, ddof=1) / math.sqrt(len(widths)), strict=True))
        print(f'| {name} | {words} |', ' | '.join(cells), '|', flush=True)


if __name__ == '__main__':
    main()
