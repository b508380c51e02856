#!/usr/bin/env python3
"""C HOTPANTS and hotpants-cy on the same files, in turn, as a Markdown table.

usage: python benchmarks/compare_with_c.py --hotpants PATH [--sizes 512 1024 2048 4096] [--threads 1 2] [--repeat 5]
                                           [--options "-c t"]

Each size is a simulated pair, one star per 40 x 40 pixels. A round runs the C program, then for each number of threads
``hotpants-cy`` and `hotpants_cy.subtract`; one round more warms up and is not counted. Programs are measured as whole
processes, from start to exit. `subtract` gets arrays that are in memory already, in a new process each time, whose
start, imports and reading count neither in its time nor, except for the two images, in its memory.

Numbers are medians over the rounds; ratios are taken within each round, and "from - to" are the lowest and the highest.
Above 1, they are in favour of hotpants_cy. Linux only.
"""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

# Nothing large is imported here, and pairs are simulated in a process of their own: to Linux, the peak memory of a
# process is never below that of the one that started it.

SCIENCE, TEMPLATE, DIFFERENCE = 'science.fits', 'template.fits', 'difference.fits'
COLUMNS = ('pixels', 'threads', 'hotpants_cy', 'C wall s', 'C CPU s', 'our wall s', 'our CPU s',
           'C CPU / our wall', 'from - to', 'C MiB', 'our MiB', 'C MiB / our MiB')


@dataclass
class Run:
    """What one run took: seconds, seconds of all threads, and MiB."""

    wall: float
    cpu: float
    peak: float


# -- what runs in a process of its own ----------------------------------------------------------------------------

def simulate(folder, size):
    """Write a pair to FITS files and print its largest pixel."""
    from astropy.io import fits

    from hotpants_cy.datasets import make_pair
    pair = make_pair((int(size), int(size)), seed=1)
    for name, image in ((SCIENCE, pair.science), (TEMPLATE, pair.template)):
        fits.writeto(Path(folder, name), image.data.astype('float32'), overwrite=True)
    print(json.dumps(max(float(image.data.max()) for image in (pair.science, pair.template))))


def subtract(folder, threads, flags):
    """Subtract the arrays of the files and print what that took."""
    from astropy.io import fits

    import hotpants_cy as hp
    from hotpants_cy.cli.options import config_of, parse
    config = config_of(parse(shlex.split(flags))).replace(parity=False)       # subtract's default
    before = memory('VmRSS')
    science, template = (fits.getdata(Path(folder, name), memmap=False).astype('float32')
                         for name in (SCIENCE, TEMPLATE))
    Path('/proc/self/clear_refs').write_text('5')                             # forget the peak so far
    cpu, wall = time.process_time(), time.perf_counter()
    hp.subtract(science, template, config=config, n_threads=int(threads))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps(asdict(Run(wall, cpu, memory('VmHWM') - before))))


def memory(key):
    """Memory of this process in MiB: VmRSS is what it has, VmHWM the most that it had."""
    return int(Path('/proc/self/status').read_text().split(f'{key}:')[1].split()[0]) / 1024


# -- running and measuring ----------------------------------------------------------------------------------------

def run(command, folder, threads=1):
    """Run a program to its end and measure it; return what it printed, too."""
    env = os.environ | {'OMP_NUM_THREADS': str(threads)}
    log = Path(folder, 'log')
    with log.open('wb') as output:
        start = time.perf_counter()
        try:
            process = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=subprocess.STDOUT)
        except OSError as error:
            raise SystemExit(f'error: {command[0]} cannot be run: {error.strerror}') from error
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = log.read_text(errors='replace').strip().splitlines() or ['it printed nothing']
    if process.returncode:
        raise SystemExit(f'error: {command[0]} failed with status {process.returncode}: {lines[-1]}')
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), lines[-1]


def run_program(command, folder, threads=1):
    """Run a program that must write the difference."""
    difference = Path(folder, DIFFERENCE)
    difference.unlink(missing_ok=True)
    measured, last_line = run(command, folder, threads)
    if not difference.exists():
        raise SystemExit(f'error: {command[0]} wrote no difference image: {last_line}')
    return measured


def run_here(function, folder, *args):
    """Call a function of this file in a new process and return what it printed."""
    command = [sys.executable, str(Path(__file__).resolve()), function.__name__, folder, *map(str, args)]
    return json.loads(run(command, folder)[1])


def measure(c_program, our_program, folder, size, threads, repeat, options):
    """Run everything in turn; return the runs of C, and of ours by threads and kind."""
    limit = f'{2 * run_here(simulate, folder, size):.0f}'                     # no pixel is saturated
    flags = ['-inim', SCIENCE, '-tmplim', TEMPLATE, '-outim', DIFFERENCE,
             '-tu', limit, '-tuk', limit, '-iu', limit, '-iuk', limit, *options]
    theirs, ours = [], {(n, kind): [] for n in threads for kind in ('command line', 'subtract()')}
    for _ in range(repeat + 1):
        theirs.append(run_program([c_program, *flags], folder))
        for n in threads:
            ours[n, 'command line'].append(run_program([our_program, *flags], folder, n))
            ours[n, 'subtract()'].append(Run(**run_here(subtract, folder, n, shlex.join(flags))))
    return theirs[1:], {row: runs[1:] for row, runs in ours.items()}


# -- printing -----------------------------------------------------------------------------------------------------

def row(size, threads, kind, theirs, ours):
    """Texts of one line of the table."""
    speed = [c.cpu / our.wall for c, our in zip(theirs, ours, strict=True)]
    memory_ratio = median(c.peak / our.peak for c, our in zip(theirs, ours, strict=True))
    seconds = [f'{median(getattr(r, name) for r in runs):.2f}' for runs in (theirs, ours) for name in ('wall', 'cpu')]
    peaks = [f'{median(r.peak for r in runs):.0f}' for runs in (theirs, ours)]
    return (str(size), str(threads), kind, *seconds, f'{median(speed):.2f}', f'{min(speed):.2f} - {max(speed):.2f}',
            *peaks, f'{memory_ratio:.2f}')


def print_line(cells):
    print('|', ' | '.join(cells), '|', flush=True)


def positive(text):
    """Read a whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number above zero')
    return int(text)


def program(path):
    """Full path of a program, or one sentence."""
    found = shutil.which(path)
    if not found:
        raise SystemExit(f'error: {path} is no program that can be run')
    return os.path.abspath(found)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--hotpants', required=True, metavar='PATH', help='the C program')
    parser.add_argument('--sizes', type=positive, nargs='+', default=[512, 1024, 2048, 4096])
    parser.add_argument('--threads', type=positive, nargs='+', default=[1, 2])
    parser.add_argument('--repeat', type=positive, default=5, help='rounds that count (%(default)s)')
    parser.add_argument('--options', type=shlex.split, default='-c t',
                        help='more flags for both programs, as --options="-c t" (%(default)s)')
    args = parser.parse_args()
    if not sys.platform.startswith('linux'):
        parser.error('memory is measured as Linux does it: there is nothing for other systems yet')
    c_program, our_program = program(args.hotpants), program(str(Path(sys.executable).with_name('hotpants-cy')))
    print(f'{c_program}, rounds: {args.repeat}, flags: {shlex.join(args.options)}\n')
    print_line(COLUMNS)
    print_line(['---'] * len(COLUMNS))
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            theirs, ours = measure(c_program, our_program, folder, size, args.threads, args.repeat, args.options)
        for (threads, kind), runs in ours.items():
            print_line(row(size, threads, kind, theirs, runs))


if __name__ == '__main__':
    functions = {function.__name__: function for function in (simulate, subtract)}
    if sys.argv[1:2] and sys.argv[1] in functions:
        functions[sys.argv[1]](*sys.argv[2:])
    else:
        main()
