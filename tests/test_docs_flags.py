"""The page "Coming from C HOTPANTS" leaves no flag, keyword or mask bit out, and says what is so."""
import csv
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from hotpants_cy import HotpantsConfig, HotpantsFlags
from hotpants_cy.cli.flags import FLAGS
from hotpants_cy.cli.main import main
from hotpants_cy.cli.options import config_of, parse
from hotpants_cy.datasets import make_pair

PAGE = (Path(__file__).parents[1] / 'docs/migration/from_c_hotpants.rst').read_text(encoding='utf-8')
FLAG_LIST = [flag for flags in FLAGS.values() for flag in flags]


def rows(name):
    """Rows of the csv-table of that name, as lists of cells; literals without their quotes."""
    block = PAGE.split(f':name: {name}\n\n')[1]
    lines = textwrap.dedent(re.split(r'\n(?=\S)', block)[0]).strip().splitlines()
    cells = csv.reader((line + '\n' for line in lines), delimiter='|', skipinitialspace=True, strict=True)
    return [[' '.join(cell.split()) for cell in row] for row in cells][1:]           # without the header


def literal(cell):
    return cell.strip('`')


def general(keyword):
    """``KSUM00`` as the page writes it, ``KSUMnn``; ``DGAUSS1`` as ``DGAUSSk``."""
    return re.sub(r'^([DS]GAUSS|SIGMA)\d+$', r'\1k', re.sub(r'\d\d$', 'nn', keyword))


@pytest.mark.parametrize('flag', FLAG_LIST, ids=lambda flag: flag.name)
def test_each_flag_is_described_as_in_help(flag):
    found = [row for row in rows('flags') if literal(row[0]) == flag.name]
    default = '' if flag.default is None or flag.default is False else flag.default
    shown = f'{default:g}' if isinstance(default, float) else str(default)
    assert [[literal(cell) for cell in row[:4]] for row in found] == [[flag.name, shown, flag.field, flag.help]]


def test_no_flag_is_described_that_does_not_exist():
    assert [literal(row[0]) for row in rows('flags')] == [flag.name for flag in FLAG_LIST]


def test_fields_exist():
    fields = HotpantsConfig().to_dict()
    assert [row[2] for row in rows('flags') if row[2] and literal(row[2]) not in fields] == []


def test_the_defaults_that_differ_from_python_are_named():
    of_c = config_of(parse(['-inim', 's', '-tmplim', 't', '-outim', 'd'])).to_dict()
    section = PAGE.split('\nFrom Python\n')[1].split('\nHeader keywords\n')[0]
    named = {word for word in re.findall(r'``(\w+)``', section) if word in of_c}
    ours = HotpantsConfig().to_dict()
    differing = {name for name in of_c if of_c[name] != ours[name]}
    assert differing - {'ilthresh', 'iuthresh', 'iuktresh'} == named - {'iuthresh', 'iuktresh'}


def test_each_mask_bit_has_its_name_and_meaning():
    bits = {name: value for name, value in vars(HotpantsFlags).items() if name.isupper()}
    assert [(literal(row[1]), int(row[0], 16)) for row in rows('bits')] == [(n, int(v)) for n, v in bits.items()]
    assert [row[2] for row in rows('bits')] == [value.__doc__ for value in bits.values()]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Folder with all files of a run of two regions, one of which has no star."""
    folder = tmp_path_factory.mktemp('run')
    pair = make_pair((200, 420), seed=1)
    for name in ('science', 'template'):
        data = getattr(pair, name).data.astype(np.float32)
        data[:, 220:] = data.min()
        fits.writeto(folder / f'{name}.fits', data)
    options = (f'-inim {folder}/science.fits -tmplim {folder}/template.fits -outim {folder}/d.fits -allm -hki -okn '
               f'-oni {folder}/n.fits -ond {folder}/s.fits -oci {folder}/c.fits -omi {folder}/m.fits '
               f'-oki {folder}/k.fits -nrx 2 -nsx 3 -nsy 3 -c t -r 6 -rss 9 -ft 10 -ko 0 -v 0')
    assert main(options.split()) == 0
    return folder


def headers(path):
    with fits.open(path) as hdus:
        return [hdu.header.copy() for hdu in hdus]


def test_each_keyword_that_is_written_is_described(folder):
    standard = re.compile(r'SIMPLE|XTENSION|BITPIX|NAXIS\d?|EXTEND|[PG]COUNT|TFIELDS|TTYPE\d+|TFORM\d+|COMMENT|')
    written = {general(keyword) for path in folder.glob('?.fits') for header in headers(path) for keyword in header
               if not standard.fullmatch(keyword)}
    assert sorted(literal(row[0]) for row in rows('keywords')) == sorted(written)


@pytest.mark.parametrize('row', rows('keywords'), ids=lambda row: row[0])
def test_a_keyword_stands_where_the_page_says(folder, row):
    where = row[1].split('; ')[0]
    difference, noise, mask = (headers(folder / f'{name}.fits')[0] for name in 'dnm')
    kernel, table = headers(folder / 'k.fits')
    places = {'difference': difference, 'kernel table': table, '``-oki``': kernel, 'noise': noise, 'noise file': noise,
              'all but the difference': mask}
    if where == 'the same':                     # as the row before
        where = 'kernel table'
    for place in where.split(', '):
        keywords = {general(keyword) for keyword in places[place]}
        assert literal(row[0]) in keywords, place


def test_a_failed_region_reads_as_the_page_says(folder):
    header = fits.getheader(folder / 'd.fits')
    assert (header['CONVOL00'], header['CONVOL01']) == ('TEMPLATE', 'NONE')
    assert 'no star' in header['FAILED01']
    assert np.all(fits.getdata(folder / 'm.fits')[:, 215:] & 0x8000)
