"""Compiled loops: arrays and scalars in, arrays that the caller allocated out; no Python objects, no globals."""

import sys as _sys
from importlib.machinery import ModuleSpec as _ModuleSpec
from importlib.util import find_spec as _find_spec

if _find_spec(f'{__name__}.cpu') is None:
    raise ImportError(f'the compiled part of hotpants_cy is missing in {__path__[0]}: start Python in another folder '
                      'to use the package as it is installed, or compile it in this one with pip install -e .')


class _Refusal:
    """Loader of what must not be loaded."""

    @staticmethod
    def create_module(spec):
        raise ImportError(f'{spec.name} needs instructions that this CPU does not have', name=spec.name)

    @staticmethod
    def exec_module(module):
        pass


class _Guard:
    """Refuses loops for vectors that this CPU does not have: loading one, as tools that list modules do, is fatal."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        package, _, module = name.rpartition('.')
        if package != __name__ or module == 'cpu':
            return None
        from . import cpu
        runs = {'v3': cpu.has_v3, 'v4': cpu.has_v4}.get(module.rpartition('_')[2])
        return _ModuleSpec(name, _Refusal) if runs and not runs() else None


if not any(getattr(finder, '__module__', '') == __name__ for finder in _sys.meta_path):
    _sys.meta_path.insert(0, _Guard)
