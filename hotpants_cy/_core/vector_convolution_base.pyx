# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""Block convolution with vectors, for every CPU of this kind; see `vector_convolution.pxi`."""
include "vector_convolution.pxi"
