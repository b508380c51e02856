"""Good manners: behaviour that can be set, versions to tell, flags that a shell completes."""
import os
import shutil
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from hotpants_cy._core.threads import max_threads

from hotpants_cy.behaviour import conf
from hotpants_cy.cli.completion import main, script
from hotpants_cy.cli.flags import FLAGS
from hotpants_cy.threads import default_threads, resolve_threads
from hotpants_cy.versions import show_versions, versions

ALL = [flag.name for flags in FLAGS.values() for flag in flags]


# -- conf -------------------------------------------------------------------------------------

def test_conf_sets_the_threads_where_none_are_asked_for():
    usual = default_threads()
    with conf.set_temp('n_threads', 3):
        assert default_threads() == 3
        assert resolve_threads() == (3 if max_threads() else 1)
        assert resolve_threads(1) == 1
    assert default_threads() == usual


@pytest.mark.parametrize('value', [-1, 'many', 1.5])
def test_conf_takes_no_nonsense(value):
    with pytest.raises(TypeError, match='n_threads'):
        conf.n_threads = value


def test_conf_is_read_from_the_configuration_of_astropy(tmp_path):
    (tmp_path / 'astropy').mkdir()
    (tmp_path / 'astropy' / 'hotpants_cy.cfg').write_text('n_threads = 7\nlog_to_header = False\n')
    code = ('from hotpants_cy.behaviour import conf; from hotpants_cy.threads import default_threads;'
            'print(default_threads(), conf.log_to_header)')
    done = subprocess.run([sys.executable, '-W', 'error', '-c', code], capture_output=True, text=True, check=True,
                          cwd=tmp_path, env=os.environ | {'XDG_CONFIG_HOME': str(tmp_path)})
    assert done.stdout.split() == ['7', 'False']


def test_conf_holds_nothing_that_a_pixel_depends_on():
    from dataclasses import fields

    from hotpants_cy import HotpantsConfig
    assert set(conf) & {field.name for field in fields(HotpantsConfig)} == set()


# -- versions ---------------------------------------------------------------------------------

def test_versions_are_written_one_a_line(capsys):
    show_versions()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(versions())
    import numpy
    assert versions()['numpy'] == numpy.__version__
    assert versions()['OpenMP'].startswith('yes' if max_threads() else 'no')


def test_what_is_not_installed_is_said_to_be_so(monkeypatch):
    import hotpants_cy.versions as module
    monkeypatch.setattr(module, '_PACKAGES', ('no-such-package',))
    assert versions()['no-such-package'] == 'not installed'


def test_asking_for_versions_leaves_forked_children_their_threads():
    from hotpants_cy import threads
    before = dict(threads._state)
    versions()
    assert threads._state == before


# -- completion -------------------------------------------------------------------------------

@pytest.fixture
def complete(tmp_path):
    """What bash offers after a line; the last word is the one begun."""
    if shutil.which('bash') is None:
        pytest.skip('no bash')
    (tmp_path / 'script').write_text(script('bash'))
    (tmp_path / 'science.fits').touch()

    def offered(line):
        words = ' '.join(f"'{word}'" for word in line.split(' '))
        code = (f'source ./script; COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); '
                '_hotpants_cy; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(['bash', '--norc', '-c', code], capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout.split()
    return offered


@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_each_shell_accepts_its_script(shell, tmp_path, capsys):
    assert main([shell]) == 0
    text = capsys.readouterr().out
    assert text == script(shell)
    for name in ALL:
        assert (f' {name[1:]} ' if shell == 'fish' and name[1] != '-' else name.lstrip('-')) in text
    if shutil.which(shell) is None:
        pytest.skip(f'no {shell}')
    (tmp_path / 'script').write_text(text)
    subprocess.run([shell, '-n', tmp_path / 'script'], check=True)


def test_bash_offers_commands_and_flags_first(complete):
    assert {'demo', 'extractkern', 'maskim', 'completion', *ALL} == set(complete('hotpants-cy '))
    assert complete('hotpants-cy de') == ['demo']


def test_bash_completes_the_flag_begun(complete):
    assert set(complete('hotpants-cy -inim a.fits -tm')) == {'-tmplim', '-tmi'}
    assert complete('hotpants-cy -inim a.fits -conv') == ['-convvar']
    assert complete('hotpants-cy -inim a.fits --thr') == ['--threads']


def test_bash_offers_the_letters_of_a_choice(complete):
    assert complete('hotpants-cy -c ') == ['t', 'i', 'b']
    assert complete('hotpants-cy -nc -fom h') == ['h']
    assert complete('hotpants-cy completion z') == ['zsh']


def test_bash_offers_no_flags_where_a_file_or_a_number_must_stand(complete):
    # no word of ours: "-o default" then completes file names
    assert complete('hotpants-cy -inim s') == []
    assert complete('hotpants-cy -inim ') == []
    assert complete('hotpants-cy -r ') == []
    assert complete('hotpants-cy demo ') == []


def test_bash_completes_files_with_the_tab_key(tmp_path):
    pty = pytest.importorskip('pty')
    if shutil.which('bash') is None:
        pytest.skip('no bash')
    (tmp_path / 'script').write_text(script('bash'))
    (tmp_path / 'science-of-today.fits').touch()
    parent, child = pty.openpty()
    # the command only echoes what it gets
    (tmp_path / 'rc').write_text('hotpants-cy() { printf "got:%s\\n" "$@"; }\nsource ./script\n')
    process = subprocess.Popen(['bash', '--rcfile', 'rc', '-i'], cwd=tmp_path, stdin=child, stdout=child, stderr=child,
                               start_new_session=True, env=os.environ | {'TERM': 'dumb', 'HISTFILE': ''})
    os.close(child)
    os.write(parent, b'hotpants-cy -tmpl\t sci\t -conv\t\nexit\n')
    text = b''
    while True:
        try:
            part = os.read(parent, 4096)
        except OSError:                              # the terminal is gone with the shell
            break
        if not part:
            break
        text += part
    process.wait(timeout=20)
    os.close(parent)
    got = [line.strip() for line in text.decode().splitlines() if line.startswith('got:')]
    assert got == ['got:-tmplim', 'got:science-of-today.fits', 'got:-convvar']


def test_fish_offers_the_same(tmp_path):
    if shutil.which('fish') is None:
        pytest.skip('no fish')
    (tmp_path / 'script').write_text(script('fish'))

    def offered(line):
        done = subprocess.run(['fish', '-c', f"source script; complete -C'{line}'"], capture_output=True, text=True,
                              check=True, cwd=tmp_path, env=os.environ | {'HOME': str(tmp_path)})
        return {row.split('\t')[0] for row in done.stdout.splitlines()}
    assert offered('hotpants-cy -tm') == {'-tmplim', '-tmi'}
    assert offered('hotpants-cy -c ') == {'t', 'i', 'b'}
    assert offered('hotpants-cy completion ') == {'bash', 'zsh', 'fish'}
    assert offered('hotpants-cy -inim scr') == {'script'}


# -- cards in a notebook ----------------------------------------------------------------------

def test_the_card_of_a_configuration_shows_what_is_not_default_and_why():
    from hotpants_cy import HotpantsConfig
    from hotpants_cy.cards import config_card
    config = HotpantsConfig(ko=1, output_file='<b>.fits')
    text = config_card(config)
    assert '>ko<' in text
    assert '>rkernel<' not in text
    assert text.count('<tr>') == 3                   # the head, and no more than these two
    assert '&lt;b&gt;.fits' in text                  # nothing that a value holds becomes markup
    assert 'reason' not in text
    text = config_card(config.with_reasons({'rkernel': '3 sigma of the kernel < 10 pixels'}))
    assert 'of the kernel &lt; 10 pixels' in text


def test_a_card_is_well_formed():
    import xml.etree.ElementTree as ET

    from hotpants_cy.cards import card
    root = ET.fromstring(f'<div>{card("a & b", [("x", "<1>"), ("y", "2")], head=("name", "value"), notes=["n"])}</div>')
    assert [cell.text for cell in root.iter('td')] == ['x', '<1>', 'y', '2']
    assert [cell.text for cell in root.iter('th')] == ['name', 'value']


# -- what objects say about themselves --------------------------------------------------------

@pytest.fixture(scope='module')
def objects():
    import hotpants_cy as hp
    from hotpants_cy.datasets import make_pair
    pair = make_pair((256, 256), seed=1, n_transients=3)
    config = hp.HotpantsConfig(ko=0, nstampx=4, nstampy=4, weights=True)
    result = hp.subtract(pair.science, pair.template, config=config)
    regions = hp.HotpantsConfig(ko=0, rkernel=7, rss=10, nregx=2, nstampx=3, nstampy=4, force_convolve='t')
    return {
        'SimulatedPair': pair, 'SubtractionResult': result, 'HotpantsConfig': config, 'KernelModel': result.kernel,
        'KernelMosaic': hp.Hotpants(pair.template, pair.science, config=regions).kernel,
        'Hotpants': hp.Hotpants(pair.template, pair.science, config=config), 'Quality': result.quality,
        'Substamp': result._hot.final_substamps[0],
    }


SAID = {
    'SimulatedPair': '<SimulatedPair: 256 x 256 pixels, 40 stars, 3 transients>',
    'SubtractionResult': '<SubtractionResult: 256 x 256 pixels, template convolved, ',
    'HotpantsConfig': 'HotpantsConfig(',
    'KernelModel': '<KernelModel: 21 x 21 pixels, order 0, for the template of 256 x 256 pixels, sum 0.8',
    'KernelMosaic': '<KernelMosaic: 2 kernels of 15 x 15 pixels for an image of 256 x 256 pixels>',
    'Hotpants': '<Hotpants: 256 x 256 pixels, next step: find_stamps>',
    'Quality': '<Quality: good, ',
    'Substamp': 'Substamp(id=0, ',
}


@pytest.mark.parametrize('name', SAID)
def test_an_object_says_what_it_is_and_prints_no_arrays(objects, name):
    text = repr(objects[name])
    assert text.startswith(SAID[name])
    assert 'array' not in text
    assert '\n' not in text
    assert len(text) < (1000 if name == 'HotpantsConfig' else 300)


@pytest.mark.parametrize('name', ['SubtractionResult', 'HotpantsConfig', 'KernelModel', 'KernelMosaic', 'Quality'])
def test_a_notebook_shows_a_card(objects, name):
    import xml.etree.ElementTree as ET
    root = ET.fromstring(f'<div>{objects[name]._repr_html_()}</div>')
    assert root.find('table/caption/strong').text.startswith(name)
    assert len(list(root.iter('td'))) >= 4


def test_the_card_of_a_kernel_has_its_sum_with_error(objects):
    kernel = objects['KernelModel']
    assert f'{kernel.sum(127, 127):.5g} ± {kernel.sum_error(127, 127):.1g}' in kernel._repr_html_()
    assert 'nan' not in objects['KernelMosaic']._repr_html_()


def test_hotpants_says_which_step_is_next_and_takes_none(objects):
    hot = objects['SubtractionResult']._hot
    assert repr(hot) == '<Hotpants: 256 x 256 pixels, all steps done>'
    repr(objects['Hotpants'])
    assert objects['Hotpants'].regions.done == 0


@pytest.mark.parametrize('name', ['SimulatedPair', 'SubtractionResult', 'HotpantsConfig', 'KernelModel', 'KernelMosaic',
                                  'Substamp'])
def test_what_the_tab_key_offers_is_explained(objects, name):
    thing = objects[name]
    told = ' '.join(cls.__doc__ or '' for cls in type(thing).__mro__)
    hidden = {'closeup'}                             # of a Substamp, where its cutouts come from
    for word in dir(thing):
        if not word.startswith('_') and word not in hidden:
            assert getattr(getattr(type(thing), word, None), '__doc__', None) or word in told, word


# -- errors that name the keyword ---------------------------------------------------------------

@pytest.mark.parametrize(('call', 'words'), [
    (lambda hp, r, pair: r.plot(figure=3), 'figure must be a matplotlib Figure'),
    (lambda hp, r, pair: r.plot_pulls(ax=3), 'ax must be matplotlib Axes'),
    (lambda hp, r, pair: r.plot_kernel(grid=3), 'grid=3 is impossible'),
    (lambda hp, r, pair: r.find_candidates(threshold='5'), "threshold='5' is impossible"),
    (lambda hp, r, pair: r.aperture_error([(128, 128)], radius='5'), "radius='5' is impossible"),
    (lambda hp, r, pair: r.aperture_error([(128, 128)], radius=np.inf), 'radius=inf is impossible'),
    (lambda hp, r, pair: hp.match_psf(pair.template, pair.science, config='auto'), 'config must be a HotpantsConfig'),
    (lambda hp, r, pair: hp.datasets.make_pair(256), r'shape=\(256,\) is impossible'),
], ids=['figure', 'ax', 'grid', 'threshold', 'radius', 'endless radius', 'config', 'shape'])
def test_what_is_of_the_wrong_kind_is_named(objects, call, words):
    import hotpants_cy as hp
    with pytest.raises((TypeError, hp.InputError), match=words):
        call(hp, objects['SubtractionResult'], objects['SimulatedPair'])


@pytest.mark.parametrize('radius', [np.array(3.0), np.float32(3), 3 * u.dimensionless_unscaled], ids=type)
def test_a_number_may_be_of_any_kind(objects, radius):
    result = objects['SubtractionResult']
    assert result.aperture_error([(128, 128)], radius=radius) == result.aperture_error([(128, 128)], radius=3)


def test_the_configuration_of_behaviour_tells_its_values():
    with conf.set_temp('n_threads', 3):
        assert repr(conf) == '<Conf: n_threads=3, log_to_header=True>'
