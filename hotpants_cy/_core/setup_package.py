"""Build one extension per .pyx file here, with OpenMP where the compiler has it.

A file ``name_v3.pyx`` or ``name_v4.pyx`` is compiled for that level of x86-64 and is left out elsewhere;
`hotpants_cy.instructions` picks at run time. What has ``vector`` in its name needs the vector types of gcc and clang.

``HOTPANTS_CY_NO_OPENMP=1`` builds without OpenMP, ``HOTPANTS_CY_DEBUG=1`` with bounds checks,
``HOTPANTS_CY_SANITIZE=address,undefined`` with the sanitizers of gcc or clang of these names.
``HOTPANTS_CY_EMULATE_V4=1`` takes two vectors of AVX2 for one of AVX-512: any CPU can test the loops of ``v4``.
Remove ``build/`` when changing these: what was compiled is not compiled again.
"""
import os
import platform
import re
from pathlib import Path

from extension_helpers import add_openmp_flags_if_available
from setuptools import Extension

HERE = Path(__file__).parent
FLAGS = ['/O2'] if os.name == 'nt' else ['-O3', '-fno-math-errno']
# a fused multiply-add rounds once where the C program rounds twice, which picks another solution in
# ill-conditioned fits; only what comes after the fit may use it. Nobody looks at traps, for whose
# sake gcc would not compare in vectors
EXACT = [] if os.name == 'nt' else ['-ffp-contract=off', '-fno-trapping-math']
FUSED = [] if os.name == 'nt' else ['-ffp-contract=fast']
# sums in any order, where nothing hangs on the last bit; NaN stays NaN
ANY_ORDER = [] if os.name == 'nt' else ['-fassociative-math', '-fno-signed-zeros', '-fno-trapping-math']
# no count wraps; Python has it supposed, and then gcc has no registers left for pointers into many kernels
NO_WRAP = [] if os.name == 'nt' else ['-fno-wrapv']
# just what `cpu.pyx` asks the CPU for
LEVELS = {'v3': ['-mavx2', '-mfma'],
          'v4': ['-mavx2', '-mfma', '-mavx512f', '-mavx512bw', '-mavx512cd', '-mavx512dq', '-mavx512vl',
                 '-mprefer-vector-width=512']}


def is_set(name):
    return os.environ.get(name, '0') not in ('', '0')


def level_of(stem):
    """Flags for the instruction set that a file is named after."""
    name = stem.rpartition('_')[2]
    if name == 'v4' and is_set('HOTPANTS_CY_EMULATE_V4'):
        return [*LEVELS['v3'], '-D__AVX512F__', '-Wno-psabi']
    if stem == 'cpu' and is_set('HOTPANTS_CY_EMULATE_V4'):
        return ['-DHP_EMULATE_V4']
    return LEVELS.get(name, [])


def sanitizers():
    """Flags that make bad memory and undefined behaviour end the process (``tox -e sanitize``)."""
    names = os.environ.get('HOTPANTS_CY_SANITIZE', '')
    return [f'-fsanitize={names}', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer', '-g'] if names else []


def can_build(stem):
    if os.name == 'nt':                              # MSVC has neither vector types nor these flags
        return 'vector' not in stem and stem.rpartition('_')[2] not in LEVELS
    return platform.machine() in ('x86_64', 'AMD64') or stem.rpartition('_')[2] not in LEVELS


def included(pyx):
    """Files that a source includes, and those that these include."""
    found = [HERE / name for name in re.findall(r'^include "(.+)"', pyx.read_text(encoding='utf-8'), re.M)]
    return [os.path.relpath(path) for path in found] + [name for path in found for name in included(path)]


def get_extensions():
    extensions = []
    for pyx in sorted(HERE.glob('*.pyx')):
        if not can_build(pyx.stem):
            continue
        kind = FUSED + ANY_ORDER if 'vector' in pyx.stem else EXACT
        if pyx.stem.startswith('exact'):
            kind = FUSED + NO_WRAP
        if pyx.stem.startswith('planes'):
            kind = kind + ANY_ORDER
        flags = FLAGS + kind + level_of(pyx.stem) + sanitizers()
        extension = Extension(f'hotpants_cy._core.{pyx.stem}', [os.path.relpath(pyx)], extra_compile_args=flags,
                              extra_link_args=sanitizers(), depends=included(pyx))
        # a file that sets boundscheck itself would win over this
        extension.cython_directives = {'boundscheck': is_set('HOTPANTS_CY_DEBUG')}
        extension.cython_c_in_temp = True  # else an sdist would carry the C of one mode into the other
        if not is_set('HOTPANTS_CY_NO_OPENMP'):
            add_openmp_flags_if_available(extension)
        extensions.append(extension)
    return extensions
