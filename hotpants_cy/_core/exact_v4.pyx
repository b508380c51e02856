# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of `exact.pyx` for CPUs with AVX-512 (x86-64-v4)."""
include "exact.pyx"
