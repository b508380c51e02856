"""Alard-Lupton image subtraction (HOTPANTS) for CCDData, in Cython."""

from ._version import __version__
from .config import HotpantsConfig
from .exceptions import *  # noqa: F403
from .exceptions import __all__ as _errors
from .inputs.flags import HotpantsFlags
from .kernel.model import KernelModel
from .kernel.mosaic import KernelMosaic
from .pipeline import Hotpants
from .stamps.substamp import Substamp, SubstampStatus
from .subtraction import SubtractionResult, subtract

__all__ = [
    'Hotpants', 'HotpantsConfig', 'HotpantsFlags', 'KernelModel', 'KernelMosaic', 'Substamp', 'SubstampStatus',
    'SubtractionResult', '__version__', 'subtract', *_errors,
]
