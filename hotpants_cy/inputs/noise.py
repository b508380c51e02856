"""The noise of one image: its own variance, or gain and read noise (spec 2.7.2)."""

from dataclasses import dataclass

import numpy as np

from .._core import pixels

__all__ = ['NoiseModel']


@dataclass(frozen=True)
class NoiseModel:
    """Variance of an image from its data, where none was given with it.

    Parameters
    ----------
    gain : float
        Electrons per data unit [C: ``-tg``, ``-ig``].
    read_noise : float
        Read noise in electrons [C: ``-tr``, ``-ir``].
    """

    gain: float = 1.0
    read_noise: float = 0.0

    def variance(self, data, n_threads=1):
        """Variance of ``data``, a float32 plane, in data units squared."""
        gain, read_noise = np.float32(self.gain), np.float32(self.read_noise)
        read_variance = np.square(read_noise / gain)
        out = np.empty_like(data)
        pixels.model_variance(data, np.float32(1 / float(gain)), read_variance, out, n_threads)
        return out
