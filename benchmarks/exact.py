#!/usr/bin/env python3
"""Seconds of block and exact convolution of image, variance and mask, and how far from exact blocks are.

usage: python benchmarks/exact.py [--size 2048] [--threads 1 2] [--rkernel 5 10 15] [--ko 1 2] [--crossover]
                                  [--variation]
"""
import argparse
import time
from functools import partial

import numpy as np

from hotpants_cy.inputs.noise import NoiseModel
from hotpants_cy.kernel import exact as exact_kernel
from hotpants_cy.kernel.basis import GaussianBasis
from hotpants_cy.kernel.model import KernelModel
from hotpants_cy.kernel.spatial import RegionFrame

SKY, NOISE = 250.0, NoiseModel(1, 5)


def star_field(size, rng):
    """Stars of FWHM 3.5 pixels, one per 40 x 40 pixels, their flux uniform in its logarithm, and noise."""
    image = rng.normal(SKY, 17, (size, size))
    v, u = np.mgrid[-8:9, -8:9]
    star = np.exp(-(u * u + v * v) / (2 * 1.5**2)) / (2 * np.pi * 1.5**2)
    n = size**2 // 1600
    for x, y, flux in zip(*rng.integers(10, size - 10, (2, n)), 10**rng.uniform(2.5, 5.7, n), strict=True):
        image[y - 8:y + 9, x - 8:x + 9] += flux * star
    return image.astype('f4')


def varying_kernel(r, ko, size, amplitude, rng):
    """Kernel of the default basis; each coefficient varies by about ``amplitude`` over the image, in kernel sums."""
    basis, n = GaussianBasis(r, (6, 4, 2), (0.7, 1.5, 3.0)), (ko + 1) * (ko + 2) // 2
    solution = np.zeros(1 + (len(basis) - 1) * n + 3)
    weights = 1 / np.abs(basis.images[1:]).sum(axis=(1, 2))
    solution[1:-3] = (rng.normal(0, amplitude, (n, len(basis) - 1)) * weights).T.ravel() / np.sqrt(len(basis) - 1)
    solution[0] = 0.9
    return KernelModel(solution, basis, ko, 1, RegionFrame((0, 0), (size, size)), 't', 2 * r + 1)


def seconds(jobs, repeat, clock=time.perf_counter):
    """Fastest of some rounds of each job, which take turns, so that a busy machine does not favour one."""
    best = [np.inf] * len(jobs)
    for _ in range(repeat):
        for i, job in enumerate(jobs):
            start = clock()
            job()
            best[i] = min(best[i], clock() - start)
    return best


def row(*cells):
    print('   ' + ', '.join(f'{c:.3g}' if isinstance(c, float) else str(c) for c in cells), flush=True)


def compare_times(args, image, rng):
    row('r', 'ko', 'threads', 'flagged pixels', 'blocks s', 'exact s', 'ratio')
    for r in args.rkernel:
        for ko in args.ko:
            model = varying_kernel(r, ko, args.size, 0.04, rng)
            for share in (0, 2e-4):
                flags = np.where(rng.random(image.shape) < share, 0x80, 0).astype('i4')
                for threads in args.threads:
                    # of one thread the time on the CPU, which does not count what others do
                    clock = time.process_time if threads == 1 else time.perf_counter
                    jobs = [partial(model.convolve_planes, image, flags=flags, noise=NOISE, background=True, exact=on,
                                    n_threads=threads) for on in (False, True)]
                    blocks, exact = seconds(jobs, args.repeat, clock)
                    row(r, ko, threads, share, blocks, exact, exact / blocks)


def compare_ways(args, image, rng):
    row('r', 'ko', 'sums s', 'FFT s', 'taps per transform that it costs')
    for r in args.rkernel:
        for ko in args.ko:
            model, times = varying_kernel(r, ko, args.size, 0.04, rng), []
            for pays in (False, True):
                exact_kernel.fft_pays = lambda *_, pays=pays: pays
                job = partial(model.convolve_planes, image, noise=NOISE, exact=True, n_threads=1)
                times += seconds([job], args.repeat, time.process_time)
            n = (ko + 1) * (ko + 2) // 2 + (2 * ko + 1) * (2 * ko + 2) // 2 + 2
            row(r, ko, *times, exact_kernel.n_taps(model, 1) / times[0] * times[1] / n)


def compare_images(args, image, rng):
    row('ko', 'variation', 'largest / noise', '99.9 % / noise', 'rms / noise', 'rms near stars / noise',
        'variance rms %')
    near = image > SKY + 500
    for ko in args.ko:
        for amplitude in (0.002, 0.01, 0.05, 0.2):
            model = varying_kernel(10, ko, args.size, amplitude, rng)
            blocks, exact = (model.convolve_planes(image, noise=NOISE, exact=on) for on in (False, True))
            inside = np.s_[10:-10, 10:-10]
            noise = np.sqrt(exact[1][inside] + image[inside])
            variance = blocks[1][inside] / exact[1][inside]
            off = np.abs(blocks[0] - exact[0])[inside] / noise
            row(ko, amplitude, float(off.max()), float(np.quantile(off, 0.999)), float(np.sqrt((off**2).mean())),
                float(np.sqrt((off[near[inside]]**2).mean())), 100 * float(variance.std()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=2048)
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--rkernel', type=int, nargs='+', default=[5, 10, 15])
    parser.add_argument('--ko', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--repeat', type=int, default=3, help='the fastest of so many runs counts')
    parser.add_argument('--crossover', action='store_true', help='instead: sums against FFT')
    parser.add_argument('--variation', action='store_true', help='instead: how far from exact blocks are')
    args, rng = parser.parse_args(), np.random.default_rng(1)
    work = compare_ways if args.crossover else compare_images if args.variation else compare_times
    work(args, star_field(args.size, rng), rng)


if __name__ == '__main__':
    main()
