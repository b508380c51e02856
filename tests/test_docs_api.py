"""The API reference, docs/reference/index.rst, has every public name, and what it names can be read there."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import hotpants_cy

PAGE = (Path(__file__).parents[1] / 'docs/reference/index.rst').read_text(encoding='utf-8')
NAMES = re.findall(r'^   ([A-Za-z]\w*(?:\.\w+)*)$', PAGE, re.MULTILINE)


def named(name):
    module, _, last = f'hotpants_cy.{name}'.rpartition('.')
    return getattr(import_module(module), last)


def test_every_public_name_is_in_the_reference():
    assert set(hotpants_cy.__all__) - {'__version__', 'conf'} <= set(NAMES)


def test_the_reference_names_only_what_there_is_and_once():
    assert all(named(name).__doc__ for name in NAMES)
    assert len(set(NAMES)) == len(NAMES)


def test_the_modules_of_the_reference_need_no_import_of_their_own():
    rooms = sorted({name.split('.')[0] for name in NAMES if '.' in name})
    code = f'import hotpants_cy as hp; print(*[getattr(hp, room).__name__ for room in {rooms}])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=sys.prefix)
    assert done.stdout.split() == [f'hotpants_cy.{room}' for room in rooms]


def test_what_the_reference_names_has_an_example():
    things = {name: named(name) for name in NAMES}
    assert {name for name, thing in things.items() if '>>>' not in thing.__doc__
               and not (inspect.isclass(thing) and issubclass(thing, Exception))} == set()
