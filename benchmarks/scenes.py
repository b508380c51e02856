"""Simulated pairs of many kinds, whose truth is known, to judge settings by: `scene`.

The properties of a scene come from a Latin hypercube of 128 points (the next 128 scenes from another), so that every
property is met with every other one. Held-out stars are no part of the pair: `Scene.probes` holds their images and
noise apart, to be added to the difference once the kernel has been fitted without them.
"""
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy.table import QTable
from light import Shape, flux_of, render
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree
from scipy.stats import qmc

from hotpants_cy.datasets import SimulatedPair, _expose, positions_of

DESIGN = 128            # points of one Latin hypercube
MARGIN = 45             # pixels that held-out stars keep from the edge: every kernel fits in
SLOPE = 1.7             # dN/dF of the stars falls with this power
PROPERTIES = ('size', 'fwhm', 'ratio', 'stars', 'variable', 'beta', 'variation', 'ellipticity', 'gain', 'flux_ratio',
              'sky', 'template_sky', 'gradient', 'shift', 'inputs', 'subtracted', 'galaxies', 'faults', 'depth', 'well',
              'faintest', 'template_variation')


@dataclass(frozen=True, eq=False)
class Probes:
    """Bright, constant stars that the kernel is not fitted to.

    ``stars`` has x, y (in the template), flux (template scale). The planes hold their light with its noise, and the
    variance of that noise.
    """

    stars: QTable
    science: np.ndarray
    template: np.ndarray
    science_variance: np.ndarray
    template_variance: np.ndarray


@dataclass(frozen=True, eq=False)
class Scene:
    """A pair and what is true about it.

    Attributes
    ----------
    number : int
    pair : `~hotpants_cy.datasets.SimulatedPair`
        Its ``stars`` have also ``flux_science`` and ``variable``; ``science_psf`` and ``template_psf`` are `Shape`.
    probes : Probes
        Held-out stars, of which the pair knows nothing.
    science_variance, template_variance : float array
        True variance of the pair's noise, in squared adu, whatever uncertainty it carries.
    clean : bool array
        Pixels within reach of no variable star, transient or fault.
    saturation : (float, float)
        Of science image and template, in adu.
    gain, read_noise : (float, float)
        Of science image and template.
    properties : dict
    """

    number: int
    pair: SimulatedPair
    probes: Probes
    science_variance: np.ndarray
    template_variance: np.ndarray
    clean: np.ndarray
    saturation: tuple
    gain: tuple
    read_noise: tuple
    properties: dict

    @property
    def variable_ids(self):
        """Rows of ``pair.stars`` that vary."""
        return np.flatnonzero(self.pair.stars['variable'])

    @property
    def description(self):
        """One line."""
        return ', '.join(f'{k} {v:.3g}' if isinstance(v, float) else f'{k} {v}' for k, v in self.properties.items())

    @property
    def broad_fwhm(self):
        """FWHM of the broader PSF in pixels."""
        return max(self.pair.science_psf.fwhm, self.pair.template_psf.fwhm)


def scene(number):
    """Simulate a scene; the same number gives the same one."""
    p = properties(number)
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence([20261125, number]).spawn(8)]
    shape = (p['size'], p['size'])
    shapes = [Shape(fwhm, p['beta'], variation, shear, shape) for fwhm, variation, shear in (
        (p['fwhm'], p['variation'], p['shear']), (p['template_fwhm'], p['template_variation'], p['template_shear']))]
    levels = [math.sqrt(sky + p['read_noise']**2) for sky in (p['sky'], p['template_sky'])]     # noise of the sky, e-
    fluxes = _flux_range(p, shapes, levels)

    stars = _stars(rngs[0], p, shape, fluxes)
    galaxies = _galaxies(rngs[1], p, shape, fluxes)
    light = [render(shapes[k], stars, galaxies, k, 0.03 * levels[k] / p['gain'], shift, scale)
             for k, shift, scale in ((0, p['shift'], p['flux_ratio']), (1, (0, 0), 1))]
    faults = _faults(rngs[2], p, shape)
    transients = _transients(rngs[3], p, stars, galaxies, faults, shapes[0], levels[0])
    own = shapes[0].image(transients, 0.03 * levels[0] / p['gain'])
    moving = _moving_light(p, stars, shapes, levels) + own

    ny, nx = np.indices(shape) / (p['size'] - 1) - 0.5
    gradient = 1 + p['gradient'] * (nx + 0.5 * ny)
    factors, images, variances, saturation = (1.0, p['depth']), [], [], []
    for k, (name, sky) in enumerate((('science', p['sky']), ('template', p['template_sky']))):
        level = sky / p['gain'] * (gradient if k == 0 else 1)
        limit = (sky + p['well']) / p['gain']
        image = _expose(level + light[k] + (own if k == 0 else 0), rngs[4 + k], p['gain'], p['read_noise'], factors[k],
                        limit, name)
        variances.append(image.uncertainty.array.astype(float)**2)
        saturation.append(limit)
        images.append(image)
    # a mean of exposures has the Poisson noise of a higher gain
    images[1].meta.update(GAIN=p['gain'] / p['depth']**2, RDNOISE=p['read_noise'] / p['depth'])
    full = [image.data >= limit for image, limit in zip(images, saturation, strict=True)]
    damaged = _spoil(images, faults, p)
    background = (p['sky'] - p['flux_ratio'] * p['template_sky']) / p['gain']
    if p['subtracted']:
        for k, sky in enumerate((p['sky'] * gradient, p['template_sky'])):
            images[k].data -= np.float32(sky / p['gain'])
            saturation[k] -= float(np.max(sky)) / p['gain']
            images[k].meta['SATURATE'] = saturation[k]
        background = 0.0
    if p['inputs'] == 'bare':
        for image in images:
            image.uncertainty = None
    pair = SimulatedPair(*images, stars, transients, *shapes, p['flux_ratio'], background)

    noise = levels[0] / p['gain']
    dirty = (moving > 0.2 * noise) | _grown(damaged | full[0] | full[1], 2 * max(s.fwhm for s in shapes))
    probes = _probes(rngs[6], p, stars, galaxies, dirty, shapes, levels, factors)
    return Scene(number, pair, probes, *variances, ~dirty, tuple(saturation), (p['gain'], p['gain'] / p['depth']**2),
                 (p['read_noise'], p['read_noise'] / p['depth']), p)


@lru_cache
def _hypercube(block):
    return qmc.LatinHypercube(len(PROPERTIES), seed=np.random.default_rng(block)).random(DESIGN)


def properties(number):
    """Properties of a scene, a dict."""
    u = dict(zip(PROPERTIES, _hypercube(number // DESIGN)[number % DESIGN], strict=True))
    rng = np.random.default_rng([7, number])

    def log(name, low, high):
        return low * (high / low)**u[name]

    def some(name, share, high):
        """Zero but for a share of the scenes."""
        return max(0.0, u[name] - 1 + share) / share * high

    def shear(size):
        angle = rng.uniform(0, 2 * math.pi)
        return size * math.cos(angle), size * math.sin(angle)

    fwhm, ellipticity = log('fwhm', 1.5, 8), some('ellipticity', 0.5, 0.2)
    shift, fault = some('shift', 0.4, 0.3), some('faults', 0.6, 1.0)
    return {
        'size': (400, 512, 640, 768, 1024, 1500)[np.searchsorted((0.1, 0.7, 0.83, 0.91, 0.98), u['size'])],
        'fwhm': fwhm, 'template_fwhm': float(np.clip(fwhm * log('ratio', 0.55, 1.8), 1.5, 8)),
        'stars': round(log('stars', 30, 3000)), 'variable': some('variable', 0.7, 0.2),
        'beta': math.inf if u['beta'] < 0.3 else 2.5 + 2 * (u['beta'] - 0.3) / 0.7,
        'variation': some('variation', 0.8, 0.15), 'template_variation': some('template_variation', 0.4, 0.08),
        'shear': shear(ellipticity / 2), 'template_shear': shear(ellipticity / 2 * rng.uniform()),
        'gain': log('gain', 0.5, 4), 'flux_ratio': log('flux_ratio', 0.3, 3), 'sky': log('sky', 50, 3000),
        'template_sky': log('template_sky', 50, 3000), 'gradient': some('gradient', 0.3, 0.1),
        'shift': tuple((rng.choice([-1, 1], 2) * shift * rng.uniform(0.5, 1, 2)).tolist()),
        'inputs': 'bare' if u['inputs'] < 0.25 else 'mask' if u['inputs'] > 0.6 else 'sigma',
        'subtracted': u['subtracted'] < 0.2, 'galaxies': round(some('galaxies', 0.5, 30)),
        'saturated': round(5 * fault), 'faults': fault, 'depth': min(1.0, log('depth', 0.15, 3)),
        'well': log('well', 3e4, 1.5e5), 'faintest': log('faintest', 15, 80), 'read_noise': 5.0}


def _flux_range(p, shapes, levels):
    """Flux of the faintest and brightest star on the template's scale, in adu."""
    scales = (p['flux_ratio'] * p['gain'], p['gain'])
    faint = max(p['faintest'] * level * math.sqrt(s.noise_area) / scale
                for s, level, scale in zip(shapes, levels, scales, strict=True))
    bright = min(0.8 * p['well'] / (s.peak * scale) for s, scale in zip(shapes, scales, strict=True))
    return faint, max(bright, 10 * faint)


def _stars(rng, p, shape, flux_range):
    """Random positions and a power law of fluxes; some vary, some saturate."""
    n, power = p['stars'], 1 - SLOPE
    low, high = (f**power for f in flux_range)
    flux = rng.uniform(high, low, n)**(1 / power)
    flux[:p['saturated']] = flux_range[1] * 4
    factor = np.exp(rng.uniform(math.log(1.1), math.log(3), n) * rng.choice([-1, 1], n))
    variable = rng.uniform(size=n) < p['variable']
    return QTable({'x': rng.uniform(-0.5, shape[1] - 0.5, n), 'y': rng.uniform(-0.5, shape[0] - 0.5, n), 'flux': flux,
                   'flux_science': p['flux_ratio'] * flux * np.where(variable, factor, 1), 'variable': variable})


def _galaxies(rng, p, shape, flux_range):
    n = p['galaxies']
    return QTable({'x': rng.uniform(MARGIN, shape[1] - MARGIN, n), 'y': rng.uniform(MARGIN, shape[0] - MARGIN, n),
                   'flux': 3 * flux_range[0] * (flux_range[1] / flux_range[0])**rng.uniform(0, 0.8, n),
                   'radius': rng.uniform(2, 8, n), 'n': rng.uniform(0.7, 3, n), 'ellip': rng.uniform(0, 0.6, n),
                   'theta': rng.uniform(0, math.pi, n)})


def _moving_light(p, stars, shapes, levels):
    """Light that the variable stars have too much in the science image, adu, of the broader PSF."""
    some = stars[stars['variable']]
    change = QTable({'x': some['x'], 'y': some['y'], 'flux': some['flux_science'] - p['flux_ratio'] * some['flux']})
    change['flux'] = np.abs(change['flux'])
    return max(shapes, key=lambda s: s.fwhm).image(change, 0.03 * levels[0] / p['gain'])


def _faults(rng, p, shape):
    """Masks of NaN, flagged and unflagged bad pixels for both images, by name."""
    ny, nx = shape
    planes = {name: np.zeros((2, *shape), bool) for name in ('nan', 'flagged', 'hot')}
    if not p['faults']:
        return planes
    for _ in range(rng.integers(0, 3)):
        planes['nan'][rng.integers(2), :, rng.integers(nx)] = True
    if p['inputs'] == 'mask':
        for _ in range(rng.integers(1, 4)):
            y, x, h, w = rng.integers((0, 0, 3, 3), (ny - 20, nx - 20, ny // 8, nx // 8))
            planes['flagged'][rng.integers(2), y:y + h, x:x + w] = True
    for _ in range(round(p['faults'] * nx * ny / 8000)):        # cosmic rays and hot pixels
        y, x, length, angle = *rng.uniform((0, 0), shape), rng.integers(1, 9), rng.uniform(0, math.pi)
        steps = np.arange(length)
        yy, xx = (y + steps * math.sin(angle)).astype(int), (x + steps * math.cos(angle)).astype(int)
        inside = (yy >= 0) & (yy < ny) & (xx >= 0) & (xx < nx)
        planes['hot'][rng.integers(2), yy[inside], xx[inside]] = True
    return planes


def _spoil(images, faults, p):
    """Put the faults into the images; returns all damaged pixels."""
    rng = np.random.default_rng(images[0].shape[0])
    for k, image in enumerate(images):
        hot = faults['hot'][k]
        image.data[hot] += (image.uncertainty.array * rng.lognormal(3.5, 1, hot.shape))[hot].astype(np.float32)
        image.data[faults['nan'][k]] = np.nan
        image.data[faults['flagged'][k]] = 0
        if p['inputs'] == 'mask':
            image.mask = faults['flagged'][k] | faults['nan'][k]
    return np.any([plane.any(axis=0) for plane in faults.values()], axis=0)


def _transients(rng, p, stars, galaxies, faults, psf, level):
    """New sources: 6 in the field, and one on every third galaxy."""
    dirty = _grown(np.any([plane.any(axis=0) for plane in faults.values()], axis=0), psf.fwhm)
    xy = _places(rng, psf.shape, positions_of(stars), dirty, 6, 4 * psf.fwhm)
    hosts = galaxies[::3]
    angle = rng.uniform(0, 2 * math.pi, len(hosts))
    on = np.column_stack([hosts['x'] + hosts['radius'] * np.cos(angle), hosts['y'] + hosts['radius'] * np.sin(angle)])
    xy = np.vstack([xy, on.reshape(-1, 2)])
    snr = rng.permutation(np.geomspace(15, 200, len(xy)))
    return QTable({'x': xy[:, 0], 'y': xy[:, 1], 'flux': flux_of(snr, psf, level) / p['gain'], 'snr': snr})


def _probes(rng, p, stars, galaxies, dirty, shapes, levels, factors, number=30):
    """Held-out stars where nothing disturbs, as bright as those of the pair with S/N above 50 in both images."""
    bright = stars[stars['flux'] > np.quantile(stars['flux'], 0.7)]
    xy = _places(rng, dirty.shape, np.vstack([positions_of(bright), positions_of(galaxies)]), dirty, number,
                 3 * max(s.fwhm for s in shapes))
    scales = (p['flux_ratio'] * p['gain'], p['gain'])
    lowest = max(flux_of(50, s, level) / scale for s, level, scale in zip(shapes, levels, scales, strict=True))
    highest = min(0.8 * p['well'] / (s.peak * scale) for s, scale in zip(shapes, scales, strict=True))
    like = stars['flux'][(stars['flux'] > lowest) & (stars['flux'] < highest)]
    flux = rng.choice(like, len(xy)) if len(like) else np.full(len(xy), lowest)
    table = QTable({'x': xy[:, 0], 'y': xy[:, 1], 'flux': flux})
    moved = QTable({'x': xy[:, 0] + p['shift'][0], 'y': xy[:, 1] + p['shift'][1], 'flux': flux * p['flux_ratio']})
    planes, variances = [], []
    for sources, psf, level, factor in zip((moved, table), shapes, levels, factors, strict=True):
        plane, electrons = psf.image(sources, 0.03 * level / p['gain']), p['gain'] / factor**2
        planes.append(rng.poisson(plane * electrons) / electrons)
        variances.append(plane / electrons)
    return Probes(table, *planes, *variances)


def _places(rng, shape, occupied, dirty, number, distance):
    """Random positions on clean pixels, as far from what is there and from one another as room permits."""
    found = np.empty((0, 2))
    while len(found) < number and distance > 0.5:
        tree = cKDTree(np.vstack([occupied, [[-1e6, -1e6]]]))
        for xy in rng.uniform(MARGIN, (shape[1] - MARGIN, shape[0] - MARGIN), (1000, 2)):
            x, y = np.round(xy).astype(int)
            if (len(found) < number and not dirty[y, x] and tree.query(xy)[0] > distance
                    and np.min(np.hypot(*(found - xy).T), initial=1e9) > distance):
                found = np.vstack([found, xy])
        distance *= 0.7
    return found


def _grown(mask, radius):
    return maximum_filter(mask, 2 * math.ceil(radius) + 1)
