"""Kernel tables: the FITS binary tables in which C HOTPANTS keeps its kernels (spec 8.7, 8.8), and ours."""

import math
import re
import warnings
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from ..exceptions import InputError
from ..inputs.reading import reason_of
from ..inputs.writing import write_whole
from ..words import counted
from .basis import GaussianBasis, ImageBasis
from .model import KernelModel
from .mosaic import KernelMosaic
from .spatial import RegionFrame

__all__ = ['KERNEL_TABLE', 'KernelTable', 'TableRegion', 'c_column', 'frame_cards', 'model_cards', 'models_of',
           'read_kernels', 'read_live_table', 'read_table', 'section_text', 'write_kernels']

KERNEL_TABLE = 'Convolution Kernel Information'
COVARIANCE = 'COVARIANCE'

_SECTION = re.compile(r'\[(-?\d+):(-?\d+),(-?\d+):(-?\d+)\]')
_NUMBERS = ('KSUM', 'SSSIG', 'SSSCAT', 'FSIG', 'FSCAT', 'NSCALO')


@dataclass(frozen=True)
class TableRegion:
    """The kernel of one region.

    Attributes
    ----------
    index : int
    section : (int, int, int, int)
        First and last pixel in x, first and last in y, 0-based and inclusive.
    buffer : (int, int, int, int) or None
        The same of the wider rectangle that the kernel was fitted on; only our own tables say it.
    direction : {'t', 'i'}
        Which image it convolves.
    values : dict
        Numbers of the fit by the stem of their keyword.
    solution : float64 array
        Coefficients (spec 6.1), without the unused first element and the padding; None if the fit failed.
    """

    index: int
    section: tuple
    buffer: tuple
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
    block_width : int
        Pixels over which one kernel serves.
    shape : (int, int) or None
        Shape (ny, nx) of the image; only our own tables say it.
    regions : list of TableRegion
    pictures : float32 array (n, width, width) or None
        Basis images, where the basis is not of Gaussians.
    covariances : dict
        Of the solution, float64 (n, n), by the index of the region; of those regions where it is known.
    """

    degrees: tuple
    sigmas: tuple
    width: int
    ko: int
    bgo: int
    normalize: str
    block_width: int
    shape: tuple
    regions: list
    pictures: np.ndarray
    covariances: dict


# -- reading ----------------------------------------------------------------------------------

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
        # what they warn of is an error here
        with warnings.catch_warnings(action='ignore'), fits.open(path, memmap=False) as hdus:
            tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU) and 'NGAUSS' in hdu.header]
            if not tables:
                raise InputError('it holds no kernel table')
            pictures = np.array(hdus['BASIS'].data, np.float32) if 'BASIS' in hdus else None
            covariances = {hdu.ver: np.array(hdu.data, float) for hdu in hdus if hdu.name == COVARIANCE}
            return _table_of(hdus[0].header, tables[-1], pictures, covariances)
    except InputError as error:
        raise InputError(f'cannot take a kernel from {path}: {error}') from None
    except (KeyError, OSError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(f'cannot take a kernel from {path}: {reason_of(error)}') from error


def _table_of(primary, table, pictures, covariances):
    header = table.header
    n = int(header['NGAUSS'])
    if not (0 if pictures is not None else 1) <= n <= 100:
        raise InputError(f'NGAUSS = {n} is impossible')
    degrees = tuple(int(header[f'DGAUSS{k}']) for k in range(1, n + 1))
    # C reads and uses them in single precision
    sigmas = tuple(float(header.get(f'SIGMA{k}', np.float32(header[f'SGAUSS{k}']))) for k in range(1, n + 1))
    ko, bgo = int(header['CKORDER']), int(header['BGORDER'])
    if not all(0 <= order <= 20 for order in (ko, bgo, *degrees)):
        raise InputError(f'orders CKORDER = {ko}, BGORDER = {bgo} and degrees {degrees} must lie between 0 and 20')
    n_basis = sum((d + 1) * (d + 2) // 2 for d in degrees) if pictures is None else len(pictures)
    size = 1 + (n_basis - 1) * ((ko + 1) * (ko + 2) // 2) + (bgo + 1) * (bgo + 2) // 2
    regions = [_region_of(primary, header, name, table.data[name], size) for name in table.columns.names]
    shape = (int(header['IMAGENY']), int(header['IMAGENX'])) if 'IMAGENX' in header else None
    normalize = str(header.get('PHOTNORM', primary.get('PHOTNORM', 't')))[:1]
    width = int(header['FWKERN'])
    step = int(header.get('KCSTEP', width))
    if not 3 <= width <= 2001 or width % 2 == 0 or not all(0.01 <= sigma <= 1000 for sigma in sigmas):
        raise InputError(f'a kernel of FWKERN = {width} pixels with Gaussians of sigma {sigmas} is impossible')
    if not 1 <= step <= 2001:
        raise InputError(f'KCSTEP = {step} is impossible')
    if any(c.shape != (size, size) or not np.isfinite(c).all() for c in covariances.values()):
        raise InputError(f'a covariance of {size} x {size} finite numbers is needed')
    return KernelTable(degrees, sigmas, width, ko, bgo, normalize, step, shape, regions, pictures, covariances)


def _region_of(primary, header, name, column, size):
    index = int(re.fullmatch(r'[Rr]egion(\d+)', name)[1])
    if len(column) < size + 1:
        raise InputError(f'its column {name} has {counted(len(column), "number")}, and the kernel needs {size + 1}')
    suffix = f'{index:02d}'
    solution = np.array(column, float)[1:size + 1]
    section, buffer = (_section_of(h.get(stem + suffix)) for h, stem in ((primary, 'REGION'), (header, 'BUFFER')))
    if not np.isfinite(solution).all():
        raise InputError(f'its column {name} holds numbers that are not finite')
    if section is None or not solution.any():
        return TableRegion(index, section, buffer, 't', {}, None)
    values = {stem: float(primary[stem + suffix]) for stem in _NUMBERS if stem + suffix in primary}
    direction = {'TEMPLATE': 't', 'IMAGE': 'i'}[str(primary[f'CONVOL{suffix}']).strip()]
    return TableRegion(index, section, buffer, direction, values, solution)


def _section_of(text):
    if text is None:
        return None
    match = _SECTION.fullmatch(str(text).strip())
    x0, x1, y0, y1 = (int(v) - 1 for v in match.groups()) if match else (0, -1, 0, -1)
    if not (0 <= x0 <= x1 and 0 <= y0 <= y1):
        raise InputError(f'{text!r} is no section [x1:x2,y1:y2]')
    return x0, x1, y0, y1


def read_live_table(path):
    """Read a kernel table, and list its regions that have a kernel; it is an InputError if none has."""
    table = read_table(path)
    live = [entry for entry in table.regions if entry.solution is not None]
    if not live:
        raise InputError(f'{path} holds no kernel: the fit of each region failed')
    return table, live


def models_of(table, entries, buffers):
    """Make the `KernelModel` of each entry of a table, fitted on the rectangle (x0, x1, y0, y1) of ``buffers``."""
    basis = (GaussianBasis(table.width // 2, table.degrees, table.sigmas) if table.pictures is None
             else ImageBasis(table.pictures))
    return [KernelModel(entry.solution, basis, table.ko, table.bgo, RegionFrame((x0, y0), (y1 - y0 + 1, x1 - x0 + 1)),
                        entry.direction, table.block_width, table.covariances.get(entry.index + 1))
            for entry, (x0, x1, y0, y1) in zip(entries, buffers, strict=True)]


def read_kernels(path):
    """Read the kernels of a table as a model, or as a mosaic of several; see `KernelModel.read`."""
    table, entries = read_live_table(path)
    if len(table.regions) > 1 and any(entry.buffer is None for entry in entries):
        raise InputError(f'{path} does not say on which pixels the kernels of its regions were fitted; '
                         'use it with hotpants-cy -ki and the options of the run that made it')
    buffers = [entry.buffer or entry.section for entry in entries]
    models = models_of(table, entries, buffers)
    if len(table.regions) == 1 and table.shape in (None, (buffers[0][3] + 1, buffers[0][1] + 1)):
        return models[0]
    return KernelMosaic(models, [entry.section for entry in entries], table.shape)


# -- writing ----------------------------------------------------------------------------------

def model_cards(degrees, sigmas, width, ko, bgo):
    """Keywords of a kernel table that say what the coefficients stand for, as (keyword, value, comment)."""
    cards = [('NGAUSS', len(sigmas), 'Number of Gaussian Basis Functions')]
    for k, (degree, sigma) in enumerate(zip(degrees, sigmas, strict=True), 1):
        # C keeps 1 / (2 sigma^2) in single precision, and prints the sigma that follows from it likewise
        inverse = float(np.float32(1 / (2 * sigma**2)))
        again = float(np.float32(1 / math.sqrt(2 * inverse)))
        cards += [(f'DGAUSS{k}', degree, 'Polynomial Degree'), (f'SGAUSS{k}', float(f'{again:.8E}'), 'Gaussian Sigma')]
    return [*cards, ('FWKERN', width, 'Kernel Width in Pixels'), ('CKORDER', ko, 'Spatial Convolution Order'),
            ('BGORDER', bgo, 'Background Order')]


def c_column(model):
    """Solution as C keeps it: an unused first element, and room for a first basis function that varies (spec 6.1)."""
    return np.concatenate([[0.0], model.solution, np.zeros((model.ko + 1) * (model.ko + 2) // 2 - 1)])


def section_text(x0, x1, y0, y1):
    """A rectangle in the manner of FITS, 1-based: ``[x1:x2,y1:y2]``."""
    return f'[{x0 + 1}:{x1 + 1},{y0 + 1}:{y1 + 1}]'


def frame_cards(models, shape):
    """Keywords beyond those of C: what it takes to use the table without the command line that made it.

    Parameters
    ----------
    models : dict
        `KernelModel` by the number of its region.
    shape : (int, int)
        Shape (ny, nx) of the image.

    Returns
    -------
    list of (str, object, str)
    """
    first = next(iter(models.values()))
    cards = [('IMAGENX', shape[1], 'width of the image in pixels'), ('IMAGENY', shape[0], 'height of the image'),
             ('KCSTEP', first.block_width, 'pixels over which one kernel serves')]
    for k, model in models.items():
        (x0, y0), (ny, nx) = model.frame.origin, model.frame.shape
        cards.append((f'BUFFER{k:02d}', section_text(x0, x0 + nx - 1, y0, y0 + ny - 1), 'pixels it was fitted on'))
    sigmas = getattr(first.basis, 'sigmas', ())
    return cards + [(f'SIGMA{k}', repr(sigma), 'Gaussian sigma with all digits') for k, sigma in enumerate(sigmas, 1)]


def write_kernels(path, models, sections, shape, *, overwrite=False):
    """Write kernels to a FITS file; see `KernelModel.write`."""
    basis = models[0].basis
    primary = fits.PrimaryHDU()
    for k, (model, section) in enumerate(zip(models, sections, strict=True)):
        primary.header[f'REGION{k:02d}'] = section_text(*section)
        primary.header[f'CONVOL{k:02d}'] = 'TEMPLATE' if model.direction == 't' else 'IMAGE'
        for stem in ('SSSIG', 'SSSCAT', 'FSIG', 'FSCAT'):
            primary.header[f'{stem}{k:02d}'] = '-1.0000', 'not known; C HOTPANTS wants it'
    primary.header['KERINFO'] = True
    columns = [fits.Column(f'Region{k}', 'D', array=c_column(model)) for k, model in enumerate(models)]
    table = fits.BinTableHDU.from_columns(columns)
    cards = [('EXTNAME', KERNEL_TABLE), ('OBJECT', KERNEL_TABLE), ('PHOTNORM', 't', 'flux scale that -ki gives')]
    cards += model_cards(getattr(basis, 'degrees', ()), getattr(basis, 'sigmas', ()), basis.width, models[0].ko,
                         models[0].bgo)
    for keyword, value, *comment in cards + frame_cards(dict(enumerate(models)), shape):
        table.header[keyword] = (value, *comment)
    hdus = [primary, table]
    if isinstance(basis, ImageBasis):
        hdus.insert(1, fits.ImageHDU(np.asarray(basis.pictures), name='BASIS'))
    hdus += [fits.ImageHDU(model.covariance, name=COVARIANCE, ver=k) for k, model in enumerate(models, 1)
             if model.covariance is not None]
    write_whole({path: fits.HDUList(hdus)}, overwrite=overwrite)
