"""A substamp: one star that the kernel is fitted to, and what became of it."""

import enum
from dataclasses import dataclass, field

from .statistics import SectionStatistics

__all__ = ['Stamp', 'Substamp', 'SubstampStatus']


class SubstampStatus(enum.Enum):
    """What became of a substamp."""

    FOUND = 'found'
    PASSED_FOM_CHECK = 'passed the direction test'
    REJECTED_FOM_CHECK = 'kernel sum far from the others in the direction test'
    USED_IN_FINAL_FIT = 'used in the final fit'
    REJECTED_ITERATIVE_FIT = 'rejected by the final fit'


@dataclass
class Substamp:
    """One star cutout.

    Attributes
    ----------
    id : int
        Number of the substamp in its list, from 0.
    stamp_group_id : int
        Number of the stamp (grid cell) that it belongs to.
    x, y : int
        Centre in pixels of the image, 0-based.
    score : float
        Sum of its significant pixels, by which it was ranked.
    status : SubstampStatus
    merit : float or None
        Figure of merit in the last fit it took part in: residual over variance for ``fom='v'``.
    kernel_sum : float or None
        Sum of the kernel fitted to it alone, in the direction test.
    """

    id: int
    stamp_group_id: int
    x: int
    y: int
    score: float
    status: SubstampStatus = SubstampStatus.FOUND
    merit: float | None = None
    kernel_sum: float | None = None


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
