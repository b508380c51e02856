import sys
from importlib.metadata import version as version_of
from pathlib import Path

# v2, since v3 dresses the pages as those of the Astropy project itself
from sphinx_astropy.conf.v2 import *  # noqa: F403
from sphinx_astropy.conf.v2 import exclude_patterns, extensions, html_theme_options, intersphinx_mapping

sys.path.insert(0, str(Path(__file__).parent / '_ext'))

project = 'hotpants_cy'
author = 'The hotpants_cy developers'
copyright = f'2026, {author}'
release = version_of('hotpants-cy')
version = release.partition('+')[0]

nitpicky = True
smartquotes_action = 'qe'  # no dashes, for two hyphens begin a flag
exclude_patterns += ['_templates', 'examples']
intersphinx_mapping['photutils'] = ('https://photutils.readthedocs.io/en/stable/', None)

# pages of the reference: reference/index.rst names what is public, _templates say what a page shows
templates_path = ['_templates']
autodoc_member_order = 'groupwise'
autodoc_typehints = 'none'  # the docstrings tell types, with units and shapes
toc_object_entries_show_parents = 'hide'

# sphinx-astropy brings sphinx-gallery along; it runs again what has changed, or all if the folder gallery is gone
extensions += ['sphinx_gallery.gen_gallery']
sphinx_gallery_conf = {
    'examples_dirs': 'examples',
    'gallery_dirs': 'gallery',
    'filename_pattern': r'\.py',
    'within_subsection_order': 'ExampleTitleSortKey',
    'image_scrapers': ['matplotlib', 'gallery_figures.last_figure'],
    'ignore_repr_types': 'matplotlib',
    'reference_url': {'hotpants_cy': None},
    'doc_module': ('hotpants_cy',),
    'backreferences_dir': 'gallery/backreferences',
    'remove_config_comments': True,
    'show_signature': False,
    'write_computation_times': False,
}

# the pages are read without a network too, and MathJax would come from one
extensions += ['mathml']
html_math_renderer = 'mathml'

html_title = f'{project} {version}'
html_static_path = ['_static']
html_css_files = ['pages.css']
# one list of all pages at the side, by caption; on a phone it opens from the top bar
html_sidebars = {'**': ['contents.html']}
html_theme_options |= {'logo': {'text': project}, 'navbar_center': []}

# of a figure that the build draws, one picture and no links to others
plot_html_show_formats = False
plot_formats = [('png', 120)]
