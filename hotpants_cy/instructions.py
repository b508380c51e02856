"""Which compiled loops to use: those for the widest vectors that this CPU has."""

import functools
import importlib
import os

from ._core.cpu import has_v3, has_v4
from .exceptions import HotpantsError

__all__ = ['available_instructions', 'convolution_loops', 'loops']

VARIABLE = 'HOTPANTS_CY_INSTRUCTIONS'
_CONVOLUTIONS = {'v4': 'vector_convolution_v4', 'v3': 'vector_convolution_v3', 'base': 'vector_convolution_base',
                 'plain': 'plain_convolution'}
_SUFFIXES = {'v4': ('_v4', '_v3'), 'v3': ('_v3',)}        # of the loops to use, best first
_RUNS = {'v4': has_v4, 'v3': has_v3, 'base': lambda: True, 'plain': lambda: True}


def available_instructions():
    """Names of the sets of instructions that this build has and this CPU runs, best first.

    Returns
    -------
    tuple of str
        Of 'v4' (AVX-512), 'v3' (AVX2 and FMA), 'base' (the vectors that every CPU of this kind has) and 'plain' (double
        precision in the order of C HOTPANTS, for equality to the last bit).

    Examples
    --------
    >>> available_instructions()[-1]
    'plain'
    """
    return tuple(_available())


def _available():
    # one by one: who takes the first loads no other
    return (name for name, module in _CONVOLUTIONS.items() if _RUNS[name]() and _load(module) is not None)


@functools.cache
def _load(module):
    try:
        return importlib.import_module(f'hotpants_cy._core.{module}')
    except ModuleNotFoundError:                      # not built for this kind of machine or by this compiler
        return None


def _best(name):
    """The set to use: the best, or that which is asked for."""
    if not name:
        return next(_available())
    if name not in available_instructions():
        raise HotpantsError(f'{VARIABLE}={name}: this build on this CPU has {", ".join(available_instructions())}')
    return name


def convolution_loops():
    """Compiled block convolution for this CPU, or for the set of instructions that HOTPANTS_CY_INSTRUCTIONS names.

    Raises
    ------
    HotpantsError
        The variable names something that is not available.
    """
    return _load(_CONVOLUTIONS[_best(os.environ.get(VARIABLE))])


def loops(name):
    """Compiled loops ``hotpants_cy._core.name`` for this CPU.

    Those for wider vectors give the same bits, except for ``exact``, which may use fused multiply-adds.

    Parameters
    ----------
    name : str

    Returns
    -------
    module

    Raises
    ------
    HotpantsError
        HOTPANTS_CY_INSTRUCTIONS names something that is not available.
    """
    return _loops(name, os.environ.get(VARIABLE))


@functools.cache
def _loops(name, asked):
    found = (_load(name + suffix) for suffix in _SUFFIXES.get(_best(asked), ()))
    return next(filter(None, found), None) or _load(name)
