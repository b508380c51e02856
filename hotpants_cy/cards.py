"""What a notebook shows of an object: a small table, readable in the dark too, that needs no script."""

from dataclasses import fields
from html import escape

__all__ = ['card', 'config_card', 'kernel_card', 'result_card']

_STYLE = 'text-align:left; padding:0.1em 1em 0.1em 0; vertical-align:top'


def card(title, rows, *, head=(), notes=()):
    """Make an HTML table.

    Parameters
    ----------
    title : str
        What the object is.
    rows : iterable of sequence of str
        Its cells, plain text.
    head : sequence of str, optional
        Names of the columns. Default: none.
    notes : sequence of str, optional
        Lines below it.

    Returns
    -------
    str
        HTML in which all text is escaped and colours are those of the page.

    Examples
    --------
    >>> from hotpants_cy.cards import card
    >>> 'x &lt; 3' in card('Limits', [('x', 'x < 3')])
    True
    """
    def line(cells, tag):
        return '<tr>' + ''.join(f'<{tag} style="{_STYLE}">{escape(str(cell))}</{tag}>' for cell in cells) + '</tr>'
    lines = [f'<table><caption style="text-align:left"><strong>{escape(title)}</strong></caption>']
    if head:
        lines.append(f'<thead>{line(head, "th")}</thead>')
    lines += ['<tbody>', *(line(row, 'td') for row in rows), '</tbody></table>']
    lines += [f'<p>{escape(note)}</p>' for note in notes]
    return '\n'.join(lines)


def config_card(config):
    """Make the table of a `HotpantsConfig`: what differs from the defaults, and why.

    Parameters
    ----------
    config : HotpantsConfig

    Returns
    -------
    str

    Examples
    --------
    >>> from hotpants_cy import HotpantsConfig
    >>> from hotpants_cy.cards import config_card
    >>> '-ko' in config_card(HotpantsConfig(ko=1))
    True
    """
    reasons, usual, rows = config.reasons, type(config)(), []
    specs = fields(config)
    for spec in specs:
        value = getattr(config, spec.name)
        if spec.name in reasons or repr(value) != repr(getattr(usual, spec.name)):
            rows.append((spec.name, _brief(value), spec.metadata['flag'], reasons.get(spec.name, '')))
    if not reasons:
        rows = [row[:3] for row in rows]
    n_default = len(specs) - len(rows)
    return card('HotpantsConfig', rows, head=('parameter', 'value', 'C flag', 'reason')[:4 if reasons else 3],
                notes=[f'{n_default} parameters at their defaults'])


def kernel_card(models, sections=None, title='KernelModel'):
    """Make the table of one or more kernels, each a row: what it applies to, its size, sum and orders.

    Parameters
    ----------
    models : list of KernelModel
    sections : list of (int, int, int, int), optional
        First and last pixel in x, first and last in y of each. Default: its frame.
    title : str, optional
        Default ``'KernelModel'``.

    Returns
    -------
    str
    """
    rows = []
    for k, model in enumerate(models):
        (x, y), (ny, nx) = model.frame.origin, model.frame.shape
        x0, x1, y0, y1 = sections[k] if sections else (x, x + nx - 1, y, y + ny - 1)
        x, y = (x0 + x1) // 2, (y0 + y1) // 2
        error, width = model.sum_error(x, y), model.basis.width
        rows.append((f'{x0} to {x1}', f'{y0} to {y1}', {'t': 'template', 'i': 'science image'}[model.direction],
                     f'{width} x {width}', f'{model.sum(x, y):.5g}' + (f' ± {error:.1g}' if error == error else ''),
                     model.ko, f'{model.background(x, y):.5g}', model.bgo))
    return card(title, rows, head=('x', 'y', 'applies to', 'pixels', 'sum in the middle', 'order',
                                   'background in the middle', 'its order'))


def result_card(result):
    """Make the table of a `SubtractionResult`: what was done, the verdict and its reasons, what to ask next.

    Parameters
    ----------
    result : SubtractionResult

    Returns
    -------
    str
    """
    (ny, nx), quality = result.difference.shape, result.quality
    used = sum(result.substamps['status'] == 'USED_IN_FINAL_FIT')
    rows = [('difference', f'{nx} x {ny} pixels, {result.difference.unit or "no unit"}'),
            ('convolved', {'t': 'template', 'i': 'science image'}[result.direction]),
            ('stars', f'{used} of {len(result.substamps)} used'),
            ('flux ratio', f'{quality.flux_ratio.value:.4g}'), ('verdict', quality.verdict)]
    if 'simplified' in result.config.reasons:
        rows.append(('simplified', result.config.reasons['simplified']))
    return card('SubtractionResult', rows, notes=quality.reasons)


def _brief(value):
    if hasattr(value, 'shape'):
        return f'{value.shape[0]} images of {value.shape[2]} x {value.shape[1]} pixels'
    return f'{value:.6g}' if isinstance(value, float) else str(value)
