"""``hotpants-cy``: the command line of C HOTPANTS on the engine of this package."""

import logging
import shlex
import sys
import warnings

from ..exceptions import HotpantsError
from .options import parse
from .run import NOTICE, run

__all__ = ['main']

# a run that fails says one line; one that succeeds says by default in a few what it did
LEVELS = {0: logging.WARNING, 1: NOTICE, 2: logging.DEBUG}


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
    if argv[:1] in (['extractkern'], ['maskim']):
        from . import companions
        return getattr(companions, argv[0])(argv[1:])
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
