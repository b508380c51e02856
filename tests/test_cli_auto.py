"""What the command line has beyond C: parameters and stars by itself, tables and pages about the result."""
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import QTable
from scipy.ndimage import shift

from hotpants_cy.cli.main import main
from hotpants_cy.datasets import make_pair, positions_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    pair = make_pair((300, 300), seed=2, n_stars=70, n_transients=4, transient_snr=(40, 80))
    pair.science.write(tmp_path / 's.fits')
    pair.template.write(tmp_path / 't.fits')
    np.savetxt(tmp_path / 'stars.csv', positions_of(pair.stars), delimiter=',', header='x,y', comments='')
    monkeypatch.chdir(tmp_path)
    return pair


def run(*more):
    line = ['-inim', 's.fits', '-tmplim', 't.fits', '-outim', 'd.fits']
    return main([*line, *more])


def history(path):
    return ''.join(str(line) for line in fits.getheader(path)['HISTORY'])


def test_auto_chooses_and_tells_why(folder):
    assert run('--auto') == 0
    assert float(fits.getval('d.fits', 'KSUM00')) == pytest.approx(folder.kernel_sum, rel=0.01)
    assert 'rkernel = ' in history('d.fits')
    assert fits.getval('d.fits', 'PHOTNORM') == 'i'


def test_auto_gives_its_verdict_in_a_line(folder, capsys):
    assert run('--auto') == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith('verdict'))
    assert line == 'verdict: good; no measure is out of its range'
    assert run('--auto', '-ig', '0.1', '--pixels-only') == 0
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith('verdict'))
    assert line.startswith('verdict: usable; the sky of the difference scatters by ')


def test_without_auto_there_is_no_verdict(folder, capsys):
    assert run('-iu', '1e6', '-tu', '1e6') == 0
    assert 'verdict' not in capsys.readouterr().err


def test_flags_given_win_over_auto(folder):
    assert run('--auto', '-r', '8', '-n', 't') == 0
    assert 'rkernel = 8: given' in history('d.fits')
    assert fits.getval('d.fits', 'PHOTNORM') == 't'


def test_stars_come_from_a_file(folder, capsys):
    assert run('--auto', '--stars', 'stars.csv', '-savexy', 'used.reg') == 0
    assert 'stars.csv' not in capsys.readouterr().err


def test_a_list_of_stars_that_is_none_is_one_line(folder, capsys):
    assert run('--auto', '--stars', 'nothing.csv') == 1
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert 'nothing.csv' in error


def test_score_whitened_candidates_and_report_are_written(folder):
    files = {'--score': 'score.fits', '--whiten': 'white.fits', '--candidates': 'c.ecsv', '--report': 'page.html'}
    assert run('--auto', *[word for pair in files.items() for word in pair]) == 0
    found = QTable.read('c.ecsv')
    gap = np.hypot(*(np.column_stack([found['x'], found['y']])[:, np.newaxis]
                     - positions_of(folder.transients)).transpose(2, 0, 1))
    assert (gap.min(axis=0) < 1).all()
    score = CCDData.read('score.fits', unit='')
    assert np.nanstd(np.clip(score.data, -4, 4)) == pytest.approx(1, abs=0.15)
    with open('page.html', encoding='ascii') as page:
        assert 'Verdict' in page.read()


@pytest.mark.parametrize('flags', [('--auto',), ('--measure-noise', '--no-parity', '-ko', '0')], ids=' '.join)
def test_noise_that_neighbours_share_is_measured(folder, flags):
    for name in 's.fits', 't.fits':
        image = CCDData.read(name)
        image.data = shift(image.data, (0.5, 0.5), order=1, mode='nearest')               # averages four pixels
        image.uncertainty.array = image.uncertainty.array / 2
        image.write(name, overwrite=True)
    assert run(*flags, '-tu', '1e6', '-iu', '1e6', '--score', 'score.fits') == 0
    assert fits.getval('d.fits', 'NOISCORR') == 'science and template'
    assert np.nanstd(np.clip(CCDData.read('score.fits', unit='').data, -4, 4)) == pytest.approx(1, abs=0.15)


def test_noise_cannot_be_measured_with_a_known_kernel(capsys):
    assert run('--measure-noise', '-ki', 'k.fits') == 1
    assert '--measure-noise cannot go with -ki' in capsys.readouterr().err


def test_auto_cannot_go_with_a_known_kernel(capsys):
    assert run('--auto', '-ki', 'k.fits') == 1
    assert '--auto cannot go with -ki' in capsys.readouterr().err
