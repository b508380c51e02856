"""Compiled loops: arrays and scalars in, arrays that the caller allocated out; no Python objects, no globals."""
