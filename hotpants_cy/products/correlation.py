"""The covariance of a difference's pixels: what its convolution does to the noise, and errors that know it."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..checks import checked, real
from ..exceptions import InputError, NotSupportedError
from ..inputs.bits import Bits
from ..inputs.planes import as_array
from ..stamps.positions import pixel_positions
from ..words import counted

__all__ = ['DifferenceNoise', 'NoiseField', 'check_correlations', 'squared']

LOUD = 300.0                    # sigmas, in usual ones, from which a pixel says nothing
_LARGEST_CUTOUT = 16_384        # pixels: their covariances fill some 0.5 GB


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
    def of(cls, run, science_correlation=None, template_correlation=None):
        """Noise of a `~hotpants_cy.regional.RegionalSubtraction` that has subtracted."""
        cut, p = run.region.buffered, run.products
        planes = [image.variance(cut, run.n_threads) for image in (run.science, run.template)]
        correlations, order = [science_correlation, template_correlation], 1 if run.direction == 't' else -1
        plain, convolved, flags = _without_loud(*planes[::order], p.flags, run.fit.model.half_width)
        return cls(plain, convolved, flags, p.noise, run.fit.model, p.scale, run.region.origin, *correlations[::order])

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
        from scipy.signal import correlate
        plain, convolved = self.typical_variances(x, y, width)
        kernel = self.kernel.image(x, y)
        whole = convolved * _convolved(correlate(kernel, kernel), self.convolved_correlation)
        own = np.ones((1, 1)) if self.plain_correlation is None else self.plain_correlation
        side = max(len(whole), len(own))
        total = _padded(whole, side) + plain * _padded(own, side)
        return total / total[side // 2, side // 2]

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


def _typical(plane):
    """Median of what is above zero, of a sample that is large enough; zero if nothing is."""
    some = plane.reshape(-1)[::max(1, plane.size // 100_000)]
    return float(np.median(some[some > 0])) if (some > 0).any() else 0.0


def _without_loud(plain, convolved, flags, reach):
    """Variances and flags without pixels that say nothing, but would drown all others in the rounding of an FFT."""
    from scipy.ndimage import maximum_filter
    planes = []
    for plane, width in ((plain, 1), (convolved, 2 * reach + 1)):
        limit = np.float32(LOUD**2 * _typical(plane))
        if plane.max() > limit:
            flags = flags | np.where(maximum_filter(plane > limit, width), np.int32(Bits.OUTPUT_ISBAD), 0)
            plane = np.minimum(plane, limit)
        planes.append(plane)
    return *planes, flags


@dataclass(frozen=True, eq=False)
class DifferenceNoise:
    """Noise of a whole difference: errors of whatever is measured on it.

    Parameters
    ----------
    fields : list of NoiseField
        One per region.
    sections : list of (int, int, int, int)
        First and last pixel in x, first and last in y of each; where they overlap, the later one counts.
    frame : Frame
        The science image: its WCS for sky positions, and its unit.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> pair = make_pair((256, 256), seed=1)
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
    >>> result.noise
    <DifferenceNoise: 256 x 256 pixels, 1 region>

    Of a circle, the error is larger than that of as many independent pixels:

    >>> import numpy as np
    >>> (error,) = result.noise.aperture_error([(128, 128)], radius=5)
    >>> single = np.nanmedian(result.difference.uncertainty.array[118:139, 118:139])
    >>> bool(error.value > np.sqrt(np.pi * 5**2) * single), error.unit
    (True, Unit("adu"))
    """

    fields: list
    sections: list
    frame: object

    def __repr__(self):
        (ny, nx), n = self.frame.shape, len(self.fields)
        return f'<{type(self).__name__}: {nx} x {ny} pixels, {counted(n, "region")}>'

    @classmethod
    def of(cls, hot, *, science_correlation=None, template_correlation=None):
        """Noise of the difference of a `~hotpants_cy.Hotpants` object.

        Parameters
        ----------
        hot : Hotpants
        science_correlation, template_correlation : 2-D array of odd sides, optional
            Autocorrelation of the noise of an image that was resampled: 1 at the centre, the correlation with the
            pixel one to the right beside it, and so on. Default: neighbours are independent.
        """
        _check_correlation(science_correlation, 'science_correlation')
        _check_correlation(template_correlation, 'template_correlation')
        hot.assemble('difference')
        fields = [NoiseField.of(run, science_correlation, template_correlation) for run in hot.live_regions]
        regions = [run.region for run in hot.live_regions]
        return cls(fields, [(r.x0, r.x1, r.y0, r.y1) for r in regions], hot.science)

    def at(self, x, y):
        """Noise of the region that counts at a position; None where there is none."""
        k = self.region_at(x, y)
        return None if k is None else self.fields[k]

    def region_at(self, x, y):
        """Number of the region that counts at a position, of those that could be subtracted; None if there is none."""
        inside = [k for k, (x0, x1, y0, y1) in enumerate(self.sections)
                  if x0 - 0.5 <= x <= x1 + 0.5 and y0 - 0.5 <= y <= y1 + 0.5]
        return inside[-1] if inside else None

    def aperture_error(self, positions, radius):
        """Standard deviation of the sum of the difference in circles.

        Parameters
        ----------
        positions : table, array (n, 2), `~astropy.coordinates.SkyCoord` or one pair
            Centres, 0-based (x, y) pixels or sky positions.
        radius : float
            In pixels, at most half the shorter side of the image. Pixels count with the part of them that lies inside;
            bad pixels not at all.

        Returns
        -------
        `~astropy.units.Quantity` (n,)
            In the unit of the difference, one for each row; NaN where no pixel is good, or a position is not known.
        """
        from photutils.aperture import CircularAperture
        largest = min(self.frame.shape) / 2
        radius = checked('radius', radius, (real(0, largest, above=True)[0], 'a number of pixels above zero, at most '
                                            f'half the shorter side of the image, {largest:g}'))
        half = math.ceil(radius) + 1

        def weights(field, x, y, ix, iy):
            circle = CircularAperture((x - ix + half, y - iy + half), radius)
            return circle.to_mask(method='exact').to_image((2 * half + 1,) * 2), 1.0

        return self._errors(positions, weights)

    def psf_flux_error(self, positions, psf):
        """Standard deviation of PSF fluxes: of fits of the PSF weighted by the noise of each pixel.

        Parameters
        ----------
        positions : table, array (n, 2), `~astropy.coordinates.SkyCoord` or one pair
            Of the sources, 0-based (x, y) pixels or sky positions.
        psf : FieldPSF
            Of the difference.

        Returns
        -------
        `~astropy.units.Quantity` (n,)
            In the unit of the difference, one for each row; NaN where no pixel is good, or a position is not known.
        """
        def weights(field, x, y, ix, iy):
            profile = psf.stamp(x, y)
            corner = ix - len(profile) // 2, iy - len(profile) // 2
            sigma = np.nan_to_num(field.cutout(field.noise, *corner, profile.shape))
            good = (sigma > 0) & (field.cutout(field.good, *corner, profile.shape) > 0)
            w = np.divide(profile, sigma**2, out=np.zeros_like(profile), where=good)
            return w, np.sum(w * profile)

        return self._errors(positions, weights)

    def _errors(self, positions, weights_of):
        """Errors of weighted sums, divided by their norm, at positions."""
        from astropy import units
        errors = []
        for x, y in np.reshape(pixel_positions(positions, self.frame, 'positions', keep_unknown=True), (-1, 2)):
            field = self.at(x, y)
            if field is None:
                errors.append(math.nan)
                continue
            w, norm = weights_of(field, x, y, round(x), round(y))
            corner = round(x) - w.shape[1] // 2, round(y) - w.shape[0] // 2
            w = w * field.cutout(field.good, *corner, w.shape)
            errors.append(math.sqrt(field.variance_of_sum(w, *corner)) / norm if w.any() else math.nan)
        return np.array(errors) * (self.frame.unit or units.dimensionless_unscaled)

    def covariance(self, cutout):
        """Covariances of the pixels of a part of the difference.

        Parameters
        ----------
        cutout : tuple of slice, or `~astropy.nddata.Cutout2D`
            The part, like ``np.s_[100:120, 200:220]``, of at most 16384 pixels; within one region.

        Returns
        -------
        `~astropy.nddata.Covariance`
            Of the pixels row by row; zero for bad ones.
        """
        try:
            from astropy.nddata import Covariance
        except ImportError as error:
            raise NotSupportedError('covariance() needs astropy 7.1 or newer, for astropy.nddata.Covariance') from error
        parts = getattr(cutout, 'slices_original', cutout)
        if not isinstance(parts, tuple) or [type(part) for part in parts] != [slice, slice]:
            raise InputError(f'cutout={cutout!r} is impossible: it must be two slices, like np.s_[100:120, 200:220], '
                             'or a Cutout2D')
        rows, columns = (range(*part.indices(n)) for part, n in zip(parts, self.frame.shape, strict=True))
        if not 0 < len(rows) * len(columns) <= _LARGEST_CUTOUT or rows.step != 1 or columns.step != 1:
            raise InputError(f'a cutout of {len(rows)} x {len(columns)} pixels cannot be had: it must have 1 to '
                             f'{_LARGEST_CUTOUT} pixels, next to each other')
        shape, (x0, y0) = (len(rows), len(columns)), (columns[0], rows[0])
        field = self.at(x0 + shape[1] // 2, y0 + shape[0] // 2)
        if field is None:
            raise InputError('there is no difference in this cutout')
        unit = None if self.frame.unit is None else self.frame.unit**2
        return Covariance(field.covariance(x0, y0, shape), data_shape=shape, assume_symmetric=True, unit=unit)


def check_correlations(pair):
    """Check the ``noise_correlations`` of `~hotpants_cy.subtract` before there is work done."""
    try:
        science, template = pair
    except (TypeError, ValueError):
        raise InputError('noise_correlations must be two, that of the science image and that of the template, each an '
                         'array or None') from None
    _check_correlation(science, 'noise_correlations[0], of the science image,')
    _check_correlation(template, 'noise_correlations[1], of the template,')


def _check_correlation(plane, name):
    if plane is None:
        return
    plane = as_array(plane, name, None).astype(float)
    if plane.ndim != 2 or not all(n % 2 for n in plane.shape) or not np.isclose(
            plane[plane.shape[0] // 2, plane.shape[1] // 2], 1) or not np.allclose(plane, plane[::-1, ::-1]):
        raise InputError(f'{name} must be a 2-D array of odd sides, 1 at its centre and symmetric about it')


def _quadratic(weights, variance, correlation):
    """Variance of a weighted sum of pixels whose noise may be correlated."""
    s = weights * np.sqrt(variance)
    return float(np.sum(squared(s, correlation)))


def squared(weights, correlation):
    """What the variance of each pixel counts in that of a weighted sum, if its noise correlates with neighbours'."""
    from scipy.signal import convolve
    return weights * (weights if correlation is None else convolve(weights, correlation, mode='same'))


def _convolved(plane, correlation):
    from scipy.signal import convolve
    return plane if correlation is None else convolve(plane, correlation)


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
