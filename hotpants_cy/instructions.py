"""Which compiled loops to use: those for the widest vectors that this CPU has."""

import functools
import importlib
import os

from ._core.cpu import has_v3, has_v4
from .exceptions import HotpantsError

__all__ = ['available_instructions', 'convolution_loops']

VARIABLE = 'HOTPANTS_CY_INSTRUCTIONS'
_MODULES = {'v4': 'vector_convolution_v4', 'v3': 'vector_convolution_v3', 'base': 'vector_convolution_base',
            'plain': 'plain_convolution'}
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
    return tuple(name for name in _MODULES if _RUNS[name]() and _load(name) is not None)


@functools.cache
def _load(name):
    try:
        return importlib.import_module(f'hotpants_cy._core.{_MODULES[name]}')
    except ModuleNotFoundError:                      # not built for this kind of machine or by this compiler
        return None


def convolution_loops():
    """Compiled convolution for this CPU, or that which the environment variable HOTPANTS_CY_INSTRUCTIONS names.

    Raises
    ------
    HotpantsError
        The variable names something that is not available.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return next(filter(None, (_load(name) for name in _MODULES if _RUNS[name]())))
    if name not in available_instructions():
        raise HotpantsError(f'{VARIABLE}={name}: this build on this CPU has {", ".join(available_instructions())}')
    return _load(name)
