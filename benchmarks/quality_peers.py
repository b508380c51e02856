#!/usr/bin/env python3
"""Subtract a pair with another package, in that package's own environment: ``quality_peers.py NAME IN.npz OUT.npz``.

``quality_methods.py`` starts it. Settings are those that the documentation of each package recommends, or its defaults.
"""
import argparse
import json
import os
from pathlib import Path

import numpy as np


def sfft(pair):
    """SFFT on the CPU: the flavour for sparse or crowded fields, with its own choice of sources to fit to."""
    from astropy.io import fits
    from sfft.EasyCrowdedPacket import Easy_CrowdedPacket
    from sfft.EasySparsePacket import Easy_SparsePacket
    files = {}
    for side, sky, limit in zip(('science', 'template'), pair['sky'], pair['limits'], strict=True):
        crowded = bool(pair['crowded'])
        plane = pair[side].astype(np.float32) - (0 if crowded else np.float32(sky))      # the sparse one wants no sky
        full = limit - (0 if crowded else sky + 10 * np.sqrt(sky))
        header = fits.Header({'GAIN': 1.0, 'ESATUR': full, 'SATURATE': full})
        files[side] = str(Path(f'{side}.fits').resolve())
        fits.writeto(files[side], plane, header, overwrite=True)
    flavour = Easy_CrowdedPacket.ECP if pair['crowded'] else Easy_SparsePacket.ESP
    sharper = str(pair.get('sharper', 'template'))
    difference, solution = (str(Path(f'{name}.fits').resolve()) for name in ('difference', 'solution'))
    start = cpu_time()
    flavour(files['template'], files['science'], FITS_DIFF=difference, FITS_Solution=solution,
            ForceConv='SCI' if sharper == 'science' else 'REF',
            GAIN_KEY='GAIN', BACKEND_4SUBTRACT='Numpy', NUM_CPU_THREADS_4SUBTRACT=1, VERBOSE_LEVEL=0)
    seconds = cpu_time() - start
    from sfft.utils.SFFTSolutionReader import Realize_MatchingKernel
    ny, nx = pair['science'].shape
    kernel = Realize_MatchingKernel(np.array([[nx / 2, ny / 2]])).FromFITS(solution)[0]
    total = float(np.sum(kernel))
    if sharper == 'science':                # the difference is on the scale of the template
        return {'difference': fits.getdata(difference) / total}, {'seconds': seconds, 'kernel_sum': 1 / total}
    return {'difference': fits.getdata(difference)}, {'seconds': seconds, 'kernel_sum': total}


def properimage(pair):
    """ProperImage: ZOGY with PSFs that it measures, and with a flux scale that it fits."""
    from properimage.operations import subtract
    from properimage.single_image import SingleImage
    start = cpu_time()
    images = []
    for side, sky in zip(('template', 'science'), pair['sky'][::-1], strict=True):
        plane = pair[side].astype(float)
        masked = np.ma.array(np.nan_to_num(plane, nan=sky), mask=~np.isfinite(plane))
        images.append(SingleImage(masked, smooth_psf=False))
    d, _, score, mask = subtract(images[0], images[1], align=False, beta=True, shift=False, iterative=False,
                                 fitted_psf=True)
    seconds = cpu_time() - start
    d, score = (np.where(np.ma.getmaskarray(plane) | np.asarray(mask, bool), np.nan, np.real(np.ma.getdata(plane)))
                for plane in (d, score))
    return {'difference': d, 'score': score}, {'seconds': seconds, 'no_scale': True}


def cpu_time():
    """Seconds of this process and those that it has started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('name', choices=['sfft', 'properimage'])
    parser.add_argument('source', help='pair to read, .npz')
    parser.add_argument('target', help='difference to write, .npz')
    args = parser.parse_args()
    pair = dict(np.load(args.source))
    before = _status('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')
    planes, told = {'sfft': sfft, 'properimage': properimage}[args.name](pair)
    told['memory'] = _status('VmHWM') - before
    np.savez(args.target, told=json.dumps(told), **planes)


def _status(key):
    with open('/proc/self/status', encoding='ascii') as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))


if __name__ == '__main__':
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    main()
