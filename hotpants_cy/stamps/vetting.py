"""Which stars of a list may teach the kernel: measured in both images, each refusal with its reason."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ..inputs.bits import Bits
from .shapes import Shapes, cutouts, measure_shapes

__all__ = ['Seeds', 'StarMeasures', 'measure_stars', 'vet']

FAINTEST = 20.0              # signal over noise, in both images
ROUND = 1.5                  # elongation over that of the PSF
SIZES = 0.65, 1.5            # size over that of the PSF: cosmic rays and hot pixels lie below, galaxies above
NEIGHBOUR = 0.2              # height of a neighbour over that of the star
MOVED = 1.0                  # pixels between the two images, beyond what the others have
CONSTANT = 5.0               # flux ratio, in scatters of the flux ratios
SCATTER = 0.01               # of flux ratios at least: what apertures are good for
FLAT = 0.6                   # peak over flux, relative to other stars: below it a star is cut off
ENOUGH = 40                  # good stars; with fewer, blends are taken as well: both images have the same


@dataclass(frozen=True, eq=False)
class StarMeasures:
    """What both images say about a list of stars.

    Attributes
    ----------
    positions : float64 array (n, 2)
        As given, (x, y) in pixels, 0-based.
    template, science : Shapes
    ratio, ratio_error : float64 array (n,)
        Flux in the science image over that in the template, in an aperture of twice the larger FWHM, and its error.
    neighbour : float64 array (n,)
        Highest pixel between one and two and a half FWHM away, over that of the star.
    """

    positions: np.ndarray
    template: Shapes
    science: Shapes
    ratio: np.ndarray
    ratio_error: np.ndarray
    neighbour: np.ndarray

    def __len__(self):
        return len(self.positions)

    def psf(self, good):
        """Typical second moments (2, 2) of template and science image, of the stars in ``good``."""
        return tuple(np.median(s.covariance[good], axis=0) if np.any(good) else np.full((2, 2), np.nan)
                     for s in (self.template, self.science))


@dataclass(frozen=True, eq=False)
class Seeds:
    """Stars that were vetted.

    Attributes
    ----------
    measures : StarMeasures
    kinds, reasons : list of str
        Of each star, why it was refused, in one word and in a sentence; empty for the good ones.
    source : str
        Where the stars come from.
    notes : list of str
        Stars that were taken in spite of something, for want of better ones.
    faintest : float
        Least signal over noise.
    """

    measures: StarMeasures
    kinds: list
    reasons: list
    source: str = 'a list'
    notes: list = field(default_factory=list)
    faintest: float = FAINTEST

    @property
    def good(self):
        """Which stars passed, bool (n,)."""
        return np.array([not kind for kind in self.kinds], bool)

    @property
    def score(self):
        """What orders the stars: signal over noise of both images together."""
        with np.errstate(all='ignore'):
            return 1 / np.sqrt(self.measures.science.snr**-2 + self.measures.template.snr**-2)

    @property
    def best(self):
        """Indices of the good stars, best first."""
        good = np.flatnonzero(self.good)
        return good[np.argsort(-self.score[good], kind='stable')]

    def tally(self):
        """How many were refused for which reason, in words."""
        counts = Counter(kind for kind in self.kinds if kind)
        return ', '.join(f'{n} {kind}' for kind, n in counts.most_common()) or 'none refused'


def measure_stars(positions, template, science, half_width=15):
    """Measure stars in both images.

    Parameters
    ----------
    positions : float array (n, 2)
        (x, y) in pixels, 0-based.
    template, science : Exposure
    half_width : int, optional
        Of the box looked at, in pixels. Default 15.

    Returns
    -------
    StarMeasures
    """
    positions = np.reshape(np.asarray(positions, float), (-1, 2))
    shapes = [_shapes(exposure, positions, half_width) for exposure in (template, science)]
    x, y = (np.where(np.isfinite(v), v, w) for v, w in zip((shapes[1].x, shapes[1].y), positions.T, strict=True))
    sizes = [np.nanmedian(s.fwhm) if np.isfinite(s.fwhm).any() else 3.0 for s in shapes]
    radius = min(2 * max(sizes), half_width - 3.0)
    fluxes, errors = zip(*(_aperture(e, x, y, radius, half_width) for e in (template, science)), strict=True)
    with np.errstate(all='ignore'):
        ratio = fluxes[1] / fluxes[0]
        error = np.abs(ratio) * np.hypot(errors[0] / fluxes[0], errors[1] / fluxes[1])
    neighbour = np.max([_neighbour(e, x, y, max(sizes), half_width) for e in (template, science)], axis=0,
                       initial=0)
    return StarMeasures(positions, *shapes, ratio, error, neighbour)


def _shapes(exposure, positions, half_width):
    return measure_shapes(exposure.data, _variance_plane(exposure), positions, half_width)


def _variance_plane(exposure):
    return exposure.given_variance if exposure.given_variance is not None else _ModelVariance(exposure)


class _ModelVariance:
    """Variance of an exposure where it is asked for, as an array would give it."""

    ndim = 2

    def __init__(self, exposure):
        self.exposure, self.shape = exposure, exposure.data.shape

    def __getitem__(self, index):
        inverse_gain, read_variance = self.exposure.noise.factors
        return np.abs(self.exposure.data[index]) * inverse_gain + read_variance


def _distances(x, y, half_width):
    """Distance of the pixels of each box from its star, (n, size, size), and the middle of the boxes."""
    x0, y0 = np.round(x).astype(int), np.round(y).astype(int)
    offsets = np.arange(-half_width, half_width + 1)
    return np.hypot((offsets[np.newaxis, :] - (x - x0)[:, np.newaxis])[:, np.newaxis, :],
                    (offsets[np.newaxis, :] - (y - y0)[:, np.newaxis])[:, :, np.newaxis]), (x0, y0)


def _aperture(exposure, x, y, radius, half_width):
    """Flux over the local sky and its error; the edge of the aperture falls off over a pixel."""
    if not len(x):
        return np.empty(0), np.empty(0)
    distance, middle = _distances(x, y, half_width)
    boxes = cutouts(exposure.data, *middle, half_width)
    noise = cutouts(_variance_plane(exposure), *middle, half_width)
    weight = np.clip(radius + 0.5 - distance, 0, 1)
    with np.errstate(all='ignore'):
        sky = np.ma.median(np.ma.array(boxes, mask=(distance < radius + 1) | ~np.isfinite(boxes)), axis=(1, 2))
        above = boxes - np.ma.filled(sky, np.nan)[:, np.newaxis, np.newaxis]
        # pixels beyond the edge are NaN; they count only inside the aperture
        flux, variance = (np.where(weight > 0, v, 0).sum(axis=(1, 2)) for v in (weight * above, weight**2 * noise))
        return flux, np.sqrt(variance)


def _neighbour(exposure, x, y, fwhm, half_width):
    """Highest local maximum near a star, over the star's; what its own profile has there is no neighbour."""
    distance, middle = _distances(x, y, half_width)
    boxes = np.nan_to_num(cutouts(exposure.data, *middle, half_width))
    if not len(boxes):
        return np.empty(0)
    boxes -= np.median(boxes, axis=(1, 2))[:, np.newaxis, np.newaxis]
    inner = boxes[:, 1:-1, 1:-1]
    summit = np.ones(inner.shape, bool)
    n = boxes.shape[1]
    for i in range(3):
        for j in range(3):
            if (i, j) != (1, 1):
                summit &= inner >= boxes[:, i:n - 2 + i, j:n - 2 + j]
    near = (distance > max(fwhm, 1.5)) & (distance < max(2.5 * fwhm, 3))
    highest = np.where(summit & near[:, 1:-1, 1:-1], inner, 0).max(axis=(1, 2))
    own = np.where(distance <= max(fwhm, 1.5), boxes, 0).max(axis=(1, 2))
    with np.errstate(all='ignore'):
        return np.where(own > 0, highest / own, np.inf)


def vet(measures, template, science, *, footprint, border, avoid=(), avoid_radius=0.0, source='a list',
        faintest=FAINTEST):
    """Decide which stars are fit to teach the kernel.

    Parameters
    ----------
    measures : StarMeasures
    template, science : Exposure
    footprint : int
        Half width of the box around a star in which no pixel may be bad, in pixels.
    border : int
        Least distance from the edge of the images, in pixels.
    avoid : float array (m, 2), optional
        Positions (x, y) that no star may be near to. Default: none.
    avoid_radius : float, optional
        How near, in x and in y, in pixels. Default 0.
    source : str, optional
        Where the stars come from, for messages.
    faintest : float, optional
        Least signal over noise in both images. Default 20.

    Returns
    -------
    Seeds
        With fewer than 40 good ones, stars that were refused for a neighbour, or for their shape, are taken again.
    """
    n = len(measures)
    kinds, reasons = [''] * n, [''] * n

    def refuse(which, kind, words):
        for k in np.flatnonzero(which):
            if not kinds[k]:
                kinds[k], reasons[k] = kind, words(k)

    if len(avoid) and n:
        _refuse_avoided(refuse, measures, avoid, avoid_radius)
    _refuse_places(refuse, measures, template, science, footprint, border)
    _refuse_faint(refuse, measures, template, science, faintest)
    _refuse_double(refuse, measures, kinds)
    waivable = [kind == '' for kind in kinds]
    _refuse_shapes(refuse, measures, kinds)
    refuse(measures.neighbour > NEIGHBOUR, 'with a neighbour',
           lambda k: f'a neighbour has {measures.neighbour[k]:.0%} of its height')
    _refuse_changes(refuse, measures, kinds)
    notes = []
    if kinds.count('') < ENOUGH:
        again = [k for k in range(n) if waivable[k] and kinds[k] in ('with a neighbour', 'elongated', 'wide')]
        again.sort(key=lambda k: -measures.science.snr[k])
        for k in again[:ENOUGH - kinds.count('')]:
            notes.append(f'star at {_place(measures, k)} is taken although {reasons[k]}')
            kinds[k] = reasons[k] = ''
    return Seeds(measures, kinds, reasons, source, notes, faintest)


def _place(measures, k):
    return '({:.1f}, {:.1f})'.format(*measures.positions[k])


def _refuse_avoided(refuse, measures, avoid, radius):
    distance = np.array([np.abs(np.asarray(avoid) - position).max(axis=1).min() for position in measures.positions])
    refuse(distance <= radius, 'to be avoided', lambda k: f'a position to avoid is {distance[k]:.1f} pixels away')


def _refuse_places(refuse, measures, template, science, footprint, border):
    x, y = measures.positions.T
    ny, nx = science.data.shape
    outside = ~((x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5))
    refuse(outside, 'off the image', lambda k: f'it lies off the image of {nx} x {ny} pixels')
    edge = np.minimum(np.minimum(np.round(x), nx - 1 - np.round(x)), np.minimum(np.round(y), ny - 1 - np.round(y)))
    refuse(~(edge >= border), 'at the edge', lambda k: f'it is {edge[k]:.0f} pixels from the edge, less than {border}')
    inside = np.flatnonzero(~outside & (edge >= border))
    for exposure in (template, science):
        saturated, masked = np.zeros((2, len(measures)), int)
        for k in inside:
            row, column = round(y[k]), round(x[k])
            cut = np.s_[row - footprint:row + footprint + 1, column - footprint:column + footprint + 1]
            flags, bright = exposure.flags(cut), exposure.data[cut] >= exposure.kernel_high
            saturated[k] = np.count_nonzero(bright | ((flags & Bits.SAT) != 0))
            masked[k] = np.count_nonzero(flags & Bits.INPUT_ISBAD)
        for kind, count in (('saturated', saturated), ('masked', masked)):
            refuse(count > 0, kind, lambda k, count=count, kind=kind, name=exposure.name:
                   f'{count[k]} pixels around it are {kind} in the {name} image')


def _refuse_faint(refuse, measures, template, science, faintest):
    for shapes, exposure in ((measures.template, template), (measures.science, science)):
        refuse(~np.isfinite(shapes.x), 'without a profile', lambda k, e=exposure: f'there is no star in the {e.name} '
               'image')
        refuse(~(shapes.snr >= faintest), 'faint', lambda k, s=shapes, e=exposure:
               f'its S/N is {s.snr[k]:.0f} in the {e.name} image, less than {faintest:.0f}')


def _refuse_double(refuse, measures, kinds):
    """Two entries of one star: the later one goes."""
    from scipy.spatial import KDTree
    alive = np.array([k for k, kind in enumerate(kinds) if not kind], int)
    if len(alive) < 2:
        return
    centres = np.column_stack([measures.science.x, measures.science.y])[alive]
    double = np.zeros(len(measures), bool)
    for a, b in KDTree(centres).query_pairs(1.0):
        double[alive[max(a, b)]] = True
    refuse(double, 'listed twice', lambda k: 'another entry has the same star')


def _refuse_shapes(refuse, measures, kinds):
    for shapes, name in ((measures.template, 'template'), (measures.science, 'science')):
        alive = np.array([not kind for kind in kinds], bool)
        if not alive.any():
            return
        sharpness = shapes.peak / shapes.flux
        with np.errstate(invalid='ignore'):
            size, round_, flat = (v / np.median(v[alive]) for v in (shapes.sigma, shapes.elongation, sharpness))
        refuse(size < SIZES[0], 'too sharp', lambda k, s=size, n=name: f'it has {s[k]:.2f} of the width of other stars '
               f'in the {n} image, as cosmic rays have')
        refuse((flat < FLAT) & (size < 2), 'saturated', lambda k, f=flat, n=name: 'its top is flat: '
               f'{f[k]:.2f} of the height of other stars of its flux in the {n} image')
        refuse(size > SIZES[1], 'wide', lambda k, s=size, n=name: f'it has {s[k]:.2f} times the width of other stars '
               f'in the {n} image')
        refuse(round_ > ROUND, 'elongated', lambda k, r=round_, n=name: f'it is {r[k]:.2f} times as elongated as '
               f'other stars in the {n} image')


def _refuse_changes(refuse, measures, kinds):
    """Stars that moved or changed their flux, relative to the others."""
    alive = np.array([not kind for kind in kinds], bool)
    if alive.sum() < 3:
        return
    shift = np.column_stack([measures.science.x - measures.template.x, measures.science.y - measures.template.y])
    distance = np.hypot(*(shift - np.median(shift[alive], axis=0)).T)
    refuse(distance > MOVED, 'moved', lambda k: f'it is {distance[k]:.1f} pixels off between the images')
    alive &= (distance <= MOVED) & np.isfinite(measures.ratio)
    if alive.sum() < 3:
        return
    middle = np.median(measures.ratio[alive])
    spread = 1.4826 * np.median(np.abs(measures.ratio[alive] - middle))
    error = np.sqrt(measures.ratio_error**2 + max(spread, SCATTER * abs(middle))**2)
    far = np.abs(measures.ratio - middle) > CONSTANT * error
    refuse(far, 'variable', lambda k: f'its flux ratio is {measures.ratio[k]:.3g}, that of others '
           f'{middle:.3g} +- {spread:.2g}')


