"""The script of the page "Threads and processes" subtracts several nights at once."""
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from hotpants_cy.datasets import make_pair

PAGE = (Path(__file__).parents[1] / 'docs/user_guide/threads.rst').read_text(encoding='utf-8')


def test_the_script_runs(tmp_path):
    script = textwrap.dedent(PAGE.split('.. code-block:: python\n\n')[1].split('\n.. code-block::')[0])
    (tmp_path / 'nights.py').write_text(script)
    pair = make_pair((320, 320), seed=1)
    pair.template.write(tmp_path / 'template.fits')
    pair.science.write(tmp_path / 'night1.fits')
    done = subprocess.run([sys.executable, 'nights.py', 'night1', 'night2'], cwd=tmp_path, check=True, text=True,
                          capture_output=True, env=os.environ | {'OPENBLAS_NUM_THREADS': '1'})
    assert done.stdout.splitlines() == ['night1: good', 'night2: cannot read night2.fits: No such file or directory']
    assert (tmp_path / 'night1_diff.fits').exists()
