import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from hotpants_cy.cli.options import FLAGS, config_of, parse
from hotpants_cy.config import HotpantsConfig

FILES = ['-inim', 's.fits', '-tmplim', 't.fits', '-outim', 'd.fits']
REFERENCE = Path(os.environ.get('HOTPANTS_CY_REFERENCE', Path(__file__).parents[2] / 'shared/reference'))
TABLE = {flag.name: flag for flags in FLAGS.values() for flag in flags}

# name: (values, default) of each flag of C HOTPANTS 5.1.11 (spec 1.2); I is a whole number, F a number, S text
C_FLAGS = {
    'inim': 'S', 'tmplim': 'S', 'outim': 'S', 'tu': 'F 25000', 'iu': 'F 25000', 'tuk': 'F 25000', 'iuk': 'F 25000',
    'tl': 'F 0', 'il': 'F 0', 'tg': 'F 1', 'ig': 'F 1', 'tr': 'F 0', 'ir': 'F 0', 'tp': 'F 0', 'ip': 'F 0', 'tni': 'S',
    'ini': 'S', 'tmi': 'S', 'imi': 'S', 'ki': 'S', 'r': 'I 10', 'kcs': 'I 0', 'ft': 'F 20', 'sft': 'F 0.5',
    'nft': 'F 0.1', 'mins': 'F 1', 'mous': 'F 1', 'omi': 'S', 'gd': 'IIII', 'nrx': 'I 1', 'nry': 'I 1', 'rf': 'S',
    'rkw': 'SI', 'nsx': 'I 10', 'nsy': 'I 10', 'ssf': 'S', 'cmp': 'S', 'afssc': 'I 1', 'nss': 'I 3', 'rss': 'I 15',
    'savexy': 'S', 'c': 'C b', 'n': 'C t', 'fom': 'C v', 'sconv': '', 'ko': 'I 2', 'bgo': 'I 1', 'ssig': 'F 3',
    'ks': 'F 2', 'kfm': 'F 0.99', 'okn': '', 'fi': 'F 1e-30', 'fin': 'F 0', 'convvar': '', 'oni': 'S', 'ond': 'S',
    'oci': 'S', 'nim': '', 'ndm': '', 'cim': '', 'allm': '', 'nc': '', 'hki': '', 'oki': 'S', 'sht': '', 'obs': 'F 1',
    'obz': 'F 0', 'nsht': '', 'nbs': 'F 1', 'nbz': 'F 0', 'ng': 'I(IF)', 'pca': 'I(S)', 'v': 'I 1', 'ef': 'S',
    'sum': '',
}


def args_of(line=''):
    return parse([*FILES, *line.split()])


def config(line=''):
    return config_of(args_of(line))


def error_of(capsys, tokens):
    with pytest.raises(SystemExit) as stop:
        parse(tokens)
    out, err = capsys.readouterr()
    assert stop.value.code == 1
    assert out == ''
    assert re.fullmatch(r'hotpants-cy: error: [^\n]+\n', err), err
    return err


# -- the table --------------------------------------------------------------------------------

@pytest.mark.parametrize('name', C_FLAGS)
def test_every_flag_of_c_is_known_with_its_values_and_default(name):
    values, _, default = C_FLAGS[name].partition(' ')
    flag = TABLE[f'-{name}']
    assert flag.values == values
    if default:
        assert str(flag.default) == default or flag.default == float(default)
    else:
        assert not flag.default


def test_no_other_flag_has_one_dash():
    assert {name for name in TABLE if not name.startswith('--')} == {f'-{name}' for name in C_FLAGS}


def test_every_parameter_with_a_c_flag_is_set_by_that_flag():
    # -ng, -pca, -rf, --no-parity
    elsewhere = {'nx', 'ny', 'ngauss', 'deg_fixe', 'sigma_gauss', 'use_pca', 'basis_images', 'region_list', 'parity'}
    wanted = {f.name: f.metadata['flag'] for f in fields(HotpantsConfig)
              if f.name not in elsewhere and not f.name.endswith('_file')}
    assert {flag.field: flag.name for flag in TABLE.values() if flag.field} == wanted


def test_without_flags_the_configuration_has_the_defaults_of_c():
    c = HotpantsConfig(tuthresh=25000, tuktresh=25000, tlthresh=0, iuthresh=25000, iuktresh=25000, ilthresh=0,
                       fillval=1e-30, fillval_noise=0, verbose=1, parity=True)
    assert config() == c


@pytest.mark.parametrize(('line', 'field', 'value'), [
    ('-tu 1e4', 'tuthresh', 10000.0), ('-tuk 9', 'tuktresh', 9), ('-tl -5', 'tlthresh', -5), ('-tg 2', 'tgain', 2),
    ('-tr 3', 'trdnoise', 3), ('-tp 7', 'tpedestal', 7), ('-iu 1e4', 'iuthresh', 10000.0), ('-iuk 9', 'iuktresh', 9),
    ('-il -5', 'ilthresh', -5), ('-ig 2', 'igain', 2), ('-ir 3', 'irdnoise', 3), ('-ip 7', 'ipedestal', 7),
    ('-r 5', 'rkernel', 5), ('-kcs 7', 'kcs', 7), ('-kcs 0', 'kcs', None), ('-ft 9', 'fitthresh', 9),
    ('-sft 0.2', 'scale_fitthresh', 0.2), ('-nft 0.3', 'min_frac_stamps', 0.3), ('-mins 2', 'kf_spread_mask1', 2),
    ('-mous -1', 'kf_spread_mask2', -1), ('-nsx 4', 'nstampx', 4), ('-nsy 6', 'nstampy', 6), ('-nss 2', 'nss', 2),
    ('-rss 12', 'rss', 12), ('-ko 1', 'ko', 1), ('-bgo 0', 'bgo', 0), ('-ssig 2.5', 'stat_sig', 2.5),
    ('-ks 3', 'ks', 3), ('-kfm 0.9', 'kfm', 0.9), ('-fi 0', 'fillval', 0), ('-fin -1', 'fillval_noise', -1),
    ('-convvar', 'conv_var', True), ('-okn', 'rescale_ok', True), ('-v 2', 'verbose', 2), ('-v 9', 'verbose', 2),
    ('-c t', 'force_convolve', 't'), ('-n u', 'normalize', 'u'), ('-fom v', 'fom', 'v'),
    ('--no-parity', 'parity', False), ('-tu inf', 'tuthresh', None), ('-il -inf', 'ilthresh', None),
])
def test_a_flag_sets_its_parameter(line, field, value):
    assert getattr(config(line), field) == value


def test_upper_limits_of_the_fit_do_not_follow_the_upper_limits():
    assert config('-tu 50000 -iu 60000').tuktresh == 25000
    assert config('-tu 50000 -iu 60000').iuktresh == 25000


def test_file_names_and_switches_are_in_the_namespace():
    args = args_of('-tni a -tmi b -ini c -imi d -oni e -oci f -ond g -omi h -oki i -savexy j -nc -hki --threads 2')
    assert (args.inim, args.tmplim, args.outim) == ('s.fits', 't.fits', 'd.fits')
    assert ''.join((args.tni, args.tmi, args.ini, args.imi, args.oni, args.oci, args.ond, args.omi, args.oki,
                    args.savexy)) == 'abcdefghij'
    assert (args.nc, args.hki, args.nim, args.ndm, args.cim, args.threads) == (True, True, False, False, False, 2)


def test_allm_asks_for_all_layers():
    args = args_of('-allm')
    assert args.nim
    assert args.ndm
    assert args.cim


def test_flags_that_c_never_uses_are_accepted():
    assert args_of('-ef x -sum').ef == 'x'


# -- the rules of C ---------------------------------------------------------------------------

def test_names_are_matched_in_any_case_and_values_keep_theirs():
    args = parse(['-INIM', 'S.fits', '-TmplIm', 'T', '-OUTIM', 'D', '-Ko', '1'])
    assert (args.inim, args.ko) == ('S.fits', 1)


@pytest.mark.parametrize('value', ['-x', '-r', '--help', 'a b', '-a=b', '=', 'a=b', "it's", '%s', '@x', 'ä'])
def test_a_flag_takes_the_next_token_whatever_it_is(value):
    assert parse([*FILES, '-oni', value]).oni == value


def test_negative_numbers_are_values():
    assert config('-tl -500 -il -1e3 -fi -1').ilthresh == -1000


def test_the_last_of_several_wins():
    assert config('-r 5 -c t -r 7 -c i').rkernel == 7
    assert config('-r 5 -c t -r 7 -c i').force_convolve == 'i'


@pytest.mark.parametrize(('text', 'value'), [('3.7', 3), ('4.0', 4), ('3.9999', 3), ('1e1', 10), ('+5', 5)])
def test_whole_numbers_are_cut_at_the_point(text, value):
    assert config(f'-ko {text} -r 11 -rss 11').ko == value


@pytest.mark.parametrize('line', ['-c template', '-c t', '-c tx'])
def test_only_the_first_letter_of_a_choice_counts(line):
    assert config(line).force_convolve == 't'


def test_the_normalisation_is_kept_as_it_was_given():
    assert args_of('-n image').n == 'image'
    assert config('-n image').normalize == 'i'


def test_gaussians_are_pairs_of_degree_and_single_precision_sigma():
    given = config('-ng 2 4 1.1 2.9 2.2')
    assert given.deg_fixe == (4, 2)
    assert given.sigma_gauss == (float(np.float32(1.1)), float(np.float32(2.2)))
    assert given.sigma_gauss[0] != 1.1


def test_default_gaussians_keep_double_precision():
    assert config().sigma_gauss == (0.7, 1.5, 3.0)


def test_flags_after_gaussians_are_read():
    assert config('-ng 1 2 1.5 -ko 0').ko == 0


# -- what is wrong ----------------------------------------------------------------------------

@pytest.mark.parametrize(('line', 'words'), [
    ('-foo 1', "unknown option '-foo'"), ('-in x', "unknown option '-in'"), ('-tux 1', 'did you mean -tu'),
    ('stray', "unexpected word 'stray'"), ('-r 5 6', "unexpected word '6'"), ('-r', '-r needs 1 value'),
    ('-inim', '-inim needs 1 value'), ('-r abc', "'abc' is not a number"), ('-r 12x', "'12x' is not a number"),
    ('-tu 1_0', "'1_0' is not a number"), ('-tu 3,5', 'is not a number'), ('-r nan', 'not a whole number'),
    ('-nss inf', 'not a whole number'), ('-ng 2 4 1.1 2', '-ng needs 5 values'), ('-ng', '-ng needs'),
    ('-ng x 1 2', "'x' is not a number"), ('-ng 0', 'at least 1'), ('-ng 1 2 x', "'x' is not a number"),
    ('-ng 1 2 0', 'sigma_gauss'), ('-c x', "'x' must begin with one of t, i, b"), ('-c T', "'T' must"), ('-n c', "'c'"),
    ('-fom x', "'x'"), ('-tu -1', '-tu -1 is impossible'), ('-iu -1', '-iu -1'), ('-tu 5 -tl 10', '-tu'),
    ('-iu 5 -il 10', '-iu'), ('-tg -1', '-tg'), ('-tr -1', '-tr'), ('-ig 0', '-ig'), ('-r 0', '-r'),
    ('-kcs -1', '-kcs'), ('-ft -1', '-ft'), ('-sft 1.5', '-sft'), ('-nft -0.1', '-nft'), ('-ks -1', '-ks'),
    ('-mins -1', '-mins'), ('-nss 0', '-nss'), ('-rss -3', '-rss'), ('-r 10 -rss 9', 'rss=9'), ('-ko -1', '-ko'),
    ('-bgo -1', '-bgo'), ('-nsx 0', '-nsx'), ('-ssig 0', '-ssig'), ('-tu nan', '-tu'), ('--threads 0', '--threads 0'),
    ('--threads=x', "'x'"), ('-oni d.fits', '-oni and -outim name the same file'),
    ('-omi ./s.fits', '-omi and -inim name the same file'), ('-TU=5', "unknown option '-TU=5'"),
])
def test_mistakes_are_one_clear_line_and_status_1(capsys, line, words):
    assert words in error_of(capsys, [*FILES, *line.split()])


def test_the_last_of_several_regions_flags_counts():
    assert config('-nrx 2 -nrx 3 -nry 1').nregx == 3


@pytest.mark.parametrize('line', ['-rf a -ssf b', '-rf a -cmp b', '-rf a -rkw KEY 2', '-rkw KEY 0', '-obs 0', '-nbs 0'])
def test_flags_that_contradict_are_refused(capsys, line):
    assert re.search(r'cannot go with|impossible|must not', error_of(capsys, [*FILES, *line.split()]))


@pytest.mark.parametrize('missing', ['-inim', '-tmplim', '-outim'])
def test_images_are_required(capsys, missing):
    k = FILES.index(missing)
    assert f'{missing} is required' in error_of(capsys, FILES[:k] + FILES[k + 2:])


def test_missing_images_are_named_in_the_order_of_c(capsys):
    assert '-inim is required' in error_of(capsys, ['-ko', '1'])
    assert '-tmplim is required' in error_of(capsys, ['-inim', 's.fits', '-tu', '-1'])


def test_an_output_may_not_replace_an_extension_it_is_read_from(capsys):
    assert 'same file' in error_of(capsys, ['-inim', 's.fits[1]', '-tmplim', 't.fits', '-outim', 's.fits'])


def test_a_newline_in_a_value_does_not_break_the_line(capsys):
    error_of(capsys, [*FILES, '-r', 'a\nb'])


# -- help -------------------------------------------------------------------------------------

def test_no_arguments_print_the_usage_on_stderr(capsys):
    with pytest.raises(SystemExit) as stop:
        parse([])
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (1, '')
    assert err.startswith('usage: hotpants-cy -inim')


@pytest.mark.parametrize('name', ['--help', '-help', '-h', '-HELP'])
def test_help_explains_every_flag_in_groups(capsys, name):
    with pytest.raises(SystemExit) as stop:
        parse([name])
    out, err = capsys.readouterr()
    assert (stop.value.code or 0, err) == (0, '')
    for flag in TABLE:
        assert re.search(rf'^  {flag} ', out, re.MULTILINE), flag
    for group in FLAGS:
        assert f'\n{group}:\n' in out


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(['--version'])
    assert not stop.value.code
    assert re.fullmatch(r'hotpants-cy \S+\n', capsys.readouterr().out)


def test_options_are_read_without_the_slow_imports():
    code = ("import sys, hotpants_cy.cli.options as o; o.parse('-inim s -tmplim t -outim d'.split()); "
            "print([m for m in ('photutils', 'matplotlib') if m in sys.modules])")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


# -- the reference runs -----------------------------------------------------------------------

@pytest.mark.skipif(not REFERENCE.is_dir(), reason=f'no reference runs in {REFERENCE}')
def test_reference_command_lines_are_read():
    runs = [json.loads(path.read_text())['arguments'] for path in sorted(REFERENCE.rglob('run.json'))]
    assert runs
    for arguments in runs:
        config_of(parse(arguments))
