"""Put sources of known flux into an image, and look for them after the subtraction: `inject` and `recovery`."""

import copy
import math
import os
import warnings
from dataclasses import replace

import numpy as np
from astropy.nddata import VarianceUncertainty
from astropy.table import QTable
from scipy.spatial import cKDTree

from ..checks import checked, or_none, positive
from ..exceptions import HotpantsWarning, InputError
from ..inputs.bits import Bits
from ..inputs.frame import Frame, as_frame
from ..inputs.image import to_image
from ..stamps.positions import pixel_positions
from ..words import counted
from .drawing import drawer, light_of, sources_of
from .recovery import Recovery

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
    off = np.sum(~((xy >= -0.5) & (xy <= np.array(values.shape[::-1]) - 0.5)).all(axis=1))
    if off:
        warnings.warn(f'{off} of {counted(len(xy), "source")} lie off the image, which has {values.shape[1]} x '
                      f'{values.shape[0]} pixels', HotpantsWarning, stacklevel=2)
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
    checked('gain', gain, positive())
    if (flux < 0).any():
        raise InputError('for a negative flux no photon noise can be drawn; put such sources '
                         f'({np.sum(flux < 0)} of {counted(len(flux), "source")}) into the template with the sign '
                         'changed, or leave gain out')


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
    radius = checked('radius', radius, or_none(positive()))
    frame, (ny, nx) = result._hot.science, result.difference.shape
    xy, true = sources_of(sources, result.difference)
    radius = result.psf.fwhm(nx // 2, ny // 2) if radius is None else radius
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
    known_ones = xy if known is None else np.vstack([xy, pixel_positions(known, frame, 'known')])
    false = cKDTree(np.vstack([known_ones, [NOWHERE]])).query(found)[0] > radius if len(found) else np.zeros(0, bool)

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
