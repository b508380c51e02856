"""How coefficients vary over a region: monomials of the normalised position (spec 6.1, 6.4)."""

from dataclasses import dataclass

import numpy as np

__all__ = ['Monomials', 'RegionFrame']


@dataclass(frozen=True)
class RegionFrame:
    """Normalised coordinates of a region: -1 at its first pixel, about 1 at its last.

    Parameters
    ----------
    origin : (int, int)
        Position (x, y) of the first pixel in the image.
    shape : (int, int)
        Shape (ny, nx) in pixels.
    """

    origin: tuple
    shape: tuple

    def normalise(self, x, y):
        """Normalised coordinates of image positions, in float64, as the solution is evaluated."""
        half_nx, half_ny = 0.5 * self.shape[1], 0.5 * self.shape[0]
        return ((np.asarray(x, float) - self.origin[0] - half_nx) / half_nx,
                (np.asarray(y, float) - self.origin[1] - half_ny) / half_ny)

    def normalise_single(self, x, y):
        """The same in float32, as the fit does it (P12)."""
        half_nx, half_ny = np.float32(0.5 * self.shape[1]), np.float32(0.5 * self.shape[0])
        return ((np.float32(np.subtract(x, self.origin[0])) - half_nx) / half_nx,
                (np.float32(np.subtract(y, self.origin[1])) - half_ny) / half_ny)


@dataclass(frozen=True)
class Monomials:
    """All ``X^p Y^q`` with ``p + q <= order``; p is the outer index.

    Parameters
    ----------
    order : int
        Highest total power [C: ``-ko``, ``-bgo``].

    Examples
    --------
    >>> len(Monomials(2))
    6
    >>> Monomials(1).values(0.5, -1.0)
    array([ 1. , -1. ,  0.5])
    """

    order: int

    def __len__(self):
        return (self.order + 1) * (self.order + 2) // 2

    def _powers(self, x, exponents):
        x = np.asarray(x, float)
        powers = [np.ones_like(x)]
        for _ in range(self.order):
            powers.append(powers[-1] * x)            # by repeated multiplication (P30)
        return np.stack([powers[k] for k in exponents], axis=-1)

    def factors(self, x, y):
        """Factors of the monomials that depend on x and on y; the last axis counts the monomials."""
        exponents = [(p, q) for p in range(self.order + 1) for q in range(self.order - p + 1)]
        return self._powers(x, [p for p, _ in exponents]), self._powers(y, [q for _, q in exponents])

    def values(self, x, y):
        """Values of the monomials at normalised positions; the last axis counts them."""
        x_factors, y_factors = self.factors(x, y)
        return x_factors * y_factors

    def evaluate(self, coefficients, x, y):
        """Sum of ``coefficients[t]`` times the monomials at normalised positions, in order (spec 6.4)."""
        x_factors, y_factors = self.factors(x, y)
        total = 0.0
        for t, c in enumerate(coefficients):
            total = total + c * x_factors[..., t] * y_factors[..., t]
        return total
