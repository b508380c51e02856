"""The command line imports what it needs, and no more: its start is a good part of a short run."""
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import hotpants_cy

# what CCDData, wcs and stars with units are made of; none of it is needed to read and write plain FITS files
HEAVY = ['astropy.coordinates', 'astropy.io.ascii', 'astropy.nddata', 'astropy.table', 'astropy.time', 'astropy.wcs',
         'matplotlib', 'photutils', 'scipy', 'hotpants_cy.inputs.flags', 'hotpants_cy.inputs.image',
         'hotpants_cy.subtraction']


def imported(code, names, *argv):
    """Those of ``names`` that a process has imported after ``code``."""
    code += f'\nprint(*[name for name in {names} if name in sys.modules], file=sys.stderr)'
    done = subprocess.run([sys.executable, '-c', f'import sys; {code}', *map(str, argv)], capture_output=True,
                          text=True, check=True, cwd=Path(sys.prefix))  # not the clone, whose package is not compiled
    return done.stderr.split()


def test_version_and_help_need_neither_numpy_nor_astropy():
    for flag in ('--version', '--help'):
        code = 'from hotpants_cy.cli.main import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass'
        assert imported(code, ['numpy', 'astropy', 'hotpants_cy.config'], flag) == []


def test_python_runs_the_package_as_the_command_line():
    words = ['-inim', 'none.fits', '-tmplim', 'none.fits', '-outim', 'd.fits']
    done = subprocess.run([sys.executable, '-m', 'hotpants_cy', *words], capture_output=True, text=True,
                          cwd=Path(sys.prefix))
    assert done.returncode == 1
    assert done.stderr.startswith('hotpants-cy: error: cannot read none.fits')


def test_sources_that_are_not_compiled_say_so(tmp_path):
    shutil.copytree(Path(hotpants_cy.__file__).parent, tmp_path / 'hotpants_cy',
                    ignore=shutil.ignore_patterns('*.so', '*.pyd', '*.c', '__pycache__'))
    done = subprocess.run([sys.executable, '-c', f'import sys; sys.path.insert(0, {str(tmp_path)!r}); '
                           'import hotpants_cy; hotpants_cy.subtract'], capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith('ImportError: the compiled part of hotpants_cy is missing in')
    assert 'start Python in another folder' in last


def stars():
    """Two images of the same stars, (2, 256, 256)."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:256, :256]
    sky = rng.normal(100, 3, (2, 256, 256))
    for x0, y0 in rng.uniform(20, 236, (60, 2)):
        sky += 3000 * np.exp(-((x - x0)**2 + (y - y0)**2) / (2 * np.array([2.0, 1.7])[:, None, None]**2))
    return sky.astype(np.float32)


def test_a_run_on_plain_files_needs_of_astropy_only_fits(tmp_path):
    for name, image in zip(('s', 't'), stars(), strict=True):
        fits.PrimaryHDU(image).writeto(tmp_path / f'{name}.fits')
    argv = ['-nsx', 4, '-nsy', 4, '-v', 0]
    for flag, name in (('inim', 's'), ('tmplim', 't'), ('outim', 'd'), ('oni', 'n'), ('omi', 'm'), ('oki', 'k')):
        argv += [f'-{flag}', tmp_path / f'{name}.fits']
    found = imported('from hotpants_cy.cli.main import main\nassert main(sys.argv[1:]) == 0', HEAVY, *argv)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ['d', 'k', 'm', 'n', 's', 't']
    assert found == []


def test_subtract_needs_of_scipy_only_what_ccddata_needs(tmp_path):
    np.save(tmp_path / 'pair.npy', stars())
    code = ('import numpy, hotpants_cy as hp\nscience, template = numpy.load(sys.argv[1])\n'
            'hp.subtract(science, template, config=hp.HotpantsConfig(nstampx=4, nstampy=4, igain=11, tgain=11))')
    slow = ['scipy.interpolate', 'scipy.ndimage', 'scipy.optimize', 'scipy.signal', 'scipy.spatial', 'scipy.stats',
            'matplotlib', 'photutils']
    assert imported(code, slow, tmp_path / 'pair.npy') == []


def test_the_package_imports_nothing_until_it_is_asked():
    assert imported('import hotpants_cy', ['numpy', 'astropy', 'hotpants_cy.config']) == []
    assert imported('import hotpants_cy; hotpants_cy.HotpantsConfig()', ['astropy']) == []


@pytest.mark.parametrize('name', hotpants_cy.__all__)
def test_every_public_name_is_there(name):
    assert getattr(hotpants_cy, name) is getattr(hotpants_cy, name)
    assert name in dir(hotpants_cy)


def test_all_errors_and_warnings_are_public():
    assert set(hotpants_cy.exceptions.__all__) <= set(hotpants_cy.__all__)


def test_what_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'hotpants_cy' has no attribute 'nothing'"):
        _ = hotpants_cy.nothing


def test_the_flags_for_astropy_are_the_bits_of_the_engine():
    from hotpants_cy.inputs.bits import Bits
    values = {name: value for name, value in vars(Bits).items() if name.isupper()}
    assert values == {name: value for name, value in vars(hotpants_cy.HotpantsFlags).items() if name.isupper()}
