"""FITS files written safely: whole ones, all of them or none."""

import contextlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

from ..exceptions import OutputError
from .reading import reason_of

__all__ = ['check_writable', 'write_whole']


def write_whole(files, *, overwrite=False, **options):
    """Write FITS files, all of them or none.

    Each is written under a temporary name in its own folder; only when all are whole are they renamed.

    Parameters
    ----------
    files : dict
        Maps each path to an `~astropy.io.fits.HDUList`, or anything with its ``writeto``.
    overwrite : bool, optional
        Whether to replace files that exist. Default `False`.
    **options
        Passed to ``writeto``. Default is ``output_verify='silentfix+ignore'``: a card that was odd in the
        science image's file must not cost the result.

    Raises
    ------
    OutputError
        If one of the files cannot be written. Then none is, and what was there before is still there.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from hotpants_cy.inputs.writing import write_whole
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole({Path(folder, 'zeros.fits.gz'): fits.PrimaryHDU(np.zeros((4, 5)))})
    ...     [path.name for path in Path(folder).iterdir()]
    ['zeros.fits.gz']
    """
    options = {'output_verify': 'silentfix+ignore', **options}
    jobs = []
    path = None
    try:
        for path in files:
            final = os.path.realpath(os.path.expanduser(os.fsdecode(path)))
            _check_free(final, overwrite, [job[1] for job in jobs])
            jobs.append((_temporary(final), final))
        for path, (temporary, _) in zip(files, jobs, strict=True):
            files[path].writeto(temporary, **options)
        path = ', '.join(map(str, files))
        _rename(jobs)
    except Exception as error:
        raise OutputError(f'cannot write {path}: {reason_of(error)}') from error
    finally:
        for temporary, _ in jobs:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def check_writable(paths, *, overwrite=False):
    """Find out before the work whether `write_whole` could write these files.

    Parameters
    ----------
    paths : sequence of str or `~pathlib.Path`
    overwrite : bool, optional
        Whether to replace files that exist. Default `False`.

    Raises
    ------
    OutputError
        If a folder is missing or not writable, or a file exists and is not to be replaced.
    """
    for path in paths:
        try:
            final = os.path.realpath(os.path.expanduser(os.fsdecode(path)))
            _check_free(final, overwrite, [])
            with tempfile.TemporaryFile(dir=os.path.dirname(final), prefix='.hotpants-'):    # without a name on Linux
                pass
        except OSError as error:
            raise OutputError(f'cannot write {path}: {reason_of(error)}') from error


def _check_free(final, overwrite, others):
    if final in others:
        raise OutputError('two of the results have this name')
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(final).st_mode):
            raise OutputError('it exists and is not a regular file')
        if not overwrite:
            raise OutputError('the file exists, and overwrite=True was not given')


def _temporary(final):
    """Name a file beside the final one; ``writeto`` compresses by the ending."""
    return os.path.join(os.path.dirname(final), f'.hotpants-{secrets.token_hex(8)}{Path(final).suffix}')


def _rename(jobs):
    """Rename all or none: an old file keeps a second name until the last new one is in place."""
    undo = []
    try:
        for temporary, final in jobs:
            old = _temporary(final) if os.path.exists(final) else None
            undo.append((old, final))
            if old:
                with contextlib.suppress(OSError):    # some file systems have no hard links
                    os.link(final, old)
            os.replace(temporary, final)
    except BaseException:
        for old, final in undo:
            with contextlib.suppress(FileNotFoundError):
                os.replace(old, final) if old else os.unlink(final)
        raise
    finally:
        for old, _ in undo:
            with contextlib.suppress(OSError, TypeError):
                os.unlink(old)
