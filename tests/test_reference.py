"""A few quick runs of C HOTPANTS repeated bit for bit; ``.ci/run`` compares with all of them."""

import importlib.util
import json

import pytest

from hotpants_cy.cli.main import main

CASES = ['base', 'both', 'c_i_n_u', 'noise_in', 'mask_in', 'lt_rise_21_41']


@pytest.fixture(scope='module')
def tool(reference):
    path = reference.parent / 'tools' / 'compare_reference.py'
    if not path.is_file():
        pytest.skip(f'no {path} to compare with')
    spec = importlib.util.spec_from_file_location('compare_reference', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('name', CASES)
def test_the_command_line_gives_the_numbers_of_c(reference, tool, tmp_path, monkeypatch, name):
    case, = (case for case in tool.cases_under(reference) if case.name == name)
    tool.stage_inputs(case, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(json.loads((case / 'run.json').read_text())['arguments']) == 0
    problems, worst = tool.compare(case, tmp_path, sigma=1e-4)
    assert problems == []
    assert worst <= 1
