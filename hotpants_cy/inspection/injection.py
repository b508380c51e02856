"""Put sources of known flux into an image, and tell what a subtraction makes of them: `inject` and `recovery`."""

import copy
import math
import os
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from astropy.nddata import VarianceUncertainty
from astropy.table import QTable
from scipy.spatial import cKDTree

from ..exceptions import InputError
from ..inputs.bits import Bits
from ..inputs.frame import Frame, as_frame
from ..inputs.image import to_image
from ..stamps.positions import pixel_positions
from .drawing import drawer, light_of, sources_of

__all__ = ['Recovery', 'inject', 'recovery']

LEAST_SEEN = 0.5                # of the filter's weight on good pixels for a flux to be measured
NOWHERE = -1e9, -1e9            # keeps trees from being empty


def inject(image, sources, psf=None, *, gain=None, seed=None, saturation=None, half_width=None):
    """Add point sources of known flux to a copy of an image.

    Parameters
    ----------
    image : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, 2-D array of floats, str or path
        Of a file the first image is read, as by `hotpants_cy.subtract`.
    sources : table or dict
        Positions as in ``stars`` of `hotpants_cy.subtract`: ``x, y`` or the other names of photutils in 0-based pixels,
        a column of `~astropy.coordinates.SkyCoord`, or ``ra, dec``; and the flux in ``flux``, ``flux_fit``, ``flux_0``
        or ``flux_init``, in the unit of the image. Light that falls off the image is lost.
    psf : 2-D array, model or callable, optional
        A picture of odd sides with the source in its centre; a model of photutils or astropy; a function ``psf(x, y)``
        that gives such a picture, or such a model of unit flux, at a position; or the PSF of a result, ``result.psf``.
        Pictures, and models without a ``flux``, are normalised to a sum of 1. Models are evaluated at the
        centres of pixels. Default: the ``psf`` of the image.
    gain : float, optional
        Electrons per unit of the image. If it is given, the photon noise of the sources is drawn, and the uncertainty
        grows by it. Default: no noise is added, and the uncertainty is that of the image.
    seed : int or `~numpy.random.Generator`, optional
        Of the photon noise. Default: other noise each time.
    saturation : float, optional
        Level in units of the image at which pixels are clipped; those that a source brings there are masked.
        Default: none.
    half_width : int, optional
        Of the box that a model is evaluated in, in pixels. Default: 8 FWHM, or 25 if the model does not tell its FWHM.

    Returns
    -------
    Same type as ``image``
        Pixels that are NaN or masked remain so. For a path: a `~astropy.nddata.CCDData`.

    Raises
    ------
    InputError
        Image, sources or PSF cannot be used.

    Examples
    --------
    >>> from hotpants_cy import inject
    >>> from hotpants_cy.datasets import make_pair
    >>> pair = make_pair((256, 256), seed=1, n_transients=0)
    >>> more = inject(pair.science, {'x': [100.3], 'y': [80.0], 'flux': [5000.0]}, pair.science_psf, gain=1.0, seed=1)
    >>> added = more.data - pair.science.data
    >>> bool(abs(added.sum() / 5000 - 1) < 0.05), more.unit
    (True, Unit("adu"))
    """
    if isinstance(image, (str, os.PathLike)):
        frame = as_frame(image, name='science')
        sigma = None if frame.variance is None else np.sqrt(frame.variance)
        twin = to_image(frame, frame.data.copy(), sigma, frame.flags, owned=True)
        twin.data[twin.mask] = np.nan
    elif isinstance(image, Frame):
        twin = replace(image, data=image.data.copy(), flags=None if image.flags is None else image.flags.copy())
    else:
        twin = np.array(image) if isinstance(image, (list, tuple)) else copy.deepcopy(image)
    values = _values(twin)
    xy, flux = sources_of(sources, twin)
    if gain is not None:
        _check_gain(gain, flux)
    draw = drawer(getattr(twin, 'psf', None) if psf is None else psf, values.shape, half_width)
    light = light_of(xy, flux, draw, values.shape)
    if gain is None:
        values += light.astype(values.dtype)
    else:
        noisy = np.random.default_rng(seed).poisson(np.maximum(light, 0) * gain) / gain
        values += noisy.astype(values.dtype)
        twin = _with_more_variance(twin, np.maximum(light, 0) / gain)
    return twin if saturation is None else _clipped(twin, values, light > 0, saturation)


def _values(image):
    """The pixels of an image, to be changed in place."""
    array = image.data if hasattr(image, 'uncertainty') or isinstance(image, Frame) else image.view(np.ndarray)
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != 'f':
        kind = getattr(array, 'dtype', type(array).__name__)
        raise InputError(f'the image has shape {np.shape(array)} and type {kind}, but sources can be added to 2-D '
                         'images of floats only; convert it with astype(float)')
    return array


def _check_gain(gain, flux):
    if not 0 < gain < math.inf:
        raise InputError(f'gain={gain} is impossible: it must be above zero')
    if (flux < 0).any():
        raise InputError(f'{np.sum(flux < 0)} of {len(flux)} sources have a negative flux, whose photon noise cannot '
                         'be drawn; put them into the template with the sign changed, or leave gain out')


def _with_more_variance(twin, added):
    if isinstance(twin, Frame):
        return twin if twin.variance is None else replace(twin, variance=twin.variance + added.astype(np.float32))
    uncertainty = getattr(twin, 'uncertainty', None)
    if hasattr(uncertainty, 'represent_as'):
        variance = uncertainty.represent_as(VarianceUncertainty).array + added
        array = VarianceUncertainty(variance).represent_as(type(uncertainty)).array
        uncertainty.array = array.astype(uncertainty.array.dtype)
    return twin


def _clipped(twin, values, touched, level):
    """Clip at saturation; mask what was brought there."""
    full = touched & (values >= level)
    np.minimum(values, level, out=values)
    if isinstance(twin, Frame):
        flags = np.zeros(values.shape, np.int32) if twin.flags is None else twin.flags
        flags[full] |= Bits.INPUT_MASK | Bits.INPUT_ISBAD
        return replace(twin, flags=flags)
    if hasattr(twin, 'uncertainty') or np.ma.isMaskedArray(twin):
        mask = np.zeros(values.shape, bool) if twin.mask is None else np.asarray(twin.mask, bool)
        twin.mask = mask | full
    return twin


def recovery(result, sources, *, into='science', threshold=5.0, radius=None, known=None):
    """Measure sources that were put in before the subtraction, and search for them.

    Parameters
    ----------
    result : SubtractionResult
        Of the image that `inject` made.
    sources : table or dict
        What was put in, as for `inject`.
    into : {'science', 'template'}, optional
        Which image they were put into; fluxes are on its scale. Sources of the template have a negative flux in the
        difference, but not in the table. Default 'science'.
    threshold : float, optional
        Least significance of a detection. Default 5.
    radius : float, optional
        How far a candidate may be from the source that it is, in pixels. Default: the FWHM of the difference's PSF.
    known : like ``stars`` of `hotpants_cy.subtract`, optional
        Positions of real sources, which are no false detections.

    Returns
    -------
    Recovery

    Raises
    ------
    InputError
        Sources or parameters cannot be used.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> pair = make_pair((320, 320), seed=1, n_transients=0)
    >>> sources = {'x': [60.3, 150.0, 250.8], 'y': [70.0, 180.6, 100.2], 'flux': [2000.0, 4000.0, 8000.0]}
    >>> science = hp.inject(pair.science, sources, pair.science_psf, gain=1.0, seed=2)
    >>> result = hp.subtract(science, pair.template, config=hp.HotpantsConfig(ko=0, nstampx=5, nstampy=5))
    >>> found = hp.recovery(result, sources)
    >>> found.completeness, bool(abs(found.flux_bias) < 5 * found.flux_bias_err)
    (1.0, True)
    >>> found.table.colnames
    ['x', 'y', 'true_flux', 'flux', 'flux_err', 'pull', 'snr', 'detected']
    """
    if into not in ('science', 'template'):
        raise InputError(f"into={into!r} is unknown: it must be 'science' or 'template'")
    if radius is not None and not radius > 0:
        raise InputError(f'radius={radius} is impossible: it must be above zero')
    frame, (ny, nx) = result._hot.science, result.difference.shape
    xy, true = sources_of(sources, result.difference)
    radius = result.psf.fwhm(nx // 2, ny // 2) if radius is None else float(radius)
    scales = np.array([_scale(result, x, y, into) for x, y in xy])
    measured = np.array([result._scores.measure(x, y) for x, y in xy]).reshape(-1, 3)
    flux, error, fraction = measured.T
    flux, error = np.where(fraction > LEAST_SEEN, (flux / scales, error / np.abs(scales)), np.nan)

    candidates = result.find_candidates(threshold)
    found = np.column_stack([candidates['x'], candidates['y']])
    tree = cKDTree(np.vstack([found, [NOWHERE]]))
    signs = np.append(np.asarray(candidates['sign']), 0)
    near = tree.query_ball_point(xy, radius) if len(xy) else []
    detected = [np.any(signs[some] == np.sign(f * scale)) for some, f, scale in zip(near, true, scales, strict=True)]
    real = xy if known is None else np.vstack([xy, pixel_positions(known, frame, 'known')])
    false = cKDTree(np.vstack([real, [NOWHERE]])).query(found)[0] > radius if len(found) else np.zeros(0, bool)

    unit = result.difference.unit
    table = QTable({'x': xy[:, 0], 'y': xy[:, 1], 'true_flux': true * unit, 'flux': flux * unit,
                    'flux_err': error * unit, 'pull': (flux - true) / error, 'snr': np.abs(true) / error,
                    'detected': np.array(detected, bool)})
    return Recovery(table, candidates[false], threshold, np.count_nonzero(~result.score.mask) / 1e6)


def _scale(result, x, y, into):
    """Flux in the difference of a source of unit flux in one of the images; NaN where there is no difference."""
    k = result.noise.region_at(x, y)
    if k is None:
        return math.nan
    run, field = result._hot.live_regions[k], result.noise.fields[k]
    convolved = {'t': 'template', 'i': 'science'}[run.direction]
    size = abs(field.scale) * (field.kernel.sum(x, y) if into == convolved else 1)
    return size if into == 'science' else -size


@dataclass(frozen=True, eq=False, repr=False)
class Recovery:
    """Sources put in, and what was found of them.

    Attributes
    ----------
    table : `~astropy.table.QTable`
        A row for each source: ``x``, ``y``; ``true_flux``; ``flux`` and ``flux_err``, measured at that position, on the
        scale of the image that it was put into; ``pull``, their difference over the error; ``snr``, the true flux over
        the error; ``detected``. NaN where the difference cannot be measured.
    false : `~astropy.table.QTable`
        Candidates at none of the sources, as from ``result.find_candidates()``.
    threshold : float
    megapixels : float
        Of the difference that were searched, in millions.
    """

    table: QTable
    false: QTable
    threshold: float
    megapixels: float

    @property
    def _measured(self):
        return self.table[np.isfinite(self.table['pull'])]

    @property
    def completeness(self):
        """Part of the sources that was detected, of those that could be measured."""
        return _mean(self._measured['detected'])

    def completeness_by_snr(self, edges=(0, 3, 4, 5, 6, 8, 12, np.inf)):
        """Completeness for ranges of the signal-to-noise ratio.

        Parameters
        ----------
        edges : sequence of float, optional
            Limits of the ranges, rising.

        Returns
        -------
        `~astropy.table.QTable`
            ``low``, ``high``; ``sources`` and how many of them were ``detected``; ``completeness`` and its ``error``,
            half of the interval (Wilson) that has the truth with 68 per cent. NaN where there is no source.
        """
        snr, detected = (np.asarray(self._measured[name]) for name in ('snr', 'detected'))
        inside = [(snr >= low) & (snr < high) for low, high in pairwise(edges)]
        n, k = (np.array([np.sum(part & some) for part in inside], int) for some in (True, detected))
        with np.errstate(invalid='ignore', divide='ignore'):
            part = k / n
            error = np.where(n > 0, np.sqrt(part * (1 - part) / n + 0.25 / n**2) / (1 + 1 / n), np.nan)
        return QTable({'low': np.array(edges[:-1], float), 'high': np.array(edges[1:], float), 'sources': n,
                       'detected': k, 'completeness': part, 'error': error})

    @property
    def flux_bias(self):
        """Mean of measured over true flux, minus 1, weighted with the errors."""
        return self._bias[0]

    @property
    def flux_bias_err(self):
        """Standard error of `flux_bias`; by the scatter, if that is larger than the errors tell."""
        return self._bias[1]

    @property
    def _bias(self):
        rows = self._measured
        snr, pull = np.asarray(rows['snr']), np.asarray(rows['pull'] * np.sign(rows['true_flux']))
        total = np.sum(snr**2)
        if not total > 0:
            return math.nan, math.nan
        bias = float(np.sum(snr * pull) / total)
        scatter = np.sqrt(np.mean((pull - bias * snr)**2))
        return bias, float(max(1.0, scatter) / np.sqrt(total))

    @property
    def pull_mean(self):
        """Mean of the pulls; its standard error is `pull_width` over the root of their number."""
        return _mean(self._measured['pull'])

    @property
    def pull_width(self):
        """Standard deviation of the pulls: 1 if the errors are right. NaN of a single one."""
        pull = np.asarray(self._measured['pull'])
        return float(np.std(pull, ddof=1)) if len(pull) > 1 else math.nan

    @property
    def pull_width_err(self):
        """Standard error of `pull_width`, for Gaussian pulls."""
        return self.pull_width / math.sqrt(2 * max(len(self._measured) - 1, 1))

    @property
    def false_per_megapixel(self):
        """Candidates that are none of the sources, per million pixels."""
        return len(self.false) / self.megapixels if self.megapixels else math.nan

    def __repr__(self):
        n, detected = len(self._measured), int(np.sum(self._measured['detected']))
        lost = f', {len(self.table) - n} cannot be measured' if n < len(self.table) else ''
        return (f'<Recovery: {detected} of {n} sources detected at {self.threshold:g} sigma{lost}; '
                f'flux {100 * self.flux_bias:+.2f} +- {100 * self.flux_bias_err:.2f} %; '
                f'pulls {self.pull_mean:+.2f} +- {self.pull_width / math.sqrt(max(n, 1)):.2f}, '
                f'width {self.pull_width:.2f} +- {self.pull_width_err:.2f}; '
                f'{self.false_per_megapixel:.1f} false detections per megapixel>')


def _mean(values):
    return float(np.mean(values)) if len(values) else math.nan
