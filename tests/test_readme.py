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
    pair = make_pair((320, 320), seed=1)
    pair.science.write(folder / 'science.fits')
    pair.template.write(folder / 'template.fits')
    return folder


def test_ci_runs_the_test_command():
    command = next(line for line in blocks('bash')[0].splitlines() if 'pytest' in line)
    assert command in (ROOT / '.ci/run').read_text(encoding='utf-8')


def run(files, line):
    """Run a line of the README that begins with hotpants-cy, in a folder with the images."""
    program = 'import sys; from hotpants_cy.cli.main import main; sys.exit(main())'
    return subprocess.run([sys.executable, '-W', 'error', '-c', program, *line.split()[1:]], cwd=files, check=True,
                          capture_output=True, text=True)


def test_the_python_examples_run(files):
    # in one process, as a reader of the page has them
    subprocess.run([sys.executable, '-W', 'error', '-c', '\n'.join(blocks('python'))], cwd=files, check=True)
    assert (files / 'diff.fits').exists()
    assert 'Verdict' in (files / 'page.html').read_text(encoding='utf-8')


def test_the_command_line_example_runs(files):
    (files / 'diff.fits').unlink(missing_ok=True)
    run(files, next(line for line in blocks('bash')[1].splitlines() if line.startswith('hotpants-cy -inim')))
    assert (files / 'diff.fits').exists()


def test_the_demo_runs(files):
    assert 'hotpants-cy demo' in blocks('bash')[0]
    assert 'kernel sum' in run(files, 'hotpants-cy demo').stdout


def test_the_automatic_command_line_runs(files):
    assert '`hotpants-cy --auto ...`' in README
    line = next(line for line in blocks('bash')[1].splitlines() if line.startswith('hotpants-cy -inim'))
    done = run(files, line.replace('hotpants-cy', 'hotpants-cy --auto').replace('diff.fits', 'auto.fits'))
    assert 'verdict' in done.stdout + done.stderr
    assert (files / 'auto.fits').exists()


def measured(table, method):
    """A row of docs/quality_issue.inc: the means, as they are written, by column."""
    text = (ROOT / 'docs/quality_issue.inc').read_text(encoding='utf-8')
    text = text.partition(f'csv-table:: {table}\n')[2].partition('csv-table::')[0]
    rows = [line.strip() for line in text.splitlines()]
    columns = next(row for row in rows if row.startswith('method,')).split(', ')
    values = next(row for row in rows if row.startswith(f'{method},')).split(', ')
    return {column: value.split(' ')[0] for column, value in zip(columns, values, strict=True)}


def test_the_measured_numbers_are_those_of_the_documentation():
    large, c_large = (measured('issue 2048', method) for method in ('auto', 'C defaults'))
    small, c_small = (measured('issue 512', method) for method in ('auto', 'C defaults'))
    ratio, sky, found = 'kernel sum; error in %', 'mean of the sky over sigma', 'found in %'
    text = ' '.join(README.split())
    for claim in (f"flux ratio of the images with an error of {large[ratio]} %",
                  'an offset of the sky below 0.001 sigma',
                  f"{large['false maxima']} maxima above 5 sigma in each field that are no transients",
                  f"with HOTPANTS' defaults the error is {c_large[ratio]} %",
                  f"find {float(c_small[found]):.0f} % of the transients, `'auto'` {float(small[found]):.0f} %"):
        assert claim in text
    assert abs(float(large[sky])) < 0.001


@pytest.mark.parametrize('link', sorted(set(re.findall(r'\]\((?!http|#)([^)]+)\)', README))))
def test_links_lead_somewhere(link):
    assert (ROOT / link.partition('#')[0]).exists()
