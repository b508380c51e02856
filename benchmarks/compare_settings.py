#!/usr/bin/env python3
"""Residuals around held-out stars of 'auto' and of published settings, on simulated scenes and on real pairs.

Every line of the CSV is one setting on one scene. ``chi2`` is the mean of D^2 over the true variance of D, by the
kernel of that setting, in pixels within two FWHM of stars that the kernel was not fitted to. ``noise`` is the variance
of point-source fluxes in the sky of D over the least possible one, so a deconvolution has much of it; ``cost`` is the
product of both, so that nobody wins by noise. A scene that fails has none. What is in the file is not run again.
"""
import argparse
import csv
import logging
import math
import time
import warnings
from pathlib import Path

import numpy as np
from real_pairs import names as real_names
from real_pairs import real_pair
from scenes import properties, scene
from scipy.signal import fftconvolve
from settings import PUBLISHED, SETTINGS, Known
from settings_table import against, by_kind, read, show, summary, table

import hotpants_cy
from hotpants_cy.datasets import positions_of
from hotpants_cy.photometry import measure_fluxes

COLUMNS = ('scene', 'setting', 'chi2', 'noise', 'cost', 'chi2_median', 'kept', 'pixels', 'direction', 'seconds', 'used',
           'found', 'kernel_sum', 'flux_bias', 'sky_width', 'verdict', 'r', 'ko', 'bgo', 'sigmas', 'error')


def known_of(s):
    """What a pipeline would know of a scene: its true PSFs, and how many stars stand out."""
    stars, pair = s.pair.stars, s.pair
    noise = math.sqrt(np.median(s.science_variance))
    stand_out = np.sum(stars['flux_science'] * pair.science_psf.peak > 10 * noise)
    return Known.of(pair.science, pair.template, (pair.science_psf.fwhm, pair.template_psf.fwhm), s.saturation, s.gain,
                    s.read_noise, int(stand_out))


def measure(s, config):
    """Subtract a scene's pair, or a real one, and judge the difference by the held-out stars; a dict of columns."""
    pair, judge = (s.pair, judged) if hasattr(s, 'pair') else (s, judged_real)
    start = time.perf_counter()
    result = hotpants_cy.subtract(pair.science, pair.template, config=config, n_threads=1)
    seconds = time.perf_counter() - start
    return {'seconds': seconds, **described(result), **judge(s, result)}


def described(result):
    """Columns that every result has."""
    status = np.asarray(result.substamps['status'])
    config = result.config
    return {'direction': result.direction, 'used': int(np.sum(status == 'USED_IN_FINAL_FIT')), 'found': len(status),
            'verdict': getattr(getattr(result, 'quality', None), 'verdict', ''), 'r': config.rkernel, 'ko': config.ko,
            'bgo': config.bgo, 'sigmas': ' '.join(f'{v:.3g}' for v in config.sigma_gauss)}


def judged(s, result):
    """Columns that need the truth."""
    probes, kernel = s.probes, result.kernel
    centre = s.pair.science.shape[1] // 2, s.pair.science.shape[0] // 2
    by_science = result.direction == 'i'
    # the difference is on the science scale: what the science image was convolved with is divided by its sum
    difference = result.difference.data * _to_science(result, centre)
    if by_science:
        scale = 1 / kernel.sum(*centre)
        added = (kernel.apply(probes.science, n_threads=1) - probes.template) * scale
        planes = s.science_variance + probes.science_variance, s.template_variance + probes.template_variance
    else:
        scale = 1.0
        added = probes.science - kernel.apply(probes.template, n_threads=1)
        planes = s.template_variance + probes.template_variance, s.science_variance + probes.science_variance
    residual = difference + added
    radius = 2 * s.broad_fwhm
    rows, good_pixels, all_pixels = [], 0, 0
    for x, y in positions_of(probes.stars):
        cut, near = _circle(x, y, radius, residual.shape)
        good = near & s.clean[cut]
        all_pixels += good.sum()
        good &= np.isfinite(residual[cut])
        good_pixels += good.sum()
        if good.sum() > 0.5 * near.sum():
            variance = _convolved(planes[0], kernel.image(x, y)**2, cut) + planes[1][cut]
            rows.append((np.mean((residual[cut]**2 / variance)[good]) / scale**2, good.sum()))
    columns = {'kept': good_pixels / max(all_pixels, 1), 'pixels': int(good_pixels), 'kernel_sum': kernel.sum(*centre)}
    if rows:
        (chi2, weight), noise = np.transpose(rows), noise_of_fluxes(s, kernel.image(*centre), result.direction)
        mean = np.average(chi2, weights=weight)
        columns |= {'chi2': mean, 'noise': noise, 'cost': mean * noise, 'chi2_median': np.median(chi2)}
    return columns | _photometry(s, result, by_science) | _sky(s, result)


def noise_of_fluxes(s, kernel, direction, size=128):
    """Variance of fluxes from D by its PSF, in blank sky, over that of the best use of both images.

    With PSFs P, white noise N and kernel K in Fourier space, D of a new source is P_S (or K P_S, if the science image
    is convolved); the best use is the proper subtraction of Zackay, Ofek & Gal-Yam (2016), which has no direction.
    """
    y, x = np.indices((size, size)) - size // 2
    p_s, p_t = (np.abs(np.fft.fft2(psf(0, 0).evaluate(x, y, 1, 0, 0, psf.fwhm, *psf.shear, psf.beta)))
                for psf in (s.pair.science_psf, s.pair.template_psf))
    r = min(kernel.shape[0] // 2, size // 2 - 1)
    middle = kernel.shape[0] // 2
    k = np.abs(np.fft.fft2(kernel[middle - r:middle + r + 1, middle - r:middle + r + 1], (size, size)))
    n_s, n_t = (np.median(v) for v in (s.science_variance, s.template_variance))
    seen, noise = (p_s, n_s + k**2 * n_t) if direction == 't' else (k * p_s, n_t + k**2 * n_s)
    best = (p_s * p_t)**2 / (p_t**2 * n_s + (s.pair.kernel_sum * p_s)**2 * n_t)
    return np.sum(seen**2 * noise) / np.sum(seen**2)**2 * np.sum(best)


def _to_science(result, centre):
    """Factor that brings the difference to the science image's flux scale."""
    if result.config.normalize == 'i' or (result.config.normalize == 'u' and result.direction == 't'):
        return 1.0
    total = result.kernel.sum(*centre)
    return total if result.direction == 't' else 1 / total


def _circle(x, y, radius, shape):
    """Slices around a position, and which of their pixels lie within the radius."""
    half = math.ceil(radius)
    ix, iy = round(x), round(y)
    cut = tuple(slice(max(i - half, 0), min(i + half + 1, n)) for i, n in zip((iy, ix), shape, strict=True))
    yy, xx = np.ogrid[cut]
    return cut, (xx - x)**2 + (yy - y)**2 <= radius**2


def _convolved(plane, kernel, cut):
    """Cutout of a plane convolved with a kernel."""
    r = kernel.shape[0] // 2
    wide = tuple(slice(max(c.start - r, 0), c.stop + r) for c in cut)
    part = fftconvolve(plane[wide], kernel, 'same')
    return part[tuple(slice(c.start - w.start, c.stop - w.start) for c, w in zip(cut, wide, strict=True))]


def _photometry(s, result, by_science):
    """Weighted mean of measured over true flux of the transients, minus one."""
    pair, to_science = s.pair, _to_science(result, (s.pair.science.shape[1] // 2, s.pair.science.shape[0] // 2))
    if not len(pair.transients) or result.difference.uncertainty is None:
        return {}
    fluxes = measure_fluxes(result.difference, pair.transients, pair.template_psf if by_science else pair.science_psf)
    ratio, error = (np.asarray(fluxes[name].value * to_science / pair.transients['flux'])
                    for name in ('flux', 'flux_err'))
    good = np.isfinite(ratio) & (error > 0)
    if not good.any():
        return {}
    return {'flux_bias': np.average(ratio[good] - 1, weights=1 / error[good]**2)}


def _sky(s, result):
    """Width of D over its noise in blank sky."""
    blank = s.clean & np.isfinite(result.difference.data)
    sigma = result.difference.uncertainty.array
    light = s.science_variance <= np.nanquantile(s.science_variance, 0.4)
    if not (blank & light).any():
        return {}
    pull = (result.difference.data / sigma)[blank & light]
    return {'sky_width': 1.4826 * np.median(np.abs(pull - np.median(pull)))}


def judged_real(pair, result):
    """Columns of a real pair: chi2 is the median over the stars, since some of them may vary.

    The PSFs are not known here, so ``noise`` is the variance of D over that of both images subtracted as they are,
    and at least 1, since smoothing wins nothing.
    """
    science, template = pair.planes
    kernel = result.kernel
    source, target = (template, science) if result.direction == 't' else (science, template)
    variances = pair.variances if result.direction == 'i' else pair.variances[::-1]
    residual = kernel.apply(source, background=True, n_threads=1) - target
    centre = science.shape[1] // 2, science.shape[0] // 2
    total = kernel.sum(*centre)
    sky = [np.median(v[pair.clean]) for v in variances]
    plain = total**2 * sky[0] + sky[1]
    chi2, noise = [], []
    for x, y in pair.held_out:
        cut, near = _circle(x, y, 2 * pair.known.broad, residual.shape)
        good = near & pair.clean[cut] & np.isfinite(residual[cut])
        if good.sum() > 0.5 * near.sum():
            square = kernel.image(x, y)**2
            variance = _convolved(variances[0], square, cut) + variances[1][cut]
            chi2.append(np.mean((residual[cut]**2 / variance)[good]))
            noise.append(max(1.0, (np.sum(square) * sky[0] + sky[1]) / plain))
    found = {'kept': len(chi2) / len(pair.held_out), 'kernel_sum': total}
    if chi2:
        found |= {'chi2': np.median(chi2), 'chi2_median': np.median(chi2), 'noise': np.median(noise),
                  'cost': np.median(np.multiply(chi2, noise))}
    return found


def attempt(s, setting, known):
    """Columns of one setting on one scene, an error among them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return measure(s, setting(known))
    except Exception as error:                  # whatever it is, it is a failure of that setting
        return {'error': f'{type(error).__name__}: {error}'}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--scenes', default='0:128', help='first:end; of the simulated ones')
    parser.add_argument('--real', action='store_true', help='the real pairs instead')
    parser.add_argument('--settings', nargs='+', default=[*PUBLISHED, 'auto'], choices=list(SETTINGS))
    parser.add_argument('--largest', type=int, default=10000, help='leave out scenes of more pixels along a side')
    parser.add_argument('--output', type=Path, default=Path('settings.csv'), help='CSV that grows (%(default)s)')
    parser.add_argument('--more', type=Path, nargs='*', default=(), help='other CSVs that the summary takes in')
    parser.add_argument('--table', action='store_true', help='only the summary of what the CSV has')
    parser.add_argument('--again', action='store_true', help='run also what the CSV has; the last line counts')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    numbers = real_names() if args.real else [
        n for n in range(*map(int, args.scenes.split(':'))) if properties(n)['size'] <= args.largest]
    if not args.table:
        campaign(args, numbers)
    latest = {(r['scene'], r['setting']): r for path in (args.output, *args.more) for r in read(path)
              if r['scene'] in numbers}
    for metric in ('chi2', 'cost'):
        scenes = table(latest.values(), metric, args.settings)
        if scenes and 'plain' in args.settings:
            show(f'{metric} over that of plain', against(scenes, args.settings))
        elif scenes:
            show(metric, summary(scenes, args.settings))
        if scenes and not args.real and 'plain' not in args.settings:
            show(f'{metric}, median ratio to the best', by_kind(scenes, args.settings))


def campaign(args, numbers):
    """Run what is missing."""
    done = set() if args.again else {(r['scene'], r['setting']) for r in read(args.output)}
    new = not args.output.exists()
    with open(args.output, 'a', newline='') as file:
        writer = csv.DictWriter(file, COLUMNS, restval='')
        if new:
            writer.writeheader()
        for number in numbers:
            todo = [name for name in args.settings if (number, name) not in done]
            if not todo:
                continue
            s = real_pair(number) if args.real else scene(number)
            known = s.known if args.real else known_of(s)
            for name in todo:
                row = attempt(s, SETTINGS[name], known)
                writer.writerow({'scene': number, 'setting': name} | {
                    k: f'{v:.5g}' if isinstance(v, float) else v for k, v in row.items()})
                file.flush()


if __name__ == '__main__':
    main()
