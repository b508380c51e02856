"""
Real pairs, and nothing set by hand
===================================

Real images have what simulations leave out: PSFs that vary, stars that are saturated, templates that were resampled,
headers that say little. Here is what ``config='auto'`` makes of six pairs, and how far each result says that it is
to be trusted.
"""

# %%
# The pairs
# ---------
#
# They are those that the tests of this package compare with C HOTPANTS. They do not come with it: the page shows them
# if they lie where ``HOTPANTS_CY_REFERENCE`` says, or in ``shared/reference`` beside the clone. Two were taken by the
# Liverpool Telescope (RISE), one by DECam, one by the NIRCam of JWST; ``bach_0_1_al`` and ``s512`` do not say.
# DECam and NIRCam have maps of their noise.

import os
import textwrap
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.stats import mad_std
from astropy.visualization import simple_norm

import hotpants_cy as hp

folder = Path(os.environ.get('HOTPANTS_CY_REFERENCE', '../../../shared/reference'))
pairs = sorted(path.parent for path in folder.glob('real/*/inputs'))
print(f'{len(pairs)} pairs' if pairs else
      'The pairs are not at hand, so this page has no numbers and no figure.')

# %%
# The subtractions
# ----------------
#
# Gain and saturation are in some headers; where they are not, the scatter of the sky gives the noise.


def read(pair, name):
    """One image with its noise, if there is a map of it."""
    data, header = fits.getdata(pair / 'inputs' / f'{name}.fits.gz', header=True)
    noise = pair / 'inputs' / f'{name}_noise.fits.gz'
    sigma = StdDevUncertainty(fits.getdata(noise)) if noise.exists() else None
    return CCDData(data, unit='adu', meta=header, uncertainty=sigma)


images, results = {}, {}
for pair in pairs:
    images[pair.name] = read(pair, 'science'), read(pair, 'template')
    with warnings.catch_warnings(record=True):      # the verdict tells of them, too
        results[pair.name] = hp.subtract(*images[pair.name], config='auto')
for name, result in results.items():
    used = np.sum(result.substamps['status'] == 'USED_IN_FINAL_FIT')
    print(f'{name}: {result.quality.verdict}, {used} stars, '
          f'rkernel={result.config.rkernel}, ko={result.config.ko}')
    for reason in result.quality.reasons:
        print(textwrap.fill(reason, 80, initial_indent='  - ', subsequent_indent='    '))

# %%
# "Usable" is no failure: the sentences below it say what to look out for.
#
# The differences
# ---------------
#
# Science images, and beside each the difference over its noise, from -8 to 8. What is left of stars are those that the
# verdicts speak of: saturated ones, and some of PSFs with rings and spikes, which Gaussians describe badly. Beside a
# saturated column lies what the kernel spreads of it; ``OK_CONV`` flags such pixels.

if results:
    figure = plt.figure(figsize=(11, 8.6), layout='constrained')
for k, name in enumerate(results):
    left, right = (figure.add_subplot(3, 4, 2 * k + side) for side in (1, 2))
    science, difference = images[name][0].data, results[name].difference
    sky, sigma = np.median(science), mad_std(science)
    grey = simple_norm(science, 'asinh', vmin=sky - 4 * sigma, vmax=sky + 200 * sigma,
                       asinh_a=0.03)
    left.imshow(science, origin='lower', cmap='gray_r', norm=grey)
    right.imshow(difference.data / difference.uncertainty.array, origin='lower',
                 cmap='RdBu_r', vmin=-8, vmax=8)
    left.set_title(name, fontsize=11)
    right.set_title(results[name].quality.verdict, fontsize=11)
    left.set(xticks=[], yticks=[])
    right.set(xticks=[], yticks=[], facecolor='#a8b8a0')
