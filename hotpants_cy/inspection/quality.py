"""Whether to believe a difference: measures, each with what is to be expected, and a verdict in words."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..stamps.substamp import SubstampStatus
from .expectations import EXPECTATIONS, GRADES
from .kernel_shape import kernel_shape
from .samples import mean_of, median_of, robust_width
from .sky import sample_sky
from .stars import sample_stars

__all__ = ['Measure', 'Quality', 'measure_quality']

FEWEST = 4            # stars that a scatter or a median is made of
SHARE = 0.25          # of the stars that the kernel was not fitted to, from which on they tell how good it is
UNMATCHED = 0.3       # part of a star's flux left in the difference from which on it is not the same star


@dataclass(frozen=True)
class Measure:
    """One number about a difference.

    Attributes
    ----------
    name : str
    value : float
        NaN where it could not be measured.
    expectation : (float, float) or str
        Lowest and highest value of a good difference.
    grade : {'good', 'usable', 'bad'}
    words : str
        What it is; of one that is not good, what that means and what to do.

    Examples
    --------
    >>> from hotpants_cy.inspection.quality import Measure
    >>> float(Measure('sky_width', 1.02, (0.8, 1.25), 'good', 'scatter of the sky over its noise'))
    1.02
    """

    name: str
    value: float
    expectation: Any
    grade: str
    words: str

    def __float__(self):
        return float(self.value)


@dataclass(frozen=True)
class Quality:
    """What was measured about a difference, and what follows.

    A measure is an attribute, ``quality.sky_width``, or an item, ``quality['sky_width']``.

    Attributes
    ----------
    measures : tuple of Measure

    Examples
    --------
    >>> from hotpants_cy import Hotpants, HotpantsConfig
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.quality import measure_quality
    >>> pair = make_pair((256, 256), seed=1)
    >>> hot = Hotpants(pair.template, pair.science, config=HotpantsConfig(ko=0))
    >>> quality = measure_quality(hot)
    >>> quality.sky_width.expectation, bool(0.9 < quality.sky_width.value < 1.1)
    ((0.8, 1.25), True)
    >>> quality.verdict, quality.reasons
    ('good', [])
    """

    measures: tuple

    def __getitem__(self, name):
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(name)

    def __getattr__(self, name):
        if not name.startswith('_') and name != 'measures':
            for measure in self.measures:
                if measure.name == name:
                    return measure
        raise AttributeError(f'{type(self).__name__!r} object has no attribute {name!r}')

    def __dir__(self):
        return [*super().__dir__(), *(measure.name for measure in self.measures)]

    @property
    def verdict(self):
        """The worst grade of any measure: 'good', 'usable' or 'bad'."""
        return max((measure.grade for measure in self.measures), key=GRADES.index)

    @property
    def reasons(self):
        """Why the verdict is not 'good': a list of a sentence for each measure that is not, the worst first."""
        faults = sorted((m for m in self.measures if m.grade != 'good'), key=lambda m: -GRADES.index(m.grade))
        return [measure.words for measure in faults]

    def to_table(self):
        """Table of the measures.

        Returns
        -------
        `~astropy.table.Table`
            Columns ``name``, ``value``, ``low``, ``high``, ``grade``, ``words``.

        Examples
        --------
        >>> from hotpants_cy.inspection.quality import Measure, Quality
        >>> quality = Quality((Measure('sky_width', 1.02, (0.8, 1.25), 'good', 'scatter of the sky over its noise'),))
        >>> quality.to_table().colnames
        ['name', 'value', 'low', 'high', 'grade', 'words']
        """
        from astropy.table import Table
        rows = [(m.name, float(m.value), *m.expectation, m.grade, m.words) for m in self.measures]
        return Table(rows=rows, names=('name', 'value', 'low', 'high', 'grade', 'words'),
                     dtype=(str, float, float, float, str, str))

    def cards(self):
        """Header cards.

        Returns
        -------
        dict
            ``(value, comment)`` by keyword: ``QVERDICT``, and ``Q...`` for each measure that there is.

        Examples
        --------
        >>> from hotpants_cy.inspection.quality import Measure, Quality
        >>> quality = Quality((Measure('sky_width', 1.02, (0.8, 1.25), 'good', 'scatter of the sky over its noise'),))
        >>> quality.cards()['QVERDICT'][0]
        'good'
        """
        cards = {'QVERDICT': (self.verdict, 'worth of the difference: good, usable or bad')}
        for m in self.measures:
            if np.isfinite(m.value):
                cards[EXPECTATIONS[m.name].keyword] = (float(f'{m.value:.6g}'), EXPECTATIONS[m.name].title)
        return cards

    def __repr__(self):
        faults = ''.join(f', {m.name} {m.grade}' for m in self.measures if m.grade != 'good')
        return f'<{type(self).__name__}: {self.verdict}, {len(self.measures)} measures{faults}>'

    def __str__(self):
        shown = [m for m in self.measures if EXPECTATIONS[m.name].prominent or m.grade != 'good']
        lines = [f'Verdict: {self.verdict}']
        for m in shown:
            e = _expectation(m)
            mark = '' if m.grade == 'good' else f'  <- {m.grade}'
            lines.append(f'  {e.title:<52s} {e.number(m.value):>8s}   expected: {e.range}{mark}')
        return '\n'.join(lines + [f'- {reason}' for reason in self.reasons])

    def _repr_html_(self):
        from ..cards import card
        rows = [(e.title, e.number(m.value), e.range, m.grade)
                for m, e in ((m, _expectation(m)) for m in self.measures)]
        return card(f'Quality: {self.verdict}', rows, head=('measure', 'value', 'expected', 'grade'),
                    notes=self.reasons)


def _expectation(measure):
    return replace(EXPECTATIONS[measure.name], good=measure.expectation)


def measure_quality(hot):
    """Measure how good a subtraction is, on samples of sky and stars that cost little.

    Parameters
    ----------
    hot : Hotpants
        Steps that have not run yet are run.

    Returns
    -------
    Quality
    """
    hot.assemble('difference')
    runs = hot.live_regions
    most = max(256 // len(runs), 16)
    skies = [sky for sky in (sample_sky(run, most) for run in runs) if sky is not None]
    values = sky_measures(skies)
    width = values['sky_width'] if np.isfinite(values['sky_width']) and values['sky_width'] > 0 else 1.0
    stars = [sample_stars(run, width, max(150 // len(runs), 15)) for run in runs]
    values |= star_measures(stars) | kernel_shape(runs) | count_measures(hot, runs)
    rules = rules_for(values, runs)
    return Quality(tuple(_judged(name, values[name], rule) for name, rule in rules.items()))


def _judged(name, value, rule):
    grade = rule.grade(value)
    return Measure(name, value, rule.good, grade, rule.words(value, grade))


def rules_for(values, runs):
    """The expectations, as far as they depend on the subtraction."""
    rules = dict(EXPECTATIONS)
    rules['stars_used'] = replace(rules['stars_used'], good=(max(enough_stars(run) for run in runs), math.inf))
    if values['stars_judged'] < FEWEST:              # too few to condemn a difference
        for name in ('star_residual', 'peak_residual', 'flux_scatter'):
            rules[name] = replace(rules[name], usable=(0.0, math.inf))
    if values['stars_seen'] < FEWEST:
        rules['unmatched'] = replace(rules['unmatched'], usable=(0.0, 1.0))
    if rules['star_residual'].grade(values['star_residual']) == 'good':
        rules['held_out'] = replace(rules['held_out'], good=(0.0, math.inf))       # little is left of any star
    if values['sharpening'] > rules['sharpening'].good[1]:
        rules['noise_gain'] = replace(rules['noise_gain'], usable=(0.0, 5.0))      # it is no noise that it follows
    return rules


def enough_stars(run):
    """Stars that determine a kernel well: two for each term of its variation, and five; none if it was given."""
    ko = run.fit.model.ko
    return float(max(5, (ko + 1) * (ko + 2))) if run.sides else 0.0


def sky_width(skies):
    """Scatter of the sky over its noise, of the boxes of all regions; NaN of none."""
    return median_of(np.concatenate([sky.width for sky in skies])) if skies else np.nan


def sky_measures(skies):
    """Numbers from the boxes of sky of all regions."""
    if not skies:
        return dict.fromkeys(('sky_width', 'sky_correlation', 'background', 'dead'), np.nan)

    def together(name):
        return np.concatenate([getattr(sky, name) for sky in skies])

    width = sky_width(skies)
    excess = np.concatenate([sky.correlation - sky.expected_correlation for sky in skies])
    medians = together('median')
    # a median scatters by pi / 2 more than a mean
    noise = np.pi / 2 * width**2 * np.concatenate([sky.variance_of_means / sky.pixels for sky in skies])
    spread = robust_width(medians)**2 + np.nanmedian(medians)**2 - np.nanmedian(noise)
    return {'sky_width': width, 'sky_correlation': median_of(excess),
            'background': float(np.sqrt(max(spread, 0)) / width) if width > 0 else np.nan,
            'dead': float(np.mean([sky.dead for sky in skies]))}


def star_measures(samples):
    """Numbers from the stars of all regions."""
    stars = {name: np.concatenate([getattr(sample, name) for sample in samples]) for name in vars(samples[0])}
    fitted = stars['fitted']
    gone = (np.abs(stars['flux_residual']) < UNMATCHED) & (stars['residual'] < UNMATCHED)
    unmatched = ~gone[~stars['saturated']]
    # what one image alone shows is no star to judge by, and what varies must not cancel
    good = ~stars['saturated'] & ~stars['varies'] & (stars['shared'] | gone)
    free = good & ~fitted
    if free.sum() < SHARE * good.sum():
        free[:] = False                        # a weighted fit has taken all but the odd ones
    judged = free if free.sum() >= FEWEST else good
    scatter = robust_width(stars['flux_residual'][good]) if good.sum() >= FEWEST else np.nan
    error = np.median(stars['flux_error'][good]) if good.any() else np.nan
    held_out = np.nan
    if free.sum() >= FEWEST and (good & fitted).sum() >= FEWEST:
        # one per cent is nothing to argue about
        held_out = math.hypot(median_of(stars['residual'][free]), 0.01) / math.hypot(
            median_of(stars['residual'][good & fitted]), 0.01)
    return {
        'chi2_fitted': median_of(stars['chi2'][fitted]), 'chi2_fitted_mean': mean_of(stars['chi2'][fitted]),
        'chi2_other': median_of(stars['chi2'][free]), 'chi2_other_mean': mean_of(stars['chi2'][free]),
        'star_residual': median_of(stars['residual'][judged]),
        'peak_residual': median_of(stars['peak_residual'][judged]),
        'flux_scatter': float(np.sqrt(max(scatter**2 - error**2, 0))), 'held_out': held_out,
        'unmatched': mean_of(unmatched), 'saturated': float(np.sum(stars['saturated'] & fitted)),
        'sharpening': median_of(stars['sharpening'][good]), 'stars_seen': float(len(unmatched)),
        'stars_judged': float(good.sum()),
    }


def count_measures(hot, runs):
    """Numbers of stars, pixels and regions."""
    found = [s.status for run in runs for s in run.substamps(run.direction)]
    used = min(run.fit.n_used for run in runs)
    total = sum(run.fit.n_used for run in runs)
    refused = sum(status == SubstampStatus.REJECTED_ITERATIVE_FIT for status in found)
    masked, pixels = 0, 0
    for run in hot.regions:
        rows, columns = run.region.output
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        pixels += area
        masked += area if run.error is not None else _masked_fraction(run) * area
    return {'stars_used': float(used), 'stars_refused': refused / max(refused + total, 1),
            'masked': masked / pixels, 'regions_failed': float(len(hot.regions) - len(runs))}


def _masked_fraction(run):
    """Fraction of bad pixels inside the frame that no kernel reaches."""
    from ..inputs.bits import Bits
    half, (ny, nx) = run.fit.model.half_width, run.region.shape
    rows, columns = run.region.inner
    flags = run.products.flags[max(rows.start, half):min(rows.stop, ny - half),
                               max(columns.start, half):min(columns.stop, nx - half)]
    return float(np.mean((flags & Bits.OUTPUT_ISBAD) != 0)) if flags.size else 1.0
