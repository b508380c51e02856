"""The mask bits of HOTPANTS as plain numbers, for the engine (spec 2.8); `HotpantsFlags` describes them."""

__all__ = ['Bits']


class Bits:
    """Values of the bits, those of C HOTPANTS."""

    BAD_PIXVAL = 0x01
    SAT = 0x02
    LOW = 0x04
    NAN = 0x08
    BAD_CONV = 0x10
    INPUT_MASK = 0x20
    OK_CONV = 0x40
    INPUT_ISBAD = 0x80
    T_BAD = 0x100
    T_SKIP = 0x200
    I_BAD = 0x400
    I_SKIP = 0x800
    OUTPUT_ISBAD = 0x8000
