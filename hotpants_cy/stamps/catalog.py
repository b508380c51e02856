"""Stars that the user brings."""

import numpy as np

from ..exceptions import InputError

__all__ = ['star_positions']


def star_positions(catalog):
    """Positions of a 1-based star list as the engine wants them.

    Parameters
    ----------
    catalog : array (n, 2)
        Positions (x, y) in pixels, the centre of the first pixel being (1, 1) [C: ``-ssf``].

    Returns
    -------
    float32 array (n, 2)
        The same, 0-based.

    Raises
    ------
    InputError
        It is not a list of pairs of finite numbers.

    Examples
    --------
    >>> star_positions([(10, 20.5)])
    array([[ 9. , 19.5]], dtype=float32)
    """
    try:
        positions = np.array(catalog, np.float32)
    except (TypeError, ValueError):
        positions = np.empty(0)
    if positions.ndim != 2 or positions.shape[1] != 2 or not np.isfinite(positions).all():
        raise InputError('a star catalogue must be a list of positions (x, y), each of two finite numbers')
    return positions - np.float32(1)
