"""A point spread function that a user gives: a picture, a model, or a function of position that gives either."""

import math
from dataclasses import dataclass

import numpy as np

from ..exceptions import InputError
from ..inputs.planes import as_array

__all__ = ['GivenPSF', 'ModelAnywhere', 'check_psf', 'reach_of']

LARGEST_HALF_WIDTH = 40
REACH, UNKNOWN_REACH = 8, 25        # half width of the box of a model in FWHM; in pixels, if it tells no FWHM
CENTRES = (('x_0', 'y_0'), ('x_mean', 'y_mean'))


def check_psf(psf, shape):
    """Make a `GivenPSF` of what a user gives, or say why not; a function is tried in the middle of the image."""
    ny, nx = shape
    return GivenPSF.of(psf, (nx // 2, ny // 2))


@dataclass(frozen=True, eq=False)
class GivenPSF:
    """The PSF that a user gives: one picture, or a function of position that gives pictures or models."""

    source: object
    half_width: int

    @classmethod
    def of(cls, psf, where):
        """Check what was given; ``where`` is a position to try a function at."""
        if hasattr(psf, 'param_names'):
            psf = ModelAnywhere.of(psf)
        if not callable(psf):
            return cls(_picture(psf), _picture(psf).shape[0] // 2)
        got = psf(*where)
        if callable(got):
            return cls(psf, min(LARGEST_HALF_WIDTH, math.ceil(5 * getattr(psf, 'fwhm', 4.0))))
        return cls(psf, _picture(got).shape[0] // 2)

    def draw(self, x, y, dx, dy, half):
        """Pixels around a source at (x, y), off the centre of the central one by (dx, dy)."""
        from scipy.ndimage import shift
        got = self.source(x, y) if callable(self.source) else self.source
        if callable(got):
            yy, xx = np.mgrid[-half:half + 1, -half:half + 1]
            return np.asarray(got(x + xx - dx, y + yy - dy), float)
        picture = _picture(got)
        picture = np.pad(picture, max(0, half - len(picture) // 2) + 2)
        if dx or dy:
            picture = shift(picture, (dy, dx), order=5)
        middle = len(picture) // 2
        return picture[middle - half:middle + half + 1, middle - half:middle + half + 1]


@dataclass(frozen=True)
class ModelAnywhere:
    """A model of photutils or astropy as a function of position: a copy of it, moved there."""

    model: object
    centre: tuple

    @classmethod
    def of(cls, model, half_width=None):
        """Check a model; where it tells no flux, it is summed over a box of that half width in pixels."""
        centre = next((pair for pair in CENTRES if set(pair) <= set(model.param_names)), None)
        if centre is None:
            raise InputError(f'psf: the model {type(model).__name__} has no position x_0, y_0 or x_mean, y_mean')
        twin, half = model.copy(), half_width or reach_of(model)
        if 'flux' in model.param_names:
            twin.flux = 1
        else:
            setattr(twin, centre[0], 0), setattr(twin, centre[1], 0)
            y, x = np.mgrid[-half:half + 1, -half:half + 1].astype(float)
            total = float(np.sum(twin(x, y)))
            if not 0 < total < math.inf:
                raise InputError(f'psf: the model {type(model).__name__} has the sum {total}, which must be above zero')
            if 'amplitude' not in model.param_names:
                raise InputError(f'psf: the model {type(model).__name__} has neither flux nor amplitude')
            twin.amplitude = twin.amplitude / total
        return cls(twin, centre)

    def __call__(self, x, y):
        """The model at a position."""
        twin = self.model.copy()
        setattr(twin, self.centre[0], x)
        setattr(twin, self.centre[1], y)
        return twin


def reach_of(model):
    """Half width of the box that a model is evaluated in."""
    widths = [getattr(model, name, None) for name in ('fwhm', 'x_fwhm', 'y_fwhm')]
    widths = [float(getattr(w, 'value', w)) for w in widths if w is not None and not callable(w)]
    return math.ceil(REACH * max(widths)) if widths and all(np.isfinite(widths)) else UNKNOWN_REACH


def _picture(image):
    """A square picture of odd sides, and of sum 1."""
    image = as_array(image, 'psf', None).astype(float)
    if image.ndim != 2 or not np.isfinite(image).all() or not image.sum() > 0 or not all(n % 2 for n in image.shape):
        raise InputError('a PSF must be a 2-D array of odd sides, of finite values whose sum is above zero, the source '
                         f'in the centre; this one has shape {image.shape} and sum {image.sum():.3g}')
    side = max(image.shape)
    return np.pad(image, [((side - n) // 2,) * 2 for n in image.shape]) / image.sum()
