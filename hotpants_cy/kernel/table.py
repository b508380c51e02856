"""Kernel tables: the FITS binary tables in which C HOTPANTS keeps its kernels (spec 8.7, 8.8)."""

import re
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from ..exceptions import InputError

__all__ = ['KernelTable', 'TableRegion', 'read_table']

_SECTION = re.compile(r'\[(\d+):(\d+),(\d+):(\d+)\]')
_NUMBERS = ('KSUM', 'SSSIG', 'SSSCAT', 'FSIG', 'FSCAT', 'NSCALO')


@dataclass(frozen=True)
class TableRegion:
    """The kernel of one region.

    Attributes
    ----------
    index : int
    section : (int, int, int, int)
        First and last pixel in x, first and last in y, 0-based and inclusive.
    direction : {'t', 'i'}
        Which image it convolves.
    values : dict
        Numbers of the fit by the stem of their keyword.
    solution : float64 array
        Coefficients (spec 6.1), without the unused first element and the padding; None if the fit failed.
    """

    index: int
    section: tuple
    direction: str
    values: dict
    solution: np.ndarray


@dataclass(frozen=True)
class KernelTable:
    """What a kernel table says.

    Attributes
    ----------
    degrees, sigmas : tuple
        Of the Gaussians.
    width : int
        Full width of the kernel in pixels.
    ko, bgo : int
        Orders of the spatial variation.
    normalize : {'t', 'i', 'u'}
    regions : list of TableRegion
    """

    degrees: tuple
    sigmas: tuple
    width: int
    ko: int
    bgo: int
    normalize: str
    regions: list


def read_table(path):
    """Read a kernel table of C HOTPANTS or of this package.

    Parameters
    ----------
    path : str or path
        A file of ``-oki``, or a difference with the table appended by ``-hki``, which the C program itself cannot
        read [C: ``-ki``].

    Returns
    -------
    KernelTable

    Raises
    ------
    InputError
        The file holds no whole kernel table.
    """
    try:
        with fits.open(path, memmap=False) as hdus:
            tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU) and 'NGAUSS' in hdu.header]
            if not tables:
                raise InputError('it holds no kernel table')
            return _table_of(hdus[0].header, tables[-1])
    except InputError as error:
        raise InputError(f'cannot take a kernel from {path}: {error}') from None
    except KeyError as error:
        raise InputError(f'cannot take a kernel from {path}: {error.args[0]}') from None
    except (OSError, TypeError, ValueError, IndexError) as error:
        raise InputError(f'cannot take a kernel from {path}: {" ".join(str(error).split())}') from error


def _table_of(primary, table):
    header = table.header
    n = int(header['NGAUSS'])
    if not 1 <= n <= 100:
        raise InputError(f'NGAUSS = {n} is impossible')
    degrees = tuple(int(header[f'DGAUSS{k}']) for k in range(1, n + 1))
    # single precision, as C reads them
    sigmas = tuple(float(np.float32(header[f'SGAUSS{k}'])) for k in range(1, n + 1))
    ko, bgo = int(header['CKORDER']), int(header['BGORDER'])
    n_basis = sum((d + 1) * (d + 2) // 2 for d in degrees)
    size = 1 + (n_basis - 1) * ((ko + 1) * (ko + 2) // 2) + (bgo + 1) * (bgo + 2) // 2
    regions = [_region_of(primary, name, table.data[name], size) for name in table.columns.names]
    normalize = header.get('PHOTNORM', primary.get('PHOTNORM', 't'))
    return KernelTable(degrees, sigmas, int(header['FWKERN']), ko, bgo, str(normalize)[:1], regions)


def _region_of(primary, name, column, size):
    index = int(re.fullmatch(r'[Rr]egion(\d+)', name)[1])
    if len(column) < size + 1:
        raise InputError(f'its column {name} has {len(column)} numbers, and the kernel needs {size + 1}')
    suffix = f'{index:02d}'
    solution = np.array(column, float)[1:size + 1]
    if f'REGION{suffix}' not in primary or not solution.any():
        return TableRegion(index, None, 't', {}, None)
    x1, x2, y1, y2 = (int(v) - 1 for v in _SECTION.fullmatch(primary[f'REGION{suffix}'].strip()).groups())
    values = {stem: float(primary[stem + suffix]) for stem in _NUMBERS if stem + suffix in primary}
    direction = 't' if str(primary[f'CONVOL{suffix}']).startswith('T') else 'i'
    return TableRegion(index, (x1, x2, y1, y2), direction, values, solution)
