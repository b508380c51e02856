r"""Where a point source is: the position of greatest likelihood, in pixels of different noise and beside bad ones.

A score is divided by its error, so where the noise changes steeply its peak is off the source, on the less noisy side.
The likelihood of a source of picture :math:`\phi` at a position, its flux being the best one there, grows with

.. math:: \Delta\chi^2 = \Big(\sum_i w_i \phi_i D_i\Big)^2 \Big/ \sum_i w_i \phi_i^2 , \qquad w_i = 1/\sigma_i^2 ,

and does not prefer either side.
"""

import numpy as np

__all__ = ['likeliest_offset']

LEAST = 0.02            # of a source's weight that must lie on good pixels
STEPS, CLOSE = 12, 2e-3     # of Gauss and Newton; pixels in which that ends
LONGEST = 0.5           # pixels of one step


def likeliest_offset(data, weight, picture, reach):
    """Offset of a point source from the central pixel of a cutout.

    Parameters
    ----------
    data, weight : float64 array (n, n)
        Pixels around the place where a source was noticed, of odd sides, brighter than the sky for it, and one over
        their variance; 0 for bad ones.
    picture : float64 array (m, m)
        The source in the centre of the central pixel, of odd sides, wider than the cutout.
    reach : float
        How far off the centre it can be, in pixels.

    Returns
    -------
    dx, dy : float
        In pixels; (0, 0) if there is no better place.

    Examples
    --------
    >>> import numpy as np
    >>> from hotpants_cy.products.position import likeliest_offset
    >>> y, x = np.mgrid[-20:21, -20:21]
    >>> star, picture = (np.exp(-((x - dx)**2 + y**2) / 8) for dx in (0.3, 0))
    >>> cut = np.s_[10:31, 10:31]
    >>> dx, dy = likeliest_offset(star[cut], np.ones((21, 21)), picture, 2)
    >>> round(dx, 2), abs(round(dy, 2))
    (0.3, 0.0)
    """
    from scipy.ndimage import spline_filter
    data = np.where(weight > 0, data, 0)
    dx, dy = _best_pixel(data, weight, picture, reach)
    spline, longest = spline_filter(picture, 5), LONGEST
    here = _drawn(spline, dx, dy, len(data))
    for _ in range(STEPS):
        step = _step(data, weight, *here)
        step *= min(1, longest / max(np.hypot(*step), 1e-300))
        there = _drawn(spline, dx + step[0], dy + step[1], len(data))
        if np.hypot(dx + step[0], dy + step[1]) > reach + 0.5 or (
                _gain(data, weight, there[0]) < _gain(data, weight, here[0])):
            longest = 0.3 * np.hypot(*step)
        else:
            dx, dy, here = dx + step[0], dy + step[1], there
        if np.hypot(*step) < CLOSE:
            break
    return float(dx), float(dy)


def _gain(data, weight, source):
    return np.sum(weight * source * data)**2 / max(np.sum(weight * source**2), 1e-300)


def _step(data, weight, source, slope_x, slope_y):
    """Change of the offset that makes the residuals least, the source and its slopes being straight lines."""
    flux = np.sum(weight * source * data) / max(np.sum(weight * source**2), 1e-300)
    vectors = np.stack([source, flux * slope_x, flux * slope_y]).reshape(3, -1)
    weighted = vectors * weight.ravel()
    matrix, vector = weighted @ vectors.T, weighted @ (data - flux * source).ravel()
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    return np.linalg.lstsq(matrix / np.outer(scale, scale), vector / scale, rcond=1e-6)[0][1:] / scale[1:]


def _best_pixel(data, weight, picture, reach):
    """Offset of the pixel within reach where a source is most likely."""
    from scipy.signal import correlate
    half = int(reach)
    wide, middle = len(data) // 2 + half, len(picture) // 2
    picture = np.pad(picture, max(0, wide - middle))
    middle = len(picture) // 2
    picture = picture[middle - wide:middle + wide + 1, middle - wide:middle + wide + 1]
    # the picture moved by (dx, dy) is compared with the data: their correlation at (-dx, -dy)
    top, bottom = (correlate(a, b, mode='valid', method='direct')[::-1, ::-1]
                   for a, b in ((picture, weight * data), (picture**2, weight)))
    y, x = np.mgrid[-half:half + 1, -half:half + 1]
    possible = (np.hypot(x, y) <= reach) & (top > 0) & (bottom > LEAST * weight.max() * np.sum(picture**2))
    gain = np.where(possible, top**2 / np.maximum(bottom, 1e-300), -1)
    best = np.argmax(gain)
    return (0, 0) if gain.flat[best] <= gain[half, half] else (int(x.flat[best]), int(y.flat[best]))


def _drawn(spline, dx, dy, side):
    """Source off the central pixel by (dx, dy), and its slopes with that, from the spline of its picture."""
    from scipy.ndimage import map_coordinates
    half, middle, h = side // 2, len(spline) // 2, 0.05
    offsets = np.arange(-half, half + 1) + middle
    # the source itself, and moved either way in x and in y
    x, y = (offsets - np.array(moved)[:, np.newaxis] for moved in ((dx, dx + h, dx - h, dx, dx),
                                                                   (dy, dy, dy, dy + h, dy - h)))
    places = np.broadcast_arrays(y[:, :, np.newaxis], x[:, np.newaxis])
    here, right, left, up, down = map_coordinates(spline, places, order=5, prefilter=False, mode='constant')
    return here, (right - left) / (2 * h), (up - down) / (2 * h)
