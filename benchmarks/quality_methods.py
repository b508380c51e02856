"""Ways to subtract that are compared: `METHODS`, by name, each a function of a scene that gives an `Outcome`.

A new one is a line in `METHODS`. Peers run in environments of their own, found under the folder that the environment
variable ``HOTPANTS_CY_PEERS`` names (default ``/root/kit``): ``sfft/bin/python``, ``proper/bin/python``.
"""
import ctypes
import json
import os
import subprocess
import tempfile
import time
import warnings
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.signal import fftconvolve

import hotpants_cy
from hotpants_cy import HotpantsConfig
from hotpants_cy.inspection.samples import robust_width

__all__ = ['METHODS', 'Failure', 'Outcome']

PEERS = Path(os.environ.get('HOTPANTS_CY_PEERS', '/root/kit'))
HERE = Path(__file__).resolve().parent
MOST_PIXELS = 3000**2       # that peers are given: SFFT takes 11 GB for 2048 x 2048
WINGS = {'rkernel': 15, 'rss': 20, 'sigma_gauss': (0.7, 1.5, 3.0, 6.0), 'deg_fixe': (6, 4, 2, 0)}


class Failure(Exception):
    """A method that could not be run."""


@dataclass
class Outcome:
    """What came out of a subtraction; planes are on the flux scale of the science image.

    Attributes
    ----------
    difference : float array
        NaN where masked.
    sigma : float array or None
        Its noise as the method tells it.
    seconds, memory : float
        Time of the CPU with one thread, since others may use the machine too; the peak of the memory above what was
        there before, in MB.
    kernel_sum : float
        In the middle.
    result : SubtractionResult or None
        Of methods of this package.
    scored : bool
        Whether sources are looked for in the result's score, or in a plain matched filter of the difference.
    score : float array or None
        Of a peer that makes one.
    scaled : bool
        Whether the scale of the difference is known; else it is its own scatter in the sky.
    """

    difference: np.ndarray
    sigma: np.ndarray | None
    seconds: float
    memory: float
    kernel_sum: float = np.nan
    result: object = None
    scored: bool = False
    score: np.ndarray | None = None
    scaled: bool = True


def to_science(result):
    """Factor that brings the difference to the scale of the science image."""
    ny, nx = result.difference.shape
    if result.config.normalize == 'i' or (result.config.normalize == 'u' and result.direction == 't'):
        return 1.0
    total = result.kernel.sum(nx // 2, ny // 2)
    return total if result.direction == 't' else 1 / total


def ours(scene, config=None, scored=False, stars=None, **parameters):
    """This package. Without a ``config``, the defaults of HOTPANTS with ``-c t`` and the limits of the images."""
    if config is None:
        direction = 't' if scene.psfs is None or scene.psfs[0].fwhm >= scene.psfs[1].fwhm else 'i'
        config = HotpantsConfig(**{'force_convolve': direction, 'normalize': 'i'}
                                | dict(zip(('iuthresh', 'tuthresh'), scene.limits, strict=True)) | parameters)
    before = reset_memory()
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        result = hotpants_cy.subtract(scene.science, scene.template, config=config, stars=stars, n_threads=1)
    seconds, memory, factor = time.process_time() - start, peak_memory() - before, to_science(result)
    ny, nx = result.difference.shape
    total = result.kernel.sum(nx // 2, ny // 2)
    return Outcome(result.difference.data * np.float64(factor),
                   np.where(result.difference.mask, np.nan, result._hot.assemble('noise') * factor), seconds, memory,
                   total if result.direction == 't' else 1 / total, result, scored)


def peer(scene, name):
    """Another package, in its own environment, with the settings that its documentation recommends."""
    python = PEERS / {'sfft': 'sfft', 'properimage': 'proper'}[name] / 'bin' / 'python'
    if not python.exists():
        raise Failure(f'{python} is not there')
    if scene.science.size > MOST_PIXELS:
        raise Failure('not tried on images of this size')
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, 'in.npz'), Path(folder, 'out.npz')
        sky = [np.nanmedian(image.data[scene.blank]) for image in (scene.science, scene.template)]
        np.savez(files[0], science=scene.science.data, template=scene.template.data, sky=sky, limits=scene.limits,
                 sharper=scene.sharper,
                 crowded=len(scene.stars) > scene.science.size / 300)
        done = subprocess.run([python, HERE / 'quality_peers.py', name, *files], capture_output=True, text=True,
                              env=os.environ | {'NUMBA_CACHE_DIR': str(PEERS / 'numba'),
                                                'PATH': f'{PEERS}/bin:{os.environ["PATH"]}'}, cwd=folder, check=False)
        if not files[1].exists():
            raise Failure((done.stderr or done.stdout).strip().split('\n')[-1])
        with np.load(files[1]) as planes:
            told = json.loads(str(planes['told']))
            difference = planes['difference'].astype(float)
            score = planes.get('score')
            if told.get('no_scale'):
                difference /= robust_width(difference[scene.blank])
                score = None if score is None else score / robust_width(score[scene.blank])
            return Outcome(difference, np.ones_like(difference) if told.get('no_scale') else None, told['seconds'],
                           told['memory'], told.get('kernel_sum', np.nan), score=score,
                           scaled=not told.get('no_scale'))


def photutils_matching(scene):
    """The kernel of photutils from the true PSFs in the middle, no fit; sky and flux ratio by hand, around stars."""
    from photutils.psf_matching import SplitCosineBellWindow, make_kernel
    images = [np.where(np.isfinite(i.data), i.data, np.nanmedian(i.data)) for i in (scene.science, scene.template)]
    before, start = reset_memory(), time.process_time()
    sharp, broad = sorted(scene.psfs, key=lambda psf: psf.fwhm)
    kernel = make_kernel(picture(sharp), picture(broad), window=SplitCosineBellWindow(alpha=0.35, beta=0.3))
    k = 0 if scene.sharper == 'science' else 1
    images[k] = fftconvolve(images[k], kernel, 'same')
    science, template = (image - np.median(image) for image in images)
    near = maximum_filter(template > 20 * np.sqrt(np.median(images[1])), 21) & scene.judged
    ratio = np.sum(science[near]) / np.sum(template[near])
    return Outcome(science - ratio * template, None, time.process_time() - start, peak_memory() - before, ratio)


def picture(psf):
    """Picture of a PSF in the middle of the field, of sum 1."""
    x, y = np.indices((51, 51))[::-1] - 25
    image = psf(0, 0).evaluate(x, y, 1, 0, 0, psf.fwhm, *psf.shear, psf.beta)
    return image / image.sum()


def reset_memory():
    """Forget the peak of this process's memory; returns what it has now, in MB."""
    try:
        ctypes.CDLL(None).malloc_trim(0)        # or what was freed before would be used again, unnoticed
        Path('/proc/self/clear_refs').write_text('5')
        return _status('VmRSS')
    except (AttributeError, OSError):           # no Linux, or another libc
        return np.nan


def peak_memory():
    """Peak since `reset_memory`, in MB."""
    return _status('VmHWM')


def _status(key):
    with open('/proc/self/status', encoding='ascii') as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))


METHODS = {
    'C defaults': ours,
    'score': partial(ours, scored=True),
    'ko=1': partial(ours, ko=1),
    'exact': partial(ours, exact=True),
    'wings': partial(ours, ko=1, **WINGS),
    'stars': partial(ours, stars='auto'),
    'weights': partial(ours, weights=True),
    'robust': partial(ours, robust='tukey'),
    'weights+robust': partial(ours, weights=True, robust='tukey'),
    'all': partial(ours, scored=True, exact=True, weights=True, robust='huber', stars='auto', ko=1, bgo=0, **WINGS),
    'auto': partial(ours, config='auto', scored=True),
    'SFFT': partial(peer, name='sfft'),
    'properimage': partial(peer, name='properimage'),
    'photutils': photutils_matching,
}
_KNOWN = {field.name for field in fields(HotpantsConfig)}
METHODS = {name: method for name, method in METHODS.items()
           if not {'weights', 'robust'} & set(method.keywords if isinstance(method, partial) else ()) - _KNOWN}
