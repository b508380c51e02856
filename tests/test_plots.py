"""The triptych shows three images, on scales that can be compared."""
import subprocess
import sys

import numpy as np
import pytest
from astropy.nddata import CCDData
from numpy.testing import assert_allclose, assert_array_equal

from hotpants_cy.inspection.plots import plot_triptych

pytest.importorskip('matplotlib')


@pytest.fixture
def images():
    rng = np.random.default_rng(1)
    science, template, difference = rng.normal(0, 10, (3, 60, 80))
    science[30, 40] = 5000
    return science + 400, template + 250, difference


def panels(figure):
    return [axes for axes in figure.axes if axes.get_title()]


def test_there_are_three_titled_panels(images):
    assert [axes.get_title() for axes in panels(plot_triptych(*images))] == ['Science', 'Template', 'Difference']


def test_science_and_template_share_a_scale_over_their_skies(images):
    science, template, _ = (axes.images[0] for axes in panels(plot_triptych(*images)))
    assert science.get_clim() == template.get_clim()
    assert_allclose([np.ma.median(science.get_array()), np.ma.median(template.get_array())], 0, atol=1e-9)


def test_the_difference_is_in_units_of_its_noise_about_zero(images):
    shown = panels(plot_triptych(*images))[2].images[0]
    low, high = shown.get_clim()
    assert low == -high
    assert_allclose(shown.get_array().std(), 1, atol=0.05)


def test_transients_are_circled_in_every_panel(images):
    xy = [(10.0, 20.0), (70.5, 5.0)]
    for axes in panels(plot_triptych(*images, transients=xy)):
        assert_array_equal(axes.collections[0].get_offsets(), xy)


def test_masked_and_nan_pixels_have_no_value(images):
    science, template, difference = images
    mask = np.zeros(science.shape, bool)
    mask[3, 4] = True
    difference[5, 6] = np.nan
    figure = plot_triptych(CCDData(science, unit='adu', mask=mask), np.ma.array(template, mask=mask), difference)
    bad = [np.argwhere(np.ma.getmaskarray(axes.images[0].get_array())).tolist() for axes in panels(figure)]
    assert bad == [[[3, 4]], [[3, 4]], [[5, 6]]]


def test_images_are_left_alone(images):
    before = [image.copy() for image in images]
    plot_triptych(*images)
    assert_array_equal(images, before)


def test_a_constant_difference_can_be_drawn(images, tmp_path):
    plot_triptych(images[0], images[1], np.zeros((60, 80), np.int16)).savefig(tmp_path / 'triptych.png')


def test_a_figure_given_is_drawn_on(images):
    from matplotlib.figure import Figure
    for layout in (None, 'constrained'):
        figure = Figure(figsize=(6, 2), layout=layout)
        assert plot_triptych(*images, figure=figure) is figure
        assert len(panels(figure)) == 3


def test_png_is_wide_enough_for_the_readme(images, tmp_path):
    from matplotlib.image import imread
    plot_triptych(*images).savefig(tmp_path / 'triptych.png')
    assert imread(tmp_path / 'triptych.png').shape[1] >= 900


def test_pyplot_is_not_touched():
    code = ('import sys, numpy as np; from hotpants_cy.inspection.plots import plot_triptych;'
            'assert "matplotlib" not in sys.modules; plot_triptych(*np.random.default_rng(1).normal(size=(3, 50, 50)));'
            'sys.exit("matplotlib.pyplot" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code], check=False, cwd=sys.prefix).returncode == 0


def test_without_matplotlib_the_error_says_how_to_get_it(images, monkeypatch):
    monkeypatch.setitem(sys.modules, 'matplotlib.figure', None)  # what Python does for a module that is not there
    with pytest.raises(ImportError, match=r'pip install matplotlib'):
        plot_triptych(*images)
