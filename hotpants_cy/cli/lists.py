"""Text files and header keywords that a command line names: lists of stars and of regions (spec 2.5, 3.7)."""

import os
import re

from ..exceptions import InputError
from ..inputs.text import read_text

__all__ = ['read_regions', 'read_stars', 'regions_of_headers']

_NUMBER = r'\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)'
_PAIR = re.compile(_NUMBER + _NUMBER)
_RECTANGLE = re.compile(r'\s*\[?\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]?\s*')
_LINE_LENGTH = 255            # what follows counts as another line, as in C


def read_stars(path, skip_first=False):
    """Read a list of stars.

    Parameters
    ----------
    path : str
        One ``x y`` pair per line, 1-based; other lines are passed over [C: ``-ssf``].
    skip_first : bool, optional
        Leave out the first line [C: ``-cmp``]. Default False.

    Returns
    -------
    list of (float, float)

    Raises
    ------
    InputError
        The file cannot be read or holds no pair.
    """
    stars = []
    for line in _lines(path)[skip_first:]:
        for start in range(0, len(line), _LINE_LENGTH):
            match = _PAIR.match(line[start:start + _LINE_LENGTH])
            if match:
                stars.append((float(match[1]), float(match[2])))
    if not stars:
        raise InputError(f'{path} holds no star: each line must begin with x and y, 1-based')
    return stars


def read_regions(path):
    """Read a list of regions.

    Parameters
    ----------
    path : str
        One ``xmin:xmax,ymin:ymax`` per line, 0-based and inclusive [C: ``-rf``].

    Returns
    -------
    list of (int, int, int, int)
        First and last pixel in x, first and last in y.

    Raises
    ------
    InputError
        The file cannot be read, or a line is something else.
    """
    regions = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        match = _RECTANGLE.fullmatch(line)
        if match is None:
            raise InputError(f'{path}, line {number}: {line.strip()[:40]!r} is no region xmin:xmax,ymin:ymax')
        regions.append(_rectangle(match, path))
    if not regions:
        raise InputError(f'{path} holds no region: each line must be xmin:xmax,ymin:ymax, 0-based')
    return regions


def regions_of_headers(stem, count, headers, shape):
    """Regions from the keywords of both headers: what they share (spec 2.5, 0-based as C takes them).

    Parameters
    ----------
    stem : str
        Keywords are ``stem`` and the number of the region, from 0 [C: ``-rkw``].
    count : int
        Number of regions.
    headers : sequence of `~astropy.io.fits.Header`
        A keyword that is missing stands for the whole image.
    shape : (int, int)
        Shape (ny, nx) of the images.

    Returns
    -------
    list of (int, int, int, int)
    """
    whole = (0, shape[1] - 1, 0, shape[0] - 1)
    regions = []
    for k in range(count):
        found = [_keyword_region(header, f'{stem}{k}') or whole for header in headers]
        x0, x1, y0, y1 = zip(*found, strict=True)
        regions.append((max(x0), min(x1), max(y0), min(y1)))
    return regions


def _keyword_region(header, keyword):
    value = header.get(keyword)
    if value is None:
        return None
    match = _RECTANGLE.fullmatch(str(value))
    if match is None:
        raise InputError(f'header keyword {keyword} = {str(value)[:40]!r} is no region [x1:x2,y1:y2]')
    return _rectangle(match, keyword)


def _rectangle(match, where):
    x0, x1, y0, y1 = map(int, match.groups())
    if x1 < x0 or y1 < y0:
        raise InputError(f'{where}: the region {match[0].strip()} ends before it begins')
    return x0, x1, y0, y1


def _lines(path):
    return read_text(os.path.expanduser(path), 'ascii').split('\n')
