"""FITS files come in whole or not at all, and go out whole or not at all."""

import os
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_array_equal

from hotpants_cy.exceptions import InputError, OutputError
from hotpants_cy.inputs.reading import read_image, read_plane, reason_of
from hotpants_cy.inputs.writing import write_whole

PIXELS = np.random.default_rng(1).normal(100, 10, (60, 70)).astype('f4')
COUNTS = np.random.default_rng(2).integers(-32000, 32000, (60, 70)).astype('i2')


def write(path, *hdus):
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def raw_integers(scale, zero, blank=None, kind=fits.ImageHDU):
    """An HDU whose file holds COUNTS and these keywords as they are."""
    hdu = kind(COUNTS, do_not_scale_image_data=True)
    hdu.header['BSCALE'], hdu.header['BZERO'] = scale, zero
    if blank is not None:
        hdu.header['BLANK'] = blank
    return hdu


# -- pixels

@pytest.mark.parametrize('ending', ['.fits', '.fits.gz', '.fits.bz2'])
def test_plain_and_compressed_files_hold_the_same(tmp_path, ending):
    fits.PrimaryHDU(PIXELS).writeto(tmp_path / f'image{ending}')
    data, header = read_plane(tmp_path / f'image{ending}')
    assert data.dtype == np.float32
    assert data.dtype.isnative
    assert data.flags.c_contiguous
    assert data.tobytes() == PIXELS.tobytes()
    assert header['NAXIS1'] == 70


@pytest.mark.parametrize('dtype', ['u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'f4', 'f8'])
def test_all_pixel_types_are_rounded_once(tmp_path, dtype):
    pixels = (np.abs(PIXELS.astype('f8')) * 1.1 % 250 * (1 if dtype[1] == '1' else 131)).astype(dtype)
    fits.PrimaryHDU(pixels).writeto(tmp_path / 'image.fits')
    assert_array_equal(read_plane(tmp_path / 'image.fits')[0], pixels.astype('f4'))


@pytest.mark.parametrize('kind', [fits.ImageHDU, fits.CompImageHDU])
def test_scaling_is_done_in_double_precision(tmp_path, kind):
    path = write(tmp_path / 'image.fits', raw_integers(0.0123, 1234.567, kind=kind))
    exact = (COUNTS * np.float64(0.0123) + np.float64(1234.567)).astype('f4')
    single = COUNTS.astype('f4') * np.float32(0.0123) + np.float32(1234.567)
    assert (exact != single).any()    # or this would test nothing
    with fits.open(path, do_not_scale_image_data=True) as hdus:
        assert_array_equal(hdus[1].data, COUNTS)
    assert_array_equal(read_plane(path)[0], exact)


@pytest.mark.parametrize('kind', [fits.ImageHDU, fits.CompImageHDU])
def test_blank_pixels_are_nan_or_as_in_c(tmp_path, kind):
    blank = int(COUNTS[3, 4])
    path = write(tmp_path / 'image.fits', raw_integers(2.0, 5.0, blank, kind=kind))
    assert_array_equal(np.isnan(read_plane(path)[0]), np.equal(COUNTS, blank))
    assert read_plane(path, blank_is_nan=False)[0][3, 4] == 2.0 * blank + 5


def test_tile_compressed_floats_are_what_astropy_reads(tmp_path):
    write(tmp_path / 'image.fits.fz', fits.CompImageHDU(PIXELS, quantize_level=16, dither_seed=3, quantize_method=1))
    assert_array_equal(read_plane(tmp_path / 'image.fits.fz')[0], fits.getdata(tmp_path / 'image.fits.fz', 1))


def test_large_images_are_scaled_in_blocks_without_a_double_precision_copy(tmp_path):
    import tracemalloc
    hdu = fits.PrimaryHDU(np.arange(3_000_000, dtype='i2').reshape(1500, 2000), do_not_scale_image_data=True)
    hdu.header['BSCALE'] = 0.1
    hdu.writeto(tmp_path / 'image.fits')
    read_plane(tmp_path / 'image.fits')
    tracemalloc.start()
    data, _ = read_plane(tmp_path / 'image.fits')
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_array_equal(data, (np.arange(3_000_000, dtype='i2').reshape(1500, 2000) * 0.1).astype('f4'))
    assert peak < data.nbytes + 24e6    # a double precision image would be 24 MB by itself, and blocks need 18


# -- which HDU

def test_the_first_2d_image_is_taken(tmp_path):
    cube = fits.ImageHDU(np.zeros((2, 3, 4), 'f4'))
    table = fits.BinTableHDU.from_columns([fits.Column('a', 'J', array=[1, 2])])
    path = write(tmp_path / 'image.fits', table, cube, fits.ImageHDU(PIXELS, name='SCI'), fits.ImageHDU(COUNTS))
    assert_array_equal(read_plane(path)[0], PIXELS)


@pytest.mark.parametrize(('choice', 'value'), [('[1]', 1), ('[SCI]', 1), ('[sci,2]', 3), ('[ERR]', 2), ('[3]', 3)])
def test_brackets_choose_the_hdu(tmp_path, choice, value):
    planes = [fits.ImageHDU(np.full((3, 4), i + 1.0), name=name, ver=ver)
              for i, (name, ver) in enumerate([('SCI', 1), ('ERR', 1), ('SCI', 2)])]
    path = write(tmp_path / 'image.fits', *planes)
    assert read_plane(f'{path}{choice}')[0][0, 0] == value


def test_a_file_with_brackets_in_its_name_wins(tmp_path):
    fits.PrimaryHDU(np.ones((2, 2))).writeto(tmp_path / 'a.fits')
    fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / 'a.fits[0]')
    assert read_plane(tmp_path / 'a.fits[0]')[0][0, 0] == 0


def test_the_header_is_that_of_the_hdu_and_nothing_else(tmp_path):
    hdu = fits.ImageHDU(PIXELS)
    hdu.header['FILTER'] = 'r'
    path = write(tmp_path / 'image.fits', hdu)
    fits.setval(path, 'OBJECT', value='M31', ext=0)
    header = read_plane(path)[1]
    assert header['FILTER'] == 'r'
    assert 'OBJECT' not in header


def test_companions_come_with_the_first_image_only(tmp_path):
    path = write(tmp_path / 'image.fits', fits.ImageHDU(PIXELS), fits.ImageHDU(COUNTS, name='MASK'),
                 fits.ImageHDU(PIXELS, name='SECOND'))
    assert list(read_image(path, companions=('MASK', 'UNCERT'))[2]) == ['MASK']
    assert read_image(f'{path}[SECOND]', companions=('MASK', 'UNCERT'))[2] == {}


# -- bad files

def refused(path, match):
    start = time.monotonic()
    with pytest.raises(InputError, match=match) as caught:
        read_plane(path)
    assert time.monotonic() - start < 5
    assert str(caught.value).startswith(f'cannot read {path}: ')
    assert '\n' not in str(caught.value)


def test_missing_files_folders_and_devices_are_refused(tmp_path):
    refused(tmp_path / 'nothing.fits', 'No such file')
    refused(tmp_path, 'not a regular file')
    refused('/dev/zero', 'not a regular file')
    os.mkfifo(tmp_path / 'pipe.fits')
    refused(tmp_path / 'pipe.fits', 'not a regular file')


@pytest.mark.parametrize('content', [b'', b'x', b'hello' * 1000, b'\x1f\x8b', b'SIMPLE  =   T', b'SIMPLE' * 3000])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / 'image.fits').write_bytes(content)
    refused(tmp_path / 'image.fits', 'FITS|empty|cut off|ended')


def test_files_without_such_an_image_are_refused(tmp_path):
    refused(write(tmp_path / 'empty.fits'), 'holds no image')
    path = write(tmp_path / 'cube.fits', fits.ImageHDU(np.zeros((2, 3, 4))))
    refused(path, r'3 axes.*\(2, 3, 4\).*slice')
    refused(f'{path}[1]', '3 axes')
    refused(f'{path}[0]', 'no image')
    refused(f'{path}[SCI]', "no extension 'SCI'; it has 0 PRIMARY, 1")
    refused(f'{path}[7]', 'no extension 7')
    refused(f'{path}[1:10,2:5]', 'does not choose an HDU')


def test_unreadable_files_are_refused(tmp_path):
    path = tmp_path / 'image.fits'
    fits.PrimaryHDU(PIXELS).writeto(path)
    path.chmod(0)
    if os.geteuid() != 0:
        refused(path, 'Permission denied')
        return
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip('cannot give up the rights of root')
    try:
        refused(path, 'Permission denied')
    finally:
        os.seteuid(0)


@pytest.mark.parametrize('part', [0.999, 0.9, 0.5, 0.1, 0.02])
@pytest.mark.parametrize('kind', ['plain', 'gz', 'bz2', 'integer tiles', 'float tiles', 'extension'])
def test_files_that_are_cut_off_are_refused(tmp_path, kind, part):
    path = tmp_path / f'image.fits{"." + kind if kind in ("gz", "bz2") else ""}'
    if 'tiles' in kind:
        write(path, fits.CompImageHDU(PIXELS if kind[0] == 'f' else COUNTS))
    elif kind == 'extension':
        write(path, fits.ImageHDU(PIXELS))
    else:
        fits.PrimaryHDU(PIXELS).writeto(path)
    end = len(path.read_bytes().rstrip(b'\0'))    # padding may be missing, pixels may not
    path.write_bytes(path.read_bytes()[:int(end * part)])
    refused(path, 'truncated|cut off|ended|empty|holds no image|not a FITS')


def test_missing_padding_costs_nothing(tmp_path):
    path = tmp_path / 'image.fits'
    fits.PrimaryHDU(PIXELS).writeto(path)
    path.write_bytes(path.read_bytes()[:2880 + PIXELS.nbytes])
    assert_array_equal(read_plane(path)[0], PIXELS)


def test_damage_inside_a_gz_file_is_noticed(tmp_path):
    path = tmp_path / 'image.fits.gz'
    fits.PrimaryHDU(PIXELS).writeto(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    refused(path, 'CRC|decompressing|invalid')


def test_a_mask_that_is_cut_off_is_not_just_missing(tmp_path):
    path = write(tmp_path / 'image.fits', fits.ImageHDU(PIXELS), fits.ImageHDU(COUNTS, name='MASK'))
    with fits.open(path) as hdus:
        start = hdus[2].fileinfo()['hdrLoc']
    content = path.read_bytes()
    for length in (start + 400, start + 2880, start + 4000):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            read_image(path, companions=('MASK',))
    path.write_bytes(content[:start] + b'\0' * 5000)    # not a header: harmless
    assert_array_equal(read_image(path, companions=('MASK',))[0], PIXELS)


def test_odd_headers_do_no_harm(tmp_path):
    path = tmp_path / 'image.fits'
    fits.PrimaryHDU(PIXELS, fits.Header({'FIRST': 1, 'SECOND': 2})).writeto(path)
    content = path.read_bytes()
    for card, odd in ((b'FIRST   =                    1', b'BLANK   =               -32768'),
                      (b'SECOND  =                    2', b'lower   = not a value at all  ')):
        assert card in content
        content = content.replace(card, odd)
    path.write_bytes(content)
    assert_array_equal(read_plane(path)[0], PIXELS)


# -- writing

def image_of(value, shape=(50, 50)):
    return fits.HDUList([fits.PrimaryHDU(np.full(shape, value, 'f4'))])


@pytest.mark.parametrize('ending', ['.fits', '.fits.gz'])
def test_files_appear_under_their_names_only(tmp_path, ending):
    write_whole({tmp_path / f'a{ending}': image_of(1), str(tmp_path / f'b{ending}'): image_of(2)})
    assert sorted(os.listdir(tmp_path)) == [f'a{ending}', f'b{ending}']
    assert read_plane(tmp_path / f'b{ending}')[0][0, 0] == 2
    assert ((tmp_path / f'a{ending}').read_bytes()[:2] == b'\x1f\x8b') == ending.endswith('gz')


def test_new_files_get_the_usual_permissions(tmp_path):
    old = os.umask(0o027)
    try:
        write_whole({tmp_path / 'a.fits': image_of(1)})
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / 'a.fits').stat().st_mode) == 0o640


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_existing_files_are_kept_unless_overwrite(tmp_path):
    (tmp_path / 'b.fits').write_bytes(b'precious')
    files = {tmp_path / 'a.fits': image_of(1), tmp_path / 'b.fits': image_of(2)}
    with pytest.raises(OutputError, match=r'cannot write .*b\.fits: the file exists'):
        write_whole(files)
    assert snapshot(tmp_path) == {'b.fits': b'precious'}
    write_whole(files, overwrite=True)
    assert sorted(snapshot(tmp_path)) == ['a.fits', 'b.fits']
    assert read_plane(tmp_path / 'b.fits')[0][0, 0] == 2


class Failing:
    """Something whose writing stops half way."""

    def __init__(self, error):
        self.error = error

    def writeto(self, path, **options):
        with open(path, 'wb') as file:
            file.write(b'half of it')
            raise self.error


@pytest.mark.parametrize(('error', 'seen'), [(OSError(5, 'Input/output error'), OutputError),
                                             (KeyboardInterrupt(), KeyboardInterrupt), (TypeError('x'), OutputError)])
def test_a_failure_half_way_leaves_everything_as_before(tmp_path, error, seen):
    (tmp_path / 'a.fits').write_bytes(b'precious')
    with pytest.raises(seen):
        write_whole({tmp_path / 'a.fits': image_of(1), tmp_path / 'b.fits': Failing(error)}, overwrite=True)
    assert snapshot(tmp_path) == {'a.fits': b'precious'}


@pytest.mark.parametrize('error', [OSError(13, 'Permission denied'), KeyboardInterrupt()])
@pytest.mark.parametrize('moment', ['before', 'after'])
def test_a_failure_while_renaming_puts_the_old_files_back(tmp_path, monkeypatch, error, moment):
    (tmp_path / 'a.fits').write_bytes(b'precious')
    (tmp_path / 'c.fits').write_bytes(b'precious too')
    replace, stumbled = os.replace, []

    def stumbling(source, target):
        last = target.endswith('c.fits') and not stumbled
        if last:
            stumbled.append(target)
        if moment == 'after' or not last:
            replace(source, target)
        if last:
            raise error
    monkeypatch.setattr(os, 'replace', stumbling)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        write_whole({tmp_path / f'{name}.fits': image_of(1) for name in 'abc'}, overwrite=True)
    assert stumbled
    assert snapshot(tmp_path) == {'a.fits': b'precious', 'c.fits': b'precious too'}


def test_places_where_nothing_can_be_written_are_named(tmp_path):
    with pytest.raises(OutputError, match=r'cannot write .*no/a\.fits: No such file or directory'):
        write_whole({tmp_path / 'no' / 'a.fits': image_of(1)})
    with pytest.raises(OutputError, match='not a regular file'):
        write_whole({tmp_path: image_of(1)}, overwrite=True)
    with pytest.raises(OutputError, match='not a regular file'):
        write_whole({'/dev/null': image_of(1)}, overwrite=True)
    with pytest.raises(OutputError, match='two of the results'):
        write_whole({tmp_path / 'a.fits': image_of(1), f'{tmp_path}/./a.fits': image_of(2)})
    with pytest.raises(OutputError, match=r'Not a directory|No such file'):
        write_whole({'/proc/version/a.fits': image_of(1)})
    assert snapshot(tmp_path) == {}


def test_a_link_still_points_to_the_new_file(tmp_path):
    write_whole({tmp_path / 'real.fits': image_of(1)})
    (tmp_path / 'link.fits').symlink_to('real.fits')
    write_whole({tmp_path / 'link.fits': image_of(2)}, overwrite=True)
    assert (tmp_path / 'link.fits').is_symlink()
    assert read_plane(tmp_path / 'real.fits')[0][0, 0] == 2


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder], capture_output=True).returncode:
        pytest.skip('cannot mount a small file system here')
    yield folder
    subprocess.run(['umount', folder], check=True)


@pytest.mark.parametrize(('ending', 'side'), [('.fits', 40), ('.fits', 112), ('.fits', 130), ('.fits', 500),
                                              ('.fits.gz', 40), ('.fits.gz', 130), ('.fits.gz', 500)])
def test_a_full_disk_keeps_what_was_there(small_disk, side, ending):
    noise = np.random.default_rng(3).normal(size=(side, side)).astype('f4')
    (small_disk / f'b{ending}').write_bytes(b'precious' * 500)
    before = snapshot(small_disk)
    files = {small_disk / f'a{ending}': image_of(1, (10, 10)), small_disk / f'b{ending}': fits.PrimaryHDU(noise)}
    if side == 40:    # fits
        write_whole(files, overwrite=True)
        assert_array_equal(read_plane(small_disk / f'b{ending}')[0], noise)
        return
    with pytest.raises(OutputError, match=rf'cannot write .*b{ending}: .*(space|available)'):
        write_whole(files, overwrite=True)
    assert snapshot(small_disk) == before


def test_a_limit_on_file_sizes_is_an_error_too(tmp_path):
    code = '''
import resource, signal, sys
import numpy as np
from astropy.io import fits
from hotpants_cy.exceptions import OutputError
from hotpants_cy.inputs.writing import write_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    write_whole({sys.argv[1]: fits.PrimaryHDU(np.zeros((100, 100)))})
except OutputError as error:
    sys.exit(str(error))
'''
    run = subprocess.run([sys.executable, '-c', code, tmp_path / 'a.fits'], capture_output=True, text=True, timeout=60,
                         env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    assert run.returncode == 1
    assert 'cannot write' in run.stderr
    assert 'no space left, or a limit' in run.stderr or 'File too large' in run.stderr
    assert snapshot(tmp_path) == {}


@pytest.mark.parametrize(('text', 'reason'), [
    ('No SIMPLE card found, this is no FITS file. If this is really a FITS file, try with ignore_missing_simple=True',
     'No SIMPLE card found, this is no FITS file.'),
    ('Not enough space on disk: requested 9, available 0. Not enough space on disk: requested 9, available 0. '
     '2 requested and 1 written', 'Not enough space on disk: requested 9, available 0')])
def test_of_what_astropy_says_only_the_reason_is_told(text, reason):
    assert reason_of(OSError(text)) == reason
