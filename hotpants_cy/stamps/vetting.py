"""Which stars of a list may teach the kernel, by what both images say about them; each refusal with its reason."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ..inputs.bits import Bits
from ..words import counted
from .measures import StarMeasures, measure_stars

__all__ = ['Seeds', 'vet']

FAINTEST = 20.0              # signal over noise, in both images
ROUND = 1.5                  # elongation over that of the PSF
SIZES = 0.65, 1.5            # size over that of the PSF: cosmic rays and hot pixels lie below, galaxies above
WIDER = 1.25                 # size over that of the PSF of what may teach a kernel, but not the PSF
ALIKE, FEWEST_ALIKE = 0.12, 3      # difference of the logarithms of the sizes of stars; of so many it can be told
NEIGHBOUR = 0.2              # height of a neighbour over that of the star
MOVED = 1.0                  # pixels between the two images, beyond what the others have
CONSTANT = 5.0               # flux ratio, in scatters of the flux ratios
SCATTER = 0.01               # of flux ratios at least: what apertures are good for
FLAT = 0.6                   # peak over flux, relative to other stars: below it a star is cut off
CORE = 4                     # pixels around the centre of a star that must be good
SPOILED = 0.03               # of the pixels of its box that a weighted fit may do without
ENOUGH = 40                  # good stars; with fewer, blends and galaxies are taken as well: both images have the same


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
    shapeless : list of int
        Those that are wider, or more elongated, than stars are: they may teach a kernel, but show no PSF.
    faintest : float
        Least signal over noise.
    """

    measures: StarMeasures
    kinds: list
    reasons: list
    source: str = 'a list'
    notes: list = field(default_factory=list)
    shapeless: list = field(default_factory=list)
    faintest: float = FAINTEST

    @classmethod
    def measured(cls, positions, template, science, source):
        """Measure stars in two exposures; they are not vetted yet."""
        return cls(measure_stars(positions, template, science), [], [], source)

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


def vet(measures, template, science, *, footprint, border, avoid=(), avoid_radius=0.0, source='a list',
        faintest=FAINTEST, spoiled=0.0):
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
    spoiled : float, optional
        Part of the pixels of the box that may be masked, but for the core of the star. Default 0.

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
    _refuse_places(refuse, measures, template, science, footprint, border, spoiled)
    _refuse_faint(refuse, measures, template, science, faintest)
    _refuse_double(refuse, measures, kinds)
    waivable = [kind == '' for kind in kinds]
    size = size_of_stars(measures.science.sigma[waivable]) if any(waivable) else 0.0
    _refuse_shapes(refuse, measures, kinds)
    refuse(measures.neighbour > NEIGHBOUR, 'with a neighbour',
           lambda k: f'a neighbour has {measures.neighbour[k]:.0%} of its height')
    _refuse_changes(refuse, measures, kinds)
    notes, shapeless = [], []
    if kinds.count('') < ENOUGH:
        again = [k for k in range(n) if waivable[k] and kinds[k] in ('with a neighbour', 'elongated', 'wide')]
        again.sort(key=lambda k: -measures.science.snr[k])
        for k in again[:ENOUGH - kinds.count('')]:
            notes.append(f'star at {_place(measures, k)} is taken although {reasons[k]}')
            if kinds[k] == 'elongated':
                shapeless.append(k)
            kinds[k] = reasons[k] = ''
    shapeless += [k for k in range(n) if not kinds[k] and measures.science.sigma[k] > WIDER * size]
    return Seeds(measures, kinds, reasons, source, notes, shapeless, faintest)


def _place(measures, k):
    return '({:.1f}, {:.1f})'.format(*measures.positions[k])


def _refuse_avoided(refuse, measures, avoid, radius):
    distance = np.array([np.abs(np.asarray(avoid) - position).max(axis=1).min() for position in measures.positions])
    refuse(distance <= radius, 'to be avoided', lambda k: f'a position to avoid is {distance[k]:.1f} pixels away')


def _refuse_places(refuse, measures, template, science, footprint, border, spoiled):
    x, y = measures.positions.T
    ny, nx = science.data.shape
    outside = ~((x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5))
    refuse(outside, 'off the image', lambda k: f'it lies off the image of {nx} x {ny} pixels')
    edge = np.minimum(np.minimum(np.round(x), nx - 1 - np.round(x)), np.minimum(np.round(y), ny - 1 - np.round(y)))
    refuse(~(edge >= border), 'at the edge', lambda k:
           f'it is {counted(round(edge[k]), "pixel")} from the edge, less than {border}')
    inside = np.flatnonzero(~outside & (edge >= border))
    box, core = 2 * footprint + 1, np.s_[max(footprint - CORE, 0):footprint + CORE + 1,
                                         max(footprint - CORE, 0):footprint + CORE + 1]
    for exposure in (template, science):
        saturated, masked = np.zeros((2, len(measures)), int)
        for k in inside:
            row, column = round(y[k]), round(x[k])
            cut = np.s_[row - footprint:row + footprint + 1, column - footprint:column + footprint + 1]
            flags, bright = exposure.flags(cut), exposure.data[cut] >= exposure.kernel_high
            saturated[k] = np.count_nonzero(bright | ((flags & Bits.SAT) != 0))
            bad = (flags & Bits.INPUT_ISBAD) != 0
            masked[k] = np.count_nonzero(bad) if bad[core].any() or bad.sum() > spoiled * box**2 else 0
        for kind, count in (('saturated', saturated), ('masked', masked)):
            refuse(count > 0, kind, lambda k, count=count, kind=kind, name=exposure.name:
                   f'{counted(count[k], "pixel")} around it {"is" if count[k] == 1 else "are"} {kind} in the {name} '
                   'image')


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
        with np.errstate(invalid='ignore'):
            size = shapes.sigma / size_of_stars(shapes.sigma[alive])
            stars = alive & (size > SIZES[0]) & (size < SIZES[1])
            round_, flat = (v / np.median(v[stars]) for v in (shapes.elongation, shapes.peak / shapes.flux))
        refuse(size < SIZES[0], 'too sharp', lambda k, s=size, n=name: f'it has {s[k]:.2f} of the width of other stars '
               f'in the {n} image, as cosmic rays have')
        refuse((flat < FLAT) & (size < 2), 'saturated', lambda k, f=flat, n=name: 'its top is flat: '
               f'{f[k]:.2f} of the height of other stars of its flux in the {n} image')
        refuse(size > SIZES[1], 'wide', lambda k, s=size, n=name: f'it has {s[k]:.2f} times the width of other stars '
               f'in the {n} image')
        refuse(round_ > ROUND, 'elongated', lambda k, r=round_, n=name: f'it is {r[k]:.2f} times as elongated as '
               f'other stars in the {n} image')


def size_of_stars(sizes):
    """Typical size of the smallest ones that are alike: galaxies, of which there may be more, are larger and differ."""
    sizes = np.sort(sizes)
    n_alike = np.searchsorted(sizes, sizes * np.exp(ALIKE), side='right') - np.arange(len(sizes))
    if n_alike.max() < FEWEST_ALIKE:
        return np.median(sizes)
    first = np.argmax(3 * n_alike >= 2 * n_alike.max())
    return np.median(sizes[first:first + n_alike[first]])


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
