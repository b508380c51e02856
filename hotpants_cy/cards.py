"""What a notebook shows of an object: a small table, readable in the dark too, that needs no script."""

from dataclasses import fields
from html import escape

__all__ = ['card', 'config_card']

_STYLE = 'text-align:left; padding:0.1em 1em 0.1em 0; vertical-align:top'


def card(title, rows, *, head=(), note=''):
    """Make an HTML table.

    Parameters
    ----------
    title : str
        What the object is.
    rows : iterable of sequence of str
        Its cells, plain text.
    head : sequence of str, optional
        Names of the columns. Default: none.
    note : str, optional
        One line below it.

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
    if note:
        lines.append(f'<p>{escape(note)}</p>')
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
                note=f'{n_default} parameters at their defaults')


def _brief(value):
    if hasattr(value, 'shape'):
        return f'{value.shape[0]} images of {value.shape[2]} x {value.shape[1]} pixels'
    return f'{value:.6g}' if isinstance(value, float) else str(value)
