"""Large arrays in memory that is used again: memory that was never touched takes time to get, often a tenth of a call.

Allocators give large blocks back to the system as soon as they can.  Here some are kept for the next call instead.
"""

import math

import numpy as np

__all__ = ['Memory', 'free_memory', 'large_array']

SMALLEST = 2**20               # bytes of an array that this is worth it for
MOST_SPARE = 2**28             # bytes that are kept
ROOM = 1.25                    # so much larger than an array may the block be that it lies in,
ROOM_OF_SEVERAL = 2.5          # or the memory that several are cut from
ALIGNED = 64                   # bytes

_spare: dict[int, np.ndarray] = {}  # blocks that nobody uses, by their addresses, the oldest first


class _Lease:
    """A block as long as any array lies in it; then it is spare."""

    def __init__(self, block):
        self.block, self.__array_interface__ = block, block.__array_interface__

    def __del__(self):
        if self.block.size <= MOST_SPARE:
            _make_room(self.block.size, MOST_SPARE)
            _spare[id(self.block)] = self.block


def _spare_bytes():
    return sum(block.size for block in list(_spare.values()))


def _make_room(size, limit):
    """Give up the oldest spare blocks until one of ``size`` can join them within a limit."""
    while _spare and _spare_bytes() + size > limit:
        _spare.pop(next(iter(list(_spare)), None), None)


def large_array(shape, dtype=np.float32):
    """An array with any values in it.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype, optional
        Default float32.

    Returns
    -------
    array

    Examples
    --------
    >>> from hotpants_cy.memory import large_array
    >>> large_array((2048, 2048)).shape
    (2048, 2048)
    """
    size = _size(shape, dtype)
    if size < SMALLEST:
        return np.empty(shape, dtype)
    fitting = (key for key, block in list(_spare.items()) if size <= block.size <= ROOM * size)
    block = next((block for block in (_spare.pop(key, None) for key in fitting) if block is not None), None)
    if block is None:
        # what is spare makes room for it, so that no call needs more memory than the one before
        _make_room(size, _spare_bytes())
        block = np.empty(size, np.uint8)
    return np.asarray(_Lease(block))[:size].view(dtype).reshape(shape)


def free_memory():
    """Give the system back what is kept for the next call: up to 256 MiB.

    Examples
    --------
    >>> from hotpants_cy.memory import free_memory
    >>> free_memory()
    """
    _spare.clear()


class Memory:
    """Memory of arrays that nobody needs any more, for those of the next step.

    Parameters
    ----------
    *arrays : contiguous arrays

    Examples
    --------
    >>> import numpy as np
    >>> from hotpants_cy.memory import Memory
    >>> old = np.zeros(100)
    >>> new = Memory(old).take((5, 20), np.float32)
    >>> new.shape, np.shares_memory(new, old)
    ((5, 20), True)
    """

    def __init__(self, *arrays):
        self._blocks = [array.reshape(-1).view(np.uint8) for array in arrays]

    def take(self, shape, dtype=np.float32):
        """An array with any values in it; a `large_array` if there is no memory that fits."""
        size = _size(shape, dtype)
        # others are of no use for what is like this
        self._blocks = [block for block in self._blocks if size <= block.size <= ROOM_OF_SEVERAL * size]
        if not self._blocks:
            return large_array(shape, dtype)
        block = self._blocks.pop(0)
        self._blocks.append(block[-(-size // ALIGNED) * ALIGNED:])
        return block[:size].view(dtype).reshape(shape)


def _size(shape, dtype):
    return math.prod(shape) * np.dtype(dtype).itemsize
