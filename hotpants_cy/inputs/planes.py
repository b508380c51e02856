"""Planes of numbers, checked and converted to what the engine works on."""

import math

import numpy as np

from ..exceptions import InputError
from .bits import Bits

__all__ = ['as_array', 'as_bits', 'as_mask', 'as_plane', 'as_unit', 'as_variance', 'extremes', 'flag_plane',
           'is_shared', 'replaced', 'row_blocks', 'scaled', 'union', 'unusable', 'unusable_noise']

_MASKED = Bits.INPUT_MASK | Bits.INPUT_ISBAD
_NOT_FINITE = Bits.NAN | Bits.INPUT_ISBAD
_LARGEST = float(np.finfo(np.float32).max)
_FAR = 1e18         # no image has such values, and their squares leave single precision


def row_blocks(shape, pixels=1 << 15):
    """Slices of rows that make up a plane: what is made of one on the way is small enough for cache and heap."""
    ny, nx = shape
    rows = max(1, pixels // max(1, nx))
    return [slice(y, min(y + rows, ny)) for y in range(0, ny, rows)]


def as_array(plane, what, shape):
    """Give any plane as an array of integers, floats or booleans, of ``shape`` if one is given."""
    try:
        plane = np.asarray(plane)
    except ValueError as error:
        raise InputError(f'{what}: not an array of numbers: {error}') from error
    if plane.dtype.kind not in 'biuf':
        raise InputError(f'{what}: cannot use {plane.dtype} values, only integers and floats')
    if shape is not None and plane.shape != shape:
        raise InputError(f'{what} has shape {plane.shape}, but the data have {shape}')
    return plane


def as_plane(plane, what, shape=None):
    """Give the plane as float32, native, C-contiguous: itself if it is so already."""
    plane = as_array(plane, what, shape)
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


def as_variance(sigma, variance, shape, name):
    """Variance in float32 from a plane of either kind; None if there is none."""
    source, what = (variance, 'variance') if sigma is None else (sigma, 'sigma')
    if source is None:
        return None
    plane = as_plane(source, f'{name} {what}', shape)
    if sigma is not None:
        with np.errstate(over='ignore', under='ignore'):
            plane = plane * plane
    _check_small(plane, source, f'{name} variance')
    return plane


def _check_small(plane, source, what):
    """Fluxes of 1e-20 are common, and their squares are 0 in single precision."""
    source, tiny = np.asarray(source), np.finfo(np.float32).tiny
    lost = sum(np.count_nonzero((np.abs(plane[rows]) < tiny) & (source[rows] != 0)) for rows in row_blocks(plane.shape))
    if 2 * lost > plane.size:
        raise InputError(f'{what}: too small for single precision (below 1e-38) at {lost} of {plane.size} pixels; '
                         'multiply the image by a power of ten, or use a smaller unit')


def as_mask(mask, shape, name):
    """Boolean mask, True for bad; None if there is none."""
    if mask is None or mask is np.ma.nomask:
        return None
    mask = as_array(np.broadcast_to(mask, shape) if np.ndim(mask) == 0 else mask, f'{name} mask', shape)
    return mask if mask.dtype.kind == 'b' else mask != 0


def as_bits(bits, shape, name):
    """Pixels of a HOTPANTS mask file as int32, with INPUT_MASK where they are above 0 (spec 2.7.3)."""
    if bits is None:
        return None
    bits = as_array(bits, f'{name} mask bits', shape)
    out = np.empty(shape, np.int32)
    for rows in row_blocks(shape):
        if bits.dtype.kind == 'f' and not (np.abs(bits[rows]) < 2**31).all():
            raise InputError(f'{name} mask bits: must lie between -2^31 and 2^31')
        block = bits[rows].astype(np.int32)    # truncates towards zero, as C does
        out[rows] = block | np.where(block > 0, np.int32(Bits.INPUT_MASK), np.int32(0))
    return out


def as_unit(unit):
    """Unit object, which must be linear; None if there is none."""
    if unit is None:
        return None
    from astropy.units import Unit, mag
    from astropy.units.function import FunctionUnitBase
    unit = Unit(unit)
    if isinstance(unit, FunctionUnitBase) or unit.is_equivalent(mag):
        raise InputError(f'images in {unit} cannot be subtracted; convert to a linear unit first')
    return unit


def unusable(values, low_and_high, finite_is_enough):
    """Pixels that are not finite, or so far beyond the others that one of them would outweigh all in any sum.

    None if there are none, which the extremes tell.
    """
    low, high = low_and_high
    limit = _LARGEST if finite_is_enough else _FAR
    if -limit <= low and high <= limit:
        return None
    bad = ~np.isfinite(values)
    if not finite_is_enough and (np.any(values > _FAR) or np.any(values < -_FAR)):
        typical = np.median(np.abs(values[~bad])) if not bad.all() else 0
        bad |= np.abs(values) > min(max(_FAR, 1e12 * float(typical)), _LARGEST)
    return bad


def unusable_noise(variance, sigma=None):
    """Pixels whose variance is not finite or negative, or whose sigma is; None if there are none."""
    low, high = extremes(variance)
    if low >= 0 and high <= _LARGEST and (sigma is None or np.asarray(sigma).min() >= 0):
        return None
    good = np.isfinite(variance) & (variance >= 0)
    if sigma is not None:
        good &= np.asarray(sigma) >= 0
    return ~good


def extremes(plane):
    """Smallest and largest value; NaN if one is."""
    with np.errstate(invalid='ignore'):
        # both of a block while it is in the cache
        pairs = np.array([(plane[rows].min(), plane[rows].max()) for rows in row_blocks(plane.shape, 1 << 17)])
        return float(pairs[:, 0].min()), float(pairs[:, 1].max())


def is_shared(plane, source):
    """Tell whether a plane may be the memory of its source."""
    return np.may_share_memory(plane, np.asarray(source))


def union(planes):
    """Union of boolean planes, `None` if nothing is set."""
    planes = [plane for plane in planes if plane is not None and plane.any()]
    return np.logical_or.reduce(planes) if planes else None


def flag_plane(bad, mask, bits):
    """Flags from planes of unusable pixels, a mask and the bits of a mask file; None if nothing is flagged."""
    flags = None if bits is None or not bits.any() else bits
    for where, value in ((union(bad), _NOT_FINITE), (union([mask]), _MASKED)):
        if where is not None:
            flags = np.zeros(where.shape, np.int32) if flags is None else flags
            flags[where] |= value
    return flags


def replaced(plane, mine, bad, hidden, usable):
    """Put the median of the usable pixels where the plane is bad or hidden."""
    where = union([bad, hidden])
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


def scaled(plane, factor, what):
    """Multiply in double precision, without a double precision copy."""
    out = np.empty_like(plane)
    with np.errstate(over='ignore', under='ignore'):
        np.multiply(plane, factor, out=out, dtype=np.float64, casting='same_kind')
    if not np.isfinite(out).all():
        raise InputError(f'{what}: multiplied by {factor:g} it leaves the range of single precision')
    _check_small(out, plane, what)
    return out
