# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Block convolution with vectors, compiled for the instruction set that every CPU of this kind has; see `vector_convolution.pxi`."""
include "vector_convolution.pxi"
