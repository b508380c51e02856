"""The page "The command line" says what happens: its commands are run, and what they print is compared."""
import doctest
import re
import shlex
from pathlib import Path

import pytest

from hotpants_cy.cli.main import main

PAGE = (Path(__file__).parents[1] / 'docs/user_guide/command_line.rst').read_text(encoding='utf-8')
BLOCK = re.compile(r'^\.\. code-block:: console\n\n((?:   .*\n|\n)+)', re.M)


def commands():
    """Each command of the page, in order, and what it is to print."""
    text = ''.join(re.sub('^   ', '', block, flags=re.M).rstrip() + '\n' for block in BLOCK.findall(PAGE))
    return [(command.replace('\\\n', ' '), output) for command, output in
            re.findall(r'^\$ ((?:.*\\\n)*.*)\n((?:[^$].*\n)*)', text, re.M)]


def status_of(command):
    """Run a command, and return its status."""
    try:
        return main(shlex.split(command)[1:])
    except SystemExit as end:
        return end.code


def test_each_command_prints_what_the_page_says(tmp_path, monkeypatch, capfd):
    pytest.importorskip('matplotlib')                # for --report
    monkeypatch.chdir(tmp_path)
    for command, expected in commands():
        if command.startswith('cd '):
            monkeypatch.chdir(Path.cwd() / command[3:])
            continue
        command = command.removesuffix(' || echo "status $?"')
        status = status_of(command)
        captured = capfd.readouterr()
        got = captured.err + captured.out + (f'status {status}\n' if status else '')
        assert doctest.OutputChecker().check_output(expected, got, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), (
            f'{command}\n{got}')
        assert status in (0, 1)


def test_there_are_commands():
    assert len(commands()) > 10
