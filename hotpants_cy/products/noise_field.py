"""Noise of the difference in one region: what of it neighbouring pixels share."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..inputs.bits import Bits

__all__ = ['NoiseField', 'covariances', 'self_products', 'squared', 'typical']

LOUD = 1e5                      # sigmas, in usual ones, from which a pixel says nothing


@dataclass(frozen=True, eq=False)
class NoiseField:
    r"""Noise of the difference in one region.

    With :math:`U` the image that was not convolved and :math:`C` the one that was, both with white noise,
    the difference :math:`D = U - C \otimes K` (or its negative) has the covariance

    .. math:: \mathrm{Cov}(D_i, D_j) = V^U_i \delta_{ij} + \sum_m K_{i-m} K_{j-m} V^C_m .

    Parameters
    ----------
    plain, convolved : float32 array (ny, nx)
        Variance of :math:`U`, and of :math:`C` before its convolution, in data units squared.
    flags : int32 array (ny, nx)
        Flags of the difference.
    noise : float32 array (ny, nx)
        Standard deviation of the difference.
    kernel : KernelModel
    scale : float
        What the difference was multiplied by.
    origin : (int, int)
        Position (x, y) of the first pixel in the image.
    plain_correlation, convolved_correlation : 2-D array of odd sides, optional
        Autocorrelation of the noise of :math:`U` and :math:`C`, 1 at its centre, if that is not white.
    """

    plain: np.ndarray
    convolved: np.ndarray
    flags: np.ndarray
    noise: np.ndarray
    kernel: object
    scale: float
    origin: tuple
    plain_correlation: np.ndarray | None = None
    convolved_correlation: np.ndarray | None = None

    @classmethod
    def of(cls, run):
        """Noise of a `~hotpants_cy.regional.RegionalSubtraction` that has subtracted."""
        cut, p, (source, target) = run.region.buffered, run.products, run.pair()
        planes = [image.variance(cut, run.n_threads) for image in (target, source)]
        plain, convolved, flags = _without_loud(*planes, p.flags, run.fit.model.half_width)
        return cls(plain, convolved, flags, p.noise, run.fit.model, p.scale, run.region.origin,
                   target.correlated.autocorrelation, source.correlated.autocorrelation)

    @cached_property
    def good(self):
        """Pixels of the difference that can be used."""
        return (self.flags & (Bits.OUTPUT_ISBAD | Bits.NAN)) == 0

    def cutout(self, plane, x0, y0, shape):
        """A part of a plane that begins at pixel (x0, y0) of the image; 0 beyond the region."""
        out = np.zeros(shape)
        y0, x0 = y0 - self.origin[1], x0 - self.origin[0]
        rows, columns = (np.arange(max(start, 0), min(start + n, whole))
                         for start, n, whole in zip((y0, x0), shape, plane.shape, strict=True))
        if rows.size and columns.size:
            out[np.ix_(rows - y0, columns - x0)] = plane[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        return out

    def variance_of_sum(self, weights, x0, y0):
        r"""Variance of :math:`\sum_i w_i D_i`, for a box of weights that begins at pixel (x0, y0).

        A pixel m of the convolved image enters the sum with :math:`a_m = \sum_i w_i K_{i-m}`.
        """
        from scipy.signal import correlate
        half = self.kernel.half_width
        centre = x0 + weights.shape[1] // 2, y0 + weights.shape[0] // 2
        entering = correlate(weights, self.kernel.image(*centre), method='fft')
        before = self.cutout(self.convolved, x0 - half, y0 - half, entering.shape)
        return self.scale**2 * (
            _quadratic(weights, self.cutout(self.plain, x0, y0, weights.shape), self.plain_correlation)
            + _quadratic(entering, before, self.convolved_correlation))

    def typical_variances(self, x, y, width):
        """Medians of the variances of both images in a box around (x, y), of all their good pixels if it has few."""
        corner = round(x) - width // 2, round(y) - width // 2
        good = self.cutout(self.good, *corner, (width, width)) > 0
        if good.sum() < 100:
            good, planes = self.good, (self.plain, self.convolved)
        else:
            planes = (self.cutout(plane, *corner, (width, width)) for plane in (self.plain, self.convolved))
        return tuple(float(np.median(plane[good])) if good.any() else 0.0 for plane in planes)

    def autocorrelation(self, x, y, width=64):
        """Autocorrelation of the difference's noise in the sky around (x, y), 1 at the centre of the array."""
        total = covariances(self.kernel.image(x, y), *self.typical_variances(x, y, width), self.plain_correlation,
                            self.convolved_correlation)
        return total / total[len(total) // 2, len(total) // 2]

    def covariance(self, x0, y0, shape):
        """Covariances of the pixels of a box, as sparse matrix; those of bad pixels are zero."""
        from scipy import sparse
        half, (ny, nx) = self.kernel.half_width, shape
        wide = ny + 2 * half, nx + 2 * half
        enters = _shifts(self.kernel.image(x0 + nx // 2, y0 + ny // 2)[::-1, ::-1], shape, wide)
        total = 0
        for matrix, plane, box, correlation in (
                (sparse.identity(ny * nx), self.plain, (x0, y0, shape), self.plain_correlation),
                (enters, self.convolved, (x0 - half, y0 - half, wide), self.convolved_correlation)):
            seen = matrix @ sparse.diags_array(np.sqrt(self.cutout(plane, *box).ravel()))
            among = seen if correlation is None else seen @ _shifts(correlation, box[2], box[2], len(correlation) // 2)
            total = total + among @ seen.T
        good = sparse.diags_array(self.cutout(self.good, x0, y0, shape).ravel())
        return self.scale**2 * sparse.csr_matrix(good @ total @ good)


def covariances(kernel, plain, convolved, plain_correlation=None, convolved_correlation=None):
    """Covariance of a pixel of the difference with those around it, (n, n), where images have one variance each."""
    whole = convolved * _convolved(self_products(kernel[np.newaxis], 2 * len(kernel) - 1), convolved_correlation)
    own = plain * (np.ones((1, 1)) if plain_correlation is None else plain_correlation)
    side = max(len(whole), len(own))
    return _padded(whole, side) + _padded(own, side)


def self_products(pictures, side):
    """Sums of the products of pictures (n, ny, nx) with themselves, shifted by up to half a ``side``: (side, side).

    The side is odd; shifts longer than it leaves room for beside a picture wrap around.
    """
    # by NumPy, since every difference asks and scipy.signal starts slowly
    power = np.sum(np.abs(np.fft.rfft2(pictures, (side, side)))**2, axis=0)
    return np.fft.fftshift(np.fft.irfft2(power, (side, side)))


def typical(plane):
    """Median of what is above zero, of a sample that is large enough; zero if nothing is."""
    some = plane.reshape(-1)[::max(1, plane.size // 100_000)]
    return float(np.median(some[some > 0])) if (some > 0).any() else 0.0


def _without_loud(plain, convolved, flags, reach):
    """Variances and flags without pixels that say nothing, and would drown all others in the rounding of an FFT."""
    from scipy.ndimage import maximum_filter
    planes = []
    for plane, width in ((plain, 1), (convolved, 2 * reach + 1)):
        limit = np.float32(LOUD**2 * typical(plane))
        if plane.max() > limit > 0:
            flags = flags | np.where(maximum_filter(plane > limit, width), np.int32(Bits.OUTPUT_ISBAD), 0)
            plane = np.minimum(plane, limit)
        planes.append(plane)
    return *planes, flags


def _quadratic(weights, variance, correlation):
    """Variance of a weighted sum of pixels whose noise may be correlated."""
    s = weights * np.sqrt(variance)
    return float(np.sum(squared(s, correlation)))


def squared(weights, correlation):
    """What the variance of each pixel counts in that of a weighted sum, if its noise correlates with neighbours'."""
    if correlation is None:
        return weights**2
    from scipy.signal import convolve
    return weights * convolve(weights, correlation, mode='same')


def _convolved(plane, correlation):
    if correlation is None:
        return plane
    from scipy.signal import convolve
    return convolve(plane, correlation)


def _padded(plane, side):
    return np.pad(plane, [((side - n) // 2,) * 2 for n in plane.shape])


def _shifts(kernel, shape, wide, trim=0):
    """Sparse matrix that correlates a plane of shape ``wide`` with a kernel, to one of ``shape``.

    Pixel (0, 0) of the result has the kernel's first pixel on pixel ``(-trim, -trim)`` of the plane.
    """
    from scipy import sparse
    y, x = np.indices(shape).reshape(2, -1)
    data, rows, columns = [], [], []
    for (dy, dx), value in np.ndenumerate(kernel):
        yy, xx = y + dy - trim, x + dx - trim
        inside = (yy >= 0) & (xx >= 0) & (yy < wide[0]) & (xx < wide[1])
        rows.append(np.flatnonzero(inside))
        columns.append((yy * wide[1] + xx)[inside])
        data.append(np.full(inside.sum(), value))
    indices = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_matrix((np.concatenate(data), indices), shape=(shape[0] * shape[1], wide[0] * wide[1]))
