"""FITS files that are cut off, overwritten or torn: one line and no output, or a whole result; never anything else."""
import gzip
import os
import re
import warnings

import numpy as np
import pytest
from astropy.io import fits

from hotpants_cy.cli.main import main
from hotpants_cy.datasets import make_pair

OPTIONS = '-v 0 -r 5 -rss 7 -nsx 3 -nsy 3 -ko 0 -bgo 0 -ft 8 -c t --threads 1'
PAIR = make_pair((128, 128), seed=4, n_transients=0)
CAMPAIGN = int(os.environ.get('HOTPANTS_CY_CAMPAIGN', 0))     # more seeds
ROLES = {'science': '-inim', 'template': '-tmplim', 'noise': '-tni', 'mask': '-imi', 'kernel': '-ki'}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """Contents of undamaged files, by the role that they can have in a run."""
    folder = tmp_path_factory.mktemp('whole')
    planes = {'science': PAIR.science.data, 'template': PAIR.template.data,
              'noise': np.full(PAIR.science.shape, 9.0), 'mask': np.zeros(PAIR.science.shape)}
    for name, plane in planes.items():
        fits.PrimaryHDU(plane.astype('i2' if name == 'mask' else 'f4')).writeto(folder / f'{name}.fits')
    images = ['-inim', str(folder / 'science.fits'), '-tmplim', str(folder / 'template.fits')]
    assert main([*images, '-outim', str(folder / 'd.fits'), '-oki', str(folder / 'kernel.fits'), *OPTIONS.split()]) == 0
    integers = PAIR.science.data.round().astype('i4')
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(integers)]).writeto(folder / 'tiles.fits')
    contents = {name: (folder / f'{name}.fits').read_bytes() for name in (*ROLES, 'tiles')}
    return contents | {'gzip': gzip.compress(contents['science'], 1)}


@pytest.fixture
def run(whole, tmp_path, capsys):
    """Run the command line with one file damaged: its status, 0 or 1; anything else fails the test."""
    def run_with(kind, content):
        role = 'science' if kind in ('tiles', 'gzip') else kind
        argv, out = OPTIONS.split(), tmp_path / 'out'
        out.mkdir(exist_ok=True)
        for name in {'science', 'template', role}:
            path = tmp_path / f'{name}.fits'
            path.write_bytes(content if name == role else whole[name])
            argv += [ROLES[name], str(path)]
        capsys.readouterr()
        status = main([*argv, '-outim', str(out / 'd.fits'), '-omi', str(out / 'm.fits')])
        printed = capsys.readouterr()
        errors = [line for line in printed.err.splitlines() if not line.startswith('warning: ')]
        names = sorted(path.name for path in out.iterdir())
        if status == 0:
            assert (errors, names) == ([], ['d.fits', 'm.fits'])
            for name in names:
                with warnings.catch_warnings(action='ignore'), fits.open(out / name) as hdus:   # odd cards go along
                    assert hdus[0].data.ndim == 2
                (out / name).unlink()
        else:
            assert status == 1
            assert names == []
            assert len(errors) == 1, printed.err
            assert re.match('hotpants-cy: error: .{15}', errors[0])
            assert not re.search(r'Traceback|\w(Error|Exception)\b', errors[0])
        return status
    return run_with


@pytest.mark.parametrize('kind', [*ROLES, 'tiles', 'gzip'])
def test_undamaged_files_are_taken(run, whole, kind):
    assert run(kind, whole[kind]) == 0               # else the other tests would show nothing


def last_byte_that_counts(content, kind):
    """End of the pixels; the zeros that fill the last block may be missing."""
    if kind == 'gzip':
        return len(content)
    return len(content.rstrip(b'\0')) if kind != 'mask' else 2880 + 2 * 128 * 128


@pytest.mark.parametrize('kind', [*ROLES, 'tiles', 'gzip'])
def test_a_file_that_is_cut_off_anywhere_is_refused(run, whole, kind):
    content = whole[kind]
    end = last_byte_that_counts(content, kind)
    cuts = np.random.default_rng(5).integers(0, end, 12).tolist()
    for cut in (0, 1, 79, 2879, 2880, 2881, *cuts, end - 1):
        if cut < end:
            assert run(kind, content[:cut]) == 1, cut


@pytest.mark.parametrize('kind', [*ROLES, 'tiles', 'gzip'])
@pytest.mark.parametrize('seed', range(CAMPAIGN or 5))
def test_bytes_that_are_overwritten_do_no_harm(run, whole, kind, seed):
    rng = np.random.default_rng([seed, *kind.encode()])
    content = bytearray(whole[kind])
    for _ in range(rng.integers(1, 6)):
        header = rng.random() < 0.8                  # where most of the trouble is; in pixels any value is possible
        place = rng.integers(0, min(2880, len(content)) if header else len(content))
        content[place] = rng.integers(32, 127) if header else rng.integers(0, 256)
    run(kind, bytes(content))


@pytest.mark.parametrize('kind', [*ROLES, 'tiles', 'gzip'])
@pytest.mark.parametrize('seed', range(CAMPAIGN or 3))
def test_blocks_that_are_torn_out_or_doubled_do_no_harm(run, whole, kind, seed):
    rng = np.random.default_rng([seed, 7, *kind.encode()])
    content = whole[kind]
    start, stop = sorted(rng.integers(0, len(content), 2).tolist())
    run(kind, content[:start] + content[stop:])
    run(kind, content[:stop] + content[start:])


CARDS = [b'BITPIX  =                   99', b'BITPIX  =                   64', b'NAXIS   =                    3',
         b'NAXIS   =                  999', b'NAXIS1  =                  127', b'NAXIS1  =                   -1',
         b"NAXIS1  = '128     '          ", b'NAXIS2  =                 1E30', b'NAXIS2  =                    0',
         b'EXTEND  = maybe               ', b'SIMPLE  =                    F', b'BSCALE  =                  NaN',
         b"BSCALE  = 'one     '          ", b'BZERO   =                1E400', b'BLANK   =                  1.5',
         b'\xff' * 30, b'\0' * 30, b'END' + b' ' * 27, b'CONTINUE  ' + b"'&'" * 6, b'HIERARCH ' + b'=' * 21]


@pytest.mark.parametrize('card', CARDS, ids=lambda card: card.decode('latin-1').strip()[:30])
@pytest.mark.parametrize('kind', ['science', 'template', 'mask'])
def test_a_card_that_lies_does_no_harm(run, whole, kind, card):
    content = whole[kind]
    place = content.find(card[:8]) if card[:8] in content[:2880] else content.index(b'EXTEND')
    run(kind, content[:place] + card.ljust(80) + content[place + 80:])
