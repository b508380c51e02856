"""Kernels go to files and come back: the same numbers, the same pixels, and C's tables too."""

import gzip
import itertools

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose, assert_array_equal

import hotpants_cy as hp
from hotpants_cy.cli.main import main
from hotpants_cy.datasets import make_pair

CONFIG = hp.HotpantsConfig(rkernel=6, rss=9, nstampx=4, nstampy=4, ko=1)
PAIR = make_pair((210, 230), seed=12, n_transients=3, star_flux=(8e3, 2e5))
SCIENCE, TEMPLATE = PAIR.science.data, PAIR.template.data


def pictures(seed=5):
    """Images that span a kernel: a broad one with the flux, and others about it."""
    y, x = np.indices((13, 13)) - 6
    gaussians = [np.exp(-((x - dx)**2 + (y - dy)**2) / (2 * s**2)) for s in (0.9, 1.4, 2.2)
                 for dx, dy in itertools.product((-1, 0, 1), repeat=2)]
    return np.array([g / g.sum() for g in gaussians])


KINDS = {
    'default': {},
    'other Gaussians': {'deg_fixe': (3, 1), 'sigma_gauss': (1 / 3 + 0.5, np.pi), 'ko': 2, 'bgo': 2},
    'blocks': {'kcs': 5, 'force_convolve': 'i'},
    'images': {'basis_images': pictures(), 'ko': 0},
    'good range': {'good_range': (11, 220, 7, 200)},
}
REGIONS = {'nregx': 2, 'nstampx': 2, 'fitthresh': 10, 'ko': 0}


@pytest.fixture(scope='module')
def kernels():
    return {kind: hp.Hotpants(TEMPLATE, SCIENCE, config=CONFIG.replace(**changes)).kernel
            for kind, changes in (KINDS | {'regions': REGIONS}).items()}


# -- there and back ---------------------------------------------------------------------------

@pytest.mark.parametrize('kind', KINDS)
def test_a_kernel_comes_back_as_it_was(kernels, kind, tmp_path):
    kernels[kind].write(tmp_path / 'k.fits')
    again = hp.KernelModel.read(tmp_path / 'k.fits')
    assert again == kernels[kind]
    assert again.solution.tobytes() == kernels[kind].solution.tobytes()
    assert again.basis.images.tobytes() == kernels[kind].basis.images.tobytes()
    assert (again.frame, again.direction, again.block_width) == (
        kernels[kind].frame, kernels[kind].direction, kernels[kind].block_width)


def test_a_mosaic_comes_back_as_it_was(kernels, tmp_path):
    mosaic = kernels['regions']
    mosaic.write(tmp_path / 'k.fits')
    again = hp.KernelModel.read(tmp_path / 'k.fits')
    assert type(again) is hp.KernelMosaic
    assert (again.models, again.sections, again.shape) == (mosaic.models, mosaic.sections, mosaic.shape)
    assert len({model.solution[0] for model in again.models}) == 2


@pytest.mark.parametrize('kind', ['default', 'other Gaussians', 'blocks', 'images', 'regions'])
@pytest.mark.parametrize('background', [False, True])
def test_after_reading_it_gives_the_same_pixels(kernels, kind, background, tmp_path):
    kernels[kind].write(tmp_path / 'k.fits')
    again = hp.KernelModel.read(str(tmp_path / 'k.fits'))
    pixels = again.apply(TEMPLATE, background=background)
    assert_array_equal(pixels, kernels[kind].apply(TEMPLATE, background=background))
    assert np.isfinite(pixels[6:-6, 6:-6]).all()


def test_equal_means_every_number(kernels, tmp_path):
    kernels['default'].write(tmp_path / 'k.fits')
    with fits.open(tmp_path / 'k.fits', mode='update') as hdus:
        hdus[1].data['Region0'][20] *= 1 + 1e-15
    assert hp.KernelModel.read(tmp_path / 'k.fits') != kernels['default']


def test_a_kernel_in_a_file_subtracts_another_image(kernels, tmp_path):
    kernels['regions'].write(tmp_path / 'k.fits.gz')
    later = make_pair((210, 230), seed=12, n_transients=0, star_flux=(8e3, 2e5)).science.data
    left = later - hp.KernelModel.read(tmp_path / 'k.fits.gz').apply(TEMPLATE, background=True)
    assert np.nanmedian(left) == pytest.approx(0, abs=2)
    assert np.nanstd(left) < 0.25 * np.nanstd(later - TEMPLATE)


def test_a_file_that_exists_is_only_replaced_if_asked(kernels, tmp_path):
    path = tmp_path / 'k.fits'
    kernels['default'].write(path)
    with pytest.raises(hp.OutputError, match='overwrite=True was not given'):
        kernels['images'].write(path)
    assert hp.KernelModel.read(path) == kernels['default']
    kernels['images'].write(path, overwrite=True)
    assert hp.KernelModel.read(path) == kernels['images']
    with pytest.raises(hp.OutputError, match='missing'):
        kernels['regions'].write(tmp_path / 'missing' / 'k.fits')
    assert [p.name for p in tmp_path.iterdir()] == ['k.fits']


# -- the command line -------------------------------------------------------------------------

FLAGS = ['-r', '6', '-rss', '9', '-nsx', '4', '-nsy', '4', '-ko', '1', '-v', '0', '-tl', '-1e4', '-il', '-1e4', '-tu',
         '1e6', '-iu', '1e6', '-fi', '-7']


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fits.writeto('s.fits', SCIENCE)
    fits.writeto('t.fits', TEMPLATE)
    return tmp_path


def run(name, *options):
    assert main(['-inim', 's.fits', '-tmplim', 't.fits', '-outim', name, *FLAGS, *options]) == 0
    return fits.getdata(name)


@pytest.mark.parametrize('kind', ['default', 'blocks', 'regions'])
def test_ki_takes_our_tables(kernels, folder, kind):
    kernel = kernels[kind]
    kernel.write('k.fits')
    options = {'regions': ['-nrx', '2', '-nsx', '2', '-ko', '0'], 'blocks': ['-kcs', '5']}.get(kind, [])
    difference = run('d.fits', '-ki', 'k.fits', *options)
    good = difference != -7
    assert good.mean() > 0.85
    if kind == 'blocks':                             # it convolves the science image, to the template's scale
        expected = kernel.apply(SCIENCE, background=True) - TEMPLATE
    else:
        ratio = np.where(np.arange(230) < 115, kernel.sum(60, 105), kernel.sum(170, 105))
        expected = (SCIENCE - kernel.apply(TEMPLATE, background=True)) / ratio
    if kind == 'regions':
        assert kernel.sections[1][0] in (114, 115)
        good[:, 114:116] = False
    assert_allclose(difference[good], expected[good], rtol=1e-4, atol=0.02)


@pytest.mark.parametrize('option', [['-oki', 'k.fits'], ['-hki']])
@pytest.mark.parametrize('regions', [[], ['-nrx', '2', '-nsx', '2', '-ko', '0', '-ft', '10']])
def test_tables_of_the_command_line_are_read_and_taken_again(folder, option, regions):
    difference = run('d.fits', *option, *regions)
    path = option[-1] if len(option) == 2 else 'd.fits'
    kernel = hp.KernelModel.read(path)
    assert type(kernel) is (hp.KernelMosaic if regions else hp.KernelModel)
    assert_array_equal(run('again.fits', '-ki', path, *regions), difference)
    kernel.write('ours.fits')
    assert_array_equal(run('ours_again.fits', '-ki', 'ours.fits', *regions), difference)


def test_a_kernel_from_a_file_is_not_said_to_be_fitted_to_stars(folder, capsys):
    run('d.fits', '-hki', '-v', '1')
    fitted = capsys.readouterr().err
    assert 'stamps used, scatter over noise' in fitted
    run('again.fits', '-ki', 'd.fits', '-v', '1')
    taken = capsys.readouterr().err
    assert 'kernel from d.fits, scatter over noise' in taken
    assert 'stamps' not in taken
    scatter = [line.splitlines()[0].rpartition(' ')[2] for line in (fitted, taken)]
    assert scatter[0] == scatter[1]


# -- tables of the C program ------------------------------------------------------------------

def test_a_table_of_c_reproduces_the_difference_of_c(reference):
    case, inputs = reference / 'options/cases/oki', reference / 'options/inputs'
    kernel = hp.KernelModel.read(case / 'kernel.fits.gz')
    assert (kernel.ko, kernel.bgo, kernel.direction, kernel.half_width) == (2, 1, 't', 10)
    assert f'{kernel.sum(180, 150):.4f}' == '0.8517'                 # KSUM00 that C printed
    science, template = (fits.getdata(inputs / f'{name}.fits') for name in ('science', 'template'))
    difference, mask = (fits.getdata(case / f'{name}.fits.gz') for name in ('diff', 'mask'))
    mine = (science - kernel.apply(template, background=True)) / kernel.sum(180, 150)
    good = (mask & 0x8000) == 0
    assert good.mean() > 0.8
    assert_allclose(mine[good], difference[good], atol=1e-3)


@pytest.mark.parametrize('name', ['ki', 'sht', 'ft_retry', 'crowded', 'pca_asym'])
def test_every_table_of_c_is_read_to_the_last_bit(reference, name, tmp_path):
    path = reference / 'options/cases' / name / 'kernel.fits.gz'
    kernel = hp.KernelModel.read(path)
    column = fits.getdata(path, 1).field(0)
    assert_array_equal(column[1:1 + len(kernel.solution)], kernel.solution)
    assert not column[1 + len(kernel.solution):].any()
    kernel.write(tmp_path / 'k.fits')
    again = hp.KernelModel.read(tmp_path / 'k.fits')
    assert again == kernel
    assert_array_equal(fits.getdata(tmp_path / 'k.fits', 1).field(0), column)


# -- damaged and foreign files ----------------------------------------------------------------

@pytest.fixture(scope='module')
def whole(kernels, tmp_path_factory):
    path = tmp_path_factory.mktemp('kernel') / 'k.fits'
    kernels['default'].write(path)
    return path.read_bytes()


def refused(path):
    with pytest.raises(hp.InputError, match='kernel') as caught:
        hp.KernelModel.read(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


# astropy's own warning about them comes too
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('damage', [
    lambda b: b[:len(b) // 2], lambda b: b[:-2880], lambda b: b[:2000], lambda b: b'', lambda b: b'no\n' * 999,
    lambda b: gzip.compress(b)[:-20], lambda b: b[2880:], lambda b: b.replace(b'SIMPLE', b'SAMPLE')],
    ids=['half', 'no data', 'half a header', 'empty', 'text', 'half a gzip', 'no primary', 'not FITS'])
def test_damaged_files_are_refused(whole, tmp_path, damage):
    path = tmp_path / 'k.fits'
    path.write_bytes(damage(whole))
    refused(path)


def test_foreign_files_are_refused(tmp_path):
    fits.writeto(tmp_path / 'image.fits', SCIENCE)
    table = fits.BinTableHDU.from_columns([fits.Column('x', 'D', array=np.ones(151))])
    table.writeto(tmp_path / 'table.fits')
    for name in ('image.fits', 'table.fits', 'missing.fits', '.'):
        refused(tmp_path / name)


@pytest.fixture
def change(whole, tmp_path):
    """A function that changes a header, 0 or 1, or the column of a table, and gives its path."""
    def changed(hdu=1, column=None, **cards):
        path = tmp_path / 'k.fits'
        path.write_bytes(whole)
        with fits.open(path) as hdus:
            table = hdus[1]
            if column is not None:
                table = fits.BinTableHDU.from_columns([fits.Column('Region0', 'D', array=column(
                    np.array(hdus[1].data['Region0'])))], header=fits.Header(
                        [card for card in hdus[1].header.cards if card.keyword not in ('NAXIS1', 'NAXIS2')]))
            result = fits.HDUList([hdus[0], table])
            for keyword, value in cards.items():
                result[hdu].header.pop(keyword)
                if value is not None:
                    result[hdu].header[keyword] = value
            result.writeto(path, overwrite=True)
        return path
    return changed


def test_a_change_of_nothing_is_no_damage(kernels, change):
    assert hp.KernelModel.read(change()) == kernels['default']
    assert hp.KernelModel.read(change(column=np.copy)) == kernels['default']


@pytest.mark.parametrize('cards', [
    *({name: None} for name in ('NGAUSS', 'DGAUSS1', 'SGAUSS2', 'FWKERN', 'CKORDER', 'BGORDER')),
    {'NGAUSS': 0}, {'NGAUSS': -1}, {'NGAUSS': 4}, {'NGAUSS': 'x'}, {'DGAUSS1': 7}, {'CKORDER': 2}, {'CKORDER': 99},
    {'BGORDER': 9}, {'FWKERN': 'x'}, {'BUFFER00': '[1:10]'}, {'BUFFER00': 5},
    {'hdu': 0, 'CONVOL00': None}, {'hdu': 0, 'REGION00': None}, {'hdu': 0, 'REGION00': 'x'}], ids=str)
def test_tables_that_lack_something_are_refused(change, cards):
    refused(change(**cards))


@pytest.mark.parametrize('column', [lambda c: c[:50], lambda c: c[:148], lambda c: 0 * c])
def test_tables_without_all_coefficients_are_refused(change, column):
    refused(change(column=column))


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('cards', [
    {'FWKERN': -3}, {'FWKERN': 0}, {'FWKERN': 12}, {'FWKERN': 100001}, {'SIGMA1': '0.0'}, {'SIGMA1': '-1.0'},
    {'SIGMA1': 'nan'}, {'CKORDER': -1}, {'BGORDER': -2}, {'KCSTEP': 0}, {'KCSTEP': -5}, {'DGAUSS1': -1},
    {'BUFFER00': '[10:1,10:1]'}, {'hdu': 0, 'CONVOL00': 'Q'},
    {'column': lambda c: np.where(np.arange(len(c)) == 3, np.nan, c)},
    {'column': lambda c: np.where(np.arange(len(c)) == 3, np.inf, c)}],
    ids=lambda cards: 'column' if 'column' in cards else str(cards))    # not the address of the function
def test_tables_of_impossible_numbers_are_refused(change, cards):
    refused(change(**cards))


def test_a_kernel_table_that_is_not_there_is_told_in_words():
    with pytest.raises(hp.InputError, match=r'^cannot take a kernel from nope.fits: No such file or directory$'):
        hp.KernelModel.read('nope.fits')
