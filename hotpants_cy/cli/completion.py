"""``hotpants-cy completion``: a script that lets bash, zsh or fish complete the flags."""

import argparse
import sys

from .flags import FLAGS

__all__ = ['main', 'script']

_COMMANDS = {
    'demo': 'subtract a simulated pair',
    'extractkern': 'render the kernel of a subtraction',
    'maskim': 'set the pixels that a mask flags to a value',
    'completion': 'print a script that completes these flags in a shell',
}
_ALL = [flag for flags in FLAGS.values() for flag in flags]


def main(argv=None):
    """Print the script for a shell.

    Parameters
    ----------
    argv : list of str, optional
        What follows ``hotpants-cy completion``: ``bash``, ``zsh`` or ``fish``. Default: ``sys.argv[2:]``.

    Returns
    -------
    int
        Exit status, 0.
    """
    parser = argparse.ArgumentParser(
        prog='hotpants-cy completion', formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Print a script that lets a shell complete the flags of hotpants-cy. To use it:\n\n'
                    '  bash   eval "$(hotpants-cy completion bash)"             in ~/.bashrc\n'
                    '  zsh    eval "$(hotpants-cy completion zsh)"              in ~/.zshrc, after compinit\n'
                    '  fish   hotpants-cy completion fish | source              in ~/.config/fish/config.fish')
    parser.add_argument('shell', choices=list(_SHELLS))
    sys.stdout.write(script(parser.parse_args(sys.argv[2:] if argv is None else argv).shell))
    return 0


def script(shell):
    """Return the script for a shell.

    Parameters
    ----------
    shell : {'bash', 'zsh', 'fish'}

    Returns
    -------
    str

    Examples
    --------
    >>> from hotpants_cy.cli.completion import script
    >>> print(script('bash').splitlines()[-1])
    complete -o default -F _hotpants_cy hotpants-cy
    """
    return _SHELLS[shell]()


def _choices(flag):
    """The values that a flag can have, if they are few."""
    return list(flag.letters)


def _takes_file(flag):
    return flag.values in ('S', 'SI', 'I(S)') and flag.name not in ('-rkw', '-ef')


def _bash():
    flags = ' '.join(flag.name for flag in _ALL)
    letters = [f'        {flag.name}) words="{" ".join(_choices(flag))}" ;;' for flag in _ALL if _choices(flag)]
    files = '|'.join(flag.name for flag in _ALL if _takes_file(flag))
    numbers = '|'.join(flag.name for flag in _ALL if flag.values and not _choices(flag) and not _takes_file(flag))
    # without a word that fits, "-o default" completes names of files
    return '\n'.join([
        '# hotpants-cy completion bash',
        '_hotpants_cy() {',
        f'    local words="{flags}"',
        '    case $COMP_CWORD-${COMP_WORDS[1]} in',
        f'        1-*) words="{" ".join(_COMMANDS)} $words" ;;',
        '        *-completion) words="bash zsh fish" ;;',
        '        *-demo|*-extractkern|*-maskim) words= ;;',
        '    esac',
        '    case ${COMP_WORDS[COMP_CWORD-1]} in',
        *letters,
        f'        {files}) words= ;;',
        f'        {numbers}) words=; compopt +o default 2>/dev/null ;;',
        '    esac',
        '    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))',
        '}',
        'complete -o default -F _hotpants_cy hotpants-cy',
        ''])


def _zsh():
    def quoted(text):
        return text.replace("'", "'\\''")

    def spec(flag):
        words = quoted(flag.help).replace('[', '\\[').replace(']', '\\]').replace(':', '\\:')
        action = f'({" ".join(_choices(flag))})' if _choices(flag) else '_files' if _takes_file(flag) else ' '
        return f"        '{flag.name}[{words}]" + (f":{flag.name.lstrip('-')}:{action}'" if flag.values else "'")

    commands = ' '.join(f"'{name}:{quoted(words)}'" for name, words in _COMMANDS.items())
    return '\n'.join([
        '#compdef hotpants-cy',
        '_hotpants_cy() {',
        f'    local -a commands=({commands})',
        '    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then _describe command commands; return; fi',
        '    case $words[2] in',
        '        completion) compadd bash zsh fish; return ;;',
        '        demo|extractkern|maskim) _files; return ;;',
        '    esac',
        '    local -a flags=(',
        *map(spec, _ALL),
        "        '*:file:_files'",
        '    )',
        '    _arguments $flags',
        '}',
        'compdef _hotpants_cy hotpants-cy',
        ''])


def _fish():
    def quoted(text):
        return "'" + text.replace('\\', '\\\\').replace("'", "\\'") + "'"

    def line(flag):
        option = f'-l {flag.name[2:]}' if flag.name.startswith('--') else f'-o {flag.name[1:]}'
        value = (f' -x -a {quoted(" ".join(_choices(flag)))}' if _choices(flag)
                 else ' -r -F' if _takes_file(flag) else ' -x' if flag.values else '')
        return f'{main} {option}{value} -d {quoted(flag.help)}'

    first = 'complete -c hotpants-cy -n __fish_use_subcommand'
    main = f"complete -c hotpants-cy -n 'not __fish_seen_subcommand_from {' '.join(_COMMANDS)}'"
    return '\n'.join([
        '# hotpants-cy completion fish',
        *(f'{first} -a {name} -d {quoted(words)}' for name, words in _COMMANDS.items()),
        "complete -c hotpants-cy -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'",
        *map(line, _ALL),
        ''])


_SHELLS = {'bash': _bash, 'zsh': _zsh, 'fish': _fish}
