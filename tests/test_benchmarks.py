"""The benchmarks still work: each script answers ``--help``, and what can be made small runs."""
import importlib.util
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / 'benchmarks'
FILES = {path.name: path.read_text(encoding='utf-8') for path in sorted(BENCHMARKS.glob('*.py'))}
SCRIPTS = [name for name, text in FILES.items() if 'ArgumentParser(' in text]
ASV = sorted(path.name for path in BENCHMARKS.glob('timed/bench_*.py'))
# a small job, and a number that it prints
SMALL = {
    'phases.py': ('--sizes 256 --threads 1 --repeat 1 --pairs kept/there', r'\| 256 \| 10 \| 1 \| 0\.\d'),
    'crossover.py': ('--size 128 --rkernel 5', r'\| 5 \| 0\.\d'),
    'exact.py': ('--size 128 --threads 1 --rkernel 4 --ko 1 --repeat 1', r'4, 1, 1, 0, 0\.\d'),
    'variable_stars.py': ('--seeds 1', r'"20%", "\d+\.\d'),
    'quality.py': ("--scenes 'issue 512' --methods 'C defaults' --seeds 1 --output q.csv", r'C defaults +-?\d\.\d'),
    'compare_settings.py': ('--scenes 0:1 --settings hotpants --output s.csv', 'hotpants, 1, 1'),
}

pytestmark = pytest.mark.skipif(not FILES, reason='benchmarks/ is in the repository only, not beside these tests')


EXPLAIN = """
import contextlib, io, json, pathlib, runpy, sys
folder, *names = sys.argv[1:]
sys.path.insert(0, folder)
said = {}
for name in names:
    sys.argv = [name, '--help']
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        runpy.run_path(str(pathlib.Path(folder, name)), run_name='__main__')
    said[name] = out.getvalue()
print(json.dumps(said))
"""


def run(folder, name, *arguments):
    """What a script prints."""
    # scripts import their neighbours, which PYTHONSAFEPATH (conftest.py) would hide
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONSAFEPATH'}
    done = subprocess.run([sys.executable, BENCHMARKS / name, *arguments], cwd=folder, env=environment,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def explanations(tmp_path_factory):
    """What each script prints for ``--help``, from one process: what they import takes most of the time."""
    folder = tmp_path_factory.mktemp('help')
    (folder / 'all.py').write_text(EXPLAIN)
    return json.loads(run(folder, folder / 'all.py', str(BENCHMARKS), *SCRIPTS))


@pytest.mark.parametrize('name', SCRIPTS)
def test_each_script_explains_itself(explanations, name):
    assert explanations[name].startswith(f'usage: {name}')


@pytest.mark.parametrize('name', SMALL)
def test_a_small_job_is_done(tmp_path, name):
    if name in ('phases.py', 'quality.py') and sys.platform != 'linux':
        pytest.skip('it reads the memory of its process from /proc')
    if name == 'phases.py' and not shutil.which('cc'):
        pytest.skip('it compiles its yardstick, and there is no cc')
    arguments, number = SMALL[name]
    assert re.search(number, run(tmp_path, name, *shlex.split(arguments)))


@pytest.mark.parametrize('name', ASV)
def test_what_asv_times_runs(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location(name.removesuffix('.py'), BENCHMARKS / 'timed' / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for few, values in (('SIZES', [256]), ('THREADS', [1]), ('HALF_WIDTHS', [5])):
        vars(module).get(few, [])[:] = values
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__
             and not kind.__name__.startswith('_')]
    assert kinds
    for kind in kinds:
        getattr(kind(), 'setup_cache', lambda: None)()
        for values in itertools.product(*(some[:1] for some in getattr(kind, 'params', ()))):
            for work in [work for work in dir(kind) if work.startswith(('time_', 'peakmem_'))]:
                benchmark = kind()
                getattr(benchmark, 'setup', lambda *_: None)(*values)
                getattr(benchmark, work)(*values)


def test_the_readme_names_every_file():
    readme = (BENCHMARKS / 'README.md').read_text(encoding='utf-8')
    assert ASV
    assert [name for name in [*FILES, *ASV] if not re.search(rf'\b{name}\b', readme)] == []
