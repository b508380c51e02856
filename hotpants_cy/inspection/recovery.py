"""What a subtraction made of sources put in: how many it shows, and how right their fluxes and errors are."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from astropy.table import QTable

from ..checks import checked, rising
from ..words import counted
from .samples import mean_of

__all__ = ['Recovery']


@dataclass(frozen=True, eq=False, repr=False)
class Recovery:
    """Sources put in, and what was found of them.

    Attributes
    ----------
    table : `~astropy.table.QTable`
        A row for each source: ``x``, ``y``; ``true_flux``; ``flux`` and ``flux_err``, measured at that position, on the
        scale of the image that it was put into; ``pull``, their difference over the error; ``snr``, the true flux over
        the error; ``detected``. NaN where the difference cannot be measured.
    false : `~astropy.table.QTable`
        Candidates at none of the sources, as from ``result.find_candidates()``.
    threshold : float
    megapixels : float
        Of the difference that were searched, in millions.

    Examples
    --------
    `~hotpants_cy.recovery` makes one; here it is made by hand:

    >>> from astropy.table import QTable
    >>> from hotpants_cy.inspection.recovery import Recovery
    >>> table = QTable({'true_flux': [900.0, 400.0], 'flux': [930.0, 370.0], 'flux_err': [100.0, 100.0],
    ...                 'pull': [0.3, -0.3], 'snr': [9.0, 4.0], 'detected': [True, False]})
    >>> found = Recovery(table, false=QTable(), threshold=5.0, megapixels=0.06)
    >>> found.completeness, round(found.flux_bias, 4)
    (0.5, 0.0155)
    >>> found.completeness_by_snr([3, 5, 20])['sources', 'detected'].pformat()[2:]
    ['      1        0', '      1        1']
    """

    table: QTable
    false: QTable
    threshold: float
    megapixels: float

    @property
    def _measured(self):
        return self.table[np.isfinite(self.table['pull'])]

    @property
    def completeness(self):
        """Part of the sources that was detected, of those that could be measured."""
        return mean_of(self._measured['detected'])

    def completeness_by_snr(self, edges=(0, 3, 4, 5, 6, 8, 12, np.inf)):
        """Completeness for ranges of the signal-to-noise ratio.

        Parameters
        ----------
        edges : sequence of float, optional
            Limits of the ranges, rising.

        Returns
        -------
        `~astropy.table.QTable`
            ``low``, ``high``; ``sources`` and how many of them were ``detected``; ``completeness`` and its ``error``,
            half of the interval (Wilson) that has the truth with 68 per cent. NaN where there is no source.
        """
        edges = checked('edges', edges, rising())
        snr, detected = (np.asarray(self._measured[name]) for name in ('snr', 'detected'))
        inside = [(snr >= low) & (snr < high) for low, high in pairwise(edges)]
        n, k = (np.array([np.sum(part & some) for part in inside], int) for some in (True, detected))
        with np.errstate(invalid='ignore', divide='ignore'):
            part = k / n
            error = np.where(n > 0, np.sqrt(part * (1 - part) / n + 0.25 / n**2) / (1 + 1 / n), np.nan)
        return QTable({'low': np.array(edges[:-1], float), 'high': np.array(edges[1:], float), 'sources': n,
                       'detected': k, 'completeness': part, 'error': error})

    @property
    def flux_bias(self):
        """Mean of measured over true flux, minus 1, weighted with the errors."""
        return self._bias[0]

    @property
    def flux_bias_err(self):
        """Standard error of `flux_bias`; by the scatter, if that is larger than the errors tell."""
        return self._bias[1]

    @property
    def _bias(self):
        rows = self._measured
        snr, pull = np.asarray(rows['snr']), np.asarray(rows['pull'] * np.sign(rows['true_flux']))
        total = np.sum(snr**2)
        if not total > 0:
            return math.nan, math.nan
        bias = float(np.sum(snr * pull) / total)
        scatter = np.sqrt(np.mean((pull - bias * snr)**2))
        return bias, float(max(1.0, scatter) / np.sqrt(total))

    @property
    def pull_mean(self):
        """Mean of the pulls; its standard error is `pull_width` over the root of their number."""
        return mean_of(self._measured['pull'])

    @property
    def pull_width(self):
        """Standard deviation of the pulls: 1 if the errors are right. NaN of a single one."""
        pull = np.asarray(self._measured['pull'])
        return float(np.std(pull, ddof=1)) if len(pull) > 1 else math.nan

    @property
    def pull_width_err(self):
        """Standard error of `pull_width`, for Gaussian pulls."""
        return self.pull_width / math.sqrt(2 * max(len(self._measured) - 1, 1))

    @property
    def false_per_megapixel(self):
        """Candidates that are none of the sources, per million pixels."""
        return len(self.false) / self.megapixels if self.megapixels else math.nan

    def __repr__(self):
        n, detected = len(self._measured), int(np.sum(self._measured['detected']))
        lost = f', {len(self.table) - n} cannot be measured' if n < len(self.table) else ''
        return (f'<Recovery: {detected} of {counted(n, "source")} detected at {self.threshold:g} sigma{lost}; '
                f'flux {100 * self.flux_bias:+.2f} +- {100 * self.flux_bias_err:.2f} %; '
                f'pulls {self.pull_mean:+.2f} +- {self.pull_width / math.sqrt(max(n, 1)):.2f}, '
                f'width {self.pull_width:.2f} +- {self.pull_width_err:.2f}; '
                f'{self.false_per_megapixel:.1f} false detections per megapixel>')
