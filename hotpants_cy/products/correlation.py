"""Errors of what is measured on a difference, which know how its pixels are correlated."""

import math
from dataclasses import dataclass

import numpy as np

from ..checks import checked, positive
from ..exceptions import InputError, NotSupportedError
from ..stamps.positions import pixel_positions
from ..words import counted
from .noise_field import NoiseField

__all__ = ['DifferenceNoise']

_LARGEST_CUTOUT = 16_384        # pixels: their covariances fill some 0.5 GB


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
    def of(cls, hot):
        """Noise of the difference of a `~hotpants_cy.Hotpants` object."""
        hot.assemble('difference')
        fields = [NoiseField.of(run) for run in hot.live_regions]
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
        words = f'a number of pixels above zero, at most half the shorter side of the image, {largest:g}'
        radius = checked('radius', radius, positive(words, largest))
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
        try:
            rows, columns = (range(*part.indices(n)) for part, n in
                             zip(getattr(cutout, 'slices_original', cutout), self.frame.shape, strict=True))
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f'cutout={cutout!r} is impossible: it must be two slices of whole numbers, like '
                             'np.s_[100:120, 200:220], or a Cutout2D') from error
        if not 0 < len(rows) * len(columns) <= _LARGEST_CUTOUT or rows.step != 1 or columns.step != 1:
            raise InputError(f'a cutout of {len(rows)} x {len(columns)} pixels cannot be had: it must have 1 to '
                             f'{_LARGEST_CUTOUT} pixels, next to each other')
        shape, (x0, y0) = (len(rows), len(columns)), (columns[0], rows[0])
        field = self.at(x0 + shape[1] // 2, y0 + shape[0] // 2)
        if field is None:
            raise InputError('there is no difference in this cutout')
        unit = None if self.frame.unit is None else self.frame.unit**2
        return Covariance(field.covariance(x0, y0, shape), data_shape=shape, assume_symmetric=True, unit=unit)
