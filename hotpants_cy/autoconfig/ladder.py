"""What to try when the fit does not stand: fainter stars, lower orders, fewer basis functions, a constant kernel."""

import logging

from ..exceptions import NoStampsError, SingularFitError, TooFewStampsError
from ..words import counted

__all__ = ['UNFIT', 'climb_down', 'rungs']

log = logging.getLogger(__name__)

#: What a simpler kernel or more stars can mend.
UNFIT = NoStampsError, TooFewStampsError, SingularFitError


def rungs(config, fixed=()):
    """Yield configurations, each simpler than the one before, with words for what was given up.

    Parameters
    ----------
    config : HotpantsConfig
    fixed : collection of str, optional
        Parameters that must stay. Default: none.

    Yields
    ------
    config : HotpantsConfig
    words : str
        Empty for the first one.

    Examples
    --------
    >>> from hotpants_cy import HotpantsConfig
    >>> for config, words in rungs(HotpantsConfig(ko=1, bgo=1), fixed={'bgo'}):
    ...     print(config.ko, config.bgo, config.deg_fixe, words)
    1 1 (6, 4, 2)
    0 1 (6, 4, 2) order of the kernel 0
    0 1 (4, 2, 2) fewer basis functions
    0 1 (2, 2) fewer basis functions
    0 1 (0,) a single Gaussian
    """
    yield config, ''

    def simpler(words, **changes):
        nonlocal config
        if set(changes) & set(fixed):
            return []
        config = config.replace(**changes)
        return [(config, words)]

    for ko in range(config.ko - 1, -1, -1):
        yield from simpler(f'order of the kernel {ko}', ko=ko)
    if config.bgo > 0:
        yield from simpler('a constant background', bgo=0)
    for degrees in ((4, 2, 2), (2, 2), (0,)):
        if sum(degrees) < sum(config.deg_fixe) and len(degrees) <= len(config.sigma_gauss):
            words = 'fewer basis functions' if degrees != (0,) else 'a single Gaussian'
            sigmas = config.sigma_gauss[:len(degrees)] if degrees != (0,) else (config.sigma_gauss[
                min(1, len(config.sigma_gauss) - 1)],)
            yield from simpler(words, deg_fixe=degrees, sigma_gauss=sigmas)


def climb_down(plan, fixed, attempt):
    """Try what was planned, then simpler kernels and more stars, until a fit stands.

    Parameters
    ----------
    plan : Plan
    fixed : collection of str
        Parameters that the user has set.
    attempt : callable
        ``attempt(config, seeds)`` returns what it made, or raises one of `UNFIT`; ``seeds=None`` stands for a search.

    Returns
    -------
    object
        What the attempt returned.

    Raises
    ------
    NoStampsError, TooFewStampsError, SingularFitError
        None stands; the message has the counts.
    """
    threshold = {} if 'fitthresh' in fixed else {'fitthresh': plan.config.fitthresh / 2}
    given_up = []
    for config, words in rungs(plan.config, fixed):
        given_up += [words] if words else []
        sources = [(plan.fainter, 'fainter stars', {}), (None, 'stars of a search', threshold)]
        if not words:
            sources.insert(0, (plan.seeds, '', {}))
        for seeds, whence, changes in sources:
            steps = given_up + ([whence] if whence else [])
            tried = config.replace(**changes).with_reasons(
                plan.config.reasons | ({'simplified': ', then '.join(steps)} if steps else {}))
            try:
                done = attempt(tried, seeds)
            except UNFIT as error:
                failure = error
                log.info('with %s the fit does not stand: %s', ' and '.join(steps) or 'all that was planned', error)
                continue
            if steps:
                log.warning('warning: the fit was simplified: %s', ', '.join(steps))
            return done
    stars = plan.seeds
    n = len(stars.kinds)
    words = (f'of {counted(n, "star")} from {stars.source} {int(stars.good.sum())} can be used ({stars.tally()})' if n
             else f'no star came from {stars.source}')
    raise type(failure)(f'no kernel can be fitted, not even the simplest: {words}; at last: {failure}') from failure
