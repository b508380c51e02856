"""The page "Parameters" leaves none out, and has the flags and defaults right."""
import csv
import re
import textwrap
from dataclasses import fields
from pathlib import Path

from hotpants_cy import HotpantsConfig

PAGE = (Path(__file__).parents[1] / 'docs/user_guide/parameters.rst').read_text(encoding='utf-8')


def rows():
    """Name, flag and default of each parameter in the table, without quotes."""
    block = re.split(r'\n(?=\S)', PAGE.split(':name: all-parameters\n\n')[1])[0]
    lines = csv.reader(textwrap.dedent(block).strip().splitlines(), delimiter='|', skipinitialspace=True, strict=True)
    cells = [[cell.strip().strip('`') for cell in row] for row in lines]
    return {name: (flag, default) for name, flag, default, _ in cells[1:] if not name.startswith('**')}


def test_each_parameter_is_there():
    assert sorted(rows()) == sorted(spec.name for spec in fields(HotpantsConfig))


def test_flags_and_defaults_are_right():
    told = {spec.name: (spec.metadata['flag'].replace('--parity', '--no-parity'), repr(spec.default))
            for spec in fields(HotpantsConfig)}
    assert {name: row for name, row in rows().items() if name in told and row != told[name]} == {}
