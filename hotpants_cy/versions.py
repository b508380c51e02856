"""What is installed here, for bug reports: `hotpants_cy.show_versions`."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

__all__ = ['show_versions', 'versions']

_PACKAGES = 'numpy', 'scipy', 'astropy', 'photutils', 'matplotlib'


def versions():
    """Versions and abilities of what a subtraction runs on.

    Returns
    -------
    dict
        Text by name, in the order in which `show_versions` writes them.

    Examples
    --------
    >>> from hotpants_cy.versions import versions
    >>> list(versions())[:3]
    ['hotpants-cy', 'numpy', 'scipy']
    """
    from ._core.threads import max_threads
    from ._version import __version__
    from .instructions import available_instructions
    from .threads import default_threads
    openmp = f'yes; threads unless asked otherwise: {default_threads()}' if max_threads() else 'no: one thread'
    return {
        'hotpants-cy': __version__,
        **{name: _version(name) for name in _PACKAGES},
        'Python': f'{platform.python_version()} ({sys.executable})',
        'system': platform.platform(),
        'instructions': ', '.join(available_instructions()),
        'OpenMP': openmp,
    }


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return 'not installed'


def show_versions():
    """Write to stdout what a bug report should say about versions, compiled vectors and threads.

    Examples
    --------
    >>> import hotpants_cy
    >>> hotpants_cy.show_versions()  # doctest: +SKIP
    hotpants-cy   0.1
    numpy         2.4.6
    ...
    OpenMP        yes; threads unless asked otherwise: 2
    """
    sys.stdout.writelines(f'{name:13} {text}\n' for name, text in versions().items())
