"""Equations as MathML, which browsers draw by themselves: no script and no network is needed to read them."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

_log = logging.getLogger(__name__)


def setup(app):
    """Let ``html_math_renderer = 'mathml'`` choose the functions below."""
    app.add_html_math_renderer('mathml', inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {'parallel_read_safe': True, 'parallel_write_safe': True}


def _inline(writer, node):
    writer.body.append(_mathml(writer, node, as_block=False))
    raise nodes.SkipNode


def _block(writer, node):
    number = f'<span class="eqno">({get_node_equation_number(writer, node)})</span>' if node['number'] else ''
    writer.body += writer.starttag(node, 'div', CLASS='math'), number, _mathml(writer, node, as_block=True), '</div>\n'
    raise nodes.SkipNode


def _mathml(writer, node, as_block):
    try:
        markup = tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        _log.warning('cannot turn into MathML: %s', error, location=node)
        return f'<code>{writer.encode(node.astext())}</code>'
    return re.sub(r'<mo([^>]*)>([|/])</mo>', r'<mo\1 lspace="0" rspace="0">\2</mo>', markup)    # as close as in TeX
