"""Real pairs that stars are held out of by masking them: `real_pair`.

The same third of the bright, isolated stars is masked for every setting; the kernel that it fits is then applied to
the images as they are, and judged there. The noise is that of the pair's noise maps, or of its gain and read noise.
"""
import gzip
import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.stats import sigma_clipped_stats
from scipy.spatial import cKDTree
from settings import Known

REAL = Path(__file__).resolve().parents[2] / 'shared' / 'reference' / 'real'
SIDES = ('science', 'i', '-ini'), ('template', 't', '-tni')


@dataclass(frozen=True, eq=False)
class RealPair:
    """A pair with stars held out, and the same without masks.

    Attributes
    ----------
    name : str
    science, template : `~astropy.nddata.CCDData`
        With the held-out stars masked in the science image.
    planes : (float array, float array)
        All pixels of science image and template, bad ones as zero.
    variances : (float array, float array)
    held_out : float array (n, 2)
    clean : bool array
        Pixels that are good in both images.
    known : Known
        FWHM as measured.
    gain : float or None
        Electrons per unit of the science image; None where nothing tells it, but noise maps.
    """

    name: str
    science: CCDData
    template: CCDData
    planes: tuple
    variances: tuple
    held_out: np.ndarray
    clean: np.ndarray
    known: Known
    gain: float | None


def names():
    """Names of the pairs that are there."""
    return sorted(p.parent.name for p in REAL.glob('*/run.json'))


def real_pair(name):
    """Read a pair and hold stars out of it."""
    options = json.loads((REAL / name / 'run.json').read_text())['options']
    flags = {k: v for k, v in pairwise(options) if k[0] == '-' and k[1:2].isalpha()}
    planes = [_read(name, f'{side}.fits.gz') for side, _, _ in SIDES]
    limits = [(float(flags.get(f'-{letter}l', -math.inf)), float(flags.get(f'-{letter}u', 1e30)))
              for _, letter, _ in SIDES]
    gain, read_noise = ([float(flags.get(f'-{letter}{what}', default)) for _, letter, _ in SIDES]
                        for what, default in (('g', 1), ('r', 0)))
    bad = [~np.isfinite(p) | (p <= low) | (p >= high) | (p == 0) for p, (low, high) in zip(planes, limits, strict=True)]
    given = [_read(name, f'{side}_noise.fits.gz')**2 if flag in flags else None for side, _, flag in SIDES]
    variances = [np.maximum(p, 1) / g + (r / g)**2 if v is None else v
                 for p, g, r, v in zip(planes, gain, read_noise, given, strict=True)]
    images = [CCDData(p, unit='adu', mask=b, meta={'SATURATE': high} if high < 1e30 else {},
                      uncertainty=StdDevUncertainty(np.sqrt(np.where(b, 0, v))))
              for p, b, v, (_, high) in zip(planes, bad, variances, limits, strict=True)]
    planes = [np.where(b, 0, p) for p, b in zip(planes, bad, strict=True)]

    xy, fwhm = _stars(planes, bad, variances)
    held_out = xy[::3]
    known = Known.of(*images, fwhm, tuple(high for _, high in limits), tuple(gain), tuple(read_noise), len(xy))
    images[0].mask = bad[0] | _discs(planes[0].shape, held_out, 1.5 * known.broad)
    told = gain[0] if '-ig' in flags or given[0] is None else None
    return RealPair(name, *images, tuple(planes), tuple(variances), held_out, ~(bad[0] | bad[1]), known, told)


def _read(name, file):
    with gzip.open(REAL / name / 'inputs' / file) as stream:
        return fits.getdata(stream).astype(float)


def _stars(planes, bad, variances):
    """Positions of bright, isolated stars in the science image, and the median FWHM of both images."""
    from photutils.detection import DAOStarFinder
    from photutils.psf import fit_fwhm
    flat = [p - sigma_clipped_stats(p[~b])[1] for p, b in zip(planes, bad, strict=True)]
    noise = math.sqrt(np.median(variances[0][~bad[0]]))
    found = DAOStarFinder(threshold=10 * noise, fwhm=4.0, sharpness_range=(0.3, 0.95))(flat[0], mask=bad[0] | bad[1])
    found.sort('flux', reverse=True)
    xy = np.column_stack([found[c] for c in (('x_centroid', 'y_centroid') if 'x_centroid' in found.colnames
                                             else ('xcentroid', 'ycentroid'))])
    widths = []
    for p, b in zip(flat, bad, strict=True):
        some = _inside(xy, p.shape, 20)[:40]
        widths.append(float(np.median(fit_fwhm(p, xypos=some, fwhm=4.0, fit_shape=11, mask=b))))
    radius = 2.5 * max(widths)
    near = [len(n) for n in cKDTree(xy).query_ball_point(xy, radius)]
    spoiled = _discs_hit(bad[0] | bad[1], xy, radius)
    margin = min(45, 0.1 * min(planes[0].shape))
    return _inside(xy[(np.array(near) == 1) & ~spoiled], planes[0].shape, margin), tuple(widths)


def _inside(xy, shape, margin):
    return xy[np.all((xy >= margin) & (xy < np.array(shape[::-1]) - margin), axis=1)]


def _discs_hit(mask, xy, radius):
    """Whether a masked pixel lies within the radius of each position."""
    y, x = np.nonzero(mask)
    if not len(x):
        return np.zeros(len(xy), bool)
    return cKDTree(np.column_stack([x, y])).query(xy)[0] < radius


def _discs(shape, xy, radius):
    y, x = np.indices(shape)
    distance = cKDTree(xy).query(np.column_stack([x.ravel(), y.ravel()]), distance_upper_bound=radius)[0]
    return (distance <= radius).reshape(shape)
