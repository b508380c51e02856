"""Settings of published pipelines, as functions of what a pipeline knows: `PUBLISHED` (needs.md, 5.1).

There is also a plain rule whose parameters are varied one by one, `VARIANTS`.
All put the difference on the science image's scale, as all but C HOTPANTS itself do: what the scale is changes no
residual, and so they can be compared. All know where pixels saturate, be it from limits or from their masks.
"""
import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from astropy.stats import sigma_clipped_stats

from hotpants_cy import HotpantsConfig

__all__ = ['PUBLISHED', 'SETTINGS', 'VARIANTS', 'Known']

SIGMA = 2.3548          # FWHM of a Gaussian over its sigma


@dataclass(frozen=True)
class Known:
    """What a pipeline knows of a pair; of two values the first is the science image's.

    Attributes
    ----------
    shape : (int, int)
    fwhm : (float, float)
        In pixels.
    sky, scatter : (float, float)
        Level and sigma of the sky in adu, as measured.
    saturation, gain, read_noise : (float, float)
        In adu, electrons per adu, electrons.
    n_stars : int
        Detected ones.
    """

    shape: tuple
    fwhm: tuple
    sky: tuple
    scatter: tuple
    saturation: tuple
    gain: tuple
    read_noise: tuple
    n_stars: int

    @classmethod
    def of(cls, science, template, fwhm, saturation, gain, read_noise, n_stars):
        """Measure the sky of two CCDData."""
        statistics = [sigma_clipped_stats(np.ma.array(image.data, mask=False if image.mask is None else image.mask),
                                          sigma=3, stdfunc='mad_std') for image in (science, template)]
        _, sky, scatter = zip(*statistics, strict=True)
        return cls(science.shape, fwhm, sky, scatter, saturation, gain, read_noise, n_stars)

    @property
    def broad(self):
        """FWHM of the broader image."""
        return max(self.fwhm)

    @property
    def sigma_match(self):
        """Sigma of the Gaussian that makes the sharper PSF the broader one, in pixels."""
        return math.sqrt(abs(self.fwhm[0]**2 - self.fwhm[1]**2)) / SIGMA

    @property
    def sharper(self):
        """Direction that convolves the sharper image."""
        return 't' if self.fwhm[1] <= self.fwhm[0] else 'i'

    def common(self, sigmas=10.0, full=1.0):
        """Limits, so many sigmas below the sky and at a fraction of saturation; gains, read noises; scale."""
        (iu, tu), (ig, tg), (ir, tr) = self.saturation, self.gain, self.read_noise
        il, tl = (sky - sigmas * scatter for sky, scatter in zip(self.sky, self.scatter, strict=True))
        return {'ilthresh': il, 'tlthresh': tl, 'iuthresh': iu, 'tuthresh': tu, 'iuktresh': full * iu,
                'tuktresh': full * tu, 'igain': ig, 'tgain': tg, 'irdnoise': ir, 'trdnoise': tr, 'normalize': 'i'}


def triple(sigma, floor):
    """The three Gaussians of half, once and twice a width, which has a floor."""
    return tuple(factor * max(sigma, floor) for factor in (0.5, 1, 2))


def hotpants(known):
    """The defaults of HOTPANTS, with limits that suit the image."""
    return HotpantsConfig(**known.common())


def stdpipe(known):
    """STDPipe and STDWeb: the template is convolved, constant kernel and background."""
    fwhm = known.fwhm[0]
    return HotpantsConfig(**known.common(), force_convolve='t', ko=0, bgo=0, rkernel=math.ceil(3 * fwhm),
                          rss=math.ceil(4 * fwhm), sigma_gauss=triple(known.sigma_match, 1))


def zuds(known):
    """ZUDS for ZTF: order 4 in each of 3 x 3 regions, which are 1000 pixels wide there, with stamps of 100 pixels.

    Here regions and stamps have those widths, since in a ninth of a small image order 4 can never be fitted.
    """
    fwhm = known.fwhm[0]
    (nregy, nregx), (ny, nx) = (tuple(max(1, round(n / 1000)) for n in known.shape), known.shape)
    return HotpantsConfig(**known.common(), force_convolve='t', ko=4, bgo=0, nregx=nregx, nregy=nregy,
                          rkernel=round(2.5 * fwhm), rss=round(6 * fwhm),
                          nstampx=max(1, round(nx / nregx / 100)), nstampy=max(1, round(ny / nregy / 100)))


def lcogt(known):
    """lcogtsnpipe: four Gaussians, orders 2, the better direction."""
    fwhm = known.broad
    return HotpantsConfig(**known.common(full=0.95), rkernel=round(np.median([10, 2 * fwhm, 20])),
                          rss=round(np.median([15, 3 * fwhm, 25])), deg_fixe=(9, 6, 4, 2), sigma_gauss=(0.7, 1.5, 3, 5),
                          ko=2, bgo=2, nstampx=8, nstampy=8, same_direction=True, rescale_ok=True)


def readme(known):
    """The rule in the README of HOTPANTS: widths from the PSFs, the sharper image convolved."""
    fwhm = known.broad
    return HotpantsConfig(**known.common(), force_convolve=known.sharper, rkernel=round(2.5 * fwhm),
                          rss=round(6 * fwhm), sigma_gauss=triple(known.sigma_match, 0.5))


def autophot(known):
    """AutoPhOT of 2025: small kernels, orders by the number of stars, which also caps the kernel."""
    many = known.n_stars >= 100
    r = max(2.5 * SIGMA * known.sigma_match, (2 if many else 1.5) * known.broad)
    r = math.ceil(min(max(5, r), 50, max(5, (math.sqrt(100 * known.n_stars) - 1) / 2)))
    return HotpantsConfig(**known.common(sigmas=25), force_convolve=known.sharper, rkernel=r, rss=max(3 * r, 11),
                          sigma_gauss=triple(known.sigma_match, 0.5), bgo=0,
                          ko=0 if known.n_stars < 30 else 1 if not many else 2)


def auto(known):
    """The package's own choice, from the images alone."""
    return 'auto'


def plain(known, *, r=2.0, rss=None, ko=1, bgo=1, floor=1.0, degrees=(6, 4, 2), cell=50, direction=None, **changes):
    """A plain rule to vary: r and rss in FWHM of the broader image, cells in pixels."""
    half = int(np.clip(math.ceil(r * known.broad), 5, 30))
    ny, nx = known.shape
    return HotpantsConfig(**known.common(full=0.9) | {
        'force_convolve': direction or known.sharper, 'rkernel': half, 'ko': ko, 'bgo': bgo,
        'rss': max(half + 2, round(rss * known.broad) if rss else 15), 'deg_fixe': degrees,
        'sigma_gauss': triple(known.sigma_match, floor)[:len(degrees)],
        'nstampx': max(3, round(nx / cell)), 'nstampy': max(3, round(ny / cell))} | changes)


#: One parameter of `plain` after the other, to see which of them matter.
VARIANTS = {'plain': {}, 'ko0': {'ko': 0}, 'ko2': {'ko': 2}, 'bgo0': {'bgo': 0}, 'bgo2': {'bgo': 2},
            'r1.5': {'r': 1.5}, 'r2.5': {'r': 2.5}, 'rss3': {'rss': 3}, 'rss4': {'rss': 4}, 'rss6': {'rss': 6},
            'floor.5': {'floor': 0.5}, 'deg422': {'degrees': (4, 2, 2)}, 'deg22': {'degrees': (2, 2)},
            'fixed': {'sigma_gauss': (0.7, 1.5, 3.0)}, 'cell35': {'cell': 35}, 'cell80': {'cell': 80},
            'template': {'direction': 't'}, 'both': {'direction': 'b'}, 'ft10': {'fitthresh': 10}, 'ks3': {'ks': 3}}

PUBLISHED = {f.__name__: f for f in (hotpants, stdpipe, zuds, lcogt, readme, autophot)}
SETTINGS = PUBLISHED | {'auto': auto} | {name: partial(plain, **changes) for name, changes in VARIANTS.items()}
