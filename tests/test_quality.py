"""The verdict on a difference: good pairs pass, deliberate failures end in an error or are not called good."""

import pickle
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.wcs import WCS
from scipy import ndimage

from hotpants_cy import Hotpants, HotpantsConfig
from hotpants_cy.datasets import make_pair
from hotpants_cy.exceptions import DeconvolutionWarning, HotpantsError, NoiseModelWarning, RegistrationWarning
from hotpants_cy.inputs.registration import largest_offset, warn_if_misregistered
from hotpants_cy.inspection.concerns import warn_of
from hotpants_cy.inspection.expectations import EXPECTATIONS, Expectation
from hotpants_cy.inspection.kernel_shape import centroid
from hotpants_cy.inspection.quality import measure_quality
from hotpants_cy.inspection.sky import sample_sky

SHAPE = 256, 256
FEW = {'ko': 0, 'nstampx': 4, 'nstampy': 4}
BRIGHT = {'star_flux': (2e4, 4e5)}


def pair_of(**options):
    return make_pair(**{'shape': SHAPE, 'seed': 1, 'n_transients': 0, 'n_stars': 60, **options})


def subtracted(template, science, **changes):
    hot = Hotpants(template, science, config=HotpantsConfig(**{**FEW, 'force_convolve': 't', **changes}), n_threads=1)
    hot.assemble('difference')
    return hot


def judged(pair, **changes):
    return measure_quality(subtracted(pair.template, pair.science, **changes))


def changed(image, data=None, sigma=None, **attributes):
    """A copy of an image with other pixels, uncertainties (None: as they are, 0: none), mask or WCS."""
    new = image.copy()
    if data is not None:
        new.data = np.asarray(data, np.float32)
    if sigma is not None:
        new.uncertainty = StdDevUncertainty(sigma.astype(np.float32)) if np.ndim(sigma) else None
    for name, value in attributes.items():
        setattr(new, name, value)
    return new


# -- good pairs ---------------------------------------------------------------------------------

GOOD = {
    'the template is sharper': {},
    'the science image is sharper': {'science_fwhm': 2.8, 'template_fwhm': 3.6},
    'sharp': {'science_fwhm': 2.2, 'template_fwhm': 1.5},
    'blurred': {'science_fwhm': 8, 'template_fwhm': 5, **BRIGHT},
    'very different': {'science_fwhm': 6.5, 'template_fwhm': 2, **BRIGHT},
    'sparse': {'n_stars': 25, **BRIGHT},
    'crowded': {'n_stars': 700},
    'a deep template': {'template_noise': 0.1},
    'another flux ratio': {'flux_ratio': 3.0},
    'Gaussians': {'profile': 'gaussian'},
    'a few transients': {'n_transients': 5},
    'bad columns': {'masked_blocks': [np.s_[:, x:x + 2] for x in range(40, 256, 60)]},
    'a larger image': {'shape': (400, 300), 'n_stars': 120},
}


@pytest.mark.parametrize('options', GOOD.values(), ids=GOOD)
def test_good_pairs_pass_without_a_warning(options):
    pair = pair_of(**options)
    direction = 't' if pair.science_psf.fwhm > pair.template_psf.fwhm else 'i'
    hot = subtracted(pair.template, pair.science, force_convolve=direction)
    quality = measure_quality(hot)
    assert quality.verdict != 'bad', quality.reasons
    assert quality.sky_width.grade == 'good'
    assert quality.star_residual.grade == 'good'
    warn_of(hot)                                     # warnings are errors here


@pytest.mark.parametrize('seed', range(6))
def test_the_demo_pair_is_good(seed):
    quality = judged(make_pair((400, 400), seed=seed), ko=1, nstampx=7, nstampy=7)
    assert quality.verdict == 'good', quality.reasons
    assert quality.flux_ratio.value == pytest.approx(0.85, rel=0.01)


# -- failures -----------------------------------------------------------------------------------

def moved(image, **how):
    if 'shift' in how:
        return changed(image, ndimage.shift(image.data, how['shift'], order=3, mode='reflect'))
    return changed(image, ndimage.rotate(image.data, how['angle'], reshape=False, order=3, mode='reflect'))


def exposed(pair, fluxes, x=None, y=None):
    """The science image of a pair with other fluxes (or places) of its stars."""
    stars, rng = pair.stars.copy(), np.random.default_rng(5)
    stars['flux'] = fluxes
    stars['x'], stars['y'] = stars['x'] if x is None else x, stars['y'] if y is None else y
    scene = 400 + pair.science_psf.image(SHAPE, stars)
    sigma = np.sqrt(scene + 25)
    return changed(pair.science, rng.normal(scene, sigma), sigma)


def other_filter(scatter, seed):
    pair = pair_of(seed=seed)
    colours = np.exp(np.random.default_rng(seed).normal(0, scatter, len(pair.stars)))
    return pair.template, exposed(pair, 0.85 * pair.stars['flux'] * colours)


def flux_gradient(size):
    pair = pair_of(seed=3)
    return pair.template, exposed(pair, 0.85 * pair.stars['flux'] * (1 + size * (pair.stars['x'] / 255 - 0.5)))


def jittered():
    pair, rng = pair_of(seed=3), np.random.default_rng(2)
    x, y = (pair.stars[name] + rng.normal(0, 0.7, len(pair.stars)) for name in 'xy')
    return pair.template, exposed(pair, 0.85 * pair.stars['flux'], x, y)


def wrong_noise(factor):
    pair = pair_of()
    return [changed(image, sigma=image.uncertainty.array * factor) for image in (pair.template, pair.science)]


def bare(**options):
    pair = pair_of(**options)
    return [changed(image, sigma=0) for image in (pair.template, pair.science)]


def zeroed(part, science=True, template=False, value=0.0):
    images = [image.copy() for image in (pair_of().template, pair_of().science)]
    for image, wanted in zip(images, (template, science), strict=True):
        if wanted:
            image.data[part] = value
    return images


def with_background(plane):
    pair = pair_of()
    return pair.template, changed(pair.science, pair.science.data + plane)


def fringes(period):
    sigma = np.median(pair_of().science.uncertainty.array)
    return 0.5 * sigma * np.sin(2 * np.pi * (0.8 * X + 0.6 * Y) / period)


def template_through(function, **options):
    pair = pair_of(**options)
    return changed(pair.template, function(pair.template.data)), pair.science


def science_through(function, **options):
    pair = pair_of(**options)
    return pair.template, changed(pair.science, function(pair.science.data))


def masked(fraction):
    pair, mask = pair_of(), np.zeros(SHAPE, bool)
    mask[:int(256 * fraction)] = True
    return pair.template, changed(pair.science, mask=mask)


def plain(**options):
    pair = pair_of(**options)
    return pair.template, pair.science


Y, X = np.mgrid[:256, :256]
FAILURES = {
    **{f'shifted by {s} in x': (lambda s=s: (moved(pair_of().template, shift=(0, s)), pair_of().science), {})
       for s in (1.5, 3, 5, 8, 12)},
    **{f'shifted by {s} in x and y': (lambda s=s: (moved(pair_of(seed=2).template, shift=(s, s)),
                                                   pair_of(seed=2).science), {'ko': 1}) for s in (1, 3, 5, 8)},
    **{f'rotated by {a} degrees, ko={ko}': (lambda a=a: (moved(pair_of(seed=5).template, angle=a),
                                                         pair_of(seed=5).science), {'ko': ko})
       for a in (0.5, 1, 2, 5) for ko in (0, 1)},
    **{f'another field {k}{c}': (lambda k=k: (pair_of(seed=k + 10).template, pair_of(seed=k).science),
                                 {'force_convolve': c}) for k in range(4) for c in 'ti'},
    'mirrored in x': (lambda: template_through(lambda d: d[:, ::-1]), {}),
    'mirrored in y': (lambda: template_through(lambda d: d[::-1], seed=2), {'ko': 1}),
    'transposed': (lambda: template_through(np.transpose, seed=3), {}),
    'upside down in flux': (lambda: science_through(np.negative), {}),
    'another pixel scale': (lambda: template_through(lambda d: ndimage.zoom(d, 1.03, order=3)[:256, :256]), {}),
    **{f'another filter {s}, {k}': (lambda s=s, k=k: other_filter(s, k), {}) for s in (0.15, 0.3, 0.6)
       for k in range(3)},
    **{f'flux gradient {g}': (lambda g=g: flux_gradient(g), {}) for g in (0.4, 0.8, 1.5)},
    'stars that moved': (jittered, {}),
    **{f'gain {g}': (lambda: bare(), {'igain': g, 'tgain': g, 'irdnoise': 5, 'trdnoise': 5})
       for g in (0.1, 0.25, 4, 10)},
    **{f'science gain {g}': (lambda: bare(), {'igain': g, 'irdnoise': 5, 'trdnoise': 5}) for g in (0.25, 4)},
    'gain of 4 forgotten': (lambda: bare(gain=4), {}),
    **{f'uncertainties times {s:g}': (lambda s=s: wrong_noise(s), {}) for s in (0.01, 0.1, 1 / 3, 0.5, 2, 3, 10, 100)},
    'noise that the uncertainties do not know': (lambda: with_background(
        np.random.default_rng(0).normal(0, 60, SHAPE)), {}),
    **{f'deconvolution {a} from {b}, {p}': (lambda a=a, b=b, p=p: plain(science_fwhm=a, template_fwhm=b, profile=p), {})
       for a, b in ((2, 3.6), (2.8, 3.6), (2, 6), (3, 8), (1.5, 3), (4, 5.5)) for p in ('moffat', 'gaussian')},
    'deconvolution of the science image': (lambda: plain(science_fwhm=5, template_fwhm=2.5), {'force_convolve': 'i'}),
    **{f'kernel of half width {r}': (lambda: plain(science_fwhm=8, template_fwhm=2), {'rkernel': r, 'rss': 10})
       for r in (1, 2, 3)},
    **{f'{n} star(s), ko={ko}': (lambda n=n: plain(n_stars=n, star_flux=(2e5, 4e5), seed=4), {'ko': ko, 'bgo': 0})
       for n in (1, 2) for ko in (0, 1)},
    **{f'saturated at {s}': (lambda s=s: plain(saturation=s, star_flux=(4e4, 1e6)), {}) for s in (3000, 8000)},
    'saturated template': (lambda: template_through(lambda d: np.minimum(d, 4000), star_flux=(2e4, 1e6)), {}),
    'some saturated stars': (lambda: plain(saturation=6000, n_saturated=12), {}),
    **{f'{f:.0%} masked': (lambda f=f: masked(f), {}) for f in (0.5, 0.6, 0.7, 0.85)},
    'a huge kernel of one star': (lambda: plain(n_stars=8, star_flux=(4e3, 5e4), seed=6),
                                  {'rkernel': 20, 'rss': 20, 'deg_fixe': (8, 8, 8), 'sigma_gauss': (1, 2.5, 6)}),
    'a huge kernel of few stars': (lambda: plain(n_stars=40, star_flux=(2e3, 2e4), seed=8),
                                   {'rkernel': 15, 'ko': 1, 'deg_fixe': (10, 10, 10), 'sigma_gauss': (1, 2.5, 5)}),
    **{f'waves of the sky, {a} and {s}': (lambda a=a, s=s: with_background(a * np.sin(X / s) * np.cos(Y / s)), {})
       for a, s in ((30, 15), (100, 15), (30, 40), (100, 40))},
    **{f'fringes of half a sigma, {p} pixels wide': (lambda p=p: with_background(fringes(p)), {'ko': 1})
       for p in (80, 160)},
    'a steep sky': (lambda: with_background(300 * (X / 255 - 0.5)**2), {'bgo': 0}),
    'a ghost': (lambda: with_background(50 * np.exp(-((X - 128)**2 + (Y - 128)**2) / 1800)), {}),
    'stripes': (lambda: with_background(np.random.default_rng(0).normal(0, 30, (256, 1))), {}),
    'half of the science image zero': (lambda: zeroed(np.s_[:128]), {}),
    'half of the template zero': (lambda: zeroed(np.s_[:, 128:], False, True), {}),
    'half of both zero': (lambda: zeroed(np.s_[:128], True, True), {}),
    'a quarter zero': (lambda: zeroed(np.s_[:128, :128]), {}),
    'half constant': (lambda: zeroed(np.s_[:128], value=420.0), {}),
    'nothing but noise': (lambda: science_through(lambda d: np.random.default_rng(0).normal(400, 20, d.shape)),
                          {'fitthresh': 5}),
    'trailed': (lambda: science_through(lambda d: ndimage.uniform_filter1d(d, 25, axis=1)), {}),
    'exposed twice': (lambda: science_through(lambda d: (d + np.roll(d, 25, axis=1)) / 2), {}),
    'a PSF that varies': (lambda: plain(variation=1.2), {}),
    'out of focus': (lambda: plain(science_fwhm=14, template_fwhm=2.5, star_flux=(1e5, 1e6)), {'rkernel': 5}),
}


def test_there_are_a_hundred_failures():
    assert len(FAILURES) >= 100


@pytest.mark.parametrize(('images', 'changes'), FAILURES.values(), ids=FAILURES)
def test_failures_end_in_an_error_or_are_not_called_good(images, changes):
    try:
        quality = measure_quality(subtracted(*images(), **changes))
    except HotpantsError:                            # what it says is tested elsewhere
        return
    assert quality.verdict != 'good', str(quality)
    assert quality.reasons


@pytest.mark.parametrize(('failure', 'name'), [
    ('uncertainties times 3', 'sky_width'), ('gain 4', 'sky_width'), ('shifted by 3 in x', 'shift'),
    ('another filter 0.3, 0', 'flux_scatter'), ('deconvolution 2.8 from 3.6, moffat', 'noise_gain'),
    ('deconvolution 2.8 from 3.6, moffat', 'sharpening'), ('kernel of half width 3', 'edge'),
    ('rotated by 2 degrees, ko=0', 'unmatched'), ('rotated by 2 degrees, ko=0', 'star_residual'),
    ('some saturated stars', 'saturated'), ('half of both zero', 'dead'), ('60% masked', 'masked'),
    ('waves of the sky, 30 and 40', 'background'), ('waves of the sky, 100 and 15', 'sky_correlation'),
    ('2 star(s), ko=0', 'stars_used'),
])
def test_the_measure_that_is_meant_for_a_failure_sees_it(failure, name):
    images, changes = FAILURES[failure]
    assert measure_quality(subtracted(*images(), **changes))[name].grade != 'good'


# -- numbers that are known ---------------------------------------------------------------------

def test_sky_width_and_chi2_scale_with_the_uncertainties():
    plain_quality, tripled = (measure_quality(subtracted(*wrong_noise(factor))) for factor in (1, 3))
    assert plain_quality.sky_width.value == pytest.approx(1, abs=0.05)
    assert tripled.sky_width.value == pytest.approx(plain_quality.sky_width.value / 3, rel=0.02)


def test_correlation_is_measured_against_that_of_the_kernel():
    # a noisy template, blurred: its noise is correlated by 0.5 and more, and that is expected
    quality = judged(pair_of(template_noise=3, science_fwhm=5, **BRIGHT))
    assert abs(quality.sky_correlation.value) < 0.05


def test_the_shift_is_that_of_the_template():
    pair = pair_of()
    hot = subtracted(moved(pair.template, shift=(0, 2)), pair.science)
    assert measure_quality(hot).shift.value == pytest.approx(2, abs=0.2)


def test_the_centroid_of_a_kernel_is_its_own():
    y, x = np.mgrid[-10:11, -10:11]
    assert centroid(np.exp(-((x - 1.5)**2 + (y + 2)**2) / 8)) == pytest.approx([1.5, -2], abs=0.02)


def test_one_failed_region_is_told():
    pair = pair_of(shape=(256, 512), n_stars=120)
    pair.science.data[:, 256:] = np.random.default_rng(0).normal(400, 20, (256, 256))
    hot = subtracted(pair.template, pair.science, nregx=2, nstampx=3)
    assert sum(region.error is not None for region in hot.regions) == 1
    quality = measure_quality(hot)
    assert quality.regions_failed.value == 1
    assert quality.masked.value >= 0.5
    assert quality.verdict != 'good'


# -- the object ---------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def poor():
    return measure_quality(subtracted(*wrong_noise(3)))


def test_a_measure_is_an_attribute_and_an_item(poor):
    assert poor.sky_width is poor['sky_width']
    assert poor.sky_width.name == 'sky_width'
    assert 'sky_width' in dir(poor)
    with pytest.raises(AttributeError, match='no_such'):
        poor.no_such  # noqa: B018
    with pytest.raises(KeyError):
        poor['no_such']


def test_reasons_have_the_number(poor):
    assert poor.verdict == 'usable'
    assert any(f'{poor.sky_width.value:.3g}' in reason for reason in poor.reasons)


def test_it_can_be_shown_and_kept(poor):
    assert poor.verdict in str(poor)
    assert len(str(poor).splitlines()) < 25
    assert '<table>' in poor._repr_html_()
    assert str(pickle.loads(pickle.dumps(poor))) == str(poor)
    table = poor.to_table()
    assert list(table['name']) == list(EXPECTATIONS)


def test_cards_go_into_a_header(poor):
    header = fits.Header()
    header.update(poor.cards())
    assert header['QVERDICT'] == 'usable'
    assert header['QPULL'] == pytest.approx(poor.sky_width.value, rel=1e-4)
    keywords = [rule.keyword for rule in EXPECTATIONS.values()]
    assert len(set(keywords)) == len(keywords)
    assert max(map(len, keywords)) <= 8


def test_what_cannot_be_measured_has_a_grade():
    rule = Expectation('K', 'a measure', (0, 1), (0, 2), 'it is {value}, above {limit}', missing='usable')
    assert [rule.grade(v) for v in (0.5, 1.5, 3, np.nan)] == ['good', 'usable', 'bad', 'usable']
    assert rule.words(3, 'bad') == 'it is 3, above 1'
    assert 'could not be measured' in rule.words(np.nan, 'usable')


# -- warnings -----------------------------------------------------------------------------------

def test_deconvolution_is_warned_of_with_the_other_direction():
    hot = subtracted(*plain(science_fwhm=2.8, template_fwhm=3.6))
    with pytest.warns(DeconvolutionWarning, match=r"the template was convolved.*force_convolve='i'") as caught:
        warn_of(hot)
    assert caught[0].filename == __file__


def test_contradicted_noise_is_warned_of_with_the_gain():
    hot = subtracted(*bare(), igain=4, tgain=4, irdnoise=5, trdnoise=5)
    with pytest.warns(NoiseModelWarning, match=r'scatters by (1\.9|2\.\d)\d* times its noise: .*igain=4'):
        warn_of(hot)
    with pytest.warns(NoiseModelWarning, match=r'0\.33.*uncertainties'):
        warn_of(subtracted(*wrong_noise(3)))


@pytest.mark.parametrize('more', [{}, {'weights': True}])
def test_an_image_subtracted_from_itself_is_told_by_its_noise(more):
    science = plain()[0]
    with pytest.warns(NoiseModelWarning, match=r'noise of the two images is the same.*\(correlation 1\.00\)') as told:
        warn_of(subtracted(science, science, **more))
    assert 'igain' not in str(told[0].message)


def test_a_sky_with_a_slope_in_both_images_is_not_taken_for_common_noise():
    slope = 6 * X
    images = [changed(image, data=image.data + slope * ratio)
              for image, ratio in zip(wrong_noise(3), (1, 0.85), strict=True)]
    with pytest.warns(NoiseModelWarning, match=r'0\.3.*check the uncertainties'):
        warn_of(subtracted(*images))


def test_a_kernel_off_centre_is_warned_of():
    pair = pair_of()
    with pytest.warns(RegistrationWarning, match=r'up to [12]\.\d\d pixels off centre'):
        warn_of(subtracted(moved(pair.template, shift=(0, 2)), pair.science))


def offset_by(pixels):
    pair = pair_of()
    wcs = pair.template.wcs.deepcopy()
    wcs.wcs.crpix[0] += pixels
    return pair.science, changed(pair.template, wcs=wcs)


def test_world_coordinates_are_compared():
    warn_if_misregistered(*offset_by(0.05))
    with pytest.warns(RegistrationWarning, match=r'differ by 0\.5 pixels(.|\n)*reproject_interp') as caught:
        warn_if_misregistered(*offset_by(0.5))
    assert caught[0].filename == __file__


def test_another_part_of_the_sky_is_told():
    science, template = offset_by(0)
    template.wcs.wcs.crval = 330.1, -2.2
    assert largest_offset(science, template)[0] == np.inf
    with pytest.warns(RegistrationWarning, match='different parts of the sky'):
        warn_if_misregistered(science, template)


def test_rotation_is_seen_at_the_corners():
    science, template = offset_by(0)
    c, s = np.cos(0.01), np.sin(0.01)
    template.wcs.wcs.pc = [[c, -s], [s, c]]
    offset, (x, y) = largest_offset(science, template)
    assert offset == pytest.approx(0.01 * 127.5 * np.sqrt(2), rel=1e-3)
    assert {x, y} <= {0.0, 255.0}


def odd_wcs(kind):
    wcs = pair_of().science.wcs.deepcopy()
    if kind == 'singular':
        wcs.wcs.pc = [[1, 1], [1, 1]]
    elif kind == 'NaN':
        wcs.wcs.crval = np.nan, np.nan
    elif kind == 'constant':
        wcs.wcs.cdelt = 0, 0
    elif kind == 'linear':
        wcs = WCS(naxis=2)
    elif kind == 'cube':
        wcs = WCS(naxis=3)
        wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN', 'FREQ'
    return None if kind == 'none' else wcs


@pytest.mark.parametrize('kind', ['singular', 'NaN', 'constant', 'linear', 'cube', 'none'])
def test_odd_world_coordinates_are_no_trouble(kind):
    pair = pair_of()
    good, odd = pair.science, changed(pair.template)
    odd._wcs = odd_wcs(kind)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RegistrationWarning)
        warn_if_misregistered(good, odd)
        warn_if_misregistered(odd, good)
        warn_if_misregistered(odd, odd)


# -- noise that is not white, and images without any ---------------------------------------------

def test_a_correlation_of_the_noise_that_is_known_is_expected():
    pair = make_pair((256, 256), seed=5, n_transients=0, noise=False)
    rng, kernel = np.random.default_rng(1), np.array([[0.25, 0.5, 0.25]]) * np.array([[0.25], [0.5], [0.25]])
    for image in (pair.science, pair.template):
        noise = ndimage.convolve(rng.normal(size=image.shape), kernel) / np.sqrt(np.sum(kernel**2))
        image.data += image.uncertainty.array * noise
    power = ndimage.convolve(np.pad(kernel, 1), kernel, mode='constant')
    correlation = power / power.max()
    config = HotpantsConfig(ko=0, nstampx=4, nstampy=4)
    unknown, known = (
        {m.name: m for m in measure_quality(Hotpants(pair.template, pair.science, config=config,
                                                     noise_correlations=given)).measures}['sky_correlation']
        for given in ((None, None), (correlation, correlation)))
    assert unknown.value > 0.3
    assert abs(known.value) < 0.1


def test_an_empty_template_without_noise_is_not_dead():
    pair = make_pair((256, 256), seed=5, n_stars=20, n_transients=0, template_noise=0)
    pair.template.data[:] = np.where(pair.template.data < 253, 250, pair.template.data)
    hot = Hotpants(pair.template, pair.science, config=HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    hot.assemble('difference')
    assert sample_sky(hot.region).dead == 0
    pair.template.uncertainty.array[:] = 1
    hot = Hotpants(pair.template, pair.science, config=HotpantsConfig(ko=0, nstampx=4, nstampy=4))
    hot.assemble('difference')
    assert sample_sky(hot.region).dead > 0.02
