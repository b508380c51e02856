"""Figures of the page "The algorithm": one function each, drawn when the documentation is built."""

import numpy as np

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.kernel.basis import GaussianBasis

USED, REJECTED, SPARE = 'tab:green', 'tab:red', 'tab:gray'


def one_star():
    """A star of the template, the kernel, what they make together, the science image, and what is left."""
    pair = make_pair(seed=1)
    hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(force_convolve='t', ko=1))
    star = sorted(hot.iterative_fit_and_clip()[1], key=lambda star: -star.score)[1]
    model = star.convolved_model_global
    left = (star.image_cutout - model) / np.sqrt(star.noise_variance_cutout)
    figure, axes = _row(5, 2.4)
    brightest = max(cutout.max() for cutout in (star.template_cutout, star.image_cutout))
    for ax, panel, title in zip(axes[[0, 2, 3]], (star.template_cutout, model, star.image_cutout),
                                ('template', 'template ⊗ kernel\n+ background', 'science image'), strict=True):
        _show(ax, np.arcsinh(panel / 300), title, vmin=0, vmax=np.arcsinh(brightest / 300))
    kernel = hot.kernel.image(star.x, star.y)
    _show(axes[1], kernel, 'kernel', cmap='RdBu_r', vmin=-kernel.max(), vmax=kernel.max())
    _show(axes[4], left, 'difference / noise', cmap='RdBu_r', vmin=-5, vmax=5)
    return figure


def basis():
    """The 49 functions of the default basis, a triangle for each Gaussian."""
    default = hp.HotpantsConfig()
    functions = GaussianBasis(default.rkernel, default.deg_fixe, default.sigma_gauss)
    figure, axes = _row(3, 4.4, widths=[degree + 1.5 for degree in default.deg_fixe])
    shown, width = np.s_[2:-2, 2:-2], functions.width - 2
    for g, (ax, degree, sigma) in enumerate(zip(axes, default.deg_fixe, default.sigma_gauss, strict=True)):
        mosaic = np.full(((degree + 1) * width, (degree + 1) * width), np.nan)
        for (which, p, q), picture in zip(functions.terms, functions.images, strict=True):
            if which == g:
                scaled = picture[shown] / np.abs(picture).max()
                mosaic[q * width:(q + 1) * width - 2, p * width:(p + 1) * width - 2] = scaled
        ax.imshow(mosaic, origin='lower', cmap='RdBu_r', vmin=-1, vmax=1)
        ticks = np.arange(degree + 1) * width + width // 2 - 1
        ax.set(title=f'σ = {sigma:g}, degree {degree}', xlabel='p', xticks=ticks, yticks=ticks,
               xticklabels=range(degree + 1), yticklabels=range(degree + 1))
        ax.spines[:].set_visible(False)
    axes[0].set_ylabel('q')
    return figure


def stamps():
    """The grid of stamps, and the substamps that were found in it."""
    from matplotlib.patches import Rectangle
    pair, _ = with_variables()
    config = hp.HotpantsConfig(force_convolve='t', ko=1, nstampx=6, nstampy=6)
    hot = hp.Hotpants(pair.template, pair.science, config=config)
    used = {star.id for star in hot.iterative_fit_and_clip()[1]}
    run = hot.region
    figure, (ax,) = _row(1, 6.2)
    _show(ax, np.arcsinh((pair.template.data - 250) / 60), '', vmin=-0.5, vmax=5)
    for column in range(run.grid.nx):
        for row in range(run.grid.ny):
            ax.add_patch(Rectangle((column * 100 - 0.5, row * 100 - 0.5), run.grid.width, run.grid.width, fill=False,
                                   color='tab:blue', linewidth=0.8))
    margin = 2 * config.rss + config.rkernel
    ax.add_patch(Rectangle((margin, margin), 600 - 2 * margin, 600 - 2 * margin, fill=False, color='black', ls=':'))
    for star in hot.template_substamps:
        color = (USED if star.id in used else
                 REJECTED if star.status is hp.SubstampStatus.REJECTED_ITERATIVE_FIT else SPARE)
        ax.add_patch(Rectangle((star.x - 15.5, star.y - 15.5), 31, 31, fill=False, color=color, linewidth=1.6))
    _legend(ax, {'stamp': 'tab:blue', 'used': USED, 'rejected': REJECTED, 'in reserve': SPARE})
    return figure


def clipping():
    """Merits of the stars in the first and in the last iteration of a fit, with variable stars among them."""
    pair, variable = with_variables()
    hot = hp.Hotpants(pair.template, pair.science, config=hp.HotpantsConfig(force_convolve='t', ko=1))
    hot.iterative_fit_and_clip()
    result = hp.SubtractionResult.of(hot)
    table = result.substamps[np.isfinite(result.substamps['merit'])]
    distance = np.hypot(*(table[axis][:, np.newaxis] - variable[axis] for axis in 'xy'))
    near = np.min(distance, axis=1) < 3
    used = table['status'] == 'USED_IN_FINAL_FIT'
    limit = hot.region.fit.mean_merit + hot.config.ks * hot.region.fit.merit_scatter
    figure, (ax,) = _row(1, 3.6, width=7)
    for chosen, color, name in ((used, USED, 'used'), (~used, REJECTED, 'rejected')):
        ax.loglog(table['score'][chosen], table['merit'][chosen], 'o', color=color, label=name)
    ax.loglog(table['score'][near], table['merit'][near], 'o', ms=12, mfc='none', color='black', label='variable')
    ax.axhline(limit, color='black', ls='--', lw=1)
    ax.annotate('mean + 2 scatters, last iteration', (0.02, limit), xycoords=('axes fraction', 'data'), va='bottom',
                fontsize='small')
    ax.set(xlabel='brightness of the star (score)', ylabel='merit: residual² / variance', yticks=[0.6, 1, 1.5, 2, 3],
           yticklabels=['0.6', '1', '1.5', '2', '3'], ylim=(0.5, 3))
    ax.minorticks_off()
    ax.legend(fontsize='small')
    return figure


def with_variables(seed=4, n_variable=12):
    """A pair of which some bright stars have become a third brighter, and the table of these."""
    pair = make_pair((600, 600), seed=seed, n_transients=0)
    inside = (np.minimum(pair.stars['x'], pair.stars['y']) > 60) & (np.maximum(pair.stars['x'], pair.stars['y']) < 540)
    bright = pair.stars[inside & (pair.stars['flux'].value > 2e4)]
    variable = bright[np.random.default_rng(seed).permutation(len(bright))[:n_variable]]
    extra = variable.copy()
    extra['flux'] *= 0.3 * pair.kernel_sum
    pair.science.data += pair.science_psf.image(pair.science.shape, extra).astype(np.float32)
    return pair, variable


def blocks():
    """Width of the kernel along a row, by blocks and exactly, and what the steps do to the convolved image."""
    pair = make_pair((400, 400), seed=3, science_fwhm=3.8, variation=0.4, n_transients=0, noise=False)
    config = hp.HotpantsConfig(force_convolve='t', ko=2, bgo=0, nstampx=6, nstampy=6)
    kernel = hp.Hotpants(pair.template, pair.science, config=config).kernel
    noise = pair.science.uncertainty.array
    steps = (kernel.apply(pair.template.data) - kernel.apply(pair.template.data, exact=True)) / noise
    figure, axes = _row(2, 3.8, widths=[1.25, 1])
    x = np.arange(20, 380)
    block = x - (x - kernel.half_width) % kernel.block_width + kernel.half_width
    axes[0].plot(x, [_height(kernel, at) for at in x], label='exact', color='tab:orange')
    axes[0].plot(x, [_height(kernel, at) for at in block], label='blocks', color='tab:blue', drawstyle='steps-mid')
    axes[0].set(xlabel='x', ylabel='highest pixel of the kernel, y = 200')
    axes[0].legend(fontsize='small')
    shown = axes[1].imshow(steps, origin='lower', cmap='RdBu_r', vmin=-0.3, vmax=0.3)
    axes[1].set_title('(blocks − exact) / noise', fontsize='medium')
    figure.colorbar(shown, ax=axes[1], shrink=0.85)
    return figure


def _height(kernel, x):
    return kernel.image(x, 200).max()


# -- what the figures have in common --------------------------------------------------------------

def _row(n, height, *, width=9, widths=None):
    from matplotlib import pyplot as plt
    figure, axes = plt.subplots(1, n, figsize=(width, height), layout='constrained', width_ratios=widths)
    return figure, np.atleast_1d(axes)


def _show(ax, picture, title, *, cmap='gray_r', **limits):
    ax.imshow(picture, origin='lower', cmap=cmap, interpolation='nearest', **limits)
    ax.set_title(title, fontsize='medium')
    ax.set_xticks([])
    ax.set_yticks([])


def _legend(ax, colors):
    from matplotlib.patches import Patch
    ax.legend(handles=[Patch(facecolor='none', edgecolor=color, label=name) for name, color in colors.items()],
              loc='upper left', bbox_to_anchor=(1, 1), fontsize='small')
