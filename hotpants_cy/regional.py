"""One region from its stars to its difference: the five steps without the wrapping."""

import logging
from dataclasses import dataclass, field

import numpy as np

from .exceptions import HotpantsError, NoStampsError
from .inputs.bits import Bits
from .inputs.exposure import Exposure, working_mask
from .kernel.basis import basis_of
from .kernel.closeup import Closeup
from .kernel.design import Design
from .kernel.direction import choose, direction_merit
from .kernel.fit import KernelFit, iterate
from .kernel.spatial import RegionFrame
from .kernel.weighted import WeightedDesign
from .memory import Memory
from .products.difference import Products, convolve_again, fill_bad, subtract_region
from .products.statistics import chi2_of_substamps, ok_ratio, output_statistics, rescale_ok_noise
from .stamps.grid import Side, find_stamps
from .stamps.regions import Region, StampGrid
from .stamps.seeding import plant
from .stamps.statistics import clipped_moments

__all__ = ['RegionalSubtraction']

log = logging.getLogger(__name__)

MOST_STARS = 400         # of a fit with weights, which takes all stars and not one of each stamp
SIDES = {'t': 'template', 'i': 'science'}


@dataclass
class RegionalSubtraction:
    """State of the subtraction of one region.

    Parameters
    ----------
    region : Region
    grid : StampGrid
        Layout of its stamps.
    template, science : Exposure
        The whole images.
    config : `~hotpants_cy.HotpantsConfig`
    n_threads : int
    allowed : {'b', 't', 'i'}
        Which image may be convolved.
    stars : float32 array (n, 2), optional
        Positions (x, y) of stars in the image, 0-based, to take before any search.
    seeds : Seeds, optional
        Vetted stars, to take and not to search.
    avoid : float array (n, 2), optional
        Positions that no substamp of a search may contain.
    written_range : (float, float), optional
        See `~hotpants_cy.products.difference.subtract_region`.

    Attributes
    ----------
    error : HotpantsError or None
        Why the region could not be subtracted.
    sides : dict of Side
        Stamps of the template ('t') and of the science image ('i'), of those that may be convolved.
    direction : {'t', 'i'} or None
    merits : dict
        Merit of each direction tried.
    fit : KernelFit or None
    products : Products or None
    statistics : dict
        Numbers by the stems of C's header keywords.
    """

    region: Region
    grid: StampGrid
    template: Exposure
    science: Exposure
    config: object
    n_threads: int
    allowed: str
    stars: np.ndarray | None = None
    seeds: object = None
    avoid: np.ndarray | None = None
    written_range: tuple | None = None
    error: HotpantsError | None = None
    sides: dict = field(default_factory=dict)
    direction: str | None = None
    merits: dict = field(default_factory=dict)
    fit: KernelFit | None = None
    products: Products | None = None
    statistics: dict = field(default_factory=dict)
    _mask: np.ndarray | None = None
    _closeup: Closeup | None = None
    _designs: dict = field(default_factory=dict)

    @property
    def frame(self):
        """Coordinates of the region."""
        return RegionFrame(self.region.origin, self.region.shape)

    def pair(self, direction=None):
        """The image to convolve and the other one, in a direction or in that which was chosen."""
        direction = direction or self.direction
        return (self.template, self.science) if direction == 't' else (self.science, self.template)

    def find_stamps(self):
        """Fill the stamps with substamps.

        Raises
        ------
        NoStampsError
            No substamp was found for any direction allowed.
        """
        config, cut = self.config, self.region.buffered
        # half of the width asked for, in the manner of C (P24)
        growth = int(np.float32(config.rkernel) * np.float32(config.kf_spread_mask1)) // 2
        self._mask = working_mask(self.template, self.science, cut, growth, config.rss + config.rkernel, self.n_threads)
        allowed = 'ti' if self.allowed == 'b' else self.allowed
        n_cells = self.grid.nx * self.grid.ny
        self.sides = {d: Side.of(SIDES[d], e.cutout(cut), e.kernel_high, n_cells)
                      for d, e in (('t', self.template), ('i', self.science)) if d in allowed}
        if self.seeds is not None:
            plant(list(self.sides.values()), self.seeds, self.region, self.grid, config)
        else:
            self._mark_avoided()
            find_stamps(list(self.sides.values()), self._mask, self.region, self.grid, config, self.stars,
                        self.n_threads)
        if not any(side.n_filled for side in self.sides.values()):
            raise NoStampsError(self._why_no_stamps())
        self._closeup = Closeup(self.template, self.science, self.region, config)
        for substamp in self.substamps('ti'):
            substamp.closeup = self._closeup

    def _mark_avoided(self):
        if self.avoid is None or not len(self.avoid):
            return
        x, y = np.round(self.avoid - self.region.origin).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < self.region.shape[1]) & (y < self.region.shape[0])
        self._mask[y[inside], x[inside]] |= Bits.T_BAD | Bits.I_BAD

    def substamps(self, directions):
        """All substamps found, of the images named by the letters of ``directions``."""
        return [substamp for d in directions if d in self.sides for stamp in self.sides[d].stamps
                for substamp in stamp.substamps]

    def _why_no_stamps(self):
        names = ' or '.join(f'the {side.name} image' if d == 'i' else 'the template' for d, side in self.sides.items())
        limits = ', '.join(f'{side.high:g} in the {side.name}' for side in self.sides.values())
        if self.seeds is not None:
            n, source = len(self.seeds.kinds), self.seeds.source
            which = f'none of {n} stars from {source} can' if n > 1 else f'the one star from {source} cannot'
            what = f'{which} be used to fit the kernel: {self.seeds.tally()}' if n else f'no star came from {source}'
            return f'{what}; give more stars, or let the program search (stars=None)'
        flagged = 100 * np.mean((self._mask & 0x80) != 0)
        where = f' in region {self.region.section}'
        return (f'no star to fit the kernel to was found in {names}{where}: none of {self.grid.nx} x {self.grid.ny} '
                f'stamps has a peak {self.config.fitthresh:g} sigma over its sky and below {limits}, in an unmasked '
                f'box of {self.config.substamp_width} pixels ({flagged:.0f} % of the pixels are masked); lower '
                'fitthresh or rss, or correct the thresholds')

    def design(self, direction):
        """Equations of one direction, filled with the first substamps the first time they are asked for."""
        if direction not in self._designs:
            source, target = self.pair(direction)
            self._designs[direction] = Design(self.sides[direction].stamps, source, target, self.region,
                                              basis_of(self.config), self.frame, self.config, self.n_threads)
        return self._designs[direction]

    def select_direction(self):
        """Decide which image to convolve, if that is not decided yet."""
        if self.direction is not None:
            return
        if not self.config.parity:                   # C may choose a direction that has no star
            self.sides = {d: side for d, side in self.sides.items() if side.n_filled}
        if len(self.sides) == 1:
            self.merits = dict.fromkeys(self.sides, 0.0)
        else:
            self.merits = {d: direction_merit(self.design(d), self._mask) for d in self.sides}
        self.direction = choose(self.merits)
        self._designs = {d: design for d, design in self._designs.items() if d == self.direction}
        log.info('convolving the %s', SIDES[self.direction])

    def fit_kernel(self):
        """Fit the kernel, rejecting substamps that stand out.

        Raises
        ------
        NoStampsError, TooFewStampsError, SingularFitError
        """
        if self.config.weights or self.config.robust:
            self._designs = {}
            self.sides[self.direction].spread(MOST_STARS)
            self.fit = iterate(WeightedDesign.of(self.design(self.direction)), self._mask)
        else:
            self.fit = iterate(self.design(self.direction), self._mask)
        self._closeup.models[self.direction] = self.fit.model
        self.statistics = {'SSSIG': self.fit.mean_merit, 'SSSCAT': self.fit.merit_scatter}

    def adopt(self, model, values):
        """Take a kernel from elsewhere instead of steps one to three [C: ``-ki``].

        Parameters
        ----------
        model : KernelModel
        values : dict
            SSSIG, SSSCAT, FSIG, FSCAT and NSCALO of its fit, as far as they are known.
        """
        self.direction, self.statistics = model.direction, dict(values)
        n = len(model.background_coefficients)
        self.fit = KernelFit(model, values.get('SSSIG', np.nan), values.get('SSSCAT', np.nan), 0, 0, 0,
                             np.full((n, n), np.nan))

    def used_substamps(self):
        """The substamps that the kernel was fitted to."""
        if self.direction not in self.sides:
            return []
        return [stamp.substamp for stamp in self.sides[self.direction].stamps if stamp.alive]

    def subtract(self, keep_convolved=True):
        """Convolve and subtract; measure the difference; fill its bad pixels.

        With ``keep_convolved=False`` the convolved image is given up for memory; `restore_convolved` makes it again.
        """
        config, model, memory = self.config, self.fit.model, self._memory_left()
        self.products = p = subtract_region(
            model, *self.pair(), self.region, config, self.n_threads, self.written_range,
            keep_convolved or self.written_range is not None, memory)
        self.statistics = {'KSUM': p.kernel_sum, **self._measure(p)}
        if model.covariance is not None:
            (x0, y0), (ny, nx) = self.region.origin, self.region.shape
            self.statistics['KSUME'] = model.sum_error(x0 + nx // 2, y0 + ny // 2)
        if config.rescale_ok:
            rescale_ok_noise(p.noise, p.flags, self.statistics['NSCALO'])
        fill_bad(p, config, model.half_width, self.n_threads)

    def _memory_left(self):
        """Memory of what is large, and not needed any more."""
        left = [] if self._mask is None else [self._mask]
        left += [block for design in self._designs.values() for block in design.vectors.memory]
        self._mask, self._designs = None, {}
        return Memory(*left)

    def restore_convolved(self):
        """Make the convolved image of the products again if it was not kept."""
        p = self.products
        if p.convolved is None:
            p.convolved, p.convolved_variance = convolve_again(
                self.fit.model, *self.pair(), self.region, self.config, p, self.n_threads)

    def _measure(self, p):
        """Statistics of the products before bad pixels are filled; those that came with the kernel stand."""
        config, given = self.config, self.statistics
        n_sigma, (x0, y0) = config.single('stat_sig'), self.region.origin
        values = {}
        substamps = self.substamps(self.direction)
        corners = [(s.x - x0 - config.rss, s.y - y0 - config.rss) for s in substamps]
        found = chi2_of_substamps(p.difference, p.noise, p.flags, corners, config.substamp_width, self.n_threads)
        for substamp, chi2 in zip(substamps, found, strict=True):
            substamp.chi2 = chi2
        if 'FSIG' not in given and config.fom == 'v':
            used = [s.chi2 for s in self.used_substamps() if s.chi2 is not None]
            values['FSIG'], values['FSCAT'] = clipped_moments(used, n_sigma)
        values |= output_statistics(p.difference, p.noise, p.flags, n_sigma, self.n_threads)
        if config.rescale_ok:
            values['NSCALO'] = ok_ratio(values)
        if not self.sides:
            values['NSCALO'] = 1.0
        return values | given
