"""
Images from ccdproc: masks and world coordinates
================================================

ccdproc reduces images to ``CCDData`` with uncertainty, mask and WCS, and that is what ``subtract`` wants. Two
exposures of a field seldom lie on the same pixels, though, and nothing is resampled here: the template comes onto the
pixels of the science image first. The raw frames are simulated; ccdproc and reproject do the rest.
"""

# %%
# Two raw frames
# --------------
#
# ``raw`` simulates what a camera writes: 16-bit numbers with a level of 300 adu, 30 columns of overscan, a flat field
# that falls off towards the corners, two dead columns, and 60 tracks of cosmic rays. The template points 7 and 5 pixels
# away, and is turned by 0.4 degrees.

import warnings

import ccdproc
import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty, bitfield_to_boolean_mask
from astropy.table import QTable
from astropy.wcs.utils import pixel_to_pixel

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

rng = np.random.default_rng(11)
gain, read_noise = 1.5 * u.electron / u.adu, 5 * u.electron
field = make_pair((400, 400), seed=21, n_stars=150, n_transients=6, noise=False)

y, x = np.indices((400, 400)) / 200 - 1
response = (1.02 - 0.1 * (x**2 + y**2)) * rng.normal(1, 0.01, (400, 400))
dead = np.zeros((400, 400), bool)
dead[:, 151:153] = True


def raw(scene, wcs=None, n_cosmics=60):
    """A frame as it comes from the camera, of a scene in electrons."""
    electrons = rng.poisson(scene * response).astype(float)
    for x, y in rng.integers(10, 390, (n_cosmics, 2)):
        length = rng.integers(2, 8)
        electrons[y, x:x + length] += 4000
        electrons[y + 1, x + 1:x + length + 1] += 4000
    electrons = np.pad(electrons, ((0, 0), (0, 30)))
    electrons += rng.normal(0, read_noise.value, electrons.shape)
    level = electrons / gain.value + 300
    level[:, 151:153] = 65535
    return CCDData(level.round().clip(0, 65535).astype(np.uint16), unit='adu', wcs=wcs, header=fits.Header())


wcs = field.science.wcs.deepcopy()
wcs.wcs.crpix += 7.3, -4.6
angle = np.deg2rad(0.4)
wcs.wcs.pc = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
x, y = pixel_to_pixel(field.science.wcs, wcs, field.stars['x'], field.stars['y'])
stars = QTable({'x': x, 'y': y, 'flux': field.stars['flux']})

raw_science = raw(field.science.data.astype(float), field.science.wcs)
raw_template = raw(250 + field.template_psf.image((400, 400), stars), wcs)
raw_flats = [raw(np.full((400, 400), 30000.0), n_cosmics=0) for _ in range(5)]

# %%
# Reduced by ccdproc
# ------------------
#
# Overscan, trimming, noise from gain and read noise, flat field, and the mask of dead columns come from one call.
# L.A. Cosmic adds the tracks to the mask, and replaces their pixels. ``sigclip=8`` is high enough for the cores of
# stars to stay out of it. ccdproc says a word about negative values even where there are none, as here.

sections = {'oscan': '[401:430, 1:400]', 'trim': '[1:400, 1:400]', 'gain': gain}
flat = ccdproc.combine([ccdproc.ccd_process(frame, **sections) for frame in raw_flats], method='median')
flat.data[dead] = np.median(flat.data)


def reduce(frame):
    """Electrons with uncertainty, mask and WCS."""
    image = ccdproc.ccd_process(frame, **sections, error=True, readnoise=read_noise,
                                bad_pixel_mask=dead, master_flat=flat)
    return ccdproc.cosmicray_lacosmic(image, sigclip=8, readnoise=read_noise.value, gain_apply=False)


science, template = reduce(raw_science), reduce(raw_template)
for name, image in {'science': science, 'template': template}.items():
    print(f'{name:8}  {np.median(image.data):.0f} {image.unit}s of sky, '
          f'noise {np.median(image.uncertainty.array):.1f}, {image.mask.sum()} pixels masked')

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
# ``wcs_project`` resamples with reproject. It takes the mask along, but not the uncertainty, which is brought over as
# an image of its own:

aligned = ccdproc.wcs_project(template, science.wcs, science.shape)
sigma = CCDData(template.uncertainty.array, unit=template.unit, wcs=template.wcs)
sigma = ccdproc.wcs_project(sigma, science.wcs, science.shape)
aligned.uncertainty = StdDevUncertainty(sigma.data)
print(f'{aligned.mask.sum()} pixels of the template masked')

# %%
# It interpolates linearly, which blurs each star a little, in its own way. ``order='bicubic'`` blurs less, but it
# interpolates the mask in the same way, which then rings: of this template three times as many pixels would be bad.
#
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
