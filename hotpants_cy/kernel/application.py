"""A kernel applied to an image with uncertainty, mask and header: NDData in, CCDData out."""

import numpy as np

from ..exceptions import InputError
from ..inputs.bits import Bits
from ..inputs.frame import as_frame
from ..inputs.image import to_image
from ..threads import resolve_threads
from .fourier import convolve_stack

__all__ = ['apply_kernel', 'convolved_psf', 'mark_unusable']

_BAD = Bits.INPUT_ISBAD | Bits.BAD_CONV


def apply_kernel(kernel, image, background=False, exact=False, n_threads=None):
    """Convolve an image with a kernel; see `KernelModel.apply`.

    Parameters
    ----------
    kernel : KernelModel or KernelMosaic
    image : `~astropy.nddata.NDData` or 2-D array
    background, exact, n_threads : optional
        See `KernelModel.apply`.

    Returns
    -------
    `~astropy.nddata.CCDData` or float32 array
    """
    whole, shape = hasattr(image, 'uncertainty'), tuple(kernel.shape)
    frame = as_frame(image, name='image') if whole else None
    data = frame.data if whole else np.ascontiguousarray(image, np.float32)
    if data.shape != shape:
        raise InputError(f'this kernel applies to images of shape {shape}, not to one of shape {data.shape}')
    options = {'background': background, 'exact': exact, 'n_threads': resolve_threads(n_threads)}
    if not whole:
        return kernel.convolved(data, **options)[0]
    own = np.zeros(shape, np.int32) if frame.flags is None else frame.flags
    data, variance, flags = kernel.convolved(data, frame.variance, own, **options)
    mark_unusable(flags, own | np.where(np.isnan(data), Bits.OUTPUT_ISBAD, 0).astype(np.int32))
    data[flags & Bits.OUTPUT_ISBAD != 0] = np.nan
    sigma = np.sqrt(variance) if variance.size else None
    ny, nx = shape
    meta = {'SOFTNAME': ('hotpants_cy', 'convolved, Alard & Lupton 1998'),
            'KSUM': (kernel.sum(nx // 2, ny // 2), 'sum of the kernel in the middle')}
    applied = to_image(frame, data, sigma, flags, meta=meta, owned=True)
    if frame.psf is not None:
        applied.psf = convolved_psf(frame.psf, kernel.image(nx // 2, ny // 2))
    return applied


def convolved_psf(psf, kernel):
    """Picture of a PSF convolved with that of a kernel, of sum 1."""
    picture = convolve_stack(np.asarray(psf, float)[np.newaxis], kernel[np.newaxis], whole=True)[0]
    return picture / picture.sum()


def mark_unusable(flags, own):
    """Add the flags that an image has itself to those of its convolution, in place, and mark what cannot be used."""
    flags |= own
    flags[flags & _BAD != 0] |= Bits.OUTPUT_ISBAD
