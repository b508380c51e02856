"""From measured numbers to parameters: each rule gives a value, and the words why."""

import math
from dataclasses import dataclass, field

import numpy as np

from ..stamps.shapes import FWHM_OF_SIGMA
from ..words import counted

__all__ = ['PairFacts', 'Rules', 'kernel_sigma']

ALIKE = 0.05                # relative difference of two PSFs that decides nothing
FLOOR = 1.0                 # least sigma of the kernel in pixels: Gaussians below half a pixel make singular fits
DEGREES = {40: (6, 4, 2), 8: (4, 2, 2), 0: (2, 2, 2)}   # by number of stars
FACTORS = (0.5, 1.0, 2.0)   # of the Gaussians, in sigmas of the kernel
WINGS = 1.7, 2.5, 1.3       # sigma of one more, in FWHM; least half width of the kernel in its sigmas; least step to it
HALF_WIDTHS = 5, 25
FAR, WINGS_OF_SIDE = 4.0, 1 / 32        # reach of the kernel for wings: FWHM, but not more than this part of the image
MANY = 20                   # stars, without which nobody sees wings
FEW_FOR_SLOPE = 9           # stars that do not tell a slope of the sky
SUBSTAMPS = 10, 15, 3       # least half width, largest unless the kernel needs more, and in FWHM
STARS_PER_TERM = 3
STAMP, MOST_STAMPS = 50, 15   # pixels on a side, and stamps in x and y at most
SMALL, LARGE = 600, 3000    # pixels along the side of an image
ZERO_SKY = 0.1              # sigmas: a median so near zero is a sky that was taken off


@dataclass(frozen=True)
class PairFacts:
    """What both images are like.

    Attributes
    ----------
    shape : (int, int)
        (ny, nx).
    template, science : ImageFacts
    template_psf, science_psf : float64 array (2, 2)
        Second moments in pixels squared, x first.
    psf_rule : str
        Where they come from.
    n_stars : int
        Stars fit for use.
    misalignment : float
        Scatter of the stars' positions between the images, in pixels, beyond their errors.
    """

    shape: tuple
    template: object
    science: object
    template_psf: np.ndarray
    science_psf: np.ndarray
    psf_rule: str
    n_stars: int
    misalignment: float

    @property
    def fwhms(self):
        """FWHM of template and science image in pixels."""
        return tuple(FWHM_OF_SIGMA * np.linalg.det(c)**0.25 for c in (self.template_psf, self.science_psf))


def kernel_sigma(source, target):
    """Sigma in pixels of the Gaussian that takes one PSF to the other, along the axis that needs the widest."""
    difference = np.linalg.eigvalsh(np.asarray(target) - np.asarray(source))
    return math.sqrt(max(difference[-1], 0.0))


@dataclass
class Rules:
    """Parameters one after the other; what is fixed stays.

    Attributes
    ----------
    facts : PairFacts
    fixed : dict
        Parameters that the user has set.
    values : dict
        Parameters by name.
    reasons : dict
        Words by name.
    """

    facts: PairFacts
    fixed: dict
    values: dict = field(default_factory=dict)
    reasons: dict = field(default_factory=dict)

    def __post_init__(self):
        self.values |= self.fixed
        self.reasons |= dict.fromkeys(self.fixed, 'given')

    def apply(self):
        """Apply all rules in their order."""
        self.apply_starless()
        for rule in (self._scale, self._fit, self._direction, self._kernel_width, self._gaussians, self._substamps,
                     self._orders, self._stamps):
            rule()
        return self

    def apply_starless(self):
        """Apply the rules that need no stars: thresholds and noise."""
        self._limits()
        self._noise()
        return self

    def choose(self, name, value, reason):
        """Set a parameter unless it is fixed."""
        if name not in self.fixed:
            self.values[name], self.reasons[name] = value, reason

    def _limits(self):
        for side, image in (('t', self.facts.template), ('i', self.facts.science)):
            if image.sigma > 0:
                self.choose(f'{side}lthresh', image.sky - 10 * image.sigma,
                            f'sky {image.sky:.5g} - 10 x its scatter {image.sigma:.4g}')
            self.choose(f'{side}uthresh', image.saturation, f'saturation: {image.saturation_rule}')
            level = self.values[f'{side}uthresh']
            if level is not None:
                fit = image.sky + 0.9 * (level - image.sky)
                self.choose(f'{side}uktresh', fit, f'0.9 of the way from the sky, {image.sky:.5g}, to {level:g}')

    def _noise(self):
        for side, image in (('t', self.facts.template), ('i', self.facts.science)):
            self.choose(f'{side}gain', image.gain, image.noise_rule)
            self.choose(f'{side}rdnoise', image.read_noise, image.noise_rule)

    def _scale(self):
        self.choose('normalize', 'i', 'fluxes of the science image')

    def _fit(self):
        self.choose('weights', True, 'pixels count by the noise that the model predicts, and not by their light')
        self.choose('robust', 'tukey', 'stars that vary lose their influence')

    def _direction(self):
        template, science = self.facts.template_psf, self.facts.science_psf
        ratio = np.sqrt(np.linalg.eigvals(np.linalg.solve(template, science)).real)
        words = f'the science PSF has {min(ratio):.2f} to {max(ratio):.2f} times the width of the template\'s'
        if min(ratio) > 1 + ALIKE:
            self.choose('force_convolve', 't', f'{words}: the template is sharper')
        elif max(ratio) < 1 - ALIKE:
            self.choose('force_convolve', 'i', f'{words}: the science image is sharper')
        else:
            self.choose('force_convolve', 'b', f'{words}: what fits better')

    @property
    def _sigma(self):
        """Sigma of the kernel, and the words for it."""
        facts, direction = self.facts, self.values['force_convolve']
        pairs = {'t': (facts.template_psf, facts.science_psf), 'i': (facts.science_psf, facts.template_psf)}
        sigmas = [kernel_sigma(*pairs[d]) for d in ('ti' if direction == 'b' else direction)]
        sigma = max(sigmas)
        return max(sigma, FLOOR), f'sigma of the kernel {sigma:.2f} pixels, at least {FLOOR:g}'

    def _kernel_width(self):
        sigma, words = self._sigma
        broad = max(self.facts.fwhms)
        spread = math.ceil(2 * self.facts.misalignment) if self.facts.misalignment > 0.5 else 0
        wings = min(FAR * broad, WINGS_OF_SIDE * min(self.facts.shape)) if self.facts.n_stars >= MANY else 0
        wanted = math.ceil(max(3 * FACTORS[-1] * sigma, 2 * broad, wings)) + spread
        affordable = max(int(math.sqrt(100 * max(self.facts.n_stars, 1)) / 2), HALF_WIDTHS[0])
        fits = max((min(self.facts.shape) - 1) // 6, 1)
        value = min(int(np.clip(wanted, *HALF_WIDTHS)), affordable, fits, self.fixed.get('rss', 1000))
        self.choose('rkernel', value, f'three times the widest Gaussian (2 x {words}), or '
                    f'{FAR if wings else 2:g} FWHM of {broad:.2f}; from {HALF_WIDTHS[0]} to {HALF_WIDTHS[1]}; '
                    f'at most {affordable} for {counted(self.facts.n_stars, "star")} and {fits} for '
                    f'{self.facts.shape[1]} x {self.facts.shape[0]} pixels')

    def _gaussians(self):
        degrees, sigmas = (self.fixed.get(name) for name in ('deg_fixe', 'sigma_gauss'))
        sigma, words = self._sigma
        n = self.facts.n_stars
        if degrees is None:
            degrees = next(d for least, d in DEGREES.items() if n >= least)
            count = self.fixed.get('ngauss') or (len(degrees) if sigmas is None else len(sigmas))
            degrees = (*degrees, *[2] * count)[:count]
        words_sigmas = ''
        if sigmas is None:
            widest = self.values['rkernel'] / 2
            factors = (*FACTORS, *[FACTORS[-1]] * len(degrees))[:len(degrees)]
            sigmas = tuple(round(min(f * sigma, widest * f / 2), 3) for f in factors)
            words_sigmas = f'{factors} times the {words}; the widest at most half of rkernel'
        if not {'deg_fixe', 'sigma_gauss', 'ngauss'} & set(self.fixed):
            core, (degrees, sigmas) = sigmas, self.with_wings(degrees, sigmas)
            words_sigmas += '; and one for the wings' if sigmas != core else ''
        self.choose('deg_fixe', degrees, f'for {counted(n, "star")}')
        self.choose('sigma_gauss', sigmas, words_sigmas)

    def with_wings(self, degrees, sigmas):
        """Degrees and sigmas with one more round Gaussian, for the light that PSFs have far out, if it has room."""
        factor, room, step = WINGS
        wide = round(min(factor * max(self.facts.fwhms), self.values['rkernel'] / room), 3)
        fits = self.facts.n_stars >= MANY and wide > step * max(sigmas)
        return ((*degrees, 0), (*sigmas, wide)) if fits else (degrees, sigmas)

    def _substamps(self):
        broad, r, side = max(self.facts.fwhms), self.values['rkernel'], min(self.facts.shape)
        fits = ((side - 1) // 2 - r) // 2
        least, most, factor = SUBSTAMPS
        value = max(int(np.clip(round(factor * broad), least, most)), r + 2)
        value = max(min(value, fits), r)
        self.choose('rss', value, f'{factor} FWHM of {broad:.2f} from {least} to {most}, at least rkernel + 2, at most '
                    f'{fits} for the size of the images: the smaller, the more stars are clean')

    def _orders(self):
        n, side = self.facts.n_stars, min(self.facts.shape)
        most = max((ko for ko in range(4) if STARS_PER_TERM * (ko + 1) * (ko + 2) // 2 <= n), default=0)
        ko = min(most, 1) if side < SMALL else most
        self.choose('ko', ko, f'the largest up to 3 with {STARS_PER_TERM} stars of {n} for each term'
                    + (f'; at most 1 for images below {SMALL} pixels' if side < SMALL else ''))
        images = self.facts.template, self.facts.science
        if all(abs(image.sky) < ZERO_SKY * image.sigma for image in images):
            self.choose('bgo', 0, 'the sky was taken off both images')
        elif n < FEW_FOR_SLOPE:
            self.choose('bgo', 0, f'too few for a slope of the sky: {counted(n, "star")}')
        else:
            self.choose('bgo', 1 if side <= LARGE else 2,
                        f'skies of {images[0].sky:.4g} and {images[1].sky:.4g}, images of {side} pixels')

    def _stamps(self):
        for axis, name in enumerate(('nstampy', 'nstampx')):
            n = int(np.clip(self.facts.shape[axis] // STAMP, 1, MOST_STAMPS))
            self.choose(name, n, f'one for {STAMP} pixels, up to {MOST_STAMPS}')
