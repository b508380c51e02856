"""Injection and recovery: what is put in is what was asked for, and is measured right within the errors."""
import contextlib

import numpy as np
import pytest
from astropy import units as u
from astropy.convolution import Gaussian2DKernel
from astropy.modeling.models import Gaussian2D
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty
from astropy.table import QTable, Table
from photutils.psf import CircularGaussianPSF

import hotpants_cy as hp
from hotpants_cy.datasets import PSF, make_pair
from hotpants_cy.exceptions import InputError
from hotpants_cy.inputs.frame import as_frame

SOURCE = {'x': [30.3], 'y': [24.6], 'flux': [1000.0]}
ROUND = PSF(3.0, 'gaussian')


def blank(kind=None, **planes):
    if kind is not None:
        planes['uncertainty'] = kind(np.full((51, 61), 4.0))
    return CCDData(np.full((51, 61), 100.0), unit='adu', **planes)


def centroid(light):
    y, x = np.indices(light.shape)
    return np.sum(light * x) / light.sum(), np.sum(light * y) / light.sum()


def picture():
    return Gaussian2DKernel(3.0 / 2.3548, x_size=25, y_size=25).array * 7       # of any sum


PSFS = {'picture': picture(), 'function of models': ROUND, 'function of pictures': lambda x, y: picture(),
        'photutils': CircularGaussianPSF(fwhm=3.0, flux=5, x_0=9, y_0=9), 'astropy': Gaussian2D(2, 1, 1, 1.274, 1.274)}


@pytest.mark.parametrize('psf', PSFS.values(), ids=PSFS)
def test_any_psf_puts_the_flux_where_it_should_be(psf):
    light = hp.inject(blank(), SOURCE, psf).data - 100
    assert light.sum() == pytest.approx(1000, rel=1e-4)
    assert centroid(light) == pytest.approx((30.3, 24.6), abs=0.01)
    assert light.max() == pytest.approx(1000 * ROUND(30.3, 24.6)(30, 25), rel=0.01)


def test_the_psf_of_an_image_and_of_a_result_will_do():
    pair = make_pair((256, 256), seed=1)
    result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    image = blank()
    image.psf = picture()
    for got in (hp.inject(image, SOURCE), hp.inject(image, SOURCE, result.psf)):
        assert (got.data - 100).sum() == pytest.approx(1000, rel=1e-3)


def test_the_input_is_left_alone_and_all_it_has_is_kept():
    image = blank(StdDevUncertainty, mask=np.zeros((51, 61), bool), meta={'OBJECT': 'sky'})
    image.data[0, 0], image.mask[1, 1] = np.nan, True
    before = image.copy()
    more = hp.inject(image, SOURCE, ROUND, gain=2.0, seed=1, saturation=150)
    np.testing.assert_array_equal(image.data, before.data)
    np.testing.assert_array_equal(image.uncertainty.array, before.uncertainty.array)
    assert image.mask.sum() == 1
    assert (type(more), more.unit, more.meta['OBJECT']) == (CCDData, 'adu', 'sky')
    assert np.isnan(more.data[0, 0])
    assert more.mask[1, 1]


@pytest.mark.parametrize('image', [blank().data, blank().data.astype('>f4'), np.ma.array(blank().data),
                                   NDData(blank().data)],
                         ids=['array', 'big endian', 'masked array', 'NDData'])
def test_the_type_stays(image):
    more = hp.inject(image, SOURCE, ROUND)
    assert type(more) is type(image)
    data = np.asarray(getattr(more, 'data', more) if isinstance(more, NDData) else more)
    assert data.dtype == (image.data.dtype if isinstance(image, NDData) else image.dtype)
    assert (data - 100).sum() == pytest.approx(1000, rel=1e-4)


def test_a_file_and_a_frame_will_do(tmp_path):
    image = blank(StdDevUncertainty)
    image.data[3, 3] = np.nan
    image.write(tmp_path / 'image.fits')
    of_file, of_frame = (hp.inject(i, SOURCE, ROUND, gain=1.0, seed=1, saturation=150)
                         for i in (tmp_path / 'image.fits', as_frame(image, name='science')))
    assert np.isnan(of_file.data[3, 3])
    good = ~of_file.mask
    np.testing.assert_allclose(of_file.data[good], of_frame.data[good])
    np.testing.assert_allclose(of_file.uncertainty.array[good]**2, of_frame.variance[good], rtol=1e-6)
    np.testing.assert_array_equal(of_file.mask, of_frame.flags != 0)


@pytest.mark.parametrize('kind', [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_photons_add_their_noise(kind):
    image = blank(kind)
    more = hp.inject(image, SOURCE, ROUND, gain=4.0, seed=3)
    light = hp.inject(image, SOURCE, ROUND).data - 100
    variance, before = (i.uncertainty.represent_as(VarianceUncertainty).array for i in (more, image))
    np.testing.assert_allclose(variance - before, light / 4, atol=1e-10)


def test_the_noise_is_that_of_the_photons():
    draws = np.array([hp.inject(blank(), SOURCE, ROUND, gain=4.0, seed=n).data - 100 for n in range(200)])
    light = hp.inject(blank(), SOURCE, ROUND).data - 100
    bright = light > 5
    assert np.mean((draws.mean(axis=0) - light)[bright]) == pytest.approx(0, abs=0.15)
    assert np.mean(draws.var(axis=0)[bright] / (light[bright] / 4)) == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(draws[7], hp.inject(blank(), SOURCE, ROUND, gain=4.0, seed=7).data - 100)


def test_light_off_the_image_is_lost():
    with pytest.warns(hp.HotpantsWarning, match='1 of 2 sources lie off the image, which has 61 x 51 pixels'):
        light = hp.inject(blank(), {'x': [-0.5, 500], 'y': [20, 20], 'flux': [100, 100]}, ROUND).data - 100
    assert light.sum() == pytest.approx(50, rel=0.01)


def test_saturated_pixels_are_clipped_and_masked():
    more = hp.inject(blank(), SOURCE, ROUND, saturation=150)
    assert more.data.max() == 150
    np.testing.assert_array_equal(more.mask, more.data == 150)
    assert hp.inject(blank().data, SOURCE, ROUND, saturation=150).max() == 150


def test_positions_on_the_sky_go_through_the_wcs():
    image = make_pair((128, 128), seed=1, n_transients=0).science
    sky = image.wcs.pixel_to_world([30.3], [24.6])
    want = hp.inject(image, SOURCE, ROUND).data
    np.testing.assert_allclose(hp.inject(image, QTable({'sky': sky, 'flux': [1000.0]}), ROUND).data, want, atol=1e-3)
    degrees = {'ra': sky.ra.deg, 'dec': sky.dec.deg, 'flux': [1000.0]}
    np.testing.assert_allclose(hp.inject(image, degrees, ROUND).data, want, atol=1e-3)


def test_photutils_names_and_units_are_known():
    want = hp.inject(blank(), SOURCE, ROUND).data
    table = Table({'x_fit': [30.3], 'y_fit': [24.6], 'flux_fit': [1000.0]})
    np.testing.assert_array_equal(hp.inject(blank(), table, ROUND).data, want)
    table['flux_fit'] = [1e-3]
    table['flux_fit'].unit = '1e6 adu'
    np.testing.assert_allclose(hp.inject(blank(), table, ROUND).data, want)


@pytest.mark.parametrize(('image', 'sources', 'options', 'words'), [
    (blank(), SOURCE, {}, 'there is no PSF to draw sources with'),
    (blank(), {'x': [1], 'y': [1]}, {'psf': ROUND}, 'there is no flux'),
    (blank(), [(1, 2)], {'psf': ROUND}, 'not a list'),
    (blank(), SOURCE | {'flux': [np.nan]}, {'psf': ROUND}, '1 of 1 have no finite position or flux'),
    (blank(), SOURCE | {'flux': ['bright']}, {'psf': ROUND}, 'does not hold fluxes in adu'),
    (blank(), QTable(SOURCE | {'flux': [3] * u.m}), {'psf': ROUND}, 'does not hold fluxes in adu'),
    (blank(), {'ra': [1.0], 'dec': [1.0], 'flux': [1.0]}, {'psf': ROUND}, 'no celestial WCS'),
    (blank(), SOURCE | {'flux': [-5.0]}, {'psf': ROUND, 'gain': 1.0}, 'negative flux'),
    (blank(), SOURCE, {'psf': ROUND, 'gain': 0.0}, 'gain=0.0 is impossible'),
    (blank(), SOURCE, {'psf': ROUND, 'half_width': 0}, 'half_width=0 is impossible'),
    (blank(), SOURCE, {'psf': np.ones((4, 4))}, 'odd sides'),
    (np.ones((20, 20), int), SOURCE, {'psf': ROUND}, 'images of floats only'),
    (np.ones(20), SOURCE, {'psf': ROUND}, '2-D images'),
])
def test_bad_input_gets_one_clear_sentence(image, sources, options, words):
    with pytest.raises(InputError, match=words):
        hp.inject(image, sources, **options)


# -- recovery -------------------------------------------------------------------------------------

def grid(flux):
    """Sources on a grid, each between pixels."""
    x, y = np.meshgrid(np.arange(50, 360, 60) + 0.3, np.arange(50, 360, 60) + 0.6)
    return QTable({'x': x.ravel(), 'y': y.ravel(), 'flux': np.resize(flux, x.size)})


def subtracted(into, direction='t'):
    pair = make_pair((400, 400), seed=4, n_transients=0, n_stars=100)
    sources = grid(np.geomspace(300, 8000, 12))
    psf = {'science': pair.science_psf, 'template': pair.template_psf}[into]
    images = {'science': pair.science, 'template': pair.template}
    images[into] = hp.inject(images[into], sources, psf, gain=1.0, seed=2)
    config = hp.HotpantsConfig(ko=0, force_convolve=direction, nstampx=6, nstampy=6)
    return hp.subtract(**images, config=config, avoid=sources), sources, pair


@pytest.fixture(scope='module')
def recovered():
    result, sources, pair = subtracted('science')
    return hp.recovery(result, sources), result, sources, pair


def test_fluxes_come_back_with_pulls_of_one(recovered):
    found, _, sources, _ = recovered
    assert len(found.table) == len(sources) == 36
    assert found.table['true_flux'].unit == 'adu'
    assert abs(found.pull_mean) < 4 / 6
    assert found.pull_width == pytest.approx(1, abs=4 * found.pull_width_err)
    assert abs(found.flux_bias) < 4 * found.flux_bias_err < 0.05
    assert repr(found).startswith('<Recovery: ')


@pytest.mark.parametrize(('into', 'direction'), [('template', 't'), ('template', 'i'), ('science', 'i')])
def test_the_scale_is_that_of_the_image_they_were_put_into(into, direction):
    with pytest.warns(hp.DeconvolutionWarning) if direction == 'i' else contextlib.nullcontext():
        result, sources, _ = subtracted(into, direction)
    found = hp.recovery(result, sources, into=into)
    assert (found.table['flux'][found.table['snr'] > 8] > 0).all()
    assert abs(found.flux_bias) < 0.05
    assert found.completeness > 0.5


def test_bright_ones_are_detected_and_faint_ones_are_not(recovered):
    found = recovered[0]
    by_snr = found.completeness_by_snr([0, 3, 8, np.inf])
    assert by_snr['sources'].sum() == 36
    assert by_snr['completeness'][0] < 0.2
    assert by_snr['completeness'][-1] == 1
    assert found.completeness == pytest.approx(np.mean(found.table['detected']))
    assert (by_snr['error'] > 0).all()
    assert np.isnan(found.completeness_by_snr([1e6, 1e7])['completeness'][0])


def test_what_was_not_put_in_is_false_unless_it_is_known(recovered):
    _, result, sources, _ = recovered
    some = sources[:20]
    found, told = hp.recovery(result, some), hp.recovery(result, some, known=sources[20:])
    assert len(found.false) > len(told.false)
    assert found.false_per_megapixel == len(found.false) / found.megapixels
    assert found.megapixels == pytest.approx(0.14, abs=0.02)


def test_a_source_on_masked_pixels_is_not_measured(recovered):
    _, result, _, _ = recovered
    found = hp.recovery(result, {'x': [2.0, 200.0, -50.0], 'y': [2.0, 200.0, 7.0], 'flux': [100.0, 100.0, 100.0]})
    assert np.isfinite(found.table['flux']).tolist() == [False, True, False]
    assert '2 cannot be measured' in repr(found)


def test_no_sources_are_no_failure(recovered):
    found = hp.recovery(recovered[1], {'x': [], 'y': [], 'flux': []})
    assert np.isnan([found.completeness, found.flux_bias, found.pull_mean, found.pull_width]).all()
    assert repr(found)


@pytest.mark.parametrize(('options', 'words'), [({'into': 'both'}, "into='both' is unknown"),
                                                ({'radius': 0}, 'radius=0 is impossible'),
                                                ({'threshold': 0}, 'threshold=0 is impossible')])
def test_bad_parameters_of_a_recovery_get_one_clear_sentence(recovered, options, words):
    with pytest.raises(InputError, match=words):
        hp.recovery(recovered[1], recovered[2], **options)
