"""`subtract` as a user sees it: any kind of image in, CCDData with everything on it out."""

import copy
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty
from astropy.utils.masked import Masked
from numpy.testing import assert_allclose, assert_array_equal

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

CONFIG = hp.HotpantsConfig(rkernel=6, rss=9, nstampx=4, nstampy=4, ko=1)
PAIR = make_pair((200, 220), seed=11, n_transients=3, star_flux=(8e3, 2e5))
SCIENCE, TEMPLATE = PAIR.science.data, PAIR.template.data
SHAPE = SCIENCE.shape
BLOCK = np.s_[90:102, 120:131]
NAMES = ('difference', 'convolved', 'background')


def subtract(science=PAIR.science, template=PAIR.template, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', hp.HotpantsWarning)
        return hp.subtract(science, template, config=CONFIG.replace(**changes))


def numbers(result):
    return [np.asarray(plane) for name in NAMES for image in [getattr(result, name)]
            for plane in (image.data, image.uncertainty.represent_as(StdDevUncertainty).array, image.mask, image.flags)]


def assert_same(one, other):
    for a, b in zip(numbers(one), numbers(other), strict=True):
        assert_array_equal(a, b)


@pytest.fixture(scope='module')
def bare():
    """The result of the plain float32 arrays: noise from the model."""
    return subtract(SCIENCE, TEMPLATE)


@pytest.fixture(scope='module')
def result():
    return subtract()


# -- what goes in -----------------------------------------------------------------------------

@pytest.mark.parametrize('wrap', [
    lambda a: CCDData(a, unit='adu'), NDData, lambda a: NDData(a, unit='adu'), np.ma.array, lambda a: a * u.adu,
    lambda a: NDData(a * u.adu), Masked, np.asfortranarray, lambda a: np.repeat(a, 2, axis=0)[::2], np.matrix, list,
], ids=['CCDData', 'NDData', 'NDData with unit', 'masked array', 'Quantity', 'NDData of Quantity', 'Masked', 'Fortran',
        'strided', 'matrix', 'list of rows'])
def test_every_kind_of_image_gives_the_same_numbers(bare, wrap):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', PendingDeprecationWarning)       # numpy.matrix
        science, template = wrap(SCIENCE), wrap(TEMPLATE)
    assert_same(subtract(science, template), bare)


@pytest.mark.parametrize('dtype', ['>f4', '<f8', '>f8', 'longdouble'])
def test_every_floating_dtype_and_byte_order_gives_the_same_numbers(bare, dtype):
    assert_same(subtract(SCIENCE.astype(dtype), TEMPLATE.astype(dtype)), bare)


@pytest.fixture(scope='module')
def rounded():
    return [np.clip(np.round(image), 0, 32000) for image in (SCIENCE, TEMPLATE)]


@pytest.mark.parametrize('dtype', ['<i2', '>i2', '<u2', '>u2', '<i4', '>i4', 'u4', '>i8', 'u8'])
def test_every_integer_dtype_and_byte_order_gives_the_same_numbers(rounded, dtype):
    assert_same(subtract(*(image.astype(dtype) for image in rounded)), subtract(*rounded))


@pytest.mark.parametrize('ending', ['.fits', '.fits.gz', '.fits.fz', '.fits[1]', '.fits[SCI]'])
@pytest.mark.parametrize('kind', [str, lambda path: path], ids=['str', 'Path'])
def test_files_give_the_same_numbers(bare, tmp_path, ending, kind):
    paths = []
    for name, data in (('s', SCIENCE), ('t', TEMPLATE)):
        path = tmp_path / f'{name}{ending.partition("[")[0]}'
        if ending.endswith('fz'):
            hdus = [fits.PrimaryHDU(), fits.CompImageHDU(data, compression_type='GZIP_2', quantize_level=0)]
        elif '[' in ending:
            hdus = [fits.PrimaryHDU(np.zeros(SHAPE)), fits.ImageHDU(data, name='SCI'), fits.ImageHDU(-data)]
        else:
            hdus = [fits.PrimaryHDU(data)]
        fits.HDUList(hdus).writeto(path)
        paths.append(kind(path.with_name(f'{name}{ending}')))
    assert_same(subtract(*paths), bare)


def test_kinds_can_be_mixed(bare, tmp_path):
    fits.writeto(tmp_path / 't.fits', TEMPLATE)
    assert_same(subtract(CCDData(SCIENCE, unit='adu'), tmp_path / 't.fits'), bare)


def test_a_file_of_ccddata_brings_its_uncertainty_mask_and_unit(tmp_path):
    science = PAIR.science.copy()
    science.mask = np.zeros(SHAPE, bool)
    science.mask[BLOCK] = True
    science.write(tmp_path / 's.fits')
    PAIR.template.write(tmp_path / 't.fits')
    from_file = subtract(tmp_path / 's.fits', tmp_path / 't.fits')
    assert_same(from_file, subtract(science))
    assert from_file.difference.unit == 'adu'


@pytest.mark.parametrize('kind', [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_three_classes_of_uncertainty_mean_the_same_and_come_back(result, kind):
    got = subtract(*(CCDData(image.data, unit='adu', uncertainty=image.uncertainty.represent_as(kind))
                     for image in (PAIR.science, PAIR.template)))
    for name in NAMES:
        assert type(getattr(got, name).uncertainty) is kind
    good = ~result.difference.mask
    assert_array_equal(got.difference.mask, ~good)
    # a variance is not always the square of a float32 sigma: the fit differs by rounding
    sigma = got.difference.uncertainty.represent_as(StdDevUncertainty).array
    assert_allclose(sigma[good], result.difference.uncertainty.array[good], rtol=1e-5)
    assert np.abs((got.difference.data - result.difference.data)[good] / sigma[good]).max() < 1e-3


def test_classes_of_uncertainty_can_be_mixed(result):
    template = CCDData(TEMPLATE, unit='adu', uncertainty=PAIR.template.uncertainty.represent_as(InverseVariance))
    got = subtract(template=template).difference
    assert type(got.uncertainty) is StdDevUncertainty
    assert_allclose(got.uncertainty.array[~got.mask], result.difference.uncertainty.array[~got.mask], rtol=1e-5)


def test_without_uncertainty_gain_and_read_noise_of_the_configuration_give_the_noise():
    got = subtract(SCIENCE, TEMPLATE, igain=2, tgain=4, irdnoise=6, trdnoise=12, normalize='i', force_convolve='t')
    kernel = got.kernel.image(110, 100)
    sky = np.median(SCIENCE) / 2 + 3**2 + np.sum(kernel**2) * (np.median(TEMPLATE) / 4 + 3**2)
    sigma = got.difference.uncertainty.array[~got.difference.mask]
    assert np.percentile(sigma, 30) == pytest.approx(np.sqrt(sky), rel=0.02)


def test_the_template_is_converted_to_the_unit_of_the_science_image():
    def in_units(science, template, factor):
        return subtract(CCDData(SCIENCE, unit=science), CCDData(TEMPLATE * np.float32(factor), unit=template))
    # 1024 is exact in single precision, and Kibit a unit that is 1024 of another
    same, converted = in_units('bit', 'bit', 1), in_units('bit', 'Kibit', 1 / 1024)
    assert_same(converted, same)
    assert converted.difference.unit == 'bit'


def test_uncertainties_convert_with_the_template():
    template = CCDData(TEMPLATE / np.float32(1024), unit='Kibit',
                       uncertainty=StdDevUncertainty(PAIR.template.uncertainty.array / np.float32(1024)))
    science, same = (CCDData(i.data, unit='bit', uncertainty=StdDevUncertainty(i.uncertainty.array))
                     for i in (PAIR.science, PAIR.template))
    assert_same(subtract(science, template), subtract(science, same))


@pytest.mark.parametrize(('science', 'template'), [('adu', 'electron'), ('Jy', 's'), ('adu', '')])
def test_units_that_do_not_convert_are_refused(science, template):
    with pytest.raises(hp.InputError, match='does not convert'):
        subtract(CCDData(SCIENCE, unit=science), CCDData(TEMPLATE, unit=template))


def frozen(image):
    image = copy.deepcopy(image)
    for plane in (image.data, image.mask, getattr(image.uncertainty, 'array', None)):
        if plane is not None:
            plane.flags.writeable = False
    return image


@pytest.mark.parametrize('direction', ['t', 'i'])
def test_inputs_are_not_modified_even_if_read_only(direction):
    pair = make_pair((200, 220), seed=11, n_transients=0, nan_blocks=[np.s_[10:20, 10:20]], masked_blocks=[BLOCK])
    images = [frozen(image) for image in (pair.science, pair.template)]
    for image in images:
        image.header['MINE'] = 1
    before = copy.deepcopy(images)
    result = subtract(*images, force_convolve=direction, ipedestal=10, tpedestal=20)
    for name in NAMES:
        getattr(result, name).data[:] = 0
        getattr(result, name).header['YOURS'] = 2
        getattr(result, name).wcs.wcs.crval = 1, 1
    for image, old in zip(images, before, strict=True):
        assert image.data.tobytes() == old.data.tobytes()
        assert image.uncertainty.array.tobytes() == old.uncertainty.array.tobytes()
        assert image.mask is None or image.mask.tobytes() == old.mask.tobytes()
        assert dict(image.header) == dict(old.header)
        assert image.wcs.to_header_string() == old.wcs.to_header_string()
        assert image.unit == old.unit


# -- masks ------------------------------------------------------------------------------------

def masked(image, values, block=BLOCK):
    image = image.copy()
    image.mask = np.zeros(SHAPE, bool)
    image.mask[block] = True
    image.data[block] = values
    return image


@pytest.mark.parametrize('side', ['science', 'template'])
@pytest.mark.parametrize('values', [0, -1e6, 1e30, np.nan, np.inf])
def test_values_under_a_mask_change_no_bit(side, values):
    image = getattr(PAIR, side)
    clean, garbage = (subtract(**{side: masked(image, v)}) for v in (image.data[BLOCK], values))
    good = ~clean.difference.mask
    assert_array_equal(garbage.difference.mask, ~good)
    for a, b in zip(numbers(garbage), numbers(clean), strict=True):
        assert_array_equal(a[good] & ~int(hp.HotpantsFlags.NAN) if a.dtype == np.int32 else a[good], b[good])


@pytest.mark.parametrize('direction', ['t', 'i'])
@pytest.mark.parametrize('side', ['science', 'template'])
@pytest.mark.parametrize('bad', ['mask', np.nan, np.inf, -np.inf])
def test_no_pixel_that_is_left_unmasked_is_wrong(direction, side, bad):
    image = masked(getattr(PAIR, side), 3e4 if bad == 'mask' else bad)
    if bad != 'mask':
        image.mask = None
    whole = subtract(force_convolve=direction)
    holed = subtract(force_convolve=direction, **{side: image})
    difference, good = holed.difference, ~holed.difference.mask
    assert difference.mask[BLOCK].all()
    assert np.isfinite(difference.data[good]).all()
    assert (difference.uncertainty.array[good] > 0).all()
    # outside of the kernel's footprint of the block nothing is lost
    reach = np.ones(SHAPE, bool)
    reach[90 - 6:102 + 6, 120 - 6:131 + 6] = False
    assert_array_equal(difference.mask[reach], whole.difference.mask[reach])
    change = (difference.data - whole.difference.data)[good] / difference.uncertainty.array[good]
    assert np.abs(change).max() < 1
    assert np.abs(change[reach[good]]).max() < 0.5


def test_only_the_block_is_lost_in_the_image_that_is_not_convolved():
    got = subtract(science=masked(PAIR.science, 3e4), force_convolve='t')
    lost = got.difference.mask & ~subtract(force_convolve='t').difference.mask
    block = np.zeros(SHAPE, bool)
    block[BLOCK] = True
    assert_array_equal(lost, block)


def test_masks_of_all_kinds_mean_the_same():
    mask = np.zeros(SHAPE, bool)
    mask[BLOCK] = True
    first = subtract(np.ma.array(SCIENCE, mask=mask), TEMPLATE)
    for science in (CCDData(SCIENCE, unit='adu', mask=mask), NDData(SCIENCE, mask=mask.astype(int)),
                    Masked(SCIENCE, mask=mask), Masked(SCIENCE * u.adu, mask=mask)):
        assert_same(subtract(science, TEMPLATE), first)


# -- what comes out ---------------------------------------------------------------------------

@pytest.mark.parametrize('name', NAMES)
def test_results_are_ccddata_with_everything_on_them(result, name):
    image = getattr(result, name)
    assert isinstance(image, CCDData)
    assert image.shape == SHAPE
    assert image.data.dtype == np.float32
    assert image.unit == 'adu'
    assert image.wcs.to_header_string() == PAIR.science.wcs.to_header_string()
    assert image.header['OBJECT'] == 'simulated science'
    assert type(image.uncertainty) is StdDevUncertainty
    assert image.mask.dtype == bool
    assert image.flags.dtype == np.int32


def test_the_header_describes_the_subtraction(result):
    header = result.difference.header
    assert header['CONVOL00'] == {'t': 'TEMPLATE', 'i': 'IMAGE'}[result.direction]
    assert header['PHOTNORM'] == 't'
    assert header['REGION00'] == '[1:220,1:200]'
    assert header['KSUM00'] == pytest.approx(result.kernel.sum(110, 100), abs=1e-4)
    assert header['X2NRM00'] == pytest.approx(result.statistics['X2NRM'])
    assert 'KSUM00' not in PAIR.science.header


@pytest.mark.parametrize('name', NAMES)
def test_pixels_are_nan_exactly_where_they_are_masked(result, name):
    image = getattr(result, name)
    assert_array_equal(np.isnan(image.data), image.mask)
    assert_array_equal(np.isnan(image.uncertainty.array), image.mask)
    assert_array_equal(image.mask, (image.flags & int(hp.HotpantsFlags.OUTPUT_ISBAD)) != 0)


def test_only_the_frame_is_masked_in_clean_images(result):
    inside = np.zeros(SHAPE, bool)
    inside[6:-6, 6:-6] = True
    assert_array_equal(result.difference.mask, ~inside)


@pytest.mark.parametrize('name', NAMES)
def test_nothing_is_lost_in_a_file(result, tmp_path, name):
    image = getattr(result, name)
    image.write(tmp_path / 'image.fits')
    again = type(image).read(tmp_path / 'image.fits')
    assert again.data.tobytes() == image.data.tobytes()
    assert again.uncertainty.array.tobytes() == image.uncertainty.array.tobytes()
    assert type(again.uncertainty) is type(image.uncertainty)
    assert_array_equal(again.mask, image.mask)
    assert_array_equal(again.flags, image.flags)
    assert again.unit == image.unit
    assert again.wcs.to_header_string() == image.wcs.to_header_string()
    assert {key: again.header[key] for key in image.header} == dict(image.header)
    plain = CCDData.read(tmp_path / 'image.fits')
    assert_array_equal(plain.data, image.data)
    assert_array_equal(plain.mask, image.mask)


def test_a_result_can_be_subtracted_from_again(result):
    again = subtract(result.convolved, PAIR.template)
    assert (again.difference.mask >= result.convolved.mask).all()


def test_a_difference_without_stars_does_not_match_a_template(result):
    with pytest.raises(hp.MismatchError, match='same field'):
        subtract(result.difference, PAIR.template)


@pytest.mark.parametrize('direction', ['t', 'i'])
@pytest.mark.parametrize('normalize', ['t', 'i', 'u'])
def test_the_difference_is_science_minus_template(direction, normalize):
    got = subtract(force_convolve=direction, normalize=normalize)
    assert got.direction == direction
    scale = 1 / got.kernel.sum(110, 100) if normalize == direction else 1
    d, c, good = got.difference.data, got.convolved.data, ~got.difference.mask
    expected = SCIENCE * scale - c if direction == 't' else c - TEMPLATE * scale
    assert np.abs((d - expected)[good]).max() <= 2 * np.spacing(np.float32(np.abs(c[good]).max()))
    other = {'t': PAIR.science, 'i': PAIR.template}[direction].uncertainty.array[good] * scale
    expected = np.hypot(other, got.convolved.uncertainty.array[good])
    assert_allclose(got.difference.uncertainty.array[good], expected, rtol=1e-5)


@pytest.mark.parametrize('direction', ['t', 'i'])
@pytest.mark.parametrize('normalize', ['t', 'i', 'u'])
def test_the_convolved_image_is_the_kernel_applied_plus_the_background(direction, normalize):
    got = subtract(force_convolve=direction, normalize=normalize, bgo=2)
    scale = 1 / got.kernel.sum(110, 100) if normalize == direction else 1
    source = {'t': PAIR.template, 'i': PAIR.science}[direction].data
    good = ~got.convolved.mask
    rounding = 4 * np.spacing(np.float32(np.abs(got.convolved.data[good]).max()))
    applied = got.kernel.apply(source) * scale + got.background.data
    assert np.abs((applied - got.convolved.data)[good]).max() <= rounding
    at_once = got.kernel.apply(source, background=True) * scale
    assert np.abs((at_once - got.convolved.data)[good]).max() <= rounding
    y, x = 57, 83
    assert got.background.data[y, x] == pytest.approx(got.kernel.background(x, y) * scale, rel=1e-6)


def test_the_background_has_an_error_that_covers_the_truth(result):
    offset = result.background.data * result.kernel.sum(110, 100) - PAIR.background
    error = result.background.uncertainty.array * result.kernel.sum(110, 100)
    assert 0 < np.nanmedian(error) < 5
    assert np.nanmedian(np.abs(offset) / error) < 4


def test_substamps_tell_which_stars_were_used(result):
    used = result.substamps[result.substamps['status'] == 'USED_IN_FINAL_FIT']
    assert len(used) >= 3
    stars = np.column_stack([PAIR.stars['x'], PAIR.stars['y']])
    for s in used:
        assert np.hypot(*(stars - [s['x'], s['y']]).T).min() < 2


# -- settings ---------------------------------------------------------------------------------

def test_sky_subtracted_images_with_negative_pixels_work_with_the_defaults():
    pair = make_pair((512, 512), seed=2, n_transients=0)
    whole = hp.subtract(pair.science, pair.template)
    science, template = (CCDData(image.data - np.float32(sky), unit='adu', uncertainty=image.uncertainty)
                         for image, sky in ((pair.science, 400), (pair.template, 250)))
    assert (science.data < 0).mean() > 0.3
    got = hp.subtract(science, template)
    assert_array_equal(got.difference.mask, whole.difference.mask)
    assert got.kernel.sum(256, 256) == pytest.approx(whole.kernel.sum(256, 256), rel=1e-3)
    good = ~got.difference.mask
    pull = (got.difference.data / got.difference.uncertainty.array)[good]
    assert 1.4826 * np.median(np.abs(pull)) == pytest.approx(1, abs=0.05)


def test_thresholds_mask_pixels_and_say_why():
    got = subtract(iuthresh=2000, ilthresh=330, force_convolve='t')
    good, flags = ~got.difference.mask, got.difference.flags
    for flag, pixels in ((hp.HotpantsFlags.SAT, SCIENCE >= 2000), (hp.HotpantsFlags.LOW, SCIENCE <= 330)):
        assert pixels.any()
        assert_array_equal((flags & int(flag)) != 0, pixels)
        assert not (good & pixels).any()


def test_fill_values_are_those_asked_for():
    got = subtract(science=masked(PAIR.science, 0), fillval=-99)
    inside = got.difference.mask.copy()
    inside[:6] = inside[-6:] = inside[:, :6] = inside[:, -6:] = False
    assert inside.any()
    assert (got.difference.data[inside] == -99).all()


def test_the_default_configuration_is_used_without_one():
    pair = make_pair((300, 300), seed=2, n_transients=0)
    assert hp.subtract(pair.science, pair.template).config == hp.HotpantsConfig()


def test_the_convolved_image_is_not_made_of_images_that_were_changed():
    pair = make_pair((200, 220), seed=11, n_transients=0)
    science, template = pair.science.data.copy(), pair.template.data.copy()
    result = subtract(science, template)
    template[100, 110] += 50
    with pytest.raises(hp.InputError, match='changed since they were subtracted'):
        _ = result.convolved


def test_the_convolved_image_can_be_had_after_the_difference_was_changed():
    pair = make_pair((200, 220), seed=11, n_transients=0)
    result, untouched = subtract(pair.science, pair.template), subtract(pair.science, pair.template)
    result.difference.data[:] = 0
    assert_array_equal(result.convolved.data, untouched.convolved.data)
