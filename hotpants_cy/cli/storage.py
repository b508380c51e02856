"""Pixels as C HOTPANTS stores them in its files: 16-bit integers, scales and zero points (spec 8.6)."""

import math

import numpy as np

from ..inputs.planes import row_blocks

__all__ = ['stored_mask', 'stored_plane', 'written_range']


def written_range(args):
    """Smallest and largest value that a convolved image may have in its file.

    Parameters
    ----------
    args : argparse.Namespace
        From `~hotpants_cy.cli.options.parse`.

    Returns
    -------
    low, high : float
    """
    return _range(args.obs, args.obz) if args.sht else (-math.inf, math.inf)


def stored_plane(args, config, plane, planes):
    """A plane as it stands in its file.

    With ``config.parity`` scales are used and told as C does it: a 16-bit convolved image does not say its scale,
    and ``-nbs`` changes the noise even where it is not 16-bit.

    Parameters
    ----------
    args : argparse.Namespace
        From `~hotpants_cy.cli.options.parse`.
    config : HotpantsConfig
    plane : {'diff', 'convolved', 'sigma', 'noise'}
    planes : dict
        Arrays (ny, nx) by name; where values do not fit into 16 bits, ``'mask'`` is flagged.

    Returns
    -------
    data : float32 or int16 array (ny, nx)
    cards : list of (str, float)
        ``BZERO`` and ``BSCALE`` if the header is to tell them; that of the difference always does.
    """
    short = args.nsht if plane == 'noise' else args.sht
    scale, zero = (args.nbs, args.nbz) if plane == 'noise' else (args.obs, args.obz)
    applied = {'diff': True, 'convolved': short, 'sigma': False, 'noise': short or config.parity}[plane]
    if not applied:
        scale, zero = 1.0, 0.0
    told = {'diff': False, 'convolved': short and not config.parity, 'sigma': False, 'noise': short}[plane]
    cards = [('BZERO', zero), ('BSCALE', scale)] if told else []
    data = planes[plane]
    if short:
        mask = planes['mask']
        return _by_rows(lambda rows: _integers(data[rows], scale, zero, mask[rows]), data.shape, np.int16), cards
    if (scale, zero) == (1, 0):
        return data, cards
    return _by_rows(lambda rows: (data[rows].astype(float) - zero) / scale, data.shape, np.float32), cards


def stored_mask(flags):
    """Flags as unsigned 16-bit integers stand in a file: signed, with a zero point.

    Parameters
    ----------
    flags : int32 array (ny, nx)

    Returns
    -------
    data : big-endian int16 array (ny, nx)
    cards : list of (str, float)
    """
    data = _by_rows(lambda rows: np.clip(flags[rows], 0, 0xffff) - 0x8000, flags.shape, '>i2')
    return data, [('BSCALE', 1), ('BZERO', 0x8000)]


def _by_rows(function, shape, dtype):
    """A plane whose rows ``function`` gives, a few at a time."""
    out = np.empty(shape, dtype)
    for rows in row_blocks(shape):
        out[rows] = function(rows)
    return out


def _range(scale, zero):
    scale, zero = np.float32(scale), np.float32(zero)
    return tuple(sorted(float(np.float32(limit * scale + zero)) for limit in (-32768, 32767)))


def _integers(plane, scale, zero, mask):
    low, high = _range(scale, zero)
    values = np.nan_to_num(plane.astype(float), nan=0, posinf=math.inf, neginf=-math.inf)
    mask[(values < low) | (values > high)] |= 0x8000
    values = np.clip(values, low, high)
    if (scale, zero) != (1, 0):                      # rounded half away from zero; without a scale cut towards it
        values = (values - zero) / scale
        values = np.copysign(np.floor(np.abs(values) + 0.5), values)
    return np.clip(np.trunc(values), -32768, 32767)
