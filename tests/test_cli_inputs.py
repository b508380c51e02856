"""The command line uses mask and uncertainty that ``CCDData.write`` puts beside an image, unless told otherwise."""
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty

from hotpants_cy.cli.main import main
from hotpants_cy.datasets import make_pair

OPTIONS = '-c t -r 6 -rss 9 -nsx 4 -nsy 4 -ko 1 -tl -1000 -il -1000 -tu 60000 -iu 60000 --threads 1'
PLANES = 'outim', 'oni', 'omi'


@pytest.fixture(scope='module')
def images():
    """A pair with bad pixels, which its masks tell, and with noise that gain and read noise do not."""
    pair = make_pair((220, 240), seed=3)
    images = {'s': pair.science, 't': pair.template}
    for name, image in images.items():
        image.mask = np.zeros(image.shape, bool)
        image.mask[50:53, 60:64 if name == 's' else 70] = True
        image.data[image.mask] = 4000
        image.uncertainty = StdDevUncertainty(3 * image.uncertainty.array)
    return images


@pytest.fixture
def folder(images, tmp_path, monkeypatch):
    """The pair as CCDData writes it, and taken apart: images s.fits and t.fits, noise sn.fits, mask sm.fits, ..."""
    monkeypatch.chdir(tmp_path)
    for name, image in images.items():
        image.write(f'{name}_ccd.fits')
        fits.writeto(f'{name}.fits', image.data)
        fits.writeto(f'{name}n.fits', image.uncertainty.array)
        fits.writeto(f'{name}m.fits', image.mask.astype(np.int16) * 0x80)
    return tmp_path


def run(options='', science='s_ccd.fits', template='t_ccd.fits'):
    """Difference, noise and mask of a run."""
    outputs = [word for plane in PLANES for word in (f'-{plane}', f'{plane}.fits')]
    assert main(['-inim', science, '-tmplim', template, *outputs, *OPTIONS.split(), *options.split()]) == 0
    return [fits.getdata(f'{plane}.fits') for plane in PLANES]


def assert_same(planes, expected):
    for plane, of_other in zip(planes, expected, strict=True):
        np.testing.assert_array_equal(plane, of_other)


def test_planes_beside_an_image_count_like_those_of_flags(folder):
    apart = run('-ini sn.fits -tni tn.fits -imi sm.fits -tmi tm.fits', 's.fits', 't.fits')
    assert_same(run(), apart)
    assert (apart[2][50:53, 60:64] & 0x8000).all()


@pytest.mark.parametrize('kind', [VarianceUncertainty, InverseVariance])
def test_an_uncertainty_of_any_kind_is_understood(folder, images, kind):
    expected = run()
    for name, image in images.items():
        twin = image.copy()
        twin.uncertainty = image.uncertainty.represent_as(kind)
        twin.write(f'{name}_ccd.fits', overwrite=True)
    for plane, of_sigma in zip(run(), expected, strict=True):
        np.testing.assert_allclose(plane, of_sigma, rtol=1e-5, atol=1e-3)


def test_flags_win_over_what_stands_beside_the_image(folder, images):
    other = {name: 2 * image.uncertainty.array for name, image in images.items()}
    nothing = np.zeros(images['s'].shape, np.int16)
    for name, noise in other.items():
        fits.writeto(f'{name}n.fits', noise, overwrite=True)
        fits.writeto(f'{name}m.fits', nothing, overwrite=True)
    flags = '-ini sn.fits -tni tn.fits -imi sm.fits -tmi tm.fits'
    assert_same(run(flags), run(flags, 's.fits', 't.fits'))


def test_a_flag_leaves_the_other_plane_of_the_file_in_use(folder):
    assert_same(run('-ini sn.fits'), run())
    mask = run('-imi sm.fits')[2]
    np.testing.assert_array_equal(mask, run()[2])


def test_what_a_flag_replaces_is_not_even_read(folder):
    fits.setval('s_ccd.fits', 'UTYPE', value='UnknownUncertainty', extname='UNCERT')
    assert_same(run('-ini sn.fits'), run(science='s.fits', options='-ini sn.fits -imi sm.fits'))


def test_pixels_alone_are_what_c_reads(folder):
    plain = run('', 's.fits', 't.fits')
    assert_same(run('--pixels-only'), plain)
    assert not (plain[2][50:53, 60:64] & 0x20).any()


def test_it_is_said_what_is_used(folder, capsys, images):
    CCDData(images['t'].data, unit='adu', uncertainty=images['t'].uncertainty).write('t_ccd.fits', overwrite=True)
    run()
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ['s_ccd.fits: mask and noise from its extensions, as CCDData.write makes them',
                         't_ccd.fits: noise from its extensions, as CCDData.write makes them']
    for quiet in (run('--pixels-only'), run('', 's.fits', 't.fits')):
        assert quiet
        assert 'extensions' not in capsys.readouterr().err


def test_images_of_two_sizes_are_cut_with_their_planes(folder, images):
    images['t'][:210, :230].write('t_ccd.fits', overwrite=True)
    for name, array in (('t', images['t'].data), ('tn', images['t'].uncertainty.array)):
        fits.writeto(f'{name}.fits', array[:210, :230], overwrite=True)
    fits.writeto('tm.fits', images['t'].mask[:210, :230].astype(np.int16) * 0x80, overwrite=True)
    assert_same(run(), run('-ini sn.fits -tni tn.fits -imi sm.fits -tmi tm.fits', 's.fits', 't.fits'))


def test_a_plane_of_bits_called_mask_is_left_out_with_a_warning(folder, capsys):
    hdus = [fits.PrimaryHDU(fits.getdata('s.fits')), fits.ImageHDU(fits.getdata('sm.fits'), name='MASK')]
    fits.HDUList(hdus).writeto('bits.fits')
    assert_same(run(science='bits.fits'), run(science='s.fits'))
    assert 'its MASK is no plane of 0 and 1' in capsys.readouterr().err


def one_line(capsys):
    """Error of a run with the science image as it is now."""
    assert main(['-inim', 's_ccd.fits', '-tmplim', 't_ccd.fits', '-outim', 'd.fits', '-v', '0']) == 1
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    return error


def test_a_mask_of_another_shape_is_an_error(folder, images, capsys):
    hdus = images['s'].to_hdu()
    hdus['MASK'].data = np.zeros((9, 8), np.uint8)
    hdus.writeto('s_ccd.fits', overwrite=True)
    assert 'MASK in s_ccd.fits has 8 x 9 pixels, but the science image has 240 x 220' in one_line(capsys)


def test_an_uncertainty_that_nobody_knows_is_an_error(folder, capsys):
    fits.setval('s_ccd.fits', 'UTYPE', value='UnknownUncertainty', extname='UNCERT')
    assert 'nobody knows what its UnknownUncertainty means' in one_line(capsys)
