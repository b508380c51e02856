#!/usr/bin/env python3
"""Seconds of block convolution by sums and by FFT, for kernels of several sizes: where the FFT begins to pay.

usage: python benchmarks/crossover.py [--size 2048] [--threads 1] [--rkernel 10 20 30 40 60]
"""
import argparse
import math
import time

import numpy as np

from hotpants_cy.inputs.noise import NoiseModel
from hotpants_cy.kernel import fourier
from hotpants_cy.kernel.basis import GaussianBasis
from hotpants_cy.kernel.model import KernelModel
from hotpants_cy.kernel.spatial import RegionFrame


def seconds(model, image, threads, taps, repeat=3):
    fourier.taps_per_point = lambda: taps
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        model.convolve_planes(image, noise=NoiseModel(1, 5), n_threads=threads)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=2048)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--rkernel', type=int, nargs='+', default=[10, 20, 30, 40, 60])
    args = parser.parse_args()
    image = np.random.default_rng(1).normal(250, 16, (args.size, args.size)).astype('f4')
    print('| r | sums | FFT | taps per point of the FFT and doubling |\n|---|---|---|---|')
    for r in args.rkernel:
        basis, width = GaussianBasis(r, (2, 0), (2.0, r / 3)), 2 * r + 1
        solution = np.zeros(1 + (len(basis) - 1) * 6 + 1)
        solution[0] = 1
        model = KernelModel(solution, basis, 2, 0, RegionFrame((0, 0), image.shape), 't', width)
        by_sums, by_fft = (seconds(model, image, args.threads, taps) for taps in (math.inf, 0))
        length = fourier._length(2 * width - 1)
        print(f'| {r} | {by_sums:.2f} | {by_fft:.2f} | {width**4 / (length**2 * math.log2(length)):.0f} |')


if __name__ == '__main__':
    main()
