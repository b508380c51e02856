# Which flags the footprints of output pixels see, and what these make of it, for kernels of blocks and of pixels (7).
cdef enum:
    BAD_INPUT = 0x80           # HotpantsFlags INPUT_ISBAD
    BAD_OUTPUT = 0x8000        # OUTPUT_ISBAD
    BAD_CONVOLVED = 0x8010     # BAD_CONV | OUTPUT_ISBAD
    OK_CONVOLVED = 0x40        # OK_CONV


cdef bint any_flags(const int[:, ::1] flags, Py_ssize_t x0, Py_ssize_t y0, Py_ssize_t nx,
                    Py_ssize_t ny) noexcept nogil:
    cdef Py_ssize_t x, y
    cdef int seen = 0
    cdef const int *row
    for y in range(ny):
        row = &flags[y0 + y, x0]
        for x in range(nx):
            seen |= row[x]
    return seen != 0


cdef void see_flags(const int[:, ::1] flags, Py_ssize_t x0, Py_ssize_t y0, Py_ssize_t nx, Py_ssize_t ny,
                    Py_ssize_t width, Py_ssize_t stride, int *across, int *seen) noexcept nogil:
    """Flags that the footprint of each of ``nx`` x ``ny`` pixels sees; the first one starts at the pixel (x0, y0).

    ``across`` gets the flags seen in each row of the footprints, ``seen`` those in all of them, in rows of ``stride``
    numbers: what is left of these is zero.
    """
    cdef Py_ssize_t x, y, i
    cdef const int *row
    cdef int *out
    for y in range(ny + width - 1):
        row = &flags[y0 + y, x0]
        out = across + y * stride
        for x in range(nx):
            out[x] = 0
        for i in range(width):
            for x in range(nx):
                out[x] |= row[x + i]
    for y in range(ny):
        out = seen + y * stride
        for x in range(stride):
            out[x] = 0
        for i in range(width):
            row = across + (y + i) * stride
            for x in range(nx):
                out[x] |= row[x]


cdef inline int output_flags(int here, int seen, bint enough) noexcept nogil:
    """Flags of an output pixel: its own, and whether enough of the kernel lies on good pixels if it sees any flag."""
    if here & BAD_INPUT:
        here |= BAD_OUTPUT
    if seen != 0:
        here |= OK_CONVOLVED if enough else BAD_CONVOLVED
    return here
