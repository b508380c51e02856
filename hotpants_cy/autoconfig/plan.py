"""From a pair of images to a configuration and the stars to use."""

import logging
from dataclasses import dataclass

import numpy as np

from ..config import HotpantsConfig
from ..inputs.exposure import Exposure
from ..inputs.frame import as_pair
from ..stamps.measures import measure_stars
from ..stamps.seeding import positions_of, vetted
from ..stamps.shapes import FWHM_OF_SIGMA, measure_shapes
from ..threads import resolve_threads
from ..words import counted
from .choice import try_kernels
from .facts import FWHM_KEYS, header_number, look_at
from .rules import PairFacts, Rules

__all__ = ['Plan', 'choose_config', 'make_plan']

log = logging.getLogger(__name__)

USUAL_FWHM = 3.5             # pixels, where nothing tells
LOOK = 15, 25, 3.0           # half width of the box looked at, in pixels: usual, largest, and in FWHM
SHAPE = 'rkernel', 'rss', 'ngauss', 'deg_fixe', 'sigma_gauss'     # what must agree with one another
NEAR = 6, 8                  # footprint and border for a first look, in pixels
FAINTER = 7.0                # S/N of stars that are taken when there are too few
FEW = 5                      # stars from which a PSF may be told


@dataclass(frozen=True)
class Plan:
    """What a subtraction is going to do.

    Attributes
    ----------
    config : HotpantsConfig
        With the reason of each parameter.
    seeds, fainter : Seeds
        The stars, vetted for this configuration; and with fainter ones among them.
    facts : PairFacts
    """

    config: HotpantsConfig
    seeds: object
    fainter: object
    facts: PairFacts


def choose_config(science, template, stars=None, *, n_threads=None, **options):
    """The configuration of a plan for two images of any kind; see `hotpants_cy.HotpantsConfig.auto`."""
    return make_plan(*as_pair(science, template), stars, n_threads=resolve_threads(n_threads), **options).config


def make_plan(science, template, stars=None, *, avoid=None, avoid_radius=None, science_fwhm=None, template_fwhm=None,
              n_threads=1, **fixed):
    """Measure a pair and choose the parameters.

    Parameters
    ----------
    science, template : Frame
        As `~hotpants_cy.inputs.frame.as_pair` gives them.
    stars, avoid, avoid_radius
        See `hotpants_cy.subtract`.
    science_fwhm, template_fwhm : float, optional
        FWHM of the PSFs in pixels. Default: from ``psf`` of the images, or measured on the stars.
    n_threads : int, optional
        Default 1.
    **fixed
        Parameters that are not to be chosen.

    Returns
    -------
    Plan
    """
    images = {'t': look_at(template), 'i': look_at(science)}
    rules = Rules(PairFacts(science.shape, images['t'], images['i'], np.eye(2), np.eye(2), '', 0, 0.0), fixed)
    limits = HotpantsConfig(**{name: value for name, value in rules.apply_starless().values.items()
                               if name not in SHAPE})
    exposures = [Exposure.of(frame, limits) for frame in (template, science)]
    positions, source = positions_of('auto' if stars is None else stars, science, exposures[1])
    avoided = positions_of(avoid, science, exposures[1], 'avoid')[0] if avoid is not None else ()
    facts, measures = measure_pair(science, template, images, exposures, positions, (science_fwhm, template_fwhm))
    rules = Rules(facts, fixed).apply()
    config = HotpantsConfig(**rules.values)
    seeds = vetted(measures, exposures, config, avoid=avoided, avoid_radius=avoid_radius, source=source)
    if seeds.good.any():
        config, told = try_kernels(config, menus_of(rules), exposures, seeds, max(facts.fwhms), n_threads)
        rules.reasons |= {name: f'{rules.reasons[name]}; {words}' for name, words in told.items()}
    fainter = vetted(measures, exposures, config, avoid=avoided, avoid_radius=avoid_radius, source=source,
                     faintest=FAINTER)
    return Plan(config.with_reasons(rules.reasons), seeds, fainter, facts)


def measure_pair(science, template, images, exposures, positions, given):
    """Facts about the PSFs and stars of the pair, and what was measured of each star."""
    half = LOOK[0]
    while True:
        measures = measure_stars(positions, *exposures, half_width=half)
        seeds = vetted(measures, exposures, footprint=NEAR[0], border=NEAR[1])
        psfs = measures.psf(seeds.good)
        widest = FWHM_OF_SIGMA * np.sqrt(max(np.linalg.eigvalsh(c)[-1] if np.isfinite(c).all() else 0 for c in psfs))
        if half >= LOOK[1] or not widest * LOOK[2] > half:
            break
        half = LOOK[1]
    n_good = int(seeds.good.sum())
    shapes, rule = psf_of_pair((template, science), psfs, given[::-1], n_good)
    facts = PairFacts(science.shape, images['t'], images['i'], *shapes, rule, n_good, misalignment(measures, seeds))
    return facts, measures


def psf_of_pair(frames, measured, given, n_good):
    """Second moments of both PSFs and where they are from: given, attached, measured, in the header, or usual."""
    shapes, words = [], []
    for frame, own, fwhm in zip(frames, measured, given, strict=True):
        in_header = header_number(frame.meta, FWHM_KEYS, above=0.5)
        if fwhm is not None:
            shape, rule = np.eye(2) * (fwhm / FWHM_OF_SIGMA)**2, 'given'
        elif getattr(frame, 'psf', None) is not None:
            shape, rule = moments_of(frame.psf), 'its psf attribute'
        elif n_good >= FEW or (n_good and in_header is None):
            shape, rule = own, counted(n_good, 'star')
        elif in_header is not None:
            shape, rule = np.eye(2) * (in_header[1] / FWHM_OF_SIGMA)**2, f'{in_header[0]} in its header'
        else:
            shape, rule = np.eye(2) * (USUAL_FWHM / FWHM_OF_SIGMA)**2, f'no star, {USUAL_FWHM} pixels are usual'
        shapes.append(shape)
        words.append(f'{frame.name} FWHM {FWHM_OF_SIGMA * np.linalg.det(shape)**0.25:.2f} pixels from {rule}')
    log.info('%s, %s', *words)
    return shapes, ', '.join(words)


def moments_of(psf):
    """Second moments of the image of a PSF, measured as those of the stars are."""
    psf = np.asarray(psf, float)
    ny, nx = psf.shape
    moments = measure_shapes(psf, float(psf.max() / 1000)**2, [((nx - 1) / 2, (ny - 1) / 2)],
                             max(ny, nx) // 2).covariance[0]
    return moments if np.isfinite(moments).all() else np.eye(2) * (USUAL_FWHM / FWHM_OF_SIGMA)**2


def misalignment(measures, seeds):
    """Scatter of the positions between the images, per axis, in pixels."""
    shift = np.column_stack([measures.science.x - measures.template.x,
                             measures.science.y - measures.template.y])[seeds.good]
    if len(shift) < FEW:
        return 0.0
    return float(1.4826 * np.median(np.abs(shift - np.median(shift, axis=0))))


def menus_of(rules):
    """What to try on stars held out: Gaussians first, then orders; nothing that is fixed."""
    values, fixed = rules.values, rules.fixed
    menus = []
    if values['force_convolve'] == 'b' and 'force_convolve' not in fixed:
        menus.append([{'force_convolve': direction} for direction in 'ti'])
    if not {'deg_fixe', 'sigma_gauss', 'ngauss'} & set(fixed):
        sigmas, chosen, r = values['sigma_gauss'], (values['deg_fixe'], values['sigma_gauss']), values['rkernel']
        core = sigmas[:-1] if values['deg_fixe'][-1] == 0 else sigmas
        bases = [((6, 4, 2), (0.7, 1.5, 3.0)), ((4, 2, 2), core), ((6, 4, 2), core),
                 ((6, 4, 2, 2), (*core, min(2 * core[-1], r / 1.5)))]
        tried = [rules.with_wings(d, s) for d, s in bases if len(d) == len(s)]
        menus.append([{'deg_fixe': d, 'sigma_gauss': s} for d, s in tried if (d, s) != chosen])
    if 'ko' not in fixed:
        menus.append([{'ko': ko} for ko in range(4) if ko != values['ko']])
    if 'bgo' not in fixed:
        menus.append([{'bgo': bgo} for bgo in range(3) if bgo != values['bgo']])
    return menus
