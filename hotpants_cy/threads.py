"""How many threads to use."""

import os
from pathlib import Path

from ._core.threads import max_threads
from .checks import checked, integer

__all__ = ['default_threads', 'map_in_threads', 'resolve_threads']

_state = {'parent_used_threads': False, 'forked': False}


def _after_fork():
    # libgomp cannot run a second team in the child of a process that ran one: it would hang
    _state['forked'] = _state['forked'] or _state['parent_used_threads']


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_after_fork)


def _cgroup_quota():
    """CPUs that the control group allows, or None."""
    try:
        quota, period = Path('/sys/fs/cgroup/cpu.max').read_text().split()
        return None if quota == 'max' else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None


def _available():
    if os.environ.get('OMP_NUM_THREADS'):
        return max_threads()
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return min(affinity, _cgroup_quota() or affinity)


def default_threads():
    """Return the number of threads where none is asked for.

    Returns
    -------
    int
        ``hotpants_cy.conf.n_threads`` if that is set, else the CPUs that this process may use, by affinity, control
        group quota and ``OMP_NUM_THREADS``.
    """
    from .behaviour import conf  # astropy.config: not for --help and --version
    return conf.n_threads or _available()


def resolve_threads(n_threads=None):
    """Return the number of threads to use.

    Parameters
    ----------
    n_threads : int, optional
        Asked for. Default: `default_threads`.

    Returns
    -------
    int
        At least 1. Always 1 without OpenMP, and in a forked child of a process that has used threads.

    Raises
    ------
    InputError
        ``n_threads`` is not a positive whole number.
    """
    if n_threads is not None:
        n_threads = checked('n_threads', n_threads, integer(1, 2**31 - 1))
    if max_threads() == 0 or _state['forked']:
        return 1
    n_threads = min(n_threads or default_threads(), 1024)
    if n_threads > 1:
        _state['parent_used_threads'] = True
    return n_threads


def map_in_threads(function, items, n_threads):
    """Call a function for each item, in several threads if there shall be more than one.

    Parameters
    ----------
    function : callable
        Most of its time should go into what lets go of the lock of Python: large arrays, FFTs, linear algebra.
    items : iterable
    n_threads : int

    Returns
    -------
    list
        What it returned, in the order of the items.

    Examples
    --------
    >>> from hotpants_cy.threads import map_in_threads
    >>> map_in_threads(abs, [-3, 2], n_threads=2)
    [3, 2]
    """
    if n_threads == 1:
        return [function(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context  # what `numpy.errstate` has set holds there, too
    with ThreadPoolExecutor(n_threads) as pool:
        calls = [pool.submit(copy_context().run, function, item) for item in items]
        try:
            return [call.result() for call in calls]
        except BaseException:
            pool.shutdown(cancel_futures=True)        # or all others would still be called
            raise
