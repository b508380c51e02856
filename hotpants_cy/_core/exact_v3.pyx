# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False
"""The loops of `exact.pyx` for CPUs with AVX2 and FMA (x86-64-v3)."""
include "exact.pyx"
