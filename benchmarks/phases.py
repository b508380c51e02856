#!/usr/bin/env python3
"""Seconds per step of a subtraction, beside the plain convolution loop that dominates C HOTPANTS, as a Markdown table.

The yardstick is the scalar float64 loop of the spec's section 7 (image, variance, and the kernel's weight on good
pixels), compiled here with ``cc -O3``. C HOTPANTS as a whole needs about 1.8 times its time at 2048 x 2048 and 1.55
times at 4096 x 4096, with its default settings and one direction: hence 'C est.', which is no run of the C program.
Every subtraction has a process of its own, which takes the steps one by one, then calls `subtract` as users do, with
all that it checks and warns of. The fastest of ``--repeat`` counts, and of the yardstick too, which is not repeated
once it has taken 20 s. Compare lines of one run only. Peak memory is that over the two images. Linux only.
"""
import argparse
import ctypes
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

YARDSTICK = """
#include <math.h>
void convolve(const float *image, const float *variance, const int *mask, const double *kernel, float *out,
              float *variance_out, int *mask_out, int n, int r) {
    for (int y = r; y < n - r; y++) for (int x = r; x < n - r; x++) {
        double sum = 0, variance_sum = 0, good = 0, all = 0; int seen = 0;
        for (int j = -r; j <= r; j++) for (int i = -r; i <= r; i++) {
            int p = (y + j) * n + x + i; double k = kernel[(j + r) * (2 * r + 1) + i + r];
            sum += image[p] * k;
            variance_sum += variance[p] * k * k;
            all += fabs(k);
            seen |= mask[p];
            if (!(mask[p] & 0x80)) good += fabs(k);
        }
        out[y * n + x] = sum; variance_out[y * n + x] = variance_sum;
        if (seen) mask_out[y * n + x] = good / all < 0.99 ? 0x8010 : 0x40;
    }
}
"""
# 12 sums side by side: a multiply-add takes some four cycles, and two can start in each
PEAK = """
typedef float vector __attribute__((vector_size(__BIGGEST_ALIGNMENT__)));
int spin(int rounds, float seed, float *out) {
    vector sums[12], factor = (vector) {0} + 1 - seed, term = (vector) {0} + seed;
    for (int s = 0; s < 12; s++) sums[s] = term * (float) s;
    for (int i = 0; i < rounds; i++) for (int s = 0; s < 12; s++) sums[s] = sums[s] * factor + term;
    for (int s = 1; s < 12; s++) sums[0] += sums[s];
    *out = sums[0][0];
    return sizeof(vector) / sizeof(float);
}
"""
COLUMNS = ('find stamps', 'fit', 'subtract', 'result', 'steps', 'call', 'cpu')


def compiled(source, *flags):
    """Library of C functions."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, 'it.c').write_text(source)
        subprocess.run(['cc', '-O3', '-shared', '-fPIC', *flags, '-o', f'{folder}/it', f'{folder}/it.c'], check=True)
        return ctypes.CDLL(f'{folder}/it')


def fastest(function, repeat):
    """Seconds of the fastest of some calls, no more of them once they have taken 20 s."""
    seconds = []
    while len(seconds) < repeat and sum(seconds) < 20:
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def yardstick(image, r, repeat):
    """Seconds of the plain loop."""
    loop, mask, kernel = compiled(YARDSTICK).convolve, np.zeros(image.shape, np.int32), np.full((2 * r + 1)**2, 1e-3)
    planes = [image, image, mask, kernel, np.zeros_like(image), np.zeros_like(image), mask.copy()]
    return fastest(lambda: loop(*(a.ctypes.data_as(ctypes.c_void_p) for a in planes), len(image), r), repeat)


def times_faster(plain, size, seconds):
    """How many times longer than some seconds C HOTPANTS should take, whose loop takes ``plain`` seconds."""
    return f'{plain * (1.8 if size <= 2048 else 1.55) / seconds:.1f}'


def simulated(size, folder):
    """Path of a pair with one star per 40 x 40 pixels, made if it is not there; beyond 4096 from copies of that."""
    path = Path(folder, f'phases-{size}.npz')
    if not path.exists() and size > 4096:
        pair, times = load(simulated(4096, folder)), -(-size // 4096)
        np.savez(path, *(np.tile(image, (times, times))[:size, :size] for image in pair))
    elif not path.exists():
        from hotpants_cy.datasets import make_pair
        pair = make_pair((size, size), seed=1)
        np.savez(path, *(image.data.astype('f4') for image in (pair.science, pair.template)))
    return str(path)


def load(path):
    with np.load(path) as pair:
        return [np.ascontiguousarray(pair[name]) for name in pair]


def peak_memory():
    """Largest resident memory of this process so far, in MiB (Linux)."""
    return int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) / 1024


def measure(path, threads, settings):
    """Seconds of each step and the peak memory of one subtraction, in this process, which should be a new one.

    Then those of a call of `subtract`, which finds all modules imported and the memory of the first one.
    """
    from hotpants_cy import Hotpants, HotpantsConfig, SubtractionResult, subtract
    science, template = load(path)
    Path('/proc/self/clear_refs').write_text('5')        # forget the peak so far
    config = HotpantsConfig(**settings)
    before, cpu, ticks = peak_memory(), time.process_time(), [time.perf_counter()]
    hot = Hotpants(template, science, config=config, n_threads=threads)
    for step in ([hot.find_stamps], [hot.fit_and_select_direction, hot.iterative_fit_and_clip],
                 [lambda: hot.assemble('difference')], [lambda: SubtractionResult.of(hot, owned=True)]):
        for part in step:
            part()
        ticks.append(time.perf_counter())
    cpu, memory = time.process_time() - cpu, peak_memory() - before
    hot = step = part = None
    call = fastest(lambda: subtract(science, template, config=config, n_threads=threads), 3)
    return {**dict(zip(COLUMNS, [*np.diff(ticks), ticks[-1] - ticks[0], call, cpu], strict=True)), 'MiB': memory}


def row(*cells):
    print('|', *(f'{c if isinstance(c, str) else format(c, ".3g" if c < 100 else ".0f")} |' for c in cells), flush=True)


def steps(args, folder):
    """Print the table of steps, and that of serial time if it is wanted."""
    row('size', 'r', 'threads', 'yardstick', *COLUMNS, 'MiB', 's per megapixel', 'C est. / call')
    row(*['---'] * 14)
    found = {}
    for size, r in itertools.product(args.sizes, args.rkernel):
        path, known = simulated(size, folder), (r, args.stamps, args.direction, size <= 4096) == (10, 10, 't', True)
        plain = yardstick(load(path)[1], r, args.repeat) if size <= 4096 else '-'
        settings = json.dumps({'force_convolve': args.direction, 'rkernel': r, 'rss': max(15, r),
                               'nstampx': args.stamps, 'nstampy': args.stamps})
        for threads in args.threads:
            command = [sys.executable, __file__, '--one', path, str(threads), settings]
            runs = [subprocess.run(command, stdout=subprocess.PIPE, check=True) for _ in range(args.repeat)]
            runs = [json.loads(run.stdout) for run in runs]
            got = found[size, r, threads] = {**min(runs, key=lambda run: run['steps']),
                                             'call': min(run['call'] for run in runs)}
            row(str(size), str(r), str(threads), plain, *got.values(), got['call'] / size**2 * 1e6,
                times_faster(plain, size, got['call']) if known else '-')
    if args.amdahl:
        print()
        row('size', 'r', *(f'{c}, serial' for c in COLUMNS[:-1]))
        row(*['---'] * 8)
    for size, r in itertools.product(args.sizes, args.rkernel) if args.amdahl else ():
        one, two = found[size, r, 1], found[size, r, 2]
        row(str(size), str(r), *(f'{100 * (2 * two[c] / one[c] - 1):.0f} %' for c in COLUMNS[:-1]))


def processes(args, folder):
    """Print how long `hotpants-cy` takes as a whole: start, FITS files in and out (in memory where /dev/shm is)."""
    from astropy.io import fits
    row('size', 'r', 'threads', 'yardstick', 'wall', 'C est. / wall')
    row(*['---'] * 6)
    command = [str(Path(sys.executable).with_name('hotpants-cy')), '-inim', 'science.fits', '-tmplim', 'template.fits',
               '-outim', 'difference.fits', '-c', args.direction, '-v', '0']
    for size, r in itertools.product(args.sizes, args.rkernel):
        pair = load(simulated(size, folder))
        plain = yardstick(pair[1], r, args.repeat)
        with tempfile.TemporaryDirectory(dir='/dev/shm' if Path('/dev/shm').is_dir() else None) as files:
            for name, image in zip(('science', 'template'), pair, strict=True):
                fits.writeto(f'{files}/{name}.fits', image)
            for threads in args.threads:
                run = partial(subprocess.run, [*command, '-r', str(r)], cwd=files, check=True,
                              env={**os.environ, 'OMP_NUM_THREADS': str(threads)}, stderr=subprocess.DEVNULL)
                wall = fastest(run, args.repeat)
                known = (r, args.direction) == (10, 't')
                row(str(size), str(r), str(threads), plain, wall, times_faster(plain, size, wall) if known else '-')


def machine_peak(threads):
    """Single-precision GFLOP/s of so many threads that do nothing but multiply and add in registers, best of five."""
    spin, rounds = compiled(PEAK, '-march=native').spin, 50_000_000
    spin.argtypes = [ctypes.c_int, ctypes.c_float, ctypes.c_void_p]

    def work(_):
        return spin(rounds, 1e-7, ctypes.byref(ctypes.c_float()))
    with ThreadPoolExecutor(threads) as pool:            # ctypes lets go of the lock
        seconds = fastest(lambda: list(pool.map(work, range(threads))), 5)
    return 2 * 12 * work(0) * threads * rounds / seconds / 1e9


def peak(args, folder, size=2048, r=10):
    """Print how much of the machine's peak the convolution reaches.

    All taps are counted, also those that are left out of variances because they do not matter: the image alone tells
    what the loops are worth.
    """
    import hotpants_cy as hp
    from hotpants_cy.inputs.noise import NoiseModel
    science, template = load(simulated(size, folder))
    kernel = hp.subtract(science, template, config=hp.HotpantsConfig(rkernel=r, force_convolve='t')).kernel
    row('planes', 'threads', 's', 'GFLOP/s', 'peak GFLOP/s', 'share')
    row(*['---'] * 6)
    for (n_planes, noise), threads in itertools.product([(1, None), (2, NoiseModel(1, 5))], args.threads):
        seconds = fastest(lambda n=threads, m=noise: kernel.convolve_planes(template, noise=m, n_threads=n), 5)
        speed = n_planes * 2 * (2 * r + 1)**2 * (size - 2 * r)**2 / seconds / 1e9
        limit = machine_peak(threads)
        row('image' if n_planes == 1 else 'image and variance', str(threads), seconds, speed, limit,
            f'{100 * speed / limit:.0f} %')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sizes', type=int, nargs='+', default=[512, 1024, 2048])
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--direction', choices=['t', 'i', 'b'], default='t', help='what to convolve; b: try both')
    parser.add_argument('--rkernel', type=int, nargs='+', default=[10], help='half widths of the kernel')
    parser.add_argument('--stamps', type=int, default=10, help='in x and in y')
    parser.add_argument('--repeat', type=int, default=3, help='the fastest of so many runs counts')
    parser.add_argument('--pairs', metavar='FOLDER', help='keep the simulated pairs there, and take what is there')
    parser.add_argument('--amdahl', action='store_true', help='also the share of serial time, from 1 and 2 threads')
    parser.add_argument('--peak', action='store_true', help="instead: the convolution's share of the machine's peak")
    parser.add_argument('--process', action='store_true', help='instead: the command line as a whole, with FITS files')
    parser.add_argument('--one', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.amdahl and not {1, 2} <= set(args.threads):
        parser.error('--amdahl needs --threads 1 2')
    if args.one:
        print(json.dumps(measure(args.one[0], int(args.one[1]), json.loads(args.one[2]))))
        return
    if args.pairs:
        Path(args.pairs).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        (peak if args.peak else processes if args.process else steps)(args, args.pairs or folder)


if __name__ == '__main__':
    main()
