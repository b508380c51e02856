"""What a run says on stderr, by its log and its warnings (C: ``-v``)."""

import logging
import sys
import warnings

__all__ = ['NOTICE', 'Messages']

#: Level of the few lines about a run that succeeds, between progress and a warning.
NOTICE = 25

# a run that fails says one line; one that succeeds says by default in a few what it did
_LEVELS = {0: logging.WARNING, 1: NOTICE, 2: logging.DEBUG}


class Messages:
    """Context in which the package's log and warnings appear on stderr.

    Parameters
    ----------
    verbosity : int
        0 for warnings, 1 for a few lines about the run, 2 for all.
    """

    def __init__(self, verbosity):
        self.log = logging.getLogger('hotpants_cy')
        self.handler = logging.StreamHandler(sys.stderr)
        self.handler.setFormatter(logging.Formatter('%(message)s'))
        self.level = _LEVELS[min(max(verbosity, 0), 2)]
        self.caught = warnings.catch_warnings()

    def __enter__(self):
        self.before = self.log.level
        self.log.addHandler(self.handler)
        self.log.setLevel(self.level)
        self.caught.__enter__()
        warnings.showwarning = lambda message, *_args, **_kwargs: self.log.warning(
            'warning: %s', ' '.join(str(message).split()))

    def __exit__(self, *error):
        self.caught.__exit__(*error)
        self.log.setLevel(self.before)
        self.log.removeHandler(self.handler)
