"""Clipped statistics of lists and of image sections (spec 3.2, 3.3)."""

from dataclasses import dataclass, field

import numpy as np

from ..inputs.bits import Bits
from ..instructions import loops

__all__ = ['GOOD', 'OK', 'SectionStatistics', 'clipped_moments', 'measure_boxes']

#: Selections of pixels, as (use, reject) bits: no flag at all, or some flag but a good output.
GOOD = (0, 0xffff)
OK = (0xff, int(Bits.OUTPUT_ISBAD))

LIST_PASSES = 10


def clipped_moments(values, n_sigma, passes=LIST_PASSES):
    """Mean and standard deviation after sigma clipping (spec 3.2).

    Parameters
    ----------
    values : sequence of float
        Rounded to float32 first, as C stores its lists.
    n_sigma : float
        Values farther than this many sigmas from the mean are dropped.
    passes : int, optional
        Passes at most. Default 10.

    Returns
    -------
    mean, sigma : float
        Of the last pass; (0, 1e10) of an empty list.

    Examples
    --------
    >>> clipped_moments([1, 2, 3, 2, 1, 3, 2, 90], 2)
    (2.0, 0.81649658092772603)
    """
    with np.errstate(over='ignore'):                 # what is too large is infinite, as in C
        values = np.array(values, np.float32).ravel()
    mean, sigma, _ = loops('statistics').sigma_clip(values, n_sigma, passes)
    return mean, sigma


@dataclass
class SectionStatistics:
    """Statistics of an image section, kept from one section to the next as the slots of C are.

    A failed measurement leaves ``mode`` and ``fwhm`` of the section before standing (P8).

    Parameters
    ----------
    values : float64 array (7,), optional
        Sum, mean, median, mode, sd, fwhm, lfwhm. Default: zeros.
    """

    values: np.ndarray = field(default_factory=lambda: np.zeros(7))
    code: int = 0

    def measure(self, data, mask, corner, shape, n_sigma, passes, selection=GOOD, work=None,
                cutout=False):
        """Measure the box of ``shape`` (ny, nx) at ``corner`` (x, y); sets 0x88 in ``mask`` where data are not finite.

        With ``cutout``, ``data`` are those of the box alone.

        Returns
        -------
        int
            0 for success (spec 3.3).
        """
        (x, y), (ny, nx) = corner, shape
        if work is None or work.size < nx * ny:
            work = np.empty(max(nx * ny, 1), np.float32)
        self.code = loops('statistics').section_statistics(data, mask, x, y, nx, ny, *selection, n_sigma, passes,
                                                           work, self.values, cutout)
        return self.code

    @property
    def mean(self):
        """Clipped mean."""
        return float(self.values[1])

    @property
    def mode(self):
        """Most frequent value, the "sky" of a stamp."""
        return float(self.values[3])

    @property
    def sd(self):
        """Clipped standard deviation."""
        return float(self.values[4])

    @property
    def fwhm(self):
        """Sigma from the quartiles, the "sky sigma" of a stamp; C calls it fwhm."""
        return float(self.values[5])


def measure_boxes(data, mask, boxes, n_sigma, passes, work):
    """`SectionStatistics` of the unmasked pixels of boxes that do not overlap, measured side by side.

    Parameters
    ----------
    data, mask : float32 and int32 array (ny, nx)
        As in `SectionStatistics.measure`.
    boxes : intp array (n, 4)
        First pixel (x, y) and sides (nx, ny) of each box.
    n_sigma : float
    passes : int
    work : float32 array (n_threads, pixels of the largest box)
        Overwritten; each thread works in a row of it.

    Returns
    -------
    list of SectionStatistics
    """
    values, codes = np.zeros((len(boxes), 7)), np.empty(len(boxes), np.int32)
    loops('statistics').statistics_of_boxes(data, mask, boxes, *GOOD, n_sigma, passes, work, values, codes)
    return [SectionStatistics(row, code) for row, code in zip(values, codes.tolist(), strict=True)]
