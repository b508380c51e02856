"""Pictures of a result: its images and its stars; matplotlib is imported only when one is made."""

import math
import textwrap

import numpy as np

from ..stamps.substamp import SubstampStatus
from .plots import BAD, RANGE, asinh_ticks, field_axes, figure_for, sigma_scale, size_of, sky_scale
from .samples import robust_width

__all__ = ['choose_stars', 'panels_height', 'plot_result', 'plot_substamps', 'rows_height']

SIDE = 600              # pixels of a panel; larger images are binned
HEAD, CAPTION = 0.72, 0.36      # inches above the first star, and above each, for two lines
BLUE, ORANGE, PURPLE = '#0072b2', '#c44e00', '#7b3294'      # told apart by the colour blind, readable on white
#: What to call a star, its colour and its marker; shape and colour both tell.
LOOKS = {
    SubstampStatus.USED_IN_FINAL_FIT: ('used', BLUE, 'o'),
    SubstampStatus.REJECTED_ITERATIVE_FIT: ('rejected', ORANGE, 's'),
    SubstampStatus.REJECTED_FOM_CHECK: ('rejected', ORANGE, 's'),
    SubstampStatus.REFUSED: ('refused', PURPLE, 'X'),
}


def plot_result(result, figure=None):
    """Show science image and template, one of them matched to the other, the difference, and its significance.

    The images share one asinh scale over their own sky levels. Images of more than 600 pixels are binned; of the
    significance, difference over noise, a bin shows the pixel farthest from zero, so that no source gets lost. Stars
    used, rejected and refused are marked. Bad pixels are grey-green. With a celestial WCS, axes are in sky coordinates.

    Parameters
    ----------
    result : SubtractionResult
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
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.pictures import plot_result
    >>> pair = make_pair((256, 256), seed=1)
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
    >>> [axes.get_title() for axes in plot_result(result).axes[:4]]
    ['Science', 'Template, matched', 'Difference', 'Difference / noise']
    """
    difference, noise = difference_plane(result), result._hot.assemble('noise')
    figure = figure_for(figure, (9.6, panels_height(9.6, difference.shape)))
    step = math.ceil(max(difference.shape) / SIDE)
    science, template = (plane - np.nanmedian(plane) for plane in
                         (_binned(plane, step) for plane in _matched_pair(result, difference)))
    with np.errstate(divide='ignore', invalid='ignore'):
        significance = _extremes(difference / noise, step)
    difference = _binned(difference, step)
    spread = RANGE * (robust_width(difference) or 1.0)
    sky = sky_scale(science, template)
    directions = {run.direction for run in result._hot.live_regions}
    titles = ('Science' + ', matched' * ('i' in directions), 'Template' + ', matched' * ('t' in directions),
              'Difference', 'Difference / noise')
    scales = sky, sky, {**sigma_scale(), 'vmin': -spread, 'vmax': spread}, sigma_scale()
    panels = _four_axes(figure, result.difference.wcs)
    extent = [-0.5, step * science.shape[1] - 0.5, -0.5, step * science.shape[0] - 0.5]
    for axes, plane, title, scale in zip(panels, (science, template, difference, significance), titles, scales,
                                         strict=True):
        shown = axes.imshow(plane, origin='lower', interpolation='nearest', extent=extent, **scale)
        axes.set_title(title)
        axes.set_facecolor(BAD)
        axes.set(xlim=extent[:2], ylim=extent[2:])
        bar = figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.02, shrink=0.9)
        if scale is sky:
            bar.set_ticks(asinh_ticks(scale['norm']))
        bar.ax.set_title('σ' if plane is significance else str(result.difference.unit or ''), fontsize=9, loc='left')
    _mark_stars(panels[:2], result)
    return figure


def plot_substamps(result, n=8, figure=None):
    """Show stars one per row: science image, template, the model of the one not convolved, and what is left.

    Half of the stars were used, of all brightnesses; half were rejected or refused, as far as there are any. The model
    is shown on the scale of the image that it is to look like; what is left is the difference over its noise.

    Parameters
    ----------
    result : SubtractionResult
    n : int, optional
        Largest number of stars. Default 8.
    figure : `~matplotlib.figure.Figure` or `~matplotlib.figure.SubFigure`, optional
        Where to draw. Default: a new one.

    Returns
    -------
    `~matplotlib.figure.Figure`

    Examples
    --------
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.pictures import plot_substamps
    >>> pair = make_pair((256, 256), seed=1)
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
    >>> figure = plot_substamps(result, n=2)        # two rows of four
    >>> len(figure.axes), figure.axes[0].get_title(loc='left').split(',')[0]
    (8, 'used')
    """
    stars = choose_stars(result, n)
    figure = figure_for(figure, (6.6, rows_height(6.6, len(stars))), layout=None)
    if not stars:
        figure.text(0.5, 0.5, 'no stars to show', ha='center', va='center')
        return figure
    width, height = size_of(figure)
    panels = figure.subplots(len(stars), 4, squeeze=False, gridspec_kw={
        'left': 0.01, 'right': 0.99, 'bottom': 0.06 / height, 'top': 1 - HEAD / height, 'wspace': 0.03,
        'hspace': CAPTION / (width / 4.2)})
    difference, half = difference_plane(result), result.config.rss
    matched, sigma = _matched_pair(result, difference), result._hot.assemble('noise')
    run = result._hot.region
    for star, row in zip(stars, panels, strict=True):
        t = star.direction == 't'
        raw = [_cutout(image.data, star, half) for image in (run.science, run.template)]
        model = _cutout(matched[1 if t else 0], star, half)
        target = _cutout(matched[0 if t else 1], star, half)
        raw[0 if t else 1] = target
        own, shared = _star_scale(raw[1 if t else 0]), _star_scale(target)
        with np.errstate(divide='ignore', invalid='ignore'):
            left = _cutout(difference, star, half) / _cutout(sigma, star, half)
        scales = *((shared, own) if t else (own, shared)), shared, (0, sigma_scale())
        for axes, plane, (sky, scale) in zip(row, (*raw, model, left), scales, strict=True):
            axes.imshow(plane - sky, origin='lower', interpolation='nearest', **scale)
            axes.set(xticks=[], yticks=[], facecolor=BAD)
        name, color, _ = LOOKS[star.status]
        row[0].set_title(_caption(star, name, width), loc='left', fontsize=9, color=color, pad=3)
    for axes, title in zip(panels[0], ('Science', 'Template', 'Model', f'Residual, ±{RANGE}σ'), strict=True):
        axes.annotate(title, (0.5, 1), (0, 29), xycoords='axes fraction', textcoords='offset points', ha='center',
                      fontsize=11)
    return figure


# -- planes -----------------------------------------------------------------------------------

def difference_plane(result):
    """The difference, float32, NaN where it is bad."""
    return np.where(result.difference.mask, np.float32(np.nan), result.difference.data)


def _matched_pair(result, difference):
    """Science image and template whose difference the difference is: one of them is convolved, in each region."""
    pair = np.full((2, *difference.shape), np.nan, np.float32)
    for run in result._hot.live_regions:
        cut = run.region.output
        seen = np.float32(run.products.scale) * run.pair()[1].data[cut]
        pair[:, *cut] = (seen, seen - difference[cut]) if run.direction == 't' else (seen + difference[cut], seen)
    return pair


def _binned(plane, step):
    """Means of step x step pixels, NaN where all are."""
    return plane if step == 1 else _reduced(plane, step, np.nanmean)


def _extremes(plane, step):
    """Of step x step pixels the one farthest from zero."""
    if step == 1:
        return plane
    low, high = _reduced(plane, step, np.nanmin), _reduced(plane, step, np.nanmax)
    return np.where(-low > high, low, high)


def _reduced(plane, step, function):
    import warnings

    from astropy.nddata import block_reduce
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Mean of empty slice|All-NaN', RuntimeWarning)
        return block_reduce(plane, step, function)


# -- stars ------------------------------------------------------------------------------------

def choose_stars(result, n):
    """Stars to show: half used, half not, from the brightest to the faintest of either."""
    (ny, nx), hot = result.difference.shape, result._hot
    stars = sorted((s for s in hot.final_substamps + hot.refused_substamps
                    if s.status in LOOKS and 0 <= s.x < nx and 0 <= s.y < ny), key=lambda s: -s.score)
    groups = [[s for s in stars if LOOKS[s.status][0] == name] for name in ('used', 'rejected', 'refused')]
    used, rejected, refused = map(len, groups)
    n_used = min(used, max(n - n // 2, n - rejected - refused))
    n_rejected = min(rejected, max((n - n_used + 1) // 2, n - n_used - refused))
    counts = n_used, n_rejected, min(refused, n - n_used - n_rejected)
    return [star for group, count in zip(groups, counts, strict=True) for star in _spread(group, count)]


def _spread(stars, n):
    return [stars[k] for k in np.linspace(0, len(stars) - 1, n).astype(int)] if n else []


def _caption(star, name, width):
    """What became of a star, in at most two lines of a width in inches."""
    chi2 = '' if star.chi2 is None or not np.isfinite(star.chi2) else f', chi2 {star.chi2:.2f}'
    reason = f': {star.reason}' if star.reason else ''
    words = f'{name}, ({star.x}, {star.y}){chi2}{reason}'
    return '\n'.join(textwrap.wrap(words, max(20, int(14 * width)), max_lines=2, placeholder=' …'))


def _cutout(plane, star, half):
    from astropy.nddata import extract_array
    return extract_array(np.asarray(plane, np.float32), (2 * half + 1,) * 2, (star.y, star.x), mode='partial',
                         fill_value=np.nan)


def _star_scale(plane):
    """Sky level of a star, and an asinh scale that is linear over the noise around it."""
    from matplotlib.colors import AsinhNorm
    values = plane[np.isfinite(plane)]
    sky = np.median(values) if values.size else 0.0
    noise = robust_width(values[values <= sky]) or 1.0
    noise = noise if np.isfinite(noise) else 1.0
    top = max(np.max(values - sky, initial=0), 10 * noise)
    return sky, {'norm': AsinhNorm(linear_width=4 * noise, vmin=-4 * noise, vmax=top), 'cmap': 'gray_r'}


def _mark_stars(panels, result):
    table = result.substamps
    for name in dict.fromkeys(look[0] for look in LOOKS.values()):
        states = [status.name for status, look in LOOKS.items() if look[0] == name]
        chosen = table[np.isin(table['status'], states)]
        _, color, marker = next(look for look in LOOKS.values() if look[0] == name)
        size = (48 if marker != 'X' else 30) * (size_of(panels[0].figure)[0] / 9.6)**2
        if len(chosen):
            for axes in panels:
                axes.scatter(chosen['x'], chosen['y'], s=size, marker=marker, facecolor='none', edgecolor=color,
                             linewidth=1, label=f'{len(chosen)} {name}')
    if panels[0].collections:
        figure = panels[0].figure
        figure.legend(*panels[0].get_legend_handles_labels(), ncols=3, fontsize=10,
                      loc='upper center' if figure.get_layout_engine() is None else 'outside upper center')


# -- figures ----------------------------------------------------------------------------------

def panels_height(width, shape):
    """Height in inches of a figure with 2 x 2 images of a shape, which leaves no gaps between them."""
    return 1.4 + (width - 1.9) * float(np.clip(shape[0] / shape[1], 0.3, 2))


def rows_height(width, rows):
    """Height in inches of a figure of that many stars, each four panels wide."""
    return HEAD + 0.06 + max(rows, 1) * (0.98 * width / 4.09 + CAPTION) - CAPTION


def _four_axes(figure, wcs):
    """Four axes of the field, with coordinates along the outer edges only."""
    if wcs is None or not wcs.has_celestial:
        panels = figure.subplots(2, 2, sharex=True, sharey=True).ravel()
        for axes in panels[2:]:
            axes.set_xlabel('x')
        for axes in panels[::2]:
            axes.set_ylabel('y')
        return panels
    panels = np.array([field_axes(figure, (2, 2, k + 1), wcs) for k in range(4)])
    for k, axes in enumerate(panels):
        for coordinate, shown in zip(axes.coords, (k >= 2, k % 2 == 0), strict=True):
            coordinate.set_ticklabel_visible(shown)
            if not shown:
                coordinate.set_axislabel(' ')
    return panels
