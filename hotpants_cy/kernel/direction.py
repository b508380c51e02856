"""Which image to convolve: the direction test (spec 5.5)."""

import logging

import numpy as np

from ..exceptions import SingularFitError, TooFewStampsError
from ..stamps.statistics import clipped_moments
from ..stamps.substamp import SubstampStatus

__all__ = ['NO_MERIT', 'choose', 'direction_merit']

log = logging.getLogger(__name__)

NO_MERIT = 666.0
# which merit to take if the one asked for cannot be told for any substamp
PREFERENCE = {'v': 'v', 's': 'svh', 'h': 'hvs'}


def direction_merit(design, mask):
    """Mean merit over kernel sum of a first fit, without the substamps whose own kernel sum stands out.

    Parameters
    ----------
    design : Design
        Filled with the first substamp of each stamp.
    mask : int32 array (ny, nx)
        Working mask of the region.

    Returns
    -------
    float
        Smaller is better; 666 if nothing can be said.
    """
    config = design.config
    sums = design.local_sums()
    mean, scatter = clipped_moments(sums, config.single('stat_sig'))
    with np.errstate(divide='ignore', invalid='ignore'):
        good = np.abs(sums - mean) / scatter < config.single('ks')
    for stamp, total, keep in zip(design.stamps, sums, good, strict=True):
        stamp.substamp.kernel_sum = float(total)
        stamp.substamp.status = SubstampStatus.PASSED_FOM_CHECK
        if not keep:
            stamp.substamp.status = SubstampStatus.REJECTED_FOM_CHECK
            stamp.substamp.reason = (f'its kernel sum {total:.3g} is not within {config.ks:g} x {scatter:.2g} of '
                                     f'{mean:.3g}')
    slots = np.flatnonzero(good)
    try:
        model = design.solve(slots)
    except (SingularFitError, TooFewStampsError) as error:
        log.info('convolving the %s: %s', design.source.name, error)
        return NO_MERIT
    kappa = model.sum(*design.region.origin)
    for kind in PREFERENCE[config.fom]:
        merits = design.merits(model, slots, mask, kind)
        merits = merits[(merits != -1) & (merits <= 1e10)]
        if len(merits):
            merit = clipped_moments(merits, config.single('stat_sig'))[0] / kappa
            log.info('convolving the %s: kernel sum %.3f +- %.3f in %d of %d stamps, merit %.3f', design.source.name,
                     mean, scatter, len(slots), len(design.stamps), merit)
            return float(merit)
    return NO_MERIT


def choose(merits):
    """Direction of the better merit; the science image wins a tie or what cannot be compared (P23).

    Parameters
    ----------
    merits : dict
        Merit of each direction tried, 't' or 'i'.

    Returns
    -------
    {'t', 'i'}

    Examples
    --------
    >>> choose({'t': 0.8, 'i': 1.7}), choose({'i': 666.0})
    ('t', 'i')
    """
    if len(merits) == 1:
        return next(iter(merits))
    return 't' if merits['t'] < merits['i'] else 'i'
