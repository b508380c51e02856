"""Pictures of a subtraction; matplotlib is imported only when one is made."""

import math

import numpy as np
from astropy.stats import mad_std

__all__ = ['BAD', 'RANGE', 'asinh_ticks', 'axes_for', 'field_axes', 'figure_for', 'log_x', 'plot_triptych',
           'sigma_scale', 'size_of', 'sky_scale']

TITLES = 'Science', 'Template', 'Difference'
RANGE = 8           # of the difference, in sigmas
BAD = '#a8b8a0'     # grey-green: neither a value of the grey scale nor of the red and blue one
CIRCLE = '#e87500'
SKY = {'RA': 'Right ascension', 'DEC': 'Declination', 'GLON': 'Galactic longitude', 'GLAT': 'Galactic latitude'}


def plot_triptych(science, template, difference, *, transients=None, figure=None):
    """Show science image, template and difference side by side.

    Science image and template share one asinh scale over their own sky levels; the difference is shown in
    units of its typical noise (of its median absolute deviation), from -8 to 8. Bad pixels are grey-green.

    Parameters
    ----------
    science, template, difference : `~astropy.nddata.NDData` or array_like
        Images of one shape ``(ny, nx)``; masked and non-finite pixels are bad.
    transients : `~astropy.table.Table` or array_like, optional
        What to circle: columns ``x`` and ``y``, or pairs of them, in 0-based pixels.
    figure : `~matplotlib.figure.Figure` or `~matplotlib.figure.SubFigure`, optional
        Where to draw. Default: a new one, which no window and no ``pyplot`` knows of.

    Returns
    -------
    `~matplotlib.figure.Figure`
        Save it with its ``savefig``.

    Raises
    ------
    ImportError
        No matplotlib.

    Examples
    --------
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.plots import plot_triptych
    >>> pair = make_pair((200, 200), n_transients=3)
    >>> difference = pair.science.data - pair.template.data
    >>> figure = plot_triptych(pair.science, pair.template, difference, transients=pair.transients)
    >>> [axes.get_title() for axes in figure.axes[:3]]
    ['Science', 'Template', 'Difference']
    """
    figure = figure_for(figure, (12, 4.25), layout=None, dpi=120)
    science, template, difference = (_plane(image) for image in (science, template, difference))
    science, template = (plane - np.nanmedian(plane) for plane in (science, template))
    difference = difference / (mad_std(difference, ignore_nan=True) or 1.0)

    panels = figure.subplots(1, 3, sharex=True, sharey=True, gridspec_kw={
        'left': 0.005, 'right': 0.945, 'bottom': 0.015, 'top': 0.915, 'wspace': 0.02})
    sky, sigmas = sky_scale(science, template), sigma_scale()
    for axes, plane, title, scale in zip(panels, (science, template, difference), TITLES, (sky, sky, sigmas),
                                         strict=True):
        shown = axes.imshow(plane, origin='lower', interpolation='nearest', **scale)
        axes.set_title(title, fontsize=17)
        axes.set(xticks=[], yticks=[], facecolor=BAD)
        if transients is not None:
            _circle(axes, transients, plane.shape)
    bar = figure.colorbar(shown, cax=panels[2].inset_axes((1.02, 0, 0.03, 1)), ticks=[-RANGE, 0, RANGE])
    bar.ax.set_yticklabels([f'−{RANGE}σ', '0', f'{RANGE}σ'], fontsize=13)
    return figure


def figure_for(figure, size, layout='constrained', dpi=110):
    """The figure given, or a new one of that size in inches, which no window knows of."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib, which is missing: pip install matplotlib') from error
    if figure is not None and not hasattr(figure, 'add_subplot'):
        raise TypeError(f'figure must be a matplotlib Figure or SubFigure, not {type(figure).__name__}')
    return Figure(figsize=size, dpi=dpi, layout=layout) if figure is None else figure


def size_of(figure):
    """Width and height in inches of a figure, or of a part of one."""
    return figure.bbox.width / figure.dpi, figure.bbox.height / figure.dpi


def axes_for(ax, size, wcs=None):
    """The axes given, or those of a new figure of that size in inches, of the sky if there is a WCS."""
    if ax is not None and not hasattr(ax, 'plot'):
        raise TypeError(f'ax must be matplotlib Axes, not {type(ax).__name__}')
    return field_axes(figure_for(None, size), (1, 1, 1), wcs) if ax is None else ax


def field_axes(figure, where, wcs, **options):
    """Axes for a picture of the field at a place of ``add_subplot``: of the sky if the WCS has one, or of pixels."""
    if wcs is None or not wcs.has_celestial:
        axes = figure.add_subplot(*where, **options)
        axes.set(xlabel='x', ylabel='y')
        return axes
    import astropy.visualization.wcsaxes  # noqa: F401  makes a WCS a projection
    wcs = wcs.celestial
    axes = figure.add_subplot(*where, projection=wcs)
    for coordinate, name in zip(axes.coords, (wcs.wcs.lngtyp, wcs.wcs.lattyp), strict=True):
        coordinate.set_axislabel(SKY.get(name, name))
        coordinate.set_ticks(number=3)          # the first of them is long, like 10h00m25s
        coordinate.set_ticklabel(exclude_overlapping=True)
    return axes


def log_x(axes):
    """Make x logarithmic over at least one decade, with labels 1, 3, 10, ..., or at powers of ten beyond two decades.

    The minor ticks that matplotlib labels within a decade run into each other.
    """
    from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter
    axes.set_xscale('log')
    low, high = axes.get_xlim()
    wider = max(math.sqrt(10 * low / high), 1)
    axes.set_xlim(low / wider, high * wider)
    axes.xaxis.set_minor_formatter(NullFormatter())
    if high < 100 * low:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(2, 2)))


def _plane(image):
    """Float64 plane with NaN at bad pixels."""
    mask = getattr(image, 'mask', None)
    data = image.data if hasattr(image, 'uncertainty') else np.ma.getdata(image)
    plane = np.array(data, dtype=float)
    plane[~np.isfinite(plane)] = np.nan
    if mask is not None:
        plane[np.broadcast_to(mask, plane.shape)] = np.nan
    return plane


def sky_scale(science, template):
    """One asinh scale for both: linear over the noise of the sky, bright stars black."""
    from matplotlib.colors import AsinhNorm
    noise = max(mad_std(science, ignore_nan=True), mad_std(template, ignore_nan=True)) or 1.0
    top = max(np.nanpercentile(science, 99.8), np.nanpercentile(template, 99.8), 20 * noise)
    return {'norm': AsinhNorm(linear_width=4 * noise, vmin=-3 * noise, vmax=top), 'cmap': 'gray_r'}


def asinh_ticks(norm):
    """Zero, and the powers of ten beyond the linear part of an asinh scale, where they do not crowd."""
    powers = 10.0**np.arange(math.ceil(math.log10(norm.linear_width)), 39)
    powers = powers[powers <= norm.vmax]
    return [*(-powers[::-1] if norm.vmin <= -norm.linear_width else ()), 0, *powers]


def sigma_scale():
    """From blue over white to red, in sigmas."""
    return {'vmin': -RANGE, 'vmax': RANGE, 'cmap': 'RdBu_r'}


def _circle(axes, transients, shape):
    """Circles of one size on the page, whatever the number of pixels."""
    if hasattr(transients, 'colnames'):
        transients = np.column_stack([transients['x'], transients['y']])
    x, y = np.reshape(np.asarray(transients, float), (-1, 2)).T
    axes.scatter(x, y, s=180, facecolor='none', edgecolor=CIRCLE, linewidth=1.6)
    axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(-0.5, shape[0] - 0.5))
