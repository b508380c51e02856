"""Anything that holds an image -> `Frame`: the plain float32 planes that the engine works on."""

import logging
import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..exceptions import InputError
from .planes import (
    as_bits,
    as_mask,
    as_plane,
    as_unit,
    as_variance,
    extremes,
    flag_plane,
    is_shared,
    replaced,
    scaled,
    union,
    unusable,
    unusable_noise,
)
from .sources import planes_of_array, planes_of_file, planes_of_hdu, planes_of_nddata

__all__ = ['Frame', 'as_frame', 'as_pair', 'check_pair', 'with_correlations']

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Frame:
    """One image as the engine sees it; made by `as_frame` or `Frame.from_planes`.

    Parameters
    ----------
    data : float32 array, shape (ny, nx)
        Native, C-contiguous, finite everywhere. Like all planes it may be the caller's own array: read only.
    variance : float32 array, shape (ny, nx), or None
        In data units squared. `None`: the gain and read noise model is to be used.
    flags : int32 array, shape (ny, nx), or None
        The `HotpantsFlags` bits that are known from the start. `None`: nothing is flagged.
    unit : `~astropy.units.Unit`, optional
        Unit of the data, `None` if unknown (default).
    wcs : `~astropy.wcs.WCS`, optional
        Celestial coordinates.
    meta : dict-like, optional
        The header.
    uncertainty_type : class, optional
        Class of the uncertainty that the image came with.
    name : str, optional
        What to call the image in messages; default ``'science'``.
    psf : array, optional
        Image of its point spread function, if it came with one.
    noise_correlation : array of odd sides, optional
        Autocorrelation of its noise, 1 at the centre; `None`, the default, for noise that is white.
    """

    data: np.ndarray
    variance: np.ndarray | None
    flags: np.ndarray | None
    unit: Any = None
    wcs: Any = None
    meta: Any = None
    uncertainty_type: type | None = None
    name: str = 'science'
    psf: Any = None
    noise_correlation: Any = None

    @property
    def shape(self):
        """Shape of the planes, (ny, nx)."""
        return self.data.shape

    @cached_property
    def extremes(self):
        """Smallest and largest value of the data."""
        return extremes(self.data)

    @classmethod
    def from_planes(cls, data, *, sigma=None, variance=None, mask=None, bits=None, keep_masked_values=False,
                    unit=None, wcs=None, meta=None, uncertainty_type=None, name='science', psf=None, owned=False):
        """Check and convert the planes of one image.

        What cannot be used is flagged, and its values are replaced by the median of the rest: a NaN would spread
        over the whole footprint of the kernel. Planes that are fit for use are shared, others copied once.

        Parameters
        ----------
        data : array-like, shape (ny, nx)
            Integers or floats of any size and byte order. Pixels that are not finite get NAN and INPUT_ISBAD; unless
            ``keep_masked_values``, so do those beyond 1e18 in an image of much smaller values.
        sigma, variance : array-like, shape (ny, nx), optional
            Standard deviation in data units, or variance in data units squared; not both. Pixels where it is not
            finite, or negative, get NAN and INPUT_ISBAD.
        mask : array-like, shape (ny, nx), optional
            `True` or not 0 is bad: INPUT_MASK and INPUT_ISBAD.
        bits : array-like of int, shape (ny, nx), optional
            Pixels of a mask file [C: ``-imi``, ``-tmi``]: bits are kept as they are, values above 0 get INPUT_MASK.
            None of these replaces a value.
        keep_masked_values : bool, optional
            Replace only what is not finite. C HOTPANTS lets the value of a masked pixel leak into neighbours that
            have less than 1 % of the kernel on it. Default `False`.
        unit, wcs, meta, uncertainty_type, name, psf
            See `Frame`.
        owned : bool, optional
            The planes are nobody else's and may be overwritten. Default `False`.

        Returns
        -------
        Frame

        Raises
        ------
        InputError
            If a plane is not a 2-D array of numbers, shapes differ, or no pixel is left.

        Examples
        --------
        >>> import numpy as np
        >>> from hotpants_cy.inputs.frame import Frame
        >>> frame = Frame.from_planes([[1, 2], [3, np.nan]])
        >>> frame.data
        array([[1., 2.],
               [3., 2.]], dtype=float32)
        >>> frame.flags
        array([[  0,   0],
               [  0, 136]], dtype=int32)
        """
        if data is None:
            raise InputError(f'{name} image: there is none, only None')
        if sigma is not None and variance is not None:
            raise InputError(f'{name} image: give sigma or variance, not both')
        values = as_plane(data, f'{name} image')
        noise = as_variance(sigma, variance, values.shape, name)
        found = extremes(values)
        planes = [(values, owned or not is_shared(values, data), unusable(values, found, keep_masked_values))]
        if noise is not None:
            mine = owned or sigma is not None or not is_shared(noise, variance)
            # C squares a negative sigma and goes on
            planes.append((noise, mine, unusable_noise(noise, None if keep_masked_values else sigma)))
        mask = as_mask(mask, values.shape, name)
        flags = flag_plane([bad for *_, bad in planes], mask, as_bits(bits, values.shape, name))
        if noise is not None and planes[1][2] is not None and planes[1][2].all():
            raise InputError(f'{name} image: everything is masked, since none of the {values.size} uncertainties can '
                             'be used: they must be finite and not negative')
        if flags is not None and flags.all():
            masked = mask is not None or bits is not None
            what = 'everything is masked' if masked else 'all pixels are NaN, infinite or too large'
            raise InputError(f'{name} image: {what}, no pixel of {flags.size} can be used')
        usable = None if flags is None else flags == 0
        hidden = None if keep_masked_values else union([bad for *_, bad in planes] + [mask])
        clean, *noise = [replaced(*plane, hidden, usable) for plane in planes]
        frame = cls(clean, noise[0] if noise else None, flags, as_unit(unit), wcs, meta, uncertainty_type, name, psf)
        if hidden is None and planes[0][2] is None:
            vars(frame)['extremes'] = found          # nothing was replaced
        return frame


def as_frame(image, *, name, keep_masked_values=False, mask=None, sigma=None):
    """Make a `Frame` of any image.

    Parameters
    ----------
    image : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, array-like, HDU, str or `~pathlib.Path`
        Image objects bring data, uncertainty (standard deviation, variance or inverse variance), mask, unit, wcs
        and meta. Image HDUs bring data, unit, wcs and header; of an HDUList it is the first one with an image. Arrays
        may be masked arrays, `~astropy.units.Quantity` and `~astropy.utils.masked.Masked`, of any numeric dtype and
        byte order. Paths are read as by `~hotpants_cy.inputs.reading.read_plane`, with the unit from BUNIT, the wcs
        from the header, and the ``MASK`` and ``UNCERT`` extensions that ``CCDData.write`` makes.
    name : str
        ``'science'`` or ``'template'``, for messages.
    keep_masked_values : bool, optional
        As in `Frame.from_planes` (default `False`). If `True`, the object's ``flags`` are used too, as the pixels
        of a HOTPANTS mask file. Otherwise they are ignored: foreign bits have no agreed meaning, the boolean
        ``mask`` has.
    mask : array-like or path, shape (ny, nx), optional
        What is bad in addition to the image's own mask: True, or larger than 0. If ``keep_masked_values`` is `True`,
        integers are the pixels of a HOTPANTS mask file.
    sigma : array-like or path, shape (ny, nx), optional
        Standard deviation in data units, instead of the image's own uncertainty.

    Returns
    -------
    Frame

    Raises
    ------
    InputError
        If the image cannot be read or used.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData, StdDevUncertainty
    >>> from hotpants_cy.inputs.frame import as_frame
    >>> image = CCDData(np.ones((2, 3)), uncertainty=StdDevUncertainty(np.full((2, 3), 2.0)), unit='adu')
    >>> frame = as_frame(image, name='science')
    >>> frame.variance[0], frame.unit
    (array([4., 4., 4.], dtype=float32), Unit("adu"))
    """
    if isinstance(image, Frame):
        return image
    if isinstance(image, (str, os.PathLike)):
        planes = planes_of_file(image, name)
    elif hasattr(image, 'uncertainty') and hasattr(image, 'data'):
        planes = planes_of_nddata(image, name)
        if keep_masked_values:
            planes['bits'] = getattr(image, 'flags', None)
    elif _holds_hdus(image):
        planes = planes_of_hdu(image, name)
    else:
        planes = planes_of_array(image)
    if sigma is not None:
        from astropy.nddata import StdDevUncertainty
        planes.pop('variance', None)
        planes.update(sigma=_plane_of(sigma), uncertainty_type=StdDevUncertainty)
    if mask is not None:
        mask = np.asarray(_plane_of(mask))
        if keep_masked_values and mask.dtype.kind != 'b':
            planes['bits'] = mask
        else:
            planes['mask'] = mask > 0 if planes.get('mask') is None else (mask > 0) | (planes['mask'] != 0)
    return Frame.from_planes(**planes, keep_masked_values=keep_masked_values, name=name)


def _holds_hdus(image):
    # lists of numbers are images as well
    first = image[0] if isinstance(image, list) and image else image
    return hasattr(first, 'header') and hasattr(first, 'is_image')


def _plane_of(plane):
    if isinstance(plane, (str, os.PathLike)):
        from .reading import read_plane
        return read_plane(plane)[0]
    return plane


def as_pair(science, template, *, keep_masked_values=False):
    """Make frames of a science image and a template, the latter in the unit of the former.

    Parameters
    ----------
    science, template : image
        What `as_frame` takes.
    keep_masked_values : bool, optional
        As in `as_frame`. Default False.

    Returns
    -------
    science, template : Frame

    Raises
    ------
    InputError
        As by `as_frame` and `check_pair`.
    """
    science = as_frame(science, name='science', keep_masked_values=keep_masked_values)
    return science, check_pair(science, as_frame(template, name='template', keep_masked_values=keep_masked_values))


def check_pair(science, template):
    """Check that two frames can be subtracted, and bring the template to the unit of the science image.

    Parameters
    ----------
    science, template : Frame
        The pair. If only one has a unit, the other is taken to be in the same.

    Returns
    -------
    Frame
        The template in the unit of the science image; the same object if nothing has to change.

    Raises
    ------
    InputError
        If shapes differ or the units do not convert.

    Examples
    --------
    >>> from hotpants_cy.inputs.frame import Frame, check_pair
    >>> science = Frame.from_planes([[1.0, 2.0]], unit='mJy')
    >>> template = Frame.from_planes([[1.0, 2.0]], unit='Jy', name='template')
    >>> check_pair(science, template).data
    array([[1000., 2000.]], dtype=float32)
    """
    if science.shape != template.shape:
        raise InputError(f'the shapes differ: science (ny, nx) = {science.shape}, template {template.shape}; '
                         'register (reproject) the template onto the pixels of the science image first')
    if science.unit == template.unit:
        return template
    if science.unit is None or template.unit is None:
        _log.info('only one image has a unit; both are taken to be in %s', science.unit or template.unit)
        return template
    try:
        factor = template.unit.to(science.unit)
    except Exception as error:
        raise InputError(f'the template is in {template.unit}, which does not convert to {science.unit}, the unit of '
                         'the science image; convert one of them, or give both the same unit') from error
    data, variance = scaled(template.data, factor, 'template image'), template.variance
    if variance is not None:
        variance = scaled(variance, factor**2, 'template variance')
    return replace(template, data=data, variance=variance, unit=science.unit)


def with_correlations(frames, correlations):
    """Frames that know the autocorrelations of their noise, as `checked_correlations` gives them; None changes none."""
    return [frame if plane is None else replace(frame, noise_correlation=plane)
            for frame, plane in zip(frames, correlations, strict=True)]
