"""Pictures of a result show what they say, on scales that can be compared."""
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.inspection.diagrams import plot_kernel, plot_quality
from hotpants_cy.inspection.pictures import plot_result, plot_substamps
from hotpants_cy.inspection.stars import sample_stars

pytest.importorskip('matplotlib')

CONFIG = hp.HotpantsConfig(ko=1, nstampx=5, nstampy=5)


def make_result(shape=(300, 340), config=CONFIG, wcs=True, swap=False, **options):
    pair = make_pair(shape, seed=3, n_transients=1, transient_snr=(60, 61))
    pair.science.mask = np.zeros(shape, bool)
    pair.science.mask[100:130, 200:230] = True
    images = [pair.science, pair.template][::-1 if swap else 1]
    for image in images:
        image.wcs = image.wcs if wcs else None
    return pair, hp.subtract(*images, config=config, **options)


@pytest.fixture(scope='module')
def pair_and_result():
    return make_result(stars='auto')


@pytest.fixture(scope='module')
def result(pair_and_result):
    return pair_and_result[1]


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.images}


def shown(axes):
    return np.ma.filled(axes.images[0].get_array().astype(float), np.nan)


# -- images -----------------------------------------------------------------------------------

def test_science_minus_matched_template_is_the_difference_shown(result):
    science, template, difference, _ = (shown(axes) for axes in list(panels(plot_result(result)).values())[:4])
    expected = np.where(result.difference.mask, np.nan, result.difference.data)
    assert_allclose(difference, expected)
    # each is shown without its sky level
    left = science - template - expected
    assert_allclose(left[np.isfinite(left)], np.nanmedian(left), atol=0.02)


def test_matched_template_is_the_convolved_one(result):
    template = shown(panels(plot_result(result))['Template, matched'])
    convolved = result.convolved.data
    good = np.isfinite(template) & np.isfinite(convolved)
    assert good.mean() > 0.8
    assert np.ptp((template - convolved)[good]) < 0.05


def test_it_is_the_science_image_that_is_matched_if_it_was_convolved():
    figure = plot_result(make_result(swap=True, config=CONFIG.replace(force_convolve='i'))[1])
    assert list(panels(figure))[:2] == ['Science, matched', 'Template']


def test_significance_is_difference_over_noise(pair_and_result):
    pair, result = pair_and_result
    significance = panels(plot_result(result))['Difference / noise']
    low, high = significance.images[0].get_clim()
    assert low == -high
    assert_allclose(np.nanstd(shown(significance)[::3, ::5]), 1, atol=0.15)
    x, y = (round(float(pair.transients[name][0])) for name in 'xy')
    assert shown(significance)[y, x] > 5


def test_masked_pixels_are_bad_in_the_difference(result):
    assert np.isnan(shown(panels(plot_result(result))['Difference'])[100:130, 200:230]).all()


def test_every_star_is_marked_by_its_status(result):
    science = panels(plot_result(result))['Science']
    marked = {c.get_label().split()[1]: c.get_offsets() for c in science.collections if ' ' in c.get_label()}
    for name, states in (('used', ['USED_IN_FINAL_FIT']), ('refused', ['REFUSED'])):
        stars = result.substamps[np.isin(result.substamps['status'], states)]
        assert len(stars)
        assert_array_equal(marked[name], np.column_stack([stars['x'], stars['y']]))


def test_axes_are_in_sky_coordinates_only_with_a_wcs(result):
    from astropy.visualization.wcsaxes import WCSAxes
    assert all(isinstance(axes, WCSAxes) for axes in list(panels(plot_result(result)).values())[:4])
    assert [isinstance(axes, WCSAxes) for axes in plot_quality(result).axes[:3]] == [False, True, False]
    without = make_result(wcs=False)[1]
    plain = panels(plot_result(without))
    assert not any(isinstance(axes, WCSAxes) for axes in [*plain.values(), *plot_quality(without).axes])
    assert plain['Difference'].get_xlabel() == plot_quality(without).axes[1].get_xlabel() == 'x'


def test_coordinates_are_called_what_they_are():
    from astropy.wcs import WCS
    from matplotlib.figure import Figure

    from hotpants_cy.inspection.plots import field_axes
    for kinds, names in ((('RA---TAN', 'DEC--TAN'), ['Right ascension', 'Declination']),
                         (('GLON-CAR', 'GLAT-CAR'), ['Galactic longitude', 'Galactic latitude']),
                         (('ELON-TAN', 'ELAT-TAN'), ['ELON', 'ELAT'])):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = kinds
        assert [c.get_axislabel() for c in field_axes(Figure(), (1, 1, 1), wcs).coords] == names


def test_a_binned_picture_loses_no_source_and_is_where_it_was():
    from hotpants_cy.inspection.pictures import _binned, _extremes
    plane = np.zeros((40, 60), np.float32)
    plane[7, 33], plane[22, 8], plane[30:] = -9, 5, np.nan
    assert _extremes(plane, 10)[0, 3] == -9
    assert _extremes(plane, 10)[2, 0] == 5
    assert_allclose(_binned(plane, 10)[:, 3], [-0.09, 0, 0, np.nan])


def test_large_images_are_binned_on_their_own_pixel_scale(monkeypatch, result):
    monkeypatch.setattr('hotpants_cy.inspection.pictures.SIDE', 100)
    axes = panels(plot_result(result))['Difference']
    assert max(shown(axes).shape) <= 100
    assert axes.images[0].get_extent() == [-0.5, 339.5, -0.5, 299.5]


# -- stars ------------------------------------------------------------------------------------

def test_used_and_not_used_stars_have_rows_of_four(result):
    figure = plot_substamps(result, n=6)
    assert len(figure.axes) == 24
    words = [axes.get_title(loc='left') for axes in figure.axes[::4]]
    assert sum(word.startswith('used') for word in words) == 3
    assert all(': ' in word for word in words if not word.startswith('used'))       # the reason


def test_residual_is_science_minus_model_over_noise(result):
    science, _, model, residual = (shown(axes) for axes in plot_substamps(result, n=2).axes[:4])
    x, y = map(int, plot_substamps(result, n=2).axes[0].get_title(loc='left').split('(')[1].split(')')[0].split(','))
    half = CONFIG.rss
    cut = np.s_[y - half:y + half + 1, x - half:x + half + 1]
    noise = result.difference.uncertainty.array[cut]
    good = np.isfinite(residual)
    assert_allclose((science - model)[good], (residual * noise)[good], atol=0.02)


def test_fewer_stars_than_asked_for_are_shown_once_each(result):
    titles = [axes.get_title(loc='left') for axes in plot_substamps(result, n=1000).axes[::4]]
    states = result.substamps['status']
    assert len(titles) == np.isin(states, ['USED_IN_FINAL_FIT', 'REFUSED', 'REJECTED_ITERATIVE_FIT',
                                           'REJECTED_FOM_CHECK']).sum()
    assert len(set(titles)) == len(titles)


def test_no_stars_are_said_so(result):
    figure = plot_substamps(result, n=0)
    assert figure.texts[0].get_text() == 'no stars to show'


# -- kernel and quality -----------------------------------------------------------------------

def test_kernels_lie_as_in_the_field(result):
    figure = plot_kernel(result, grid=(2, 3))
    kernels = [axes for axes in figure.axes if axes.get_title().startswith('(')]
    assert len(kernels) == 6
    low = min(kernels, key=lambda axes: axes.get_position().y0 + axes.get_position().x0)
    ny, nx = result.difference.shape
    assert_allclose(shown(low), result.kernel.image(nx / 6 - 0.5, ny / 4 - 0.5))
    assert len({axes.images[0].get_clim() for axes in kernels}) == 1


def test_an_empty_grid_is_refused(result):
    with pytest.raises(hp.InputError, match=r'grid=\(0, 3\)'):
        plot_kernel(result, grid=(0, 3))


def test_pulls_of_a_good_difference_follow_the_gaussian(result):
    axes = plot_quality(result).axes[0]
    counts = np.array([patch.get_height() for patch in axes.patches])
    edges, gauss = axes.lines[0].get_data()
    centre = np.abs(edges[:-1]) < 2
    assert_allclose(counts[centre].sum(), gauss[:-1][centre].sum(), rtol=0.05)


def test_every_star_of_both_images_is_in_the_residuals(result):
    sample = sample_stars(result._hot.region)
    axes = next(axes for axes in plot_quality(result).axes if axes.get_title() == 'What is left of stars')
    numbers = [int(text.get_text().split()[0]) for text in axes.get_legend().get_texts()]
    assert sum(numbers) == np.count_nonzero(sample.shared & ~sample.saturated) > 5


def test_stars_that_there_are_none_of_are_not_in_the_legend(result, monkeypatch):
    sample = sample_stars(result._hot.region)
    sample = replace(sample, fitted=np.ones_like(sample.fitted))
    monkeypatch.setattr('hotpants_cy.inspection.diagrams.sample_stars', lambda run, most: sample)
    words, = result.plot_residuals().axes[0].get_legend().get_texts()
    assert words.get_text().endswith('used stars')


def test_several_regions_have_several_flux_ratios():
    result = make_result((300, 500), CONFIG.replace(nregx=2, ko=0, nstampx=3, force_convolve='t'))[1]
    sums = next(shown(axes) for title, axes in panels(plot_quality(result)).items() if title.startswith('Sum'))
    assert_allclose([sums[0, 0], sums[0, -1]], [result.kernel.sum(20, 20), result.kernel.sum(480, 20)])
    difference = shown(panels(plot_result(result))['Difference'])
    assert np.isfinite(difference[150, [100, 400]]).all()


# -- all --------------------------------------------------------------------------------------

@pytest.mark.parametrize('plot', ['plot', 'plot_kernel', 'plot_substamps', 'plot_quality'])
def test_a_figure_given_is_drawn_on_and_can_be_saved(result, plot, tmp_path):
    from matplotlib.figure import Figure
    for layout in (None, 'constrained'):
        figure = Figure(figsize=(7, 7), layout=layout)
        assert getattr(result, plot)(figure=figure) is figure
        figure.savefig(tmp_path / 'picture.png')
    assert getattr(result, plot)() is not figure


@pytest.mark.parametrize('plot', ['plot', 'plot_kernel', 'plot_substamps', 'plot_quality'])
def test_so_is_a_part_of_a_figure(result, plot, tmp_path):
    from matplotlib.figure import Figure
    figure = Figure(figsize=(14, 7), layout='constrained')
    left, right = figure.subfigures(1, 2)
    assert getattr(result, plot)(figure=right) is right
    assert right.axes
    assert not left.axes
    figure.savefig(tmp_path / 'picture.png')


@pytest.mark.parametrize(('plot', 'where'), [('plot_pulls', ()), ('plot_flux_ratio', ()), ('plot_residuals', ()),
                                             ('plot_kernel_at', (100, 120))])
def test_single_panels_are_drawn_into_axes(result, plot, where, tmp_path):
    from matplotlib.figure import Figure
    figure = Figure()
    axes, other = figure.subplots(1, 2)
    assert getattr(result, plot)(*where, ax=axes) is figure
    assert axes.has_data()
    assert not other.has_data()
    figure.savefig(tmp_path / 'picture.png')
    alone = getattr(result, plot)(*where)
    assert alone is not figure
    assert alone.axes[0].get_title() == axes.get_title() != ''


def test_the_kernel_at_a_position_is_the_one_there(result):
    axes = result.plot_kernel_at(100, 120).axes[0]
    assert_allclose(shown(axes), result.kernel.image(100, 120))
    x, y = (np.mean(limits) for limits in (axes.get_xlim(), axes.get_ylim()))
    assert (x, y) == (0, 0)


def test_there_is_no_picture_of_a_kernel_where_there_is_none(result):
    lost = make_result((300, 500), CONFIG.replace(nregx=2, ko=0, nstampx=3, force_convolve='t'))[1]
    with pytest.raises(hp.InputError, match='no region'):
        lost.plot_kernel_at(-50, 20)


def test_the_result_is_left_alone(result):
    before = result.difference.data.copy(), result.difference.mask.copy()
    for plot in (plot_result, plot_kernel, plot_substamps, plot_quality):
        plot(result)
    assert_array_equal(result.difference.data, before[0])
    assert_array_equal(result.difference.mask, before[1])


def test_pyplot_is_not_touched():
    code = ('import sys, hotpants_cy as hp, hotpants_cy.inspection.report; assert "matplotlib" not in sys.modules;'
            'from hotpants_cy.datasets import make_pair;'
            'pair = make_pair((256, 256), seed=1);'
            'result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0));'
            'result.plot(); result.plot_kernel(); result.plot_substamps(); result.plot_quality();'
            'result.plot_kernel_at(9, 9); result.plot_pulls(); result.plot_flux_ratio(); result.plot_residuals();'
            'sys.exit("matplotlib.pyplot" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code], check=False, cwd=sys.prefix).returncode == 0


def test_without_matplotlib_the_error_says_how_to_get_it(result, monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)
    for plot in (result.plot, result.plot_kernel, result.plot_substamps, result.plot_quality, result.plot_pulls,
                 result.plot_flux_ratio, result.plot_residuals, lambda: result.plot_kernel_at(9, 9)):
        with pytest.raises(ImportError, match=r'pip install matplotlib'):
            plot()


@pytest.mark.slow
def test_large_images_are_drawn_quickly():
    pair = make_pair((2048, 2048), seed=1)
    result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
    plot_result(result)
    start = time.process_time()
    plot_result(result)
    assert time.process_time() - start < 2
