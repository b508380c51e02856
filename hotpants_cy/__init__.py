"""Alard-Lupton image subtraction (HOTPANTS) for CCDData, in Cython."""

import importlib as _importlib

from ._version import __version__

# A module is imported when one of its names is asked for: the command line has no use for all that CCDData brings.
_NAMES = {
    'behaviour': ('conf',),
    'config': ('HotpantsConfig',),
    'exceptions': ('DeconvolutionWarning', 'HotpantsError', 'HotpantsWarning', 'InputError', 'MismatchError',
                   'NoStampsError', 'NoiseModelWarning', 'NotSupportedError', 'OutputError', 'RegistrationWarning',
                   'SingularFitError', 'TooFewStampsError'),
    'inputs.flags': ('HotpantsFlags',),
    'inspection.injection': ('inject', 'recovery'),
    'kernel.model': ('KernelModel',),
    'kernel.mosaic': ('KernelMosaic',),
    'matching': ('match_psf',),
    'pipeline': ('Hotpants',),
    'stamps.catalog': ('find_stars',),
    'stamps.substamp': ('Substamp', 'SubstampStatus'),
    'subtraction': ('SubtractionResult', 'subtract'),
    'versions': ('show_versions',),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}
# rooms that the reference names: hp.datasets.make_pair() does without another import
_MODULES = {module.partition('.')[0] for module in _NAMES} | {'candidates', 'datasets', 'photometry', 'products'}

__all__ = ['__version__', *_HOMES]


def __getattr__(name):
    if name in _MODULES:
        return _importlib.import_module(f'.{name}', __name__)
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    globals()[name] = value = getattr(_importlib.import_module(f'.{_HOMES[name]}', __name__), name)
    return value


def __dir__():
    return sorted({*globals(), *__all__, *_MODULES})
