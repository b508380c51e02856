"""Where the stars come from: the search of HOTPANTS, photutils, a catalogue; same scenes, same parameters.

    python benchmarks/seeding.py 0:128            # scenes; prints a table
"""
import argparse
import warnings

import numpy as np
from compare_settings import judged
from scenes import scene

import hotpants_cy as hp
from hotpants_cy.datasets import positions_of

NEAR = 2.0          # pixels between a star used and a true one


def sources(s):
    """The values of ``stars`` that are compared, by name; a catalogue has the true positions, the variables too."""
    return {'search': None, 'photutils': 'auto', 'catalogue': positions_of(s.pair.stars)}


def variables_used(s, result):
    """How many of the stars used vary, and how many there are."""
    used = result.substamps[result.substamps['status'] == 'USED_IN_FINAL_FIT']
    truth = positions_of(s.pair.stars)[s.variable_ids]
    if not len(truth) or not len(used):
        return 0, len(used)
    gap = np.hypot(*(np.column_stack([used['x'], used['y']])[:, np.newaxis] - truth).transpose(2, 0, 1))
    return int(np.sum(gap.min(axis=1) < NEAR)), len(used)


def one(s, stars, config):
    """Chi2 of the held-out stars, stars used, and variables among them; infinite where it fails."""
    try:
        result = hp.subtract(s.pair.science, s.pair.template, config=config, stars=stars, n_threads=1)
    except hp.HotpantsError:
        return np.inf, 0, 0
    varying, used = variables_used(s, result)
    return float(judged(s, result)['chi2']), used, varying


def main():
    """Print what each source of stars does over the scenes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('scenes', nargs='?', default='0:128', help='first:end (%(default)s)')
    first, end = map(int, parser.parse_args().scenes.split(':'))
    rows = {name: [] for name in ('search', 'photutils', 'catalogue')}
    for number in range(first, end):
        s = scene(number)
        try:
            config = hp.HotpantsConfig.auto(s.pair.science, s.pair.template, n_threads=1)
        except hp.HotpantsError:
            continue
        for name, stars in sources(s).items():
            rows[name].append(one(s, stars, config))
    best = np.min([[row[0] for row in of] for of in rows.values()], axis=0)
    print('stars, scenes, failed, within 5 % of the best, median chi2, stars used, variables kept per cent')
    for name, of in rows.items():
        chi2, used, varying = np.array(of).T
        print(f'{name}, {len(of)}, {np.sum(~np.isfinite(chi2))}, {np.mean(chi2 <= 1.05 * best):.3f}, '
              f'{np.median(chi2):.3f}, {used.mean():.0f}, {100 * varying.sum() / used.sum():.1f}')


if __name__ == '__main__':
    warnings.simplefilter('ignore')
    main()
