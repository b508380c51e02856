"""Whatever a malicious stranger hands in: one clear sentence, or a right result; never a hang, never half a file."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.table import QTable

import hotpants_cy as hp
from hotpants_cy.cli.main import main
from hotpants_cy.datasets import PSF, make_pair

CONFIG = hp.HotpantsConfig(rkernel=6, rss=9, nstampx=4, nstampy=4, ko=1)
PAIR = make_pair((256, 256), seed=3, n_transients=0)
SCIENCE, TEMPLATE = PAIR.science.data, PAIR.template.data
SHAPE = SCIENCE.shape


def subtract(science=PAIR.science, template=PAIR.template, config=CONFIG):
    return hp.subtract(science, template, config=config)


def refused(science=PAIR.science, template=PAIR.template, config=CONFIG, error=hp.HotpantsError):
    """The one sentence that the images are refused with."""
    with pytest.raises(error) as caught:
        subtract(science, template, config)
    text = str(caught.value)
    assert len(text) > 20
    assert '\n' not in text
    return text


def assert_is_right(result):
    """The difference of a pair without transients is noise of the width that it says."""
    difference = result.difference
    good = ~difference.mask
    pull = (difference.data / difference.uncertainty.represent_as(StdDevUncertainty).array)[good]
    assert good.mean() > 0.5
    assert np.isfinite(pull).all()
    assert 1.4826 * np.median(np.abs(pull)) == pytest.approx(1, abs=0.08)
    assert result.kernel.sum(128, 128) == pytest.approx(PAIR.kernel_sum, rel=0.02)


def sky(seed, level=100.0):
    return np.random.default_rng(seed).normal(level, 10, SHAPE).astype('f4')


def with_value(image, value, where):
    image = image.copy()
    image[where] = value
    return image


def with_sigma(image, plane, kind=StdDevUncertainty):
    return CCDData(image.data, unit='adu', uncertainty=kind(plane))


# -- no image ---------------------------------------------------------------------------------

@pytest.mark.parametrize('image', [
    None, {}, [['a', 'b']], [[1, 2], [3]], object(), 3.0, SCIENCE[0], SCIENCE[None], SCIENCE[:0], SCIENCE[:, :0],
    SCIENCE + 0j, SCIENCE > 500, np.zeros(SHAPE, 'M8[s]'), np.zeros(SHAPE, [('a', 'f4')]), np.full(SHAPE, 'x'),
    np.full(SHAPE, None), (SCIENCE, SCIENCE), '', 'missing.fits', '/', '/dev/null',
], ids=lambda image: f'{type(image).__name__}-{getattr(image, "dtype", "")}{getattr(image, "shape", "")}')
@pytest.mark.parametrize('side', ['science', 'template'])
def test_what_is_no_2d_image_of_numbers_is_refused(side, image):
    refused(**{side: image}, error=hp.InputError)


@pytest.mark.parametrize('shape', [(255, 256), (256, 200), (1, 1)])
def test_shapes_that_differ_are_named(shape):
    assert str(shape) in refused(template=TEMPLATE[:shape[0], :shape[1]], error=hp.InputError)


@pytest.mark.parametrize('shape', [(1, 1), (1, 256), (256, 1), (2, 256), (30, 256), (256, 30)])
def test_images_smaller_than_kernel_and_substamp_are_refused_with_sizes(shape):
    cut = np.s_[:shape[0], :shape[1]]
    text = refused(SCIENCE[cut], TEMPLATE[cut], error=hp.InputError)
    assert f'{shape[1]} x {shape[0]} pixels' in text or shape == (1, 1)


@pytest.mark.parametrize('size', [21, 50, 51, 60, 80, 81, 82, 100])
def test_images_with_hardly_any_room_for_a_star_end_in_an_error(size):
    refused(SCIENCE[:size, :size], TEMPLATE[:size, :size], hp.HotpantsConfig())


def test_81_pixels_have_room_for_exactly_one_star():
    images = []
    for fwhm, seed in ((3.6, 1), (2.8, 2)):
        star = PSF(fwhm).image((81, 81), QTable({'x': [40.0], 'y': [40.0], 'flux': [1e5]}))
        images.append(star + sky(seed)[:81, :81])
    result = hp.subtract(*images, config=hp.HotpantsConfig(ko=0, bgo=0, force_convolve='t'))
    assert [(s['x'], s['y']) for s in result.substamps] == [(40, 40)]
    assert result.kernel.sum(40, 40) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize('half_width', [200, 1000])
def test_a_kernel_larger_than_the_image_is_refused(half_width):
    text = refused(config=hp.HotpantsConfig(rkernel=half_width, rss=half_width), error=hp.InputError)
    assert f'{2 * half_width + 1} pixels' in text


# -- images without contents ------------------------------------------------------------------

@pytest.mark.parametrize('value', [0, 5, -3e4, 1e30])
@pytest.mark.parametrize('which', [('science',), ('template',), ('science', 'template')])
def test_constant_images_are_refused_with_their_value(which, value):
    text = refused(**{side: np.full(SHAPE, value, 'f4') for side in which}, error=hp.InputError)
    assert f'{value:g}' in text


@pytest.mark.parametrize('side', ['science', 'template'])
@pytest.mark.parametrize('make', [
    lambda a: CCDData(a, unit='adu', mask=np.ones(SHAPE, bool)), lambda a: np.ma.array(a, mask=True),
    lambda a: a * np.nan, lambda a: a + np.inf, lambda a: np.full(SHAPE, 1e300)])
def test_images_without_a_usable_pixel_are_refused(side, make):
    assert 'no pixel of' in refused(**{side: make(SCIENCE)}, error=hp.InputError)


def test_masks_that_leave_nothing_in_common_end_in_an_error():
    left = np.zeros(SHAPE, bool)
    left[:, :128] = True
    refused(np.ma.array(SCIENCE, mask=left), np.ma.array(TEMPLATE, mask=~left), error=hp.NoStampsError)


@pytest.mark.parametrize('where', [np.s_[::2], np.s_[:, ::2], np.s_[::5, ::5]])
def test_bad_pixels_in_every_substamp_end_in_an_error(where):
    refused(with_value(SCIENCE, np.nan, where), error=hp.NoStampsError)


def test_pure_noise_has_no_star():
    text = refused(sky(1), sky(2), error=hp.NoStampsError)
    assert 'fitthresh' in text


def test_one_star_does_not_determine_a_varying_kernel():
    stars = [PSF(fwhm).image(SHAPE, QTable({'x': [128.0], 'y': [128.0], 'flux': [1e5]})) for fwhm in (3.6, 2.8)]
    text = refused(stars[0] + sky(1), stars[1] + sky(2), error=hp.TooFewStampsError)
    assert 'ko' in text


@pytest.mark.parametrize('ko', [6, 10])
def test_more_spatial_terms_than_stars_are_refused_with_both_numbers(ko):
    text = refused(config=CONFIG.replace(ko=ko), error=hp.TooFewStampsError)
    assert f'ko={ko}' in text
    assert f'need {(ko + 1) * (ko + 2) // 2} or more' in text


# -- odd images that are fine -----------------------------------------------------------------

@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('side', ['science', 'template'])
def test_blocks_that_are_not_finite_cost_their_surroundings_only(side, value):
    image = with_value(getattr(PAIR, side).data, value, np.s_[100:150, 100:150])
    result = subtract(**{side: with_sigma(CCDData(image, unit='adu'), getattr(PAIR, side).uncertainty.array)})
    assert_is_right(result)
    assert result.difference.mask[100:150, 100:150].all()
    assert result.difference.mask.mean() < 0.17


@pytest.mark.parametrize('dtype', ['>i2', '<i2', '>i4', 'u2', '>f8'])
def test_integers_and_foreign_byte_orders_are_fine(dtype):
    assert_is_right(subtract(SCIENCE.round().astype(dtype), TEMPLATE.round().astype(dtype)))


@pytest.mark.parametrize('offset', [-1e4, -1e5])
def test_images_that_are_negative_everywhere_are_fine_with_uncertainties(offset):
    pair = [with_sigma(CCDData(image.data + np.float32(offset), unit='adu'), image.uncertainty.array)
            for image in (PAIR.science, PAIR.template)]
    assert (pair[0].data < 0).all()
    assert_is_right(subtract(*pair))


@pytest.mark.parametrize('exponent', [-30, -20, -10, 10, 30, 50])
def test_the_scale_of_the_pixels_does_not_matter(exponent):
    scale = np.float32(2.0**exponent)

    def difference(scale):
        return subtract(*(CCDData(image.data * scale, unit='adu',
                                  uncertainty=VarianceUncertainty((image.uncertainty.array * scale)**2))
                          for image in (PAIR.science, PAIR.template))).difference
    scaled, reference = difference(scale), difference(np.float32(1))
    assert np.array_equal(scaled.mask, reference.mask)
    assert np.nanmax(np.abs(scaled.data / scale - reference.data)) < 1e-3


@pytest.mark.parametrize('value', [1e6, 1e30, 3e38, -1e30])
def test_one_wild_pixel_of_the_science_image_harms_its_surroundings_only(value):
    science = with_sigma(CCDData(with_value(SCIENCE, value, (77, 99)), unit='adu'), PAIR.science.uncertainty.array)
    assert_is_right(subtract(science, config=CONFIG.replace(force_convolve='t')))


@pytest.mark.filterwarnings('ignore::hotpants_cy.exceptions.NoiseModelWarning')
def test_a_template_that_is_the_science_image_leaves_nothing():
    difference = subtract(PAIR.science, PAIR.science).difference
    pull = difference.data / difference.uncertainty.array
    assert np.nanmax(np.abs(pull)) < 0.5
    assert np.nanmedian(np.abs(pull)) < 0.01


def test_swapped_images_give_minus_the_difference():
    forth, back = subtract(config=CONFIG.replace(normalize='t')), subtract(
        PAIR.template, PAIR.science, CONFIG.replace(normalize='i'))
    assert (forth.direction, back.direction) == ('t', 'i')
    good = ~forth.difference.mask
    assert np.allclose(forth.difference.data[good], -back.difference.data[good], atol=1e-3)


def test_more_functions_than_pixels_of_the_kernel_are_named():
    words = refused(config=CONFIG.replace(rkernel=1, deg_fixe=(6, 4, 2), sigma_gauss=(0.7, 1.5, 3)))
    assert 'its 49 functions are more than its 9 pixels; raise rkernel (1), or lower deg_fixe (6, 4, 2)' in words


# -- noise ------------------------------------------------------------------------------------

@pytest.mark.parametrize(('kind', 'value'), [
    (VarianceUncertainty, -5), (InverseVariance, 0), (InverseVariance, -1), (StdDevUncertainty, np.nan),
    (VarianceUncertainty, np.inf), (StdDevUncertainty, 1e30)])
def test_noise_that_is_unknown_everywhere_is_refused(kind, value):
    words = refused(with_sigma(PAIR.science, np.full(SHAPE, value, 'f4'), kind), error=hp.InputError)
    assert 'everything is masked, since none of the' in words
    assert 'uncertainties' in words


def test_two_images_without_any_noise_end_in_an_error():
    none = np.zeros(SHAPE, 'f4')
    refused(with_sigma(PAIR.science, none), with_sigma(PAIR.template, none))


@pytest.mark.parametrize('value', [np.nan, -1, np.inf])
def test_pixels_of_unknown_variance_are_masked(value):
    variance = with_value(PAIR.science.uncertainty.array**2, value, np.s_[50:60, 50:60])
    result = subtract(with_sigma(PAIR.science, variance, VarianceUncertainty))
    assert result.difference.mask[50:60, 50:60].all()
    assert_is_right(result)


def test_uncertainties_that_vanish_in_single_precision_are_refused():
    tiny = 1e-22
    text = refused(*(with_sigma(CCDData(image.data.astype(float) * tiny, unit='adu'), np.full(SHAPE, 20 * tiny))
                     for image in (PAIR.science, PAIR.template)), error=hp.InputError)
    assert 'single precision' in text


# -- settings that leave nothing --------------------------------------------------------------

@pytest.mark.parametrize('changes', [{'tuthresh': 1}, {'iuthresh': 1}, {'ilthresh': 1e9},
                                     {'iuktresh': 1, 'tuktresh': 1}, {'fitthresh': 1e30}])
def test_thresholds_that_leave_no_star_are_named(changes):
    text = refused(config=CONFIG.replace(**changes), error=hp.NoStampsError)
    assert 'threshold' in text
    assert 'fitthresh' in text


@pytest.mark.parametrize('changes', [{'nss': 10000}, {'nstampx': 10000, 'nstampy': 10000}, {'kcs': 1}, {'kcs': 1000},
                                     {'stat_sig': 1e6}, {'kfm': -1}, {'kfm': 2}, {'fillval': np.inf}, {'fillval': 0}])
def test_extreme_settings_that_mean_something_work(changes):
    assert_is_right(subtract(config=CONFIG.replace(**changes)))


def test_two_equal_gaussians_do_not_determine_a_kernel():
    refused(config=CONFIG.replace(deg_fixe=(2, 2), sigma_gauss=(1.5, 1.5)), error=hp.SingularFitError)


# -- the command line -------------------------------------------------------------------------

SMALL = ['-r', '6', '-rss', '9', '-nsx', '4', '-nsy', '4', '-ko', '1']


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with all sorts of files, as the working directory."""
    monkeypatch.chdir(tmp_path)
    planes = {'s': SCIENCE, 't': TEMPLATE, 'cube': SCIENCE[None], 'constant': np.full(SHAPE, 7.0),
              'nan': SCIENCE * np.nan, 'row': SCIENCE[:1], 'tiny': SCIENCE[:5, :5], 'noise': sky(1),
              'ones': np.ones(SHAPE, 'i2')}
    for name, data in planes.items():
        fits.writeto(f'{name}.fits', data)
    whole = (tmp_path / 's.fits').read_bytes()
    contents = {'cut': whole[:len(whole) // 2], 'head': whole[:1000], 'empty': b'', 'text': b'no\n' * 99}
    for name, content in contents.items():
        (tmp_path / f'{name}.fits').write_bytes(content)
    table = fits.BinTableHDU.from_columns([fits.Column('a', 'E', array=np.ones(3))])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto('table.fits')
    (tmp_path / 'd.fits').write_text('precious')
    return tmp_path


def failed(capfd, folder, science='s.fits', template='t.fits', difference='d.fits', options=()):
    """The one line on stderr with which the command line gave up, leaving all files as they were."""
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    try:
        status = main(['-inim', science, '-tmplim', template, '-outim', difference, '-v', '0', *SMALL, *options])
    except SystemExit as done:
        status = done.code
    out, err = capfd.readouterr()
    assert status == 1
    assert out == ''
    lines = [line for line in err.splitlines() if not line.startswith('warning: the science image has ')]
    assert len(lines) == 1
    assert lines[0].startswith('hotpants-cy: error: ')
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    return lines[0]


@pytest.mark.parametrize(('name', 'words'), [
    ('missing.fits', 'No such file'), ('cut.fits', 'truncated'), ('head.fits', 'cut off'), ('empty.fits', 'empty'),
    ('text.fits', 'not a FITS file'), ('cube.fits', '3 axes'), ('table.fits', 'no image'),
    ('s.fits[3]', 'no extension'), ('s.fits[SCI]', 'no extension'), ('.', 'not a regular file'),
    ('constant.fits', 'has the value 7'),
    ('nan.fits', 'all pixels are NaN'), ('row.fits', 'too small'), ('tiny.fits', 'too small'),
])
@pytest.mark.parametrize('side', ['science', 'template'])
def test_a_file_that_cannot_be_used_is_one_line(capfd, folder, side, name, words):
    assert words in failed(capfd, folder, **{side: name})


@pytest.mark.parametrize('option', ['-ini', '-tni', '-imi', '-tmi'])
@pytest.mark.parametrize('name', ['missing.fits', 'cut.fits', 'tiny.fits', 'cube.fits'])
def test_a_noise_or_mask_file_that_cannot_be_used_is_one_line(capfd, folder, option, name):
    assert name in failed(capfd, folder, options=[option, name])


@pytest.mark.parametrize('place', ['missing/d.fits', '.', '/dev/null', '/proc/d.fits', 's.fits', 't.fits',
                                   's.fits/d.fits'])
def test_an_output_that_cannot_be_written_is_one_line(capfd, folder, place):
    failed(capfd, folder, difference=place)
    if place not in ('s.fits', 't.fits'):
        assert place in failed(capfd, folder, options=['-oni', place])


def test_a_file_that_was_not_to_be_replaced_is_still_there(capfd, folder):
    assert 'd.fits' in failed(capfd, folder, options=['-nc'])
    assert (folder / 'd.fits').read_text() == 'precious'


@pytest.mark.skipif(os.name != 'posix' or os.geteuid() == 0, reason='root may write anywhere')
def test_a_folder_without_permission_is_one_line(capfd, folder):
    (folder / 'locked').mkdir(mode=0o500)
    assert 'ermission' in failed(capfd, folder, difference='locked/d.fits')


@pytest.mark.skipif(shutil.which('bash') is None, reason='needs a shell that limits file sizes')
@pytest.mark.parametrize('blocks', [1, 100, 250])
def test_no_room_for_the_difference_keeps_what_was_there(folder, blocks):
    code = 'import sys; from hotpants_cy.cli.main import main; sys.exit(main())'
    line = ['-inim', 's.fits', '-tmplim', 't.fits', '-outim', 'd.fits', '-omi', 'm.fits', '-v', '0', *SMALL]
    done = subprocess.run(['bash', '-c', f'ulimit -f {blocks}; exec "$@"', '-', sys.executable, '-c', code, *line],
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert 'cannot write' in done.stderr
    assert (folder / 'd.fits').read_text() == 'precious'
    assert not (folder / 'm.fits').exists()
    assert not [path for path in folder.iterdir() if path.name.startswith('.')]


@pytest.mark.parametrize('options', [
    '-r 200 -rss 200', '-r 100000', '-r 0', '-r x', '-r', '-rss 3', '-ko 99', '-ko -1', '-nsx 0', '-nrx 0', '-tg 0',
    '-ig -1', '-ft -1', '-ft nan', '-iu nan', '-c q', '-n q', '-ng 0', '-ng 3 1 2', '-ng 1 2 0', '-nss 0',
    '-ssig 0', '-kfm nan',
    '-kcs 100000', '-iu 1', '-tp 1e30', '-gd 900 1000 900 1000', '--threads 0', '--threads x', '-unknown', 'stray',
])
def test_impossible_settings_are_one_line(capfd, folder, options):
    failed(capfd, folder, options=options.split())


# -- images that do not match, and other regressions ------------------------------------------

@pytest.mark.parametrize('kind', [CCDData, np.asarray])
def test_a_negative_science_image_is_refused_with_the_flux_ratio(kind):
    negative = -SCIENCE if kind is np.asarray else CCDData(-SCIENCE, PAIR.science.uncertainty, unit='adu')
    text = refused(negative, error=hp.MismatchError)
    ratio = float(text.split('come out as ')[1].split(' +-')[0])
    assert ratio == pytest.approx(-PAIR.kernel_sum, rel=0.05)


@pytest.mark.parametrize('science', [
    sky(9, 400), np.roll(SCIENCE, 30, axis=0), np.roll(SCIENCE, 30, axis=1), SCIENCE.T.copy()],
    ids=['noise', 'shifted up', 'shifted right', 'transposed'])
def test_a_science_image_of_other_stars_is_refused(science):
    text = refused(science, error=hp.MismatchError)
    assert 'do not match' in text
    median, scatter = (float(v) for v in text.split('come out as ')[1].split(';')[0].split(' +- '))
    assert median < 2 * scatter


@pytest.mark.parametrize(('seed', 'change'), [
    (3, lambda a: a[::-1].copy()), (5, lambda a: a[:, ::-1].copy()), (6, lambda a: np.roll(a, 30, axis=1)),
    (8, lambda a: np.roll(a, -30, axis=0)), (9, lambda a: a.T.copy())],
    ids=['upside down', 'mirrored', 'shifted right', 'shifted down', 'transposed'])
def test_a_science_image_of_other_stars_is_refused_whatever_they_are(seed, change):
    pair = make_pair(SHAPE, seed=seed, n_transients=0)
    refused(change(pair.science.data), pair.template.data, error=hp.MismatchError)


@pytest.mark.filterwarnings('ignore::hotpants_cy.exceptions.DeconvolutionWarning')
@pytest.mark.parametrize('value', [1e30, -1e30])
@pytest.mark.parametrize(('side', 'direction'), [('science', 't'), ('template', 'i'), ('science', 'b')])
def test_one_wild_pixel_of_the_image_that_is_not_convolved_does_no_harm(side, direction, value):
    image = with_sigma(CCDData(with_value(getattr(PAIR, side).data, value, (77, 99)), unit='adu'),
                       getattr(PAIR, side).uncertainty.array)
    result = subtract(**{side: image}, config=CONFIG.replace(force_convolve=direction))
    good = ~result.difference.mask
    assert np.count_nonzero(np.abs(result.difference.data[good]) > 1e20) <= 1
    ratio = PAIR.kernel_sum if result.direction == 't' else 1 / PAIR.kernel_sum
    assert result.kernel.sum(128, 128) == pytest.approx(ratio, rel=0.02)


@pytest.mark.filterwarnings('ignore::hotpants_cy.exceptions.DeconvolutionWarning')
@pytest.mark.parametrize(('side', 'direction'), [('template', 't'), ('science', 'i'), ('template', 'b')])
def test_one_wild_pixel_of_the_image_that_is_convolved_costs_its_surroundings_only(side, direction):
    image = with_sigma(CCDData(with_value(getattr(PAIR, side).data, 1e30, (77, 99)), unit='adu'),
                       getattr(PAIR, side).uncertainty.array)
    subtract(**{side: image}, config=CONFIG.replace(force_convolve=direction))


@pytest.mark.parametrize('value', [0, -1, 1e-11, 1e11, np.inf, np.nan, '1', None, True])
@pytest.mark.parametrize('name', ['tgain', 'igain'])
def test_gains_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f'{name}=.* is impossible: it must be a number from 1e-10 to 1e\\+10'):
        hp.HotpantsConfig(**{name: value})


@pytest.mark.parametrize('value', [-1, -1e-30, 2e10, np.inf, np.nan, '1', None, True])
@pytest.mark.parametrize('name', ['trdnoise', 'irdnoise'])
def test_read_noises_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f'{name}=.* is impossible: it must be a number from 0 to 1e\\+10'):
        hp.HotpantsConfig(**{name: value})


@pytest.mark.parametrize('side', ['science', 'template'])
def test_pixels_of_negative_sigma_are_masked(side):
    image = getattr(PAIR, side)
    sigma = with_value(image.uncertainty.array, -20, np.s_[50:60, 50:60])
    result = subtract(**{side: with_sigma(image, sigma)}, config=CONFIG.replace(force_convolve='t'))
    assert result.difference.mask[50:60, 50:60].all()
    assert_is_right(result)


@pytest.mark.parametrize('unit', ['mag', 'dex(adu)', 'mag(Jy)'])
def test_logarithmic_units_are_refused(unit):
    both = [CCDData(image.data, unit=unit) for image in (PAIR.science, PAIR.template)]
    for science, template in (both, (both[0], TEMPLATE), (SCIENCE, both[1])):
        assert 'linear unit' in refused(science, template, error=hp.InputError)


def test_zero_uncertainties_of_both_images_are_named():
    none = np.zeros(SHAPE, 'f4')
    both = [with_sigma(image, none) for image in (PAIR.science, PAIR.template)]
    assert 'zero everywhere' in refused(*both, error=hp.InputError)
    assert_is_right(subtract(PAIR.science, make_pair(SHAPE, seed=3, n_transients=0, template_noise=0).template))


@pytest.mark.parametrize('sides', [('science',), ('template',), ('science', 'template')])
def test_tiny_values_are_refused_with_advice(sides):
    text = refused(**{side: getattr(PAIR, side).data * np.float32(1e-17) for side in sides}, error=hp.InputError)
    assert 'too small' in text
    assert 'multiply both images by a power of ten' in text


@pytest.mark.parametrize('n', [9, 100, 1000])
def test_too_many_regions_are_refused_before_any_work(n):
    text = refused(config=CONFIG.replace(nregx=n, nregy=n), error=hp.InputError)
    assert f'{n} x {n} regions' in text
    assert 'lower nregx and nregy' in text


@pytest.mark.parametrize('bgo', [7, 10])
def test_a_background_of_more_terms_than_stars_can_tell_is_refused(bgo):
    text = refused(config=CONFIG.replace(bgo=bgo), error=hp.TooFewStampsError)
    assert f'bgo={bgo}' in text
    assert 'lower' in text


@pytest.mark.parametrize('side', ['science', 'template'])
def test_none_is_no_image(side):
    assert refused(**{side: None}, error=hp.InputError) == f'{side} image: there is none, only None'


@pytest.mark.parametrize(('science', 'template', 'error'), [
    ('ramp', 'ramp', hp.NoStampsError), ('ramp', 'stars', hp.MismatchError), ('stars', 'ramp', hp.MismatchError)])
@pytest.mark.parametrize('dtype', ['f4', '>i4', 'f8'])
def test_a_ramp_shows_no_stars(science, template, error, dtype):
    ramp = np.arange(SCIENCE.size).reshape(SHAPE).astype(dtype)
    images = {'ramp': ramp, 'stars': SCIENCE}
    refused(images[science], TEMPLATE if template == 'stars' else ramp, error=error)


def test_a_ramp_under_the_science_image_is_its_background():
    ramp = np.linspace(0, 300, SHAPE[1], dtype='f4') * np.ones(SHAPE, 'f4')
    science = with_sigma(CCDData(SCIENCE + ramp, unit='adu'), PAIR.science.uncertainty.array)
    result = subtract(science, config=CONFIG.replace(force_convolve='t'))
    assert_is_right(result)
    sky = result.kernel.background(np.array([20, 236]), np.array([128, 128]))
    assert np.diff(sky)[0] == pytest.approx(216 / 255 * 300, abs=8)
