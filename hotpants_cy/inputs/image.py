"""Planes -> `HotpantsImage`: a CCDData that is written whole, with its flags, and read back the same."""

import copy
import math

import numpy as np
from astropy import units
from astropy.io import fits, registry
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty

from ..instructions import loops
from ..memory import large_array
from .bits import Bits
from .header import result_header
from .writing import write_whole

__all__ = ['HotpantsImage', 'sibling', 'to_image']

_MASKED = Bits.OUTPUT_ISBAD | Bits.NAN
_NO_PLANE = np.empty((0, 0), np.float32)


class HotpantsImage(CCDData):
    """A `~astropy.nddata.CCDData` that keeps its ``flags`` when it is sliced, written and read.

    ``image.write(path)`` writes the HDUs that ``CCDData.write`` makes, and the flags as ``FLAGS``
    (``hdu_flags=None`` leaves them out). The file appears under its name only when it is whole. Numbers in the
    header are written with all their digits. ``HotpantsImage.read(path)`` reads everything back;
    ``CCDData.read(path)`` reads the same file, and the flags with ``hdu_flags='FLAGS'`` (astropy 8).
    An image without unit is written with ``BUNIT = '1'``, which `CCDData` understands.

    Parameters
    ----------
    *args, **kwargs
        As for `~astropy.nddata.CCDData`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from hotpants_cy.inputs.image import HotpantsImage
    >>> image = HotpantsImage(np.ones((2, 3)), unit='adu', flags=np.full((2, 3), 0x40, np.int32))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image.write(Path(folder, 'image.fits'))
    ...     again = HotpantsImage.read(Path(folder, 'image.fits'))
    >>> again.flags
    array([[64, 64, 64],
           [64, 64, 64]], dtype=int32)
    """

    @property
    def psf(self):
        """Picture of the point spread function, or None; that of a difference is made when it is first asked for."""
        if callable(self._psf):
            self._psf = self._psf()
        return self._psf

    @psf.setter
    def psf(self, value):
        self._psf = value

    def to_hdu(self, hdu_mask='MASK', hdu_uncertainty='UNCERT', hdu_flags='FLAGS', **options):
        """Make the HDUs of this image; see `~astropy.nddata.CCDData.to_hdu`.

        Parameters
        ----------
        hdu_mask, hdu_uncertainty, hdu_flags : str or None, optional
            Names of the extensions; `None` leaves one out.
        **options
            As for `~astropy.nddata.CCDData.to_hdu`.

        Returns
        -------
        `~astropy.io.fits.HDUList`

        Examples
        --------
        >>> import numpy as np
        >>> from hotpants_cy.inputs.image import HotpantsImage
        >>> image = HotpantsImage(np.ones((2, 3)), unit='adu', flags=np.zeros((2, 3), np.int32))
        >>> [hdu.name for hdu in image.to_hdu()]
        ['PRIMARY', 'FLAGS']
        """
        # a PSF that nobody has asked for is not measured now
        own = self if not callable(self._psf) else self._without_psf()
        hdus = CCDData.to_hdu(own, hdu_mask=hdu_mask, hdu_uncertainty=hdu_uncertainty, **options)
        if hdu_flags and self.flags is not None:
            hdus.append(fits.ImageHDU(np.asarray(self.flags), name=hdu_flags))
        header = hdus[0].header
        if self.unit == units.dimensionless_unscaled:
            header['BUNIT'] = '1'
        if self.wcs is not None:
            _write_exactly(header, self.wcs)
        for card in [card for card in header.cards if _is_long(card.value)]:
            _write_all_digits(header, card)
        return hdus

    def _without_psf(self):
        twin = copy.copy(self)
        twin._psf = None
        return twin

    def copy(self):
        """Copy this image, with all its planes."""
        twin = super().copy()
        twin.flags = copy.deepcopy(self.flags)
        return twin

    def _slice(self, item):
        kwargs = super()._slice(item)
        kwargs['flags'] = None if self.flags is None else self.flags[item]
        return kwargs


def to_image(frame, data, sigma=None, flags=None, *, meta=None, fill=math.nan, owned=False, n_threads=1):
    """Make a `HotpantsImage` of result planes, in the setting of the science image.

    Parameters
    ----------
    frame : `~hotpants_cy.inputs.frame.Frame`
        The science image: gives unit (dimensionless if it has none), wcs, header and class of the uncertainty.
    data : float32 array, shape (ny, nx)
        The result; already filled under the mask. It is shared.
    sigma : float32 array, shape (ny, nx), optional
        Standard deviation of the result in data units.
    flags : int32 array, shape (ny, nx), optional
        `HotpantsFlags` of the result. Pixels with OUTPUT_ISBAD or NAN are masked. It is shared.
    meta : dict, optional
        Cards to add to the header, ``keyword: (value, comment)``; HISTORY and COMMENT may have a list of texts as
        value. FITS knows no NaN and no infinity: such cards are left out.
    fill : float, optional
        Value of the uncertainty under the mask; default NaN.
    owned : bool, optional
        ``sigma`` is nobody else's and may become the uncertainty. Default False.
    n_threads : int, optional
        Default 1.

    Returns
    -------
    HotpantsImage
        With the uncertainty class of the science image (default `~astropy.nddata.StdDevUncertainty`), a boolean
        mask always, and a header without the cards that told about the science image's file and pixel format.

    Examples
    --------
    >>> import numpy as np
    >>> from hotpants_cy.inputs.frame import Frame
    >>> from hotpants_cy.inputs.image import to_image
    >>> science = Frame.from_planes([[5.0, 6.0]], unit='adu')
    >>> flags = np.array([[0, 0x8080]], np.int32)
    >>> image = to_image(science, science.data, science.data, flags, meta={'KSUM00': (1.25, 'kernel sum')})
    >>> image.mask, image.header['KSUM00']
    (array([[False,  True]]), 1.25)
    """
    mask = np.zeros(data.shape, bool) if flags is None else large_array(data.shape, bool)
    plane, kind = None, frame.uncertainty_type or StdDevUncertainty
    if sigma is not None:
        with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
            plane = sigma if owned and kind is StdDevUncertainty else _FROM_SIGMA[kind](sigma)
    if flags is not None:
        loops('pixels').hide(flags, int(_MASKED), fill, mask.view(np.uint8), _NO_PLANE if plane is None else plane,
                             n_threads)
    uncertainty = None if plane is None else kind(plane, copy=False)
    unit = units.dimensionless_unscaled if frame.unit is None else frame.unit
    header = result_header(frame, meta or {})
    return HotpantsImage(data, uncertainty=uncertainty, mask=mask, flags=flags, unit=unit, meta=header,
                         wcs=copy.deepcopy(frame.wcs))


def sibling(image, data, sigma):
    """Make an image with other ``data`` and ``sigma`` in the setting of a `HotpantsImage` from `to_image`.

    Parameters
    ----------
    image : HotpantsImage
        Gives unit, wcs, header, mask, flags and the class of the uncertainty.
    data, sigma : float32 arrays (ny, nx)
        In data units.

    Returns
    -------
    HotpantsImage
    """
    kind = type(image.uncertainty)
    with np.errstate(divide='ignore', over='ignore'):
        plane = _FROM_SIGMA[kind](sigma)
    plane[image.mask] = math.nan
    return HotpantsImage(data, uncertainty=kind(plane, copy=False), mask=image.mask.copy(), flags=image.flags.copy(),
                         unit=image.unit, meta=image.meta.copy(), wcs=copy.deepcopy(image.wcs))


_FROM_SIGMA = {StdDevUncertainty: np.copy, VarianceUncertainty: np.square,
               InverseVariance: lambda sigma: np.reciprocal(np.square(sigma))}


# -- all digits -------------------------------------------------------------------------------

def _write_exactly(header, wcs):
    """Put the numbers of the wcs into its cards; ``to_header`` rounds them to 14 digits."""
    inner = wcs.wcs
    numbers = {'LONPOLE': inner.lonpole, 'LATPOLE': inner.latpole}
    for i in range(inner.naxis):
        numbers |= {f'CRPIX{i + 1}': inner.crpix[i], f'CRVAL{i + 1}': inner.crval[i],
                    f'CDELT{i + 1}': inner.get_cdelt()[i]}
        numbers |= {f'PC{i + 1}_{j + 1}': inner.get_pc()[i, j] for j in range(inner.naxis)}
    numbers |= {f'PV{i}_{m}': value for i, m, value in inner.get_pv()}
    for name in ('a', 'b', 'ap', 'bp'):
        terms = getattr(wcs.sip, name, None)
        if terms is not None:
            numbers |= {f'{name.upper()}_{i}_{j}': value for (i, j), value in np.ndenumerate(terms)}
    for keyword, value in numbers.items():
        if keyword in header:
            header[keyword] = float(value)


def _is_long(value):
    return isinstance(value, float) and len(repr(value)) > 20


def _write_all_digits(header, card):
    """Replace a card by one in free format: astropy cuts numbers to 20 characters."""
    text = f'{card.keyword:8}= {repr(float(card.value)).upper()}'
    if len(card.keyword) > 8 or header.count(card.keyword) > 1:
        return
    image = f'{text} / {card.comment}'[:80] if card.comment else text
    place = header.index(card.keyword)
    del header[place]
    header.insert(place, fits.Card.fromstring(image))


# -- reading and writing through CCDData.read and CCDData.write --------------------------------

def _read(source, hdu_flags='FLAGS', **options):
    """Read what `_write` wrote; ``source`` is a path, or the file that ``read`` has opened."""
    hdus = fits.open(source)
    flags = _native(hdus[hdu_flags].data) if hdu_flags and hdu_flags in hdus else None
    hdus.close(closed=not hasattr(source, 'seek'))
    if hasattr(source, 'seek'):
        source.seek(0)
    image = HotpantsImage(CCDData.read(source, format='fits', **options))
    image.data, image.flags = _native(image.data), flags
    if image.uncertainty is not None:
        image.uncertainty = type(image.uncertainty)(_native(image.uncertainty.array), copy=False)
    return image


def _native(plane):
    return np.array(plane, dtype=plane.dtype.newbyteorder('='))


def _write(image, path, *, overwrite=False, as_image_hdu=False, output_verify=None, checksum=False, **options):
    hdus = image.to_hdu(as_image_hdu=as_image_hdu, **options)
    if as_image_hdu:
        hdus.insert(0, fits.PrimaryHDU())
    verify = {} if output_verify is None else {'output_verify': output_verify}
    write_whole({path: hdus}, overwrite=overwrite, checksum=checksum, **verify)


registry.register_reader('fits', HotpantsImage, _read)
registry.register_writer('fits', HotpantsImage, _write)
