"""Warnings about a finished subtraction, cheap enough to be given each time; `quality` tells more."""

import warnings

import numpy as np

from ..exceptions import DeconvolutionWarning, NoiseModelWarning, RegistrationWarning
from .expectations import EXPECTATIONS
from .kernel_shape import kernel_shape
from .quality import enough_stars, sky_width, star_measures
from .samples import median_of
from .sky import sample_sky
from .stars import sample_stars

__all__ = ['warn_if_deconvolving', 'warn_if_noise_contradicted', 'warn_if_off_centre', 'warn_of']

CROWDED = 3.0         # height of the brightest 5 % over the width below the median; of noise alone it is 1.6
TELLING = 1.6         # scatter over noise that no crowding makes
SHARED = 0.7          # correlation of the skies of two images that tells of common noise
RINGING = 0.4         # negative part of a kernel that asks for a look at the stars
GLANCE, LOOK = 64, 256     # boxes of sky: what tells a few per cent, and where that is suspicious
FEWEST = 16           # of them in each region
NAMES = {'t': 'template', 'i': 'science image'}


def warn_of(hot, *, stacklevel=2):
    """Give all warnings of this file about a finished subtraction.

    Parameters
    ----------
    hot : Hotpants
        After its last step.
    stacklevel : int, optional
        That of `warnings.warn`. Default 2, the caller.

    Warns
    -----
    RegistrationWarning, DeconvolutionWarning, NoiseModelWarning

    Examples
    --------
    >>> from hotpants_cy import Hotpants, HotpantsConfig
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.concerns import warn_of
    >>> pair = make_pair((256, 256), seed=1)
    >>> warn_of(Hotpants(pair.template, pair.science, config=HotpantsConfig(ko=0)))
    """
    hot.assemble('difference')
    shape = kernel_shape(hot.live_regions)
    warn_if_off_centre(hot, shape=shape, stacklevel=stacklevel + 1)
    warn_if_deconvolving(hot, shape=shape, stacklevel=stacklevel + 1)
    warn_if_noise_contradicted(hot, stacklevel=stacklevel + 1)


def warn_if_off_centre(hot, *, shape=None, stacklevel=2):
    """Warn if the kernel shifts by more than 0.3 pixels: the images were not registered that well.

    Parameters
    ----------
    hot : Hotpants
        After its last step.
    shape : dict, optional
        What `kernel_shape` gives, if it is known already.
    stacklevel : int, optional
        That of `warnings.warn`. Default 2, the caller.

    Warns
    -----
    RegistrationWarning
    """
    runs = hot.live_regions
    shift = (shape or kernel_shape(runs))['shift']
    # where the stars are few the kernel is noisy, and its centre too
    limit = EXPECTATIONS['shift'].good[1] if all(run.fit.n_used >= enough_stars(run) for run in runs) else 1.5
    if shift > limit:
        warnings.warn(
            f'the kernel is up to {shift:.2f} pixels off centre: the images are not registered that well. It takes out '
            'a shift at a cost in noise and stars; better resample the template onto the science image again, '
            'e.g. with reproject.reproject_interp and a WCS of its own fit', RegistrationWarning,
            stacklevel=stacklevel)


def warn_if_deconvolving(hot, *, shape=None, stacklevel=2):
    """Warn if the kernel sharpens the image that it is applied to.

    Parameters
    ----------
    hot : Hotpants
        After its last step.
    shape : dict, optional
        What `kernel_shape` gives, if it is known already.
    stacklevel : int, optional
        That of `warnings.warn`. Default 2, the caller.

    Warns
    -----
    DeconvolutionWarning
        The noise gain or the negative part of the kernel is large, and the stars of the other image are narrower.
    """
    runs = hot.live_regions
    shape = shape or kernel_shape(runs)
    if shape['noise_gain'] <= EXPECTATIONS['noise_gain'].good[1] and shape['negative'] <= RINGING:
        return
    sharpening = star_measures([sample_stars(run, most=50) for run in runs])['sharpening']
    # a kernel that follows noise looks alike, but its stars do not get narrower
    if not sharpening > EXPECTATIONS['sharpening'].good[1]:
        return
    direction = hot.region.direction
    convolved, other = NAMES[direction], NAMES['i' if direction == 't' else 't']
    warnings.warn(
        f'the {convolved} was convolved, and the kernel sharpens it: stars are {sharpening:.2f} times more '
        f'concentrated in the {other}, the noise gain is {shape["noise_gain"]:.3g}, and {shape["negative"]:.0%} of the '
        f'kernel is negative. Noise is amplified, and stars leave rings; convolve the {other} instead: '
        f'force_convolve={"i" if direction == "t" else "t"!r} (-c)',
        DeconvolutionWarning, stacklevel=stacklevel)


def warn_if_noise_contradicted(hot, *, stacklevel=2):
    """Warn if the blank sky of the difference scatters by 25 % more or less than its noise says.

    Parameters
    ----------
    hot : Hotpants
        After its last step.
    stacklevel : int, optional
        That of `warnings.warn`. Default 2, the caller.

    Warns
    -----
    NoiseModelWarning
    """
    low, high = EXPECTATIONS['sky_width'].good
    for boxes in (GLANCE, LOOK):
        most = max(boxes // len(hot.live_regions), FEWEST)
        skies = [sky for sky in (sample_sky(run, most) for run in hot.live_regions) if sky]
        width = sky_width(skies)
        crowded = skies and np.nanmedian(np.concatenate([sky.structure for sky in skies])) > CROWDED
        if not np.isfinite(width) or low <= width <= (TELLING if crowded else high):
            return
    modelled = [frame.name for frame in (hot.template, hot.science) if frame.variance is None]
    shared = median_of(np.concatenate([sky.likeness for sky in skies])) if width < low and not crowded else 0.0
    if shared > SHARED:
        advice = (f'the noise of the two images is the same, or nearly so (correlation {shared:.2f}): they are one '
                  'image, or one was made from the other, and all errors and significances are wrong')
    elif modelled:
        advice = (f'no uncertainty came with the {" or the ".join(modelled)} image, so gain and read noise were taken: '
                  f'igain={hot.config.igain:g}, irdnoise={hot.config.irdnoise:g}, tgain={hot.config.tgain:g}, '
                  f'trdnoise={hot.config.trdnoise:g}; give the right ones, or uncertainties, and mind that images '
                  'whose sky was subtracted, or that were averaged or scaled, need uncertainties')
    else:
        advice = f'check the uncertainties of both images; if they are off by one factor, it is {width:.3g}'
    warnings.warn(f'the sky of the difference scatters by {width:.3g} times its noise: {advice}', NoiseModelWarning,
                  stacklevel=stacklevel)
