"""Filters that vary over an image: known at the nodes of a grid, blended between them, applied by FFT.

The filters of all nodes are sums of a few (their singular vectors). Filtering is linear, so blending them
bilinearly comes to a few convolutions of the whole image, each multiplied with a map of its share.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ['FilterField', 'Filterable', 'nodes']

CELL = 200              # pixels between nodes, about
NEGLECTED, ROUGH = 1e-3, 3e-3      # rms of what filters may miss over their own; where little depends on it


def nodes(length):
    """Positions of nodes along an axis, from the first pixel to the last."""
    return np.linspace(0, length - 1, max(1, round(length / CELL)) + 1)


@dataclass(frozen=True, eq=False)
class Filterable:
    """A plane that is transformed once for all filters.

    Parameters
    ----------
    plane : float32 array (ny, nx)
        Zero beyond its edges.
    margin : int
        Half width of the largest filter to come.
    n_threads : int
    precision : type, optional
        Of the transforms. Default `numpy.float32`.
    """

    plane: np.ndarray
    margin: int
    n_threads: int = 1
    precision: type = np.float32

    @property
    def size(self):
        """Shape of the transforms."""
        from scipy import fft
        return tuple(fft.next_fast_len(n + 2 * self.margin, real=True) for n in self.plane.shape)

    @cached_property
    def transform(self):
        """Fourier transform of the plane."""
        from scipy import fft
        return fft.rfft2(np.asarray(self.plane, self.precision), self.size, workers=self.n_threads)

    def filtered(self, small):
        """Sum of the plane's pixels around each one, weighted with a filter of odd sides."""
        from scipy import fft
        (ny, nx), (my, mx) = self.plane.shape, (n // 2 for n in small.shape)
        product = fft.rfft2(small[::-1, ::-1].astype(self.precision), self.size, workers=self.n_threads)
        product *= self.transform
        return fft.irfft2(product, self.size, workers=self.n_threads)[my:my + ny, mx:mx + nx]


@dataclass(frozen=True, eq=False)
class FilterField:
    """Filters at the nodes of a grid.

    Parameters
    ----------
    x, y : float arrays (nx,), (ny,)
        Positions of the nodes in pixels.
    filters : float array (ny, nx, width, width)
        A pixel becomes the sum of those around it, weighted with these; ``width`` is odd.
    neglected : float, optional
        Of the filters' rms, that may be missed where they are applied. Default 0.001.
    """

    x: np.ndarray
    y: np.ndarray
    filters: np.ndarray
    neglected: float = NEGLECTED

    @property
    def half_width(self):
        """Half width of the filters."""
        return self.filters.shape[-1] // 2

    def at(self, x, y):
        """The filter at a position."""
        (wx,), (wy,) = _shares(self.x, [x]), _shares(self.y, [y])
        return np.tensordot(wy, np.tensordot(wx, self.filters, (0, 1)), (0, 0))

    def map(self, function, *others, neglected=ROUGH):
        """Filters made of those at each node, and of those of other fields of the same nodes."""
        made = [[function(*(field.filters[j, i] for field in (self, *others))) for i in range(len(self.x))]
                for j in range(len(self.y))]
        return FilterField(self.x, self.y, np.array(made), neglected)

    @cached_property
    def components(self):
        """The few filters that all are sums of, and how much of each there is at each node."""
        shape = self.filters.shape
        shares, strength, pictures = np.linalg.svd(self.filters.reshape(-1, shape[2] * shape[3]), full_matrices=False)
        lost = np.sqrt(np.cumsum(strength[::-1]**2))[::-1]
        n = max(1, np.count_nonzero(lost > self.neglected * lost[0]))
        return pictures[:n].reshape(n, *shape[2:]), (shares[:, :n] * strength[:n]).T.reshape(n, *shape[:2])

    def apply(self, filterable):
        """Filter a plane, each pixel with the filter blended for it: float32 (ny, nx)."""
        ny, nx = filterable.plane.shape
        total = np.zeros((ny, nx), np.float32)
        for picture, share in zip(*self.components, strict=True):
            part = filterable.filtered(picture)
            part *= self._blended(share, (ny, nx))
            total += part
        return total

    def spread(self, function):
        """Map of a number that ``function`` gives for the filter of each node, blended: a function of the shape."""
        values = np.array([[function(f) for f in row] for row in self.filters])
        return lambda shape: self._blended(values, shape)

    def _blended(self, values, shape):
        """Numbers at the nodes, blended between them for each pixel: float32 of that shape."""
        y_shares, x_shares = (_shares(knots, np.arange(n)) for knots, n in zip((self.y, self.x), shape, strict=True))
        return y_shares.astype(np.float32) @ (values @ x_shares.T).astype(np.float32)


def _shares(knots, positions):
    """Share of each node in a linear interpolation at positions: (n_positions, n_nodes)."""
    return np.stack([np.interp(positions, knots, unit) for unit in np.eye(len(knots))], axis=1)
