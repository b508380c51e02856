"""The page about a result says what the result says, needs nothing else, and is fit for every reader."""
import base64
import html
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

pytest.importorskip('matplotlib')

VOID = {'meta', 'img', 'br', 'hr', 'link', 'input'}


class Page(HTMLParser):
    """Elements of a page; fails on tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {'style', 'title'} & set(self.open):
            self.words.append(data)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope='module')
def result():
    pair = make_pair((300, 300), seed=3)
    pair.science.meta['OBJECT'] = '<script>alert(1)</script> & more'
    for image in (pair.science, pair.template):      # something to find fault with
        image.uncertainty = StdDevUncertainty(3 * image.uncertainty.array)
    with pytest.warns(hp.NoiseModelWarning):
        return hp.subtract(pair.science, pair.template, config='auto')


@pytest.fixture(scope='module')
def text(result, tmp_path_factory):
    path = tmp_path_factory.mktemp('report') / 'page.html'
    result.report(path)
    return path.read_text(encoding='ascii')


@pytest.fixture(scope='module')
def page(text):
    return Page(text)


@pytest.fixture(scope='module')
def words(page):
    return ' '.join(' '.join(page.words).split())


# -- what it says -----------------------------------------------------------------------------

def test_verdict_and_reasons_come_before_the_pictures(result, text):
    assert result.quality.verdict == 'usable'
    beginning = html.unescape(text[:text.index('<img')])
    assert 'Verdict: <span class="grade usable">' in beginning
    assert result.quality.reasons
    for reason in result.quality.reasons:
        assert reason in beginning


def test_every_measure_is_there_with_its_grade(result, page, words):
    from hotpants_cy.inspection.expectations import EXPECTATIONS
    for measure in result.quality.measures:
        assert EXPECTATIONS[measure.name].title in words
    grades = [a['class'].split()[1] for a in page.all('span') if a.get('class', '').startswith('grade')]
    judged = [m for m in result.quality.measures if np.isfinite(m.value) and np.isfinite(m.expectation).any()]
    assert len(grades) > 10
    assert grades[1:] == [measure.grade for measure in judged]


def test_every_parameter_is_there_with_its_reason(result, words):
    from dataclasses import fields
    assert all(spec.name in words for spec in fields(result.config))
    explained = result.config.explained()
    assert len(explained) > 10
    for _, value, reason in explained:
        assert ' '.join(reason.split()) in words
        assert value in words


def test_parameters_given_and_defaults_are_told_apart(tmp_path):
    pair = make_pair((256, 256), seed=1)
    config = hp.HotpantsConfig(ko=0, rkernel=9)
    hp.subtract(pair.science, pair.template, config=config).report(tmp_path / 'page.html')
    text = (tmp_path / 'page.html').read_text()
    assert '<th scope="row">rkernel</th><td>9</td><td>given</td>' in text
    assert '<th scope="row">rss</th><td>15</td><td>default</td>' in text


def test_every_star_is_there(result, text):
    table = text[text.index('<caption>All stars'):]
    assert table[:table.index('</table>')].count('<th scope="row">') == len(result.substamps)


def test_header_is_there(result, words):
    keywords = list(result.difference.meta)
    assert len(keywords) > 5
    assert all(keyword in words for keyword in keywords)


# -- that it is safe, and needs nothing else --------------------------------------------------

def test_nothing_is_loaded_from_anywhere(page, text):
    for _, attributes in page.elements:
        for name in ('src', 'href', 'srcset', 'poster', 'data', 'action'):
            assert attributes.get(name, '#').startswith(('#', 'data:image/png;base64,'))
    style = text[text.index('<style>'):text.index('</style>')]
    assert 'url(' not in style
    assert '@import' not in style


def test_no_script_comes_in_with_a_header(page, words):
    assert not page.all('script')
    assert '<script>alert(1)</script> & more' in words
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith('on')]


def test_words_of_pictures_are_large_enough_on_a_phone(page):
    """Widths are in pixels of the page; a word of 9 points, 390 / width of them, has 8 pixels or more."""
    from hotpants_cy.inspection.report import SHOWN
    for picture in page.all('img'):
        assert 9 / 72 * SHOWN * 390 / int(picture['width']) > 8
        assert int(picture['height']) > 300


def test_pictures_are_whole(page):
    from io import BytesIO

    from matplotlib.image import imread
    pictures = page.all('img')
    assert len(pictures) == 4
    for picture in pictures:
        image = imread(BytesIO(base64.b64decode(picture['src'].split(',')[1])))
        assert image.shape[1] > 600
        assert np.ptp(image[..., :3]) == 1


# -- that everybody can read it ---------------------------------------------------------------

def test_every_picture_has_words_of_its_own(page):
    alts = [picture['alt'] for picture in page.all('img')]
    assert all(len(alt) > 30 for alt in alts)
    assert len(set(alts)) == len(alts)


def test_headings_are_told_apart(text):
    titles = re.findall(r'<h\d[^>]*>(.*?)</h\d>', text)
    assert len(set(titles)) == len(titles) > 8


def test_headings_are_in_order(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r'h\d', tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) == 1


def test_language_screen_and_colours_of_night(page, text):
    assert page.all('html') == [{'lang': 'en'}]
    assert {'name': 'viewport', 'content': 'width=device-width, initial-scale=1'} in page.all('meta')
    assert 'prefers-color-scheme: dark' in text


def test_links_lead_somewhere_and_the_first_skips(page):
    names = [attributes['id'] for _, attributes in page.elements if 'id' in attributes]
    assert len(names) == len(set(names))
    links = [link['href'][1:] for link in page.all('a')]
    assert links[0] == 'main'
    assert set(links) <= set(names)


def test_tables_scroll_by_keyboard_and_have_captions_and_heads(page):
    n_tables = len(page.all('table'))
    assert n_tables >= 5
    assert len(page.all('caption')) == n_tables
    regions = [region for region in page.all('div') if region.get('class') == 'scroll']
    assert all(region['tabindex'] == '0' and region['aria-label'] for region in regions)
    assert all(head['scope'] in ('col', 'row') for head in page.all('th'))


@pytest.mark.parametrize('night', [False, True])
def test_colours_contrast(text, night):
    """At least 4.5 to 1 (WCAG 2 AA), on page and cards."""
    roots = re.findall(r':root \{(.*?)\}', text, re.S)
    colors = dict(re.findall(r'--(\w+): #(\w+)', roots[night]))

    def luminance(color):
        color = ''.join(2 * c for c in color) if len(color) == 3 else color
        c = np.array([int(color[k:k + 2], 16) / 255 for k in (0, 2, 4)])
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055)**2.4) @ [0.2126, 0.7152, 0.0722]

    for front in ('text', 'soft', 'link', 'good', 'usable', 'bad'):
        for back in ('page', 'card'):
            low, high = sorted((luminance(colors[front]), luminance(colors[back])))
            assert (high + 0.05) / (low + 0.05) > 4.5, (front, back)


# -- that it is written whole -----------------------------------------------------------------

def test_a_file_that_exists_is_kept_unless_told(result, tmp_path, monkeypatch):
    path = tmp_path / 'page.html'
    path.write_text('mine')
    monkeypatch.setattr('hotpants_cy.inspection.report.page', lambda result: '<p>\u03c3</p>')
    with pytest.raises(hp.OutputError, match=r"page\.html"):
        result.report(path)
    assert path.read_text() == 'mine'
    result.report(path, overwrite=True)
    assert path.read_text() == '<p>&#963;</p>'
    assert os.listdir(tmp_path) == ['page.html']


def test_a_folder_that_is_missing_is_told_before_the_work(result, tmp_path, monkeypatch):
    def page(result):
        raise AssertionError('it was made for nothing')
    monkeypatch.setattr('hotpants_cy.inspection.report.page', page)
    with pytest.raises(hp.OutputError, match='nowhere'):
        result.report(tmp_path / 'nowhere' / 'page.html')


def test_a_failure_leaves_nothing(result, tmp_path, monkeypatch):
    def fail(figure):
        raise RuntimeError('no picture')
    monkeypatch.setattr('hotpants_cy.inspection.report._png', fail)
    with pytest.raises(RuntimeError, match='no picture'):
        result.report(tmp_path / 'page.html')
    assert os.listdir(tmp_path) == []
