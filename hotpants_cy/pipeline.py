"""The five steps of a subtraction, one by one: `Hotpants`."""

import copy
import math
import os
from dataclasses import replace
from functools import cached_property

from .all_regions import AllRegions
from .config import HotpantsConfig
from .exceptions import InputError
from .inputs.correlated import checked_correlations
from .inputs.exposure import Exposure
from .inputs.frame import as_frame, check_pair, with_correlations
from .products.psf import difference_psf
from .pyhotpants import PyhotpantsNames
from .regional import RegionalSubtraction
from .stamps.catalog import star_positions
from .stamps.regions import regions_of, stamp_grid
from .stamps.seeding import checked_radius, positions_of, refused_substamps, seed_grid, vetted
from .stamps.vetting import Seeds
from .threads import resolve_threads

__all__ = ['Hotpants']

#: The methods to call, in this order.
STEPS = 'find_stamps', 'fit_and_select_direction', 'iterative_fit_and_clip', 'convolve_and_difference'


class Hotpants(PyhotpantsNames):
    """Subtract a template from a science image, step by step.

    Asking for a step runs those before it that have not run yet.

    Parameters
    ----------
    template_data, image_data : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, 2-D array, str or path
        Template and science image on the same pixel grid; see `hotpants_cy.subtract`.
    t_mask, i_mask : 2-D array, optional
        Masks in addition to those of the images; pixels that are True, or larger than 0, are bad.
    t_error, i_error : 2-D array, optional
        Standard deviations in data units [C: ``-tni``, ``-ini``]. Default: the images' own uncertainties, or
        the noise model of the configuration.
    star_catalog : array (n, 2), optional
        Positions (x, y) of stars to fit, in pixels, 1-based as in pyhotpants and ``-ssf``. More are searched for
        unless the configuration says ``auto_search=False``. Default: search.
    config : HotpantsConfig, optional
        Parameters. Default: ``HotpantsConfig()``.
    output_header : dict-like, optional
        Header of the outputs. Default: that of the science image.
    stars, avoid, avoid_radius : optional
        Stars to vet and to use, and what to keep away from; see `hotpants_cy.subtract`.
    noise_correlations : (array or None, array or None), optional
        Autocorrelation of the noise of science image and template; see `hotpants_cy.subtract`.
    n_threads : int, optional
        Default: the CPUs that this process may use. Results do not depend on it.

    Raises
    ------
    InputError
        An image cannot be used, or the two do not fit together.

    Examples
    --------
    >>> from hotpants_cy import Hotpants, HotpantsConfig
    >>> from hotpants_cy.datasets import make_pair
    >>> pair = make_pair((256, 256), seed=1)
    >>> hot = Hotpants(pair.template, pair.science, config=HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    >>> hot
    <Hotpants: 256 x 256 pixels, next step: find_stamps>
    >>> template_stars, science_stars = hot.find_stamps()
    >>> hot.fit_and_select_direction()
    't'
    >>> solution, used = hot.iterative_fit_and_clip()
    >>> difference, convolved, noise, flags = hot.convolve_and_difference()
    >>> difference.shape
    (256, 256)

    What went in, and what has come out so far:

    >>> hot.nx, hot.ny, hot.config.ko, hot.image_data.dtype, hot.template_data.dtype
    (256, 256, 0, dtype('float32'), dtype('float32'))
    >>> hot.image_header['OBJECT'], hot.output_header['OBJECT'], hot.template_header['OBJECT']
    ('simulated science', 'simulated science', 'simulated template')
    >>> len(hot.template_substamps), len(hot.image_substamps), len(hot.final_substamps), hot.refused_substamps
    (9, 7, 9, [])
    >>> hot.kernel.image(128, 128).shape, hot.results['input_mask'].shape
    ((21, 21), (256, 256))
    """

    #: Whether the convolved image is kept while subtracting; otherwise it is made again when it is asked for.
    keep_convolved = False
    #: PSF of the science image that the user gives; see `subtract`.
    given_psf = None

    def __init__(self, template_data, image_data, t_mask=None, i_mask=None, t_error=None, i_error=None,
                 star_catalog=None, config=None, output_header=None, *, stars=None, avoid=None, avoid_radius=None,
                 noise_correlations=(None, None), n_threads=None):
        if stars is not None and star_catalog is not None:
            raise InputError('give stars (0-based, vetted) or star_catalog (1-based, as by pyhotpants), not both')
        self.n_threads = resolve_threads(n_threads)
        self._config = checked_config(config)
        self.template_path, self.image_path = (image if isinstance(image, (str, os.PathLike)) else None
                                               for image in (template_data, image_data))
        if isinstance(t_mask, HotpantsConfig):
            raise TypeError('the third argument of Hotpants is t_mask: give the configuration as config=...')
        self.star_catalog = star_catalog
        keep = self.config.parity
        self.science = as_frame(image_data, name='science', keep_masked_values=keep, mask=i_mask, sigma=i_error)
        template = as_frame(template_data, name='template', keep_masked_values=keep, mask=t_mask, sigma=t_error)
        self.science, self.template = with_correlations((self.science, check_pair(self.science, template)),
                                                        checked_correlations(noise_correlations))
        if output_header is not None:
            self.science = replace(self.science, meta=output_header)
        self._stars, self._avoid, self._avoid_radius = stars, avoid, checked_radius(avoid_radius)
        self._start()

    def __repr__(self):
        ny, nx = self.science.shape
        ahead = STEPS[self.regions.done:]
        state = f'next step: {ahead[0]}' if ahead else 'all steps done'
        return f'<{type(self).__name__}: {nx} x {ny} pixels, {state}>'

    def _start(self):
        """Lay out the regions; nothing is done in them yet."""
        self.__dict__.pop('difference_psf', None)
        exposures = [Exposure.of(frame, self.config) for frame in (self.template, self.science)]
        grid = stamp_grid(self.science.shape, self.config)
        self._check(exposures, grid)
        stars = None if self.star_catalog is None else star_positions(self.star_catalog)
        avoid = None if self._avoid is None else positions_of(self._avoid, self.science, exposures[1], 'avoid')[0]
        self.seeds = self._vet(exposures, avoid)
        if self.seeds is not None:
            grid = seed_grid(self.config)
        runs = [RegionalSubtraction(region, grid, *exposures, self.config, self.n_threads, self.config.force_convolve,
                                    stars, self.seeds, avoid) for region in regions_of(self.science.shape, self.config)]
        self.regions = AllRegions(runs, self.science.shape, self.config)
        if self.config.parity and self.config.convolved_image_file:
            self.convolved_is_written()

    def _vet(self, exposures, avoid):
        """Measure the stars given, once, and vet them for the configuration."""
        if self._stars is None:
            return None
        if not isinstance(self._stars, Seeds):
            positions, source = positions_of(self._stars, self.science, exposures[1])
            self._stars = Seeds.measured(positions, *exposures, source)
        given = self._stars
        return vetted(given.measures, exposures, self.config, avoid=() if avoid is None else avoid,
                      avoid_radius=self._avoid_radius, source=given.source, faintest=given.faintest)

    @property
    def config(self):
        """Parameters; setting others starts again from the first step."""
        return self._config

    @config.setter
    def config(self, config):
        self._config = checked_config(config)
        self._start()

    def _check(self, exposures, grid):
        """Find out early what cannot work."""
        config, (ny, nx) = self.config, self.science.shape
        # where the search can place a star (P6); the C program finds out by finding none
        smallest = 2 * (config.rkernel + (1 if config.parity else 2) * config.rss) + 1
        if min(nx, ny) < smallest:
            raise InputError(f'images of {nx} x {ny} pixels are too small for kernels of {config.kernel_width} and '
                             f'substamps of {config.substamp_width} pixels: they need at least {smallest}; lower '
                             'rkernel and rss')
        if not grid.nx * grid.ny:
            raise InputError(f'{config.nregx} x {config.nregy} regions of an image of {nx} x {ny} pixels are too small '
                             f'for one stamp of {grid.width} pixels: lower nregx and nregy, or rkernel and rss')
        if all(e.given_variance is not None and not e.given_variance.any() for e in exposures):
            raise InputError('the uncertainties of both images are zero everywhere: leave them out to use gain and '
                             'read noise, or give the right ones')

    @property
    def region(self):
        """State of the first region that nothing went wrong in, often the only one; for the package itself."""
        return self.regions.live[0]

    @cached_property
    def difference_psf(self):
        """PSF of the difference, a `~hotpants_cy.products.psf.FieldPSF`; for the package itself."""
        return difference_psf(self, self.given_psf)

    def convolved_is_written(self, low=-math.inf, high=math.inf):
        """Repeat what C does to a convolved image that it writes; for the package itself.

        C scales and clips the image to values from ``low`` to ``high`` for that, and the difference shows it (P18).
        """
        for region in self.regions:
            region.written_range = low, high

    def again(self, correlations, words):
        """The same from the start, with such correlations of the noise; for the package itself.

        If parameters were chosen, ``words`` tell the reason of these.
        """
        twin = copy.copy(self)
        twin.science, twin.template = with_correlations((self.science, self.template), correlations)
        if self.config.reasons:
            twin._config = self.config.with_reasons(self.config.reasons | {'noise_correlations': words})
        twin._start()
        return twin

    def adopt_kernels(self, table):
        """Take the kernels of a ``KernelTable`` instead of fitting [C: ``-ki``]; for the package itself."""
        self.regions.adopt(table)

    @property
    def live_regions(self):
        """The regions that nothing went wrong in, as a list; for the package itself."""
        return self.regions.live

    def find_stamps(self):
        """Find the stars that the kernel may be fitted to.

        Returns
        -------
        template_substamps, image_substamps : list of Substamp
            Empty for an image that the configuration forbids to convolve.

        Raises
        ------
        NoStampsError
            There is none.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
        >>> template_substamps, image_substamps = hot.find_stamps()
        >>> len(template_substamps), template_substamps[0].status.name
        (9, 'FOUND')
        """
        self.regions.advance_to('find_stamps')
        return self.template_substamps, self.image_substamps

    @property
    def final_substamps(self):
        """All substamps of the image that was convolved, in each region, as a list of `Substamp`."""
        return [substamp for region in self.live_regions for substamp in region.substamps(region.direction)]

    @property
    def refused_substamps(self):
        """The stars given that were refused before any fit, with their reasons, as a list of `Substamp`."""
        return [] if self.seeds is None else refused_substamps(self.seeds, self.region.direction)

    @property
    def kernel(self):
        """The kernel that was fitted: a `KernelModel`, or a `KernelMosaic` of several regions."""
        self.iterative_fit_and_clip()
        return self.regions.kernel

    def substamps(self, direction):
        """All substamps of one image, in each region.

        Parameters
        ----------
        direction : {'t', 'i'}
            Those of the template, or of the science image.

        Returns
        -------
        list of Substamp
            Empty before `find_stamps` has run, and for an image that the configuration forbids to convolve.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
        >>> template_substamps, image_substamps = hot.find_stamps()
        >>> hot.substamps('i') == image_substamps
        True
        """
        return [substamp for region in self.live_regions for substamp in region.substamps(direction)]

    @property
    def template_substamps(self):
        """Substamps of the template, as a list of `Substamp`."""
        return self.substamps('t')

    @property
    def image_substamps(self):
        """Substamps of the science image, as a list of `Substamp`."""
        return self.substamps('i')

    def fit_and_select_direction(self):
        """Decide which image to convolve.

        Returns
        -------
        {'t', 'i'}
            The template, or the science image.

        Raises
        ------
        NoStampsError
            There is no star.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
        >>> hot.fit_and_select_direction()
        't'
        """
        self.regions.advance_to('select_direction')
        return self.region.direction

    def iterative_fit_and_clip(self):
        """Fit the kernel, rejecting substamps that do not fit.

        Returns
        -------
        solution : float64 array
            Coefficients of kernel and background; of several regions, of the first.
        substamps : list of Substamp
            Those used.

        Raises
        ------
        NoStampsError, TooFewStampsError, SingularFitError
            The kernel cannot be determined.
        MismatchError
            No kernel makes one image into the other.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
        >>> solution, used = hot.iterative_fit_and_clip()
        >>> solution.shape, used[0].status.name
        ((52,), 'USED_IN_FINAL_FIT')
        """
        self.regions.advance_to('fit_kernel')
        return self.region.fit.model.solution, [s for region in self.live_regions for s in region.used_substamps()]

    def convolve_and_difference(self):
        """Convolve one image and subtract.

        Returns
        -------
        difference, convolved, noise : float32 arrays (ny, nx)
            Science minus template, the convolved image with the background, standard deviation of the difference.
        flags : int32 array (ny, nx)
            `HotpantsFlags` of the difference.

        Raises
        ------
        NoStampsError, TooFewStampsError, SingularFitError
            The kernel cannot be determined.
        MismatchError
            No kernel makes one image into the other.

        Examples
        --------
        >>> import hotpants_cy as hp
        >>> pair = hp.datasets.make_pair((256, 256), seed=1)
        >>> hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
        >>> difference, convolved, noise, flags = hot.convolve_and_difference()
        >>> difference.shape, difference.dtype, flags.dtype
        ((256, 256), dtype('float32'), dtype('int32'))
        """
        self.keep_convolved = True
        return tuple(self.assemble(name) for name in ('difference', 'convolved', 'noise', 'flags'))

    def assemble(self, name):
        """Plane ``name`` of ``Products`` for the whole image; for the package itself.

        Where there is no region it is bad: NaN, with ``parity`` zero as in C; a region that failed is filled.
        """
        self.regions.advance_to('subtract', self.keep_convolved)
        return self.regions.plane(name)


def checked_config(config):
    """The configuration given, or the default one for None; a TypeError for anything else."""
    config = HotpantsConfig() if config is None else config
    if not isinstance(config, HotpantsConfig):
        given = repr(config) if isinstance(config, str) else type(config).__name__
        way = ': make one with HotpantsConfig(**config)' if isinstance(config, dict) else ''
        raise TypeError(f"config must be a HotpantsConfig, or 'auto' for subtract(), not {given}{way}")
    return config
