"""`subtract`: the whole job in one call, and its result."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .inputs.flags import HotpantsFlags
from .inputs.image import sibling, to_image
from .pipeline import Hotpants
from .products.background import background_planes
from .products.statistics import DESCRIPTIONS

__all__ = ['SubtractionResult', 'subtract']


def subtract(science, template, *, config=None, n_threads=None):
    """Match the template's PSF, flux scale and background to the science image, or the reverse, and subtract.

    The method is that of Alard & Lupton (1998) and Alard (2000), as HOTPANTS does it. The inputs are never modified.

    Parameters
    ----------
    science, template : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, 2-D array, str or path
        Images on the same pixel grid: of any numeric type and byte order, with units that agree or convert. Of a
        FITS file the first image is taken, or that of ``'file.fits[EXT]'``. Masked pixels, NaN and infinity are bad. An
        ``uncertainty`` of any of astropy's three classes is used; without one, the gain and read noise of ``config``
        give the noise.
    config : HotpantsConfig, optional
        Parameters. Default: ``HotpantsConfig()``.
    n_threads : int, optional
        Default: the CPUs that this process may use. Results do not depend on it.

    Returns
    -------
    SubtractionResult

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
    >>> pair = make_pair((256, 256), seed=1)
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    >>> result.direction
    't'
    >>> result.difference.shape
    (256, 256)
    """
    hot = Hotpants(template, science, config=config, n_threads=n_threads)
    return SubtractionResult.of(hot)


@dataclass(frozen=True)
class SubtractionResult:
    """What came out of a subtraction.

    Attributes
    ----------
    difference : `~astropy.nddata.CCDData`
        Science minus template, with unit, WCS, header, mask, flags (`HotpantsFlags`) and uncertainty. Masked pixels are
        NaN.
    convolved : `~astropy.nddata.CCDData`
        The image that was convolved, with the fitted background, on the flux scale of the difference.
    background : `~astropy.nddata.CCDData`
        That background alone.
    kernel : KernelModel
        The kernel, anywhere in the image.
    direction : {'t', 'i'}
        Which image was convolved: the template or the science image.
    statistics : dict
        Numbers by the stems of C HOTPANTS' header keywords, like ``'X2NRM'``.
    substamps : list of Substamp
        Every star found in the image that was convolved, and what became of it.
    config : HotpantsConfig
    """

    difference: object
    convolved: object
    kernel: object
    direction: str
    statistics: dict
    substamps: list
    config: object
    _background: tuple = field(repr=False)

    @classmethod
    def of(cls, hot):
        """Result of a `Hotpants` object, running what has not run yet."""
        difference, convolved, noise, flags = hot.convolve_and_difference()
        run, meta = hot.region, header_cards(hot)
        bad = (flags & HotpantsFlags.OUTPUT_ISBAD) != 0
        convolved = np.where(bad, np.float32(np.nan), convolved)

        def image(data, sigma):
            return to_image(hot.science, data, sigma, flags, meta=meta)

        return cls(image(difference, noise), image(convolved, np.sqrt(run.products.convolved_variance)),
                   run.fit.model, run.direction, dict(run.statistics), hot.substamps(run.direction), hot.config,
                   (run.fit.background_covariance, run.products.scale))

    @cached_property
    def background(self):
        """The background of the convolved image that was fitted, as `~astropy.nddata.CCDData`."""
        plane, sigma = background_planes(self.kernel, *self._background)
        plane[self.difference.mask] = np.nan
        return sibling(self.difference, plane, sigma)


def header_cards(hot):
    """Keywords that describe the subtraction, ``{keyword: (value, comment)}``, with the names of C HOTPANTS."""
    cards = {'SOFTNAME': ('hotpants_cy', 'image subtraction, Alard & Lupton 1998'),
             'PHOTNORM': (hot.config.normalize, 'flux scale: template, image or unconvolved'),
             'NREGION': (len(hot.regions), 'regions with a kernel of their own')}
    for run in hot.regions:
        n = f'{run.region.index:02d}'
        cards[f'REGION{n}'] = (run.region.section, 'pixels of the region')
        cards[f'CONVOL{n}'] = ('TEMPLATE' if run.direction == 't' else 'IMAGE', 'image that was convolved')
        cards |= {f'{stem}{n}': (run.statistics[stem], comment) for stem, comment in DESCRIPTIONS.items()
                  if stem in run.statistics}
    return cards
