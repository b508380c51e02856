"""Figures of results on the pages of the gallery: sphinx-gallery looks for those of pyplot, and they are none."""

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def last_figure(block, block_vars, gallery_conf):
    """Save the figure that the last line of a block gives, which a notebook would show."""
    figure = block_vars['example_globals'].get('___')
    if not isinstance(figure, Figure) or hasattr(figure, 'in_gallery'):
        return ''
    figure.in_gallery = True            # sphinx-gallery shows the same value to blocks that end with none
    path = next(block_vars['image_path_iterator'])
    figure.savefig(path)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title() and axes.get_label() != '<colorbar>']
    return figure_rst([path], gallery_conf['src_dir'], ', '.join(titles))
