# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of `products.pyx` for CPUs with AVX2 (x86-64-v3): the same bits, in wider vectors."""
include "products.pyx"
