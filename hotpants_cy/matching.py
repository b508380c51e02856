"""Bring an image to the PSF and flux scale of another, for photometry that needs no difference."""

from dataclasses import replace

import numpy as np

from .inputs.bits import Bits
from .inputs.correlated import checked_correlations
from .inputs.image import to_image
from .kernel.application import convolved_psf, mark_unusable
from .pipeline import Hotpants, checked_config
from .products.difference import convolved_planes
from .subtraction import psf_in_the_middle

__all__ = ['match_psf']


def match_psf(image, reference, *, config=None, stars=None, avoid=None, avoid_radius=None, background=False,
              noise_correlations=(None, None), n_threads=None):
    """Convolve an image such that its PSF and flux scale become those of a reference image.

    The kernel is that of Alard & Lupton (1998), fitted as `hotpants_cy.subtract` does it. The image should be the
    sharper one of the two: to be made sharper, its noise would be amplified. Inputs are never modified.

    Parameters
    ----------
    image, reference : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, 2-D array, str or path
        Images on the same pixel grid; see `hotpants_cy.subtract`. Of the configuration, what is said of the template
        goes for ``image``, what is said of the science image for ``reference``.
    config : HotpantsConfig, optional
        Parameters; direction and normalisation are those of this function. Default: ``HotpantsConfig()``.
    stars, avoid, avoid_radius : optional
        See `hotpants_cy.subtract`.
    background : bool, optional
        Add the background fitted as well, so that the sky becomes that of the reference. Default False: the sky is
        that of the image times the sum of the kernel.
    noise_correlations : (array or None, array or None), optional
        Autocorrelation of the noise of image and reference, for images that were resampled; see `hotpants_cy.subtract`.
    n_threads : int, optional
        Default: the CPUs that this process may use. Results do not depend on it.

    Returns
    -------
    `~astropy.nddata.CCDData`
        The image convolved, in the unit of the reference, with WCS and header of the image, mask, flags
        (`HotpantsFlags`), uncertainty (its pixels are correlated now) and ``psf``, the PSF in the middle of the field:
        that of the image, if it has one, convolved; else that of the reference, or as its stars show it.

    Raises
    ------
    InputError
        An image cannot be used, or the two do not fit together.
    NoStampsError, TooFewStampsError, SingularFitError
        The kernel cannot be determined.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.matching import match_psf
    >>> pair = make_pair((256, 256), seed=1)
    >>> matched = match_psf(pair.template, pair.science, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    >>> matched.shape, matched.unit
    ((256, 256), Unit("adu"))
    """
    config = replace(checked_config(config), force_convolve='t', normalize='i')
    own, of_reference = checked_correlations(noise_correlations)
    hot = Hotpants(image, reference, config=config, stars=stars, avoid=avoid, avoid_radius=avoid_radius,
                   noise_correlations=(of_reference, own), n_threads=n_threads)
    hot.iterative_fit_and_clip()
    data, sigma = np.full((2, *hot.science.shape), np.float32(np.nan))
    flags = np.full(data.shape, Bits.OUTPUT_ISBAD, np.int32)
    for run in hot.live_regions:
        for plane, part in zip((data, sigma, flags), _matched(run, hot.config, background), strict=True):
            plane[run.region.output] = part[run.region.inner]
    data[flags & Bits.OUTPUT_ISBAD != 0] = np.nan
    matched = to_image(hot.template, data, sigma, flags, meta=_cards(hot, background), owned=True)
    matched.psf = _psf(hot)
    return matched


def _matched(run, config, background):
    """Planes of one region: the image convolved, its sigma and its flags."""
    model, half = run.fit.model, run.fit.model.half_width
    data, variance, flags = convolved_planes(model, run.template, run.region, config, run.n_threads)
    if not background:
        (x0, y0), (ny, nx) = run.region.origin, data.shape
        y, x = np.ogrid[y0:y0 + ny, x0:x0 + nx]
        data -= model.background(x, y).astype(np.float32)
    mark_unusable(flags, run.template.flags(run.region.buffered, run.n_threads))
    for edge in (np.s_[:half], np.s_[-half:], np.s_[:, :half], np.s_[:, -half:]) if half else ():
        flags[edge] |= Bits.OUTPUT_ISBAD
    return data, np.sqrt(variance), flags


def _psf(hot):
    """PSF of the matched image in the middle of the field, or None if it cannot be told."""
    ny, nx = hot.science.shape
    if hot.template.psf is not None:
        return convolved_psf(hot.template.psf, hot.kernel.image(nx // 2, ny // 2))
    return psf_in_the_middle(hot)                    # a difference has that of the image that is not convolved


def _cards(hot, background):
    ny, nx = hot.science.shape
    return {'SOFTNAME': ('hotpants_cy', 'PSF matching, Alard & Lupton 1998'),
            'KSUM': (hot.kernel.sum(nx // 2, ny // 2), 'sum of the kernel in the middle'),
            'MATCHBG': (bool(background), 'the background fitted was added')}
