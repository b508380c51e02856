"""Fluxes of point sources of known PSF, with errors that know the correlated noise of a convolved image."""

import math

import numpy as np
from astropy import units as u
from astropy.nddata import VarianceUncertainty, extract_array
from astropy.table import QTable

from .datasets import positions_of
from .exceptions import InputError
from .inspection.drawing import drawer

__all__ = ['measure_fluxes']


def measure_fluxes(image, positions, psf, *, radius=None, convolved=None, kernel=None):
    r"""Measure the flux of point sources at known positions of an image without background.

    The pixels :math:`D_i` in a circle, each with the part :math:`w_i` of it that lies inside, are divided by what
    the circle holds of a source of unit flux, :math:`P_i`:

    .. math:: F = \sum_i w_i D_i / \sum_i w_i P_i, \qquad
              \sigma_F^2 = \sum_i w_i^2 V_i / \left(\sum_i w_i P_i\right)^2.

    Bad pixels leave both sums, so they cost signal and bias nothing. A circle is used, and not the weights of the PSF,
    since of the PSF it needs only the fraction of light inside: a difference that misses the PSF's shape by
    a little is then still measured right. It costs a faint source some 15 % of its signal-to-noise ratio.

    The noise of a convolved image is correlated, so its part in :math:`\sigma_F` is larger than the variances of
    the pixels tell. Give ``convolved`` and ``kernel`` to have the covariances added, exactly if the noise of the image
    was white before; without them the error is right only where the convolved image's noise is negligible.

    Parameters
    ----------
    image : `~astropy.nddata.CCDData`
        Difference, or image whose sky is subtracted, with uncertainty. Masked and non-finite pixels are left out.
    positions : `~astropy.table.Table` or array_like
        Columns ``x`` and ``y``, or pairs of them, shape (n, 2), in 0-based pixels.
    psf : callable, model or 2-D array
        ``psf(x, y)`` gives the photutils model (or another function of x and y) of a source of unit flux there, as a
        `~hotpants_cy.datasets.PSF` does, or its picture, an array of odd sides with the source in the centre, as
        ``result.psf`` does. One model or picture serves for all positions. In a difference this is the PSF of
        the image that was not convolved.
    radius : float, optional
        Radius of the circle in pixels. Default: ``psf.fwhm``, or ``psf.fwhm(x, y)`` in the middle of the image.
    convolved : `~astropy.nddata.NDData`, optional
        The image with uncertainty that was convolved to make ``image``.
    kernel : callable, optional
        ``kernel(x, y)`` gives the kernel, a 2-D array of odd sides, on the flux scale of ``image``.

    Returns
    -------
    `~astropy.table.QTable`
        Columns ``x``, ``y``, ``flux``, ``flux_err`` in the unit of the image, and ``psf_fraction``, the part of the
        light that fell on good pixels of the circle. No good pixel at all gives NaN.

    Raises
    ------
    InputError
        No uncertainty, only one of ``convolved`` and ``kernel``, or a PSF that cannot be drawn or tells no ``fwhm``.

    Examples
    --------
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.photometry import measure_fluxes
    >>> pair = make_pair((256, 256), seed=3, n_transients=4)
    >>> sky_subtracted = pair.science.subtract(400 * pair.science.unit)
    >>> fluxes = measure_fluxes(sky_subtracted, pair.transients, pair.science_psf)
    >>> bool(abs(fluxes['flux'] - pair.transients['flux']).max() < 5 * fluxes['flux_err'].max())
    True
    """
    if (convolved is None) != (kernel is None):
        raise InputError('convolved and kernel belong together: give both or none')
    radius = _full_width(psf, image.data.shape) if radius is None else radius
    draw = drawer(psf, image.data.shape, math.ceil(radius) + 1)
    data = np.where(_bad(image), np.nan, image.data).astype(float)
    variance = _variance(image, 'image')
    noise = None if convolved is None else np.nan_to_num(_variance(convolved, 'convolved image'))
    xy = positions_of(positions)
    rows = np.full((len(xy), 3), np.nan)
    for row, (x, y) in zip(rows, xy, strict=True):
        d, v, w, p = _cutouts(data, variance, draw, x, y, radius)
        row[2] = np.sum(w * p)
        if row[2] > 0:
            extra = 0.0 if noise is None else _covariance(noise, w, kernel(x, y), x, y)
            row[:2] = np.sum(w * d) / row[2], math.sqrt(np.sum(w * w * v) + extra) / row[2]
    unit = image.unit or u.dimensionless_unscaled
    return QTable({'x': xy[:, 0], 'y': xy[:, 1], 'flux': rows[:, 0] * unit, 'flux_err': rows[:, 1] * unit,
                   'psf_fraction': rows[:, 2]})


def _bad(image):
    return False if image.mask is None else np.asarray(image.mask, bool)


def _variance(image, name):
    if image.uncertainty is None:
        raise InputError(f'the {name} has no uncertainty: measure_fluxes needs one for the errors')
    return np.asarray(image.uncertainty.represent_as(VarianceUncertainty).array, float)


def _full_width(psf, shape):
    """FWHM that a PSF tells, of one that varies in the middle."""
    width = getattr(psf, 'fwhm', None)
    width = width(shape[1] // 2, shape[0] // 2) if callable(width) else getattr(width, 'value', width)
    if width is None:
        raise InputError('the PSF tells no fwhm: give the radius of the circle in pixels')
    return float(width)


def _cutouts(data, variance, draw, x, y, radius):
    """Data, variance, weight in the circle and unit source, around the pixel nearest to (x, y)."""
    from photutils.aperture import CircularAperture
    half = math.ceil(radius) + 1
    side = 2 * half + 1
    ix, iy = round(x), round(y)
    d, v = (extract_array(plane, (side, side), (iy, ix), mode='partial', fill_value=np.nan)
            for plane in (data, variance))
    weight = CircularAperture((x - ix + half, y - iy + half), radius).to_mask(method='exact').to_image((side, side))
    source = draw(x, y)
    source = extract_array(source, (side, side), (len(source) // 2,) * 2, mode='partial', fill_value=0.0)
    good = np.isfinite(d) & np.isfinite(v)
    return np.where(good, d, 0), np.where(good, v, 0), np.where(good, weight, 0), source


def _covariance(noise, weight, kernel, x, y):
    """What the covariances of a convolved image's noise add to the variance of a weighted sum.

    Pixel j of the image before convolution enters the sum with ``a_j = sum_i w_i K_(i-j)``, so the variance is
    ``sum_j a_j^2 V_j``; without covariances it would be ``sum_j V_j sum_i w_i^2 K_(i-j)^2``.
    """
    from scipy.signal import correlate
    whole = correlate(weight, kernel, method='direct') ** 2
    alone = correlate(weight ** 2, np.square(kernel), method='direct')
    v = extract_array(noise, whole.shape, (round(y), round(x)), mode='partial', fill_value=0.0)
    return float(np.sum(v * (whole - alone)))
