"""From kernel to difference: convolve, subtract, scale, flag, fill (spec 7 and 8)."""

from dataclasses import dataclass

import numpy as np

from ..exceptions import InputError, MismatchError
from ..inputs.bits import Bits
from ..instructions import loops
from .filters import FilterField, nodes

__all__ = ['Products', 'convolve_again', 'fill_bad', 'subtract_region']


@dataclass
class Products:
    """Planes of one buffered region, all float32 but the flags.

    Attributes
    ----------
    difference : array (ny, nx)
        Science minus template.
    noise : array (ny, nx)
        Its standard deviation.
    convolved, convolved_variance : array (ny, nx) or None
        The convolved image with the background, on the flux scale of the difference, and its variance, if wanted.
    flags : int32 array (ny, nx)
        `~hotpants_cy.HotpantsFlags`.
    kernel_sum : float
        Sum of the kernel at the centre of the region.
    scale : float
        What the planes were multiplied by to normalise them.
    sample : array
        The difference at some pixels in each footprint of the kernel, to tell later whether the images are the same.
    """

    difference: np.ndarray
    noise: np.ndarray
    convolved: np.ndarray | None
    convolved_variance: np.ndarray | None
    flags: np.ndarray
    kernel_sum: float
    scale: float
    sample: np.ndarray


def subtract_region(model, source, target, region, config, n_threads=1, written_range=None, keep_convolved=True,
                    memory=None):
    """Convolve ``source`` with the kernel and take the difference to ``target``.

    Parameters
    ----------
    model : KernelModel
    source, target : Exposure
        The image to be convolved, and the other one.
    region : Region
    config : `~hotpants_cy.HotpantsConfig`
    n_threads : int, optional
        Default 1.
    written_range : (float, float), optional
        Limits of the values of a convolved image that C writes: it scales and clips the image for that and scales it
        back, and the difference shows it (P18, 8.4, 8.6). Default: it is not written.
    keep_convolved : bool, optional
        Default True. Otherwise the planes of the convolved image become those of the difference.
    memory : Memory, optional
        For the products. Default: a fresh one.

    Returns
    -------
    Products
        Bad pixels are flagged, not yet filled.
    """
    half = model.half_width
    kernel_sum, scale = normalisation(model, region, config)
    plane, noise, flags = convolved_planes(model, source, region, config, n_threads, memory)
    if written_range is not None:
        inside = np.s_[half:-half, half:-half]
        write_and_undo(plane[inside], flags[inside], scale, kernel_sum, *written_range)
    convolved, variance = scaled_planes(plane, noise, scale, half) if keep_convolved else (None, None)
    loops('pixels').difference(
        *target.planes(region.buffered), *target.noise.factors, target.fill, target.low, target.high, scale,
        model.direction == 't', half, config.single('fillval'), plane, noise, flags, n_threads)
    return Products(plane, noise, convolved, variance, flags, kernel_sum, scale, plane[_sampled(half)].copy())


def convolved_planes(model, source, region, config, n_threads=1, memory=None):
    """Convolve the planes of an image and add the background.

    Returns
    -------
    convolved, variance : float32 arrays (ny, nx)
    flags : int32 array (ny, nx)
    """
    cut = region.buffered
    data, variance, _ = source.planes(cut)
    flags = source.flags(cut, n_threads, memory=memory)
    convolved, variance, flags = model.convolve_planes(
        data, variance if variance.size else None, flags, noise=source.noise, fill=config.single('fillval'),
        plain_variance=config.conv_var, good_fraction=config.single('kfm'), background=True, exact=config.exact,
        n_threads=n_threads, memory=memory)
    if not (source.correlated.is_white or config.conv_var):
        variance *= correlated_gain(model, source.correlated, region)
    return convolved, variance, flags


def correlated_gain(model, correlated, region):
    """What the noise of a convolved image has more of, since that of the image is not white, float32 (ny, nx).

    The kernel varies slowly, so that a few places tell it.
    """
    (x0, y0), (y, x) = region.origin, (nodes(n) for n in region.shape)
    kernels = FilterField(x, y, np.array([model.images(x0 + x, np.full(len(x), y0 + row)) for row in y]))
    return kernels.spread(lambda kernel: correlated.gain(kernel[np.newaxis])[0])(region.shape)


def convolve_again(model, source, target, region, config, products, n_threads=1):
    """The convolved image and its variance of ``products`` that were made without them.

    Parameters
    ----------
    model, source, target, region, config, n_threads
        Those of `subtract_region`.
    products : Products

    Returns
    -------
    convolved, variance : float32 arrays (ny, nx)

    Raises
    ------
    InputError
        They do not make the same difference: the pixels of the images were changed since.
    """
    convolved, variance, _ = convolved_planes(model, source, region, config, n_threads)
    some = _sampled(model.half_width)
    difference = _times(convolved[some] - target.cutout(region.buffered)[some], products.scale)
    if not np.array_equal(np.abs(difference), np.abs(products.sample), equal_nan=True):
        raise InputError('the convolved image cannot be made any more: the pixels of the images were changed since '
                         'they were subtracted; subtract again')
    return scaled_planes(convolved, variance, products.scale, model.half_width)


def _sampled(half_width):
    """Pixels inside the frame, two or more in each footprint of a kernel."""
    inside = slice(half_width, -half_width or None, max(1, half_width // 2))
    return inside, inside


def scaled_planes(convolved, variance, scale, frame):
    """Copies of a convolved image and its variance, on the flux scale of the difference."""
    convolved, variance = convolved.copy(), variance.copy()
    if scale != 1:
        inside = np.s_[frame:-frame, frame:-frame]
        convolved[inside] = _times(convolved[inside], scale)
        variance *= np.float32(scale * scale)
    return convolved, variance


def normalisation(model, region, config):
    """Kernel sum at the centre, and the factor that brings the difference to the scale asked for (spec 8.1, 8.4)."""
    (x0, y0), (ny, nx) = region.origin, region.shape
    kernel_sum = model.sum(x0 + nx // 2, y0 + ny // 2)
    if not np.isfinite(kernel_sum) or kernel_sum <= 0:
        raise MismatchError(f'the kernel sum, the flux ratio of the two images, came out as {kernel_sum:.3g}: they do '
                            'not show the same stars, or the stars used do not determine a kernel')
    return kernel_sum, 1 / kernel_sum if config.normalize == model.direction else 1.0


def write_and_undo(convolved, flags, scale, kernel_sum, low, high):
    """What C's writing of the convolved image leaves of it, in place."""
    if scale != 1:
        convolved[...] = _times(convolved, scale)
    clipped = (convolved < low) | (convolved > high)
    flags[clipped] |= Bits.OUTPUT_ISBAD
    np.clip(convolved, low, high, out=convolved)
    if scale != 1:
        convolved[...] = _times(convolved, kernel_sum)


def fill_bad(products, config, frame, n_threads=1):
    """Put the fill values on the bad pixels of difference and noise [C: ``-fi``, ``-fin``; ``-mous`` below 0: not].

    The noise of the frame, where there is no difference, stays that of the image that was not convolved (P20).
    """
    if config.kf_spread_mask2 < 0:
        return
    for plane, fill in ((products.difference, config.single('fillval')),
                        (products.noise, config.single('fillval_noise'))):
        loops('pixels').fill_flagged(products.flags, int(Bits.OUTPUT_ISBAD), frame, fill, plane, n_threads)


def _times(plane, factor):
    # the product in float64, rounded once (spec 0.2)
    out = np.empty_like(plane)
    np.multiply(plane, factor, out=out, dtype=float, casting='same_kind')
    return out
