"""The noise of one image: its own variance, or gain and read noise (spec 2.7.2)."""

from dataclasses import dataclass

import numpy as np

from ..instructions import loops

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

    @property
    def factors(self):
        """What the variance is made of: ``abs(data) * inverse_gain + read_variance``, rounded to single precision."""
        gain, read_noise = np.float32(self.gain), np.float32(self.read_noise)
        return float(np.float32(1 / float(gain))), float(np.square(read_noise / gain))

    def variance(self, data, n_threads=1):
        """Variance of ``data``, a float32 plane, in data units squared."""
        out = np.empty_like(data)
        loops('pixels').model_variance(data, *self.factors, out, n_threads)
        return out
