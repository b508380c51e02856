"""Compiled loops: arrays and scalars in, arrays that the caller allocated out; no Python objects, no globals."""

from importlib.util import find_spec as _find_spec

if _find_spec(f'{__name__}.cpu') is None:
    raise ImportError(f'the compiled part of hotpants_cy is missing in {__path__[0]}: start Python in another folder '
                      'to use the package as it is installed, or compile it in this one with pip install -e .')
