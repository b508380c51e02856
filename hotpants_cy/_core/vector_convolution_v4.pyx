# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Block convolution with vectors, compiled for x86-64-v4; see `vector_convolution.pxi`."""
include "vector_convolution.pxi"
