"""The page about a result, in a real browser: it fits a phone, asks no network, and serves keyboards and the night."""
import json
import os
import select
import shutil
import subprocess
import time

import pytest

import hotpants_cy as hp
from hotpants_cy.datasets import make_pair

pytest.importorskip('matplotlib')

PROGRAM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
OPTIONS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking',
           '--no-first-run', '--hide-scrollbars', '--host-resolver-rules=MAP * ~NOTFOUND', '--remote-debugging-pipe']
PATIENCE = 60       # seconds that an answer may take on a busy machine
REACHED = 'a, summary, [tabindex="0"]'

pytestmark = pytest.mark.skipif(PROGRAM is None or os.name != 'posix', reason='no Chromium or Chrome on the PATH')


class Browser:
    """Chromium without a window, told what to do through a pipe, in the words that its own developer tools use."""

    def __init__(self, profile):
        theirs, self.tell = os.pipe()
        self.hear, ours = os.pipe()
        # it reads from descriptor 3 and answers on 4; bash, since other shells know only one digit after &
        command = ['bash', '-c', f'exec "$@" 3<&{theirs} 4>&{ours}', 'bash', PROGRAM, *OPTIONS]
        self.process = subprocess.Popen([*command, f'--user-data-dir={profile}'], pass_fds=(theirs, ours),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(ours)
        self.session, self.number, self.heard, self.events = {}, 0, b'', []

    def begin(self):
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self.session = {'sessionId': self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']}

    def call(self, method, **parameters):
        """Result of a command; events that come before it are kept."""
        self.number += 1
        command = {'id': self.number, 'method': method, 'params': parameters, **self.session}
        os.write(self.tell, json.dumps(command).encode() + b'\0')
        while (answer := self.message()).get('id') != self.number:
            self.events.append(answer)
        assert 'error' not in answer, answer
        return answer['result']

    def message(self):
        end = time.monotonic() + PATIENCE
        while b'\0' not in self.heard:
            assert select.select([self.hear], [], [], max(0, end - time.monotonic()))[0], 'the browser does not answer'
            part = os.read(self.hear, 1 << 20)
            assert part, 'the browser has ended'
            self.heard += part
        message, self.heard = self.heard.split(b'\0', 1)
        return json.loads(message)

    def open(self, url, width, night=False):
        """Load a page in a window of a width, all of it."""
        self.events.clear()
        self.call('Network.enable')
        self.call('Page.enable')
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=800, deviceScaleFactor=1,
                  mobile=width < 500)
        self.call('Emulation.setEmulatedMedia',
                  features=[{'name': 'prefers-color-scheme', 'value': 'dark' if night else 'light'}])
        self.call('Page.navigate', url=url)
        while 'Page.loadEventFired' not in [event['method'] for event in self.events]:
            self.events.append(self.message())

    def ask(self, script):
        """Value of an expression of the page; the page itself may have no scripts."""
        answer = self.call('Runtime.evaluate', expression=script, returnByValue=True, awaitPromise=True)
        assert 'exceptionDetails' not in answer, answer
        return answer['result'].get('value')

    def press(self, key, code):
        text = {'text': '\r'} if key == 'Enter' else {}
        for kind in ('keyDown', 'keyUp'):
            self.call('Input.dispatchKeyEvent', type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def close(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self.tell)
        os.close(self.hear)


@pytest.fixture(scope='module')
def url(tmp_path_factory):
    path = tmp_path_factory.mktemp('report') / 'page.html'
    pair = make_pair((256, 256), seed=1)
    hp.subtract(pair.science, pair.template, config='auto').report(path)
    return path.as_uri()


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp('profile'))
    try:
        browser.begin()
        yield browser
    finally:
        browser.close()


@pytest.mark.parametrize('width', [320, 390, 1200])
def test_no_page_is_wider_than_its_screen(browser, url, width):
    browser.open(url, width)
    browser.ask('document.querySelectorAll("details").forEach(part => part.open = true)')
    assert browser.ask('[innerWidth, document.documentElement.scrollWidth]') == [width, width]


def test_nothing_is_asked_of_any_network_and_all_pictures_are_there(browser, url):
    browser.open(url, 390)
    asked = [event['params']['request']['url'] for event in browser.events
             if event['method'] == 'Network.requestWillBeSent']
    assert asked[0] == url
    assert [address for address in asked[1:] if not address.startswith('data:image/png')] == []
    loaded = browser.ask('Array.from(document.images, image => image.complete && image.naturalWidth > 600)')
    assert loaded == 4 * [True]


def test_nothing_is_amiss_in_the_console(browser, url):
    browser.events.clear()
    browser.call('Log.enable')
    browser.open(url, 390)
    assert [event['params'] for event in browser.events if event['method'] == 'Log.entryAdded'] == []


def test_the_tab_key_comes_to_all_links_folds_and_tables_and_it_is_seen_where(browser, url):
    browser.open(url, 390)
    browser.ask(f'const all = [...document.querySelectorAll({REACHED!r})].filter(part => part.checkVisibility())')
    found = []
    for _ in range(browser.ask('all.length')):
        browser.press('Tab', 9)
        found.append(browser.ask('all.indexOf(document.activeElement)'))
        assert browser.ask('getComputedStyle(document.activeElement).outlineStyle') == 'solid'
        assert browser.ask('document.activeElement.getBoundingClientRect().left') >= 0    # the first is hidden before
    assert found == list(range(len(found)))
    assert len(found) > 10


def test_the_enter_key_unfolds(browser, url):
    browser.open(url, 390)
    count = browser.ask('document.querySelectorAll("details").length')
    assert count == 3
    for k in range(count):
        browser.ask(f'document.querySelectorAll("summary")[{k}].focus()')
        browser.press('Enter', 13)
    assert browser.ask('document.querySelectorAll("details[open]").length') == count


COLORS = '''(() => {
    document.querySelectorAll('details').forEach(part => part.open = true);
    const clear = color => color === 'rgba(0, 0, 0, 0)', style = part => getComputedStyle(part);
    const ground = part => !part || clear(style(part).backgroundColor) && part !== document.documentElement ?
        ground(part.parentElement) : style(part).backgroundColor;
    const worded = part => [...part.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const pairs = [...document.body.querySelectorAll('*')].filter(worded).map(
        part => [style(part).color, ground(part)].join('; '));
    return [...new Set(pairs)].sort();
})()'''


def luminance(color):
    parts = [int(part) / 255 for part in color.removeprefix('rgb(').removesuffix(')').split(',')]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055)**2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize('night', [False, True])
def test_words_are_told_from_their_ground_by_day_and_night(browser, url, night):
    browser.open(url, 390, night)
    page = browser.ask('getComputedStyle(document.body).backgroundColor')
    assert (luminance(page) < 0.05) == night
    pairs = [pair.split('; ') for pair in browser.ask(COLORS)]
    assert len(pairs) >= 4
    for pair in pairs:
        low, high = sorted(map(luminance, pair))
        assert (high + 0.05) / (low + 0.05) >= 4.5, pair
