"""The API reference, docs/reference/index.rst, has every public name, and what it names can be read there."""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from functools import cached_property
from importlib import import_module
from pathlib import Path

import pytest

import hotpants_cy

PAGE = (Path(__file__).parents[1] / 'docs/reference/index.rst').read_text(encoding='utf-8')
NAMES = re.findall(r'^   ([A-Za-z]\w*(?:\.\w+)*)$', PAGE, re.MULTILINE)
# public by their name alone: what they take and give is no part of the reference
INTERNAL = (
    'Hotpants.again', 'Hotpants.adopt_kernels', 'Hotpants.assemble',                   # for results, the command line
    'Hotpants.convolved_is_written', 'Hotpants.difference_psf',
    'Hotpants.live_regions', 'Hotpants.region',                                        # the regions are internal
    'HotpantsConfig.single', 'HotpantsConfig.stamp_width',                             # for what repeats C
    'HotpantsConfig.explained', 'HotpantsConfig.with_reasons',                         # for explain, and headers
    'KernelModel.convolve_planes', 'KernelModel.convolved', 'KernelMosaic.convolved',  # planes; users have apply
    'SubtractionResult.of',                                                            # users have subtract
)


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


def test_type_checkers_know_the_modules_that_need_no_import_of_their_own():
    stub = Path(hotpants_cy.__file__).with_suffix('.pyi').read_text(encoding='utf-8')
    assert sorted(re.findall(r'^from \. import (\w+) as \1$', stub, re.MULTILINE)) == sorted(hotpants_cy._MODULES)


def test_what_the_reference_names_has_an_example():
    things = {name: named(name) for name in NAMES}
    assert {name for name, thing in things.items() if '>>>' not in thing.__doc__
               and not (inspect.isclass(thing) and issubclass(thing, Exception))} == set()


# -- methods and properties -----------------------------------------------------------------------

def members():
    """What the package gives its public classes: name -> (method or property, function that it is made of)."""
    found = {}
    for name in [*hotpants_cy.__all__, 'inspection.quality.Quality', 'products.psf.FieldPSF']:
        for member in dir(named(name)) if inspect.isclass(named(name)) else ():
            thing = inspect.getattr_static(named(name), member)
            code = next((getattr(thing, part) for part in ('fget', 'func', '__func__') if hasattr(thing, part)), thing)
            if not member.startswith('_') and inspect.isfunction(code) and code.__module__.startswith('hotpants_cy'):
                found[f'{name}.{member}'] = thing, code
    return found


MEMBERS = members()
PROPERTIES = [name for name, (thing, _) in MEMBERS.items() if isinstance(thing, (property, cached_property))]
METHODS = [name for name in MEMBERS if name not in PROPERTIES]


def of_users(names):
    return [name for name in names if name not in INTERNAL]


def sections(thing):
    """Texts of a docstring by title; its beginning by ''."""
    first, *rest = re.split(r'^([A-Z]\w+)\n-+\n', inspect.getdoc(thing) or '', flags=re.MULTILINE)
    return {'': first} | dict(zip(rest[::2], rest[1::2], strict=True))


def documented(thing):
    """Names that a Parameters section describes."""
    heads = re.findall(r'^\S.*', sections(thing).get('Parameters', ''), re.MULTILINE)
    return {name.strip(' *') for head in heads for name in head.split(' : ')[0].split(',')}


def parameters(thing, code):
    names = [*inspect.signature(code).parameters]
    return set(names if isinstance(thing, staticmethod) else names[1:])


def gives_something(code):
    tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    return any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(tree))


def described_elsewhere(text):
    """The function that a docstring sends its readers to; None if to none."""
    found = re.search(r'see `(?:hotpants_cy\.)?([\w.]+)`', text)
    if found is None:
        return None
    if found[1] in MEMBERS:
        return MEMBERS[found[1]][1]
    return named(found[1])


@pytest.mark.parametrize('name', of_users(METHODS))
def test_a_method_tells_its_parameters_what_it_returns_and_an_example(name):
    thing, code = MEMBERS[name]
    text = sections(code)
    missing = parameters(thing, code) - documented(code)
    if missing and (other := described_elsewhere(text[''])) is not None:
        missing -= documented(other)
    assert missing == set()
    assert 'Returns' in text or not gives_something(code)
    assert '>>> ' in text.get('Examples', '')


@pytest.mark.parametrize('name', of_users(PROPERTIES))
def test_a_property_says_what_it_is_and_an_example_of_its_class_has_it(name):
    owner, _, member = name.rpartition('.')
    assert MEMBERS[name][0].__doc__
    lines = [line for thing in (named(owner), MEMBERS[name][0]) for line in thing.__doc__.splitlines() if '>>>' in line]
    assert any(re.search(rf'\.{member}\b', line) for line in lines)


@pytest.mark.parametrize('name', INTERNAL)
def test_what_only_the_package_calls_says_so(name):
    assert 'for the package itself' in MEMBERS[name][0].__doc__.splitlines()[0]
