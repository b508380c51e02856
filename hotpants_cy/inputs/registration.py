"""Whether the two images lie on the same pixels, by what their world coordinates say."""

import logging
import warnings

import numpy as np

from ..exceptions import RegistrationWarning

__all__ = ['largest_offset', 'warn_if_misregistered']

log = logging.getLogger(__name__)

LARGEST = 0.1         # pixels that the two may disagree by


def warn_if_misregistered(science, template, *, stacklevel=2):
    """Warn if the world coordinates of two images say that they lie on different pixels.

    Images without celestial coordinates, or with some that cannot be used, pass in silence.

    Parameters
    ----------
    science, template : Frame
        Or anything else with ``wcs`` and ``shape``.
    stacklevel : int, optional
        That of `warnings.warn`. Default 2, the caller.

    Warns
    -----
    RegistrationWarning
        They differ by more than 0.1 pixel at a corner or at the centre.

    Examples
    --------
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inputs.registration import largest_offset, warn_if_misregistered
    >>> pair = make_pair((100, 120), n_transients=0)
    >>> warn_if_misregistered(pair.science, pair.template)
    >>> pair.template.wcs.wcs.crpix[0] += 3
    >>> round(largest_offset(pair.science, pair.template)[0], 3)
    3.0
    """
    found = largest_offset(science, template)
    if found is None or found[0] <= LARGEST:
        return
    offset, (x, y) = found
    where = (f'differ by {offset:.3g} pixels at (x, y) = ({x:g}, {y:g})' if np.isfinite(offset) else
             'belong to different parts of the sky')
    warnings.warn(
        f'the world coordinates of science image and template {where}, and nothing is resampled here: put the template '
        'onto the pixels of the science image first, with\n'
        '    from reproject import reproject_interp\n'
        '    data, footprint = reproject_interp((template.data, template.wcs), science.wcs, '
        'shape_out=science.data.shape)\n'
        'or leave out the wcs if it is wrong', RegistrationWarning, stacklevel=stacklevel)


def largest_offset(science, template):
    """Largest distance between where the two images have the same sky, of corners and centre.

    Parameters
    ----------
    science, template : Frame
        Or anything else with ``wcs`` and ``shape``.

    Returns
    -------
    (float, (float, float)) or None
        The distance in pixels, infinite for other parts of the sky, and the position (x, y) in the science image.
        None where it cannot be told.
    """
    ny, nx = science.shape
    x, y = np.array([(0, 0), (nx - 1, 0), (0, ny - 1), (nx - 1, ny - 1), ((nx - 1) / 2, (ny - 1) / 2)], float).T
    try:
        # distortions that do not converge, and dates in old headers, make warnings of their own
        with warnings.catch_warnings(), np.errstate(all='ignore'):
            warnings.simplefilter('ignore')
            if not all(getattr(image.wcs, 'has_celestial', False) for image in (science, template)):
                return None
            offset = _offsets(science.wcs.celestial, template.wcs.celestial, x, y)
    except Exception as error:                       # singular, inconsistent, not converging, ...
        log.debug('the world coordinates cannot be compared: %s', error)
        return None
    if not np.isfinite(offset).any():
        return None if np.isnan(offset).any() else (np.inf, (float(x[-1]), float(y[-1])))
    worst = int(np.argmax(np.where(np.isfinite(offset), offset, -1)))
    return float(offset[worst]), (float(x[worst]), float(y[worst]))


def _offsets(science_wcs, template_wcs, x, y):
    """Distances in pixels; infinite everywhere if the images are more than a degree apart in the sky."""
    sky = science_wcs.pixel_to_world(x, y)
    offset = np.hypot(*(np.array(template_wcs.world_to_pixel(sky)) - [x, y]))
    if not np.isfinite(offset).any() and sky[-1].separation(template_wcs.pixel_to_world(x[-1], y[-1])).deg > 1:
        return np.full(len(x), np.inf)
    return offset
