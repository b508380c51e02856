"""A PSF from stars: an elliptical Moffat profile that varies over the field, and what the stars have beside it.

The profile gives the wings, where a single star has more noise than light; the mean of the residuals gives the core
what no formula has. All stars are fitted together, each with its flux, position and sky.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..exceptions import InputError
from ..kernel.spatial import Monomials, RegionFrame

__all__ = ['MoffatField', 'fit_stars']

ITERATIONS = {0: 8, 1: 3, 2: 3}
FIT_RADIUS, CORE_RADIUS, WIDTH = 3.5, 2.0, 5.0      # in FWHM: of the fit, of the residuals taken, half of the box
CLIP = 5.0                      # sigma
MISFIT = 0.03                   # of its local light that a star may differ from the model without being clipped
MORE_THAN_CHANCE = 4            # chi2 that each further parameter must save
FEWEST = {0: 3, 1: 15, 2: 60}   # stars for a variation of each order
FAR_OFF, SPOILED = 3.0, 2.0     # times the median chi2 per pixel of a star that is left out, or tells no variation
UNTRUSTED = 30                  # of so many stars the one that gains most is not believed
NOISY = 2.0                     # sigmas of a median residual that are noise
ROUNDS = 3                      # of fits, each without the stars of other widths
OF_STARS = 'data', 'variance', 'noise', 'sky', 'flux', 'dx', 'dy', 'positions'


@dataclass(frozen=True, eq=False)
class MoffatField:
    r"""A Moffat profile, :math:`(1 + q)^{-\beta}`, whose width and ellipticity are polynomials of position.

    Parameters
    ----------
    shape_coefficients : float64 array (3, n_terms)
        Of the logarithm of the FWHM in pixels, and of the two components of the ellipticity.
    inverse_beta : float
        One over the power; small values are nearly a Gaussian.
    order : int
        Of the polynomials.
    frame : RegionFrame
    residual : float64 array (n, n)
        What to add to the profile of a source in the central pixel, per flux.
    half_width : int
        Of the box in which the sum is 1.
    n_stars : int
        That it was measured on.
    missed : float
        Part of their light that it has in the wrong place, beyond noise: some per cent and more of rings and lines.
    """

    shape_coefficients: np.ndarray
    inverse_beta: float
    order: int
    frame: RegionFrame
    residual: np.ndarray
    half_width: int
    n_stars: int = 0
    missed: float = 0.0

    @property
    def fwhm(self):
        """Full width at half maximum in the middle of the field, in pixels."""
        ny, nx = self.frame.shape
        return float(np.exp(self.shape(nx / 2, ny / 2)[0]))

    def shape(self, x, y):
        """Logarithm of the FWHM and ellipticity at positions: (3, ...)."""
        terms = Monomials(self.order).values(*self.frame.normalise(x, y))
        return np.tensordot(self.shape_coefficients, terms, (1, -1))

    def draw(self, x, y, dx, dy, half):
        """Pixels around a source at (x, y), off the centre of the central one by (dx, dy)."""
        from scipy.ndimage import shift
        yy, xx = np.mgrid[-half:half + 1, -half:half + 1]
        image = _profile(xx - dx, yy - dy, *self.shape(x, y), self.inverse_beta)
        extra = np.pad(self.residual, max(0, half - len(self.residual) // 2) + 2)
        if dx or dy:
            extra = shift(extra, (dy, dx), order=3)
        middle = len(extra) // 2
        return image + extra[middle - half:middle + half + 1, middle - half:middle + half + 1]


def _profile(dx, dy, log_fwhm, e1, e2, t):
    """Moffat profile of unit sum at offsets in pixels; the sum over all pixels, from the integral."""
    beta = 1 / t
    stretch = 4 * (2**t - 1) * np.exp(-2 * log_fwhm)
    q = stretch * ((1 + e1) * dx**2 + 2 * e2 * dx * dy + (1 - e1) * dy**2)
    norm = (beta - 1) * stretch * np.sqrt(1 - e1**2 - e2**2) / math.pi
    return norm * np.exp(-beta * np.log1p(q))


def fit_stars(data, variance, positions, shape, largest):
    """Fit all stars together.

    Parameters
    ----------
    data, variance : float64 arrays (n, width, width)
        Cutouts around the stars; NaN where bad.
    positions : float64 array (n, 2)
        Of their central pixels.
    shape : (int, int)
        Of the image.
    largest : int
        Half width that the box of the PSF may have.

    Returns
    -------
    MoffatField

    Raises
    ------
    InputError
        Fewer than three stars can be used, or no profile fits them.
    """
    half = data.shape[-1] // 2
    offsets = np.mgrid[-half:half + 1, -half:half + 1].reshape(2, -1)[::-1]
    data, variance = (plane.reshape(len(plane), -1) for plane in (data, variance))
    near = np.hypot(*offsets) < 4
    usable = np.isfinite(data[:, near]).mean(axis=1) > 0.9
    state = _start(data[usable], variance[usable], positions[usable], offsets)
    needed = np.hypot(*offsets) < FIT_RADIUS * np.exp(state['log_fwhm']) + 3
    offsets = offsets[:, needed]
    state['data'], state['variance'] = state['data'][:, needed], state['variance'][:, needed]
    if len(state['flux']) < FEWEST[0]:
        raise InputError(f'a PSF needs {FEWEST[0]} good stars, and there are {len(state["flux"])}: give psf, a picture '
                         'of it')
    frame = RegionFrame((0, 0), shape)
    state |= {'terms': np.ones((len(state['flux']), 1)), 'coefficients': np.array([[state['log_fwhm']], [0.], [0.]]),
              't': 0.25, 'frame': frame, 'order': 0}
    for _ in range(ROUNDS):
        fitted = _fit_orders(state, offsets)
        kept = ~(_other_widths(fitted, offsets) | _fits_badly(*_chi2(fitted, offsets), FAR_OFF))
        if kept.all() or kept.sum() < max(FEWEST[0], len(kept) / 2):
            break
        state = _some(state, kept)
    fwhm = float(np.exp(np.median(fitted['coefficients'][0] @ fitted['terms'].T)))
    residual = _mean_residual(fitted, offsets, needed.reshape(2 * half + 1, -1), CORE_RADIUS * fwhm)
    return MoffatField(fitted['coefficients'], fitted['t'], fitted['order'], frame, residual,
                       min(largest, max(8, math.ceil(WIDTH * fwhm))), len(fitted['flux']),
                       _missed(fitted, offsets, CORE_RADIUS * fwhm))


def _missed(state, offsets, radius):
    """Part of the light of a star that the profile has in the wrong place, in most stars and beyond noise."""
    core, flux = np.hypot(*offsets) < radius, state['flux'][:, None]
    left = np.nan_to_num((state['data'] - state['sky'][:, None]) / flux - _model(state, offsets))[:, core]
    with np.errstate(divide='ignore', invalid='ignore'):
        weight = np.sum(np.nan_to_num(flux**2 / state['variance'], posinf=0)[:, core], axis=0)
    noise = np.sqrt(np.pi / 2 / np.maximum(weight, 1e-300))                # of a median
    return float(np.maximum(np.abs(np.median(left, axis=0)) - NOISY * noise, 0).sum())


def _fit_orders(state, offsets):
    """Fit with the highest order of the variation that the stars ask for."""
    for order in (0, 1, 2):
        if len(state['flux']) < FEWEST[order]:
            break
        trial = _with_order(state, order)
        for _ in range(ITERATIONS[order]):
            _step(trial, offsets)
        (before, _), (after, n) = (_chi2(s, offsets) for s in (state, trial))
        # stars with others in their light must not ask for what the rest does not need
        gains = np.sort((before - after)[~_fits_badly(after, n, SPOILED)])
        gained = gains[:len(gains) - len(gains) // UNTRUSTED].sum()
        stands = np.isfinite(trial['coefficients']).all()
        if not order and not stands:
            raise InputError(f'no PSF fits the {len(state["flux"])} stars: give psf, a picture of it')
        # a higher order must explain more than chance does
        if order and not (stands and gained >= MORE_THAN_CHANCE * 3 * (order + 1) * after.sum() / n.sum()):
            break
        state = trial
    return state


def _other_widths(state, offsets):
    """Which stars are wider or narrower than the others make them: mostly double ones, which the fit half excuses."""
    model = _model(state, offsets)
    _, residual = _weights(state, model, offsets)
    slope = state['flux'][:, None] * (_model(state, offsets, log_fwhm=1e-5) - model) / 1e-5
    sizes = np.sum(slope**2, axis=1)
    widths, errors = np.sum(residual * slope, axis=1) / sizes, np.sqrt(state['noise'] / sizes)
    widths = np.abs(widths - np.median(widths))
    return widths > CLIP * np.hypot(1.4826 * np.median(widths), errors)


def _fits_badly(chi2, n, times):
    """Which stars fit so many times worse than most."""
    reduced = chi2 / np.maximum(n, 1)
    return reduced > times * np.median(reduced)


def _some(state, kept):
    """The state of some of the stars."""
    return state | {name: state[name][kept] for name in (*OF_STARS, 'terms')}


def _start(data, variance, positions, offsets):
    """First guesses: sky, flux, centre and width of each star."""
    far = np.hypot(*offsets) > 0.6 * offsets.max()
    sky = np.nanmedian(np.where(far, data, np.nan), axis=1)
    noise = np.nanmedian(np.where(far, variance, np.nan), axis=1)
    near = np.hypot(*offsets) < 6
    light = np.where(near, np.nan_to_num(data - sky[:, None]), 0)
    peak = light.max(axis=1)
    core = np.where(light > 0.3 * peak[:, None], light, 0)
    flux = light.sum(axis=1)
    dx, dy = (core @ offset / core.sum(axis=1) for offset in offsets)
    # the area above half of the peak is that of a circle of one FWHM
    area = np.median(np.count_nonzero(light > 0.5 * peak[:, None], axis=1))
    good = np.isfinite(sky) & (flux > 0) & (np.hypot(dx, dy) < 3)
    return {'data': data[good], 'variance': variance[good], 'noise': noise[good], 'sky': sky[good],
            'flux': flux[good], 'dx': dx[good], 'dy': dy[good], 'positions': positions[good],
            'log_fwhm': 0.5 * math.log(4 * max(area, 3) / math.pi)}


def _with_order(state, order):
    """The same shapes as polynomials of another order."""
    terms = Monomials(order).values(*state['frame'].normalise(*state['positions'].T))
    old = state['coefficients'] @ state['terms'].T
    return state | {'coefficients': np.linalg.lstsq(terms, old.T, rcond=None)[0].T, 'terms': terms, 'order': order}


def _chi2(state, offsets):
    """Of each star the sum of the squares of the residuals over their noise, and the number of pixels."""
    return _sums(*_weights(state, _model(state, offsets), offsets))


def _sums(w, residual):
    return np.sum(w * residual**2, axis=1), np.count_nonzero(w, axis=1)


def _model(state, offsets, **changes):
    """Profiles of unit flux of all stars, some parameters of which may be changed by a number."""
    s = state | {name: state[name] + change for name, change in changes.items() if name in ('dx', 'dy', 't')}
    shape = s['coefficients'] @ s['terms'].T
    for k, name in enumerate(('log_fwhm', 'e1', 'e2')):
        shape[k] += changes.get(name, 0.0)
    dx, dy = (offset - s[name][:, None] for offset, name in zip(offsets, ('dx', 'dy'), strict=True))
    return _profile(dx, dy, *shape[..., None], s['t'])


def _weights(state, model, offsets):
    """Weights from the noise that the model predicts, not from noisy data; zero for what is no part of the star."""
    fwhm = np.exp(state['coefficients'][0] @ state['terms'].T)
    light = state['flux'][:, None] * model
    radius = np.hypot(*(o - state[d][:, None] for o, d in zip(offsets, ('dx', 'dy'), strict=True))) / fwhm[:, None]
    core = (radius < 1) & np.isfinite(state['variance'])
    excess = np.sum(np.where(core, state['variance'] - state['noise'][:, None], 0), axis=1)
    slope = np.maximum(excess, 0) / np.sum(np.where(core, light, 0), axis=1)       # one over the gain
    noise = state['noise'][:, None] + slope[:, None] * np.maximum(light, 0)
    residual = state['data'] - state['sky'][:, None] - light
    taken = (radius < FIT_RADIUS) & np.isfinite(residual)
    allowed = CLIP * np.sqrt(noise) + MISFIT * np.abs(light) + 0.1 * light.max(axis=1)[:, None] * core
    # no star may count for more than a misfit of a few per mille lets it
    noise = noise + (0.002 * light)**2
    return np.where(taken & (np.abs(residual) < allowed), 1 / noise, 0), np.where(taken, residual, 0)


def _step(state, offsets, damping=1e-6):
    """One Gauss-Newton step; the parameters of single stars are eliminated from the equations (Schur)."""
    model = _model(state, offsets)
    w, residual = _weights(state, model, offsets)
    flux, h = state['flux'][:, None], 1e-5
    slope = {name: flux * (_model(state, offsets, **{name: h}) - model) / h
             for name in ('log_fwhm', 'e1', 'e2', 't', 'dx', 'dy')}
    own = np.stack([model, slope['dx'], slope['dy'], np.ones_like(model)], axis=1)
    shared = np.concatenate([slope['t'][:, None]] + [slope[name][:, None] * state['terms'][:, :, None]
                                                     for name in ('log_fwhm', 'e1', 'e2')], axis=1)
    scale = np.sqrt(np.einsum('nip,np->ni', own**2, w))[:, :, None] + 1e-300
    own = own / scale
    a = np.einsum('nip,njp,np->nij', own, own, w) + damping * np.eye(4)
    b = np.einsum('nip,njp,np->nij', own, shared, w)
    c = np.einsum('nip,njp,np->ij', shared, shared, w)
    r_own, r_shared = np.einsum('nip,np->ni', own, w * residual), np.einsum('nip,np->i', shared, w * residual)
    solved = np.linalg.solve(a, np.concatenate([b, r_own[:, :, None]], axis=2))
    system = c - np.einsum('nki,nkj->ij', b, solved[:, :, :-1]) + np.diag(damping * np.diag(c) + 1e-300)
    step = np.linalg.solve(system, r_shared - np.einsum('nki,nk->i', b, solved[:, :, -1]))
    local = (solved[:, :, -1] - solved[:, :, :-1] @ step) / scale[:, :, 0]
    _move(state, step, local)


def _move(state, step, local):
    """Take a step, but not out of what can be."""
    n_terms = state['terms'].shape[1]
    state['t'] = float(np.clip(state['t'] + np.clip(step[0], -0.1, 0.1), 0.002, 0.8))
    changes = step[1:].reshape(3, n_terms)
    largest = np.abs(changes @ state['terms'].T).max()
    state['coefficients'] = state['coefficients'] + changes * min(1, 0.2 / max(largest, 1e-12))
    state['flux'] = np.maximum(state['flux'] + local[:, 0], 0.1 * state['flux'])
    for k, name in enumerate(('dx', 'dy')):
        state[name] = np.clip(state[name] + np.clip(local[:, k + 1], -0.5, 0.5), -4, 4)
    state['sky'] = state['sky'] + local[:, 3]


def _mean_residual(state, offsets, needed, radius):
    """Mean over the stars of what the profile leaves of them, each shifted to the centre of a pixel, per flux."""
    from scipy.ndimage import shift
    model = _model(state, offsets)
    w, residual = _weights(state, model, offsets)
    total, weight = np.zeros((2, *needed.shape))
    for k in np.flatnonzero(~_fits_badly(*_sums(w, residual), FAR_OFF)):
        left, kept, flux, back = np.zeros(needed.shape), np.zeros(needed.shape), state['flux'][k], (
            -state['dy'][k], -state['dx'][k])
        left[needed], kept[needed] = np.where(w[k] > 0, residual[k] / flux, 0), w[k] > 0
        # brighter stars count for more, until what is wrong with each outweighs its noise
        counts = 1 / (state['noise'][k] / flux**2 + (0.01 * model[k].max())**2)
        counts = counts * (shift(kept, back, order=1) > 0.99)
        total += counts * shift(left, back, order=3)
        weight += counts
    mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    half = len(needed) // 2
    r = np.hypot(*np.mgrid[-half:half + 1, -half:half + 1])
    return mean * np.clip(2 * (1 - r / radius), 0, 1)
