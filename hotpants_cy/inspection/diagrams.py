"""Diagrams of a result: its kernel over the field, pulls, flux ratio and residuals of stars."""

import math

import numpy as np

from ..exceptions import InputError
from ..words import counted
from .pictures import BLUE, ORANGE, difference_plane
from .plots import BAD, RANGE, asinh_ticks, axes_for, field_axes, figure_for, log_x, size_of
from .samples import image_boxes, robust_width
from .stars import sample_stars

__all__ = ['plot_flux_ratio', 'plot_kernel', 'plot_kernel_at', 'plot_pulls', 'plot_quality', 'plot_residuals']

PULLS = 400_000         # pixels that the histogram is made of


def plot_kernel(result, figure=None, grid=(3, 3)):
    """Show the kernel at a grid of positions, arranged as they lie in the image, on one scale.

    Parameters
    ----------
    result : SubtractionResult
    figure : `~matplotlib.figure.Figure` or `~matplotlib.figure.SubFigure`, optional
        Where to draw. Default: a new one.
    grid : (int, int), optional
        Number of positions in y and x. Default (3, 3).

    Returns
    -------
    `~matplotlib.figure.Figure`

    Raises
    ------
    InputError
        The grid has no positions.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.diagrams import plot_kernel
    >>> pair = make_pair((256, 256), seed=1)
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
    >>> figure = plot_kernel(result, grid=(2, 2))
    >>> len([axes for axes in figure.axes if axes.get_title().startswith('(')])
    4
    """
    if np.shape(grid) != (2,) or min(grid) < 1:
        raise InputError(f'grid={grid} is impossible: it must be two whole numbers, at least (1, 1)')
    rows, columns = grid
    figure = figure_for(figure, (2.1 * columns + 1.2, 2.35 * rows + 0.5))
    xs, ys = _grid(result, rows, columns)
    kernels = [[_at(result.kernel.image, x, y) for x in xs] for y in ys]
    peak = max(np.abs(kernel).max() for row in kernels for kernel in row if kernel is not None) or 1.0
    panels = figure.subplots(rows, columns, squeeze=False)[::-1]           # the first row lies at the bottom
    for i, j in np.ndindex(rows, columns):
        axes, kernel = panels[i, j], kernels[i][j]
        axes.set(xticks=[], yticks=[], facecolor=BAD)
        if kernel is None:
            axes.set_title(f'({xs[j]:.0f}, {ys[i]:.0f}): none', fontsize=10)
            continue
        shown = _draw_kernel(axes, kernel, xs[j], ys[i], peak)
    bar = figure.colorbar(shown, ax=panels.ravel().tolist(), fraction=0.04, pad=0.03, ticks=asinh_ticks(shown.norm))
    bar.set_label('kernel')
    return figure


def plot_kernel_at(result, x, y, ax=None):
    """Show the kernel at one position; axes are pixels from its centre.

    Parameters
    ----------
    result : SubtractionResult
    x, y : float
        Position in pixels, 0-based.
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the only axes of a new figure.

    Returns
    -------
    `~matplotlib.figure.Figure`
        That of the axes.

    Raises
    ------
    InputError
        No region with a kernel holds the position.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.diagrams import plot_kernel_at
    >>> pair = make_pair((256, 256), seed=1)
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
    >>> plot_kernel_at(result, 100, 120).axes[0].get_title().split(' 0')[0]
    '(100, 120)\\nsum'
    """
    kernel = result.kernel.image(x, y)
    axes = axes_for(ax, (4.6, 4))
    half = len(kernel) // 2 + 0.5
    shown = _draw_kernel(axes, kernel, x, y, np.abs(kernel).max() or 1.0, extent=(-half, half, -half, half))
    axes.set(xlabel='$x - x_0$', ylabel='$y - y_0$')
    axes.locator_params(integer=True, nbins=5)
    axes.figure.colorbar(shown, ax=axes, label='kernel', fraction=0.046, pad=0.03, ticks=asinh_ticks(shown.norm))
    return axes.figure


def plot_quality(result, figure=None):
    """Show the pulls against a unit Gaussian, the flux ratio over the field, and what is left of stars by their flux.

    Each can be had alone: `plot_pulls`, `plot_flux_ratio`, `plot_residuals`.

    Parameters
    ----------
    result : SubtractionResult
    figure : `~matplotlib.figure.Figure` or `~matplotlib.figure.SubFigure`, optional
        Where to draw: side by side, or one above the other if it is higher than wide. Default: a new one.

    Returns
    -------
    `~matplotlib.figure.Figure`

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.diagrams import plot_quality
    >>> pair = make_pair((256, 256), seed=1)
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
    >>> [axes.get_title().split(',')[0] for axes in plot_quality(result).axes[:3]]
    ['Pulls', 'Sum of the kernel', 'What is left of stars']
    """
    figure = figure_for(figure, (13, 3.9))
    width, height = size_of(figure)
    shape = (1, 3) if width > height else (3, 1)
    wcs = result.difference.wcs
    panels = [figure.add_subplot(*shape, 1), field_axes(figure, (*shape, 2), wcs), figure.add_subplot(*shape, 3)]
    for draw, axes in zip((plot_pulls, plot_flux_ratio, plot_residuals), panels, strict=True):
        draw(result, axes)
    return figure


def plot_pulls(result, ax=None):
    """Show how many pixels have which difference over noise, beside a Gaussian of width 1.

    Parameters
    ----------
    result : SubtractionResult
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the only axes of a new figure.

    Returns
    -------
    `~matplotlib.figure.Figure`
        That of the axes.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.diagrams import plot_pulls
    >>> pair = make_pair((256, 256), seed=1)
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
    >>> plot_pulls(result).axes[0].get_title()
    'Pulls'
    """
    axes = axes_for(ax, (4.6, 3.9))
    difference = difference_plane(result).ravel()
    step = max(1, difference.size // PULLS) | 1                            # odd: not always the same columns
    with np.errstate(divide='ignore', invalid='ignore'):
        pulls = difference[::step] / result._hot.assemble('noise').ravel()[::step]
    pulls = pulls[np.isfinite(pulls)]
    edges = np.linspace(-RANGE, RANGE, 16 * RANGE // 2 + 1)
    axes.hist(pulls.clip(-RANGE, RANGE), edges, color='#9aa5b1', label=f'all pixels, width {robust_width(pulls):.2f}')
    gauss = len(pulls) * (edges[1] - edges[0]) * np.exp(-edges**2 / 2) / math.sqrt(2 * math.pi)
    axes.plot(edges, gauss, color=ORANGE, linewidth=2, label='Gaussian of width 1')
    axes.set(yscale='log', ylim=(0.5, 20 * max(gauss.max(), 1)), xlabel='difference / noise', ylabel='pixels',
             title='Pulls')
    axes.legend(loc='upper center', fontsize=9, frameon=False)
    return axes.figure


def plot_flux_ratio(result, ax=None):
    """Show the sum of the kernel, which is the flux ratio of the images, over the field, and the stars used.

    Parameters
    ----------
    result : SubtractionResult
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the only axes of a new figure, in sky coordinates with a celestial WCS.

    Returns
    -------
    `~matplotlib.figure.Figure`
        That of the axes.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.diagrams import plot_flux_ratio
    >>> pair = make_pair((256, 256), seed=1)
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
    >>> plot_flux_ratio(result).axes[0].get_title().split(',')[0]
    'Sum of the kernel'
    """
    axes = axes_for(ax, (4.6, 3.9), result.difference.wcs)
    ny, nx = result.difference.shape
    xs, ys = _grid(result, 16, 16)
    sums = np.array([[_at(result.kernel.sum, x, y) for x in xs] for y in ys], float)
    middle = np.nanmedian(sums)
    reach = max(np.nanmax(np.abs(sums - middle)), 0.01 * abs(middle))      # what is constant shall look so
    shown = axes.imshow(sums, origin='lower', extent=(-0.5, nx - 0.5, -0.5, ny - 0.5), cmap='cividis',
                        vmin=middle - reach, vmax=middle + reach, interpolation='nearest')
    axes.set(title=f'Sum of the kernel, {middle:.4g}', facecolor=BAD)
    used = result.substamps[result.substamps['status'] == 'USED_IN_FINAL_FIT']
    axes.plot(used['x'], used['y'], 'o', markerfacecolor='none', markeredgecolor='white', markersize=5)
    axes.figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.02)
    return axes.figure


def plot_residuals(result, ax=None):
    """Show the flux that is left of stars, in per cent, against their flux.

    Parameters
    ----------
    result : SubtractionResult
    ax : `~matplotlib.axes.Axes`, optional
        Where to draw. Default: the only axes of a new figure.

    Returns
    -------
    `~matplotlib.figure.Figure`
        That of the axes.

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.diagrams import plot_residuals
    >>> pair = make_pair((256, 256), seed=1)
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
    >>> plot_residuals(result).axes[0].get_ylabel()
    'flux left [%]'
    """
    axes = axes_for(ax, (4.6, 3.9))
    runs = result._hot.live_regions
    samples = [sample_stars(run, most=max(150 // len(runs), 15)) for run in runs]
    flux = np.concatenate([_fluxes(run, sample) for run, sample in zip(runs, samples, strict=True)])
    left, error, fitted, shared, saturated = (
        np.concatenate([getattr(sample, name) for sample in samples])
        for name in ('flux_residual', 'flux_error', 'fitted', 'shared', 'saturated'))
    good = (flux > 0) & np.isfinite(left) & shared & ~saturated
    for chosen, look, color, name in ((fitted, 'o', BLUE, 'used star'), (~fitted, 's', ORANGE, 'other star')):
        if any(chosen := chosen & good):
            axes.errorbar(flux[chosen], 100 * left[chosen], 100 * error[chosen], fmt=look, color=color, markersize=4,
                          linewidth=0.8, label=counted(np.count_nonzero(chosen), name))
    axes.axhline(0, color='black', linewidth=0.8)
    reach = 1.2 * max(np.max(100 * np.abs(left[good]), initial=0), 1)
    axes.set(title='What is left of stars', xlabel=f'flux of the star [{result.difference.unit or "data units"}]',
             ylabel='flux left [%]', ylim=(-reach, reach))
    if good.any():
        log_x(axes)
        axes.legend(loc='upper right', fontsize=9)
    return axes.figure


def _draw_kernel(axes, kernel, x, y, peak, **options):
    """Picture of a kernel, linear over the first 2 %, so that wings and rings are seen beside the peak."""
    from matplotlib.colors import AsinhNorm
    axes.set_title(f'({x:.0f}, {y:.0f})\nsum {kernel.sum():.4g}', fontsize=10)
    return axes.imshow(kernel, origin='lower', interpolation='nearest', cmap='RdBu_r',
                       norm=AsinhNorm(linear_width=0.02 * peak, vmin=-peak, vmax=peak), **options)


def _fluxes(run, sample):
    """Fluxes in 11 x 11 pixels above the median of the rim, on the scale of the difference."""
    corners = np.column_stack([sample.x, sample.y]).astype(int) - run.region.origin - 5
    if not len(corners):
        return np.empty(0)
    boxes, _ = image_boxes(run.pair()[1], run, corners, (11, 11))
    rim = np.ones((11, 11), bool)
    rim[1:-1, 1:-1] = False
    return run.products.scale * np.sum(boxes - np.median(boxes[:, rim], axis=1)[:, np.newaxis, np.newaxis], axis=(1, 2))


def _grid(result, rows, columns):
    """Positions in the middle of equal parts of the image."""
    return [(np.arange(n) + 0.5) * length / n - 0.5
            for n, length in zip((columns, rows), result.difference.shape[::-1], strict=True)]


def _at(function, x, y):
    """What the kernel has at a position, or None in a region without one."""
    try:
        return function(x, y)
    except InputError:
        return None
