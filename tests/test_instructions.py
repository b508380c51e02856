"""The widest instruction set is taken, any can be asked for, and all agree."""

import importlib.util
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import hotpants_cy as hp
from hotpants_cy import _core
from hotpants_cy._core import cpu
from hotpants_cy.datasets import make_pair
from hotpants_cy.instructions import VARIABLE, available_instructions, convolution_loops, loops

CONFIG = hp.HotpantsConfig(rkernel=6, rss=9, nstampx=4, nstampy=4, ko=1)
MODULES = sorted({path.name.partition('.')[0] for path in Path(_core.__path__[0]).iterdir()
                  if path.name.endswith(tuple(EXTENSION_SUFFIXES))})
NAMES = ('statistics', 'substamps', 'products', 'equations', 'planes', 'pixels', 'search')


@pytest.fixture(scope='module')
def pair():
    return make_pair((210, 230), seed=12, n_transients=3, star_flux=(8e3, 2e5))


def difference(pair, monkeypatch, name):
    monkeypatch.setenv(VARIABLE, name)
    result = hp.subtract(pair.science, pair.template, config=CONFIG)
    return result.difference.data, result.difference.uncertainty.array, result.difference.flags, result.kernel.solution


@pytest.mark.parametrize('name', available_instructions())
def test_every_set_gives_the_same_difference_far_within_its_noise(pair, monkeypatch, name):
    plain, noise, flags, solution = difference(pair, monkeypatch, 'plain')
    mine, my_noise, my_flags, my_solution = difference(pair, monkeypatch, name)
    assert_array_equal(my_flags, flags)
    assert_array_equal(my_solution, solution)                        # the fit is the same to the bit
    assert np.nanmax(np.abs(mine - plain) / noise) < 1e-4
    np.testing.assert_allclose(my_noise, noise, rtol=3e-6)


@pytest.mark.parametrize('module', MODULES)
def test_every_compiled_module_is_loaded_or_refused(module):
    """Tools that list a package import all of it; the CPU must not stop at instructions that it does not know."""
    code = f'try: import hotpants_cy._core.{module}\nexcept ImportError as error: print(error)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=sys.prefix)
    assert len(MODULES) > 9
    runs = {'v3': cpu.has_v3, 'v4': cpu.has_v4}.get(module.rpartition('_')[2], lambda: True)()
    assert done.stdout == '' if runs else 'needs instructions that this CPU does not have' in done.stdout


def test_the_best_set_is_the_default(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    best = convolution_loops()
    monkeypatch.setenv(VARIABLE, available_instructions()[0])
    assert convolution_loops() is best


def test_what_the_cpu_has_not_is_not_offered():
    assert ('v4' in available_instructions()) <= cpu.has_v4()
    assert ('v3' in available_instructions()) <= cpu.has_v3()
    assert available_instructions()[-1] == 'plain'


@pytest.mark.parametrize('name', NAMES)
def test_base_asks_for_the_loops_without_wide_vectors(monkeypatch, name):
    monkeypatch.setenv(VARIABLE, 'plain')
    assert loops(name).__name__ == f'hotpants_cy._core.{name}'


@pytest.mark.skipif('v3' not in available_instructions(), reason='this CPU has no AVX2')
@pytest.mark.parametrize('name', NAMES)
def test_avx2_gets_loops_of_its_own(monkeypatch, name):
    monkeypatch.setenv(VARIABLE, 'v3')
    assert loops(name).__name__ == f'hotpants_cy._core.{name}_v3'


@pytest.mark.skipif('v4' not in available_instructions(), reason='this CPU has no AVX-512')
@pytest.mark.parametrize('name', [*NAMES, 'exact'])
def test_avx512_gets_loops_of_its_own_or_else_those_for_avx2(monkeypatch, name):
    monkeypatch.setenv(VARIABLE, 'v4')
    own = importlib.util.find_spec(f'hotpants_cy._core.{name}_v4')
    assert loops(name).__name__ == f'hotpants_cy._core.{name}' + ('_v4' if own else '_v3')


@pytest.mark.skipif('v4' not in available_instructions(), reason='this CPU, or this build, has no AVX-512')
def test_the_exact_kernel_has_loops_for_avx512():
    assert importlib.util.find_spec('hotpants_cy._core.exact_v4')


def test_an_unknown_set_is_refused_by_name(pair, monkeypatch):
    monkeypatch.setenv(VARIABLE, 'v5')
    with pytest.raises(hp.HotpantsError, match=r'^HOTPANTS_CY_INSTRUCTIONS=v5: this build on this CPU has .*plain$'):
        hp.subtract(pair.science, pair.template, config=CONFIG)
