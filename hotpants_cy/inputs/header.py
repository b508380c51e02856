"""The header of a result: that of the science image, without what told about its file."""

import math
import re

import numpy as np
from astropy.io import fits

__all__ = ['result_header']

# What describes the pixels in the file, or the file, that the science image came from; not those of the result.
_STALE = ('BSCALE', 'BZERO', 'BLANK', 'CHECKSUM', 'DATASUM', 'ZHECKSUM', 'ZDATASUM', 'INHERIT')
# The primary WCS: to be written from the wcs object, which also has no lookup tables to write.
_WCS_CARD = re.compile(
    r'WCSAXES|C(TYPE|RPIX|RVAL|DELT|UNIT|ROTA)\d|(PC|CD)\d_\d|P[VS]\d_\d+|(LON|LAT)POLE|RADESYS|EQUINOX'
    r'|[AB]P?_(ORDER|DMAX|\d+_\d+)|(CP|CQ|D2IM)DIS\d|(DP|DQ|CPERR|CQERR|D2IM|D2IMERR)\d(\..*)?')


def result_header(frame, cards):
    """Header of a result: that of the science image, without what told about its file, and ``cards``."""
    header = fits.Header()
    if isinstance(frame.meta, fits.Header):
        header = frame.meta.copy(strip=True)
    else:
        for keyword, value in (frame.meta or {}).items():
            _set_card(header, keyword, value, '')
    for keyword in list(header):
        if keyword in _STALE or (frame.wcs is not None and _WCS_CARD.fullmatch(keyword)):
            header.remove(keyword, ignore_missing=True)
    if frame.unit is None:
        header.remove('BUNIT', ignore_missing=True)
    else:
        header['BUNIT'] = frame.unit.to_string()
    for keyword, (value, comment) in cards.items():
        _set_card(header, keyword, value, comment)
    return header


def _set_card(header, keyword, value, comment):
    """Set a card; what FITS has no type for is kept as text, NaN and infinity are left out."""
    if keyword.upper() in ('HISTORY', 'COMMENT', ''):
        for text in [value] if isinstance(value, str) else value:
            header.add_history(text) if keyword.upper() == 'HISTORY' else header.add_comment(text)
        return
    if isinstance(value, (float, np.floating)) and not math.isfinite(value):
        return
    if not isinstance(value, (str, bool, np.bool_, int, float, complex, np.number, type(None))):
        value = str(value)
    if isinstance(value, str):
        value = value.encode('ascii', 'replace').decode().replace('\n', ' ')
    long = len(keyword) > 8 and not keyword.upper().startswith('HIERARCH ')
    header[f'HIERARCH {keyword}' if long else keyword] = (value, comment)
