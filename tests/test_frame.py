"""Whatever holds an image becomes the same plain planes, and is not changed by it."""

import copy
import logging

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, NDData, StdDevUncertainty, UnknownUncertainty, VarianceUncertainty
from astropy.utils.masked import Masked
from astropy.wcs import WCS
from numpy.testing import assert_array_equal

from hotpants_cy.exceptions import InputError
from hotpants_cy.inputs.frame import Frame, as_frame, check_pair

SHAPE = (30, 40)
DATA = np.random.default_rng(1).normal(100, 10, SHAPE).astype('f4')
SIGMA = np.random.default_rng(2).uniform(1, 3, SHAPE).astype('f4')
MASK = np.zeros(SHAPE, bool)
MASK[3, 4] = MASK[20:23, 10:15] = True
MASKED, NOT_FINITE = 0xA0, 0x88


def sky():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ['RA---TAN', 'DEC--TAN']
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [150, 2], [20, 15], [-1e-4, 1e-4]
    return wcs


def with_pixel(value, plane=DATA, at=(5, 6)):
    plane = plane.copy()
    plane[at] = value
    return plane


# -- planes

@pytest.mark.parametrize('dtype', ['i1', 'u1', '<i2', '>i2', '>u2', 'i4', '>i8', 'u8', 'f2', '>f4', '<f4', '>f8', 'f8',
                                   'longdouble'])
def test_any_numeric_dtype_and_byte_order_will_do(dtype):
    values = (np.arange(1200) % 100).reshape(SHAPE).astype(dtype)
    frame = as_frame(values, name='science')
    assert frame.data.dtype == np.dtype('f4')
    assert frame.data.dtype.isnative
    assert frame.data.flags.c_contiguous
    assert_array_equal(frame.data, values.astype('f4'))
    assert frame.flags is None
    assert frame.variance is None
    assert frame.shape == SHAPE


@pytest.mark.parametrize('layout', [np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a[::-1]])
def test_any_memory_layout_will_do(layout):
    frame = as_frame(layout(DATA), name='science')
    assert frame.data.flags.c_contiguous
    assert_array_equal(frame.data, layout(DATA))


def test_planes_that_are_fit_for_use_are_shared():
    image = CCDData(DATA, uncertainty=VarianceUncertainty(SIGMA), unit='adu')
    frame = as_frame(image, name='science')
    assert np.shares_memory(frame.data, DATA)
    assert np.shares_memory(frame.variance, image.uncertainty.array)


def test_nested_lists_will_do():
    assert_array_equal(as_frame([[1, 2], [3, 4]], name='science').data, [[1, 2], [3, 4]])


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_flagged_and_replaced_by_the_median(value):
    frame = Frame.from_planes(with_pixel(value))
    assert np.argwhere(frame.flags).tolist() == [[5, 6]]
    assert frame.flags.dtype == np.int32
    assert frame.flags[5, 6] == NOT_FINITE
    assert frame.data[5, 6] == np.median(np.delete(DATA, 5 * 40 + 6))
    assert_array_equal(frame.data[frame.flags == 0], DATA[frame.flags == 0])


def test_values_beyond_single_precision_are_masked():
    frame = Frame.from_planes(with_pixel(1e60, DATA.astype('f8')))
    assert frame.flags[5, 6] == NOT_FINITE
    assert np.isfinite(frame.data).all()


def test_blocks_of_nan_are_no_trouble():
    data = DATA.copy()
    data[:, :25] = np.nan
    frame = Frame.from_planes(data)
    assert (frame.flags != 0).sum() == 25 * 30
    assert frame.data[0, 0] == np.median(DATA[:, 25:])


def test_the_median_of_a_large_image_is_that_of_the_usable_pixels():
    data = np.tile(np.arange(2048, dtype='f4'), (800, 1))    # each column has its own value
    data[:, 1024:] = np.nan
    assert abs(Frame.from_planes(data).data[0, 2000] - 511.5) < 3


def test_masked_pixels_are_flagged_and_their_values_replaced():
    frame = Frame.from_planes(with_pixel(1e9, at=(3, 4)), variance=with_pixel(1e9, SIGMA, (3, 4)), mask=MASK)
    assert_array_equal(frame.flags, np.where(MASK, MASKED, 0))
    assert_array_equal(frame.data[MASK], np.median(DATA[~MASK]))
    assert_array_equal(frame.variance[MASK], np.median(SIGMA[~MASK]))


def test_masked_values_can_be_kept_as_c_does():
    data = with_pixel(np.nan)
    frame = Frame.from_planes(data, mask=MASK, keep_masked_values=True)
    assert_array_equal(frame.data[MASK], DATA[MASK])
    assert np.isfinite(frame.data).all()
    assert frame.flags[5, 6] == NOT_FINITE


def test_a_masked_nan_carries_both_reasons():
    assert Frame.from_planes(with_pixel(np.nan, at=(3, 4)), mask=MASK).flags[3, 4] == MASKED | NOT_FINITE


def test_integer_masks_mean_not_zero_is_bad():
    assert_array_equal(Frame.from_planes(DATA, mask=MASK * np.uint8(4)).flags, np.where(MASK, MASKED, 0))


def test_an_empty_mask_flags_nothing():
    assert Frame.from_planes(DATA, mask=np.zeros(SHAPE, bool), bits=np.zeros(SHAPE, 'i2')).flags is None


def test_sigma_is_squared_in_single_precision():
    assert_array_equal(Frame.from_planes(DATA, sigma=SIGMA.astype('f8')).variance, SIGMA * SIGMA)


@pytest.mark.parametrize(('plane', 'value'), [
    ('sigma', np.nan), ('sigma', np.inf), ('sigma', 1e30), ('variance', np.nan), ('variance', np.inf),
    ('variance', -1)])
def test_pixels_of_unknown_noise_are_flagged(plane, value):
    frame = Frame.from_planes(DATA, **{plane: with_pixel(value, SIGMA)})
    wanted = SIGMA**2 if plane == 'sigma' else SIGMA
    assert np.argwhere(frame.flags).tolist() == [[5, 6]]
    assert frame.flags[5, 6] == NOT_FINITE
    assert frame.variance[5, 6] == np.median(np.delete(wanted, 5 * 40 + 6))


def test_no_noise_at_all_is_accepted():
    assert Frame.from_planes(DATA, variance=with_pixel(0, SIGMA)).flags is None


def test_bits_of_a_mask_file_are_taken_as_c_does():
    bits = np.zeros(SHAPE, 'f4')
    bits[0, :5] = 1, 0x80, -4, 0.9, 0x8000
    frame = Frame.from_planes(DATA, bits=bits)
    assert frame.flags[0, :6].tolist() == [0x21, 0xA0, -4, 0, 0x8020, 0]
    assert np.shares_memory(frame.data, DATA)    # and no value is replaced


def test_bits_and_mask_add_up():
    assert Frame.from_planes(DATA, bits=MASK * np.int16(0x40), mask=MASK).flags[3, 4] == 0x40 | MASKED


# -- refusals

@pytest.mark.parametrize(('data', 'match'), [
    (np.zeros(7), r'science image: need a 2-D array \(ny, nx\), not one of shape \(7,\)'),
    (np.zeros((2, 3, 4)), r'\(2, 3, 4\)'), (5.0, r'shape \(\)'), (np.zeros((0, 5)), 'no pixels'),
    (MASK, 'True and False'), (DATA + 1j, 'complex64'), ([['a', 'b']], '<U1'),
    (np.array([[None, 1]]), 'object'), ([[1, 2], [3]], 'not an array of numbers'),
    (np.full(SHAPE, np.nan), r'all pixels are NaN, infinite or too large, no pixel of 1200'),
    (np.ma.array(DATA, mask=True), 'everything is masked'), (DATA.astype('f8') * 1e-45, 'too small'),
    (CCDData(np.zeros((2, 3, 4)), unit='adu'), r'\(2, 3, 4\)'),
    (DATA * u.ABmag, 'linear unit'), ({'a': 1}, 'object')])
def test_what_is_no_image_is_refused(data, match):
    with pytest.raises(InputError, match=match):
        as_frame(data, name='science')


@pytest.mark.parametrize('plane', ['sigma', 'variance', 'mask', 'bits'])
def test_planes_of_another_shape_are_refused(plane):
    with pytest.raises(InputError, match=r'template.*\(30, 39\).*\(30, 40\)'):
        Frame.from_planes(DATA, **{plane: np.ones((30, 39), 'i2')}, name='template')


def test_contradictions_are_refused():
    with pytest.raises(InputError, match='not both'):
        Frame.from_planes(DATA, sigma=SIGMA, variance=SIGMA)
    with pytest.raises(InputError, match='2\\^31'):
        Frame.from_planes(DATA, bits=with_pixel(np.nan))


def test_an_uncertainty_of_unknown_kind_is_refused_with_advice():
    for uncertainty in (UnknownUncertainty(SIGMA), SIGMA):
        image = NDData(DATA, uncertainty=uncertainty)
        with pytest.raises(InputError, match=r'UnknownUncertainty.*make it a StdDevUncertainty'):
            as_frame(image, name='science')


def test_noise_that_vanishes_in_single_precision_is_refused():
    """Fluxes in erg/s/cm2/A are 1e-17, and the squares of their errors are 0 in float32."""
    with pytest.raises(InputError, match=r'science variance: too small for single precision.*power of ten'):
        Frame.from_planes(DATA * np.float32(1e-18), sigma=SIGMA * np.float32(1e-21))


# -- objects

@pytest.mark.parametrize('make', [
    lambda: CCDData(DATA, unit='adu', mask=MASK), lambda: NDData(DATA, unit='adu', mask=MASK),
    lambda: NDData(np.ma.array(DATA, mask=MASK), unit='adu'), lambda: Masked(DATA * u.adu, mask=MASK),
    lambda: NDData(DATA * u.adu, mask=MASK.astype('i4'))])
def test_all_image_objects_give_the_same_frame(make):
    frame = as_frame(make(), name='science')
    assert_array_equal(frame.flags, np.where(MASK, MASKED, 0))
    assert_array_equal(frame.data[~MASK], DATA[~MASK])
    assert frame.unit == u.adu


def test_masked_arrays_and_quantities_will_do():
    frame = as_frame(np.ma.array(DATA, mask=MASK), name='science')
    assert_array_equal(frame.flags != 0, MASK)
    assert frame.unit is None
    assert as_frame(np.ma.array(DATA), name='science').flags is None
    assert as_frame(Masked(DATA, mask=MASK), name='science').flags[3, 4] == MASKED
    frame = as_frame(DATA * u.Jy, name='science')
    assert frame.unit == u.Jy
    assert np.shares_memory(frame.data, (DATA * u.Jy).value) is False    # the Quantity is a copy of DATA itself


@pytest.mark.parametrize('kind', [StdDevUncertainty, VarianceUncertainty, InverseVariance])
@pytest.mark.parametrize('dtype', ['f4', '>f4', 'f8'])
def test_all_kinds_of_uncertainty_mean_the_same(kind, dtype):
    array = {StdDevUncertainty: SIGMA, VarianceUncertainty: SIGMA**2, InverseVariance: SIGMA**-2.0}[kind].astype(dtype)
    frame = as_frame(CCDData(DATA, uncertainty=kind(array), unit='adu'), name='science')
    np.testing.assert_allclose(frame.variance, SIGMA**2, rtol=3e-7)
    assert frame.variance.dtype == np.dtype('f4')
    assert frame.uncertainty_type is kind
    assert frame.flags is None


def test_an_inverse_variance_of_zero_is_masked():
    image = NDData(DATA, uncertainty=InverseVariance(with_pixel(0, SIGMA)))
    frame = as_frame(image, name='science')
    assert np.argwhere(frame.flags == NOT_FINITE).tolist() == [[5, 6]]
    assert np.isfinite(frame.variance).all()


@pytest.mark.parametrize(('uncertainty', 'factor'), [
    (StdDevUncertainty(SIGMA, unit='mJy'), 1e-6), (VarianceUncertainty(SIGMA, unit='mJy2'), 1e-6),
    (InverseVariance(SIGMA, unit='1 / mJy2'), 1e-6)])
def test_uncertainties_in_other_units_convert(uncertainty, factor):
    frame = as_frame(NDData(DATA, unit='Jy', uncertainty=uncertainty), name='science')
    plain = {StdDevUncertainty: SIGMA**2, VarianceUncertainty: SIGMA, InverseVariance: 1 / SIGMA}[type(uncertainty)]
    np.testing.assert_allclose(frame.variance, plain * factor, rtol=1e-6)


def test_wcs_and_meta_go_along():
    wcs, meta = sky(), {'FILTER': 'r'}
    frame = as_frame(CCDData(DATA, unit='adu', wcs=wcs, meta=meta), name='template')
    assert frame.wcs.wcs.crval[0] == 150
    assert frame.meta['FILTER'] == 'r'
    assert frame.name == 'template'


def test_foreign_flags_count_in_parity_mode_only():
    image = CCDData(DATA, unit='adu', flags=MASK * np.uint16(2))
    assert as_frame(image, name='science').flags is None
    assert as_frame(image, name='science', keep_masked_values=True).flags[3, 4] == 0x22


def bad(plane):
    return with_pixel(np.nan, plane)


@pytest.mark.parametrize('make', [
    lambda: DATA.copy(), lambda: bad(DATA), lambda: bad(DATA.astype('>f8')), lambda: np.ma.array(bad(DATA), mask=MASK),
    lambda: bad(DATA) * u.Jy, lambda: Masked(bad(DATA), mask=MASK), lambda: bad(DATA).tolist(),
    *[lambda kind=kind: CCDData(bad(DATA), uncertainty=kind(with_pixel(-1, SIGMA)), mask=MASK.copy(), unit='adu',
                                flags=MASK * np.int32(4))
      for kind in (StdDevUncertainty, VarianceUncertainty, InverseVariance)]])
@pytest.mark.parametrize('keep', [False, True])
def test_the_callers_arrays_are_never_modified(make, keep):
    image = make()
    before = copy.deepcopy(image)
    as_frame(image, name='science', keep_masked_values=keep)
    parts = ['data', 'mask', 'flags'] if isinstance(image, CCDData) else []
    for now, then in [(getattr(image, part), getattr(before, part)) for part in parts] or [(image, before)]:
        assert np.ma.getdata(np.asarray(now)).tobytes() == np.ma.getdata(np.asarray(then)).tobytes()
    if parts:
        assert_array_equal(image.uncertainty.array, before.uncertainty.array)
    if hasattr(image, 'mask'):
        assert_array_equal(image.mask, before.mask)


def test_arrays_behind_other_objects_are_not_modified_either():
    class Wrapper:
        """As of pandas, xarray, torch: gives its own memory away."""

        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return self.values

    image = Wrapper(bad(DATA))
    frame = as_frame(image, name='science')
    assert np.isfinite(frame.data).all()
    assert np.isnan(image.values[5, 6])


def test_read_only_arrays_will_do():
    data = bad(DATA)
    data.flags.writeable = False
    assert np.isfinite(as_frame(data, name='science').data).all()


# -- files

@pytest.mark.parametrize('kind', [StdDevUncertainty, VarianceUncertainty, InverseVariance])
def test_a_file_of_ccddata_gives_what_ccddata_gives(tmp_path, kind):
    image = CCDData(with_pixel(np.nan), uncertainty=kind(SIGMA), mask=MASK, unit='Jy', wcs=sky())
    image.write(tmp_path / 'image.fits')
    of_file, of_object = (as_frame(i, name='science') for i in (tmp_path / 'image.fits', image))
    for plane in ('data', 'variance', 'flags'):
        assert_array_equal(getattr(of_file, plane), getattr(of_object, plane))
    assert of_file.unit == u.Jy
    assert of_file.uncertainty_type is kind
    assert_array_equal(of_file.wcs.wcs.crval, image.wcs.wcs.crval)
    assert isinstance(of_file.meta, fits.Header)


def test_an_integer_bit_plane_called_mask_is_not_taken_for_a_boolean_one(tmp_path, caplog):
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(DATA), fits.ImageHDU(MASK * np.int32(32), name='MASK')]
    fits.HDUList(hdus).writeto(tmp_path / 'image.fits')
    assert as_frame(str(tmp_path / 'image.fits'), name='science').flags is None
    assert 'MASK is no plane of 0 and 1' in caplog.text


@pytest.mark.parametrize(('bunit', 'unit'), [
    ('ADU', u.adu), ('adu', u.adu), ('counts', u.ct), ('COUNTS', u.ct), ('Electrons', u.electron), ('dn', u.DN),
    ('electrons/s', u.electron / u.s), ('DN/s', u.DN / u.s), ('MJy/sr', u.MJy / u.sr), ('', None), (None, None)])
def test_the_unit_of_a_file_is_its_bunit(tmp_path, bunit, unit):
    header = fits.Header() if bunit is None else fits.Header({'BUNIT': bunit})
    fits.PrimaryHDU(DATA, header).writeto(tmp_path / 'image.fits')
    assert as_frame(tmp_path / 'image.fits', name='science').unit == unit


def test_a_unit_nobody_knows_is_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    fits.PrimaryHDU(DATA, fits.Header({'BUNIT': 'furlong per fortnight'})).writeto(tmp_path / 'image.fits')
    assert as_frame(tmp_path / 'image.fits', name='science').unit is None
    assert 'furlong per fortnight' in caplog.text


def test_a_file_without_celestial_wcs_has_none(tmp_path):
    fits.PrimaryHDU(DATA).writeto(tmp_path / 'image.fits')
    assert as_frame(tmp_path / 'image.fits', name='science').wcs is None


def test_a_cut_off_file_is_an_input_error(tmp_path):
    path = tmp_path / 'image.fits'
    fits.PrimaryHDU(DATA).writeto(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r'image\.fits'):
        as_frame(path, name='science')


# -- pairs

def frame(unit, name='science', shape=SHAPE):
    return Frame.from_planes(np.resize(DATA, shape), sigma=np.resize(SIGMA, shape), unit=unit, name=name)


def test_the_template_is_converted_to_the_unit_of_the_science_image():
    template = frame('Jy', 'template')
    converted = check_pair(frame('mJy'), template)
    assert converted.unit == u.mJy
    assert_array_equal(converted.data, (DATA * np.float64(1000)).astype('f4'))
    np.testing.assert_allclose(converted.variance, SIGMA**2 * 1e6, rtol=3e-7)
    assert_array_equal(template.data, DATA)
    assert converted.name == 'template'


@pytest.mark.parametrize('units', [('adu', 'adu'), (None, 'adu'), ('adu', None), (None, None)])
def test_nothing_is_copied_where_nothing_converts(units):
    template = frame(units[1], 'template')
    assert check_pair(frame(units[0]), template).data is template.data


def test_units_that_do_not_convert_are_refused_by_name():
    with pytest.raises(InputError, match=r'template is in adu.*electron'):
        check_pair(frame('electron'), frame('adu', 'template'))


def test_shapes_that_differ_are_refused_with_advice():
    with pytest.raises(InputError, match=r'science \(ny, nx\) = \(30, 40\), template \(31, 40\); register'):
        check_pair(frame(None), frame(None, 'template', (31, 40)))


# -- HDUs -----------------------------------------------------------------------------------------

def test_an_hdu_brings_data_unit_and_header():
    hdu = fits.ImageHDU(np.arange(6.0).reshape(2, 3))
    hdu.header['BUNIT'] = 'electron'
    frame = as_frame(hdu, name='science')
    assert_array_equal(frame.data, hdu.data)
    assert (str(frame.unit), frame.meta['BUNIT']) == ('electron', 'electron')


def test_of_a_list_of_hdus_the_first_image_is_taken():
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([]), fits.ImageHDU(np.ones((2, 3)))])
    assert as_frame(hdus, name='science').shape == (2, 3)


@pytest.mark.parametrize('nothing', [fits.PrimaryHDU(), fits.HDUList([fits.PrimaryHDU()])])
def test_an_hdu_without_image_is_refused(nothing):
    with pytest.raises(InputError, match='HDU'):
        as_frame(nothing, name='science')
