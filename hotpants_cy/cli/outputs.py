"""The files that C HOTPANTS writes, as HDU lists and texts in memory (spec 8.6 to 8.9)."""

import math
import os
import platform
import re
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from ..kernel.table import KERNEL_TABLE, model_cards
from ..products.header import method_cards
from .options import program_version
from .storage import stored_mask, stored_plane

__all__ = ['RegionReport', 'c_files', 'star_files']

# Keywords of each region: C's stem, format and comment. C writes all of them as strings.
REGION_KEYWORDS = (
    ('KSUM', '%.4f', 'Kernel Sum'),
    ('KSUME', '%.5f', 'Standard deviation of it; not of C HOTPANTS'),
    ('SSSIG', '%.4f', 'Average Figure of Merit across Stamps'),
    ('SSSCAT', '%.4f', 'Stdev in Figure of Merit'),
    ('FSIG', '%.4f', 'Final SSSIG'),
    ('FSCAT', '%.4f', 'Final SSSCAT'),
    ('X2NRM', '%.4f', '1/N * SUM (diff/noise)^2'),
    ('NX2NRM', '%d', 'Number of pixels in X2NRM'),
    ('DMEAN', '%.4f', 'Mean of diff image; good pixels'),
    ('DSIGE', '%.4f', 'Stdev of diff image; good pixels'),
    ('DSIG', '%.4f', 'Mean of noise image; good pixels'),
    ('DMEANO', '%.4f', 'Mean of diff image; OK pixels'),
    ('DSIGEO', '%.4f', 'Stdev of diff image; OK pixels'),
    ('DSIGO', '%.4f', 'Mean of noise image; OK pixels'),
)
NOISE_SCALE = ('NSCALO', '%.4f', 'Rescaling factor of OK noise pixels')

# The images beside the difference: plane, flag of the file, flag of the layer (in C's order), OBJECT.
IMAGES = (
    ('convolved', 'oci', 'cim', 'Convolved Image'),
    ('sigma', 'ond', 'ndm', 'Noise-scaled (sigma) Difference Image'),
    ('noise', 'oni', 'nim', 'HOTPanTS Noise Image'),
)

# What describes the science image's own HDU and not ours: structure, scaling, checksums, table and compression.
_STRUCTURE = re.compile(
    r'SIMPLE|BITPIX|NAXIS\d*|EXTEND|END|XTENSION|PCOUNT|GCOUNT|GROUPS|EXTNAME|EXTVER|EXTLEVEL|INHERIT'
    r'|BZERO|BSCALE|BLANK|CHECKSUM|DATASUM|TFIELDS|THEAP|T(TYPE|FORM|UNIT|NULL|SCAL|ZERO|DISP|DIM|BCOL)\d+'
    r'|Z(IMAGE|CMPTYPE|BITPIX|NAXIS\d*|TILE\d+|NAME\d+|VAL\d+|SIMPLE|TENSION|EXTEND|BLOCKED|PCOUNT|GCOUNT'
    r'|HECKSUM|DATASUM|QUANTIZ|DITHER0|BLANK|SCALE|ZERO|MASKCMP|TABLE|THEAP)')
_STANDARD_COMMENTS = ('FITS (Flexible Image Transport System) format is',
                      "and Astrophysics', volume 376, page 359; bibcode")
# What an earlier subtraction left in a science image that is a difference itself.
_STALE = re.compile(
    '(REGION|CONVOL|' + '|'.join(stem for stem, *_ in (*REGION_KEYWORDS, NOISE_SCALE)) + r')\d\d+'
    r'|NGAUSS|[DS]GAUSS\d+|FWKERN|CKORDER|BGORDER|KERINFO|KERFILE|EXACTKER|FITWGHT|FITLOSS|NOISCORR')


@dataclass(frozen=True)
class RegionReport:
    """What the headers and the kernel table say about one region.

    Parameters
    ----------
    index : int
        Number of the region, from 0.
    section : tuple of int
        ``(x1, x2, y1, y2)`` in pixels, 1-based and inclusive.
    convolved : {'TEMPLATE', 'IMAGE'}
        The image that was convolved.
    values : dict
        Numbers by C's stem, ``'KSUM'``, ``'SSSIG'``, ...; those left out are not written.
    solution : array of float64, shape (n,)
        Coefficients of kernel and background with the unused first element (spec 6.1), padded with zeros; empty
        if the region failed.
    error : str, optional
        Why it failed.
    """

    index: int
    section: tuple
    convolved: str
    values: dict
    solution: np.ndarray
    error: str = ''


def c_files(args, config, command, header, planes, reports, frame=(), noise=()):
    """Make the FITS files that a command line asks for, as C HOTPANTS writes them.

    Numbers of a region are strings, as in C. Its mishaps (spec 8.6, 8.8, F4) are left out: no keyword stands twice,
    ``KERINFO`` says whether this file has the kernel table, and nothing that only describes the science
    image's own HDU is copied.

    Parameters
    ----------
    args : argparse.Namespace
        From `~hotpants_cy.cli.options.parse`.
    config : HotpantsConfig
        The configuration that was used.
    command : str
        The command line, for ``DIFFCMD``.
    header : `~astropy.io.fits.Header`
        Header of the science image.
    planes : dict
        Arrays of shape (ny, nx) in data units: ``'diff'``, ``'convolved'``, ``'sigma'`` and ``'noise'`` as float32,
        ``'mask'`` as int32; only those that are asked for are needed.
    reports : sequence of RegionReport
        One for each region.
    frame : sequence of (str, object, str), optional
        Cards to add to the kernel table.
    noise : sequence of (str, object, str), optional
        Cards about the noise of the images to add to the difference.

    Returns
    -------
    dict
        `~astropy.io.fits.HDUList` by path.
    """
    model = model_cards(config.deg_fixe, config.sigma_gauss, config.kernel_width, config.ko, config.bgo)
    stored = {plane: stored_plane(args, config, plane, planes)
              for plane in ('convolved', 'diff', 'noise', 'sigma') if plane in planes}
    layers = []
    for plane, _, layer, title in IMAGES:
        if getattr(args, layer):
            layers.append(fits.ImageHDU(stored[plane][0]))
            _append(layers[-1].header, [('OBJECT', title), *stored[plane][1],
                                        *(_noise_scale_cards(reports) if plane == 'noise' else ())])
    tables = [_kernel_table(args, model, frame, reports)] if args.hki else []
    cards = [*_difference_cards(args, config, command, reports, model), *noise]
    files = {args.outim: fits.HDUList([_primary(stored['diff'][0], header, cards), *layers, *tables])}
    for plane, file, _, title in IMAGES:
        if path := getattr(args, file):
            cards = [('OBJECT', title), *stored[plane][1]]
            if plane == 'noise':
                cards += _noise_cards(config, reports)
            files[path] = fits.HDUList([_primary(stored[plane][0], header, cards)])
    if args.omi:
        mask, cards = stored_mask(planes['mask'])
        files[args.omi] = fits.HDUList([_primary(mask, header, [*cards, ('OBJECT', 'Hotpants output Mask Image')])])
    if args.oki:
        primary = fits.PrimaryHDU()
        _append(primary.header, [*_region_cards(args, reports), ('KERINFO', True)])
        files[args.oki] = fits.HDUList([primary, _kernel_table(args, model, frame, reports)])
    return files


# -- HDUs -------------------------------------------------------------------------------------

def _primary(data, header, cards):
    """A primary image: the science image's header, in which ``cards`` replace what has their name."""
    own = {keyword for keyword, *_ in cards} - {'COMMENT', 'HISTORY'}
    copied = [card for card in header.copy().cards
              if card.keyword not in own and not _STRUCTURE.fullmatch(card.keyword)
              and not _STALE.fullmatch(card.keyword) and not _is_standard_comment(card)]
    for card in copied:
        card.verify('silentfix')            # a bad card of the science image must not stop the writing
    hdu = fits.PrimaryHDU(data, fits.Header(copied))
    _append(hdu.header, cards)              # only now: PrimaryHDU drops BZERO and BSCALE of a float image
    return hdu


def _is_standard_comment(card):
    return card.keyword == 'COMMENT' and str(card.value).strip().startswith(_STANDARD_COMMENTS)


def _kernel_table(args, model, frame, reports):
    length = max(len(report.solution) for report in reports)
    columns = [fits.Column(f'Region{r.index}', 'D', array=np.pad(r.solution, (0, length - len(r.solution))))
               for r in reports]
    hdu = fits.BinTableHDU(name=KERNEL_TABLE)
    # with data from the start it would import astropy.table, and with it half of astropy
    hdu.data = fits.FITS_rec.from_columns(fits.ColDefs(columns))
    # astropy puts the name in capitals
    hdu.header['EXTNAME'] = KERNEL_TABLE
    _append(hdu.header, [('OBJECT', KERNEL_TABLE), _photnorm(args), *model, *frame])
    return hdu


def _append(header, cards):
    for card in cards:
        keyword, value, comment = (*card, '')[:3]
        value = _fits_value(value)
        if isinstance(value, str) and len(value) + len(comment) > 60:
            comment = ''                    # astropy warns when it has to cut one
        header.append((keyword, value, comment), end=True)


def _fits_value(value):
    """The value as a FITS header can hold it: printable ASCII, finite numbers."""
    if isinstance(value, str):
        return ''.join(letter if ' ' <= letter <= '~' else '?' for letter in value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


# -- keywords ---------------------------------------------------------------------------------

def _difference_cards(args, config, command, reports, model):
    """Keywords of the difference, in C's order (spec 8.7)."""
    environ = os.environ
    return [
        ('COMMENT', ''),
        ('SOFTNAME', 'hotpants_cy', 'The software that differenced this image'),
        ('SOFTVERS', program_version(), 'Version'),
        ('SOFTAUTH', 'The hotpants_cy developers', 'Maintainer'),
        ('SOFTINST', 'after HOTPanTS 5.1.11, University of Washington', 'Institute'),
        ('COMMENT', ''),
        ('AUTHOR', environ.get('LOGNAME') or environ.get('USERNAME') or 'unknown', 'Who ran the software'),
        ('ORIGIN', platform.node() or 'unknown', 'Where it was done'),
        ('DATE', args.started.strftime('%Y-%m-%dT%H:%M:%S'), 'When it was started (GMT)'),
        ('COMMENT', ''),
        ('BZERO', args.obz),
        ('BSCALE', args.obs),
        *_region_cards(args, reports),
        ('DIFFCMD', command),
        ('TARGET', args.inim, 'HOTPanTS : Input Image'),
        ('TEMPLATE', args.tmplim, 'HOTPanTS : Reference Image'),
        ('DIFFIM', args.outim, 'HOTPanTS : Difference Image'),
        _photnorm(args),
        ('NREGION', len(reports), 'Number of independent regions'),
        ('MASKVAL', config.fillval, 'Value of Masked Pixels'),
        ('KERINFO', bool(args.hki)),
        *([('KERFILE', args.oki), *model] if args.oki else []),
        *[(keyword, *card) for keyword, card in method_cards(config).items()],
        *[('HISTORY', f'{name} = {value}: {words}') for name, value, words in config.explained()],
    ]


def _region_cards(args, reports):
    keywords = (*REGION_KEYWORDS, NOISE_SCALE) if args.okn else REGION_KEYWORDS
    cards = []
    for report in reports:
        x1, x2, y1, y2 = report.section
        cards += [(f'REGION{report.index:02d}', f'[{x1}:{x2},{y1}:{y2}]'),
                  (f'CONVOL{report.index:02d}', report.convolved)]
        cards += _number_cards(report, keywords)
        if report.error:
            cards.append((f'FAILED{report.index:02d}', report.error))
    return cards


def _number_cards(report, keywords):
    return [(f'{stem}{report.index:02d}', form % report.values[stem], comment)
            for stem, form, comment in keywords if stem in report.values]


def _noise_scale_cards(reports):
    return [card for report in reports for card in _number_cards(report, [NOISE_SCALE])]


def _noise_cards(config, reports):
    return [('GAIN', 1.0, 'No gain in noise image'), ('RDNOISE', 0.0, 'No rdnoise in noise image'),
            ('MASKVAL', config.fillval_noise, 'Value of Masked Pixels'), *_noise_scale_cards(reports)]


def _photnorm(args):
    return 'PHOTNORM', args.n, 'Direction of photometric normalization'


# -- stars ------------------------------------------------------------------------------------

def star_files(path, stamps, substamp_width, offset):
    """Make the ds9 region files of one region of an image (C flag ``-savexy``, spec 8.9).

    Parameters
    ----------
    path : str
        Name of the file with the stars used; the others get ``.all`` and ``.skipped`` behind it.
    stamps : sequence of (sequence of (int, int), int)
        For each stamp, in grid order, the ``(x, y)`` of its substamps in pixels, 0-based in the whole image, and
        the index of the current one; that is their number when all were rejected.
    substamp_width : int
        Full width of a substamp in pixels.
    offset : int
        Added to the positions: 1 for ds9; 2 is what C does when the science image is convolved.

    Returns
    -------
    dict
        Text by path: used (green), all (yellow), skipped (red).

    Examples
    --------
    >>> from hotpants_cy.cli.outputs import star_files
    >>> print(star_files('stars.reg', [([(99, 72), (56, 179)], 1)], 31, 1)['stars.reg'])
    #   X    Y
    image;box(  57, 180,31,31) # color=green
    """
    chosen = {
        path: ('green', [stars[current] for stars, current in stamps if current < len(stars)]),
        f'{path}.all': ('yellow', [star for stars, _ in stamps for star in stars]),
        f'{path}.skipped': ('red', [star for stars, current in stamps for star in stars[:current]]),
    }
    box = f'image;box(%4d,%4d,{substamp_width},{substamp_width}) # color=%s\n'
    return {name: '#   X    Y\n' + ''.join(box % (x + offset, y + offset, color) for x, y in stars)
            for name, (color, stars) in chosen.items()}
