"""The mask bits of HOTPANTS, by name (spec 2.8)."""

from astropy.nddata.bitmask import BitFlagNameMap

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
    """

    BAD_PIXVAL = 0x01, 'the input pixel equals the fill value'
    SAT = 0x02, 'the input pixel is at or above the upper threshold'
    LOW = 0x04, 'the input pixel is at or below the lower threshold'
    NAN = 0x08, 'the pixel is not a finite number'
    BAD_CONV = 0x10, 'too much of the kernel fell on bad pixels'
    INPUT_MASK = 0x20, 'the pixel is set in an input mask'
    OK_CONV = 0x40, 'the kernel touched a flagged pixel, but little of its weight did'
    INPUT_ISBAD = 0x80, 'the input pixel is bad'
    T_BAD = 0x100, 'unusable for template substamps (while searching)'
    T_SKIP = 0x200, 'already in a template substamp (while searching)'
    I_BAD = 0x400, 'unusable for science substamps (while searching)'
    I_SKIP = 0x800, 'already in a science substamp (while searching)'
    OUTPUT_ISBAD = 0x8000, 'the pixel of the difference is bad; these pixels are masked'
