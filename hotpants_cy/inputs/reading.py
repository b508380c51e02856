"""FITS files read safely: a whole plane, or one clear error."""

import bz2
import contextlib
import gzip
import logging
import os
import re
import warnings

import numpy as np
from astropy.io import fits

from ..exceptions import InputError
from .planes import row_blocks

__all__ = ['read_image', 'read_plane', 'reason_of']

_log = logging.getLogger(__name__)

_BLOCK = 1 << 18    # pixels, or bytes of a compressed file, that are read at a time
_COMPRESSED = {b'\x1f\x8b': gzip.open, b'BZ': bz2.open}


def read_plane(path, *, blank_is_nan=True, dtype=np.float32):
    """Read one 2-D image of a FITS file.

    The physical value ``raw * BSCALE + BZERO`` is evaluated in float64 and rounded once, as the C program does
    (astropy alone scales 16 bit integers in float32).

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file, plain, ``.gz``, ``.bz2`` or tile-compressed. ``'f.fits[2]'``, ``'f.fits[SCI]'`` and
        ``'f.fits[SCI,2]'`` choose an HDU by its number from 0, name, or name and version; default is the first
        HDU that holds a 2-D image.
    blank_is_nan : bool, optional
        Whether integer pixels with the value ``BLANK`` become NaN (default) or keep their scaled value, as in C.
    dtype : dtype, optional
        float32 (default), or float64 for what must not be rounded, like mask bits.

    Returns
    -------
    data : `~numpy.ndarray` of ``dtype``, shape (ny, nx)
        The pixels in the units of the file, native and C-contiguous.
    header : `~astropy.io.fits.Header`
        A copy of the header of that HDU, nothing inherited.

    Raises
    ------
    InputError
        If the file is missing, unreadable, cut off or damaged, or has no such 2-D image.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from hotpants_cy.inputs.reading import read_plane
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, 'image.fits')
    ...     fits.ImageHDU(np.arange(6).reshape(2, 3), name='SCI').writeto(path)
    ...     data, header = read_plane(f'{path}[SCI]')
    >>> data
    array([[0., 1., 2.],
           [3., 4., 5.]], dtype=float32)
    >>> header['EXTNAME']
    'SCI'
    """
    data, header, _ = read_image(path, blank_is_nan=blank_is_nan, dtype=dtype)
    return data, header


def read_image(path, *, blank_is_nan=True, companions=(), dtype=np.float32):
    """Read one 2-D image and the planes that belong to it.

    Parameters
    ----------
    path, blank_is_nan, dtype
        As for `read_plane`.
    companions : sequence of str, optional
        Names of extensions to read as well; only if the image is the first 2-D one in its file, since nobody
        says which of several images a ``MASK`` belongs to.

    Returns
    -------
    data, header
        As from `read_plane`.
    planes : dict
        ``name: (data, header)`` of those companions that the file has.

    Raises
    ------
    InputError
        As `read_plane`; also if the end of the file, where companions may be, is cut off.
    """
    with _opened(path) as (hdus, stream, key):
        hdu = _choose(hdus, key, stream)
        data, header = _plane(hdu, blank_is_nan, dtype)
        planes = {}
        if companions and hdu is next(h for h in hdus if _axes(h) == 2):
            found = {name: hdus[name] for name in companions if name in hdus and hdus[name] is not hdu}
            planes = {name: _plane(_flat(h), blank_is_nan) for name, h in found.items()}
            _refuse_half_header(hdus, stream)
    return data, header, planes


@contextlib.contextmanager
def _opened(path):
    """Open a FITS file; each trouble with it becomes an `InputError` with path and reason."""
    caught = []
    try:
        name, key = _split(path)
        if not os.path.isfile(name):
            os.stat(name)
            raise InputError('it is not a regular file')
        with warnings.catch_warnings(record=True) as caught, _stream(name) as stream:
            warnings.simplefilter('always')
            with fits.open(stream, memmap=False, do_not_scale_image_data=True) as hdus:
                yield hdus, stream, key
                if not stream.closed and isinstance(stream, (gzip.GzipFile, bz2.BZ2File)):
                    while stream.read(_BLOCK):    # the checksum stands at the very end
                        pass
    except Exception as error:
        cut = [str(w.message) for w in caught if 'truncated' in str(w.message)]
        raise InputError(f'cannot read {os.fspath(path)}: {cut[0] if cut else reason_of(error)}') from error
    for warning in caught:
        _log.info('%s: %s', path, warning.message)


def _split(path):
    """Take ``file[hdu]`` apart, unless a file has just that name."""
    name = os.path.expanduser(os.fsdecode(path))
    match = re.fullmatch(r'(.+)\[([^\[\]]+)\]', name)
    if match is None or os.path.exists(name):
        return name, None
    name, ending = match.groups()
    if re.fullmatch(r'\d+', ending):
        return name, int(ending)
    key = re.fullmatch(r'\s*([^,:]+?)\s*(?:,\s*(\d+)\s*)?', ending)
    if key is None:
        raise InputError(f'[{ending}] does not choose an HDU; use [number], [NAME] or [NAME,version]')
    return name, (key[1], int(key[2])) if key[2] else key[1]


def _stream(name):
    with open(name, 'rb') as file:
        start = file.read(2)
    if not start:
        raise InputError('the file is empty')
    stream = _COMPRESSED.get(start, open)(name, 'rb')
    if stream.read(6) != b'SIMPLE':
        stream.close()
        raise InputError('it is not a FITS file')
    stream.seek(0)
    return stream


def _axes(hdu):
    return len(getattr(hdu, 'shape', ())) if hdu.is_image else 0


def _choose(hdus, key, stream):
    if key is None:
        first = next((hdu for hdu in hdus if _axes(hdu) == 2), None) or next(filter(_axes, hdus), None)
        if first is None:
            _refuse_half_header(hdus, stream)
            raise InputError('it holds no image')
        return _flat(first)
    try:
        return _flat(hdus[key])
    except (KeyError, IndexError):
        _refuse_half_header(hdus, stream)
        names = ', '.join(f'{i} {hdu.name}'.rstrip() for i, hdu in enumerate(hdus))
        raise InputError(f'it has no extension {key!r}; it has {names}') from None


def _flat(hdu):
    axes = _axes(hdu)
    if axes == 0:
        raise InputError('that HDU holds no image')
    if axes != 2:
        raise InputError(f'the image in it has {axes} axes, shape {hdu.shape}; slice a 2-D (ny, nx) plane out of it')
    return hdu


def _plane(hdu, blank_is_nan, dtype=np.float32):
    header = hdu.header.copy()
    scale, zero = np.float64(header.get('BSCALE', 1)), np.float64(header.get('BZERO', 0))
    blank = header.get('BLANK') if blank_is_nan and header['BITPIX'] > 0 else None
    # tiles may span any rows, so a compressed image is decompressed at once
    raw = hdu.data if isinstance(hdu, fits.CompImageHDU) else hdu.section
    plane = np.empty(hdu.shape, dtype)
    with np.errstate(over='ignore', invalid='ignore'):
        for rows in row_blocks(hdu.shape, _BLOCK):
            block = raw[rows]
            plane[rows] = block if (scale, zero) == (1, 0) else block * scale + zero
            if blank is not None:
                plane[rows][block == blank] = np.nan
    return plane, header


def _refuse_half_header(hdus, stream):
    """Astropy passes over a last header that is cut off: a mask could get lost that way."""
    last = hdus[-1].fileinfo()
    stream.seek(last['datLoc'] + last['datSpan'])
    if stream.read(8) == b'XTENSION':
        raise InputError(f'the header of HDU {len(hdus)} is cut off')


def reason_of(error):
    """Why a file could not be read or written, in words."""
    text = getattr(error, 'strerror', None) or str(error) or type(error).__name__
    text = text.replace('Empty or corrupt FITS file', 'the FITS file is cut off or damaged')
    # of what astropy says: no advice about its own keywords, and a full disk only once
    text = re.sub(r' If this is really a FITS file, try with ignore_missing_simple=True$', '', text)
    text = re.sub(r'^(Not enough space on disk: [^.]+)\. .*', r'\1', text, flags=re.DOTALL)
    text = re.sub(r'^(\d+ requested and \d+ written)$', r'no space left, or a limit is reached: \1', text)
    return ' '.join(text.split())
