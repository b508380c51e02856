"""The results as FITS and ds9 files, one plane per file, as pyhotpants writes them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from ..inputs.header import result_header
from ..stamps.substamp import SubstampStatus

__all__ = ['TextFile', 'box_line', 'plane_file', 'stars_file']

_COLORS = {SubstampStatus.USED_IN_FINAL_FIT: 'green', SubstampStatus.REJECTED_ITERATIVE_FIT: 'red',
           SubstampStatus.REJECTED_FOM_CHECK: 'yellow'}


@dataclass(frozen=True)
class TextFile:
    """A text to be written whole beside FITS files; see `~hotpants_cy.inputs.writing.write_whole`."""

    text: str

    def writeto(self, path, **_options):
        """Write the text to ``path``."""
        Path(path).write_text(self.text, encoding='ascii')


def plane_file(plane, frame, cards, in_data_units=True):
    """HDU list with one plane as its primary image.

    Parameters
    ----------
    plane : array (ny, nx)
        float32, or int32 flags, which become unsigned 16-bit integers.
    frame : Frame
        The science image, for its header and WCS.
    cards : dict
        ``(value, comment)`` by keyword, to add to the header.
    in_data_units : bool, optional
        Whether the unit of the science image is that of the plane. Default True.

    Returns
    -------
    `~astropy.io.fits.HDUList`
    """
    header = result_header(frame, cards)
    if not in_data_units:
        header.remove('BUNIT', ignore_missing=True)
    if frame.wcs is not None:
        header.update(frame.wcs.to_header(relax=True))
    if plane.dtype.kind == 'i':
        plane = np.clip(plane, 0, 0xffff).astype(np.uint16)
    return fits.HDUList([fits.PrimaryHDU(plane, header)])


def box_line(x, y, width, color):
    """One substamp as a ds9 box; (x, y) are 1-based."""
    return f'image;box({x:4d},{y:4d},{width},{width}) # color={color}\n'


def stars_file(substamps, width):
    """A ds9 region file: used green, rejected by the fit red, rejected by the direction test yellow.

    Parameters
    ----------
    substamps : list of Substamp
    width : int
        Full width of a substamp in pixels.

    Returns
    -------
    TextFile
    """
    lines = [box_line(s.x + 1, s.y + 1, width, _COLORS[s.status]) for s in substamps if s.status in _COLORS]
    return TextFile(''.join(['#   X    Y\n', *lines]))
