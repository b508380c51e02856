"""The images, noise and masks that a command line names (spec 2.1, 2.2)."""

import logging
from dataclasses import dataclass

import numpy as np

from ..exceptions import InputError
from ..inputs.frame import Frame
from ..inputs.reading import read_image, read_plane
from ..inputs.sources import companion_planes, wcs_of

__all__ = ['Pair', 'read_pair']

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """Both images, cut to what they share.

    Attributes
    ----------
    science, template : Frame
    header, template_header : `~astropy.io.fits.Header`
        Of the science image and of the template.
    shape : (int, int)
        Shape (ny, nx) of the outputs: the larger of both images along each axis, as in C.
    notes : list of str
        What else than pixels the files of the images gave, to be said at the end.
    """

    science: Frame
    template: Frame
    header: object
    template_header: object
    shape: tuple
    notes: list


def read_pair(args, parity):
    """Read what the command line names, and the masks and uncertainties that ``CCDData.write`` put beside the images.

    Parameters
    ----------
    args : argparse.Namespace
        From `~hotpants_cy.cli.options.parse`.
    parity : bool
        Take BLANK pixels for data, as C does.

    Returns
    -------
    Pair

    Raises
    ------
    InputError
        A file cannot be used, or a noise or mask image has another shape than its image.
    """
    science = _planes('science', args.inim, args.ini, args.imi, parity, args.pixels_only)
    template = _planes('template', args.tmplim, args.tni, args.tmi, parity, args.pixels_only)
    shapes = science['data'].shape, template['data'].shape
    if shapes[0] != shapes[1]:
        log.warning('warning: the science image has %d x %d pixels and the template %d x %d; what they share is '
                    'subtracted, first pixel on first pixel', *shapes[0][::-1], *shapes[1][::-1])
    common = tuple(slice(n) for n in np.minimum(*shapes))
    return Pair(_frame(science, common, parity), _frame(template, common, parity), science['meta'], template['meta'],
                tuple(np.maximum(*shapes).tolist()), _notes(args.inim, science) + _notes(args.tmplim, template))


def _planes(name, path, sigma, bits, parity, pixels_only):
    """Planes of one image, as arguments of `Frame.from_planes`."""
    # what a flag names takes the place of what stands beside the image
    wanted = [] if pixels_only else [extension for extension, file in (('MASK', bits), ('UNCERT', sigma)) if not file]
    data, header, found = read_image(path, blank_is_nan=not parity, companions=wanted)
    planes = companion_planes(found, header, path, name)
    for extension, (plane, _) in found.items():
        _check_shape(plane, data, f'{extension} in {path}', name)
    if sigma:
        planes['sigma'] = _companion(sigma, data, name, np.float32)
    if bits:
        planes['bits'] = _companion(bits, data, name, np.float64)
    return {'data': data, 'meta': header, 'name': name, **planes}


def _notes(path, planes):
    used = [word for word, known in (('mask', 'mask'), ('noise', 'uncertainty_type')) if known in planes]
    return [f'{path}: {" and ".join(used)} from its extensions, as CCDData.write makes them'] if used else []


def _frame(planes, common, parity):
    """Frame of the part of an image that the other one shares."""
    wcs = None if parity else wcs_of(planes['meta'], planes['name'])
    cut = {key: plane[common] if isinstance(plane, np.ndarray) else plane for key, plane in planes.items()}
    return Frame.from_planes(**cut, keep_masked_values=parity, owned=True, wcs=wcs)


def _companion(path, data, name, dtype):
    """Noise or mask image of one of the images."""
    plane, _ = read_plane(path, dtype=dtype)
    _check_shape(plane, data, path, name)
    return plane


def _check_shape(plane, data, what, name):
    if plane.shape != data.shape:
        # C leaves such a file out with a warning that is easily missed (F5)
        raise InputError(f'{what} has {plane.shape[1]} x {plane.shape[0]} pixels, but the {name} image has '
                         f'{data.shape[1]} x {data.shape[0]}')
