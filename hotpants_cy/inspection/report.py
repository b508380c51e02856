"""One HTML page about a result that needs nothing else: no network, no scripts, no other files."""

import base64
import io
import math
from dataclasses import fields, replace
from html import escape

from .._version import __version__
from ..inputs.writing import check_writable, write_whole
from ..products.files import TextFile
from ..words import counted
from .diagrams import plot_kernel, plot_quality
from .expectations import EXPECTATIONS
from .page import PAGE
from .pictures import choose_stars, panels_height, plot_result, plot_substamps, rows_height
from .plots import figure_for, size_of

__all__ = ['write_report']

# pixels of an inch of a picture, drawn, and shown where the page is wide enough; a phone shows them 390 pixels wide,
# so they are few inches wide, for their words to be read there
DRAWN, SHOWN = 160, 130
STARS = 8
MARKS = {'good': '✓', 'usable': '!', 'bad': '✗'}       # so that no grade is told by colour alone


def write_report(result, path, overwrite=False):
    """Write a page about a result: verdict, pictures, measures, parameters, stars and header.

    Parameters
    ----------
    result : SubtractionResult
    path : str or `~pathlib.Path`
        Like ``'report.html'``.
    overwrite : bool, optional
        Replace a file that exists. Default False.

    Raises
    ------
    OutputError
        The file exists, or cannot be written; nothing was changed then.
    ImportError
        No matplotlib.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import hotpants_cy as hp
    >>> from hotpants_cy.datasets import make_pair
    >>> from hotpants_cy.inspection.report import write_report
    >>> pair = make_pair((256, 256), seed=1)
    >>> result = hp.subtract(pair.science, pair.template, config=hp.HotpantsConfig(ko=0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(result, Path(folder, 'report.html'))
    ...     Path(folder, 'report.html').read_text().splitlines()[0]
    '<!DOCTYPE html>'
    """
    check_writable([path], overwrite=overwrite)
    text = page(result).encode('ascii', 'xmlcharrefreplace').decode('ascii')
    write_whole({path: TextFile(text)}, overwrite=overwrite)


def page(result):
    """HTML of the page, as str."""
    verdict = result.quality.verdict
    return PAGE.substitute(
        summary=escape(_about(result)), verdict=verdict, mark=MARKS[verdict], reasons=_reasons(result),
        pictures=_pictures(result), measures=_measures(result.quality), parameters=_parameters(result.config),
        stars=_stars(result.substamps), header=escape(_header(result.difference.meta)), version=escape(__version__))


def _about(result):
    """What was subtracted, as far as its header tells, and how."""
    names = [str(result.difference.meta.get(key, '')).strip() for key in ('OBJECT', 'DATE-OBS')]
    return ': '.join(filter(None, [', '.join(filter(None, names)), result._summary()]))


def _reasons(result):
    lines = list(result.quality.reasons)
    if 'simplified' in result.config.reasons:
        lines.append(f'simplified: {result.config.reasons["simplified"]}')
    if not lines:
        return '<p>Every measure is as expected.</p>'
    return '<ul>' + ''.join(f'<li>{escape(line)}</li>' for line in lines) + '</ul>'


def _pictures(result):
    matched = {'t': 'template', 'i': 'science image'}[result.direction]
    used = int((result.substamps['status'] == 'USED_IN_FINAL_FIT').sum())
    quality = result.quality
    width = EXPECTATIONS['sky_width'].number(quality['sky_width'].value)
    left = EXPECTATIONS['star_residual'].number(quality['star_residual'].value)
    height, rows = panels_height(5.6, result.difference.shape), rows_height(4.6, len(choose_stars(result, STARS)))
    chapters = (
        ('Images', plot_result(result, figure_for(None, (5.6, height))),
         f'Science image, template, difference, and difference over noise; circles mark {counted(used, "star")} used.',
         f'The {matched} is matched to the other image. Grey-green pixels are bad. Of a binned image each pixel of '
         'difference / noise is the most significant of its bin.'),
        ('Quality', plot_quality(result, figure_for(None, (5.2, 11))),
         f'Pulls beside a Gaussian, with a scatter of the sky over its noise of {width}; the sum of the kernel over '
         f'the field; flux left of stars against their flux, {left} rms over rms.',
         'Pulls wider than the Gaussian mean wrong uncertainties; long tails are sources, or stars badly matched; the '
         'last bin has all beyond. One sky has one flux ratio. What is left of stars should scatter about zero at all '
         'fluxes.'),
        ('Star by star', plot_substamps(result, STARS, figure_for(None, (4.6, rows), layout=None)),
         'Stars used, rejected and refused, each with science image, template, model and residual.',
         'Stars that were used should leave nothing but noise. The words above each tell what became of it.'),
        ('Kernel', plot_kernel(result, figure_for(None, (5.2, 5.2))),
         'Kernel at nine positions of the field, on one scale.',
         'Positions are (x, y) in pixels. Red is positive, blue negative; the scale is linear up to 2 % of the peak.'),
    )
    return '\n'.join(
        f'<h3>{title}</h3>\n<figure>{_image(figure, alt)}<figcaption>{escape(words)}</figcaption></figure>'
        for title, figure, alt, words in chapters)


def _image(figure, alt):
    width, height = (round(SHOWN * inches) for inches in size_of(figure))
    return f'<img src="data:image/png;base64,{_png(figure)}" alt="{escape(alt)}" width="{width}" height="{height}">'


def _png(figure):
    stream = io.BytesIO()
    figure.savefig(stream, format='png', dpi=DRAWN, facecolor='white', metadata={'Software': None})
    return base64.b64encode(stream.getvalue()).decode('ascii')


def _measures(quality):
    rules = [replace(EXPECTATIONS[m.name], good=m.expectation) for m in quality.measures]
    rows = [(rule.title, rule.number(m.value), rule.range, _shown(m))
            for m, rule in zip(quality.measures, rules, strict=True)]
    return _table('Measures and what is expected of them', ('measure', 'value', 'expected', 'grade'), rows)


def _shown(measure):
    """Grade of a measure; of one that is unknown, or not judged, there is none to show unless it is to be mended."""
    judged = math.isfinite(measure.value) and any(map(math.isfinite, measure.expectation))
    return measure.grade if judged or measure.grade != 'good' else ''


def _parameters(config):
    """Tables of the parameters: those with a reason or another value than usual, and the rest folded."""
    told = config.explained()
    names = {name for name, *_ in told}
    others = [spec for spec in fields(config) if spec.name not in names]
    usual = type(config)()
    given = [spec for spec in others if repr(getattr(config, spec.name)) != repr(getattr(usual, spec.name))]
    rows = [*told, *((spec.name, _brief(getattr(config, spec.name)), 'given') for spec in given)]
    rest = [(spec.name, _brief(getattr(config, spec.name)), 'default') for spec in others if spec not in given]
    head = 'parameter', 'value', 'reason'
    shown = _table('Parameters chosen or given', head, rows) if rows else '<p>All parameters have their defaults.</p>'
    return f'{shown}\n<details><summary>{len(rest)} defaults</summary>{_table("Defaults", head, rest)}</details>'


def _brief(value):
    if hasattr(value, 'shape'):
        return f'array of shape {value.shape}'
    return f'{value:.6g}' if isinstance(value, float) else str(value)


def _stars(table):
    """How many of each status; all of them folded."""
    status = table['status'].astype(str)
    counts = {name: int((status == name).sum()) for name in dict.fromkeys(status.tolist())}
    rows = [(name.lower().replace('_', ' '), count) for name, count in counts.items()]
    stars = [(row['id'], row['x'], row['y'], str(row['status']).lower().replace('_', ' '), row['reason'],
              f'{row["chi2"]:.2f}' if row['chi2'] == row['chi2'] else '') for row in table]
    every = _table('All stars', ('id', 'x', 'y', 'status', 'reason', 'chi2'), stars)
    return (_table('What became of the stars', ('status', 'number'), rows)
            + f'\n<details><summary>All of {counted(len(stars), "star")}</summary>{every}</details>')


def _table(caption, head, rows):
    """A table that scrolls by itself, by keyboard too, where the page is narrower than it."""
    def cell(value, name):
        if name == 'grade' and value:
            return f'<td><span class="grade {value}">{MARKS[value]} {value}</span></td>'
        return f'<td>{escape(str(value))}</td>'
    titles = ''.join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = ''.join(
        f'<tr><th scope="row">{escape(str(first))}</th>'
        + ''.join(cell(value, name) for value, name in zip(rest, head[1:], strict=True)) + '</tr>\n'
        for first, *rest in rows)
    label = escape(caption)
    return (f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table><caption>{label}</caption>\n'
            f'<thead><tr>{titles}</tr></thead>\n<tbody>{body}</tbody></table></div>')


def _header(meta):
    from astropy.io import fits
    if isinstance(meta, fits.Header):
        return meta.tostring(sep='\n', padding=False)
    return '\n'.join(f'{keyword} = {value}' for keyword, value in meta.items())
