"""What all tests share: versions in pytest's header, and the runs of C HOTPANTS to compare with."""
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from pytest_astropy_header.display import PYTEST_HEADER_MODULES, TESTED_VERSIONS

BESIDE = Path(__file__).resolve().parents[2] / 'shared' / 'reference'


def pytest_configure(config):
    # Python started by a test must not find the uncompiled package in the clone it is started from
    os.environ['PYTHONSAFEPATH'] = '1'
    if getattr(config.option, 'numprocesses', None):
        # each process has a core; tests of threads ask for theirs
        os.environ.setdefault('OMP_NUM_THREADS', '1')
    config.option.astropy_header = True
    PYTEST_HEADER_MODULES.clear()
    PYTEST_HEADER_MODULES.update(Numpy='numpy', Scipy='scipy', Astropy='astropy', Photutils='photutils',
                                 Matplotlib='matplotlib')
    try:
        TESTED_VERSIONS['hotpants_cy'] = version('hotpants-cy')
    except PackageNotFoundError:
        TESTED_VERSIONS['hotpants_cy'] = 'built in place'


@pytest.fixture(scope='session')
def reference():
    """Folder of reference cases: HOTPANTS_CY_REFERENCE, or ../shared/reference beside the repository."""
    folder = Path(os.environ.get('HOTPANTS_CY_REFERENCE') or BESIDE)
    if not folder.is_dir():
        pytest.skip(f'no reference cases in {folder}; HOTPANTS_CY_REFERENCE may name their folder')
    return folder
