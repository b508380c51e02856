"""What the automatic rules want to know about one image: sky, noise, limits, gain."""

import math
from dataclasses import dataclass

import numpy as np

from ..stamps.peaks import filled_value

__all__ = ['ImageFacts', 'header_number', 'look_at']

SATURATION_KEYS = ('SATURATE', 'SATURATI', 'SATLEVEL', 'SATUR', 'DATAMAX', 'ESATUR')
GAIN_KEYS = ('GAIN', 'EGAIN', 'CCDGAIN', 'GAINEFF')
FWHM_KEYS = ('FWHM', 'PSF_FWHM', 'SEEPIX', 'SEEING_PIX')
SAMPLE = 200_000
FLAT_TOP = 0.01, 6           # so many pixels within that fraction of the highest one are no star's summit
LOWEST = 10.0                # sky sigmas below the sky that a valid pixel may lie


@dataclass(frozen=True)
class ImageFacts:
    """Numbers of one image, in data units.

    Attributes
    ----------
    name : str
    sky, sigma : float
        Clipped median of a sample of the good pixels, and robust scatter of those below it.
    saturation : float or None
        Level from which pixels are saturated, if known.
    saturation_rule : str
        Where it is known from.
    gain, read_noise : float
        A noise model that gives the sky its scatter: electrons per data unit, and electrons.
    noise_rule : str
    """

    name: str
    sky: float
    sigma: float
    saturation: float | None
    saturation_rule: str
    gain: float
    read_noise: float
    noise_rule: str


def look_at(frame):
    """Measure an image.

    Parameters
    ----------
    frame : Frame

    Returns
    -------
    ImageFacts
    """
    good = frame.data.ravel() if frame.flags is None else frame.data[frame.flags == 0]
    values = np.sort(good[::max(1, len(good) // SAMPLE)].astype(float))
    sky, sigma = _sky(values[values != filled_value(values)])
    saturation, rule = _saturation(frame, good, sky)
    return ImageFacts(frame.name, sky, sigma, saturation, rule, *_noise_model(frame, sky, sigma))


def _sky(values):
    """Median and scatter of the sky: stars only reach up, so what lies below tells the scatter."""
    for _ in range(10):
        sky = np.median(values)
        sigma = 1.4826 * np.median(sky - values[values <= sky])
        kept = values[(values > sky - 4 * sigma) & (values < sky + 3 * sigma)]
        if len(kept) < 10 or len(kept) == len(values):
            break
        values = kept
    return float(sky), float(sigma)


def _saturation(frame, good, sky):
    level = header_number(frame.meta, SATURATION_KEYS, above=sky)
    if level is not None:
        return level[1], f'{level[0]} in the header of the {frame.name} image'
    top = float(good.max())
    edge = top - FLAT_TOP[0] * (top - sky)
    if np.count_nonzero(good >= edge) >= FLAT_TOP[1]:
        return edge, f'{np.count_nonzero(good >= edge)} pixels lie within 1 % of the highest, {top:g}'
    return None, f'no keyword in the header of the {frame.name} image, and no flat tops'


def _noise_model(frame, sky, sigma):
    """Gain and read noise such that the model has the scatter of the sky."""
    if frame.variance is not None:
        return 1.0, 0.0, f'not used: the {frame.name} image brings its uncertainty'
    found = header_number(frame.meta, GAIN_KEYS, above=0)
    gain, rule = (found[1], f'{found[0]} in the header') if found else (1.0, 'no gain in the header, taken as 1')
    if not sigma > 0:
        return gain, 0.0, f'{rule}; the sky does not scatter'
    rest = sigma**2 - abs(sky) / gain
    if rest < -0.25 * sigma**2:
        gain, rest = abs(sky) / sigma**2, 0.0
        rule = f'{rule}, but then the sky of {sky:.5g} would scatter by more than its {sigma:.3g}: gain = sky / sigma^2'
    return gain, gain * math.sqrt(max(rest, 0.0)), f'{rule}; read noise so that the sky scatters by {sigma:.4g}'


def header_number(meta, keys, above=-math.inf):
    """First keyword with a finite number above a limit, as (keyword, value); None if there is none."""
    for key in keys:
        try:
            value = float(meta[key])
        except (KeyError, TypeError, ValueError):
            continue
        if math.isfinite(value) and value > above:
            return key, value
    return None
