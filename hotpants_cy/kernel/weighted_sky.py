"""The sky between the stars in a weighted fit: it tells the background, which the surroundings of a few stars do not.

Empty pixels are summed over tiles of the region. Each tile gives one equation of the fit, with the kernel and the
background that the substamps of stars have.
"""

from dataclasses import dataclass

import numpy as np

from ..threads import map_in_threads
from .fourier import convolve_stack
from .weighing import bad_pixels
from .weights import extra_scatter, influence

__all__ = ['Sky']

TILES = 8                   # of a region in x and y, at most
SMALLEST, LARGEST = 30, 320           # pixels along a side of a tile
EMPTY = 0.05                # part of a tile that must be empty for it to count
FEWEST = 8                  # tiles of which one can be told to stand out
BRIGHT = 5.0                # sigmas off the sky from which a pixel is a source, or a fault
SOURCE, FAINT = 5, 4.0      # pixels along a side of boxes, and sigmas off the sky of their means, that are sources
SAMPLE = 5000               # pixels of a tile that are plenty for a median


@dataclass(frozen=True)
class Sky:
    """Sums over the empty pixels of tiles.

    Attributes
    ----------
    x, y : float64 array (n,)
        Centres of these pixels, in pixels of the image.
    n_pixels : float64 array (n,)
    target : float64 array (n,)
    vectors : float64 array (n, n_vectors)
        Of the source under each basis function, then of each term of the background.
    target_variance, source_variance : float64 array (n,)
        Of the sums of both images.
    """

    x: np.ndarray
    y: np.ndarray
    n_pixels: np.ndarray
    target: np.ndarray
    vectors: np.ndarray
    target_variance: np.ndarray
    source_variance: np.ndarray

    @classmethod
    def of(cls, design):
        """Look at the sky of the region of a `Design`; None if there is next to none."""
        tiles = _tiles(design.target_data.shape, design.config.rkernel)
        sums = map_in_threads(lambda tile: _sums(design, *tile), tiles, design.n_threads)
        sums = [s for s in sums if s is not None]
        return cls(*(np.array(s) for s in zip(*sums, strict=True))) if len(sums) >= FEWEST else None

    def weights(self, model, basis, loss):
        """Weight of each tile under a kernel, and the variance of its residual.

        Parameters
        ----------
        model : KernelModel
        basis : GaussianBasis
        loss : {None, 'huber', 'tukey'}

        Returns
        -------
        weights, variance : float64 array (n,)
        """
        coefficients = model.coefficients(self.x, self.y)
        n_basis = coefficients.shape[1]
        residual = (self.target - np.sum(coefficients * self.vectors[:, :n_basis], axis=1)
                    - self.vectors[:, n_basis:] @ model.background_coefficients)
        # tiles are much wider than the kernel, which therefore only scales the noise of their sums
        variance = self.target_variance + np.square(coefficients @ _sums_of(basis)) * self.source_variance
        # a sky with a structure of its own tells less
        sizes = np.abs(residual)
        largest = np.max(sizes / self.n_pixels)
        variance = variance + np.square(extra_scatter(sizes, variance, self.n_pixels**2, largest) * self.n_pixels)
        return influence(residual / np.sqrt(variance), loss) / variance, variance

    def products(self, weights):
        """Products of the vectors of each tile with one another, and with the target."""
        weighted = self.vectors * weights[:, np.newaxis]
        return weighted[:, :, np.newaxis] * self.vectors[:, np.newaxis], weighted * self.target[:, np.newaxis]

    def noise_products(self, weights, basis):
        """What the noise of the source adds to these products on the average."""
        sums, n = _sums_of(basis), self.vectors.shape[1]
        noise = np.zeros((len(weights), n, n))
        noise[:, :len(sums), :len(sums)] = np.multiply.outer(weights * self.source_variance, np.outer(sums, sums))
        return noise


def _sums_of(basis):
    return basis.images.sum(axis=(1, 2))


def _tiles(shape, margin):
    """First pixel (x, y) and width of squares spread over a region, ``margin`` pixels inside it."""
    edges = [np.linspace(margin, n - margin, int(np.clip((n - 2 * margin) // SMALLEST, 1, TILES)) + 1) for n in shape]
    size = int(min(*(e[1] - e[0] for e in edges), LARGEST))
    rows, columns = ((0.5 * (e[1:] + e[:-1] - size)).astype(int) for e in edges)
    return [(int(x), int(y), size) for y in rows for x in columns] if size > 0 else []


def _sums(design, x, y, size):
    """Sums over the empty pixels of one tile, in the order of `Sky`; None if there are few."""
    r, (x0, y0) = design.config.rkernel, design.region.origin
    wide = np.s_[y0 + y - r:y0 + y + size + r, x0 + x - r:x0 + x + size + r]
    inside = np.s_[r:r + size, r:r + size]
    source, target = (_Section(exposure, wide) for exposure in (design.source, design.target))
    empty = (_far_from(source.marked | target.marked, r) & _far_from(source.faint | target.faint, SOURCE))[inside]
    n = np.count_nonzero(empty)
    if n < EMPTY * empty.size:
        return None
    # a convolved image sums up to the kernel times the sums of the image at all offsets
    sums = convolve_stack(source.data[np.newaxis], empty[np.newaxis, ::-1, ::-1].astype(float))[0, ::-1, ::-1]
    convolved = np.einsum('kyx,yx->k', design.basis.images, sums)        # not by BLAS, which has threads of its own
    xs, ys = x0 + x + np.arange(size, dtype=float), y0 + y + np.arange(size, dtype=float)
    along_x, along_y = design.background_terms.factors(*design.frame.normalise(xs, ys))
    background = np.sum(np.einsum('yx,xk->yk', empty, along_x) * along_y, axis=0)
    return (empty.sum(axis=0) @ xs / n, empty.sum(axis=1) @ ys / n, float(n), np.sum(target.data[inside], where=empty),
            np.concatenate([convolved, background]),
            *(np.sum(section.variance[inside], where=empty) * exposure.correlated.of_sums
              for section, exposure in ((target, design.target), (source, design.source))))


class _Section:
    """Part of an exposure: its pixels and their variance, and which are no sky, by themselves or with those around."""

    def __init__(self, exposure, cut):
        data, variance = exposure.cutout(cut).astype(float), exposure.variance(cut).astype(float)
        bad = bad_pixels(exposure, cut) | ~(np.isfinite(variance) & (variance > 0))
        self.data, self.variance = np.where(bad, 0, data), np.where(bad, 0, variance)
        self.marked = self.faint = bad
        if not bad.all():
            off = np.where(bad, 0, data - _median(data[~bad]))
            self.marked = bad | (np.abs(off) > BRIGHT * np.sqrt(_median(variance[~bad])))
            self.faint = _stands_out(off)


def _stands_out(off):
    """Where faint sources are, which only show in sums. Those that only one image has would be taken for its sky."""
    from scipy.ndimage import uniform_filter
    smooth = np.abs(uniform_filter(off, SOURCE))
    return smooth > FAINT * 1.4826 * _median(smooth.ravel())


def _median(values):
    return np.median(values[::max(1, len(values) // SAMPLE)])


def _far_from(marked, distance):
    """Pixels that are farther than a distance, in x and y, from all that are marked."""
    from scipy.ndimage import maximum_filter
    return ~maximum_filter(marked, size=2 * distance + 1, mode='constant', cval=False)
