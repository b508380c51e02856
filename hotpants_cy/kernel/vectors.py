"""Vectors of many substamps, in blocks as large as an image, so that images can lie there when the kernel is known."""

import math

import numpy as np

from ..memory import large_array

__all__ = ['Vectors']

FEWEST = 16                    # substamps of a block: enough for several threads


class Vectors:
    """An image of each substamp for each basis function.

    Parameters
    ----------
    n_slots : int
        Number of substamps.
    shape : (int, int)
        Basis functions, and pixels of a substamp.
    image_size : int
        Bytes that a block should have.

    Attributes
    ----------
    memory : list of uint8 array
        What the blocks lie in.
    """

    def __init__(self, n_slots, shape, image_size):
        one = math.prod(shape) * np.dtype(float).itemsize
        self.n_pixels, self._length = shape[1], max(image_size // one, FEWEST)
        self.memory = [large_array((max(image_size, self._length * one),), np.uint8)
                       for _ in range(0, n_slots, self._length)]
        self._blocks = [memory[:self._length * one].view(float).reshape(-1, *shape) for memory in self.memory]

    def __getitem__(self, slot):
        """Vectors of one substamp, (n_basis, pixels)."""
        return self._blocks[slot // self._length][slot % self._length]

    def blocks_of(self, slots):
        """Blocks in which substamps lie.

        Parameters
        ----------
        slots : int32 array

        Yields
        ------
        which : int array
            Those of ``slots`` that lie in the block.
        inside : int32 array
            Their places there.
        rows : slice
            All slots of the block.
        block : float64 array (n, n_basis, pixels)
        """
        for k, block in enumerate(self._blocks):
            first = k * self._length
            which = np.flatnonzero((slots >= first) & (slots < first + self._length))
            if len(which):
                yield which, slots[which] - np.int32(first), slice(first, first + self._length), block
