"""The global fit, repeated until no substamp stands out (spec 6.5)."""

import logging
from dataclasses import dataclass

import numpy as np

from ..exceptions import MismatchError
from ..stamps.statistics import clipped_moments
from ..stamps.substamp import SubstampStatus
from ..words import counted
from .model import KernelModel

__all__ = ['KernelFit', 'iterate']

log = logging.getLogger(__name__)

AGREEMENT = 2         # scatters that the median flux ratio of the stars must lie above zero


@dataclass(frozen=True)
class KernelFit:
    """The kernel and how well it fits.

    Attributes
    ----------
    model : KernelModel
    mean_merit, merit_scatter : float
        Clipped mean and scatter of the merits of the substamps (C: SSSIG, SSSCAT).
    n_used, n_stamps : int
        Stamps used and found.
    iterations : int
    background_covariance : float64 array
        Of the background coefficients.
    """

    model: KernelModel
    mean_merit: float
    merit_scatter: float
    n_used: int
    n_stamps: int
    iterations: int
    background_covariance: np.ndarray


def iterate(design, mask):
    """Fit, reject the substamps that stand out, go on with the next of their stamp, until none does.

    Parameters
    ----------
    design : Design
        Filled with the first substamp of each stamp; left with those used.
    mask : int32 array (ny, nx)
        Working mask of the region.

    Returns
    -------
    KernelFit

    Raises
    ------
    TooFewStampsError, SingularFitError, MismatchError
    """
    stamps, config = design.stamps, design.config
    iterations, changed = 0, True
    while changed:
        live = [k for k, stamp in enumerate(stamps) if stamp.alive]
        model = design.solve(live)
        merits = design.merits(model, live, mask, config.fom)
        changed = reject_meaningless(design, live, merits)
        mean, scatter = clipped_moments(merits[merits != -1], config.single('stat_sig'))
        changed |= pass_on(design, *design.outliers(mean, scatter))
        iterations += 1
        n_live = sum(stamp.alive for stamp in stamps)
        log.info('iteration %d: mean merit %.3f, scatter %.3f, %d of %d stamps remain', iterations, mean, scatter,
                 n_live, len(stamps))
    check_match(design, live)
    for stamp in stamps:
        if stamp.alive:
            stamp.substamp.status, stamp.substamp.reason = SubstampStatus.USED_IN_FINAL_FIT, ''
    model, background_covariance = design.finish(model, live, mean)
    return KernelFit(model, mean, scatter, n_live, len(stamps), iterations, background_covariance)


def check_match(design, live):
    """Refuse a kernel for stars of which each asks for another one; with ``parity`` only warn, as C goes on.

    Where the images show the same stars, the kernel sums of single stars scatter by some per cent; where they do not,
    by more than their median.
    """
    sums = design.local_sums(live)
    sums = sums[np.isfinite(sums)]
    median = np.median(sums) if len(sums) else 0.0
    scatter = 1.4826 * np.median(np.abs(sums - median)) if len(sums) else 0.0
    if median > AGREEMENT * scatter:
        return
    message = (f'the two images do not match: the flux ratios of the {counted(len(live), "star")} used, each taken '
               f'alone, come out as {median:.3g} +- {scatter:.3g}; are they of the same field, and on the same pixels?')
    if not design.config.parity:
        raise MismatchError(message)
    log.warning('warning: %s', message)


def reject_meaningless(design, live, merits):
    """Record the merits; pass on from substamps without a meaningful one. Return whether there were any."""
    rejected = []
    for k, merit in zip(live, merits, strict=True):
        stamp = design.stamps[k]
        stamp.substamp.merit = float(merit)
        if merit == -1:
            rejected.append(k)
        else:
            stamp.chi2 = float(merit)
    return pass_on(design, rejected, 'no pixel of it can be compared')


def pass_on(design, slots, reason):
    """Go on to the next substamp of the stamps at ``slots``; those without one are out."""
    for k in slots:
        stamp = design.stamps[k]
        stamp.substamp.status, stamp.substamp.reason = SubstampStatus.REJECTED_ITERATIVE_FIT, reason
        stamp.current += 1
    if slots:
        design.fill([k for k in slots if design.stamps[k].alive])
    return bool(slots)
