"""A word now and then about what takes long."""

import logging
import time

__all__ = ['in_parts']

log = logging.getLogger(__name__)

SECONDS = 10           # between two words
PARTS = 64


def in_parts(n, what, whole):
    """Go through ``n`` rows in parts, and log how far it is once every ten seconds.

    Parameters
    ----------
    n : int
    what : str
        What is done to the rows, for the log (level INFO).
    whole : bool
        Take all rows at once: the work is short.

    Yields
    ------
    start, stop : int

    Examples
    --------
    >>> list(in_parts(7, 'counting', whole=True))
    [(0, 7)]
    >>> sum(stop - start for start, stop in in_parts(1000, 'counting', whole=False))
    1000
    """
    step = n if whole else -(-n // PARTS)
    said = time.monotonic()
    for start in range(0, n, max(step, 1)):
        yield start, min(start + step, n)
        if time.monotonic() - said >= SECONDS:
            said = time.monotonic()
            log.info('%s: %d %%', what, 100 * min(start + step, n) // n)
