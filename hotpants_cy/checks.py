"""What a parameter may be: each rule is a function that checks a value, and the words that say what it wants.

The function returns the value in its own type, or raises TypeError or ValueError.
"""

import math
import operator

import numpy as np

__all__ = ['basis_images', 'boolean', 'checked', 'choice', 'corners', 'integer', 'or_none', 'path',
           'positive', 'real', 'rising', 'tuple_of']


def checked(name, value, rule):
    """What a rule makes of an argument; an `InputError` that names it if it is none."""
    check, words = rule
    try:
        return check(value)
    except (TypeError, ValueError, OverflowError):
        from .exceptions import InputError  # brings astropy, which a configuration does not need
        raise InputError(f'{name}={value!r} is impossible: it must be {words}') from None


def _number(value):
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError
    return float(value)


def real(low=-math.inf, high=math.inf, *, above=False, finite=True):
    """A real number of a range; with ``above`` the lower end is excluded."""
    def check(value):
        value = _number(value)
        outside = not low <= value <= high or (above and value == low)
        if finite and (outside or not math.isfinite(value)):
            raise ValueError
        return value
    if low == -math.inf and high == math.inf:
        return check, 'a finite number' if finite else 'a number'
    if high == math.inf:
        return check, f'a number above {low:g}' if above else f'a number from {low:g} up'
    return check, f'a number from {low:g} to {high:g}'


def positive(words='a number above zero', high=math.inf):
    """A number above zero."""
    return real(0, high, above=True)[0], words


def rising():
    """Two or more rising numbers, as a float64 array."""
    def check(values):
        values = np.array(values, float)
        if values.ndim != 1 or len(values) < 2 or not (np.diff(values) > 0).all():
            raise ValueError
        return values
    return check, 'two or more rising numbers'


def integer(low, high, *, or_boolean=False):
    """A whole number of a range, ends included."""
    def check(value):
        if isinstance(value, (bool, np.bool_)):
            if not or_boolean:
                raise TypeError
            value = int(value)
        value = operator.index(value)
        if not low <= value <= high:
            raise ValueError
        return value
    return check, f'a whole number from {low} to {high}'


def choice(*allowed):
    """One of a few words."""
    def check(value):
        if not isinstance(value, str) or value not in allowed:
            raise ValueError
        return value
    return check, 'one of ' + ', '.join(map(repr, allowed))


def boolean():
    """True or False."""
    def check(value):
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError
        return bool(value)
    return check, 'True or False'


def path():
    """The name of a file."""
    def check(value):
        if not hasattr(value, '__fspath__') and not isinstance(value, str):
            raise TypeError
        return str(value)
    return check, 'a path'


def tuple_of(item, words):
    """One or more values that each pass ``item``."""
    def check(values):
        if isinstance(values, (str, bytes)):
            raise TypeError
        values = tuple(item(v) for v in values)
        if not values:
            raise ValueError
        return values
    return check, words


def corners():
    """A rectangle: first and last pixel in x, first and last in y."""
    whole = integer(0, 2**31 - 1)[0]

    def check(values):
        x0, x1, y0, y1 = (whole(v) for v in values)
        if 0 < x1 < x0 or 0 < y1 < y0:
            raise ValueError
        return x0, x1, y0, y1
    return check, 'four whole numbers x0, x1, y0, y1 from 0 up, in order'


def or_none(rule):
    """What another rule accepts, or None."""
    check, words = rule
    return lambda value: None if value is None else check(value), f'{words}, or None'


def basis_images():
    """Images of one odd width, as a read-only float32 array (n, width, width)."""
    def check(images):
        if images is None:
            return None
        with np.errstate(over='ignore'):
            images = np.array(images, np.float32)
        if images.ndim != 3 or not images.size or images.shape[1] != images.shape[2] or images.shape[1] % 2 == 0:
            raise ValueError
        if not np.isfinite(images).all():
            raise ValueError
        images.flags.writeable = False
        return images
    return check, 'square images of one odd width, finite numbers, or None'
