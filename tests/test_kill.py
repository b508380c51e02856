"""A run may be killed, meet another one, or find no room: files are old or new, never halves."""
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.io import fits

from hotpants_cy.cli.main import main
from hotpants_cy.datasets import make_pair

OPTIONS = '-v 0 -r 5 -rss 7 -nsx 3 -nsy 3 -ko 0 -bgo 0 -ft 8 -c t --threads 1'
OUTPUTS = {'-outim': 'd.fits', '-oni': 'n.fits', '-omi': 'm.fits', '-oki': 'k.fits'}
PAIR = make_pair((128, 128), seed=4, n_transients=0)
posix = pytest.mark.skipif(os.name != 'posix', reason='no such signals')
# the time that a run spends with its files is short: make it long, so that a random moment falls into it
SLOW = '''
import os, sys, time
from hotpants_cy.inputs import writing
replace, link, unlink = os.replace, os.link, os.unlink
def slowly(function):
    def wrapped(*args, **kwargs):
        time.sleep(0.03)
        return function(*args, **kwargs)
    return wrapped
os.replace, os.link, os.unlink = map(slowly, (replace, link, unlink))
from hotpants_cy.cli.main import main
sys.stdout.write('started\\n'); sys.stdout.flush()
sys.exit(main(sys.argv[1:]))
'''


@pytest.fixture
def argv(tmp_path):
    for name in ('science', 'template'):
        fits.PrimaryHDU(getattr(PAIR, name).data.astype('f4')).writeto(tmp_path / f'{name}.fits')
    return ['-inim', str(tmp_path / 'science.fits'), '-tmplim', str(tmp_path / 'template.fits'), *OPTIONS.split()]


def outputs(folder, flags=OUTPUTS):
    return [token for flag in flags for token in (flag, str(folder / OUTPUTS[flag]))]


def start(argv, code=SLOW):
    process = subprocess.Popen([sys.executable, '-c', code, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    assert process.stdout.readline() == 'started\n'
    return process


def finish(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def assert_whole(path):
    with fits.open(path) as hdus:
        hdus.verify('exception')
        for hdu in hdus:
            assert hdu.data is None or len(hdu.data)
    assert path.stat().st_size % 2880 == 0


# -- killed -----------------------------------------------------------------------------------

OLD = b'what was here before'


@posix
@pytest.mark.parametrize('seed', range(2))
def test_a_run_that_is_killed_leaves_old_files_or_new_ones(argv, tmp_path, seed):
    rng = np.random.default_rng(seed)
    out = tmp_path / 'out'
    out.mkdir()
    began = time.monotonic()
    assert finish(start([*argv, *outputs(out)]))[0] == 0
    length = time.monotonic() - began
    killed = 0
    for _ in range(5):
        for name in OUTPUTS.values():
            (out / name).write_bytes(OLD)
        process = start([*argv, *outputs(out)])
        time.sleep(rng.uniform(0, length * 0.9))
        process.send_signal(signal.SIGKILL)
        killed += finish(process)[0] == -signal.SIGKILL
        for name in OUTPUTS.values():
            if (out / name).read_bytes() != OLD:
                assert_whole(out / name)
        assert {path.name for path in out.iterdir() if not path.name.startswith('.hotpants-')} == set(OUTPUTS.values())
    assert killed


@posix
def test_a_run_that_is_terminated_takes_its_half_written_files_away(argv, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    process = start([*argv, *outputs(out)])
    while process.poll() is None and not any(out.glob('.hotpants-*')):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process)
    assert (status, err) == (143, 'hotpants-cy: terminated\n')
    assert list(out.glob('.hotpants-*')) == []


@posix
def test_each_moment_of_the_renaming_leaves_old_files_or_new_ones(argv, tmp_path):
    # kill after the n-th system call that changes names, for each n
    code = SLOW.replace('time.sleep(0.03)', '''
        global left
        left -= 1
        if left < 0: os.kill(os.getpid(), 9)
'''.strip()).replace('def slowly', 'left = int(sys.argv.pop(1))\ndef slowly')
    out, flags = tmp_path / 'out', ['-outim', '-omi']
    names = [OUTPUTS[flag] for flag in flags]
    out.mkdir()
    states, status = set(), None
    for left in range(30):
        for path in out.iterdir():
            path.unlink()
        for name in names:
            (out / name).write_bytes(OLD)
        status = finish(start([str(left), *argv, *outputs(out, flags)], code))[0]
        new = [name for name in names if (out / name).read_bytes() != OLD]
        for name in new:
            assert_whole(out / name)
        states.add(len(new))
        if status == 0:
            break
    assert status == 0
    assert {0, len(names)} <= states                 # killed before the first and after the last


@posix
@pytest.mark.parametrize('kind', ['SIGINT', 'SIGTERM'])
def test_an_interrupted_run_cleans_up_or_leaves_old_files(argv, tmp_path, kind):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'd.fits').write_bytes(OLD)
    process = start([*argv, '-outim', str(out / 'd.fits')])
    while process.poll() is None and len(list(out.iterdir())) < 2:      # now it works on its files
        time.sleep(0.001)
    process.send_signal(getattr(signal, kind))
    status, _, err = finish(process)
    if status:
        assert (out / 'd.fits').read_bytes() == OLD
        assert 'Traceback' not in err
    else:
        assert_whole(out / 'd.fits')
    if kind == 'SIGINT':
        assert [path.name for path in out.iterdir()] == ['d.fits']


# -- two at once ------------------------------------------------------------------------------

def test_two_runs_that_write_the_same_files_leave_whole_ones(argv, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    two = [start([*argv, *outputs(out)]) for _ in range(2)]
    for status, _, err in map(finish, two):
        assert status in (0, 1)
        assert 'Traceback' not in err
        assert len(err.splitlines()) == status
    for name in OUTPUTS.values():
        assert_whole(out / name)
    assert {path.name for path in out.iterdir()} == set(OUTPUTS.values())


def test_of_two_runs_that_must_not_replace_only_whole_files_remain(argv, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    two = [start([*argv, '-nc', *outputs(out)]) for _ in range(2)]
    statuses = [finish(process)[0] for process in two]
    assert set(statuses) <= {0, 1}
    assert 0 in statuses
    for name in OUTPUTS.values():
        assert_whole(out / name)
    assert {path.name for path in out.iterdir()} == set(OUTPUTS.values())


# -- no room ----------------------------------------------------------------------------------

@posix
def test_a_folder_that_is_read_only_is_said_to_be_so_before_the_work(argv, tmp_path, capsys):
    out = tmp_path / 'out'
    out.mkdir()
    out.chmod(0o555)
    if os.geteuid() == 0:
        tmp_path.chmod(0o755)
        for path in (tmp_path.parent, tmp_path.parent.parent):
            if not path.stat().st_mode & 0o001:
                pytest.skip('others may not look into this folder')
        try:
            os.seteuid(65534)
        except OSError:
            pytest.skip('cannot give up the rights of root')
    try:
        status = main([*argv, *outputs(out)])
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        out.chmod(0o755)
    assert status == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert 'cannot write' in line
    assert 'ermission denied' in line
    assert list(out.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 160 kB, room for two of the planes."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    if os.name != 'posix' or os.geteuid() != 0:
        pytest.skip('only root can mount')
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=160k', 'tmpfs', disk], capture_output=True).returncode:
        pytest.skip('cannot mount a tmpfs here')
    yield disk
    subprocess.run(['umount', disk], check=True)


def test_a_full_disk_keeps_what_was_there(argv, small_disk, capsys):
    (small_disk / 'd.fits').write_bytes(OLD)
    assert main([*argv, *outputs(small_disk)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert 'cannot write' in line
    assert 'space' in line
    assert [path.name for path in small_disk.iterdir()] == ['d.fits']
    assert (small_disk / 'd.fits').read_bytes() == OLD
    assert main([*argv, '-outim', str(small_disk / 'd.fits')]) == 0     # there is room for one
    assert_whole(small_disk / 'd.fits')


def test_a_file_system_that_is_read_only_is_said_to_be_so(argv, small_disk, capsys):
    subprocess.run(['mount', '-o', 'remount,ro', small_disk], check=True)
    assert main([*argv, '-outim', str(small_disk / 'd.fits')]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert 'ead-only file system' in line
