#!/usr/bin/env python3
"""Scatter of kernel sums over realisations of noise, against the Cramér-Rao bound, as a Markdown table.

Fields are drawn again and again with new noise; the kernel is fitted to them plain, weighted and robust. The bound is
that of the stars used and, with weights, the sky, for residuals of the covariance V_t + K V_s K^T: no unbiased estimate
that takes the template as it is scatters less. Errors are those of as many realisations.
"""
import argparse
import itertools
import logging
import math
import warnings
from dataclasses import replace

import numpy as np

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.kernel.weighing import Sight
from hotpants_cy.kernel.weighted import WeightedDesign

FITS = {'plain': {}, 'weights': {'weights': True}, 'weights, Huber': {'weights': True, 'robust': 'huber'},
        'weights, Tukey': {'weights': True, 'robust': 'tukey'}}
FEW = 3                                              # realisations that the bound is the mean of
VARIATION = {0: 0.0, 1: 0.04, 2: 0.04}               # of the width of the science PSF, by the order of the kernel


def config_of(ko, **changes):
    return hp.HotpantsConfig(ko=ko, bgo=0, nstampx=10, nstampy=10, force_convolve='t', rkernel=10, rss=15,
                             deg_fixe=(4, 2), sigma_gauss=(0.7, 1.5), **changes)


def field(size, ko, seed):
    """Images without noise, and their uncertainties."""
    pair = make_pair((size, size), seed=seed, n_stars=size**2 // 1600, n_transients=0, noise=False, profile='gaussian',
                     variation=VARIATION[ko])
    return pair, [image.uncertainty.array.copy() for image in (pair.science, pair.template)]


def noisy(image, sigma, rng):
    image = image.copy()
    image.data = image.data + rng.normal(size=sigma.shape) * sigma
    return image


def kernel_of(science, template, config, stars):
    hot = hp.Hotpants(template, science, config=config, stars=stars, n_threads=1)
    hot.iterative_fit_and_clip()
    return hot


def bound(hot, size):
    """Least standard deviation of the kernel sum in the middle, for the stars that were used."""
    run = hot.region
    model, design = run.fit.model, WeightedDesign.of(run.design('t'))
    slots = [k for k, stamp in enumerate(design.stamps) if stamp.alive]
    sight, width = Sight.of(design, slots), design.config.substamp_width
    information = 0
    for k in range(len(slots)):
        vectors = design.all_vectors(sight, k)
        kernel = model.image(sight.x[k], sight.y[k])
        covariance = np.diag(sight.target_variance[k]) + through(kernel, sight.source_variance[k], width)
        local = vectors @ np.linalg.solve(covariance, vectors.T)
        information = information + design.sum_up_all(_One(sight, k), local[np.newaxis], np.zeros((1, len(local))))[0]
    if design.sky is not None:
        weights = 1 / design.sky.weights(model, design.basis, None)[1]
        information = information + design.sum_up_all(design.sky, *design.sky.products(weights))[0]
    scales = 1 / np.sqrt(np.diag(information))
    covariance = np.linalg.pinv(information * scales * scales[:, np.newaxis], hermitian=True)
    return replace(model, covariance=covariance * scales * scales[:, np.newaxis]).sum_error(size / 2, size / 2)


class _One:
    """One star of a sight, for `WeightedDesign.sum_up_all`."""

    def __init__(self, sight, k):
        self.x, self.y = sight.x[k:k + 1], sight.y[k:k + 1]


def through(kernel, variance, width):
    """Covariance of the pixels of a box after the convolution of independent ones."""
    enters, side = np.zeros((width**2, variance.size)), len(kernel)
    for row, (y, x) in enumerate(np.ndindex(width, width)):
        box = np.zeros(variance.shape)
        box[y:y + side, x:x + side] = kernel[::-1, ::-1]
        enters[row] = box.ravel()
    return (enters * variance.ravel()) @ enters.T


def measure(size, ko, changes, seed, realisations):
    """Kernel sums over the true one minus one, of one field; their errors as claimed; the bound; stars used."""
    pair, sigmas = field(size, ko, seed)
    images = pair.science, pair.template
    stars = hp.find_stars(noisy(pair.template, sigmas[1], np.random.default_rng(0)))
    sums, claimed, bounds, used = [], [], [], []
    for n in range(realisations):
        rng = np.random.default_rng(1000 + n)
        hot = kernel_of(*(noisy(image, sigma, rng) for image, sigma in zip(images, sigmas, strict=True)),
                        config_of(ko, **changes), stars)
        sums.append(hot.kernel.sum(size / 2, size / 2) / pair.kernel_sum - 1)
        claimed.append(hot.kernel.sum_error(size / 2, size / 2) / pair.kernel_sum)
        if n < FEW:
            bounds.append(bound(hot, size) / pair.kernel_sum)
            used.append(sum(stamp.alive for stamp in hot.region.design('t').stamps))
    return np.array(sums), np.array(claimed), np.mean(bounds), np.mean(used)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=512)
    parser.add_argument('--fields', type=int, default=5)
    parser.add_argument('--realisations', type=int, default=40, help='of each field')
    parser.add_argument('--orders', type=int, nargs='+', default=[0, 1], choices=list(VARIATION))
    parser.add_argument('--fits', nargs='+', default=list(FITS), choices=list(FITS), metavar='FIT',
                        help='; '.join(FITS))
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    print('| order | fit | stars | bound, % | scatter over the bound | width of pulls | mean error, % |')
    print('|---' * 7 + '|')
    for ko, name in itertools.product(args.orders, args.fits):
        fields = [measure(args.size, ko, FITS[name], seed, args.realisations) for seed in range(1, args.fields + 1)]
        free = args.fields * (args.realisations - 1)
        over = [np.sum(np.square((sums - sums.mean()) / least)) for sums, _, least, _ in fields]
        pulls = [np.sum(np.square((sums - sums.mean()) / claimed)) for sums, claimed, _, _ in fields]
        errors = np.concatenate([sums for sums, *_ in fields])
        (ratio, width), n = (math.sqrt(np.sum(squares) / free) for squares in (over, pulls)), errors.size
        print(f'| {ko} | {name} | {np.mean([used for *_, used in fields]):.0f}',
              f'{100 * np.mean([least for _, _, least, _ in fields]):.3f}',
              *(f'{value:.2f} ± {value / math.sqrt(2 * free):.2f}' for value in (ratio, width)),
              f'{100 * errors.mean():+.3f} ± {100 * errors.std() / math.sqrt(n):.3f} |', sep=' | ', flush=True)


if __name__ == '__main__':
    main()
