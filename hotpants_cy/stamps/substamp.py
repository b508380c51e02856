"""A substamp: one star that the kernel is fitted to, and what became of it."""

import enum
from dataclasses import dataclass, field

import numpy as np

from .statistics import SectionStatistics

__all__ = ['Stamp', 'Substamp', 'SubstampStatus', 'substamp_table']


class SubstampStatus(enum.Enum):
    """What became of a substamp.

    One of ``FOUND``, ``PASSED_FOM_CHECK``, ``REJECTED_FOM_CHECK``, ``USED_IN_FINAL_FIT``, ``REJECTED_ITERATIVE_FIT``
    and ``REFUSED``; the value of each says it in words.

    Examples
    --------
    >>> from hotpants_cy import SubstampStatus
    >>> SubstampStatus['USED_IN_FINAL_FIT'].value
    'used in the final fit'
    """

    FOUND = 'found'
    PASSED_FOM_CHECK = 'passed the direction test'
    REJECTED_FOM_CHECK = 'rejected by the direction test'
    USED_IN_FINAL_FIT = 'used in the final fit'
    REJECTED_ITERATIVE_FIT = 'rejected by the final fit'
    REFUSED = 'refused before any fit'


@dataclass
class Substamp:
    """One star cutout.

    Attributes
    ----------
    id : int
        Number of the substamp among those found in its image, from 0.
    stamp_group_id : int
        Number of the stamp (grid cell) that it belongs to.
    x, y : int
        Centre in pixels of the image, 0-based.
    score : float
        Sum of its significant pixels, by which it was ranked.
    direction : {'t', 'i'}
        The image that it was found in, and that would be convolved: the template or the science image.
    status : SubstampStatus
    reason : str
        Why it was rejected.
    merit : float or None
        Figure of merit in the last fit that it took part in: residual over variance for ``fom='v'``.
    kernel_sum : float or None
        Sum of the kernel fitted to it alone, in the direction test.
    chi2 : float or None
        Mean of (difference / noise)^2 over it, in the final difference.

    Examples
    --------
    >>> from hotpants_cy import Hotpants, HotpantsConfig
    >>> from hotpants_cy.datasets import make_pair
    >>> pair = make_pair((256, 256), seed=1)
    >>> hot = Hotpants(pair.template, pair.science, config=HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    >>> solution, used = hot.iterative_fit_and_clip()
    >>> star = used[0]
    >>> star.status.name, list(star.fit_results['t'])
    ('USED_IN_FINAL_FIT', ['fom', 'chi2'])
    >>> star.image_cutout.shape, star.template_cutout.shape, star.noise_variance_cutout.shape
    ((31, 31), (31, 31), (31, 31))
    >>> star.convolved_model_local.shape, star.convolved_model_global.shape
    ((31, 31), (31, 31))
    >>> star.basis_vectors.shape, star.local_kernel_solution.shape
    ((49, 31, 31), (50,))
    """

    id: int
    stamp_group_id: int
    x: int
    y: int
    score: float = 0.0
    direction: str = 't'
    status: SubstampStatus = SubstampStatus.FOUND
    reason: str = ''
    merit: float | None = None
    kernel_sum: float | None = None
    chi2: float | None = None
    closeup: object = field(default=None, repr=False, compare=False)

    @property
    def image_cutout(self):
        """Pixels of the science image, float32 (size, size)."""
        return self.closeup.cutout('science', self)

    @property
    def template_cutout(self):
        """Pixels of the template, float32 (size, size)."""
        return self.closeup.cutout('template', self)

    @property
    def noise_variance_cutout(self):
        """Sum of the variances of both images, not convolved, float32 (size, size)."""
        return self.closeup.noise_variance(self)

    @property
    def basis_vectors(self):
        """The convolved image once per basis function, float64 (n, size, size)."""
        return self.closeup.basis_vectors(self)

    @property
    def fit_results(self):
        """Merit and chi2 by direction, as far as they are known."""
        return {} if self.merit is None else {self.direction: {'fom': self.merit, 'chi2': self.chi2}}

    @property
    def local_kernel_solution(self):
        """Coefficients of the kernel fitted to this substamp alone, and its background; None if singular."""
        return self.closeup.local_solution(self)

    @property
    def convolved_model_local(self):
        """The substamp convolved with its own kernel, with background, float32 (size, size)."""
        return self.closeup.local_model(self)

    @property
    def convolved_model_global(self):
        """The substamp convolved with the fitted kernel, with background, float32 (size, size); None before the fit."""
        return self.closeup.global_model(self)


@dataclass
class Stamp:
    """A grid cell that holds substamps, of which one at a time is fitted.

    Attributes
    ----------
    substamps : list of Substamp
        Brightest first.
    current : int
        Index of the one in use; ``len(substamps)`` when none is left.
    chi2 : float
        Last valid merit of the stamp.
    statistics : SectionStatistics
        Sky (``mode``) and sky sigma (``fwhm``) of the cell.
    """

    substamps: list = field(default_factory=list)
    current: int = 0
    chi2: float = 0.0
    statistics: SectionStatistics = field(default_factory=SectionStatistics)

    @property
    def alive(self):
        """Whether a substamp is left to fit."""
        return self.current < len(self.substamps)

    @property
    def substamp(self):
        """The substamp in use."""
        return self.substamps[self.current]

    def reset(self):
        """Empty the slot for another cell; its statistics stay, as in C (spec 3.8)."""
        self.substamps, self.current, self.chi2 = [], 0, 0.0


def substamp_table(substamps, wcs=None):
    """Table of substamps, one per row.

    Parameters
    ----------
    substamps : list of Substamp
    wcs : `~astropy.wcs.WCS`, optional
        For a column of sky positions.

    Returns
    -------
    `~astropy.table.QTable`
        Columns ``id`` (from 1), ``stamp``, ``x``, ``y`` (pixels, 0-based), ``sky`` with a WCS, ``status``, ``reason``,
        ``merit``, ``kernel_sum``, ``chi2``, ``score``. What is not known is NaN.
    """
    from astropy.table import QTable

    def number(name):
        return np.array([np.nan if getattr(s, name) is None else getattr(s, name) for s in substamps], float)

    table = QTable({'id': np.arange(1, len(substamps) + 1), 'stamp': [s.stamp_group_id for s in substamps],
                    'x': [s.x for s in substamps], 'y': [s.y for s in substamps]},
                   dtype=[int] * 4)
    if wcs is not None and wcs.has_celestial:
        table['sky'] = wcs.celestial.pixel_to_world(table['x'], table['y'])
    table['status'] = np.array([s.status.name for s in substamps], str)
    table['reason'] = np.array([s.reason for s in substamps], str)
    for name in ('merit', 'kernel_sum', 'chi2', 'score'):
        table[name] = number(name)
    return table
