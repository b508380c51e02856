"""Build one extension per .pyx file here, with OpenMP where the compiler has it.

``HOTPANTS_CY_NO_OPENMP=1`` builds without OpenMP, ``HOTPANTS_CY_DEBUG=1`` with bounds checks. Remove ``build/`` when
changing these: what was compiled is not compiled again.
"""
import os
from pathlib import Path

from extension_helpers import add_openmp_flags_if_available
from setuptools import Extension

HERE = Path(__file__).parent
# -ffp-contract=off: a fused multiply-add rounds once where the C program rounds twice, which
# picks another solution in ill-conditioned fits (DESIGN, section 3)
FLAGS = ['/O2'] if os.name == 'nt' else ['-O3', '-fno-math-errno', '-ffp-contract=off']


def is_set(name):
    return os.environ.get(name, '0') not in ('', '0')


def get_extensions():
    extensions = []
    for pyx in sorted(HERE.glob('*.pyx')):
        extension = Extension(f'hotpants_cy._core.{pyx.stem}', [os.path.relpath(pyx)], extra_compile_args=FLAGS.copy())
        # a file that sets boundscheck itself would win over this
        extension.cython_directives = {'boundscheck': is_set('HOTPANTS_CY_DEBUG')}
        extension.cython_c_in_temp = True  # else an sdist would carry the C of one mode into the other
        if not is_set('HOTPANTS_CY_NO_OPENMP'):
            add_openmp_flags_if_available(extension)
        extensions.append(extension)
    return extensions
