"""Tables of what `compare_settings.py` has measured."""
import csv
import math

import numpy as np
from scenes import properties

EXACT = 1.05            # within 5 % of the best counts as the best
#: Kinds of scenes, by their properties; a scene can be of several.
KINDS = {'all': lambda p: True,
         'FWHM below 2': lambda p: max(p['fwhm'], p['template_fwhm']) < 2,
         'FWHM above 6': lambda p: max(p['fwhm'], p['template_fwhm']) > 6,
         'PSFs alike': lambda p: 0.93 < p['template_fwhm'] / p['fwhm'] < 1.07,
         'template broader': lambda p: p['template_fwhm'] > 1.15 * p['fwhm'],
         'below 100 stars': lambda p: p['stars'] < 100,
         'above 1000 stars': lambda p: p['stars'] > 1000,
         '10 % or more vary': lambda p: p['variable'] > 0.1,
         'PSF varies by 8 % or more': lambda p: max(p['variation'], p['template_variation']) > 0.08,
         'elliptical': lambda p: np.hypot(*p['shear']) > 0.04,
         'galaxies': lambda p: p['galaxies'] > 10,
         'faults': lambda p: p['faults'] > 0.5,
         'sky gradient': lambda p: p['gradient'] > 0.03,
         'no uncertainties': lambda p: p['inputs'] == 'bare',
         'sky-subtracted': lambda p: p['subtracted']}


def read(path):
    """Rows of the CSV, numbers as numbers."""
    if not path.exists():
        return []
    with open(path, newline='') as file:
        return [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _number(text):
    try:
        return float(text)
    except ValueError:
        return text


def table(rows, metric, names):
    """Values by scene and setting, infinite where it failed; scenes that a setting has not been run on are left out."""
    scenes = {}
    for row in rows:
        if row['setting'] in names and (row[metric] != '' or row['error']):
            scenes.setdefault(row['scene'], {})[row['setting']] = math.inf if row[metric] == '' else row[metric]
    return {scene: values for scene, values in scenes.items() if len(values) == len(names)}


def summary(scenes, names):
    """One line per setting: how often it is among the best, how far it is from the best, how often it fails alone."""
    lines = []
    for name in names:
        ratios = ratios_to_best(scenes.values(), name)
        others = [min((v for k, v in values.items() if k != name), default=math.inf) for values in scenes.values()]
        alone = sum(math.isinf(values[name]) and best < math.inf for values, best in zip(scenes.values(), others,
                                                                                         strict=True))
        near = np.mean([values[name] <= EXACT * best for values, best in zip(scenes.values(), others, strict=True)])
        lines.append({'setting': name, 'scenes': len(scenes), 'within 5 % of the best other': near,
                      'median ratio to the best': np.median(ratios), '90 % ratio': np.quantile(ratios, 0.9,
                                                                                              method='higher'),
                      'failed where another did not': alone})
    return lines


def ratios_to_best(scenes, name):
    """Value of one setting over the least of all, in scenes that anyone can do."""
    return np.array([values[name] / min(values.values()) for values in scenes if min(values.values()) < math.inf])


def against(scenes, names, base='plain'):
    """One line per setting: its values over those of one of them, over all scenes that this one can do."""
    lines = []
    for name in names:
        ratios = np.array([v[name] / v[base] for v in scenes.values() if v[base] < math.inf])
        low, middle, high = np.quantile(ratios, [0.1, 0.5, 0.9], method='higher')
        lines.append({'setting': name, 'scenes': len(ratios), '10 %': low, 'median': middle, '90 %': high,
                      'worse by 5 %': np.mean(ratios > EXACT), 'better by 5 %': np.mean(ratios < 1 / EXACT)})
    return lines


def by_kind(scenes, names):
    """Median ratio to the best of each setting, for kinds of scenes."""
    lines = []
    for kind, holds in KINDS.items():
        some = [values for number, values in scenes.items() if holds(properties(int(number)))]
        if some:
            lines.append({'scenes': kind, 'number': len(some)} | {
                name: np.median(ratios_to_best(some, name)) for name in names})
    return lines


def show(title, lines):
    """Print lines as the rows of a csv-table."""
    print(f'\n{title}\n')
    if lines:
        print(', '.join(lines[0]))
    for line in lines:
        print(', '.join(v if isinstance(v, str) else f'{v:.3g}' for v in line.values()))
