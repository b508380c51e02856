"""``python -m hotpants_cy``: the command line, where its script is not on the path."""

import sys

from .cli.main import program

if __name__ == '__main__':
    sys.exit(program())
