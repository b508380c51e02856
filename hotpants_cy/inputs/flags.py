"""The mask bits of HOTPANTS as astropy knows such names (spec 2.8); the engine takes `Bits`, without astropy.nddata."""

from astropy.nddata.bitmask import BitFlagNameMap

from .bits import Bits

__all__ = ['HotpantsFlags']


class HotpantsFlags(BitFlagNameMap):
    """Names of the bits in the ``flags`` of each result, with the values of C HOTPANTS.

    Use it where astropy wants a ``flag_name_map``:

    >>> import numpy as np
    >>> from astropy.nddata import bitfield_to_boolean_mask
    >>> from hotpants_cy import HotpantsFlags
    >>> flags = np.array([0, 0x40, 0x8082])
    >>> bitfield_to_boolean_mask(flags, ignore_flags='~SAT', flag_name_map=HotpantsFlags)
    array([False, False,  True])

    Each bit knows what it means:

    >>> HotpantsFlags.OK_CONV.__doc__
    'the kernel touched a flagged pixel, but little of its weight did'
    """

    BAD_PIXVAL = Bits.BAD_PIXVAL, 'the input pixel equals the fill value'
    SAT = Bits.SAT, 'the input pixel is at or above the upper threshold'
    LOW = Bits.LOW, 'the input pixel is at or below the lower threshold'
    NAN = Bits.NAN, 'the pixel is not a finite number'
    BAD_CONV = Bits.BAD_CONV, 'too much of the kernel fell on bad pixels'
    INPUT_MASK = Bits.INPUT_MASK, 'the pixel is set in an input mask'
    OK_CONV = Bits.OK_CONV, 'the kernel touched a flagged pixel, but little of its weight did'
    INPUT_ISBAD = Bits.INPUT_ISBAD, 'the input pixel is bad'
    T_BAD = Bits.T_BAD, 'unusable for template substamps (while searching)'
    T_SKIP = Bits.T_SKIP, 'already in a template substamp (while searching)'
    I_BAD = Bits.I_BAD, 'unusable for science substamps (while searching)'
    I_SKIP = Bits.I_SKIP, 'already in a science substamp (while searching)'
    OUTPUT_ISBAD = Bits.OUTPUT_ISBAD, 'the pixel of the difference is bad; these pixels are masked'
