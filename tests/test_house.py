"""The rooms of the house stay in order (docs/development/architecture.rst)."""
import ast
import importlib.util
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[1] / 'hotpants_cy'
# data flow down this list; a room may use those above it. __init__ holds the public names
ROOMS = ['_core', 'exceptions', 'words', 'checks', 'cards', 'reasons', 'config', 'behaviour', 'threads', 'instructions',
         'memory', 'versions', 'progress', 'inputs', 'stamps', 'kernel', 'products', 'regional', 'all_regions',
         'autoconfig', 'pyhotpants', 'pipeline', 'inspection', 'candidates', 'subtraction', 'matching', 'simulated_psf',
         'datasets', 'photometry', '__init__', 'cli', '__main__']
FILES = sorted(path for path in HOUSE.rglob('*.py') if path.name not in ('setup_package.py', '_version.py'))
DOORS = {('reasons.py', 'autoconfig')}    # HotpantsConfig.auto
GUESTS = {  # who alone may let them in
    'photutils': {'stamps/catalog.py', 'stamps/peaks.py', 'products/correlation.py', 'candidates.py',
                  'simulated_psf.py', 'photometry.py'},
    'matplotlib': {'inspection', 'cli/demo.py'},
    'CCDData': {'inputs/frame.py', 'inputs/image.py', 'datasets.py', 'photometry.py'},
    'NDData': {'inputs/frame.py', 'inputs/image.py', 'inputs/sources.py'},
}


def imports(path):
    """Full dotted names of all that a file imports, at its top or inside a function."""
    package = '.'.join(path.relative_to(HOUSE.parent).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = '.' * node.level + (node.module or '')
            source = importlib.util.resolve_name(source, package) if node.level else source
            yield from (f'{source}.{alias.name}' for alias in node.names)


def address(path):
    return path.relative_to(HOUSE).as_posix()


def room(path):
    return path.relative_to(HOUSE).parts[0].removesuffix('.py')


def room_of(name):
    """The room that an imported name comes from; None if from another package."""
    package, *rest = name.split('.')
    if package != 'hotpants_cy' or rest[:1] == ['_version']:
        return None
    return rest[0] if rest and rest[0] in ROOMS else '__init__'


@pytest.mark.parametrize('path', FILES, ids=address)
def test_a_room_uses_only_rooms_above_it(path):
    below = {name for name in map(room_of, imports(path)) if name and ROOMS.index(name) > ROOMS.index(room(path))
             and (address(path), name) not in DOORS}
    assert not below, f'{address(path)} uses {below}, below it'


def test_every_file_has_a_room():
    assert {room(path) for path in FILES} <= set(ROOMS)


def test_a_wheel_brings_no_other_package():
    # extension-helpers puts a module of its own into the package whose name is the shortest
    assert [path.parent.name for path in HOUSE.parent.glob('*/__init__.py')] == ['hotpants_cy']


def test_compiled_loops_use_nothing_of_the_package():
    used = {name for path in [*HOUSE.rglob('*.pyx'), *HOUSE.rglob('*.pxd')]
            for line in path.read_text(encoding='utf-8').splitlines()
            for name in re.findall(r'^\s*(?:from|c?import)\s+(hotpants_cy[\w.]*|\.\.+[\w.]*)', line)}
    assert {name for name in used if not name.startswith('hotpants_cy._core')} == set()


def test_bounds_checks_are_left_to_the_build():
    # setup_package.py switches them; a header in the file would win over it, and the debug build be none
    assert [path.name for path in HOUSE.rglob('*.pyx') if 'boundscheck=' in path.read_text(encoding='utf-8')] == []


def test_every_folder_is_a_package():
    assert [address(path.parent) for path in FILES if not (path.parent / '__init__.py').exists()] == []


@pytest.mark.parametrize('guest', GUESTS)
def test_guests_enter_only_where_they_are_at_home(guest):
    hosts = {address(path) for path in FILES if any(guest in name.split('.') for name in imports(path))}
    strangers = {host for host in hosts if not {host, host.split('/')[0]} & GUESTS[guest]}
    assert not strangers, f'{guest} is imported by {strangers}'


def test_import_is_light():
    heavy = ['photutils', 'matplotlib', 'scipy.optimize']
    code = f'import sys, hotpants_cy; print(*[m for m in {heavy} if m in sys.modules])'
    done = subprocess.run([sys.executable, '-W', 'error', '-c', code], capture_output=True, text=True, check=True,
                          cwd=Path(sys.prefix))  # not the clone, whose package is not compiled
    assert done.stdout.split() == []


def test_the_architecture_page_lists_the_rooms_in_this_order():
    page = (HOUSE.parent / 'docs/development/architecture.rst').read_text(encoding='utf-8')
    # later rooms may be missing from the source, never from the page
    places = [page.index(f'\n    {name}') for name in ROOMS if name != '__init__']
    assert all(a < b for a, b in pairwise(places))
