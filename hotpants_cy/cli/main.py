"""``hotpants-cy``: the command line of C HOTPANTS on the engine of this package."""

import logging
import os
import shlex
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..exceptions import HotpantsError
from .options import config_of, parse, program_version

__all__ = ['main']

LEVELS = {0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments. Default: ``sys.argv[1:]``.

    Returns
    -------
    int
        Exit status: 0, or 1 after one line on stderr that says what went wrong.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ['demo']:
        from .demo import main as demo
        return demo(argv[1:])
    args = parse(argv)
    try:
        with _messages(args.v):
            run(args, shlex.join(['hotpants-cy', *argv]))
    except HotpantsError as error:
        print(f'hotpants-cy: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    except MemoryError:
        print('hotpants-cy: error: there is not enough memory for images and kernels of this size', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('hotpants-cy: interrupted; no output was written', file=sys.stderr)
        return 130
    return 0


class _messages:
    """Show the package's log and warnings on stderr while the command runs (C: ``-v``)."""

    def __init__(self, verbosity):
        self.log = logging.getLogger('hotpants_cy')
        self.handler = logging.StreamHandler(sys.stderr)
        self.handler.setFormatter(logging.Formatter('%(message)s'))
        self.level = LEVELS[min(max(verbosity, 0), 2)]
        self.caught = warnings.catch_warnings()

    def __enter__(self):
        self.before = self.log.level
        self.log.addHandler(self.handler)
        self.log.setLevel(self.level)
        self.caught.__enter__()
        warnings.showwarning = lambda message, *_args, **_kwargs: self.log.warning('warning: %s', message)

    def __exit__(self, *error):
        self.caught.__exit__(*error)
        self.log.setLevel(self.before)
        self.log.removeHandler(self.handler)


def run(args, command):
    """Read the images, subtract them, write what was asked for.

    Parameters
    ----------
    args : argparse.Namespace
        From `~hotpants_cy.cli.options.parse`.
    command : str
        The command line, for the header.

    Raises
    ------
    HotpantsError
        Anything that went wrong; nothing was written then.
    """
    from ..inputs.files import check_writable, write_whole
    from ..pipeline import Hotpants
    from .inputs import read_pair
    from .outputs import c_files, star_files
    log = logging.getLogger('hotpants_cy')
    log.info('hotpants_cy %s: %s - %s = %s', program_version(), args.inim, args.tmplim, args.outim)
    outputs = [path for path in (args.outim, args.oni, args.ond, args.oci, args.omi, args.oki, args.savexy) if path]
    check_writable(outputs, overwrite=not args.nc)
    config = config_of(args)
    if args.oci or args.cim:
        config = config.replace(convolved_image_file=args.oci or args.outim)
    pair = read_pair(args, config.parity)
    hot = Hotpants(pair.template, pair.science, config=config, n_threads=args.threads)
    hot.convolve_and_difference()
    files = c_files(args, config, command, pair.header, planes_of(hot, args, pair.shape), reports_of(hot))
    if args.savexy:
        files |= {path: _Text(text) for path, text in star_files(args.savexy, *stars_of(hot)).items()}
    write_whole(files, overwrite=not args.nc)
    for path in files:
        log.info('wrote %s', path)


@dataclass(frozen=True)
class _Text:
    """A text file, to be written whole beside the FITS files."""

    text: str

    def writeto(self, path, **_options):
        Path(path).write_text(self.text, encoding='ascii')


def planes_of(hot, args, shape):
    """Planes to write, padded with zeros to the larger of the two images where their sizes differ (spec 2.1)."""
    difference, convolved, noise, flags = hot.convolve_and_difference()
    planes = {'diff': difference, 'convolved': convolved, 'noise': noise, 'mask': flags}
    if args.ond or args.ndm:
        planes['sigma'] = sigma_image(difference, noise, hot)
    if shape != difference.shape:
        (ny, nx), outside = difference.shape, {'mask': 0x8000}
        for name, plane in planes.items():
            planes[name] = np.full(shape, outside.get(name, 0), plane.dtype)
            planes[name][:ny, :nx] = plane
    return planes


def sigma_image(difference, noise, hot):
    """Difference over its noise, and the fill value where there is no difference (spec 8.5)."""
    half, fill = hot.config.rkernel, np.float32(hot.config.fillval)
    out = np.full_like(difference, fill)
    inside = np.s_[half:-half, half:-half]
    with np.errstate(divide='ignore', invalid='ignore'):
        np.divide(difference[inside], noise[inside], out=out[inside], where=difference[inside] != fill)
    return out


def reports_of(hot):
    """What headers and kernel table say about each region."""
    from .outputs import RegionReport
    reports = []
    for run in hot.regions:
        r, model = run.region, run.fit.model
        # C keeps an unused first element, and room for a spatially varying first basis function (spec 6.1)
        n_terms = (model.ko + 1) * (model.ko + 2) // 2
        solution = np.concatenate([[0.0], model.solution, np.zeros(n_terms - 1)])
        reports.append(RegionReport(r.index, (r.x0 + 1, r.x1 + 1, r.y0 + 1, r.y1 + 1),
                                    'TEMPLATE' if run.direction == 't' else 'IMAGE', run.statistics, solution))
    return reports


def stars_of(hot):
    """Arguments of `star_files`: positions in each stamp, width, and offset from 0-based positions."""
    run = hot.region
    stamps = [([(s.x, s.y) for s in stamp.substamps], stamp.current) for stamp in run.sides[run.direction].stamps]
    # C counts one too many when it convolves the science image (spec 8.9)
    offset = 2 if hot.config.parity and run.direction == 'i' else 1
    return stamps, hot.config.substamp_width, offset


def quiet_exit():
    """Entry point: leave without a traceback when the reader of our output has gone."""
    try:
        sys.exit(main())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
