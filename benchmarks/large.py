#!/usr/bin/env python3
"""One subtraction of images of 10 000 x 10 000 pixels: seconds and peak memory.

usage: python benchmarks/large.py [--size 10000] [--threads N]

The pair is a simulated one of 2048 x 2048 pixels, laid side by side, so that it is made in seconds.
"""
import argparse
import logging
import time
from pathlib import Path

import numpy as np


def memory(which):
    """Resident memory of this process in MiB: 'VmRSS' now, 'VmHWM' the largest since the last reset (Linux)."""
    return int(Path('/proc/self/status').read_text().split(f'{which}:')[1].split()[0]) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=10_000)
    parser.add_argument('--threads', type=int)
    args = parser.parse_args()
    import hotpants_cy as hp
    from hotpants_cy.datasets import make_pair
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    pair, times = make_pair((2048, 2048), seed=1, n_transients=0), -(-args.size // 2048)
    science, template = (np.ascontiguousarray(np.tile(image.data, (times, times))[:args.size, :args.size])
                         for image in (pair.science, pair.template))
    Path('/proc/self/clear_refs').write_text('5')        # forget the peak so far
    before = memory('VmRSS')
    start = time.perf_counter()
    result = hp.subtract(science, template, config=hp.HotpantsConfig(force_convolve='t'), n_threads=args.threads)
    seconds = time.perf_counter() - start
    peak, statistics = memory('VmHWM'), result.statistics
    print(f'{args.size} x {args.size}: {seconds:.1f} s, peak {peak:.0f} MiB, {peak - before:.0f} over the two images; '
          f'kernel sum {statistics["KSUM"]:.4f}, chi2 {statistics["X2NRM"]:.3f}')


if __name__ == '__main__':
    main()
