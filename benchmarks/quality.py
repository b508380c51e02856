#!/usr/bin/env python3
"""Quality of subtractions: methods of this package and others, on scenes of known truth and on real pairs.

Every line of the CSV is one method on one scene with one seed; what is there is not run again. The tables have the mean
over the seeds and its standard error. ``--quick`` takes two minutes, ``--tables FOLDER`` writes those of the docs.
"""
import argparse
import csv
import logging
import math
import warnings
from pathlib import Path

import numpy as np
from quality_measures import completeness, measure
from quality_methods import METHODS
from quality_real import NAMES as REAL
from quality_real import measure_real
from quality_scenes import SCENES, make_scene

ALLOWED = 5             # false peaks per megapixel at which completeness is compared
COLUMNS = ('scene', 'seed', 'method', 'ksum', 'width_bright', 'chi2', 'chi2_held_out', 'peak_residual', 'sky_mean',
           'sky_width', 'score_width', 'lag1', 'lag2', 'lag3', 'white1', 'white2', 'white3', 'boxes', 'boxes_noise',
           'boxes_ratio', 'maxima', 'minima', 'flux_bias', 'recovered_bias', 'pull_mean', 'pull_width', 'seconds',
           'memory', 'kept', 'used', 'megapixels', 'seen', 'false', 'error')
SHOWN = {               # title, factor, digits of the numbers in the tables
    'ksum': ('kernel sum, error in %', 100, 2), 'width_bright': ('width near bright stars', 1, 3),
    'chi2': ('chi2 of stars', 1, 3), 'chi2_held_out': ('chi2 of held-out stars', 1, 3),
    'peak_residual': ('residual over peak in %', 100, 2), 'sky_mean': ('mean of the sky over sigma', 1, 4),
    'sky_width': ('width of the sky', 1, 3), 'score_width': ('width of the score', 1, 3),
    'lag1': ('autocorrelation at lag 1', 1, 3), 'lag2': ('lag 2', 1, 3), 'lag3': ('lag 3', 1, 3),
    'white1': ('whitened, lag 1', 1, 3), 'white2': ('lag 2', 1, 3), 'white3': ('lag 3', 1, 3),
    'boxes_ratio': ('boxes over noise alone', 1, 3), 'boxes': ('boxes, e-', 1, 3), 'maxima': ('false maxima', 1, 1),
    'minima': ('false minima', 1, 1), 'flux_bias': ('flux bias in %', 100, 2),
    'recovered_bias': ('recovered flux in %', 100, 2), 'pull_mean': ('mean pull', 1, 2),
    'pull_width': ('width of pulls', 1, 2), 'completeness': ('found in %', 100, 1),
    'seconds': ('CPU seconds', 1, 2), 'memory': ('MB', 1, 0)}
BY_METHOD = ('ksum', 'width_bright', 'chi2_held_out', 'sky_mean', 'boxes_ratio', 'maxima', 'minima', 'flux_bias',
             'score_width', 'completeness', 'seconds', 'memory')
BY_SCENE = ('ksum', 'width_bright', 'chi2_held_out', 'boxes_ratio', 'score_width', 'completeness', 'flux_bias')
NOISE = ('peak_residual', 'sky_width', 'lag1', 'lag2', 'lag3', 'white1', 'white2', 'white3', 'recovered_bias',
         'pull_mean', 'pull_width')
OF_SCORE = 'score_width', 'completeness'          # all that 'score' differs in from 'C defaults'
OF_REAL = ('chi2_held_out', 'sky_mean', 'sky_width', 'score_width', 'lag1', 'white1', 'recovered_bias', 'pull_mean',
           'pull_width', 'completeness', 'seconds')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--scenes', nargs='+', default=list(SCENES), choices=[*SCENES, *REAL], metavar='SCENE',
                        help=', '.join([*SCENES, *REAL]))
    parser.add_argument('--real', action='store_true', help='the real pairs instead')
    parser.add_argument('--methods', nargs='+', default=list(METHODS), choices=list(METHODS), metavar='METHOD',
                        help=', '.join(METHODS))
    parser.add_argument('--seeds', type=int, default=10, help='of each scene; a quarter of that for large ones')
    parser.add_argument('--quick', action='store_true', help='three small scenes, two seeds, no peers')
    parser.add_argument('--output', type=Path, default=Path(__file__).with_name('quality.csv'), help='CSV that grows')
    parser.add_argument('--again', nargs='*', default=[], metavar='METHOD', help='run these again')
    parser.add_argument('--tables', type=Path, help='only write the tables of the docs, into this folder')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    scenes, seeds = REAL if args.real else args.scenes, args.seeds
    if args.quick:
        scenes, seeds = ['issue 512', 'variable 20', 'galaxies'], 2
        args.methods = [m for m in args.methods if m not in ('SFFT', 'properimage', 'photutils')]
        args.output = Path('/tmp/quality_quick.csv')
    if not args.tables:
        campaign(scenes, args.methods, seeds, args.output, args.again)
    rows = list({(r['scene'], r['seed'], r['method']): r for r in read(args.output)}.values())
    if args.tables:
        write_tables(rows, args.tables)
    else:
        show(rows, scenes)


def campaign(scenes, methods, seeds, output, again):
    """Run what is missing, one after the other; seed after seed, so that all scenes have some early."""
    done = {(r['scene'], int(r['seed']), r['method']) for r in read(output) if r['method'] not in again}
    new = not output.exists()
    with open(output, 'a', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, COLUMNS, restval='', extrasaction='ignore', lineterminator='\n')
        if new:
            writer.writeheader()
        for seed in range(seeds):
            for name in scenes:
                todo = [m for m in methods if (name, seed, m) not in done]
                large = name in SCENES and SCENES[name].size > 1000
                if not todo or (large and seed >= max(2, seeds // 4)) or (name in REAL and seed >= max(1, seeds // 3)):
                    continue
                scene = None if name in REAL else make_scene(name, seed)
                for method in todo:
                    row = attempt(scene, METHODS[method]) if scene else attempt_real(name, seed, METHODS[method])
                    writer.writerow({'scene': name, 'seed': seed, 'method': method} | {
                        k: f'{v:.5g}' if isinstance(v, float) else v for k, v in row.items()})
                    file.flush()


def attempt(scene, method):
    """Numbers of a method, an error among them."""
    try:
        return measure(scene, method(scene))
    except Exception as error:                  # whatever it is, it is a failure of that method
        return {'error': f'{type(error).__name__}: {error}'[:200]}


def attempt_real(name, seed, method):
    """The same for a real pair."""
    try:
        return measure_real(name, seed, method)
    except Exception as error:
        return {'error': f'{type(error).__name__}: {error}'[:200]}


def read(path):
    """Lines of a CSV, as dictionaries of texts."""
    if not path.exists():
        return []
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


# -- tables ---------------------------------------------------------------------------------------

def entry(rows, metric):
    """Mean and standard error over the seeds, as text."""
    _, factor, digits = SHOWN[metric]
    if metric == 'completeness':
        rows = [r for r in rows if r['megapixels']]
        value, error, _ = completeness(rows, ALLOWED) if rows else (math.nan, math.nan, 0)
    else:
        values = np.array([float(r[metric]) for r in rows if r.get(metric) not in (None, '')])
        values = values[np.isfinite(values)]
        value = values.mean() if len(values) else math.nan
        error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    if not math.isfinite(value):
        return ''
    texts = [f'{factor * v:.{digits}f}' if abs(factor * v) < 1000 or metric == 'memory' else f'{factor * v:.0e}'
             for v in (value, error) if math.isfinite(v)]
    return ' ± '.join(texts)


def by_method(rows, scene, metrics):
    """Table of one scene: a line for each method."""
    lines = [['method', *(SHOWN[m][0] for m in metrics), 'failed']]
    for method in METHODS:
        some = [r for r in rows if r['scene'] == scene and r['method'] == method]
        if some:
            failed = sum(bool(r['error']) for r in some)
            lines.append([method, *(entry(some, m) for m in metrics), f'{failed} of {len(some)}' if failed else ''])
    kept = [k for k, column in enumerate(zip(*lines, strict=True)) if any(column[1:])]
    return [[line[k] for k in kept] for line in lines]


def by_scene(rows, metric):
    """Table of one number: a line for each scene, a column for each method."""
    methods = [m for m in METHODS if any(r['method'] == m and entry([r], metric) for r in rows)
               and (m != 'score' or metric in OF_SCORE)]
    lines = [['scene', *methods]]
    for scene in SCENES:
        some = [r for r in rows if r['scene'] == scene]
        if some:
            lines.append([scene, *(entry([r for r in some if r['method'] == m], metric) for m in methods)])
    return lines


def show(rows, scenes):
    """Print what was measured."""
    for scene in scenes:
        if any(r['scene'] == scene for r in rows):
            print_table(scene, by_method(rows, scene, OF_REAL if scene in REAL else BY_METHOD))
            if scene in SCENES:
                print_table(f'{scene}: noise', by_method(rows, scene, NOISE))


def print_table(title, lines):
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print(f'\n{title}')
    for line in lines:
        print('  '.join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def write_tables(rows, folder):
    """Write the tables as csv-tables of reStructuredText."""
    simulated = [r for r in rows if r['scene'] in SCENES]
    sizes = 'issue 512', 'issue 2048', 'issue 4096'
    files = {'issue': [(scene, by_method(rows, scene, BY_METHOD)) for scene in sizes],
             'noise': [(scene, by_method(rows, scene, NOISE)) for scene in sizes],
             'scenes': [(SHOWN[m][0], by_scene(simulated, m)) for m in BY_SCENE],
             'real': [(scene, by_method(rows, scene, OF_REAL)) for scene in REAL]}
    for name, tables in files.items():
        text = ''
        for title, lines in tables:
            if len(lines) > 1:
                text += f'.. csv-table:: {title}\n   :header-rows: 1\n\n'
                text += ''.join('   ' + ', '.join(c.replace(',', ';') for c in line) + '\n' for line in lines)
                text += '\n'
        if text:
            (folder / f'quality_{name}.inc').write_text(text.rstrip('\n') + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
