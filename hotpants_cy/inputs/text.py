"""Files of text and tables: none is read that is too large to be a list, or has no end."""

import os

from ..exceptions import InputError

__all__ = ['check_size', 'read_text']

LARGEST = 1 << 28           # bytes, or characters


def check_size(path):
    """Refuse a file that is larger than any list.

    Parameters
    ----------
    path : str

    Raises
    ------
    InputError
        It is larger than 256 MiB.
    """
    _check(os.path.getsize(path), path)


def read_text(path, encoding='utf-8'):
    """All text of a file; what is not of the encoding is replaced.

    Parameters
    ----------
    path : str
    encoding : str, optional
        Default ``'utf-8'``.

    Returns
    -------
    str

    Raises
    ------
    InputError
        It cannot be read, or is larger than 256 MiB.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hotpants_cy.inputs.text import read_text
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, 'stars.txt').write_text('10 20')
    ...     read_text(f'{folder}/stars.txt')
    5
    '10 20'
    """
    try:
        with open(path, encoding=encoding, errors='replace') as file:
            text = file.read(LARGEST + 1)           # one endless line, or a device, must not fill the memory
    except OSError as error:
        raise InputError(f'cannot read {path}: {error.strerror}') from error
    _check(len(text), path)
    return text


def _check(size, path):
    if size > LARGEST:
        raise InputError(f'{path} is larger than {LARGEST >> 20} MiB: it can be no list')
