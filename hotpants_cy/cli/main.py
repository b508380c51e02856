"""``hotpants-cy``: the command line of C HOTPANTS on the engine of this package."""

import shlex
import sys

from .options import parse

__all__ = ['main']


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
        with Messages(args.v):
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
