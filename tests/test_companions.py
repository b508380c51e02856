"""``extractkern`` and ``maskim`` do what C's companion programs were meant to do (spec 9)."""
import numpy as np
import pytest
from astropy.io import fits

import hotpants_cy as hp
from hotpants_cy.cli.companions import extractkern, maskim, read_mosaic
from hotpants_cy.cli.main import main
from hotpants_cy.datasets import make_pair
from hotpants_cy.kernel.spatial import RegionFrame
from hotpants_cy.stamps.regions import regions_of

SHAPE = 260, 300
OPTIONS = '-r 6 -rss 9 -nsx 4 -nsy 4 -ko 1 -ft 10 -c t -n u -tl -1000 -il -1000 -v 0'
WIDTH = 13


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Folder with a pair, its difference with the kernel appended, its convolved image and kernel tables."""
    folder = tmp_path_factory.mktemp('companions')
    pair = make_pair(SHAPE, seed=1)
    for name in ('science', 'template'):
        fits.writeto(folder / f'{name}.fits', getattr(pair, name).data.astype(np.float32))
    files = ['-inim', f'{folder}/science.fits', '-tmplim', f'{folder}/template.fits', *OPTIONS.split()]
    for options in (f'-outim {folder}/d.fits -oci {folder}/convolved.fits -hki',
                    f'-outim {folder}/d2.fits -oci {folder}/convolved2.fits -hki -nrx 2 -nsx 3',
                    f'-outim {folder}/d3.fits -oki {folder}/k.fits'):
        assert main([*files, *options.split()]) == 0
    return folder


def render(folder, capsys, *argv):
    """Image and printed text of ``extractkern``."""
    assert extractkern([*map(str, argv), f'{folder}/out.fits']) == 0
    with fits.open(folder / 'out.fits') as hdus:
        assert len(hdus) == 1
        return hdus[0].data.copy(), capsys.readouterr().out


def as_of_c(path, to, **cards):
    """The same file without the keywords that C does not write."""
    with fits.open(path) as hdus:
        for keyword in list(hdus[-1].header):
            if keyword.startswith(('IMAGEN', 'BUFFER', 'SIGMA', 'KCSTEP')):
                del hdus[-1].header[keyword]
        hdus[0].header.update(cards)
        hdus.writeto(to)
    return to


# -- extractkern ------------------------------------------------------------------------------

@pytest.mark.parametrize('file', ['d.fits', 'k.fits'])
def test_the_image_shows_the_kernel_at_the_position(folder, capsys, file):
    image, _ = render(folder, capsys, '-xy', 200, 70, folder / file)
    kernel = hp.KernelModel.read(folder / file)
    assert image.shape == (2 * WIDTH, 2 * WIDTH)
    assert image.dtype == '>f4'
    part = np.s_[WIDTH - 7:2 * WIDTH - 7]
    np.testing.assert_allclose(image[part, part], kernel.image(200, 70), atol=1e-7)
    assert image.sum() == pytest.approx(kernel.sum(200, 70), rel=1e-5)
    image[part, part] = 0
    assert not image.any()


def test_without_a_position_it_is_the_centre_where_ksum_is_taken(folder, capsys):
    _, out = render(folder, capsys, folder / 'd.fits')
    ksum = fits.getval(folder / 'd.fits', 'KSUM00')
    lines = out.splitlines()
    assert lines[0].startswith('kernel sum at (150, 130): ')
    assert float(lines[0].split()[-1]) == pytest.approx(float(ksum), abs=6e-5)
    assert lines[1] == f'KSUM of the region: {ksum}'


def test_more_kernel_widths_show_more_kernels_each_of_its_place(folder, capsys):
    image, _ = render(folder, capsys, '-xy', 150, 130, '-nkw', 4, folder / 'd.fits')
    kernel = hp.KernelModel.read(folder / 'd.fits')
    for row in (-1, 0, 1):
        for column in (-1, 0, 1):
            y, x = 2 * WIDTH - 7 + row * WIDTH, 2 * WIDTH - 7 + column * WIDTH
            expected = kernel.image(150 + column * WIDTH, 130 + row * WIDTH)
            np.testing.assert_allclose(image[y:y + WIDTH, x:x + WIDTH], expected, atol=1e-7)


def test_a_full_image_has_the_kernels_of_all_regions(folder, capsys):
    image, _ = render(folder, capsys, '-a', folder / 'd2.fits')
    kernels = hp.KernelModel.read(folder / 'd2.fits')
    assert image.shape == SHAPE
    for x, y in ((5 * WIDTH - 1, 7 * WIDTH - 1), (18 * WIDTH - 1, 3 * WIDTH - 1)):
        np.testing.assert_allclose(image[y - 6:y + 7, x - 6:x + 7], kernels.image(x, y), atol=1e-7)


@pytest.mark.parametrize(('difference', 'convolved'), [('d.fits', 'convolved.fits'), ('d2.fits', 'convolved2.fits')])
def test_the_template_convolved_is_the_convolved_image_without_background(folder, capsys, difference, convolved):
    image, _ = render(folder, capsys, '-im', folder / 'template.fits', folder / difference)
    y, x = np.indices(SHAPE)
    background = hp.KernelModel.read(folder / difference).background(x, y)
    inside = np.s_[6:-6, 6:-6]
    np.testing.assert_allclose((image + background)[inside], fits.getdata(folder / convolved)[inside], rtol=1e-6)


def test_a_cutout_is_convolved_with_the_kernel_of_its_place(folder, capsys):
    template = fits.getdata(folder / 'template.fits')
    # cut where a block begins, so that both have the same ones
    fits.writeto(folder / 'cutout.fits', template[39:39 + 60, 65:65 + 80])
    image, _ = render(folder, capsys, '-xy', 105, 69, '-im', folder / 'cutout.fits', folder / 'd.fits')
    whole, _ = render(folder, capsys, '-im', folder / 'template.fits', folder / 'd.fits')
    np.testing.assert_allclose(image[6:-6, 6:-6], whole[45:93, 71:139], rtol=1e-6)
    assert np.isnan(image[:6]).all()


def test_the_region_is_that_of_the_position(folder, capsys):
    sums = [fits.getval(folder / 'd2.fits', f'KSUM0{k}') for k in (0, 1)]
    for x, ksum in zip((20, 280), sums, strict=True):
        _, out = render(folder, capsys, '-xy', x, 100, folder / 'd2.fits')
        assert out.endswith(f'KSUM of the region: {ksum}\n')


def test_regions_of_a_table_of_c_are_laid_out_again_from_its_command_line(folder, tmp_path):
    known, _ = read_mosaic(folder / 'd2.fits')
    rebuilt, _ = read_mosaic(as_of_c(folder / 'd2.fits', tmp_path / 'c.fits'))
    assert [m.frame for m in rebuilt.models] == [m.frame for m in known.models]
    assert rebuilt.shape == known.shape


def test_without_a_command_line_they_are_laid_out_with_the_defaults(folder, tmp_path):
    path = as_of_c(folder / 'd2.fits', tmp_path / 'c.fits', DIFFCMD="' 5'")
    regions = regions_of(SHAPE, hp.HotpantsConfig(rkernel=6, nregx=2, parity=True))
    frames = [model.frame for model in read_mosaic(path)[0].models]
    assert frames == [RegionFrame(region.origin, region.shape) for region in regions]


def test_tables_of_c_itself_are_read(reference, tmp_path, capsys):
    for case, file in (('hki', 'diff.fits.gz'), ('oki', 'kernel.fits.gz')):
        path = reference / 'options/cases' / case / file
        image, out = render(tmp_path, capsys, '-xy', 180, 150, path)
        assert float(fits.getval(path, 'KSUM00')) == pytest.approx(image.sum(), abs=6e-5)
        assert out.endswith(f'KSUM of the region: {fits.getval(path, "KSUM00")}\n')


@pytest.mark.parametrize(('argv', 'reason'), [
    (['science.fits', 'o.fits'], 'it holds no kernel table'),
    (['nowhere.fits', 'o.fits'], 'No such file'),
    (['-xy', '900', '3', 'd.fits', 'o.fits'], r'no region with a kernel holds the position \(900, 3\)'),
    (['-xy', '1', 'd.fits', 'o.fits'], '-xy'),
    (['-nkw', '1', 'd.fits', 'o.fits'], '-nkw 1 is impossible'),
    (['-b', 'd.fits', 'o.fits'], 'unrecognized'),
    (['d.fits', 'd.fits'], 'is an input'),
    (['d.fits', 'nowhere/o.fits'], 'cannot write'),
    (['-im', 'tiny.fits', 'd.fits', 'o.fits'], 'smaller than the kernel'),
])
def test_extractkern_says_in_one_line_what_is_wrong(folder, capsys, monkeypatch, argv, reason):
    monkeypatch.chdir(folder)
    fits.writeto('tiny.fits', np.zeros((5, 5)), overwrite=True)
    before = (folder / 'd.fits').read_bytes()
    assert main(['extractkern', *argv]) == 1
    out, err = capsys.readouterr()
    assert out == ''
    assert err.count('\n') == 1
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(err)
    assert not (folder / 'o.fits').exists()
    assert (folder / 'd.fits').read_bytes() == before


@pytest.mark.parametrize('program', [extractkern, maskim])
def test_without_arguments_it_shows_its_usage(capsys, program):
    assert program([]) == 1
    assert capsys.readouterr().err.startswith(f'usage: hotpants-cy {program.__name__} ')


# -- maskim -----------------------------------------------------------------------------------

@pytest.fixture
def masked(tmp_path):
    """Run maskim on an HDU list and a mask; give back the raw HDUs written."""
    def run(hdus, mask, *argv):
        fits.HDUList(hdus).writeto(tmp_path / 'in.fits')
        fits.writeto(tmp_path / 'mask.fits', mask)
        files = ['-inim', tmp_path / 'in.fits', '-maskim', tmp_path / 'mask.fits', '-outim', tmp_path / 'out.fits']
        assert main(['maskim', *map(str, files), *argv]) == 0
        with fits.open(tmp_path / 'out.fits', do_not_scale_image_data=True, memmap=False) as out:
            for hdu in out:
                assert hdu.data is None or hdu.data.size
            return out
    return run


MASK = np.array([[0, 0x8000, 0x40], [0x8040, 1, 0]], np.uint16)


@pytest.mark.parametrize(('argv', 'flagged'), [
    ([], [[0, 1, 0], [1, 0, 0]]),
    (['-mask', '0x40'], [[0, 0, 1], [1, 0, 0]]),
    (['-mask', '64'], [[0, 0, 1], [1, 0, 0]]),
    (['-mask', '0X8041'], [[0, 1, 1], [1, 1, 0]]),
])
def test_pixels_with_any_of_the_bits_are_set(masked, argv, flagged):
    data = np.arange(6, dtype=np.float32).reshape(2, 3) + 0.1
    out = masked([fits.PrimaryHDU(data)], MASK, '-fi', '-7.5', *argv)
    assert np.array_equal(out[0].data, np.where(flagged, np.float32(-7.5), data))


def test_the_value_is_zero_if_not_given(masked):
    assert masked([fits.PrimaryHDU(np.ones((2, 3)))], MASK)[0].data.sum() == 4


def test_other_pixels_keep_their_bits_and_nan(masked):
    data = np.array([[np.nan, 1, -0.0], [2, np.inf, 1e-40]], np.float32)
    out = masked([fits.PrimaryHDU(data)], MASK)[0].data.astype(np.float32)
    kept = (MASK & 0x8000) == 0
    assert np.array_equal(out.view(np.int32)[kept], data.view(np.int32)[kept])


def test_scaled_integers_stay_scaled_integers(masked):
    hdu = fits.PrimaryHDU(np.arange(6, dtype=np.int16).reshape(2, 3))
    hdu.header['BSCALE'], hdu.header['BZERO'] = 0.5, 100.0
    hdu.header['OBJECT'] = 'M 31'
    out = masked([hdu], MASK, '-fi', '110')[0]
    assert np.array_equal(out.data, [[0, 20, 2], [20, 4, 5]])
    assert [out.header[k] for k in ('BITPIX', 'BSCALE', 'BZERO', 'OBJECT')] == [16, 0.5, 100.0, 'M 31']


def test_unsigned_integers_can_be_masked(masked, tmp_path):
    masked([fits.PrimaryHDU(np.full((2, 3), 40000, np.uint16))], MASK)
    data = fits.getdata(tmp_path / 'out.fits')
    assert data.dtype == np.uint16
    assert np.array_equal(data, [[40000, 0, 40000], [0, 40000, 40000]])


def test_only_the_first_image_is_masked_and_the_rest_copied(masked, tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column('A', 'E', array=[1.5, 2.5])], name='T')
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.ones((2, 3)), name='SCI'), table, fits.ImageHDU(np.ones((2, 3)))]
    out = masked(hdus, MASK)
    assert [hdu.name for hdu in out] == ['PRIMARY', 'SCI', 'T', '']
    assert [out[1].data.sum(), out[3].data.sum()] == [4, 6]
    before, after = ((tmp_path / name).read_bytes() for name in ('in.fits', 'out.fits'))
    changed = {k // 2880 for k in range(len(before)) if before[k] != after[k]}
    assert len(before) == len(after)
    assert changed == {2}                   # 2880 bytes each: primary, header and pixels of SCI, ...


def test_checksums_are_right_again(masked, tmp_path):
    hdu = fits.PrimaryHDU(np.ones((2, 3)))
    hdu.add_checksum()
    masked([hdu], MASK)
    with fits.open(tmp_path / 'out.fits', checksum=True) as hdus:
        assert hdus[0].verify_datasum() == hdus[0].verify_checksum() == 1


@pytest.mark.parametrize(('change', 'reason'), [
    (['-mask', 'many'], "'many' must be a number like 0x8000 or 32768"),
    (['-mask', '0'], 'must be a number'),
    (['-maskim', 'wide.fits'], 'wide.fits has 4 x 2 pixels, but in.fits has 3 x 2'),
    (['-maskim', 'nowhere.fits'], 'cannot read nowhere.fits'),
    (['-inim', 'in.fits[0]'], r'it takes no \[extension\]'),
    (['-inim', 'packed.fits'], 'is tile-compressed'),
    (['-maskim', 'deep.fits'], 'bits from 0x1000000 up'),
    (['-inim', 'short.fits', '-fi', '1e6'], '-fi 1e.06 does not fit into an image of BITPIX 16'),
    (['-inim', 'short.fits', '-fi', 'nan'], '-fi nan does not fit'),
    (['-outim', 'in.fits'], 'is an input'),
    (['-outim', 'nowhere/out.fits'], 'cannot write'),
])
def test_maskim_says_in_one_line_what_is_wrong(tmp_path, capsys, monkeypatch, change, reason):
    monkeypatch.chdir(tmp_path)
    fits.writeto('in.fits', np.ones((2, 3)))
    fits.writeto('short.fits', np.ones((2, 3), np.int16))
    fits.writeto('wide.fits', np.ones((2, 4)))
    fits.writeto('mask.fits', MASK)
    fits.writeto('deep.fits', MASK.astype(np.int32) << 16)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.ones((2, 3)))]).writeto('packed.fits')
    assert maskim(['-inim', 'in.fits', '-maskim', 'mask.fits', '-outim', 'out.fits', *change]) == 1
    err = capsys.readouterr().err
    assert err.count('\n') == 1
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(err)
    assert not (tmp_path / 'out.fits').exists()
