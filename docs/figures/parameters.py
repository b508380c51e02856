"""What parameters do to a difference: prints the table of "Parameters".

``OMP_NUM_THREADS=1 python docs/figures/parameters.py > docs/user_guide/parameters_measured.inc`` takes some minutes.
"""

import sys
import warnings
from dataclasses import dataclass

import numpy as np

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

PLAIN = {'force_convolve': 't', 'ko': 1, 'nstampx': 12, 'nstampy': 12, 'tuthresh': 55_000, 'iuthresh': 55_000}
CHANGES = (
    {}, {'force_convolve': 'i'}, {'tuthresh': None, 'iuthresh': None},
    {'sigma_gauss': (0.5, 1.0, 2.0)}, {'sigma_gauss': (1.5, 3.0, 6.0)}, {'sigma_gauss': (3.0, 6.0, 12.0)},
    {'deg_fixe': (4, 2, 2)}, {'rkernel': 3}, {'rkernel': 6}, {'rkernel': 15},
    {'ko': 0}, {'ko': 2}, {'ko': 3}, {'bgo': 0}, {'bgo': 2},
    {'nstampx': 6, 'nstampy': 6}, {'nstampx': 20, 'nstampy': 20}, {'fitthresh': 100.0}, {'nss': 1},
    {'rss': 10}, {'rss': 25}, {'ks': 1.5}, {'ks': 4.0},
    {'weights': True, 'robust': 'tukey'}, {'stars': 'auto'}, {'config': 'auto'},
)
SEEDS = range(12)
SHAPE, N_VARIABLE = (800, 800), 30
HEAD = 'changed', 'stars used', 'flux left %', 'peak left %'


@dataclass
class Case:
    """A pair with noise, the same scene without, and the constant stars that are looked at."""

    pair: object
    scene: object
    stars: object

    @classmethod
    def of(cls, seed):
        """Simulate; some stars vary, some are saturated."""
        options = {'seed': seed, 'variation': 0.1, 'n_transients': 0, 'saturation': 60_000.0, 'n_saturated': 4}
        pair, scene = make_pair(SHAPE, **options), make_pair(SHAPE, noise=False, **options)
        flux, rng = pair.stars['flux'].value, np.random.default_rng(seed)
        xy = np.column_stack([pair.stars['x'], pair.stars['y']])
        variable = rng.choice(np.flatnonzero((flux > 8e3) & (flux < 2e5)), N_VARIABLE, replace=False)
        extra = pair.stars[variable]
        extra['flux'] = extra['flux'] * rng.uniform(-0.4, 0.4, N_VARIABLE) * pair.kernel_sum
        pair.science.data += pair.science_psf.image(SHAPE, extra).astype(np.float32)
        odd = xy[np.union1d(variable, np.flatnonzero(flux > 4e5))]
        apart = np.min(np.hypot(*(xy[:, np.newaxis] - odd).transpose(2, 0, 1)), axis=1) > 25
        inside = (xy.min(axis=1) > 40) & (xy.max(axis=1) < SHAPE[0] - 41)
        return cls(pair, scene, pair.stars[apart & inside & (flux > 2e4)])

    def measure(self, change):
        """Stars used, what is left of flux and peak in per cent, with a change of the plain parameters."""
        result = hp.subtract(self.pair.science, self.pair.template, **arguments(change), n_threads=1)
        images = {'t': self.scene.template, 'i': self.scene.science}
        source, target = images[result.direction].data, images['ti'[result.direction == 't']].data
        left = target - result.kernel.apply(source, background=True)
        fluxes, peaks = self._left(left, target)
        used = np.count_nonzero(result.substamps['status'] == 'USED_IN_FINAL_FIT')
        return used, 100 * fluxes, 100 * peaks

    def _left(self, left, target):
        """Root mean square of the flux, and median of the largest pixel, that stars leave without any noise."""
        from photutils.aperture import CircularAperture, aperture_photometry
        sky = np.median(target)
        xy = np.column_stack([self.stars['x'], self.stars['y']])
        circles = CircularAperture(xy, 8)
        sums, wholes = (np.asarray(aperture_photometry(np.nan_to_num(plane), circles)['aperture_sum'])
                        for plane in (left, target - sky))
        boxes = [np.s_[round(y) - 4:round(y) + 5, round(x) - 4:round(x) + 5] for x, y in xy]
        peaks = [np.nanmax(np.abs(left[box])) / (target[box].max() - sky) for box in boxes]
        return np.sqrt(np.mean((sums / wholes)**2)), np.median(peaks)


def arguments(change):
    """Arguments of ``subtract`` with a change of the plain ones."""
    values = PLAIN | change
    given = {name: values.pop(name) for name in ('config', 'stars') if name in values}
    return given if 'config' in given else {'config': hp.HotpantsConfig(**values)} | given


def name_of(change):
    """The change in words."""
    return ', '.join(f'``{name}={value!r}``' for name, value in change.items()) or 'nothing'


def main():
    """Print the table, means over the pairs; on stderr the errors of these means."""
    warnings.simplefilter('ignore', hp.HotpantsWarning)
    cases = [Case.of(seed) for seed in SEEDS]
    sys.stdout.write('.. list-table::\n   :header-rows: 1\n   :widths: 40 20 20 20\n\n')
    write(HEAD)
    for change in CHANGES:
        rows = np.array([case.measure(change) for case in cases])
        used, flux, peak = rows.mean(axis=0)
        write((name_of(change), f'{used:.0f}', f'{flux:.2f}', f'{peak:.2f}'))
        spread = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
        sys.stderr.write(f'{name_of(change)}: errors of the means {spread[1]:.2f}, {spread[2]:.2f}\n')


def write(cells):
    """Write a row of the table."""
    sys.stdout.write('\n'.join(f'   {"* -" if k == 0 else "  -"} {cell}' for k, cell in enumerate(cells)) + '\n')
    sys.stdout.flush()


if __name__ == '__main__':
    main()
