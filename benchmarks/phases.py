#!/usr/bin/env python3
"""Seconds per step of a subtraction, beside the plain convolution loop that dominates C HOTPANTS.

usage: python benchmarks/phases.py [--sizes 512 1024 2048] [--threads 1 2] [--direction t]

The yardstick is the scalar float64 loop of the spec's section 7 (image, variance, and the kernel's weight on good
pixels), compiled here with ``cc -O3``: C HOTPANTS as a whole needs about 1.8 times its time at 2048 x 2048. Every line
is measured in this run; compare lines of one run only. Peak memory is that of the subtraction over the two images.
"""
import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

YARDSTICK = """
#include <math.h>
void convolve(const float *image, const float *variance, const int *mask, const double *kernel, float *out,
              float *variance_out, int *mask_out, int n, int r) {
    for (int y = r; y < n - r; y++) for (int x = r; x < n - r; x++) {
        double sum = 0, variance_sum = 0, good = 0, all = 0;
        int seen = 0;
        for (int j = -r; j <= r; j++) for (int i = -r; i <= r; i++) {
            int p = (y + j) * n + x + i;
            double k = kernel[(j + r) * (2 * r + 1) + i + r];
            sum += image[p] * k;
            variance_sum += variance[p] * k * k;
            all += fabs(k);
            seen |= mask[p];
            if (!(mask[p] & 0x80)) good += fabs(k);
        }
        out[y * n + x] = sum;
        variance_out[y * n + x] = variance_sum;
        if (seen) mask_out[y * n + x] = good / all < 0.99 ? 0x8010 : 0x40;
    }
}
"""
STEPS = ('find_stamps', 'fit_and_select_direction', 'iterative_fit_and_clip')


def yardstick(image, r=10):
    """Seconds of the plain loop."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, 'loop.c')
        source.write_text(YARDSTICK)
        subprocess.run(['cc', '-O3', '-shared', '-fPIC', '-o', f'{folder}/loop.so', source], check=True)
        loop = ctypes.CDLL(f'{folder}/loop.so').convolve
        planes = [image, image, np.zeros(image.shape, np.int32), np.full((2 * r + 1, 2 * r + 1), 1 / 441),
                  np.zeros_like(image), np.zeros_like(image), np.zeros(image.shape, np.int32)]
        start = time.perf_counter()
        loop(*(a.ctypes.data_as(ctypes.c_void_p) for a in planes), image.shape[0], r)
        return time.perf_counter() - start


def peak_memory():
    """Largest resident memory of this process so far, in MiB (Linux)."""
    status = Path('/proc/self/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) / 1024


def measure(path, threads, direction):
    """Seconds of each step and the peak memory, in a process of its own."""
    import hotpants_cy as hp
    with np.load(path) as pair:
        science, template = pair['science'], pair['template']
    Path('/proc/self/clear_refs').write_text('5')        # forget the peak so far
    before = peak_memory()
    seconds, cpu = {}, time.process_time()
    start = last = time.perf_counter()
    config = hp.HotpantsConfig(force_convolve=direction)
    hot = hp.Hotpants(template, science, config=config, n_threads=threads)
    for step in STEPS:
        getattr(hot, step)()
        seconds[step], last = time.perf_counter() - last, time.perf_counter()
    hot.assemble('difference')
    seconds['subtract'], last = time.perf_counter() - last, time.perf_counter()
    hp.SubtractionResult.of(hot)
    seconds['result'] = time.perf_counter() - last
    peak = peak_memory() - before
    return {**seconds, 'all': time.perf_counter() - start, 'cpu': time.process_time() - cpu, 'MiB': peak}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sizes', type=int, nargs='+', default=[512, 1024, 2048])
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--direction', choices=['t', 'i', 'b'], default='t')
    parser.add_argument('--one', nargs=2, metavar=('PAIR', 'THREADS'), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], int(args.one[1]), args.direction)))
        return
    from hotpants_cy.datasets import make_pair
    columns = [*STEPS, 'subtract', 'result', 'all', 'cpu', 'MiB']
    print('size threads yardstick', *columns, 'all/yardstick')
    for size in args.sizes:
        pair = make_pair((size, size), seed=1)
        with tempfile.NamedTemporaryFile(suffix='.npz') as file:
            np.savez(file.name, science=pair.science.data, template=pair.template.data)
            for threads in args.threads:
                plain = yardstick(pair.science.data)
                done = subprocess.run([sys.executable, __file__, '--direction', args.direction, '--one', file.name,
                                       str(threads)], capture_output=True, text=True, check=True)
                got = json.loads(done.stdout)
                print(size, threads, f'{plain:.2f}', *(f'{got[c]:.2f}' for c in columns), f'{got["all"] / plain:.2f}')


if __name__ == '__main__':
    main()
