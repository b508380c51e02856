"""Figures about noise and flags of the page "The algorithm", drawn when the documentation is built."""

import numpy as np

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

CONFIG = hp.HotpantsConfig(force_convolve='t', ko=0, bgo=0, nstampx=5, nstampy=5, sigma_gauss=(1.0, 2.0, 4.0))


def correlation():
    """Correlation of neighbouring pixels of a blank difference, measured and predicted, and what sums scatter by."""
    pair = make_pair((512, 512), seed=2, n_stars=60, n_transients=0, science_fwhm=5.0, science_sky=300,
                     template_sky=300, template_noise=2.0)
    result = hp.subtract(pair.science, pair.template, config=CONFIG)
    blank = _blank(result, pair.stars)
    predicted = result.noise.at(256, 256).autocorrelation(256, 256)
    middle = len(predicted) // 2
    lags = np.arange(9)
    measured = [np.mean(blank[:, lag:] * blank[:, :blank.shape[1] - lag], where=np.isfinite(blank[:, lag:])
                        & np.isfinite(blank[:, :blank.shape[1] - lag])) for lag in lags]
    figure, axes = _row(2, 3.6)
    axes[0].plot(lags, predicted[middle, middle:middle + 9], 'o-', mfc='none', label='predicted')
    axes[0].plot(lags, measured / measured[0], 'x', color='black', label='measured')
    axes[0].set(xlabel='pixels apart in x', ylabel='correlation of the noise')
    axes[0].legend(fontsize='small')
    radii = np.arange(1, 9)
    xy = np.random.default_rng(1).uniform(40, 470, (800, 2))
    sigma = np.nanmedian(result.difference.uncertainty.array)
    scatter = [sigma * np.nanstd(_sums(blank, xy, radius)) for radius in radii]
    known = [result.aperture_error(xy[:50], radius).value for radius in radii]
    axes[1].plot(radii, scatter, 'x', color='black', label='scatter of aperture sums')
    axes[1].plot(radii, np.median(known, axis=1), label='aperture_error')
    axes[1].plot(radii, sigma * np.sqrt(np.pi) * radii, '--', label='root of the summed variances')
    axes[1].set(xlabel='radius of the aperture, pixels', ylabel='standard deviation, adu')
    axes[1].legend(fontsize='small')
    return figure


def _blank(result, stars):
    """The difference over its noise, NaN near stars."""
    data = (result.difference.data / result.difference.uncertainty.array).astype(float)
    y, x = np.indices(data.shape)
    for star in stars:
        data[np.hypot(x - star['x'], y - star['y']) < 20] = np.nan
    return data


def _sums(plane, xy, radius):
    """Sums in circles that have no bad pixel."""
    from photutils.aperture import CircularAperture, aperture_photometry
    return np.asarray(aperture_photometry(plane, CircularAperture(xy, radius))['aperture_sum'])


def flags():
    """What becomes of bad pixels in the image that is convolved, and in the other one."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch
    pair = make_pair((256, 256), seed=1, n_transients=0)
    for image, place in ((pair.template, np.s_[126:131, 80:85]), (pair.science, np.s_[126:131, 170:175])):
        image.mask = np.zeros(image.shape, bool)
        image.mask[place] = True
    pair.template.mask[128, 128] = True
    flags = hp.subtract(pair.science, pair.template, config=CONFIG).difference.flags
    bits = hp.HotpantsFlags
    kinds = [('good', 0, 'white'), ('OK_CONV', bits.OK_CONV, 'tab:blue'), ('BAD_CONV', bits.BAD_CONV, 'tab:orange'),
             ('INPUT_ISBAD', bits.INPUT_ISBAD, 'tab:red')]
    plane = np.zeros(flags.shape, int)
    for k, (_, bit, _) in enumerate(kinds):
        plane[flags & bit != 0] = k
    figure, (ax,) = _row(1, 3.2)
    ax.imshow(plane[110:153, 60:196], origin='lower', cmap=ListedColormap([color for *_, color in kinds]), vmin=0,
              vmax=3, extent=(59.5, 195.5, 109.5, 152.5))
    for x, words in ((82, '5 × 5 bad pixels,\ntemplate (convolved)'), (128, 'one bad pixel,\ntemplate'),
                     (172, '5 × 5 bad pixels,\nscience image')):
        ax.annotate(words, (x, 147), ha='center', fontsize='small', va='center')
    ax.set(xlabel='x', ylabel='y')
    ax.legend(handles=[Patch(facecolor=color, edgecolor='black', label=name) for name, _, color in kinds[1:]],
              loc='upper left', bbox_to_anchor=(1, 1), fontsize='small')
    return figure


def score():
    """A field with faint sources: difference over noise, and score."""
    pair = make_pair((400, 400), seed=5, n_transients=12, transient_snr=(6, 12), template_noise=2.0)
    result = hp.subtract(pair.science, pair.template, config=CONFIG.replace(sigma_gauss=(0.7, 1.5, 3.0)))
    figure, axes = _row(3, 3.6, widths=[1, 1, 0.9])
    pull = result.difference.data / result.difference.uncertainty.array
    for ax, plane, title in zip(axes, (pull, result.score.data), ('difference / noise', 'score'), strict=False):
        ax.imshow(plane, origin='lower', cmap='RdBu_r', vmin=-6, vmax=6)
        ax.plot(pair.transients['x'], pair.transients['y'], 'o', ms=13, mfc='none', color='black', mew=0.7)
        ax.set(title=title, xticks=[], yticks=[])
    bins = np.linspace(-10, 10, 81)
    x = (bins[1:] + bins[:-1]) / 2
    for plane, name in ((pull, 'difference / noise'), (result.score.data, 'score')):
        axes[2].hist(plane[np.isfinite(plane)], bins, histtype='step', density=True, label=name)
    axes[2].plot(x, np.exp(-x**2 / 2) / np.sqrt(2 * np.pi), color='black', lw=0.8, label='unit Gaussian')
    axes[2].set(yscale='log', ylim=(1e-6, 1), xlabel='sigma', ylabel='density of pixels')
    axes[2].legend(fontsize='x-small', loc='lower center')
    return figure


def _row(n, height, *, widths=None):
    from matplotlib import pyplot as plt
    figure, axes = plt.subplots(1, n, figsize=(9, height), layout='constrained', width_ratios=widths)
    return figure, np.atleast_1d(axes)
