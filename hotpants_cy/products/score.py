r"""Score and flux of a point source at each pixel of a difference, and the whitened difference.

With :math:`g` the matched filter and :math:`\phi` the PSF, the flux of a source in pixel i and its significance are

.. math:: F_i = \sum_j g_{j-i} D_j \Big/ \sum_j g_{j-i}\,\phi_{j-i}, \qquad
          S_i = \sum_j g_{j-i} D_j \Big/ \sqrt{\mathrm{Var} \sum_j g_{j-i} D_j}.

In the sky F is the flux of greatest likelihood. Near stars the filter is not the best any more, but the variance, which
is that of the very pixels in the sum with all covariances, stays right. What the kernel leaves of bright stars is added
to it (`~hotpants_cy.products.misfit`).
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..inputs.bits import Bits
from ..inputs.image import to_image
from .blank_sky import sky_left
from .correlation import DifferenceNoise
from .filters import NEGLECTED
from .header import header_cards
from .misfit import Misfit
from .whitening import DifferenceFilters

__all__ = ['ScoreImages']

GOOD = 0.95             # of a filter's weight that must lie on good pixels


@dataclass(frozen=True, eq=False)
class ScoreImages:
    """Whitened difference, score and flux of a subtraction; each is made when it is first asked for.

    Parameters
    ----------
    hot : Hotpants
    psf : FieldPSF
        Of the difference.
    noise : DifferenceNoise

    Examples
    --------
    >>> import numpy as np
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.products.psf import difference_psf
    >>> from hotpants_cy.products.score import ScoreImages
    >>> pair = make_pair((256, 256), seed=3, n_transients=4)
    >>> hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    >>> images = ScoreImages.of(hot, difference_psf(hot))
    >>> x, y = (round(float(pair.transients[name][0])) for name in ('x', 'y'))
    >>> bool(images.score.data[y, x] > 5)
    True
    """

    hot: object
    psf: object
    noise: DifferenceNoise

    @classmethod
    def of(cls, hot, psf, *, noise=None):
        """Images of a `~hotpants_cy.Hotpants` object, with the PSF of its difference."""
        return cls(hot, psf, DifferenceNoise.of(hot) if noise is None else noise)

    @cached_property
    def _filters(self):
        return [DifferenceFilters(field, run.products.difference if sky is None else run.products.difference - sky,
                                  run.n_threads)
                for run, field, sky in zip(self.hot.live_regions, self.noise.fields, self._skies, strict=True)]

    @cached_property
    def _skies(self):
        """The smooth part that is left in the difference of each region, None where it is noise."""
        return [sky_left(run.products.difference, field, self.psf.fwhm(*_middle(run.region)))
                for run, field in zip(self.hot.live_regions, self.noise.fields, strict=True)]

    @cached_property
    def _psfs(self):
        """The PSF at the nodes of each region."""
        return [filters.at_nodes(self._inside) for filters in self._filters]

    def _inside(self, x, y):
        return self.psf(x, y)

    @cached_property
    def _matched(self):
        return [filters.matched(psfs) for filters, psfs in zip(self._filters, self._psfs, strict=True)]

    @cached_property
    def whitened(self):
        """The difference with white noise of standard deviation 1, as `~astropy.nddata.CCDData` without unit."""
        planes = []
        for filters in self._filters:
            w = filters.whitening
            with np.errstate(divide='ignore', invalid='ignore'):
                planes.append((filters.signal(w) / np.sqrt(filters.variance(w)), filters.good_fraction(w)))
        values, good = self._assemble(planes)
        x, y = self._centre
        field, (x0, y0) = self._filters[0].whitening, self.noise.fields[0].origin
        psf = _correlated(self.psf(x, y), field.at(x - x0, y - y0))
        return self._image(values, np.ones_like(values), good, None, ['whitened difference, noise of sigma 1'], psf)

    @cached_property
    def _found(self):
        """Score, flux and its error for each pixel, and the good part of the filter; the misfit of each region."""
        regions = list(zip(self.hot.live_regions, self._filters, self._matched, self._psfs, strict=True))
        planes, misfits = zip(*(self._in_region(*region) for region in regions), strict=True) if regions else ((), ())
        return self._assemble(planes), misfits

    def _in_region(self, run, filters, g, psfs):
        signal, sigma = filters.signal(g), np.sqrt(filters.variance(g))
        norm, good = filters.on_good(g.map(_times, psfs, neglected=NEGLECTED)), filters.good_fraction(g)
        with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
            flux, error = signal / norm, sigma / norm
            usable = filters.noise.good & (good >= GOOD) & (error > 0)
            misfit = Misfit.of(run, filters, flux, error, usable, self.psf(*_middle(run.region)))
            error = error * np.float32(misfit.scale)
            if misfit.variance is not None:
                error = np.sqrt(np.square(error) + misfit.variance)
            return (flux / error, flux, error, good), misfit

    @property
    def _measured(self):
        return self._found[0]

    @cached_property
    def score(self):
        """Significance of a point source in each pixel, in sigma and with its sign, as `~astropy.nddata.CCDData`."""
        score, _, _, good = self._measured
        words = ['score: flux of a point source over its error', *self._widened]
        return self._image(score, np.ones_like(score), good, None, words, None)

    @cached_property
    def flux(self):
        """Flux of a point source in each pixel with its error, in the unit of the difference and on its scale."""
        _, flux, error, good = self._measured
        words = ['flux of a point source in each pixel', *self._widened]
        return self._image(flux, error, good, self.hot.science.unit, words, None)

    def measure(self, x, y):
        """Flux of a source at a position between pixels, its error, and the good part of the filter's weight."""
        k = self.noise.region_at(x, y)
        if k is None:
            return math.nan, math.nan, 0.0
        field, filters, stamp = self.noise.fields[k], self._filters[k], self.psf.stamp(x, y)
        g = filters.matched_at(x, y, stamp)
        half = g.shape[0] // 2
        corner = round(x) - half, round(y) - half
        kept = g * field.cutout(field.good, *corner, g.shape)
        norm = np.sum(kept * _fitted(stamp, g.shape))
        fraction = np.abs(kept).sum() / np.abs(g).sum()
        if not norm > 0:
            return math.nan, math.nan, fraction
        signal = np.sum(kept * field.cutout(filters._data.plane, *corner, g.shape))
        misfit = self._found[1][k]
        error = misfit.scale * math.sqrt(field.variance_of_sum(kept, *corner)) / norm
        left = misfit.at(x - field.origin[0], y - field.origin[1])
        return signal / norm, math.hypot(error, left), fraction

    def response(self, x, y, pixel):
        """Score around a source at (x, y), over that at ``pixel``, its centre; zero where there is no score."""
        k = self.noise.region_at(x, y)
        field, (ix, iy) = self.noise.fields[k], pixel
        (x0, y0), stamp = field.origin, self.psf.stamp(x, y, pixel)
        g = self._matched[k].at(x - x0, y - y0)
        half, reach = stamp.shape[0] // 2, stamp.shape[0] // 2 + 2 * (g.shape[0] // 2)
        good = field.cutout(field.good, ix - reach, iy - reach, (2 * reach + 1,) * 2)
        inside = slice(reach - half, reach + half + 1)
        signal = _every(stamp * good[inside, inside], g, 'full')
        norm = _every(good, _times(g, self.psf(x, y)), 'valid')
        score = np.divide(signal, norm * self._errors_around(pixel, signal.shape), out=np.zeros_like(signal),
                          where=norm > 0)
        score[~np.isfinite(score)] = 0
        middle = len(score) // 2
        return score / score[middle, middle] if score[middle, middle] else score

    def _errors_around(self, pixel, shape):
        """Errors of the flux around a pixel, NaN beyond the image and where there is no score."""
        from astropy.nddata import extract_array
        return extract_array(self.flux.uncertainty.array, shape, pixel[::-1], mode='partial', fill_value=np.nan)

    @property
    def _centre(self):
        ny, nx = self.hot.science.shape
        return nx // 2, ny // 2

    def _assemble(self, planes):
        """Planes of the whole image from those of the regions; NaN where there is none."""
        whole = np.full((len(planes[0]), *self.hot.science.shape), np.float32(np.nan))
        for run, parts in zip(self.hot.live_regions, planes, strict=True):
            for plane, part in zip(whole, parts, strict=True):
                plane[run.region.output] = part[run.region.inner]
        return whole

    @property
    def _widened(self):
        """Words for errors that are larger than noise alone."""
        scale = max((misfit.scale for misfit in self._found[1]), default=1)
        return [f'errors of fluxes are {scale:.3f} times those by noise, as blank sky scatters'] if scale > 1 else []

    def _image(self, values, sigma, good, unit, words, psf):
        flags = self.hot.assemble('flags').copy()
        flags[good < 1 - 1e-4] |= Bits.OK_CONV
        flags[~(good >= GOOD)] |= Bits.BAD_CONV | Bits.OUTPUT_ISBAD
        values = np.where((flags & Bits.OUTPUT_ISBAD) != 0, np.float32(np.nan), values)
        cards = header_cards(self.hot.regions, self.hot.config)
        history, comment = cards.get('HISTORY', ([], ''))
        if any(sky is not None for sky in self._skies):
            words = [*words, 'the smooth sky that was left in the difference is taken off']
        frame = replace(self.hot.science, unit=unit)
        image = to_image(frame, values, sigma.copy(), flags, meta=cards | {'HISTORY': ([*history, *words], comment)})
        if psf is not None:
            image.psf = psf / psf.sum()
        return image


def _middle(region):
    return (region.x0 + region.x1) // 2, (region.y0 + region.y1) // 2


def _times(g, psf):
    return g * _fitted(psf, g.shape)


def _fitted(picture, shape):
    """The middle of a picture, or a picture with zeros around it."""
    half, want = picture.shape[0] // 2, shape[0] // 2
    if want > half:
        return np.pad(picture, want - half)
    return picture[half - want:half + want + 1, half - want:half + want + 1]


def _every(picture, f, mode):
    from scipy.signal import correlate
    return correlate(picture, f, mode=mode, method='fft')


def _correlated(picture, f):
    from scipy.signal import correlate
    return correlate(picture, f, mode='same' if picture.shape[0] >= f.shape[0] else 'full', method='fft')
