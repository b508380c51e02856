"""From kernel to difference: convolve, subtract, scale, flag, fill (spec 7 and 8)."""

from dataclasses import dataclass

import numpy as np

from .._core import pixels
from ..exceptions import MismatchError
from ..inputs.flags import HotpantsFlags

__all__ = ['Products', 'fill_bad', 'subtract_region']


@dataclass
class Products:
    """Planes of one buffered region, all float32 but the flags.

    Attributes
    ----------
    difference : array (ny, nx)
        Science minus template.
    noise : array (ny, nx)
        Its standard deviation.
    convolved : array (ny, nx)
        The convolved image with the background, on the flux scale of the difference.
    convolved_variance : array (ny, nx)
        Its variance, on the same scale.
    flags : int32 array (ny, nx)
        `~hotpants_cy.HotpantsFlags`.
    kernel_sum : float
        Sum of the kernel at the centre of the region.
    scale : float
        What the planes were multiplied by to normalise them.
    """

    difference: np.ndarray
    noise: np.ndarray
    convolved: np.ndarray
    convolved_variance: np.ndarray
    flags: np.ndarray
    kernel_sum: float
    scale: float


def subtract_region(model, source, target, region, config, n_threads=1, written_range=None):
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

    Returns
    -------
    Products
        Bad pixels are flagged, not yet filled.
    """
    cut, half, fill = region.buffered, model.half_width, config.single('fillval')
    convolved, variance, flags = model.convolve_planes(
        source.cutout(cut), source.variance(cut, n_threads), source.flags(cut, n_threads), fill=fill,
        plain_variance=config.conv_var, good_fraction=config.single('kfm'), n_threads=n_threads)
    pixels.add_polynomial(model.background_coefficients, model.bgo, 0.5 * flags.shape[1], 0.5 * flags.shape[0],
                          0, 0, half, convolved, n_threads)
    add_target_flags(flags, target.flags(cut, n_threads), half)
    kernel_sum, scale = normalisation(model, region, config)
    inside = np.s_[half:-half, half:-half]
    if written_range is not None:
        write_and_undo(convolved[inside], flags[inside], scale, kernel_sum, *written_range)
    difference, noise = np.empty_like(convolved), np.empty_like(convolved)
    pixels.difference(convolved, target.cutout(cut), variance, target.variance(cut, n_threads), scale,
                      model.direction == 't', half, fill, difference, noise, n_threads)
    if scale != 1:
        convolved[inside] = _times(convolved[inside], scale)
        variance *= np.float32(scale * scale)
    return Products(difference, noise, convolved, variance, flags, kernel_sum, scale)


def add_target_flags(flags, target_flags, frame):
    """Add the flags of the image that is not convolved, and the frame where there is no result (spec 8.3)."""
    bad = HotpantsFlags.OUTPUT_ISBAD
    target_flags[(target_flags & HotpantsFlags.INPUT_ISBAD) != 0] |= bad
    flags |= target_flags
    for edge in (np.s_[:frame], np.s_[-frame:], np.s_[:, :frame], np.s_[:, -frame:]):
        flags[edge] |= bad


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
    flags[clipped] |= HotpantsFlags.OUTPUT_ISBAD
    np.clip(convolved, low, high, out=convolved)
    if scale != 1:
        convolved[...] = _times(convolved, kernel_sum)


def fill_bad(products, config, frame):
    """Put the fill values on the bad pixels of difference and noise [C: ``-fi``, ``-fin``; ``-mous`` below 0: not].

    The noise of the frame, where there is no difference, stays that of the image that was not convolved (P20).
    """
    if config.kf_spread_mask2 < 0:
        return
    inside = np.s_[frame:-frame, frame:-frame]
    bad = (products.flags[inside] & HotpantsFlags.OUTPUT_ISBAD) != 0
    products.difference[inside][bad] = config.single('fillval')
    products.noise[inside][bad] = config.single('fillval_noise')


def _times(plane, factor):
    # the product in float64, rounded once (spec 0.2)
    out = np.empty_like(plane)
    np.multiply(plane, factor, out=out, dtype=float, casting='same_kind')
    return out
