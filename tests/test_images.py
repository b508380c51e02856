"""Pictures look as they did when somebody looked at them; what they say is tested in test_pictures.py.

Versions of matplotlib put pixels half a pixel to the side, and letters too, so thumbnails are compared, without words.
New ones, to be looked at: ``pytest tests/test_images.py --mpl-generate-path=tests/baseline``.
"""
import numpy as np
import pytest

pytest.importorskip('matplotlib')

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair
from hotpants_cy.inspection.plots import plot_triptych

DPI, REDUCTION = 200, 4

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
