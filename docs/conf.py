from importlib.metadata import version as version_of

# v2, since v3 dresses the pages as those of the Astropy project itself
from sphinx_astropy.conf.v2 import *  # noqa: F403
from sphinx_astropy.conf.v2 import exclude_patterns, intersphinx_mapping

project = 'hotpants_cy'
author = 'The hotpants_cy developers'
copyright = f'2026, {author}'
release = version_of('hotpants-cy')
version = release.partition('+')[0]

nitpicky = True
exclude_patterns += ['_templates']
intersphinx_mapping['photutils'] = ('https://photutils.readthedocs.io/en/stable/', None)
html_title = f'{project} {version}'
html_static_path = ['_static']
html_sidebars = {'**': []}  # so few pages that the top bar has them all
