"""The demo finds what it put in, writes it down, and says so."""
import re
import sys

import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.table import QTable

from hotpants_cy.cli.demo import main, run_demo
from hotpants_cy.datasets import make_pair

SMALL = (320, 320)
IMAGES = ['science.fits', 'template.fits', 'difference.fits', 'convolved.fits']


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    """Folder of one run."""
    folder = tmp_path_factory.mktemp('demo') / 'deep' / 'folder'
    assert run_demo(folder, shape=SMALL) == 0
    return folder


@pytest.mark.parametrize('name', IMAGES)
def test_images_can_be_read_back(demo, name):
    image = CCDData.read(demo / name)
    assert image.shape == SMALL
    assert image.unit == 'adu'
    assert image.wcs is not None
    assert image.uncertainty is not None


def test_fluxes_come_back_within_their_errors(demo):
    table = QTable.read(demo / 'transients.ecsv')
    assert len(table) == 10
    assert np.all(np.abs(table['pull']) < 4)
    assert np.sqrt(np.mean(table['pull'] ** 2)) < 1.8
    assert np.all(table['recovered'] > 3 * table['error'])


def test_nothing_but_the_transients_is_left_in_the_difference(demo):
    difference = CCDData.read(demo / 'difference.fits')
    table = QTable.read(demo / 'transients.ecsv')
    y, x = np.mgrid[:SMALL[0], :SMALL[1]]
    near = np.any([np.hypot(x - row['x'], y - row['y']) < 15 for row in table], axis=0)
    pull = (difference.data / difference.uncertainty.array)[~near & ~difference.mask]
    assert abs(np.median(pull)) < 0.05
    assert 0.9 < np.std(pull) < 1.15


def test_the_picture_is_drawn(demo):
    pytest.importorskip('matplotlib')
    assert (demo / 'triptych.png').read_bytes().startswith(b'\x89PNG')


def test_it_prints_a_table_the_kernel_sum_and_the_files(tmp_path, capsys):
    assert main([str(tmp_path), '--size', '320', '--seed', '2', '--threads', '1']) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r'^ *\d+\.\d+ +\d+\.\d+ +\d+ +\d+ +\d+ +[+-]\d+\.\d+$', out, re.M)) == 10
    found, true = map(float, re.search(r'kernel sum: ([\d.]+) found, ([\d.]+) true', out).groups())
    assert abs(found / true - 1) < 0.01
    assert re.search(r'subtracted in [\d.]+ s', out)
    assert all(str(tmp_path / name) in out for name in [*IMAGES, 'transients.ecsv'])


def test_a_second_run_replaces_the_first(tmp_path):
    for seed in (1, 2):
        assert run_demo(tmp_path, seed=seed, shape=(256, 256)) == 0
    np.testing.assert_array_equal(CCDData.read(tmp_path / 'science.fits').data,
                                  make_pair((256, 256), seed=2).science.data)


def test_without_matplotlib_it_says_how_to_get_the_picture(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)  # what Python does for a module that is not there
    assert run_demo(tmp_path, shape=(256, 256)) == 0
    assert 'pip install matplotlib' in capsys.readouterr().out
    assert not (tmp_path / 'triptych.png').exists()


def test_a_folder_that_cannot_be_is_one_clear_line(tmp_path, capsys):
    (tmp_path / 'file').write_text('in the way')
    assert main([str(tmp_path / 'file' / 'demo')]) == 1
    out, err = capsys.readouterr()
    assert out == ''
    assert re.fullmatch(r'hotpants-cy demo: cannot write to .*file/demo: Not a directory\n', err)


def test_a_file_that_cannot_be_written_is_one_clear_line(tmp_path, capsys):
    (tmp_path / 'science.fits').mkdir()
    assert main([str(tmp_path), '--size', '256']) == 1
    err = capsys.readouterr().err
    assert err.startswith('hotpants-cy demo: cannot write to ')
    assert err.count('\n') == 1


@pytest.mark.parametrize('wrong', [['--size', '50'], ['--seed', '-1'], ['--threads', '0'], ['a', 'b']])
def test_wrong_arguments_end_with_status_2(wrong):
    with pytest.raises(SystemExit, match='2'):
        main(wrong)
