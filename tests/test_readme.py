"""README.md says what works: its commands, its Python, its links."""
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def blocks(language):
    return re.findall(rf'^```{language}\n(.*?)^```', README, re.M | re.S)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A folder with science.fits and template.fits."""
    from hotpants_cy.datasets import make_pair
    folder = tmp_path_factory.mktemp('readme')
    pair = make_pair(seed=1)
    pair.science.write(folder / 'science.fits')
    pair.template.write(folder / 'template.fits')
    return folder


def test_ci_runs_the_test_command():
    command = next(line for line in blocks('bash')[0].splitlines() if 'pytest' in line)
    assert command in (ROOT / '.ci/run').read_text(encoding='utf-8')


def test_the_python_example_runs(files):
    subprocess.run([sys.executable, '-W', 'error', '-c', blocks('python')[0]], cwd=files, check=True)
    assert (files / 'diff.fits').exists()


def test_the_command_line_example_runs(files):
    line = next(line for block in blocks('bash') for line in block.splitlines() if line.startswith('hotpants-cy -inim'))
    program = 'import sys; from hotpants_cy.cli.main import main; sys.exit(main())'
    subprocess.run([sys.executable, '-c', program, *line.split()[1:]], cwd=files, check=True)
    assert (files / 'diff.fits').exists()


@pytest.mark.parametrize('link', sorted(set(re.findall(r'\]\((?!http|#)([^)]+)\)', README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()
