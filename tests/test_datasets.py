"""Simulated pairs are what they say they are, and fluxes measured on images come with honest errors."""
import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty
from astropy.table import QTable
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import convolve

from hotpants_cy.datasets import PSF, make_pair
from hotpants_cy.exceptions import InputError
from hotpants_cy.photometry import measure_fluxes

SMALL = (240, 260)
PROFILES = ['moffat', 'gaussian']


def small_pair(**options):
    return make_pair(SMALL, **{'n_transients': 4, **options})


def sky_subtracted(image, sky):
    return CCDData(image.data.astype(float) - sky, unit='adu', uncertainty=image.uncertainty, mask=image.mask)


def true_kernel():
    """Kernel of the default pair with Gaussian profiles."""
    y, x = np.mgrid[-9:10, -9:10]
    kernel = np.exp(-4 * np.log(2) * (x ** 2 + y ** 2) / (3.6 ** 2 - 2.8 ** 2))
    return 0.85 * kernel / kernel.sum()


# -- the pair ---------------------------------------------------------------------------------

def test_same_seed_gives_the_same_pair():
    one, two, other = small_pair(seed=5), small_pair(seed=5), small_pair(seed=6)
    assert_array_equal(one.science.data, two.science.data)
    assert_array_equal(one.template.data, two.template.data)
    assert not np.array_equal(one.science.data, other.science.data)


def test_science_and_template_noise_are_independent():
    pair, still = small_pair(), small_pair(noise=False)
    science, template = (getattr(pair, n).data - getattr(still, n).data for n in ('science', 'template'))
    assert abs(np.corrcoef(science.ravel(), template.ravel())[0, 1]) < 5 / np.sqrt(science.size)


def test_images_are_float32_in_adu_without_mask():
    for image in (small_pair().science, small_pair().template):
        assert image.data.dtype == image.uncertainty.array.dtype == np.float32
        assert image.unit == u.adu
        assert image.mask is None
        assert isinstance(image.uncertainty, StdDevUncertainty)


def test_a_gaussian_science_image_is_the_convolved_template_and_transients():
    pair = small_pair(profile='gaussian', noise=False)
    transients = pair.science_psf.image(SMALL, pair.transients)
    model = convolve(pair.template.data.astype(float), true_kernel()) + pair.background + transients
    inside = np.s_[10:-10, 10:-10]
    assert_allclose(pair.science.data[inside], model[inside], atol=1e-4 * pair.science.data.max())


@pytest.mark.parametrize('profile', PROFILES)
def test_kernel_sum_is_the_flux_ratio_of_stars(profile):
    pair = make_pair((200, 200), profile=profile, n_stars=1, n_transients=0, noise=False, flux_ratio=1.3)
    flux = [measure_fluxes(sky_subtracted(image, sky), pair.stars, psf)['flux'][0]
            for image, psf, sky in ((pair.science, pair.science_psf, 400), (pair.template, pair.template_psf, 250))]
    assert pair.kernel_sum == 1.3
    assert_allclose(flux[0] / flux[1], 1.3, rtol=1e-5)


def test_background_is_the_sky_that_the_kernel_leaves():
    pair = small_pair(science_sky=600, template_sky=200, flux_ratio=0.5, gain=2)
    assert pair.background == (600 - 0.5 * 200) / 2


@pytest.mark.parametrize('options', [{}, {'gain': 2.5}, {'template_noise': 0.1}, {'read_noise': 30.0}])
def test_noise_is_what_the_uncertainty_says(options):
    pair, still = small_pair(**options), small_pair(noise=False, **options)
    for name in ('science', 'template'):
        noisy, exact = getattr(pair, name), getattr(still, name)
        pull = (noisy.data - exact.data) / noisy.uncertainty.array
        assert_allclose(pull.mean(), 0, atol=5 / np.sqrt(pull.size))
        assert_allclose(pull.std(), 1, atol=0.02)
        assert_array_equal(noisy.uncertainty.array, exact.uncertainty.array)


def test_uncertainty_is_poisson_and_read_noise():
    pair = small_pair(noise=False, gain=2.0, read_noise=7.0)
    assert_allclose(pair.science.uncertainty.array, np.sqrt(pair.science.data * 2 + 49) / 2, rtol=1e-5)


def test_a_perfect_template_has_no_noise():
    pair, still = small_pair(template_noise=False), small_pair(noise=False)
    assert_array_equal(pair.template.data, still.template.data)
    assert not pair.template.uncertainty.array.any()


def test_transients_are_isolated():
    pair = make_pair((300, 300), seed=2, n_transients=15)
    x, y = (np.asarray(pair.transients[name]) for name in 'xy')
    assert np.all((x >= 40) & (x <= 259) & (y >= 40) & (y <= 259))
    stars = np.hypot(x[:, None] - pair.stars['x'], y[:, None] - pair.stars['y'])
    each_other = np.hypot(x[:, None] - x, y[:, None] - y) + 1e3 * np.eye(15)
    assert min(stars.min(), each_other.min()) >= 4 * 3.6


def test_transients_are_on_both_flux_scales():
    table = small_pair(flux_ratio=0.5).transients
    assert_allclose(table['flux_template'], 2 * table['flux'])


@pytest.mark.parametrize('profile', PROFILES)
def test_signal_to_noise_is_that_of_psf_photometry(profile):
    pair = make_pair((300, 300), profile=profile, n_stars=1, noise=False, gain=1.5)
    for row in pair.transients:
        psf = pair.science_psf.image((300, 300), QTable({'x': [row['x']], 'y': [row['y']], 'flux': [1.0]}))
        flux, sky = row['flux'].value, (400 + 25) / 1.5 ** 2
        error = np.sqrt(flux / 1.5 + sky / np.sum(psf ** 2))
        assert_allclose(flux / error, row['snr'], rtol=1e-3)


def test_variation_widens_the_science_psf_only():
    pair = small_pair(variation=0.2)
    ny, nx = SMALL
    assert_allclose(pair.science_psf.fwhm_at(nx - 1, ny - 1) / pair.science_psf.fwhm_at(0, 0), 1.1 / 0.9)
    assert pair.template_psf.fwhm_at(nx - 1, ny - 1) == 2.8


def test_fluxes_are_right_where_the_psf_varies():
    pair = make_pair((300, 300), variation=0.3, noise=False, n_stars=1, transient_snr=(300, 400))
    found = measure_fluxes(sky_subtracted(pair.science, 400), pair.transients, pair.science_psf)
    assert_allclose(found['flux'], pair.transients['flux'], rtol=3e-3)


def test_saturated_stars_are_clipped_in_both_images():
    pair = small_pair(saturation=20000.0, n_saturated=3)
    x, y = (np.rint(pair.stars[name][:3]).astype(int) for name in 'xy')
    for image in (pair.science, pair.template):
        assert image.data.max() == 20000
        assert_array_equal(image.data[y, x], 20000)
        assert image.meta['SATURATE'] == 20000


def test_nan_and_masked_blocks_are_where_asked():
    pair = small_pair(nan_blocks=[np.s_[20:40, 60:90]], masked_blocks=[np.s_[100:110, 5:9]])
    assert_array_equal(np.argwhere(np.isnan(pair.science.data))[[0, -1]], [[20, 60], [39, 89]])
    assert_array_equal(np.argwhere(pair.science.mask)[[0, -1]], [[100, 5], [109, 8]])
    assert np.all(pair.science.data[pair.science.mask] == 3e4)
    assert np.isfinite(pair.template.data).all()


def test_wcs_is_tan_and_survives_fits(tmp_path):
    pair = small_pair()
    pair.science.write(tmp_path / 'science.fits')
    back = CCDData.read(tmp_path / 'science.fits')
    assert list(back.wcs.wcs.ctype) == ['RA---TAN', 'DEC--TAN']
    assert_allclose(back.wcs.wcs_pix2world([[129.5, 119.5]], 0), [[150.1, 2.2]])
    assert_array_equal(back.data, pair.science.data)


@pytest.mark.parametrize(('options', 'words'), [
    ({'profile': 'airy'}, "profile='airy' is unknown"),
    ({'shape': (512,)}, 'shape='),
    ({'n_transients': 2.5}, 'n_transients=2.5 is impossible'), ({'n_stars': -1}, 'n_stars=-1 is impossible'),
    ({'gain': 0}, 'gain=0 is impossible'), ({'science_fwhm': 'wide'}, "science_fwhm='wide' is impossible"),
    ({'template_noise': -1}, 'template_noise=-1 is impossible'),
    ({'n_saturated': 2}, 'needs a level'),
    ({'shape': (128, 128), 'n_transients': 50}, 'of 50 transients have room in 128 x 128'),
    ({'shape': (64, 64)}, 'only 0 of 10 transients'),
])
def test_what_cannot_be_simulated_is_an_error(options, words):
    with pytest.raises(InputError, match=words):
        make_pair(**options)


def test_photutils_is_imported_only_when_used():
    code = 'import sys, hotpants_cy.datasets; sys.exit("photutils" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=False, cwd=sys.prefix).returncode == 0


# -- point spread functions -------------------------------------------------------------------

@pytest.mark.parametrize('profile', PROFILES)
def test_psf_has_its_width_and_noise_area(profile):
    psf = PSF(4.0, profile)
    values = psf.image((301, 301), QTable({'x': [150.0], 'y': [150.0], 'flux': [1.0]}))
    assert_allclose(values.sum(), 1, atol=2e-4)
    assert_allclose(values[150, 152] / values[150, 150], 0.5)
    assert_allclose(psf.noise_area(0, 0), 1 / np.sum(values ** 2), rtol=1e-5)


# -- measuring fluxes -------------------------------------------------------------------------

@pytest.mark.parametrize('profile', PROFILES)
def test_pulls_of_fluxes_are_standard_normal(profile):
    pulls = []
    for seed in range(40):
        pair = make_pair((300, 300), seed=seed, profile=profile, n_stars=1, n_transients=12)
        found = measure_fluxes(sky_subtracted(pair.science, 400), pair.transients, pair.science_psf)
        pulls.extend(((found['flux'] - pair.transients['flux']) / found['flux_err']).value)
    assert_allclose(np.mean(pulls), 0, atol=3.5 / np.sqrt(len(pulls)))
    assert_allclose(np.std(pulls), 1, atol=0.1)


def test_covariances_make_the_errors_of_a_difference_right():
    kernel = true_kernel()
    pulls, naive = [], []
    for seed in range(40):
        pair = make_pair((220, 220), seed=seed, profile='gaussian', n_stars=1, n_transients=12)
        convolved = convolve(pair.template.data.astype(float), kernel)
        variance = (pair.science.uncertainty.array ** 2
                    + convolve(pair.template.uncertainty.array.astype(float) ** 2, kernel ** 2))
        difference = CCDData(pair.science.data - convolved - pair.background, unit='adu',
                             uncertainty=StdDevUncertainty(np.sqrt(variance)))
        for result, options in ((naive, {}), (pulls, {'convolved': pair.template, 'kernel': lambda x, y: kernel})):
            found = measure_fluxes(difference, pair.transients, pair.science_psf, **options)
            result.extend(((found['flux'] - pair.transients['flux']) / found['flux_err']).value)
    assert_allclose(np.mean(pulls), 0, atol=3.5 / np.sqrt(len(pulls)))
    assert_allclose(np.std(pulls), 1, atol=0.1)
    # same noise, smaller errors: what the pixels alone tell is too good
    assert np.std(naive) > 1.05 * np.std(pulls)


def test_covariance_of_an_asymmetric_kernel_is_exact():
    # the variance of a linear function of the pixels, term by term, against a matrix of them
    rng = np.random.default_rng(3)
    shape, kernel = (15, 15), rng.uniform(size=(5, 5))
    noise = rng.uniform(1, 2, shape)
    columns = np.array([convolve(unit.reshape(shape), kernel, mode='constant').ravel() for unit in np.eye(225)]).T
    before = CCDData(np.zeros(shape), unit='adu', uncertainty=StdDevUncertainty(noise))
    after = CCDData(np.zeros(shape), unit='adu',
                    uncertainty=StdDevUncertainty(np.sqrt(columns ** 2 @ noise.ravel() ** 2).reshape(shape)))
    found = measure_fluxes(after, [(7, 7)], lambda x, y: lambda xx, yy: np.ones(xx.shape) / 9, radius=2.0,
                           convolved=before, kernel=lambda x, y: kernel)
    from photutils.aperture import CircularAperture
    weight = CircularAperture((7, 7), 2.0).to_mask(method='exact').to_image(shape).ravel()
    variance = (weight @ columns) ** 2 @ noise.ravel() ** 2
    assert_allclose(found['flux_err'].value[0], 9 * np.sqrt(variance) / weight.sum())


def test_masked_pixels_bias_no_flux():
    pair = make_pair((240, 240), noise=False, n_stars=1, n_transients=3)
    image = sky_subtracted(pair.science, 400)
    whole = measure_fluxes(image, pair.transients, pair.science_psf)
    x, y = (round(pair.transients[name][0]) for name in 'xy')
    image.mask = np.zeros(image.shape, bool)
    image.mask[y, x - 1:x + 2] = True
    image.data[y, x - 1:x + 2] = 1e6
    image.data[y + 1, x] = np.nan
    found = measure_fluxes(image, pair.transients, pair.science_psf)
    assert found['psf_fraction'][0] < 0.8 * whole['psf_fraction'][0]
    assert found['flux_err'][0] > whole['flux_err'][0]
    assert_allclose(found['flux'], whole['flux'], rtol=2e-3)


def test_a_source_without_good_pixels_is_nan():
    pair = make_pair((240, 240), n_transients=2)
    pair.science.data[:] = np.nan
    found = measure_fluxes(pair.science, pair.transients, pair.science_psf)
    assert np.isnan(found['flux']).all()
    assert_array_equal(found['psf_fraction'], 0)


def test_any_kind_of_uncertainty_and_of_positions_will_do():
    pair = small_pair()
    expected = measure_fluxes(pair.science, pair.transients, pair.science_psf)
    pairs = list(zip(pair.transients['x'], pair.transients['y'], strict=True))
    pair.science.uncertainty = pair.science.uncertainty.represent_as(InverseVariance)
    found = measure_fluxes(pair.science, pairs, pair.science_psf)
    assert_allclose(found['flux'], expected['flux'])
    assert_allclose(found['flux_err'], expected['flux_err'], rtol=1e-5)


def test_no_positions_give_no_fluxes():
    pair = small_pair()
    assert len(measure_fluxes(pair.science, pair.transients[:0], pair.science_psf)) == 0


def test_fluxes_need_an_uncertainty():
    pair = small_pair()
    with pytest.raises(InputError, match='no uncertainty'):
        measure_fluxes(CCDData(pair.science.data, unit='adu'), pair.transients, pair.science_psf)
    with pytest.raises(InputError, match='belong together'):
        measure_fluxes(pair.science, pair.transients, pair.science_psf, convolved=pair.template)
