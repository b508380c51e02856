"""Results are CCDData that lose nothing on the way through a file."""

import os

import astropy
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.wcs import WCS, Sip
from numpy.testing import assert_array_equal

from hotpants_cy.exceptions import OutputError
from hotpants_cy.inputs.frame import Frame, as_frame
from hotpants_cy.inputs.image import HotpantsImage, to_image

SHAPE = (7, 9)
PIXELS = np.array([[0, 0], [8, 6], [1000.5, 2000.25]])


def sip_wcs():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ['RA---TAN-SIP', 'DEC--TAN-SIP']
    wcs.wcs.crval = [150.12345678901236, -2.2012345678901235]
    wcs.wcs.crpix = [1024.1234567890123, 1000.0987654321012]
    wcs.wcs.cd = [[-7.305555555555123e-05, 1.2345678901234567e-08], [1.2345e-08, 7.305551111111111e-05]]
    terms = np.zeros((4, 4))
    terms[0, 2], terms[1, 1], terms[3, 0] = 1.2345678901234567e-07, -3.3333333333333333e-08, 9.87654321012345e-11
    wcs.sip = Sip(terms, terms.T.copy(), None, None, wcs.wcs.crpix)
    return wcs


def science_header():
    header = fits.Header()
    header['OBJECT'] = ('M31', 'what was observed')
    header['LONGTEXT'] = 'a value that is much too long for one card of eighty characters ' * 3
    header['EXACT'] = (-1.2345678901234567e-05, 'seventeen digits')
    header['HIERARCH ESO DET NAME'] = 'ccd50'
    header['DATE-OBS'] = '2024-05-06T07:08:09'
    for text in ('first line', 'second line', 'first line'):
        header.add_history(text)
    header.add_comment('a remark')
    return header


def result(kind=StdDevUncertainty, unit='adu', wcs=None, meta=None):
    rng = np.random.default_rng(5)
    data, sigma = rng.normal(0, 10, SHAPE).astype('f4'), rng.uniform(1, 9, SHAPE).astype('f4')
    flags = np.zeros(SHAPE, np.int32)
    flags[2, 3], flags[4, 4], flags[5, 1] = 0x8080, 0x88, 0x40
    data[2, 3] = data[4, 4] = np.nan
    science = Frame(data=np.ones(SHAPE, 'f4'), variance=None, flags=None, unit=as_unit(unit), wcs=wcs,
                    meta=science_header(), uncertainty_type=kind)
    return to_image(science, data, sigma, flags, meta=meta), sigma


def as_unit(unit):
    return Frame.from_planes([[1.0]], unit=unit).unit


def own_cards(header):
    skip = ('SIMPLE', 'BITPIX', 'NAXIS', 'NAXIS1', 'NAXIS2', 'EXTEND', 'MJD-OBS')
    return [(card.keyword, card.value, card.comment) for card in header.cards if card.keyword not in skip]


@pytest.mark.parametrize('kind', [StdDevUncertainty, VarianceUncertainty, InverseVariance])
@pytest.mark.parametrize('ending', ['.fits', '.fits.gz'])
def test_nothing_is_lost_in_a_file(tmp_path, kind, ending):
    image, _ = result(kind, wcs=sip_wcs(), meta={'KSUM00': (1.0123456789012345e-06, 'kernel sum')})
    path = tmp_path / f'image{ending}'
    image.write(path)
    again = HotpantsImage.read(path)
    assert type(again) is HotpantsImage
    assert type(again.uncertainty) is kind
    assert again.unit == image.unit
    assert again.mask.dtype == bool
    for plane, wanted in ((again.data, image.data), (again.uncertainty.array, image.uncertainty.array),
                          (again.mask, image.mask), (again.flags, image.flags)):
        assert plane.dtype == wanted.dtype
        assert plane.tobytes() == wanted.tobytes()
    assert own_cards(again.header) == own_cards(image.header)
    assert_array_equal(again.wcs.all_pix2world(PIXELS, 0), image.wcs.all_pix2world(PIXELS, 0))


def test_further_round_trips_change_nothing(tmp_path):
    image, _ = result(wcs=sip_wcs())
    headers = []
    for _ in range(3):
        image.write(tmp_path / 'image.fits', overwrite=True)
        headers.append(sorted(fits.getheader(tmp_path / 'image.fits').tostring(sep='\n').split('\n')))
        image = HotpantsImage.read(tmp_path / 'image.fits')
    assert headers[1] == headers[2]    # the first gets the comments of the wcs


@pytest.mark.parametrize('unit', ['adu', 'electron / s', 'MJy / sr', None])
def test_ccddata_reads_the_file_too(tmp_path, unit):
    image, _ = result(unit=unit, wcs=sip_wcs())
    image.write(tmp_path / 'image.fits')
    again = CCDData.read(tmp_path / 'image.fits')
    assert again.unit == image.unit
    assert_array_equal(again.data, image.data)
    assert_array_equal(again.mask, image.mask)
    assert_array_equal(again.uncertainty.array, image.uncertainty.array)


def test_ccddata_of_astropy_8_reads_the_flags(tmp_path):
    if int(astropy.__version__.split('.')[0]) < 8:
        pytest.skip('this astropy cannot read flags')
    image, _ = result()
    image.write(tmp_path / 'image.fits')
    assert_array_equal(CCDData.read(tmp_path / 'image.fits', hdu_flags='FLAGS').flags, image.flags)


def test_a_written_result_can_be_an_input(tmp_path):
    image, _ = result(VarianceUncertainty, wcs=sip_wcs())
    image.write(tmp_path / 'image.fits')
    frame = as_frame(tmp_path / 'image.fits', name='science')
    assert_array_equal(frame.flags != 0, image.mask)
    good = ~image.mask
    assert_array_equal(frame.data[good], image.data[good])
    assert_array_equal(frame.variance[good], image.uncertainty.array[good])
    assert frame.uncertainty_type is VarianceUncertainty
    assert frame.unit == image.unit


def test_flags_are_left_out_when_asked(tmp_path):
    image, _ = result()
    image.write(tmp_path / 'image.fits', hdu_flags=None)
    assert [hdu.name for hdu in image.to_hdu()] == ['PRIMARY', 'MASK', 'UNCERT', 'FLAGS']
    assert HotpantsImage.read(tmp_path / 'image.fits').flags is None


def test_an_existing_file_is_replaced_only_if_asked(tmp_path):
    path = tmp_path / 'image.fits'
    path.write_bytes(b'precious')
    image, _ = result()
    with pytest.raises(OutputError, match='exists'):
        image.write(path)
    assert path.read_bytes() == b'precious'
    image.write(path, overwrite=True)
    assert HotpantsImage.read(path).unit == 'adu'
    assert os.listdir(tmp_path) == ['image.fits']


@pytest.mark.parametrize(('kind', 'plane'), [
    (StdDevUncertainty, np.array), (VarianceUncertainty, np.square), (InverseVariance, lambda s: 1 / np.square(s))])
def test_the_uncertainty_has_the_class_of_the_science_image(kind, plane):
    image, sigma = result(kind)
    assert type(image.uncertainty) is kind
    assert_array_equal(image.uncertainty.array[~image.mask], plane(sigma)[~image.mask])
    assert np.isnan(image.uncertainty.array[image.mask]).all()
    assert np.isfinite(sigma).all()


def test_bad_and_nan_pixels_are_masked_and_others_are_not():
    image, _ = result()
    assert np.argwhere(image.mask).tolist() == [[2, 3], [4, 4]]
    assert image.flags[5, 1] == 0x40


def test_the_mask_is_there_even_without_flags():
    science = Frame.from_planes(np.ones(SHAPE))
    image = to_image(science, science.data)
    assert_array_equal(image.mask, np.zeros(SHAPE, bool))


def test_no_stale_unit_is_written(tmp_path):
    header = science_header()
    header['BUNIT'] = 'Jy'
    for unit, bunit in ((None, '1'), ('adu', 'adu')):
        science = Frame.from_planes(np.ones(SHAPE), unit=unit, meta=header)
        to_image(science, science.data).write(tmp_path / 'image.fits', overwrite=True)
        assert fits.getheader(tmp_path / 'image.fits')['BUNIT'] == bunit
    assert header['BUNIT'] == 'Jy'


def test_cards_about_the_input_file_are_dropped(tmp_path):
    pixels = np.arange(63, dtype='i2').reshape(SHAPE)
    hdu = fits.ImageHDU(pixels, name='SCI')
    hdu.header.update(sip_wcs().to_header(relax=True))
    hdu.header['BSCALE'], hdu.header['BZERO'], hdu.header['BLANK'] = 0.5, 100, -1
    hdu.writeto(tmp_path / 'in.fits', checksum=True)
    frame = as_frame(f'{tmp_path}/in.fits[SCI]', name='science')
    image = to_image(frame, frame.data)
    left = set(image.header)
    assert not left & {'BSCALE', 'BZERO', 'BLANK', 'CHECKSUM', 'DATASUM', 'XTENSION', 'PCOUNT', 'NAXIS', 'CRVAL1'}
    image.write(tmp_path / 'out.fits')
    again = HotpantsImage.read(tmp_path / 'out.fits')
    assert_array_equal(again.data, frame.data)
    assert_array_equal(again.wcs.all_pix2world(PIXELS, 0), frame.wcs.all_pix2world(PIXELS, 0))


def test_a_cd_matrix_in_the_header_does_not_contradict_the_wcs(tmp_path):
    header = fits.Header({'CD1_1': 99.0, 'CD2_2': 99.0, 'CTYPE1A': 'LINEAR', 'FILTER': 'r'})
    science = Frame.from_planes(np.ones(SHAPE), wcs=sip_wcs(), meta=header)
    to_image(science, science.data).write(tmp_path / 'image.fits')
    again = fits.getheader(tmp_path / 'image.fits')
    assert 'CD1_1' not in again
    assert again['CTYPE1A'] == 'LINEAR'
    assert_array_equal(WCS(again).all_pix2world(PIXELS, 0), sip_wcs().all_pix2world(PIXELS, 0))


@pytest.mark.parametrize('odd', [b'lower   = not a value at all  ', b'SECOND  = 1.2.3               ',
                                 b"SECOND  = 'never closed       "])
def test_an_odd_card_of_the_input_does_not_cost_the_result(tmp_path, odd):
    path = tmp_path / 'in.fits'
    fits.PrimaryHDU(np.ones(SHAPE, 'f4'), fits.Header({'SECOND': 2, 'FILTER': 'r'})).writeto(path)
    path.write_bytes(path.read_bytes().replace(b'SECOND  =                    2', odd))
    assert odd in path.read_bytes()
    frame = as_frame(path, name='science')
    image = to_image(frame, frame.data)
    image.write(tmp_path / 'out.fits')
    again = HotpantsImage.read(tmp_path / 'out.fits')
    assert again.header['FILTER'] == 'r'
    assert_array_equal(again.data, frame.data)


def test_the_wcs_and_header_are_copies():
    wcs, header = sip_wcs(), science_header()
    science = Frame.from_planes(np.ones(SHAPE), wcs=wcs, meta=header)
    image = to_image(science, science.data, meta={'NEW': (1, 'card')})
    image.wcs.wcs.crval = [0, 0]
    assert wcs.wcs.crval[0] == 150.12345678901236
    assert 'NEW' not in header


def test_cards_fits_cannot_hold_are_left_out_or_become_text(tmp_path):
    meta = {'filter': 'r', 'exposure_time': 30.0, 'sky': np.nan, 'shape': (3, 4), 'who': 'Ängström\nx'}
    science = Frame.from_planes(np.ones(SHAPE), meta=meta)
    cards = {'MEAN': (np.float32('nan'), 'mean'), 'N': (np.int64(7), 'count'), 'HISTORY': (['one', 'two'], '')}
    image = to_image(science, science.data, meta=cards)
    image.write(tmp_path / 'image.fits')
    header = fits.getheader(tmp_path / 'image.fits')
    assert 'MEAN' not in header
    assert 'SKY' not in header
    assert (header['N'], header['FILTER'], header['SHAPE'], header['EXPOSURE_TIME']) == (7, 'r', '(3, 4)', 30.0)
    assert list(header['HISTORY']) == ['one', 'two']


def test_arithmetic_slices_and_copies_are_images_too():
    image, _ = result(wcs=sip_wcs())
    cut = image[1:5, 2:6]
    assert type(cut) is HotpantsImage
    assert_array_equal(cut.flags, image.flags[1:5, 2:6])
    assert_array_equal(cut.mask, image.mask[1:5, 2:6])
    assert cut.wcs.wcs.crpix[0] == image.wcs.wcs.crpix[0] - 2
    total = image.add(image)
    assert type(total) is HotpantsImage
    assert_array_equal(total.data, 2 * image.data)
    twin = image.copy()
    twin.data[0, 0] = twin.flags[0, 0] = 5
    assert image.data[0, 0] != 5
    assert image.flags[0, 0] == 0
