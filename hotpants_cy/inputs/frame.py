"""Anything that holds an image -> `Frame`: the plain float32 planes that the engine works on."""

import logging
import math
import os
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..exceptions import InputError
from .flags import HotpantsFlags

__all__ = ['Frame', 'as_frame', 'check_pair']

_log = logging.getLogger(__name__)

_MASKED = int(HotpantsFlags.INPUT_MASK | HotpantsFlags.INPUT_ISBAD)
_NOT_FINITE = int(HotpantsFlags.NAN | HotpantsFlags.INPUT_ISBAD)
_UNCERTAINTIES = {'StdDevUncertainty': 1, 'VarianceUncertainty': 2, 'InverseVariance': -2}    # power of the data unit
_UNIT_NAMES = {'adu': 'adu', 'count': 'ct', 'counts': 'ct', 'electron': 'electron', 'electrons': 'electron',
               'e-': 'electron', 'dn': 'DN'}


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
    """

    data: np.ndarray
    variance: np.ndarray | None
    flags: np.ndarray | None
    unit: Any = None
    wcs: Any = None
    meta: Any = None
    uncertainty_type: type | None = None
    name: str = 'science'

    @property
    def shape(self):
        """Shape of the planes, (ny, nx)."""
        return self.data.shape

    @classmethod
    def from_planes(cls, data, *, sigma=None, variance=None, mask=None, bits=None, keep_masked_values=False,
                    unit=None, wcs=None, meta=None, uncertainty_type=None, name='science', owned=False):
        """Check and convert the planes of one image.

        What cannot be used is flagged, and its values are replaced by the median of the rest: a NaN would spread
        over the whole footprint of the kernel. Planes that are fit for use are shared, others copied once.

        Parameters
        ----------
        data : array-like, shape (ny, nx)
            Integers or floats of any size and byte order. Pixels that are not finite get NAN and INPUT_ISBAD.
        sigma, variance : array-like, shape (ny, nx), optional
            Standard deviation in data units, or variance in data units squared; not both. Pixels where it is not
            finite, or the variance negative, get NAN and INPUT_ISBAD.
        mask : array-like, shape (ny, nx), optional
            `True` or not 0 is bad: INPUT_MASK and INPUT_ISBAD.
        bits : array-like of int, shape (ny, nx), optional
            Pixels of a mask file [C: ``-imi``, ``-tmi``]: bits are kept as they are, values above 0 get INPUT_MASK.
            None of these replaces a value.
        keep_masked_values : bool, optional
            Replace only what is not finite. C HOTPANTS lets the value of a masked pixel leak into neighbours that
            have less than 1 % of the kernel on it. Default `False`.
        unit, wcs, meta, uncertainty_type, name
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
        if sigma is not None and variance is not None:
            raise InputError(f'{name} image: give sigma or variance, not both')
        values = _as_plane(data, f'{name} image')
        noise = _as_variance(sigma, variance, values.shape, name)
        planes = [(values, owned or not _shared(values, data), ~np.isfinite(values))]
        if noise is not None:
            mine = owned or sigma is not None or not _shared(noise, variance)
            planes.append((noise, mine, ~(np.isfinite(noise) & (noise >= 0))))
        mask = _as_mask(mask, values.shape, name)
        flags = _flag([bad for *_, bad in planes], mask, _as_bits(bits, values.shape, name))
        if flags is not None and flags.all():
            raise InputError(f'{name} image: everything is masked, no pixel of {flags.size} can be used')
        usable = None if flags is None else flags == 0
        hidden = None if keep_masked_values else _any([bad for *_, bad in planes] + [mask])
        values, *noise = [_replaced(*plane, hidden, usable) for plane in planes]
        return cls(values, noise[0] if noise else None, flags, _as_unit(unit), wcs, meta, uncertainty_type, name)


def as_frame(image, *, name, keep_masked_values=False):
    """Make a `Frame` of any image.

    Parameters
    ----------
    image : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, array-like, str or `~pathlib.Path`
        Image objects bring data, uncertainty (standard deviation, variance or inverse variance), mask, unit, wcs
        and meta. Arrays may be masked arrays, `~astropy.units.Quantity` and `~astropy.utils.masked.Masked`, of any
        numeric dtype and byte order. Paths are read as by `~hotpants_cy.inputs.files.read_plane`, with the unit from
        BUNIT, the wcs from the header, and the ``MASK`` and ``UNCERT`` extensions that ``CCDData.write`` makes.
    name : str
        ``'science'`` or ``'template'``, for messages.
    keep_masked_values : bool, optional
        As in `Frame.from_planes` (default `False`). If `True`, the object's ``flags`` are used too, as the pixels
        of a HOTPANTS mask file. Otherwise they are ignored: foreign bits have no agreed meaning, the boolean
        ``mask`` has.

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
        planes = _planes_of_file(image, name)
    elif hasattr(image, 'uncertainty') and hasattr(image, 'data'):
        planes = _planes_of_nddata(image, name)
        if keep_masked_values:
            planes['bits'] = getattr(image, 'flags', None)
    else:
        planes = _planes_of_array(image)
    return Frame.from_planes(**planes, keep_masked_values=keep_masked_values, name=name)


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
    data, variance = _scaled(template.data, factor, 'template image'), template.variance
    if variance is not None:
        variance = _scaled(variance, factor**2, 'template variance')
    return replace(template, data=data, variance=variance, unit=science.unit)


# -- planes, checked and converted ------------------------------------------------------------

def _as_array(plane, what, shape):
    try:
        plane = np.asarray(plane)
    except ValueError as error:
        raise InputError(f'{what}: not an array of numbers: {error}') from error
    if plane.dtype.kind not in 'biuf':
        raise InputError(f'{what}: cannot use {plane.dtype} values, only integers and floats')
    if shape is not None and plane.shape != shape:
        raise InputError(f'{what} has shape {plane.shape}, but the data have {shape}')
    return plane


def _as_plane(plane, what, shape=None):
    """Give the plane as float32, native, C-contiguous: itself if it is so already."""
    plane = _as_array(plane, what, shape)
    if plane.dtype.kind == 'b':
        raise InputError(f'{what}: holds only True and False; give the pixel values (a mask goes into mask=)')
    if plane.ndim != 2:
        raise InputError(f'{what}: need a 2-D array (ny, nx), not one of shape {plane.shape}')
    if plane.size == 0:
        raise InputError(f'{what}: has no pixels, its shape is {plane.shape}')
    with np.errstate(over='ignore', invalid='ignore'):    # beyond float32 is infinite, thus masked
        converted = np.require(plane, np.float32, ['C', 'A'])
    if plane.dtype == np.float64:
        _check_small(converted, plane, what)
    return converted


def _as_variance(sigma, variance, shape, name):
    source, what = (variance, 'variance') if sigma is None else (sigma, 'sigma')
    if source is None:
        return None
    plane = _as_plane(source, f'{name} {what}', shape)
    if sigma is not None:
        with np.errstate(over='ignore', under='ignore'):
            plane = plane * plane
    _check_small(plane, source, f'{name} variance')
    return plane


def _check_small(plane, source, what):
    """Fluxes of 1e-20 are common, and their squares are 0 in single precision."""
    lost = np.count_nonzero((np.abs(plane) < np.finfo(np.float32).tiny) & (np.asarray(source) != 0))
    if 2 * lost > plane.size:
        raise InputError(f'{what}: too small for single precision (below 1e-38) at {lost} of {plane.size} pixels; '
                         'multiply the image by a power of ten, or use a smaller unit')


def _as_mask(mask, shape, name):
    if mask is None or mask is np.ma.nomask:
        return None
    mask = _as_array(np.broadcast_to(mask, shape) if np.ndim(mask) == 0 else mask, f'{name} mask', shape)
    return mask if mask.dtype.kind == 'b' else mask != 0


def _as_bits(bits, shape, name):
    if bits is None:
        return None
    bits = _as_array(bits, f'{name} mask bits', shape)
    if bits.dtype.kind == 'f' and not (np.abs(bits) < 2**31).all():
        raise InputError(f'{name} mask bits: must lie between -2^31 and 2^31')
    bits = bits.astype(np.int32)    # truncates towards zero, as C does
    return bits | np.where(bits > 0, np.int32(HotpantsFlags.INPUT_MASK), np.int32(0))


def _as_unit(unit):
    if unit is None:
        return None
    from astropy.units import Unit
    from astropy.units.function import FunctionUnitBase
    unit = Unit(unit)
    if isinstance(unit, FunctionUnitBase):
        raise InputError(f'images in {unit} cannot be subtracted; convert to a linear unit first')
    return unit


def _shared(plane, source):
    return np.may_share_memory(plane, np.asarray(source))


def _any(planes):
    """Union of boolean planes, `None` if nothing is set."""
    planes = [plane for plane in planes if plane is not None and plane.any()]
    return np.logical_or.reduce(planes) if planes else None


def _flag(bad, mask, bits):
    flags = None if bits is None or not bits.any() else bits
    for where, value in ((_any(bad), _NOT_FINITE), (_any([mask]), _MASKED)):
        if where is not None:
            flags = np.zeros(where.shape, np.int32) if flags is None else flags
            flags[where] |= value
    return flags


def _replaced(plane, mine, bad, hidden, usable):
    """Put the median of the usable pixels where the plane is bad or hidden."""
    where = _any([bad, hidden])
    if where is None:
        return plane
    plane = plane if mine else plane.copy()
    plane[where] = _median(plane, usable)
    return plane


def _median(plane, usable):
    """Median of some 1e5 of the usable pixels, spread evenly over rows and columns."""
    step = max(1, plane.size // 100_000)
    while math.gcd(step, plane.shape[1]) > 1:
        step += 1
    sample = plane.ravel()[::step][usable.ravel()[::step]]
    return np.median(sample if sample.size > 1000 else plane[usable])


def _scaled(plane, factor, what):
    """Multiply in double precision, without a double precision copy."""
    out = np.empty_like(plane)
    with np.errstate(over='ignore', under='ignore'):
        np.multiply(plane, factor, out=out, dtype=np.float64, casting='same_kind')
    if not np.isfinite(out).all():
        raise InputError(f'{what}: multiplied by {factor:g} it leaves the range of single precision')
    _check_small(out, plane, what)
    return out


# -- where planes come from -------------------------------------------------------------------

def _planes_of_array(image):
    from astropy.units import Quantity
    from astropy.utils.masked import Masked
    mask = None
    if isinstance(image, Masked):
        image, mask = image.unmasked, image.mask
    elif isinstance(image, np.ma.MaskedArray):
        image, mask = image.data, image.mask
    if isinstance(image, Quantity):
        return {'data': image.value, 'mask': mask, 'unit': image.unit}
    return {'data': image, 'mask': mask}


def _planes_of_nddata(image, name):
    planes = _planes_of_array(image.data)
    planes.update(mask=image.mask if image.mask is not None else planes['mask'],
                  unit=image.unit if image.unit is not None else planes.get('unit'), wcs=image.wcs, meta=image.meta)
    uncertainty = image.uncertainty
    if uncertainty is not None and uncertainty.array is not None:
        planes.update(_noise(uncertainty.array, type(uncertainty).__name__, uncertainty.unit, planes['unit'], name))
    return planes


def _noise(array, kind, unit, data_unit, name):
    """Sigma or variance of an uncertainty, in the unit of the data."""
    from astropy import nddata
    if kind not in _UNCERTAINTIES:
        raise InputError(f'{name} image: nobody knows what its {kind} means; make it a '
                         'StdDevUncertainty, VarianceUncertainty or InverseVariance')
    array = _as_array(array, f'{name} uncertainty', None)
    if unit is not None and data_unit is not None:
        expected = _as_unit(data_unit)**_UNCERTAINTIES[kind]
        try:
            factor = _as_unit(unit).to(expected)
        except Exception as error:
            raise InputError(f'{name} image: its uncertainty is in {unit}, which does not convert to {expected}, '
                             'as the unit of the data wants') from error
        array = array if factor == 1 else array * np.float64(factor)
    if kind == 'InverseVariance':
        with np.errstate(divide='ignore', over='ignore', invalid='ignore'):
            array = 1 / array    # 0 says that nothing is known: infinite variance, masked
    planes = {'sigma' if kind == 'StdDevUncertainty' else 'variance': array}
    return {**planes, 'uncertainty_type': getattr(nddata, kind)}


def _planes_of_file(path, name):
    from .files import read_image
    data, header, found = read_image(path, companions=('MASK', 'UNCERT'))
    unit = _unit_of(header, path)
    planes = {'data': data, 'unit': unit, 'meta': header, 'wcs': _wcs_of(header, path), 'owned': True}
    if 'MASK' in found:
        mask, mask_header = found['MASK']
        if mask_header['BITPIX'] == 8:
            planes['mask'] = mask
        else:
            _log.warning('%s: its MASK is no plane of 0 and 1 as astropy writes it, and is not used', path)
    if 'UNCERT' in found:
        array, its_header = found['UNCERT']
        kind = its_header.get('UTYPE', 'StdDevUncertainty')
        planes.update(_noise(array, kind, _unit_of(its_header, path), unit, name))
    return planes


def _unit_of(header, path):
    from astropy.units import Unit
    text = str(header.get('BUNIT', '')).strip()
    if not text:
        return None
    first, *rest = text.split('/')
    known = _UNIT_NAMES.get(first.strip().lower(), first)
    try:
        return Unit('/'.join([known, *rest]))
    except ValueError:
        _log.info('%s: BUNIT %r is no unit that astropy knows; the unit is taken to be unknown', path, text)
        return None


def _wcs_of(header, path):
    from astropy.wcs import WCS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            wcs = WCS(header)
        if not wcs.has_celestial:
            return None
        return wcs if wcs.naxis == 2 else wcs.celestial
    except Exception as error:
        _log.info('%s: no wcs, its header cannot be understood: %s', path, error)
        return None
