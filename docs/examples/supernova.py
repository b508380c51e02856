"""
A supernova in a galaxy
=======================

A supernova near the core of its host is hidden by the host's light, and photometry of the image measures both
together. The difference has neither the galaxy nor the stars, only what has changed.
"""

# %%
# The images
# ----------
#
# They are simulated, so that the truth is known: a field of stars without noise, to which eight galaxies are added
# as each image sees them, and to the science image a supernova 5 pixels off the core of the brightest galaxy.
# Then the noise is drawn. Of your own images, give ``subtract`` the names of the files, or ``CCDData``.

import numpy as np
from astropy.convolution import convolve_fft
from astropy.modeling.models import Sersic2D
from astropy.nddata import CCDData, Cutout2D, StdDevUncertainty

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.inspection.plots import plot_triptych
from hotpants_cy.photometry import measure_fluxes

field = make_pair((400, 400), seed=11, n_stars=90, n_transients=0, noise=False)
rng = np.random.default_rng(4)
y, x = np.mgrid[:400, :400]
host, supernova, true_flux = (205.0, 188.0), (209.5, 190.5), 6000.0

galaxies = Sersic2D(250, 9, 1.5, *host, ellip=0.4, theta=0.6)(x, y)
for place in rng.uniform(40, 360, (7, 2)):
    ellip, theta = rng.uniform(0.1, 0.5), rng.uniform(0, np.pi)
    galaxies += Sersic2D(rng.uniform(30, 120), 6, 1.5, *place, ellip, theta)(x, y)


def observe(stars, psf, flux_ratio, supernova_flux=0.0, read_noise=5.0):
    """Add galaxies, a supernova and noise, for a gain of 1 electron per adu."""
    picture = psf(20, 20)(*np.mgrid[:41, :41])
    scene = stars.data + supernova_flux * psf(*supernova)(x, y)
    scene += flux_ratio * convolve_fft(galaxies, picture, normalize_kernel=False)
    data = rng.poisson(scene) + rng.normal(0, read_noise, scene.shape)
    sigma = StdDevUncertainty(np.sqrt(scene + read_noise**2))
    return CCDData(data, unit='adu', wcs=stars.wcs, uncertainty=sigma)


science = observe(field.science, field.science_psf, field.kernel_sum, true_flux)
template = observe(field.template, field.template_psf, 1.0)

# %%
# The subtraction
# ---------------
#
# ``config='auto'`` measures both images and chooses the parameters. The result judges itself:

result = hp.subtract(science, template, config='auto')
print(result)

# %%

result.plot()

# %%
# In the upper panels, marks tell what became of each star that was found: circles are those that the kernel was fitted
# to. Some that were found are galaxies: they were refused because of their width (crosses), or rejected by the fit
# (squares). In the lower panels stars and galaxies are gone, and one source is left. The specks in *Difference* are
# bright stars, whose noise is larger; in *Difference / noise* they do not stand out.
#
# The supernova
# -------------
#
# A closer look at the host:

images = science.data, result.convolved.data, result.difference.data
plot_triptych(*(Cutout2D(image, host, 61).data for image in images))

# %%
# In the science image the supernova makes the core of its host look longer, and that is all. ``find_candidates`` finds
# it in the difference, and measures its flux with an error that knows of the host's noise and the template's:

candidates = result.find_candidates()
for row in candidates:
    print(f'({row["x"]:.1f}, {row["y"]:.1f}): flux {row["flux"]:.0f} +- '
          f'{row["flux_err"]:.0f}, {row["snr"]:.1f} sigma')
pull = (candidates['flux'][0].value - true_flux) / candidates['flux_err'][0].value
print(f'truth: {supernova}, flux {true_flux:.0f} adu: the flux is {pull:+.1f} errors off')
print(f'flux scale: normalize={result.config.normalize!r}')

# %%
# The flux is what was put in, as well as its error promises, and nothing else was found. The flux scale is that of the
# science image, which ``config='auto'`` chooses; with a `~hotpants_cy.HotpantsConfig` of your own it is that of the
# template unless you ask for ``normalize='i'``.
#
# In the science image, its sky subtracted, the same circle holds mostly light of the host:

for name, image in {'science image': science.subtract(400 * science.unit),
                    'difference': result.difference}.items():
    flux = measure_fluxes(image, [supernova], field.science_psf)['flux'][0]
    print(f'{name:13}  {flux:6.0f}')
# sphinx_gallery_thumbnail_number = 2
