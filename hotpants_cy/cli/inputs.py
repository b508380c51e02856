"""The images, noise and masks that a command line names (spec 2.1, 2.2)."""

import logging
from dataclasses import dataclass

import numpy as np

from ..exceptions import InputError
from ..inputs.files import read_plane
from ..inputs.frame import Frame
from ..inputs.sources import wcs_of

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
    """

    science: Frame
    template: Frame
    header: object
    template_header: object
    shape: tuple


def read_pair(args, parity):
    """Read what the command line names.

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
    science, header = read_plane(args.inim, blank_is_nan=not parity)
    template, template_header = read_plane(args.tmplim, blank_is_nan=not parity)
    common = tuple(np.minimum(science.shape, template.shape))
    if science.shape != template.shape:
        log.warning('warning: the science image has %d x %d pixels and the template %d x %d; what they share is '
                    'subtracted, first pixel on first pixel', *science.shape[::-1], *template.shape[::-1])
    frames = [_frame(name, data, header_, common, sigma, bits, parity) for name, data, header_, sigma, bits in (
        ('science', science, header, args.ini, args.imi), ('template', template, template_header, args.tni, args.tmi))]
    return Pair(*frames, header, template_header, tuple(np.maximum(science.shape, template.shape).tolist()))


def _frame(name, data, header, common, sigma, bits, parity):
    cut = tuple(slice(n) for n in common)
    sigma, bits = (_companion(path, data.shape, name, dtype)
                   for path, dtype in ((sigma, np.float32), (bits, np.float64)))
    return Frame.from_planes(data[cut], sigma=None if sigma is None else sigma[cut],
                             bits=None if bits is None else bits[cut], keep_masked_values=parity, name=name, owned=True,
                             meta=header, wcs=None if parity else wcs_of(header, name))


def _companion(path, shape, name, dtype):
    """Noise or mask image of one of the images, or None."""
    if path is None:
        return None
    plane, _ = read_plane(path, dtype=dtype)
    if plane.shape != shape:
        # C leaves such a file out with a warning that is easily missed (F5)
        raise InputError(f'{path} has {plane.shape[1]} x {plane.shape[0]} pixels, but the {name} image has '
                         f'{shape[1]} x {shape[0]}')
    return plane
