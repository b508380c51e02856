"""The flags of C HOTPANTS 5.1.11: one table, from which parsing, ``--help`` and the configuration come."""

import argparse
import difflib
import math
import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ..config import HotpantsConfig

__all__ = ['FLAGS', 'Flag', 'config_of', 'parse', 'program_version']

PROGRAM = 'hotpants-cy'
USAGE = f"""{PROGRAM} -inim SCIENCE -tmplim TEMPLATE -outim DIFFERENCE [options]
       {PROGRAM} demo [DIR]
       {PROGRAM} --help"""


@dataclass(frozen=True)
class Flag:
    """One flag of the command line.

    Parameters
    ----------
    name : str
        The flag as it is typed, in lower case.
    values : str
        What follows it, a letter a token: S text, F number, I whole number, C letter; ``'I(IF)'`` is a count
        and as many pairs.
    default : object
        What C takes without the flag.
    field : str
        The field of `HotpantsConfig` that it sets, or nothing.
    help : str
        One line for ``--help``.
    metavar : str, optional
        Name of the values there.
    letters : str, optional
        First letters that a C value may have.
    supported : object, optional
        True; False if the flag is only known by name; or the one value that is supported so far.
    """

    name: str
    values: str
    default: object
    field: str
    help: str
    metavar: str = ''
    letters: str = ''
    supported: object = True

    @property
    def dest(self):
        """Name of its value in the namespace."""
        return self.name.lstrip('-').replace('-', '_')


FLAGS = {
    'Files': (
        Flag('-inim', 'S', None, '', 'science image; path[EXT] chooses an extension'),
        Flag('-tmplim', 'S', None, '', 'template image'),
        Flag('-outim', 'S', None, '', 'difference, science minus template'),
        Flag('-oni', 'S', None, '', 'noise of the difference'),
        Flag('-ond', 'S', None, '', 'difference over its noise'),
        Flag('-oci', 'S', None, '', 'convolved image'),
        Flag('-omi', 'S', None, '', 'mask of the difference'),
        Flag('-oki', 'S', None, '', 'kernel table'),
        Flag('-savexy', 'S', None, '', 'ds9 regions of the stars used; also FILE.all and FILE.skipped'),
        Flag('-nc', '', False, '', 'do not replace files that exist'),
    ),
    'Template': (
        Flag('-tu', 'F', 25000., 'tuthresh', 'pixels at or above this value are bad'),
        Flag('-tuk', 'F', 25000., 'tuktresh', 'pixels at or above this value are not fitted; does not follow -tu'),
        Flag('-tl', 'F', 0., 'tlthresh', 'pixels at or below this value are bad'),
        Flag('-tg', 'F', 1., 'tgain', 'gain, electrons per data unit'),
        Flag('-tr', 'F', 0., 'trdnoise', 'read noise, electrons'),
        Flag('-tp', 'F', 0., 'tpedestal', 'pedestal, subtracted from data and thresholds'),
        Flag('-tni', 'S', None, '', 'noise image (1 sigma), instead of gain and read noise'),
        Flag('-tmi', 'S', None, '', 'mask image'),
    ),
    'Science image': (
        Flag('-iu', 'F', 25000., 'iuthresh', 'pixels at or above this value are bad'),
        Flag('-iuk', 'F', 25000., 'iuktresh', 'pixels at or above this value are not fitted; does not follow -iu'),
        Flag('-il', 'F', 0., 'ilthresh', 'pixels at or below this value are bad'),
        Flag('-ig', 'F', 1., 'igain', 'gain, electrons per data unit'),
        Flag('-ir', 'F', 0., 'irdnoise', 'read noise, electrons'),
        Flag('-ip', 'F', 0., 'ipedestal', 'pedestal, subtracted from data and thresholds'),
        Flag('-ini', 'S', None, '', 'noise image (1 sigma), instead of gain and read noise'),
        Flag('-imi', 'S', None, '', 'mask image'),
    ),
    'Stamps and stars': (
        Flag('-nsx', 'I', 10, 'nstampx', 'stamps in x'),
        Flag('-nsy', 'I', 10, 'nstampy', 'stamps in y'),
        Flag('-nss', 'I', 3, 'nss', 'stars (substamps) kept per stamp'),
        Flag('-rss', 'I', 15, 'rss', 'half width of a substamp, pixels'),
        Flag('-ft', 'F', 20., 'fitthresh', 'height of a usable star over the sky, in sky sigmas'),
        Flag('-sft', 'F', 0.5, 'scale_fitthresh', 'factor on -ft in a second search'),
        Flag('-nft', 'F', 0.1, 'min_frac_stamps', 'fraction of filled stamps below which there is one'),
        Flag('-ssf', 'S', None, '', 'file with positions of stars', supported=False),
        Flag('-cmp', 'S', None, '', 'the same, without its first line', supported=False),
        Flag('-afssc', 'I', 1, '', 'search stars beside those of the file', supported=False),
    ),
    'Kernel and background': (
        Flag('-r', 'I', 10, 'rkernel', 'half width of the kernel, pixels'),
        Flag('-ko', 'I', 2, 'ko', 'spatial order of the kernel'),
        Flag('-bgo', 'I', 1, 'bgo', 'spatial order of the background'),
        Flag('-ng', 'I(IF)', None, '', 'Gaussians: their number, then polynomial degree and sigma in pixels of each; '
             '3 6 0.7 4 1.5 2 3.0 without it', 'N DEG SIGMA ...'),
        Flag('-pca', 'I(S)', None, '', 'basis images: their number and files', 'N FILE ...', supported=False),
        Flag('-ki', 'S', None, '', 'take the kernel from this table', supported=False),
        Flag('-kcs', 'I', 0, 'kcs', 'width of the blocks with one kernel, pixels; 0 is the width of the kernel'),
        Flag('-ssig', 'F', 3., 'stat_sig', 'clipping of all statistics, sigmas'),
        Flag('-ks', 'F', 2., 'ks', 'rejection of stars in the fit, sigmas'),
        Flag('-fom', 'C', 'v', 'fom', 'merit of a star: variance, sigma or histogram', 'v|s|h', 'vsh', 'v'),
    ),
    'Direction and normalisation': (
        Flag('-c', 'C', 'b', 'force_convolve', 'convolve template, science image or what fits better',
             't|i|b', 'tib'),
        Flag('-n', 'C', 't', 'normalize', 'flux scale of template, science image or unconvolved image',
             't|i|u', 'tiu'),
    ),
    'Noise and masks': (
        Flag('-convvar', '', False, 'conv_var', 'convolve the variance with the kernel, not with its square'),
        Flag('-okn', '', False, 'rescale_ok', 'rescale the noise of pixels near bad ones'),
        Flag('-kfm', 'F', 0.99, 'kfm', 'least weight of the kernel on good pixels'),
        Flag('-mins', 'F', 1., 'kf_spread_mask1', 'growth of the input mask, kernel half widths'),
        Flag('-mous', 'F', 1., 'kf_spread_mask2', 'below 0: do not fill bad pixels'),
        Flag('-fi', 'F', 1e-30, 'fillval', 'value of bad pixels, also on input'),
        Flag('-fin', 'F', 0., 'fillval_noise', 'value of bad pixels of the noise'),
    ),
    'Output layers': (
        Flag('-cim', '', False, '', 'append the convolved image to the difference'),
        Flag('-ndm', '', False, '', 'append the difference over its noise'),
        Flag('-nim', '', False, '', 'append the noise'),
        Flag('-allm', '', False, '', 'append all three'),
        Flag('-hki', '', False, '', 'append the kernel table'),
        Flag('-sht', '', False, '', '16-bit images', supported=False),
        Flag('-obs', 'F', 1., '', 'their BSCALE', supported=False),
        Flag('-obz', 'F', 0., '', 'their BZERO', supported=False),
        Flag('-nsht', '', False, '', '16-bit noise', supported=False),
        Flag('-nbs', 'F', 1., '', 'its BSCALE', supported=False),
        Flag('-nbz', 'F', 0., '', 'its BZERO', supported=False),
    ),
    'Regions': (
        Flag('-nrx', 'I', 1, 'nregx', 'regions in x', supported=1),
        Flag('-nry', 'I', 1, 'nregy', 'regions in y', supported=1),
        Flag('-gd', 'IIII', None, '', 'use only this part', 'XMIN XMAX YMIN YMAX', supported=False),
        Flag('-rf', 'S', None, '', 'file with regions', supported=False),
        Flag('-rkw', 'SI', None, '', 'header keyword and number of regions', 'KEY N', supported=False),
        Flag('-sconv', '', False, '', 'one direction for all regions', supported=False),
    ),
    'Other': (
        Flag('-v', 'I', 1, 'verbose', 'messages: 0, 1 or 2'),
        Flag('-ef', 'S', None, '', 'accepted and not used, as in C'),
        Flag('-sum', '', False, '', 'accepted and not used, as in C'),
        Flag('--threads', 'I', None, '', 'threads; without it all processors this process may use'),
        Flag('--no-parity', '', False, '', 'leave out what only serves to agree with C to the last bit'),
        Flag('--version', '', False, '', 'print the version'),
        Flag('--help', '', False, '', 'print this; also -help, -h'),
    ),
}
_KNOWN = {flag.name: flag for flags in FLAGS.values() for flag in flags}
_KNOWN |= dict.fromkeys(('-h', '-help'), _KNOWN['--help'])
_JOIN = '\0'            # between the tokens of one flag; no command line can hold it
_METAVARS = {'S': 'FILE', 'F': 'X', 'I': 'N', 'C': 'LETTER'}


# -- tokens to values -------------------------------------------------------------------------

def _real(text):
    if '_' not in text:                                 # Python takes 1_000 for a number
        try:
            return float(text)
        except ValueError:
            pass
    raise argparse.ArgumentTypeError(f'{text!r} is not a number')


def _whole(text):
    # pipelines compute their sizes and pass 3.7 or 12.0; C cuts what follows the point
    try:
        return math.trunc(_real(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number') from None


def _letter_of(letters):
    def letter(text):
        if text[:1] not in tuple(letters):
            raise argparse.ArgumentTypeError(f'{text!r} must begin with one of {", ".join(letters)}')
        return text
    return letter


def _reader(flag):
    """What turns the joined tokens of a flag into its value."""
    single = {'S': str, 'F': _real, 'I': _whole, 'C': _letter_of(flag.letters)}
    if len(flag.values) == 1:
        return single[flag.values]

    def several(text):
        tokens = text.split(_JOIN)
        head, _, repeated = flag.values.rstrip(')').partition('(')
        kinds = head + repeated * len(tokens)
        return tuple(single[kind](token) for kind, token in zip(kinds, tokens, strict=False))
    return several


# -- the command line -------------------------------------------------------------------------

class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(1, f'{PROGRAM}: error: {" ".join(message.split())}\n')


def _parser():
    parser = _Parser(
        prog=PROGRAM, usage=USAGE, add_help=False, allow_abbrev=False,
        description='Subtract a template from a science image (Alard & Lupton), with the flags of C HOTPANTS 5.1.11. '
                    'Names of flags may be in capitals; the last of several wins.',
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28))
    for title, flags in FLAGS.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            group.add_argument(flag.name, dest=flag.dest, help=_help(flag), **_action(flag))
    return parser


def _action(flag):
    if flag.name == '--help':
        return {'action': 'help'}
    if flag.name == '--version':
        return {'action': 'version', 'version': f'{PROGRAM} {program_version()}'}
    if not flag.values:
        return {'action': 'store_true'}
    return {'type': _reader(flag), 'default': flag.default, 'metavar': flag.metavar or _METAVARS[flag.values]}


def _help(flag):
    words = flag.help
    if flag.values and flag.default is not None:
        words += f' ({flag.default:g})' if isinstance(flag.default, float) else f' ({flag.default})'
    if flag.supported is False:
        return words + ' [not supported yet]'
    return words if flag.supported is True else words + f' [only {flag.supported} is supported yet]'


def _normalised(argv):
    """The tokens as argparse cannot misread them: ``-flag`` or ``-flag=value``; a ValueError says what is wrong."""
    tokens, result = list(argv), []
    while tokens:
        token = tokens.pop(0)
        if not token.startswith('-'):
            raise ValueError(f'unexpected word {token!r}: a flag must stand here, and {PROGRAM} --help lists them')
        if token.startswith('--') and '=' in token:
            token, _, value = token.partition('=')
            tokens.insert(0, value)
        flag = _KNOWN.get(token.lower())
        if flag is None:
            close = difflib.get_close_matches(token.lower(), _KNOWN, n=1)
            raise ValueError(f'unknown option {token!r}; {f"did you mean {close[0]}, or see" if close else "see"} '
                             f'{PROGRAM} --help')
        if flag.supported is False:
            raise ValueError(f'{flag.name} is not supported yet')
        count = _count(flag, tokens)
        if len(tokens) < count:
            raise ValueError(f'{flag.name} needs {count} value{"s" * (count > 1)}, and {len(tokens)} follow'
                             f'{"s" * (len(tokens) == 1)} at the end of the line')
        values, tokens = tokens[:count], tokens[count:]
        result.append(f'{flag.name}={_JOIN.join(values)}' if count else flag.name)
    return result


def _count(flag, tokens):
    """How many tokens the flag takes."""
    if '(' not in flag.values:
        return len(flag.values)
    try:
        repeats = _whole(tokens[0]) if tokens else 1
    except argparse.ArgumentTypeError as error:
        raise ValueError(f'argument {flag.name}: {error}') from None
    if repeats < 1:
        raise ValueError(f'argument {flag.name}: {tokens[0]!r} must be at least 1')
    return 1 + repeats * (len(flag.values) - 3)


def parse(argv):
    """Read a command line as C HOTPANTS does.

    Names are matched in full and in any case; a flag takes the tokens after it whatever they are; the last of
    several wins. What C passes over silently is an error here.

    Parameters
    ----------
    argv : sequence of str
        The command line without the name of the program.

    Returns
    -------
    argparse.Namespace
        The value of each flag under its name without the dash (``inim``, ``tu``, ``hki``, ``threads``, ...), and
        ``started``, a `datetime.datetime` in UTC. `config_of` succeeds with it.

    Raises
    ------
    SystemExit
        Status 1, after one line on stderr, if something is wrong; status 0 after ``--help`` and ``--version``.

    Examples
    --------
    >>> from hotpants_cy.cli.options import config_of, parse
    >>> args = parse('-inim s.fits -tmplim t.fits -outim d.fits -tl -500 -R 7.9'.split())
    >>> args.inim, args.tl, config_of(args).rkernel
    ('s.fits', -500.0, 7)
    """
    if not argv:
        sys.stderr.write(f'usage: {USAGE}\n')
        raise SystemExit(1)
    parser = _parser()
    try:
        args = parser.parse_args(_normalised(argv))
        args.started = datetime.now(UTC)
        if args.allm:
            args.nim = args.ndm = args.cim = True
        _check(args)
        config_of(args)
    except ValueError as error:
        parser.error(str(error))
    return args


# -- sanity (spec 1.3; the rest is checked by HotpantsConfig) ---------------------------------

def _check(args):
    for name, what in (('inim', 'the science image'), ('tmplim', 'the template'), ('outim', 'the difference')):
        if not getattr(args, name):
            raise ValueError(f'-{name} is required: {what}')
    for flag in _KNOWN.values():
        value = getattr(args, flag.dest, None)
        if not isinstance(flag.supported, bool) and (value[0] if flag.values == 'C' else value) != flag.supported:
            raise ValueError(f'{flag.name} {value} is not supported yet')
    for name in ('tu', 'iu'):
        if getattr(args, name) < 0:
            raise ValueError(f'-{name} {getattr(args, name):g} is impossible: it must not be below 0')
    if args.threads is not None and args.threads < 1:
        raise ValueError(f'--threads {args.threads} is impossible: it must be at least 1')
    _check_names(args)


def _check_names(args):
    """No output may replace an input or another output."""
    taken = {}
    inputs = ('inim', 'tmplim', 'tni', 'tmi', 'ini', 'imi')
    outputs = ('outim', 'oni', 'ond', 'oci', 'omi', 'oki', 'savexy')
    for name in inputs + outputs:
        if (path := getattr(args, name)) is None:
            continue
        if not path:
            raise ValueError(f'-{name} is empty: it must name a file')
        path = os.path.realpath(path if name in outputs else re.sub(r'\[.*\]$', '', path))
        if name in outputs and path in taken:
            raise ValueError(f'-{name} and -{taken[path]} name the same file: {getattr(args, name)!r}')
        taken.setdefault(path, name)


# -- configuration ----------------------------------------------------------------------------

def config_of(args):
    """Make the configuration that a command line asks for.

    Parameters
    ----------
    args : argparse.Namespace
        From `parse`.

    Returns
    -------
    HotpantsConfig
        With C's defaults, and ``parity=True`` unless ``--no-parity`` was given. File names are not part of it.

    Raises
    ------
    ValueError
        An impossible value; the message says which one, and what is possible.
    """
    values = {}
    for flag in _KNOWN.values():
        if flag.field:
            value = getattr(args, flag.dest)
            values[flag.field] = value[0] if flag.values == 'C' else value
    for name in ('tuthresh', 'tuktresh', 'iuthresh', 'iuktresh', 'tlthresh', 'ilthresh'):
        # no limit is an infinite number to C, and None to the configuration
        if values[name] == (math.inf if 'u' in name else -math.inf):
            values[name] = None
    values['kcs'] = args.kcs or None
    values['verbose'] = min(max(args.v, 0), 2)
    if args.ng is not None:
        values['deg_fixe'] = args.ng[1::2]
        # a given sigma goes through single precision first, the default ones do not (spec 1.2)
        values['sigma_gauss'] = tuple(float(np.float32(sigma)) for sigma in args.ng[2::2])
    return HotpantsConfig(**values, parity=not args.no_parity)


def program_version():
    """Return the version of the program."""
    try:
        from .._version import version
    except ImportError:                                 # a source tree that was never built
        return 'unknown'
    return version
