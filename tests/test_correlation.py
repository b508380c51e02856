"""Errors that know the covariance of a difference, against the scatter of many realisations of its noise."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import nddata
from astropy import units as u
from astropy.nddata import Cutout2D
from photutils.aperture import CircularAperture, aperture_photometry
from scipy.signal import fftconvolve

import hotpants_cy as hp
from hotpants_cy.datasets import PSF, make_pair
from hotpants_cy.exceptions import InputError
from hotpants_cy.inputs.frame import Frame
from hotpants_cy.kernel.basis import GaussianBasis
from hotpants_cy.kernel.model import KernelModel
from hotpants_cy.kernel.spatial import RegionFrame
from hotpants_cy.products.correlation import DifferenceNoise
from hotpants_cy.products.given_psf import GivenPSF
from hotpants_cy.products.noise_field import NoiseField, _without_loud
from hotpants_cy.products.psf import FieldPSF
from hotpants_cy.products.whitening import precision_for

N, SCALE = 120, 1.3
POSITIONS = np.array([(x + 0.3, y - 0.2) for y in range(20, 105, 20) for x in range(20, 105, 20)])
has_covariance = pytest.mark.skipif(not hasattr(nddata, 'Covariance'), reason='this astropy has no Covariance')


@pytest.fixture(scope='module')
def model():
    """A kernel that varies over the field, of sum 0.8 or so."""
    basis = GaussianBasis(6, (2, 0), (1.2, 2.4))
    rng = np.random.default_rng(1)
    solution = np.concatenate([[0.85], rng.normal(0, 0.02, (len(basis) - 1) * 3), [0.0]])
    return KernelModel(solution, basis, 1, 0, RegionFrame((0, 0), (N, N)), 't', 5)


@pytest.fixture(scope='module')
def planes():
    """Variances that differ over the field, with a star in both images."""
    y, x = np.indices((N, N))
    star = np.exp(-0.5 * np.hypot(x - 41, y - 59)**2 / 4)
    return [(sky * (1 + 0.3 * x / N) + bright * star).astype(np.float32)
            for sky, bright in ((100.0, 3000.0), (200.0, 9000.0))]


def noise_of(model, planes, *correlations):
    plain, convolved = planes
    sigma = np.sqrt(plain + model.convolve_planes(convolved.copy(), convolved)[1]) * SCALE
    field = NoiseField(plain, convolved, np.zeros((N, N), np.int32), sigma, model, SCALE, (0, 0), *correlations)
    return DifferenceNoise([field], [(0, N - 1, 0, N - 1)], Frame.from_planes(np.ones((N, N)), unit='adu'))


def differences(model, planes, n, *smoothing):
    """Realisations of the difference's noise; of images that were smoothed before, if wanted."""
    rng = np.random.default_rng(5)
    for _ in range(n):
        images = [rng.normal(0, 1, (N, N)) for _ in planes]
        images = [fftconvolve(image, s, mode='same') for image, s in zip(images, smoothing, strict=True)
                  ] if smoothing else images
        plain, convolved = (image * np.sqrt(plane) for image, plane in zip(images, planes, strict=True))
        yield SCALE * (plain - model.convolve_planes(convolved.astype(np.float32))[0])


def true_variance(values):
    """Variance of each column about a mean known to be zero."""
    return np.mean(np.square(values), axis=0)


def test_errors_of_apertures_are_the_scatter_of_realisations(model, planes):
    radii = (2, 4, 8)
    noise = noise_of(model, planes)
    apertures = [CircularAperture(POSITIONS, r) for r in radii]
    sums = np.array([[aperture_photometry(d, a)['aperture_sum'] for a in apertures]
                     for d in differences(model, planes, 250)])
    for k, r in enumerate(radii):
        ratio = true_variance(sums[:, k]) / noise.aperture_error(POSITIONS, r).value**2
        # 250 realisations at 25 places: the mean is known to 1.8 %
        assert ratio.mean() == pytest.approx(1, abs=0.035)
        assert np.abs(ratio - 1).max() < 0.4
    # which is not what the noise of the pixels alone says
    naive = aperture_photometry(noise.fields[0].noise**2, apertures[2])['aperture_sum']
    assert np.mean(noise.aperture_error(POSITIONS, 8).value**2 / naive) > 1.3


def test_errors_of_psf_fluxes_are_the_scatter_of_realisations(model, planes):
    noise = noise_of(model, planes)
    psf = FieldPSF(GivenPSF.of(PSF(3.2, 'gaussian')(10, 10)(*np.meshgrid(np.arange(21), np.arange(21))), (0, 0)))
    stamps = [psf.stamp(x, y) for x, y in POSITIONS]
    half, v = psf.half_width, noise.fields[0].noise**2
    boxes = [np.s_[round(y) - half:round(y) + half + 1, round(x) - half:round(x) + half + 1] for x, y in POSITIONS]
    fluxes = np.array([[np.sum(d[b] * p / v[b]) / np.sum(p * p / v[b]) for b, p in zip(boxes, stamps, strict=True)]
                       for d in differences(model, planes, 250)])
    ratio = true_variance(fluxes) / noise.psf_flux_error(POSITIONS, psf).value**2
    assert ratio.mean() == pytest.approx(1, abs=0.035)


@has_covariance
def test_the_covariance_of_a_cutout_gives_the_variance_of_any_sum_in_it(model, planes):
    noise, rng = noise_of(model, planes), np.random.default_rng(3)
    cut = np.s_[50:66, 30:50]
    covariance = noise.covariance(cut)
    assert isinstance(covariance, nddata.Covariance)
    assert covariance.data_shape == (16, 20)
    assert covariance.unit == u.adu**2
    matrix, field = covariance.to_dense(), noise.fields[0]
    for _ in range(3):
        w = rng.normal(size=(16, 20))
        assert w.ravel() @ matrix @ w.ravel() == pytest.approx(field.variance_of_sum(w, 30, 50), rel=1e-6)
    np.testing.assert_allclose(noise.covariance(Cutout2D(field.noise, (39.5, 57.5), (16, 20))).to_dense(), matrix)
    # the diagonal is the noise plane, but for the kernel of each pixel
    np.testing.assert_allclose(np.sqrt(np.diag(matrix)), field.noise[cut].ravel(), rtol=0.02)


def test_a_single_pixel_has_the_noise_of_its_pixel(model, planes):
    field = noise_of(model, planes).fields[0]
    for x, y in ((30, 40), (41, 59), (90, 77)):
        assert np.sqrt(field.variance_of_sum(np.ones((1, 1)), x, y)) == pytest.approx(field.noise[y, x], rel=0.01)


def test_the_autocorrelation_is_that_of_realisations(model, planes):
    flat = [np.full((N, N), np.float32(v)) for v in (100, 200)]
    noise, sums = noise_of(model, flat), np.zeros(4)
    for d in differences(model, flat, 60):
        box = d[50:70, 50:80]
        sums += [np.mean(box[:, :-3] * box[:, lag:lag + 27]) for lag in range(4)]
    a = noise.fields[0].autocorrelation(65, 60)
    middle = len(a) // 2
    assert a[middle, middle] == 1
    np.testing.assert_allclose(a, a[::-1, ::-1], atol=1e-12)
    np.testing.assert_allclose(a[middle, middle:middle + 4], sums / sums[0], atol=0.02)


@has_covariance
def test_correlated_inputs_count_too(model, planes):
    """Resampled images: their noise is smoothed, and its autocorrelation given."""
    smoothing = [np.outer(k, k) / np.linalg.norm(k)**2 for k in ([0.2, 0.6, 0.2], [0.3, 0.4, 0.3])]
    given = [fftconvolve(s, s[::-1, ::-1]) for s in smoothing]
    noise = noise_of(model, planes, *given)
    aperture = CircularAperture(POSITIONS, 4)
    sums = np.array([aperture_photometry(d, aperture)['aperture_sum'] for d in
                     differences(model, planes, 250, *smoothing)])
    ratio = true_variance(sums) / noise.aperture_error(POSITIONS, 4).value**2
    assert ratio.mean() == pytest.approx(1, abs=0.035)
    assert np.mean(true_variance(sums) / noise_of(model, planes).aperture_error(POSITIONS, 4).value**2) > 1.3
    w = np.random.default_rng(3).normal(size=(9, 8))
    got = w.ravel() @ noise.covariance(np.s_[50:59, 30:38]).to_dense() @ w.ravel()
    assert got == pytest.approx(noise.fields[0].variance_of_sum(w, 30, 50), rel=1e-6)


@has_covariance
def test_bad_pixels_do_not_count(model, planes):
    noise = noise_of(model, planes)
    flags = np.zeros((N, N), np.int32)
    flags[:, :60] = hp.HotpantsFlags.OUTPUT_ISBAD
    cut = replace(noise, fields=[replace(noise.fields[0], flags=flags)])
    inside, beside, half = cut.aperture_error([(30, 30), (90, 60), (59.5, 80)], 5).value
    whole = noise.aperture_error([(59.5, 80)], 5).value[0]
    assert np.isnan(inside)
    assert beside == noise.aperture_error([(90, 60)], 5).value[0]
    assert 0.5 * whole < half < 0.8 * whole
    assert not cut.covariance(np.s_[70:75, 57:60]).to_dense().any()


def test_an_astropy_without_covariances_is_named(model, planes, monkeypatch):
    monkeypatch.delattr(nddata, 'Covariance', raising=False)
    with pytest.raises(hp.NotSupportedError, match='needs astropy'):
        noise_of(model, planes).covariance(np.s_[50:60, 50:60])


def test_a_bright_star_on_a_dark_sky_is_no_pixel_of_endless_noise():
    plane, flags = np.full((60, 60), 0.05, 'f4'), np.zeros((60, 60), 'i4')
    plane[30, 30] = 2e5                                         # counted, on a sky of 0.05
    plain, convolved, more = _without_loud(plane, plane, flags, 5)
    assert plain is convolved is plane
    assert not more.any()
    assert precision_for(plane) is np.float64                   # in single precision its rounding would be the sky's
    assert precision_for(np.minimum(plane, 10)) is np.float32


def test_a_template_with_next_to_no_noise_has_no_pixel_of_endless_noise():
    plane, flags = np.zeros((400, 400), 'f4'), np.zeros((400, 400), 'i4')
    plane[7, 13] = 4
    *_, more = _without_loud(plane, plane, flags, 5)
    assert not more.any()


def test_each_row_has_its_error(model, planes):
    first, unknown, last = noise_of(model, planes).aperture_error([(50, 50), (np.nan, 5), (50, 50)], 3).value
    assert np.isnan(unknown)
    assert first == last > 0


@has_covariance
def test_what_cannot_be_asked_for(model, planes):
    noise = noise_of(model, planes)
    assert np.isnan(noise.aperture_error([(-50, 500)], 3).value).all()
    with pytest.raises(InputError, match='above zero'):
        noise.aperture_error([(50, 50)], 0)
    with pytest.raises(InputError, match='at most half the shorter side of the image'):
        noise.aperture_error([(50, 50)], 1e4)
    with pytest.raises(InputError, match='two slices'):
        noise.covariance((0, 1))
    with pytest.raises(InputError, match='0 x 120'):
        noise.covariance(np.s_[0:0, 0:200])


@pytest.mark.parametrize('direction', ['t', 'i'])
def test_the_noise_of_a_subtraction_is_its_noise_plane(direction):
    sharp = {'science_fwhm': 2.8, 'template_fwhm': 3.6} if direction == 'i' else {}
    pair = make_pair((220, 220), seed=2, n_stars=60, n_transients=2, transient_snr=(5, 10), **sharp)
    hot = hp.Hotpants(pair.template, pair.science, n_threads=1,
                      config=hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4, force_convolve=direction))
    noise = DifferenceNoise.of(hot)
    plane = hot.assemble('noise')
    field = noise.at(100, 120)
    for x, y in ((100, 120), (60, 150), (160, 40)):
        assert np.sqrt(field.variance_of_sum(np.ones((1, 1)), x, y)) == pytest.approx(plane[y, x], rel=1e-3)
    assert noise.aperture_error(pair.transients, 3).unit == u.adu
