"""``hotpants-cy extractkern`` and ``hotpants-cy maskim``: the companion programs of C HOTPANTS (spec 9)."""

import argparse
import contextlib
import io
import os
import shlex
import sys
import warnings
from dataclasses import dataclass, replace

import numpy as np
from astropy.io import fits

from ..config import HotpantsConfig
from ..exceptions import HotpantsError, InputError
from ..inputs.reading import read_plane
from ..inputs.writing import write_whole
from ..kernel.mosaic import KernelMosaic
from ..kernel.spatial import RegionFrame
from ..kernel.table import models_of, read_live_table
from ..stamps.regions import regions_of
from .options import config_of, parse

__all__ = ['extractkern', 'maskim', 'read_mosaic']


def extractkern(argv):
    """Render the kernel of a subtraction as an image (``hotpants-cy extractkern``).

    The image holds points of unit flux, one every kernel width, each convolved with the kernel of its place; or the
    user's own image convolved. The background is not added. What C's program was meant to do and cannot (F11).

    Parameters
    ----------
    argv : list of str
        What follows ``hotpants-cy extractkern``: ``[-xy x y] [-nkw n] [-a] [-im image] diffimage outimage``.

    Returns
    -------
    int
        Exit status: 0, or 1 after one line on stderr; nothing was written then.
    """
    parser = _Parser('extractkern', 'Render the kernel that -hki or -oki wrote, and print its sum.')
    parser.add_argument('diffimage', help='difference made with -hki, or kernel table of -oki; also from C HOTPANTS')
    parser.add_argument('outimage', help='image to write; replaced if it exists')
    parser.add_argument('-xy', nargs=2, type=float, metavar=('X', 'Y'),
                        help='position in pixels, 0-based (the centre of the first region)')
    parser.add_argument('-nkw', type=int, default=2, metavar='N',
                        help='width of the image in kernel widths, at least 2; it has N - 1 kernels each way (2)')
    parser.add_argument('-a', action='store_true', help='an image as large as the difference, full of kernels')
    parser.add_argument('-im', metavar='IMAGE', help='convolve this image: a whole one, or a cutout with X Y in the '
                        'middle')
    return parser.run(argv, _extract)


def maskim(argv):
    """Set the pixels of an image that a mask flags to a value (``hotpants-cy maskim``).

    The output is a copy of the input file, with other pixels, headers and extensions as they are.

    Parameters
    ----------
    argv : list of str
        What follows ``hotpants-cy maskim``: ``-inim f -maskim f -outim f [-fi v] [-mask n]``.

    Returns
    -------
    int
        Exit status: 0, or 1 after one line on stderr; nothing was written then.
    """
    parser = _Parser('maskim', 'Set the pixels of an image that a mask flags to a value.')
    parser.add_argument('-inim', required=True, metavar='FILE', help='image, whose first 2-D image is masked')
    parser.add_argument('-maskim', required=True, metavar='FILE', help='mask of the same shape; path[EXT] chooses')
    parser.add_argument('-outim', required=True, metavar='FILE', help='file to write; replaced if it exists')
    parser.add_argument('-fi', type=float, default=0.0, metavar='X', help='value of the masked pixels (0)')
    parser.add_argument('-mask', type=_bits, default=0x8000, metavar='N',
                        help='bits of the mask that count, like 0x8000 or 32768 (0x8000)')
    return parser.run(argv, _mask)


class _Parser(argparse.ArgumentParser):
    def __init__(self, name, description):
        super().__init__(prog=f'hotpants-cy {name}', description=description, allow_abbrev=False)

    def error(self, message):
        raise InputError(message)

    def run(self, argv, work):
        """Exit status of ``work`` with the arguments."""
        if not argv:
            self.print_usage(sys.stderr)
            return 1
        try:
            with warnings.catch_warnings(action='ignore'):
                work(self.parse_args(argv))
        except (HotpantsError, MemoryError) as error:
            reason = ' '.join(str(error).split()) or 'there is not enough memory'
            print(f'{self.prog}: error: {reason}', file=sys.stderr)
            return 1
        return 0


def _write(out, hdus, *inputs):
    """Write the one result; it may replace an older one, but no input."""
    for path in inputs:
        if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise InputError(f'{out} is an input and would be replaced: give the result another name')
    write_whole({out: hdus}, overwrite=True)


# -- extractkern ------------------------------------------------------------------------------

@dataclass(frozen=True)
class _Window(RegionFrame):
    """Part of the sky to render a kernel on, wherever it was fitted."""

    fitted: RegionFrame

    def normalise(self, x, y):
        """Coordinates in which the kernel was fitted."""
        return self.fitted.normalise(x, y)


def _extract(args):
    mosaic, sums = read_mosaic(args.diffimage)
    middle = mosaic.models[0].frame
    x, y = args.xy or (middle.origin[0] + middle.shape[1] // 2, middle.origin[1] + middle.shape[0] // 2)
    model = mosaic.at(x, y)
    image = _image(args, mosaic, model, x, y)
    _write(args.outimage, fits.PrimaryHDU(image), args.diffimage, *([args.im] if args.im else []))
    index = next(k for k, other in enumerate(mosaic.models) if other is model)
    print(f'kernel sum at ({x:g}, {y:g}): {model.sum(x, y):.6f}')
    print(f'KSUM of the region: {sums[index]:.4f}')


def _image(args, mosaic, model, x, y):
    width = model.basis.width
    if args.im:
        picture, _ = read_plane(args.im)
        if picture.shape == tuple(mosaic.shape):
            return mosaic.apply(picture)
        ny, nx = picture.shape
        return _rendered(model, picture, (max(0, int(x - nx / 2)), max(0, int(y - ny / 2))), np.nan)
    if args.a:
        out = np.zeros(mosaic.shape, np.float32)
        for one, (x0, x1, y0, y1) in zip(mosaic.models, mosaic.sections, strict=True):
            part = np.s_[y0:y1 + 1, x0:x1 + 1]
            out[part] = _rendered(one, _points(mosaic.shape, width), (0, 0), 0)[part]
        return out
    if not 2 <= args.nkw <= 1000:
        raise InputError(f'-nkw {args.nkw} is impossible: it must be a whole number from 2 to 1000')
    size = args.nkw * width
    # the middle point, or the middle of them all if their number is even, is at the position asked for
    return _rendered(model, _points((size, size), width), (x - size // 2 + 1, y - size // 2 + 1), 0)


def _points(shape, step):
    """Points of unit flux in the middle of each block over which one kernel serves."""
    ny, nx = shape
    points = np.zeros(shape, np.float32)
    points[step - 1:ny - 1:step, step - 1:nx - 1:step] = 1
    return points


def _rendered(model, picture, origin, frame):
    """A picture whose first pixel is at ``origin``, convolved with the kernel block by block."""
    if min(picture.shape) < model.basis.width:
        raise InputError(f'an image of {picture.shape[1]} x {picture.shape[0]} pixels is smaller than the kernel, '
                         f'which is {model.basis.width} wide')
    model = replace(model, frame=_Window(origin, picture.shape, model.frame), block_width=model.basis.width)
    return model.convolve_planes(picture, fill=frame)[0]


def read_mosaic(path):
    """Read the kernels of a difference or kernel table, of C HOTPANTS too.

    C's table does not say on which pixels a kernel was fitted, and they scale its variation. Here they follow from
    the sections in the header as with ``-ki``, and from the command line in ``DIFFCMD``. A file of C's ``-oki`` has no
    ``DIFFCMD``: then the last section is taken to end with the image, and ``-nsx``, ``-nsy`` and ``-rss`` to have
    been the defaults, which only matters for several regions.

    Parameters
    ----------
    path : str
        File of ``-hki`` or ``-oki``, or of `KernelModel.write`.

    Returns
    -------
    mosaic : KernelMosaic
        Of the regions that have a kernel; there may be one only.
    sums : list of float
        Kernel sum at the centre of each, as the header says (``KSUM``).

    Raises
    ------
    InputError
        The file holds no whole kernel.
    """
    table, live = read_live_table(path)
    header = fits.getheader(path, 0)
    shape = table.shape or (header.get('NAXIS2') or 1 + max(entry.section[3] for entry in live),
                            header.get('NAXIS1') or 1 + max(entry.section[1] for entry in live))
    buffers = [entry.buffer for entry in live]
    if None in buffers:
        buffers = _buffers(table, live, shape, str(header.get('DIFFCMD', '')))
    models = models_of(table, live, buffers)
    sums = [entry.values['KSUM'] if 'KSUM' in entry.values else _central_sum(model)
            for entry, model in zip(live, models, strict=True)]
    return KernelMosaic(models, [entry.section for entry in live], shape), sums


def _central_sum(model):
    (x0, y0), (ny, nx) = model.frame.origin, model.frame.shape
    return model.sum(x0 + nx // 2, y0 + ny // 2)


def _buffers(table, live, shape, command):
    """Pixels that the kernels were fitted on, laid out again as by the run that made the table."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            config = config_of(parse(shlex.split(command)[1:]))
    except (SystemExit, ValueError):
        starts_x, starts_y = ({entry.section[k] for entry in live} for k in (0, 2))
        config = HotpantsConfig(nregx=len(starts_x), nregy=len(starts_y))
    half = table.width // 2
    # a region without a kernel counts, since only one of several has a wide buffer, but where it is does not
    sections = [entry.section or live[0].section for entry in table.regions]
    regions = regions_of(shape, config.replace(rkernel=half, rss=max(config.rss, half), region_list=sections))
    return [region.buffer for region, entry in zip(regions, table.regions, strict=True) if entry.solution is not None]


# -- maskim -----------------------------------------------------------------------------------

def _bits(text):
    try:
        bits = int(text, 16 if text.lower().startswith('0x') else 10)
        if 0 < bits < 1 << 24:
            return bits
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f'{text!r} must be a number like 0x8000 or 32768, from 1 to 0xffffff')


def _mask(args):
    image, _ = read_plane(args.inim)                 # says clearly what is wrong with a file
    mask, _ = read_plane(args.maskim)
    if mask.shape != image.shape:
        raise InputError(f'{args.maskim} has {mask.shape[1]} x {mask.shape[0]} pixels, but {args.inim} has '
                         f'{image.shape[1]} x {image.shape[0]}')
    if np.abs(mask).max() >= 1 << 24:
        raise InputError(f'{args.maskim} has bits from 0x1000000 up, which cannot be told apart here')
    flagged = (np.nan_to_num(mask).astype(np.int64) & args.mask) != 0
    try:
        hdus = fits.open(os.path.expanduser(args.inim), memmap=False, do_not_scale_image_data=True,
                         disable_image_compression=True)
    except OSError as error:
        raise InputError(f'cannot read {args.inim}: the whole file is copied, so it takes no [extension]') from error
    with hdus:
        hdu = next(hdu for hdu in hdus if hdu.header.get('ZNAXIS', hdu.header['NAXIS']) == 2
                   and (hdu.is_image or 'ZIMAGE' in hdu.header))
        if 'ZIMAGE' in hdu.header:
            raise InputError(f'{args.inim} is tile-compressed, and packing it again could change pixels: funpack it')
        hdu.data[flagged] = _stored(args.fi, hdu)
        if 'DATASUM' in hdu.header:
            hdu.add_checksum()
        _write(args.outim, hdus, args.inim, args.maskim)
    print(f'{flagged.sum()} of {flagged.size} pixels masked')


def _stored(value, hdu):
    """The value as it stands in the file."""
    header, kind = hdu.header, hdu.data.dtype
    stored = (value - header.get('BZERO', 0)) / header.get('BSCALE', 1)
    if kind.kind == 'f':
        return stored
    limits = np.iinfo(kind)
    if np.isnan(value) and 'BLANK' in header:
        return header['BLANK']
    if not limits.min <= stored <= limits.max:       # NaN neither
        raise InputError(f'-fi {value:g} does not fit into an image of BITPIX {header["BITPIX"]}')
    return round(stored)
