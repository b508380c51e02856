"""Build one extension per .pyx file here, with OpenMP where the compiler has it.

``HOTPANTS_CY_NO_OPENMP=1`` builds without OpenMP, ``HOTPANTS_CY_DEBUG=1`` with bounds checks.
"""
import os
import re
from pathlib import Path

from extension_helpers import add_openmp_flags_if_available
from setuptools import Extension

HERE = Path(__file__).parent
# -ffp-contract=off: a fused multiply-add rounds once where the C program rounds twice, which
# picks another solution in ill-conditioned fits (DESIGN, section 3)
FLAGS = ['/O2'] if os.name == 'nt' else ['-O3', '-fno-math-errno', '-ffp-contract=off']


def source_of(pyx):
    """The .pyx itself, or a copy of it with bounds checks on."""
    if os.environ.get('HOTPANTS_CY_DEBUG', '0') in ('', '0'):
        return pyx
    text = re.sub('boundscheck=False, wraparound=False', 'boundscheck=True, wraparound=False',
                  pyx.read_text(encoding='utf-8'), count=1)
    folder = Path('build', 'debug', *pyx.parts[-3:-1])
    folder.mkdir(parents=True, exist_ok=True)
    for pxd in HERE.glob('*.pxd'):
        (folder / pxd.name).write_text(pxd.read_text(encoding='utf-8'), encoding='utf-8')
    for level in (folder, folder.parent):
        (level / '__init__.py').touch()
    copy = folder / pyx.name
    copy.write_text(text, encoding='utf-8')
    return copy


def get_extensions():
    extensions = []
    for pyx in sorted(HERE.glob('*.pyx')):
        source = os.path.relpath(source_of(pyx))
        extension = Extension(f'hotpants_cy._core.{pyx.stem}', [source], extra_compile_args=FLAGS.copy())
        if os.environ.get('HOTPANTS_CY_NO_OPENMP', '0') in ('', '0'):
            add_openmp_flags_if_available(extension)
        extensions.append(extension)
    return extensions
