"""Reading the command line: tokens to values as C HOTPANTS takes them, values to a configuration."""

import argparse
import difflib
import math
import os
import re
import sys
from datetime import UTC, datetime

from ..words import counted
from .flags import FLAGS

__all__ = ['OUTPUTS', 'config_of', 'fixed_by', 'parse', 'program_version']

PROGRAM = 'hotpants-cy'
USAGE = f"""{PROGRAM} -inim SCIENCE -tmplim TEMPLATE -outim DIFFERENCE [options]
       {PROGRAM} demo [DIR]
       {PROGRAM} extractkern [-xy X Y] [-nkw N] [-a] [-im IMAGE] DIFFERENCE OUT
       {PROGRAM} maskim -inim IMAGE -maskim MASK -outim OUT [-fi X] [-mask BITS]
       {PROGRAM} --help"""


_KNOWN = {flag.name: flag for flags in FLAGS.values() for flag in flags}
_KNOWN |= dict.fromkeys(('-h', '-help'), _KNOWN['--help'])
OUTPUTS = 'outim', 'oni', 'ond', 'oci', 'omi', 'oki', 'savexy', 'score', 'whiten', 'candidates', 'report'
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
    return words


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
        count = _count(flag, tokens)
        if len(tokens) < count:
            raise ValueError(f'{flag.name} needs {counted(count, "value")}, but the line ends after '
                             f'{len(tokens) or "none"}')
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
        tokens = _normalised(argv)
        args = parser.parse_args(tokens)
        args.given = {token.partition('=')[0] for token in tokens}
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
    for name in ('tu', 'iu'):
        if getattr(args, name) < 0:
            raise ValueError(f'-{name} {getattr(args, name):g} is impossible: it must not be below 0')
    if args.threads is not None and args.threads < 1:
        raise ValueError(f'--threads {args.threads} is impossible: it must be at least 1')
    if args.auto and args.ki:
        raise ValueError('--auto cannot go with -ki: the kernel is known')
    if args.measure_noise and args.ki:
        raise ValueError('--measure-noise cannot go with -ki: it fits the kernel again')
    if args.stars and (args.ssf or args.cmp):
        raise ValueError('--stars cannot go with -ssf or -cmp')
    if args.rf and (args.ssf or args.cmp):
        raise ValueError('-rf cannot go with -ssf or -cmp')
    if args.rkw and args.rf:
        raise ValueError('-rkw cannot go with -rf')
    if args.rkw and args.rkw[1] < 1:
        raise ValueError(f'-rkw {args.rkw[0]} {args.rkw[1]} is impossible: there must be a region at least')
    if args.obs == 0 or args.nbs == 0:
        raise ValueError('-obs and -nbs must not be 0')
    if args.pca and (args.hki or args.oki):
        raise ValueError('-hki and -oki cannot go with -pca: the table has no room for basis images')
    if args.pca and args.ki:
        raise ValueError('-ki cannot go with -pca')
    _check_names(args)


def _check_names(args):
    """No output may replace an input or another output."""
    taken = {}
    inputs = ('inim', 'tmplim', 'tni', 'tmi', 'ini', 'imi', 'ki', 'ssf', 'cmp', 'rf', 'stars', 'avoid')
    for name in inputs + OUTPUTS:
        if (path := getattr(args, name)) is None:
            continue
        if not path:
            raise ValueError(f'-{name} is empty: it must name a file')
        path = os.path.realpath(path if name in OUTPUTS else re.sub(r'\[.*\]$', '', path))
        if name in OUTPUTS and path in taken:
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
    import numpy as np  # --help and --version do without both

    from ..config import HotpantsConfig
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
    values['auto_search'] = args.afssc != 0
    values['verbose'] = min(max(args.v, 0), 2)
    if args.ng is not None:
        values['deg_fixe'] = args.ng[1::2]
        # a given sigma goes through single precision first, the default ones do not (spec 1.2)
        values['sigma_gauss'] = tuple(float(np.float32(sigma)) for sigma in args.ng[2::2])
    return HotpantsConfig(**values, parity=not (args.no_parity or args.auto))


def fixed_by(args, config):
    """Parameters of a configuration that ``--auto`` must leave alone, by name: those of flags on the command line.

    Fill values stay those of C, and what stands in files that the command line names is as good as given.
    """
    fields = {flag.field for flag in _KNOWN.values() if flag.field and flag.name in args.given}
    fields |= {'fillval', 'fillval_noise', 'verbose', 'parity'} | ({'deg_fixe', 'sigma_gauss'} if args.ng else set())
    return {name: value for name, value in config.to_dict().items()
            if name in fields or (name in ('region_list', 'basis_images') and value is not None)}


def program_version():
    """Return the version of the program."""
    try:
        from .._version import version
    except ImportError:                                 # a source tree that was never built
        return 'unknown'
    return version
