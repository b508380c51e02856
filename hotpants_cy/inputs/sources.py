"""Where the planes of an image come from: arrays, NDData, files."""

import logging
import warnings

import numpy as np

from ..exceptions import InputError
from ..words import counted
from .planes import as_array, as_unit

__all__ = ['companion_planes', 'planes_of_array', 'planes_of_file', 'planes_of_hdu', 'planes_of_nddata', 'wcs_of']

_log = logging.getLogger(__name__)

_UNCERTAINTIES = {'StdDevUncertainty': 1, 'VarianceUncertainty': 2, 'InverseVariance': -2}    # power of the data unit
_UNIT_NAMES = {'adu': 'adu', 'count': 'ct', 'counts': 'ct', 'electron': 'electron', 'electrons': 'electron',
               'e-': 'electron', 'dn': 'DN'}


def planes_of_array(image):
    """Planes of an array, masked array or Quantity, as arguments of `Frame.from_planes`."""
    from astropy.units import Quantity
    from astropy.utils.masked import Masked
    mask = None
    if isinstance(image, Masked):
        image, mask = image.unmasked, image.mask
    elif isinstance(image, np.ma.MaskedArray):
        image, mask = image.data, image.mask
    if isinstance(image, Quantity):
        return {'data': image.value, 'mask': mask, 'unit': image.unit}
    return {'data': image, 'mask': mask}


def planes_of_nddata(image, name):
    """Planes of an NDData or CCDData object."""
    planes = planes_of_array(image.data)
    planes.update(mask=image.mask if image.mask is not None else planes['mask'],
                  unit=image.unit if image.unit is not None else planes.get('unit'), wcs=image.wcs, meta=image.meta,
                  psf=getattr(image, 'psf', None))
    uncertainty = image.uncertainty
    if uncertainty is not None and uncertainty.array is not None:
        planes.update(_noise(uncertainty.array, type(uncertainty).__name__, uncertainty.unit, planes['unit'], name))
    return planes


def _noise(array, kind, unit, data_unit, name):
    """Sigma or variance of an uncertainty, in the unit of the data."""
    from astropy import nddata
    if kind not in _UNCERTAINTIES:
        raise InputError(f'{name} image: nobody knows what its {kind} means; make it a '
                         'StdDevUncertainty, VarianceUncertainty or InverseVariance')
    array = as_array(array, f'{name} uncertainty', None)
    if unit is not None and data_unit is not None:
        expected = as_unit(data_unit)**_UNCERTAINTIES[kind]
        try:
            factor = as_unit(unit).to(expected)
        except Exception as error:
            raise InputError(f'{name} image: its uncertainty is in {unit}, which does not convert to {expected}, '
                             'as the unit of the data wants') from error
        array = array if factor == 1 else array * np.float64(factor)
    if kind == 'InverseVariance':
        with np.errstate(divide='ignore', over='ignore', invalid='ignore'):
            array = 1 / array    # 0 says that nothing is known: infinite variance, masked
    planes = {'sigma' if kind == 'StdDevUncertainty' else 'variance': array}
    return {**planes, 'uncertainty_type': getattr(nddata, kind)}


def planes_of_hdu(hdu, name):
    """Planes of an image HDU, or of the first image of a list of HDUs."""
    if isinstance(hdu, list):
        images = [one for one in hdu if getattr(one, 'is_image', False) and one.data is not None]
        if not images:
            raise InputError(f'{name} image: there is no image in {counted(len(hdu), "HDU")}')
        hdu = images[0]
    if not getattr(hdu, 'is_image', False) or hdu.data is None:
        raise InputError(f'{name} image: the HDU {hdu.name!r} holds no image')
    return {'data': hdu.data, 'unit': _unit_of(hdu.header, name), 'meta': hdu.header, 'wcs': wcs_of(hdu.header, name)}


def planes_of_file(path, name):
    """Planes of a FITS file, with the mask and the uncertainty that ``CCDData.write`` puts into it."""
    from .reading import read_image
    data, header, found = read_image(path, companions=('MASK', 'UNCERT'))
    return {'data': data, 'unit': _unit_of(header, path), 'meta': header, 'wcs': wcs_of(header, path), 'owned': True,
            **companion_planes(found, header, path, name)}


def companion_planes(found, header, path, name):
    """Mask and noise among the extensions beside an image, as arguments of `Frame.from_planes`.

    Parameters
    ----------
    found : dict
        The extensions ``MASK`` and ``UNCERT``, each if there is one, as `~hotpants_cy.inputs.reading.read_image` gives
        them.
    header : `~astropy.io.fits.Header`
        Of the image.
    path : str or `~pathlib.Path`
        The file, for messages.
    name : str
        ``'science'`` or ``'template'``, for messages.

    Returns
    -------
    dict
        ``mask``; ``sigma`` or ``variance``, and ``uncertainty_type``.

    Raises
    ------
    InputError
        The uncertainty is of a kind or unit that cannot be used.
    """
    planes = {}
    if 'MASK' in found:
        mask, mask_header = found['MASK']
        if mask_header['BITPIX'] == 8:
            planes['mask'] = mask
        else:
            _log.warning('%s: its MASK is no plane of 0 and 1 as astropy writes it, and is not used', path)
    if 'UNCERT' in found:
        array, its_header = found['UNCERT']
        kind = its_header.get('UTYPE', 'StdDevUncertainty')
        planes.update(_noise(array, kind, _unit_of(its_header, path), _unit_of(header, path), name))
    return planes


def _unit_of(header, path):
    from astropy.units import Unit
    text = str(header.get('BUNIT', '')).strip()
    if not text:
        return None
    first, *rest = text.split('/')
    known = _UNIT_NAMES.get(first.strip().lower(), first)
    try:
        return Unit('/'.join([known, *rest]))
    except ValueError:
        _log.info('%s: BUNIT %r is no unit that astropy knows; the unit is taken to be unknown', path, text)
        return None


def wcs_of(header, path):
    """Celestial coordinates of a header; None if it has none that can be understood."""
    from astropy.wcs import WCS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            wcs = WCS(header)
        if not wcs.has_celestial:
            return None
        return wcs if wcs.naxis == 2 else wcs.celestial
    except Exception as error:
        _log.info('%s: no wcs, its header cannot be understood: %s', path, error)
        return None
