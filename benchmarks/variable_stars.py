#!/usr/bin/env python3
"""Kernel sums with and without weights and a robust loss, where some of the stars vary: a table for the documentation.

Stars change by up to a half. The sums are compared with the true one, in per cent: root mean square, and mean with its
error. ``--inc`` writes the table for docs/user_guide/weights.rst.
"""
import argparse
import logging
import math
from pathlib import Path

import numpy as np

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

SHAPE, N_STARS, CHANGE = (300, 300), 100, 0.5
FRACTIONS = 0.0, 0.05, 0.1, 0.2
FITS = {'plain': {}, 'weights': {'weights': True}, 'robust': {'robust': 'tukey'},
        'both, Huber': {'weights': True, 'robust': 'huber'}, 'both, Tukey': {'weights': True, 'robust': 'tukey'}}


def scene(seed, fraction):
    """A pair of which a fraction of the stars has changed in the science image."""
    pair = make_pair(SHAPE, seed=seed, n_stars=N_STARS, n_transients=0, profile='gaussian')
    rng, changed = np.random.default_rng(seed + 50), pair.stars.copy()
    changed['flux'] *= rng.uniform(-CHANGE, CHANGE, N_STARS)
    changed = changed[rng.random(N_STARS) < fraction]
    if len(changed):
        light = pair.kernel_sum * pair.science_psf.image(SHAPE, changed)
        pair.science.data = (pair.science.data + light).astype('f4')
    return pair


def error(pair, changes):
    """Kernel sum over its true value, minus one, in per cent."""
    config = hp.HotpantsConfig(ko=0, bgo=0, nstampx=6, nstampy=6, force_convolve='t', rkernel=7, rss=10,
                               deg_fixe=(4, 2), sigma_gauss=(0.7, 1.5), **changes)
    kernel = hp.Hotpants(pair.template, pair.science, config=config, n_threads=1).kernel
    return 100 * (kernel.sum(SHAPE[1] / 2, SHAPE[0] / 2) / pair.kernel_sum - 1)


def cell(errors):
    """Root mean square, and mean with its error."""
    errors = np.array(errors)
    return (f'{math.sqrt(np.mean(errors**2)):.2f} ({errors.mean():+.2f} ± '
            f'{errors.std(ddof=1) / math.sqrt(len(errors)):.2f})')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, default=16)
    parser.add_argument('--inc', type=Path, help='file to write the table to')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    rows = []
    for fraction in FRACTIONS:
        pairs = [scene(seed, fraction) for seed in range(args.seeds)]
        rows.append([f'{fraction:.0%}', *(cell([error(pair, changes) for pair in pairs]) for changes in FITS.values())])
        print(rows[-1], flush=True)
    table = [['variable', *FITS], *rows]
    quoted = [', '.join(f'"{value}"' for value in row) for row in table]
    lines = ['.. csv-table::', f'   :header: {quoted[0]}', '', *(f'   {line}' for line in quoted[1:])]
    text = '\n'.join(lines) + '\n'
    print(text)
    if args.inc:
        args.inc.write_text(text)


if __name__ == '__main__':
    main()
