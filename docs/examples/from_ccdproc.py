"""
Images from ccdproc: masks and world coordinates
================================================

ccdproc reduces images to ``CCDData`` with uncertainty, mask and WCS, and that is what ``subtract`` wants. Two
exposures of a field seldom lie on the same pixels, though, and nothing is resampled here: the template comes onto the
pixels of the science image first.
"""

# %%
# Two reduced images
# ------------------
#
# With ccdproc, raw images become ones like those below by (this is not run here, so that the documentation can do
# without ccdproc):
#
# .. code-block:: python
#
#    image = ccdproc.subtract_bias(raw, bias)
#    image = ccdproc.create_deviation(image, gain=1.5 * u.electron / u.adu, readnoise=5 * u.electron)
#    image = ccdproc.gain_correct(image, 1.5 * u.electron / u.adu)
#    image = ccdproc.flat_correct(image, flat)
#    image.mask = bad_pixels
#    image = ccdproc.cosmicray_lacosmic(image, readnoise=5, gain_apply=False)
#
# ``reduced`` simulates what comes out: electrons, with uncertainty, WCS, and a mask of two bad columns and 60 tracks of
# cosmic rays. The template points 7 and 5 pixels away, and is turned by 0.4 degrees.

import warnings

import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty, bitfield_to_boolean_mask
from astropy.table import QTable
from astropy.wcs.utils import pixel_to_pixel
from scipy.ndimage import map_coordinates

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

rng = np.random.default_rng(11)
field = make_pair((400, 400), seed=21, n_stars=150, n_transients=6, noise=False)


def reduced(scene, wcs, read_noise=5.0):
    """An image as ccdproc leaves it, bad columns and cosmic rays masked."""
    data = rng.poisson(scene) + rng.normal(0, read_noise, scene.shape)
    mask = np.zeros(scene.shape, bool)
    mask[:, 151:153] = True
    for x, y in rng.integers(10, 390, (60, 2)):
        length = rng.integers(2, 8)
        mask[y, x:x + length] = mask[y + 1, x + 1:x + length + 1] = True
    data[mask] = 3e4                            # what was there, nobody knows
    sigma = StdDevUncertainty(np.sqrt(scene + read_noise**2))
    return CCDData(data, unit='electron', wcs=wcs, mask=mask, uncertainty=sigma)


wcs = field.science.wcs.deepcopy()
wcs.wcs.crpix += 7.3, -4.6
angle = np.deg2rad(0.4)
wcs.wcs.pc = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
x, y = pixel_to_pixel(field.science.wcs, wcs, field.stars['x'], field.stars['y'])
stars = QTable({'x': x, 'y': y, 'flux': field.stars['flux']})

science = reduced(field.science.data.astype(float), field.science.wcs)
template = reduced(250 + field.template_psf.image((400, 400), stars), wcs)

# %%
# As they are
# -----------
#
# The world coordinates tell ``subtract`` that the two do not belong together:

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter('always')
    try:
        hp.subtract(science, template, stars='auto')
    except hp.HotpantsError as error:
        print(f'{type(error).__name__}: {error}\n')
print(f'{said[0].category.__name__}: {said[0].message}')

# %%
# Onto the same pixels
# --------------------
#
# With ccdproc and reproject this is
#
# .. code-block:: python
#
#    aligned = ccdproc.wcs_project(template, science.wcs, science.shape)
#    sigma = CCDData(template.uncertainty.array, unit=template.unit, wcs=template.wcs)
#    sigma = ccdproc.wcs_project(sigma, science.wcs, science.shape)
#    aligned.uncertainty = StdDevUncertainty(sigma.data)
#
# It keeps the mask, but drops the uncertainty: hence the other lines. It interpolates linearly, which blurs each
# star in its own way; tried with these images, five false candidates came of that. Cubic splines, here those of scipy,
# blur less, but values under a mask have to be replaced first, as they would ring:


def onto(image, wcs, shape):
    """Resample an image onto other pixels; what has a bad pixel beside it becomes bad."""
    y, x = np.indices(shape)
    places = pixel_to_pixel(wcs, image.wcs, x, y)[::-1]
    sky = np.median(image.data[~image.mask])
    filled = np.where(image.mask, sky, image.data)
    data = map_coordinates(filled, places, order=3)
    sigma = map_coordinates(image.uncertainty.array, places, order=1)
    mask = map_coordinates(image.mask.astype(float), places, order=1, cval=1.0) > 0
    return CCDData(data, unit=image.unit, wcs=wcs, mask=mask,
                   uncertainty=StdDevUncertainty(sigma))


aligned = onto(template, science.wcs, science.shape)

# %%
# The subtraction
# ---------------

result = hp.subtract(science, aligned, config='auto')
print(result)

# %%

result.plot()

# %%
# Masked pixels are grey-green. Tracks and columns of the science image stay as thin as they were; those of the template
# grow, as it is convolved: a pixel is masked where more than 1 % of the kernel's weight falls on bad ones. The flags
# tell one reason from the other:

difference = result.difference
for flag in 'INPUT_MASK', 'BAD_CONV', 'OK_CONV', 'OUTPUT_ISBAD':
    is_set = bitfield_to_boolean_mask(difference.flags, ignore_flags=f'~{flag}',
                                      flag_name_map=hp.HotpantsFlags)
    print(f'{flag:12}  {is_set.sum():6} pixels, '
          f'{is_set[difference.mask].sum():6} of them masked')

# %%
# ``INPUT_MASK`` are the pixels that came masked, in either image. ``BAD_CONV`` are those that got too much of a masked
# one by the convolution, and ``OK_CONV`` those that got a little, at most 1 % by weight: they are good, and can be left
# out by those who want to. ``OUTPUT_ISBAD`` is the mask, the frame included that no kernel fits into.
#
# Where in the sky
# ----------------
#
# The difference has the WCS and the header of the science image, and candidates have sky positions:

candidates = result.find_candidates()
truth = science.wcs.pixel_to_world(field.transients['x'], field.transients['y'])
nearest, separation, _ = truth.match_to_catalog_sky(candidates['sky'])
print(f'{len(candidates)} candidates')
for k, away in zip(nearest, separation.arcsec, strict=True):
    place = candidates['sky'][k].to_string('hmsdms', precision=2)
    print(f'{place}, {candidates["snr"][k]:5.1f} sigma, {away:.2f} arcsec from the truth'
          if away < 1 else 'one not found')

# %%
# And the one that was not found?

x, y = (round(field.transients[name][separation.arcsec > 1][0]) for name in 'xy')
row = slice(x - 15, x + 6)
print(f'at ({x}, {y}) the difference is {"masked" if difference.mask[y, x] else "good"}')
print(f'{aligned.mask[y, row].sum()} pixels of this row are bad in the template nearby, '
      f'{difference.mask[y, row].sum()} in the difference')

# %%
# It lies in the band that the template's bad columns leave. A template made of several dithered exposures has no such
# bands.
#
# ``result.difference.write('difference.fits')`` keeps image, uncertainty, mask and WCS, and ``CCDData.read`` brings
# them back. The noise of resampled images is correlated; :ref:`noise` tells how to take that into account.
