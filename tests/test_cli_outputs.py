import json
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hotpants_cy.cli.options import config_of, parse
from hotpants_cy.cli.outputs import RegionReport, c_files, star_files

REFERENCE = Path(os.environ.get('HOTPANTS_CY_REFERENCE', Path(__file__).parents[2] / 'shared/reference'))
CASES = [f'options/cases/{name}' for name in (
    'base', 'both', 'allm', 'layers', 'hki', 'oki', 'okn', 'ond', 'fill', 'ng4', 'c_i_n_u')]
CASES += [f'real/{name}' for name in ('decam_a', 'lt_rise_21_41', 'nircam')]
FILES = ['-inim', 's.fits', '-tmplim', 't.fits', '-outim', 'd.fits']
STEMS = ('KSUM', 'SSSIG', 'SSSCAT', 'FSIG', 'FSCAT', 'X2NRM', 'NX2NRM',
         'DMEAN', 'DSIGE', 'DSIG', 'DMEANO', 'DSIGEO', 'DSIGO')
# what says who made the file and when, and what astropy and CFITSIO write each in their own words
MAKER = {'COMMENT', 'SOFTNAME', 'SOFTVERS', 'SOFTAUTH', 'SOFTINST', 'AUTHOR', 'ORIGIN', 'DATE', 'EXTEND'}
SCALE = {'BZERO', 'BSCALE'}

needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason=f'no reference runs in {REFERENCE}')


def planes_of(shape=(5, 7)):
    steps = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    return {'diff': steps, 'convolved': steps + 1, 'sigma': steps + 2, 'noise': steps + 3,
            'mask': np.arange(steps.size, dtype=np.int32).reshape(shape)}


def report_of(index=0):
    values = dict.fromkeys(STEMS, 1.23456) | {'NX2NRM': 17, 'DSIGEO': 1e10, 'DMEANO': np.nan, 'NSCALO': 1.5}
    return RegionReport(index, (1, 7, 1, 5), 'TEMPLATE', values, np.arange(11) / 7)


def files_of(options='', header=None, planes=None, reports=None, command='hotpants-cy'):
    args = parse([*FILES, *options.split()])
    return c_files(args, config_of(args), command, header if header is not None else fits.Header(),
                   planes or planes_of(), reports or [report_of()])


def read_back(hdus, path):
    hdus.writeto(path)
    with fits.open(path, do_not_scale_image_data=True) as raw:
        headers = [hdu.header.copy() for hdu in raw]
    with fits.open(path) as scaled:
        return headers, [None if hdu.data is None else np.array(hdu.data) for hdu in scaled]


# -- files and layers -------------------------------------------------------------------------

def test_only_the_files_asked_for_are_made():
    assert set(files_of()) == {'d.fits'}
    assert set(files_of('-oni n -ond s -oci c -omi m -oki k')) == {'d.fits', 'n', 's', 'c', 'm', 'k'}


def test_planes_that_are_not_asked_for_need_not_exist():
    assert len(files_of(planes={'diff': planes_of()['diff']})['d.fits']) == 1


def test_layers_stand_in_the_order_of_c():
    hdus = files_of('-hki -nim -ndm -cim')['d.fits']
    assert [hdu.header.get('OBJECT') for hdu in hdus[1:]] == [
        'Convolved Image', 'Noise-scaled (sigma) Difference Image', 'HOTPanTS Noise Image',
        'Convolution Kernel Information']
    for hdu, name in zip(hdus, ('diff', 'convolved', 'sigma', 'noise'), strict=False):
        assert np.array_equal(hdu.data, planes_of()[name])


def test_each_file_holds_its_plane(tmp_path):
    files = files_of('-oni n -ond s -oci c -omi m')
    for path, name in (('n', 'noise'), ('s', 'sigma'), ('c', 'convolved'), ('m', 'mask')):
        _, (data,) = read_back(files[path], tmp_path / path)
        assert np.array_equal(data, planes_of()[name])


def test_float_planes_are_written_unscaled_with_nan(tmp_path):
    planes = planes_of()
    planes['diff'][1, 2] = np.nan
    (header,), (data,) = read_back(files_of(planes=planes)['d.fits'], tmp_path / 'd.fits')
    assert (header['BITPIX'], header['BZERO'], header['BSCALE']) == (-32, 0, 1)
    assert np.array_equal(data, planes['diff'], equal_nan=True)


def test_the_mask_is_16_bit_with_an_offset_and_clipped(tmp_path):
    planes = planes_of()
    planes['mask'][0, :4] = 0x8000, 0xffff, 0x10000, -1
    (header,), (data,) = read_back(files_of('-omi m', planes=planes)['m'], tmp_path / 'm.fits')
    assert (header['BITPIX'], header['BZERO'], header['BSCALE']) == (16, 32768, 1)
    assert data[0, :4].tolist() == [0x8000, 0xffff, 0xffff, 0]


# -- keywords ---------------------------------------------------------------------------------

def test_numbers_of_a_region_are_strings_in_the_format_of_c():
    header = files_of()['d.fits'][0].header
    assert header['REGION00'] == '[1:7,1:5]'
    assert header['CONVOL00'] == 'TEMPLATE'
    assert header['KSUM00'] == '1.2346'
    assert header['NX2NRM00'] == '17'
    assert header['DSIGEO00'] == '10000000000.0000'
    assert header['DMEANO00'] == 'nan'


def test_every_region_has_its_keywords_and_is_counted():
    header = files_of(reports=[report_of(0), report_of(1)])['d.fits'][0].header
    assert header['KSUM00'] == header['KSUM01']
    assert header['NREGION'] == 2


def test_numbers_that_were_not_measured_are_left_out():
    report = report_of()
    del report.values['FSIG']
    header = files_of(reports=[report])['d.fits'][0].header
    assert 'FSIG00' not in header
    assert 'FSCAT00' in header


def test_the_noise_scale_stands_with_the_noise_and_with_the_difference_only_if_it_was_applied():
    files = files_of('-nim -oni n')
    assert 'NSCALO00' not in files['d.fits'][0].header
    assert files['d.fits'][1].header['NSCALO00'] == files['n'][0].header['NSCALO00'] == '1.5000'
    assert files_of('-okn')['d.fits'][0].header['NSCALO00'] == '1.5000'


def test_the_noise_file_has_no_gain_of_the_science_image():
    header = files_of('-oni n -fin -1', fits.Header([('GAIN', 4.0), ('RDNOISE', 8.0)]))['n'][0].header
    assert (header['GAIN'], header['RDNOISE'], header['MASKVAL']) == (1, 0, -1)
    assert (header.count('GAIN'), header.count('RDNOISE')) == (1, 1)


def test_the_run_is_described():
    header = files_of('-n image -fi -7', command='hotpants-cy ' + 'x' * 200)['d.fits'][0].header
    assert header['DIFFCMD'] == 'hotpants-cy ' + 'x' * 200
    assert (header['TARGET'], header['TEMPLATE'], header['DIFFIM']) == ('s.fits', 't.fits', 'd.fits')
    assert (header['PHOTNORM'], header['NREGION'], header['MASKVAL']) == ('image', 1, -7)
    assert header['SOFTNAME'] == 'hotpants_cy'


def test_author_and_date_tell_who_and_when(monkeypatch):
    monkeypatch.setenv('LOGNAME', 'hubble')
    header = files_of()['d.fits'][0].header
    assert header['AUTHOR'] == 'hubble'
    assert np.datetime64(header['DATE']) <= np.datetime64('now')


@pytest.mark.parametrize('command', ['hotpants-cy -outim ä.fits', 'a\nb', "it's " * 40, 'x' * 66 + "'" * 3])
def test_any_command_line_can_be_written(tmp_path, command):
    (header,), _ = read_back(files_of(command=command)['d.fits'], tmp_path / 'd.fits')
    assert header['DIFFCMD'] == command.replace('ä', '?').replace('\n', '?').strip()


def test_a_fill_value_that_is_no_number_can_be_written(tmp_path):
    (header,), _ = read_back(files_of('-fi nan')['d.fits'], tmp_path / 'd.fits')
    assert header['MASKVAL'] == 'nan'


# -- the header of the science image ----------------------------------------------------------

def test_the_header_of_the_science_image_is_copied_to_all_files_but_not_to_layers():
    header = fits.Header([('OBJECT', 'M31'), ('CRVAL1', 10.5, 'degrees'), ('ZP', 25.0), ('HISTORY', 'flat fielded'),
                          ('COMMENT', 'a nice night')])
    files = files_of('-oni n -ond s -oci c -omi m -cim', header)
    for path in ('d.fits', 'n', 's', 'c', 'm'):
        copy = files[path][0].header
        assert (copy['CRVAL1'], copy.comments['CRVAL1'], copy['ZP']) == (10.5, 'degrees', 25)
        assert list(copy['HISTORY']) == ['flat fielded']
        assert 'a nice night' in list(copy['COMMENT'])
    assert files['d.fits'][0].header['OBJECT'] == 'M31'
    assert files['m'][0].header['OBJECT'] == 'Hotpants output Mask Image'
    assert 'CRVAL1' not in files['d.fits'][1].header


def test_the_header_given_is_not_changed():
    header = fits.Header([('OBJECT', 'M31'), ('BZERO', 32768), ('KSUM00', '1.0')])
    before = header.tostring()
    files_of('-oni n', header)
    assert header.tostring() == before


def test_scaling_of_an_integer_science_image_does_not_spoil_the_files(tmp_path):
    header = fits.Header([('BITPIX', 16), ('BZERO', 32768), ('BSCALE', 2), ('BLANK', -32768)])
    files = files_of('-oni n -omi m', header)
    for path, name in (('d.fits', 'diff'), ('n', 'noise'), ('m', 'mask')):
        (written,), (data,) = read_back(files[path], tmp_path / path)
        assert np.array_equal(data, planes_of()[name])
        assert 'BLANK' not in written


def test_structure_of_an_extension_or_a_compressed_image_does_not_leak():
    stray = ['XTENSION', 'BITPIX', 'NAXIS', 'NAXIS1', 'NAXIS2', 'NAXIS3', 'PCOUNT', 'GCOUNT', 'EXTNAME', 'EXTVER',
             'INHERIT', 'CHECKSUM', 'DATASUM', 'TFIELDS', 'TTYPE1', 'TFORM1', 'ZIMAGE', 'ZCMPTYPE', 'ZBITPIX', 'ZNAXIS',
             'ZNAXIS1', 'ZTILE1', 'ZNAME1', 'ZVAL1', 'ZQUANTIZ', 'ZDITHER0', 'ZBLANK']
    header = fits.Header([(key, 'BINTABLE' if key == 'XTENSION' else 3) for key in stray])
    written = files_of(header=header)['d.fits'][0].header
    assert [key for key in stray if key in written] == ['BITPIX', 'NAXIS', 'NAXIS1', 'NAXIS2']
    assert (written['NAXIS1'], written['NAXIS2'], written['SIMPLE']) == (7, 5, True)


def test_a_compressed_science_image_gives_an_ordinary_difference(tmp_path):
    science = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(planes_of()['diff'], name='SCI')])
    science[1].header['FILTER'] = 'r'
    science.writeto(tmp_path / 's.fits.fz')
    header = fits.getheader(tmp_path / 's.fits.fz', 1)
    (written,), _ = read_back(files_of(header=header)['d.fits'], tmp_path / 'd.fits')
    assert written['FILTER'] == 'r'
    assert not {'EXTNAME', 'XTENSION', 'PCOUNT', 'GCOUNT'} & set(written)
    assert not [key for key in written if key.startswith('Z')]


def test_no_keyword_stands_twice_when_the_science_image_is_a_difference(tmp_path):
    first = files_of('-oki k -okn', reports=[report_of(0), report_of(1)])['d.fits'][0].header
    (header,), _ = read_back(files_of(header=first)['d.fits'], tmp_path / 'd.fits')
    keywords = [key for key in header if key != 'COMMENT']
    assert len(keywords) == len(set(keywords))
    assert not {'KSUM01', 'NSCALO00', 'KERFILE', 'NGAUSS'} & set(header)


def test_a_bad_card_of_the_science_image_does_not_stop_the_writing(tmp_path):
    header = fits.Header.fromstring('FOO     = 12:34:56'.ljust(80) + 'BAR     =                  NaN'.ljust(80))
    (written,), _ = read_back(files_of(header=header)['d.fits'], tmp_path / 'd.fits')
    assert written['FOO'] == '12:34:56'


# -- kernel table -----------------------------------------------------------------------------

def test_the_kernel_table_holds_the_solution_of_each_region(tmp_path):
    headers, data = read_back(files_of('-hki', reports=[report_of(0), report_of(1)])['d.fits'], tmp_path / 'd.fits')
    assert headers[-1]['EXTNAME'] == headers[-1]['OBJECT'] == 'Convolution Kernel Information'
    assert data[-1].dtype.names == ('Region0', 'Region1')
    assert np.array_equal(data[-1]['Region1'], np.arange(11) / 7)


def test_the_kernel_table_describes_its_model():
    header = files_of('-hki -r 9 -ko 1 -bgo 3 -ng 2 4 0.7 2 1.5 -n u')['d.fits'][-1].header
    assert (header['NGAUSS'], header['DGAUSS1'], header['DGAUSS2']) == (2, 4, 2)
    assert (header['SGAUSS1'], header['SGAUSS2']) == (0.699999988, 1.5)
    assert (header['FWKERN'], header['CKORDER'], header['BGORDER'], header['PHOTNORM']) == (19, 1, 3, 'u')


@pytest.mark.parametrize(('options', 'kerinfo', 'kerfile'), [
    ('', False, None), ('-hki', True, None), ('-oki k', False, 'k'), ('-hki -oki k', True, 'k')])
def test_kerinfo_tells_once_whether_this_file_has_the_table(options, kerinfo, kerfile):
    hdus = files_of(options)['d.fits']
    header = hdus[0].header
    assert (header['KERINFO'], header.count('KERINFO'), header.get('KERFILE')) == (kerinfo, 1, kerfile)
    assert ('NGAUSS' in header) == (kerfile is not None)
    assert (len(hdus) == 2) == kerinfo
    assert 'KERINFO' not in hdus[-1].header or len(hdus) == 1


def test_the_kernel_file_is_complete_by_itself():
    primary, table = files_of('-oki k -hki -allm')['k']
    assert (primary.header['NAXIS'], primary.header['KERINFO'], primary.header['CONVOL00']) == (0, True, 'TEMPLATE')
    assert table.header['PHOTNORM'] == 't'
    assert np.array_equal(table.data['Region0'], np.arange(11) / 7)


# -- stars ------------------------------------------------------------------------------------

def test_stars_are_sorted_into_used_all_and_skipped():
    stamps = [([(0, 1), (10, 11), (20, 21)], 1), ([(30, 31)], 1), ([], 0)]
    files = star_files('xy', stamps, 31, 1)
    head = '#   X    Y\n'
    assert files['xy'] == head + 'image;box(  11,  12,31,31) # color=green\n'
    assert files['xy.skipped'] == (head + 'image;box(   1,   2,31,31) # color=red\n'
                                   'image;box(  31,  32,31,31) # color=red\n')
    assert files['xy.all'].count('yellow') == 4


def test_the_offset_moves_the_stars():
    assert '(   2,   3,25,25)' in star_files('xy', [([(0, 1)], 0)], 25, 2)['xy']


# -- reference runs ---------------------------------------------------------------------------

def reference_files(case):
    """The reference run's planes and numbers, made into files again, by name."""
    folder = REFERENCE / case
    run = json.loads((folder / 'run.json').read_text())
    args = parse(run['arguments'])
    with fits.open(folder / 'diff.fits.gz') as hdus:
        header = hdus[0].header
        # planes for which the run kept no image only have to be there
        planes = dict.fromkeys(('diff', 'convolved', 'sigma'), hdus[0].data.copy())
        for hdu in hdus[1:]:
            names = {'Convolved Image': 'convolved', 'Noise-scaled (sigma) Difference Image': 'sigma'}
            if hdu.header['OBJECT'] in names:
                planes[names[hdu.header['OBJECT']]] = hdu.data.copy()
        solution = hdus[-1].data['Region0'].astype(float) if args.hki else np.zeros(1)
    if args.oki:
        solution = fits.getdata(folder / 'kernel.fits.gz', 1)['Region0'].astype(float)
    for plane, name in (('noise', 'noise'), ('mask', 'mask'), ('convolved', 'convolved'), ('sigma', 'scaled')):
        if (path := folder / f'{name}.fits.gz').exists():
            planes[plane] = fits.getdata(path).astype(np.int32 if plane == 'mask' else np.float32)
    values = {stem: float(header[f'{stem}00']) for stem in STEMS}
    values['NSCALO'] = float(fits.getheader(folder / 'noise.fits.gz')['NSCALO00'])
    section = tuple(int(n) for n in header['REGION00'].strip('[]').replace(':', ',').split(','))
    report = RegionReport(0, section, header['CONVOL00'], values, solution)
    science = next(path for inputs in (folder / 'inputs', folder.parents[1] / 'inputs')
                   for path in (inputs / args.inim, inputs / f'{args.inim}.gz') if path.exists())
    files = c_files(args, config_of(args), header['DIFFCMD'], fits.getheader(science), planes, [report])
    return folder, {Path(path).stem: hdus for path, hdus in files.items()}


def cards_of(header, without):
    return sorted((card.keyword, card.value) for card in header.cards if card.keyword not in without)


@needs_reference
@pytest.mark.parametrize('case', CASES)
def test_headers_are_those_of_c(tmp_path, case):
    folder, files = reference_files(case)
    compared = []
    for name, hdus in files.items():
        if not (reference := folder / f'{name}.fits.gz').exists():
            continue
        compared.append(name)
        headers, data = read_back(hdus, tmp_path / f'{name}.fits')
        with fits.open(reference, do_not_scale_image_data=True) as theirs:
            assert len(theirs) == len(headers)
            for k, (mine, their) in enumerate(zip(headers, theirs, strict=True)):
                table = isinstance(their, fits.BinTableHDU)
                # not C's: KERINFO in the table or twice, a short TFORM, PHOTNORM in the table of -hki
                without = MAKER | SCALE | ({'KERINFO', 'PHOTNORM', 'TFORM1'} if table else {'KERINFO'})
                without |= {'BITPIX'} if mine['NAXIS'] == 0 else set()
                assert cards_of(mine, without) == cards_of(their.header, without)
                if k == 0:
                    assert mine.get('KERINFO') == their.header.get('KERINFO')
                    assert [mine.get(key, default) for key, default in (('BZERO', 0), ('BSCALE', 1))] == [
                        their.header.get(key, default) for key, default in (('BZERO', 0), ('BSCALE', 1))]
                    assert {key for key in their.header if key in MAKER} - {'EXTEND'} <= set(mine) | {'COMMENT'}
        if name != 'kernel':
            assert np.array_equal(data[0], fits.getdata(reference), equal_nan=True)
    assert {'diff', 'noise', 'mask'} <= set(compared)


@needs_reference
@pytest.mark.parametrize('case', CASES)
def test_keywords_of_the_difference_stand_in_the_order_of_c(case):
    folder, files = reference_files(case)
    theirs = [key for key in fits.getheader(folder / 'diff.fits.gz') if key != 'COMMENT']
    mine = [key for key in files['diff'][0].header if key != 'COMMENT']
    first = theirs.index('SOFTNAME')
    assert mine[mine.index('SOFTNAME'):] == list(dict.fromkeys(theirs[first:]))


def stamps_of(folder):
    """Stamps that give these files: whatever follows the star in use belongs to the same stamp."""
    used, every, skipped = ([tuple(int(n) for n in line.split('(')[1].split(')')[0].split(',')[:2])
                             for line in (folder / f'stamps{end}').read_text().splitlines() if line[0] == 'i']
                            for end in ('', '.all', '.skipped'))
    stamps, stars, current = [], [], None
    for star in every:
        rejected = bool(skipped) and star == skipped[0]
        taken = not rejected and bool(used) and star == used[0]
        if current is not None and (rejected or taken):
            stamps.append((stars, current))
            stars, current = [], None
        if rejected:
            skipped.pop(0)
        elif taken:
            used.pop(0)
            current = len(stars)
        stars.append((star[0] - 1, star[1] - 1))
    return [*stamps, (stars, len(stars) if current is None else current)]


@needs_reference
@pytest.mark.parametrize('case', [*CASES, 'options/cases/r7_rss12', 'options/cases/nss6', 'real/s512'])
def test_star_files_are_those_of_c_byte_for_byte(case):
    folder = REFERENCE / case
    width = config_of(parse(json.loads((folder / 'run.json').read_text())['arguments'])).substamp_width
    files = star_files('stamps', stamps_of(folder), width, 1)
    assert set(files) == {'stamps', 'stamps.all', 'stamps.skipped'}
    for name, text in files.items():
        assert text == (folder / name).read_text()
