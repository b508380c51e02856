"""What strangers hand in, and what we leave behind: nothing is run, nothing is written but what was asked for."""
import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import hotpants_cy
from hotpants_cy.cli.lists import read_regions, read_stars
from hotpants_cy.cli.main import main
from hotpants_cy.datasets import make_pair
from hotpants_cy.exceptions import InputError

HOUSE = Path(hotpants_cy.__file__).parent
FILES = sorted(path for path in HOUSE.rglob('*.py') if path.name != 'setup_package.py')
OPTIONS = '-v 0 -r 5 -rss 7 -nsx 3 -nsy 3 -ko 0 -bgo 0 -ft 8 -c t --threads 1'
PAIR = make_pair((128, 128), seed=4, n_transients=0)


@pytest.fixture
def pair(tmp_path):
    """A science image and a template as files."""
    for name in ('science', 'template'):
        fits.PrimaryHDU(getattr(PAIR, name).data.astype('f4')).writeto(tmp_path / f'{name}.fits')
    return ['-inim', str(tmp_path / 'science.fits'), '-tmplim', str(tmp_path / 'template.fits'), *OPTIONS.split()]


# -- nothing that is read is run --------------------------------------------------------------

RISKY = {'pickle', 'marshal', 'shelve', 'dill', 'joblib', 'subprocess', 'eval', 'exec', 'allow_pickle',
         'popen', '__reduce__'}
RISKY_OF = {('os', 'system'), ('np', 'load'), ('os', 'execv'), ('os', 'execvp'), ('yaml', 'load')}


def risky_names(path):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in RISKY)
        elif isinstance(node, ast.ImportFrom) and node.module in RISKY:
            yield node.module
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ''
            if node.attr in RISKY or (owner, node.attr) in RISKY_OF:
                yield f'{owner}.{node.attr}'
        elif isinstance(node, ast.Name) and node.id in RISKY:
            yield node.id
        elif isinstance(node, ast.keyword) and node.arg in RISKY:
            yield node.arg


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_no_pickle_no_shell_no_eval(path):
    assert list(risky_names(path)) == []


def test_a_pickle_is_not_an_image(tmp_path):
    (tmp_path / 'evil.fits').write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    np.save(tmp_path / 'evil.npy', np.array([print], object))
    for name in ('evil.fits', 'evil.npy'):
        with pytest.raises(InputError):
            hotpants_cy.subtract(tmp_path / name, PAIR.template)
    assert not (tmp_path / 'owned').exists()


# -- nothing is written but what was asked for ------------------------------------------------

AUDIT = '''
import os, sys
def written(event, args):
    if event == 'open':
        path, mode, flags = args
        if isinstance(path, (str, bytes)) and (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            log.append(os.path.abspath(os.fsdecode(path)))
    elif event in ('os.mkdir', 'os.rename', 'os.link', 'os.symlink', 'os.remove', 'os.truncate', 'shutil.move'):
        log.extend(os.path.abspath(os.fsdecode(a)) for a in args if isinstance(a, (str, bytes)))
log = []
sys.addaudithook(written)
from hotpants_cy.cli.main import main
status = main(sys.argv[1:])
print(*log, sep='\\n')
sys.exit(status)
'''


def test_a_run_touches_only_the_files_it_was_asked_for(pair, tmp_path):
    for name in ('home', 'here', 'tmp', 'out'):
        (tmp_path / name).mkdir()
    out = tmp_path / 'out'
    argv = [*pair, '-outim', 'd.fits', '-oni', str(out / 'n.fits'), '-omi', str(out / 'm.fits.gz'), '-oki',
            str(out / 'k.fits'), '-savexy', str(out / 'stars.reg')]
    done = subprocess.run([sys.executable, '-c', AUDIT, *argv], cwd=tmp_path / 'here', capture_output=True, text=True,
                          env=os.environ | {'HOME': str(tmp_path / 'home'), 'TMPDIR': str(tmp_path / 'tmp'),
                                            'PYTHONDONTWRITEBYTECODE': '1'})
    assert done.returncode == 0, done.stderr
    # Python's tempfile tries a folder before it names it; a file without a name is opened by its folder
    others = f'{tmp_path}/tmp/', f'{tmp_path}/home', '/dev/'
    touched = {path for path in done.stdout.splitlines() if not path.startswith(others) and not Path(path).is_dir()}
    folders = {os.path.dirname(path) for path in touched}
    assert folders == {str(tmp_path / 'here'), str(out)}    # or the hook would have seen nothing
    assert list((tmp_path / 'tmp').rglob('*')) == []
    # astropy before 8 makes the folder of its configuration when it is imported
    assert [path.name for path in (tmp_path / 'home').rglob('*') if path.is_file()] == []
    assert {path.name for path in (tmp_path / 'home').iterdir()} <= {'.astropy'}
    assert [path.name for path in (tmp_path / 'here').iterdir()] == ['d.fits']
    assert {path.name for path in out.iterdir()} == {'n.fits', 'm.fits.gz', 'k.fits', 'stars.reg', 'stars.reg.all',
                                                     'stars.reg.skipped'}
    for path in touched:
        name = os.path.basename(path)
        assert name.startswith('.hotpants-') or Path(path).exists()


def test_a_result_keeps_the_rights_that_new_files_have(pair, tmp_path):
    assert main([*pair, '-outim', str(tmp_path / 'd.fits')]) == 0
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / 'd.fits').stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_link_is_followed_and_stays_a_link(pair, tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'd.fits').symlink_to(tmp_path / 'elsewhere' / 'real.fits')
    assert main([*pair, '-outim', str(tmp_path / 'd.fits')]) == 0
    assert (tmp_path / 'd.fits').is_symlink()
    assert [path.name for path in (tmp_path / 'elsewhere').iterdir()] == ['real.fits']


# -- text files are bounded -------------------------------------------------------------------

@pytest.mark.parametrize('read', [read_stars, read_regions])
@pytest.mark.skipif(not os.path.exists('/dev/zero'), reason='no /dev/zero')
def test_an_endless_list_is_refused(read):
    with pytest.raises(InputError, match='larger than'):
        read('/dev/zero')


@pytest.mark.parametrize('suffix', ['.reg', '.csv', '.ecsv', '.vot', '.fits'])
@pytest.mark.parametrize('what', ['stars', 'avoid'])
def test_a_catalogue_too_large_to_be_one_is_refused(pair, tmp_path, suffix, what):
    path = tmp_path / f'stars{suffix}'
    with path.open('wb') as file:
        file.truncate(1 << 30)                       # takes no room on the disk
    with pytest.raises(InputError, match=f'{what}: .* is larger than 256 MiB'):
        hotpants_cy.subtract(pair[1], pair[3], **{what: str(path)})


@pytest.mark.parametrize('read', [read_stars, read_regions])
@pytest.mark.parametrize('content', [b'', b'\0' * 5000, b'\xff\xfe' * 100, b'nan nan\n', b'1e999 x\n', b'9' * 100_000,
                                     b'1 ' * 100_000 + b'x', b'[' * 10_000, b'#\n' * 1000, b'-:-,-:-\n',
                                     b'99999999999999999999:1,1:2\n'],
                         ids=lambda content: repr(content[:12]))
def test_a_strange_list_is_read_or_refused_in_one_sentence(read, content, tmp_path):
    (tmp_path / 'list').write_bytes(content)
    try:
        rows, words = read(tmp_path / 'list'), ''
    except InputError as error:
        rows, words = None, str(error)
    assert '\n' not in words
    assert len(words) < 500
    assert bool(rows) != bool(words)
    assert {len(row) for row in rows or ()} <= {2 if read is read_stars else 4}


@pytest.mark.parametrize('flag', ['-ssf', '-cmp', '-rf'])
def test_a_list_that_is_no_list_ends_the_run_in_one_line(pair, tmp_path, flag, capsys):
    (tmp_path / 'list').write_bytes(os.urandom(3000))
    assert main([*pair, flag, str(tmp_path / 'list'), '-outim', str(tmp_path / 'd.fits')]) in (0, 1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 1
    assert (tmp_path / 'd.fits').exists() == (not lines)


# -- sizes that a header claims ---------------------------------------------------------------

@pytest.mark.parametrize('size', [(10**9, 10**9), (2**31, 2), (2**31 - 1, 2**31 - 1), (10**6, 10**5), (0, 5), (-3, 4)])
def test_a_header_that_claims_too_much_costs_no_memory(tmp_path, size, capsys):
    fits.PrimaryHDU(PAIR.template.data.astype('f4')).writeto(tmp_path / 't.fits')
    content = (tmp_path / 't.fits').read_bytes()
    for axis, n in enumerate(size, 1):
        card = f'NAXIS{axis}  ='.encode()
        start = content.index(card)
        content = content[:start] + f'NAXIS{axis}  = {n:20d}'.encode().ljust(80) + content[start + 80:]
    (tmp_path / 's.fits').write_bytes(content)
    resource = pytest.importorskip('resource')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    argv = ['-inim', str(tmp_path / 's.fits'), '-tmplim', str(tmp_path / 't.fits'), '-outim', str(tmp_path / 'd.fits')]
    assert main([*argv, *OPTIONS.split()]) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300e3    # kB
    errors = [line for line in capsys.readouterr().err.splitlines() if 'warning' not in line]
    assert len(errors) == 1
    assert errors[0].startswith('hotpants-cy: error: ')
    assert not (tmp_path / 'd.fits').exists()
