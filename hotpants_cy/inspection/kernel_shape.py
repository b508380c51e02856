"""What the shape of the fitted kernel tells: flux ratio, shift, sharpening, and whether its box is large enough."""

import numpy as np

__all__ = ['kernel_shape']

SMOOTHING = 2.0        # sigma in pixels, that of a typical star


def kernel_shape(runs):
    """Numbers from pictures of the kernels at nine stars of each region.

    Parameters
    ----------
    runs : list of RegionalSubtraction

    Returns
    -------
    dict
        ``flux_ratio`` (sum of the kernel, median), ``flux_ratio_range`` (largest minus smallest over the median),
        ``shift`` (of the centre, in pixels), ``noise_gain`` (sum of squares over square of the sum), ``negative``
        (negative part over all of it), ``edge`` (rms of the outermost pixels over the highest).
    """
    pictures = np.concatenate([_pictures(run) for run in runs])
    sums = pictures.sum(axis=(1, 2))
    middle = np.median(sums)
    size = np.abs(pictures).sum(axis=(1, 2))
    edge = np.ones(pictures.shape[1:], bool)
    edge[1:-1, 1:-1] = False
    highest = np.abs(pictures).max(axis=(1, 2))
    return {
        'flux_ratio': float(middle), 'flux_ratio_range': float(np.ptp(sums) / abs(middle)),
        'shift': float(max(np.hypot(*centroid(picture)) for picture in pictures)),
        'noise_gain': float(np.median(np.sum(pictures**2, axis=(1, 2)) / sums**2)),
        'negative': float(np.median(-np.minimum(pictures, 0).sum(axis=(1, 2)) / size)),
        'edge': float(np.median(np.sqrt(np.mean(pictures[:, edge]**2, axis=1)) / highest)),
    }


def _pictures(run):
    """Kernels at up to nine of the stars used, where the fit determines them; without stars on a grid."""
    used = run.used_substamps()
    some = [used[k] for k in np.unique(np.linspace(0, len(used) - 1, 9).astype(int))] if used else []
    places = [(s.x, s.y) for s in some] or _grid(run.region)
    return run.fit.model.images(*np.transpose(places))


def _grid(region):
    return [(region.x0 + fx * (region.x1 - region.x0), region.y0 + fy * (region.y1 - region.y0))
            for fy in (0.2, 0.5, 0.8) for fx in (0.2, 0.5, 0.8)]


def centroid(picture):
    """Centre (x, y) of the high part of a kernel, smoothed so that its noise does not move it, from that of its box."""
    half = picture.shape[0] // 2
    offset = np.arange(-half, half + 1)
    gaussian = np.exp(-0.5 * ((offset - offset[:, np.newaxis]) / SMOOTHING)**2)
    smooth = gaussian @ picture @ gaussian
    high = np.where(smooth > 0.2 * smooth.max(), smooth, 0.0)
    return np.array([np.sum(high * offset), np.sum(high * offset[:, np.newaxis])]) / high.sum()
