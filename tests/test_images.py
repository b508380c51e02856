"""Pictures look as they did when somebody looked at them, and their words can be read; see also test_pictures.py.

Versions of matplotlib put pixels half a pixel to the side, and letters too, so thumbnails are compared, without words.
New ones, to be looked at: ``pytest tests/test_images.py --mpl-generate-path=tests/baseline``.
"""
from itertools import combinations

import numpy as np
import pytest

pytest.importorskip('matplotlib')

from astropy.nddata import CCDData
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.inspection.plots import field_axes, plot_triptych
from hotpants_cy.inspection.report import page

DPI, REDUCTION = 200, 4
SPACE = 3       # points between words on one line; what is between words of 10 points

# the rms of the differences of values from 0 to 255, up to which images are the same
looks_as_before = pytest.mark.mpl_image_compare(style='default', tolerance=3.5,
                                                savefig_kwargs={'dpi': DPI // REDUCTION})


@pytest.fixture(scope='module')
def pair():
    pair = make_pair((256, 288), seed=3, n_transients=2, transient_snr=(60, 61))
    pair.science.mask = np.zeros(pair.science.shape, bool)
    pair.science.mask[100:130, 200:230] = True
    return pair


@pytest.fixture(scope='module')
def result(pair):
    config = hp.HotpantsConfig(ko=1, nstampx=5, nstampy=5)
    return hp.subtract(pair.science, pair.template, config=config, stars=pair.stars)


@pytest.fixture(scope='module')
def result_of_pixels(pair):
    """Without a WCS, of a science image that is matched to the template."""
    images = [CCDData(image.data, unit='adu', uncertainty=image.uncertainty) for image in (pair.template, pair.science)]
    config = hp.HotpantsConfig(ko=0, nstampx=5, nstampy=5, force_convolve='i')
    return hp.subtract(*images, config=config, stars=pair.stars)


def leave_out_words(figure):
    """Such that the layout is none that depends on them either."""
    legends = [axes.get_legend() for axes in figure.axes] + figure.legends
    for legend in filter(None, legends):
        legend.remove()
    for axes in figure.axes:
        if hasattr(axes, 'coords'):
            for coordinate in axes.coords:
                coordinate.set_ticklabel_visible(False)
                coordinate.set_auto_axislabel(False)
                coordinate.set_axislabel('')
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_tick_params(which='both', labelbottom=False, labelleft=False, labelright=False)
    for text in figure.findobj(Text):
        text.set_visible(False)


def thumbnail(figure):
    """The figure without words, at a quarter of its size: each pixel is the mean of 4 x 4."""
    leave_out_words(figure)
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    ny, nx = (n // REDUCTION for n in pixels.shape[:2])
    pixels = pixels[:ny * REDUCTION, :nx * REDUCTION].reshape(ny, REDUCTION, nx, REDUCTION, 3).mean(axis=(1, 3))
    small = Figure((nx * REDUCTION / DPI, ny * REDUCTION / DPI))
    small.figimage(pixels / 255, origin='upper')
    return small


@looks_as_before
def test_triptych(pair, result):
    return thumbnail(plot_triptych(pair.science, pair.template, result.difference, transients=pair.transients,
                                   figure=Figure((7, 2.5))))


@looks_as_before
def test_result(result):
    return thumbnail(result.plot(Figure((6, 5), layout='constrained')))


@looks_as_before
def test_kernel(result):
    return thumbnail(result.plot_kernel(Figure((5, 4.5), layout='constrained'), grid=(2, 2)))


@looks_as_before
def test_kernel_at(result):
    figure = Figure((4, 3.5), layout='constrained')
    return thumbnail(result.plot_kernel_at(100, 120, ax=figure.subplots()))


@looks_as_before
def test_substamps(result):
    return thumbnail(result.plot_substamps(n=4, figure=Figure((4, 5.7))))


@looks_as_before
def test_quality(result):
    return thumbnail(result.plot_quality(Figure((9, 3), layout='constrained')))


@looks_as_before
def test_result_of_pixels(result_of_pixels):
    return thumbnail(result_of_pixels.plot(Figure((6, 5), layout='constrained')))


@looks_as_before
@pytest.mark.parametrize('plot', ['plot_pulls', 'plot_flux_ratio', 'plot_residuals'])
def test_single_panel(result, plot):
    figure = Figure((3, 2.5), layout='constrained')
    return thumbnail(getattr(result, plot)(ax=figure.subplots()))


# -- words ------------------------------------------------------------------------------------

def touching_words(figure, monkeypatch):
    """Pairs of words, of ticks, axes, titles and legends, that are drawn less than a space from each other."""
    def draw(text, renderer, original=Text.draw):
        if text.get_visible() and text.get_text().strip():
            boxes.append((text.get_text(), text.get_window_extent(renderer).extents * 72 / figure.dpi))
        original(text, renderer)
    if engine := figure.get_layout_engine():        # lays out by drawing, too
        engine.execute(figure)
        figure.set_layout_engine('none')
    boxes = []
    with monkeypatch.context() as patch:
        patch.setattr(Text, 'draw', draw)
        figure.draw_without_rendering()
    assert len(boxes) > 5
    return [(one, other) for (one, a), (other, b) in combinations(boxes, 2)
            if max(a[0] - b[2], b[0] - a[2]) < SPACE and max(a[1] - b[3], b[1] - a[3]) < 0]


@pytest.mark.parametrize('which', ['result', 'result_of_pixels'])
@pytest.mark.parametrize('plot', ['plot', 'plot_kernel', 'plot_quality', 'plot_substamps', 'plot_flux_ratio'])
def test_no_words_touch(request, which, plot, monkeypatch):
    figure = getattr(request.getfixturevalue(which), plot)()
    assert touching_words(figure, monkeypatch) == []


@pytest.mark.parametrize('which', ['result', 'result_of_pixels'])
def test_no_words_touch_in_the_report(request, which, monkeypatch):
    figures = []
    monkeypatch.setattr('hotpants_cy.inspection.report._png', lambda figure: figures.append(figure) or '')
    page(request.getfixturevalue(which))
    assert [touching_words(figure, monkeypatch) for figure in figures] == 4 * [[]]


@pytest.mark.parametrize('inches', [2, 2.6])
def test_coordinates_do_not_touch_on_small_pictures_of_small_and_large_fields(pair, inches, monkeypatch):
    figure = Figure((2 * inches, 2 * inches))
    for pixels in (100, 300, 400, 600, 1000, 3000):
        axes = field_axes(figure, (1, 1, 1), pair.science.wcs)
        axes.set(xlim=(0, pixels), ylim=(0, pixels))
        axes.set_position([0.4, 0.4, 0.5, 0.5])
        assert touching_words(figure, monkeypatch) == []
        axes.remove()


@pytest.mark.parametrize('ratio', [1, 1.5, 3, 8, 12, 80, 150, 1e7])
def test_labels_of_fluxes_are_few_and_do_not_touch(result, ratio, monkeypatch):
    """Of stars that differ by a ratio, in a panel of the report."""
    monkeypatch.setattr('hotpants_cy.inspection.diagrams._fluxes',
                        lambda run, sample: 1.7e4 * np.geomspace(1, ratio, len(sample.x)))
    figure = Figure((3.3, 3.3), layout='constrained')
    axes = figure.subplots()
    result.plot_residuals(ax=axes)
    assert touching_words(figure, monkeypatch) == []
    low, high = axes.get_xlim()
    ticks = [place for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
             if low <= place <= high and label.get_text()]
    assert 2 <= len(ticks) <= 8
