"""``hotpants-cy``: the command line of C HOTPANTS on the engine of this package."""

import contextlib
import gc
import shlex
import signal
import sys
import threading

from .options import parse

__all__ = ['main', 'program']

MANY = 200_000                 # objects; importing astropy makes about as many


class _Terminated(BaseException):
    """SIGTERM came."""


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments. Default: ``sys.argv[1:]``.

    Returns
    -------
    int
        Exit status: 0, or 1 after one line on stderr that says what went wrong; 130 if interrupted, 143 if terminated.
    """
    try:
        return _main(sys.argv[1:] if argv is None else list(argv))
    except SystemExit as stop:                   # of argparse, which knows no other way, and says 2 for a wrong option
        return {None: 0, 2: 1}.get(stop.code, stop.code)


def program():
    """Run `main` in a process of its own.

    Python looks less often for objects that only refer to each other, and not at the end: of what is imported there are
    none, and looking takes a tenth of a second.

    Returns
    -------
    int
        Exit status.
    """
    gc.set_threshold(MANY)
    status = main()
    gc.freeze()
    return status


def _main(argv):
    if argv[:1] == ['demo']:
        from .demo import main as demo
        return demo(argv[1:])
    if argv[:1] == ['completion']:
        from .completion import main as completion
        return completion(argv[1:])
    if argv[:1] in (['extractkern'], ['maskim']):
        from . import companions
        return getattr(companions, argv[0])(argv[1:])
    args = parse(argv)
    # only now: numpy and astropy take longer to import than the version to print
    from ..exceptions import HotpantsError
    from .messages import Messages
    from .run import run
    try:
        with Messages(args.v), _sigterm_raises():
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
    except _Terminated:
        print('hotpants-cy: terminated', file=sys.stderr)
        return 143
    return 0


@contextlib.contextmanager
def _sigterm_raises():
    """Make SIGTERM an exception, so that files half written are taken away; what others do with it stays."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def stop(*_):
        raise _Terminated
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
