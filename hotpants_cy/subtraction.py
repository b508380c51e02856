"""`subtract`: the whole job in one call, and its result."""

import logging
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from .candidates import Detections
from .exceptions import HotpantsError, InputError
from .inputs.bits import Bits
from .inputs.correlated import checked_correlations
from .inputs.frame import as_pair, with_correlations
from .inputs.image import sibling, to_image
from .inputs.registration import warn_if_misregistered
from .inspection.concerns import warn_of
from .inspection.looking import Pictures
from .inspection.noise_correlation import measure_correlations
from .inspection.quality import measure_quality
from .pipeline import Hotpants
from .products.background import background_planes
from .products.given_psf import check_psf
from .products.header import header_cards
from .stamps.substamp import substamp_table
from .threads import resolve_threads
from .words import counted

__all__ = ['SubtractionResult', 'automatic', 'subtract', 'with_measured_noise']

log = logging.getLogger(__name__)

MEASURE = 'measure'


def subtract(science, template, *, config=None, stars=None, avoid=None, avoid_radius=None, psf=None,
             noise_correlations=None, n_threads=None):
    """Match the template's PSF, flux scale and background to the science image, or the reverse, and subtract.

    The method is that of Alard & Lupton (1998) and Alard (2000), as HOTPANTS does it. The inputs are never modified.

    Parameters
    ----------
    science, template : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, 2-D array, str or path
        Images on the same pixel grid: of any numeric type and byte order, with units that agree or convert. Of a
        FITS file the first image is taken, or that of ``'file.fits[EXT]'``. Masked pixels, NaN and infinity are bad. An
        ``uncertainty`` of any of astropy's three classes is used; without one, the gain and read noise of ``config``
        give the noise.
    config : HotpantsConfig or 'auto', optional
        Parameters. ``'auto'`` chooses them from the images, as `HotpantsConfig.auto` does, and simplifies the kernel
        when the fit does not stand; ``result.config.explain()`` tells the reasons. Default: ``HotpantsConfig()``.
    stars : table, array (n, 2), `~astropy.coordinates.SkyCoord`, str, path or 'auto', optional
        Stars to fit the kernel to, 0-based (x, y) pixels or sky positions; see `hotpants_cy.find_stars` for
        ``'auto'``. They are vetted in both images; ``result.substamps`` has those refused, with the reason. Default:
        the search of HOTPANTS; with ``config='auto'`` those that photutils finds.
    avoid : like ``stars``, optional
        Positions that no star used may be near to: known variables, the target.
    avoid_radius : float, optional
        How near, in x and y, in pixels. Default: the half width of a substamp, ``rss``; for the search always that.
    psf : 2-D array or callable, optional
        PSF of the science image, for score, flux and candidates: a picture of odd sides, or ``psf(x, y)`` that gives
        one, or a photutils model. Default: the ``psf`` of the images, or measured on the stars used.
    noise_correlations : (array or None, array or None) or 'measure', optional
        Autocorrelation of the noise of science image and template, of odd sides, 1 in the centre, for images that were
        resampled; None where neighbouring pixels have independent noise. ``'measure'`` looks at the sky of the
        difference, and where neighbours there share more than the kernel makes them, fits again with correlations of
        the images that explain it. Default: ``'measure'`` with ``config='auto'``, else ``(None, None)``.
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
    MismatchError
        No kernel makes one image into the other.

    Warns
    -----
    RegistrationWarning
        The WCS of the images differ by more than 0.1 pixel, or the kernel is off centre.
    DeconvolutionWarning
        The kernel sharpens the image that it is applied to.
    NoiseModelWarning
        The difference scatters by more or less than its uncertainty.

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
    by_itself = isinstance(config, str) and config == 'auto'
    if noise_correlations is None:
        noise_correlations = MEASURE if by_itself else (None, None)
    measured = isinstance(noise_correlations, str) and noise_correlations == MEASURE
    correlations = checked_correlations((None, None) if measured else noise_correlations)
    around = {'avoid': avoid, 'avoid_radius': avoid_radius, 'n_threads': n_threads}
    pair = as_pair(science, template, keep_masked_values=getattr(config, 'parity', False))
    science, template = with_correlations(pair, correlations)
    if psf is not None:
        check_psf(psf, science.shape)
    warn_if_misregistered(science, template, stacklevel=3)
    if by_itself:
        hot = automatic(science, template, stars, **around)
    else:
        hot = Hotpants(template, science, config=config, stars=stars, **around)
    if measured:
        hot = with_measured_noise(hot)
    hot.given_psf = psf
    result = SubtractionResult.of(hot, owned=True)
    if not hot.config.parity:
        warn_of(hot, stacklevel=3)
    return result


def automatic(science, template, stars=None, *, avoid=None, avoid_radius=None, n_threads=None, **fixed):
    """Choose the parameters from the images and fit; simplify the kernel until the fit stands.

    Parameters
    ----------
    science, template, stars, avoid, avoid_radius, n_threads
        As for `subtract`.
    **fixed
        Parameters that are not to be chosen.

    Returns
    -------
    Hotpants
        After the third step.
    """
    around = {'avoid': avoid, 'avoid_radius': avoid_radius, 'n_threads': resolve_threads(n_threads)}
    from .autoconfig import climb_down, make_plan
    science, template = as_pair(science, template)
    plan = make_plan(science, template, stars, **around, **fixed)

    def attempt(config, seeds):
        hot = Hotpants(template, science, config=config, stars=seeds, **around)
        hot.iterative_fit_and_clip()
        return hot

    return climb_down(plan, fixed, attempt)


def with_measured_noise(hot):
    """The same subtraction, or if its sky shows that neighbouring pixels of the images share noise, a new one.

    Parameters
    ----------
    hot : Hotpants
        With images whose noise is taken to be white.

    Returns
    -------
    Hotpants
    """
    hot.assemble('difference')
    correlations = measure_correlations(hot)
    if correlations is None:
        return hot
    words = 'by the sky of the difference, neighbours share ' + ', and '.join(
        f'{_beside(plane.T):.0%} of their noise in x and {_beside(plane):.0%} in y in the {name}'
        for plane, name in zip(correlations, ('science image', 'template'), strict=True) if plane is not None)
    log.info('%s: the fit is repeated', words)
    again = hot.again(correlations, words)
    try:
        again.assemble('difference')
    except HotpantsError as error:
        log.warning('warning: with the noise that neighbours share no fit stands, so it is left out: %s', error)
        return hot
    return again if len(again.live_regions) == len(hot.live_regions) else hot


def _beside(plane):
    """Correlation with the pixel above."""
    middle = len(plane) // 2
    return plane[middle + 1, middle]


def psf_in_the_middle(hot):
    """Picture of the PSF of a difference in the middle of the field; None if it cannot be told."""
    ny, nx = hot.science.shape
    try:
        return hot.difference_psf(nx // 2, ny // 2)
    except InputError as error:
        log.info('the difference has no PSF: %s', error)
        return None


@dataclass(frozen=True, repr=False)
class SubtractionResult(Detections, Pictures):
    """What came out of a subtraction.

    Attributes
    ----------
    difference : `~astropy.nddata.CCDData`
        Science minus template, with unit, WCS, header, mask, flags (`HotpantsFlags`) and uncertainty. Masked pixels are
        NaN. Its ``psf`` is the picture of a point source in the middle of the field, made when it is first asked for;
        ``difference.write`` keeps it then.
    convolved : `~astropy.nddata.CCDData`
        The image that was convolved, with the fitted background, on the flux scale of the difference. It is made when
        it is first asked for, from the images that were subtracted, which must not have changed by then.
    background : `~astropy.nddata.CCDData`
        That background alone; made when it is asked for, too.
    kernel : KernelModel or KernelMosaic
        The kernel, anywhere in the image.
    direction : {'t', 'i'}
        Which image was convolved, the template or the science image; of several regions, in the first. The header of
        the difference has it for each.
    statistics : dict
        Numbers by the stems of C HOTPANTS' header keywords, like ``'X2NRM'``; of several regions, of the first.
    substamps : `~astropy.table.QTable`
        Every star found in the image that was convolved, and what became of it; made when it is asked for.
    config : HotpantsConfig
    quality : `~hotpants_cy.inspection.quality.Quality`
        Numbers with what is expected of them, a ``verdict``, and ``reasons`` for it; made when it is asked for.
        ``print(result)`` shows them.
    whitened, score, flux : `~astropy.nddata.CCDData`
        The difference with white noise; significance and flux of a point source in each pixel; made when asked for.
    psf : FieldPSF
        PSF of the difference: ``psf(x, y)`` is its picture there.
    noise : DifferenceNoise
        Noise with its covariances.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> pair = make_pair((256, 256), seed=3, n_transients=4, transient_snr=(20, 50))
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    >>> result.direction, result.difference.unit, result.quality.verdict
    ('t', Unit("adu"), 'good')
    >>> bool(0.83 < result.kernel.sum(128, 128) < 0.87)      # the flux ratio, 0.85
    True
    >>> result.substamps.colnames[:4]
    ['id', 'stamp', 'x', 'y']
    >>> result.noise, float(result.psf(128, 128).sum())
    (<DifferenceNoise: 256 x 256 pixels, 1 region>, 1.0)
    >>> result.convolved.unit, result.background.unit, result.flux.unit
    (Unit("adu"), Unit("adu"), Unit("adu"))
    >>> result.whitened.shape, result.score.shape
    ((256, 256), (256, 256))
    """

    difference: object
    kernel: object
    direction: str
    statistics: dict
    config: object
    _hot: Hotpants = field(repr=False)
    _stars: list = field(repr=False)

    @classmethod
    def of(cls, hot, *, owned=False):
        """Result of a `Hotpants` object; for the package itself.

        Steps that have not run yet are run. With ``owned`` nobody else has the object, and its planes become those of
        the result.
        """
        difference, noise, flags = (hot.assemble(name) for name in ('difference', 'noise', 'flags'))
        image = to_image(hot.science, difference, noise, flags, meta=header_cards(hot.regions, hot.config),
                         owned=owned, n_threads=hot.n_threads)
        # not of the result, which has the image: a circle of references keeps memory longer than it is needed
        image.psf = partial(psf_in_the_middle, hot)
        return cls(image, hot.kernel, hot.region.direction, dict(hot.region.statistics), hot.config, hot,
                   hot.final_substamps + hot.refused_substamps)

    @cached_property
    def substamps(self):
        """Every star found in the image that was convolved, and what became of it: a `~astropy.table.QTable`."""
        return substamp_table(self._stars, self._hot.science.wcs)

    @cached_property
    def quality(self):
        """How far to trust it: a `~hotpants_cy.inspection.quality.Quality`; its ``verdict`` is good, usable or bad."""
        return measure_quality(self._hot)

    def _summary(self):
        name = {'t': 'template', 'i': 'science image'}[self.direction]
        used = np.count_nonzero(self.substamps['status'] == 'USED_IN_FINAL_FIT')
        # without any the kernel was not fitted but given
        found = counted(len(self.substamps), 'star')
        stars = f'{used} of {found} used' if len(self.substamps) else 'with a known kernel'
        return f'{self.difference.shape[1]} x {self.difference.shape[0]} pixels, {name} convolved, {stars}'

    def __repr__(self):
        return f'<{type(self).__name__}: {self._summary()}>'

    def _repr_html_(self):
        from .cards import result_card
        return result_card(self)

    def __str__(self):
        lines = [f'Subtraction of {self._summary()}']
        if 'simplified' in self.config.reasons:
            lines.append(f'simplified: {self.config.reasons["simplified"]}')
        return '\n'.join([*lines, str(self.quality)])

    @cached_property
    def convolved(self):
        """The image that was convolved, as `~astropy.nddata.CCDData`."""
        convolved, variance = (self._hot.assemble(name) for name in ('convolved', 'convolved_variance'))
        bad = (self.difference.flags & Bits.OUTPUT_ISBAD) != 0
        return sibling(self.difference, np.where(bad, np.float32(np.nan), convolved), np.sqrt(variance))

    @cached_property
    def background(self):
        """The background of the convolved image that was fitted, as `~astropy.nddata.CCDData`."""
        planes = np.full((2, *self.difference.shape), np.nan, np.float32)
        for run in self._hot.live_regions:
            model, covariance = run.fit.model, run.fit.background_covariance
            planes[:, *run.region.output] = background_planes(
                model, covariance, run.products.scale)[:, *run.region.inner]
        planes[:, self.difference.mask] = np.nan
        return sibling(self.difference, *planes)
