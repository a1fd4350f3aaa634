"""Shell completion, written from the parser: verbs, options and their values, names of runs, else files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass


def script(top: argparse.ArgumentParser, shell: str) -> str:
    """The completion script for bash, zsh or fish."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](_verbs(top))


@dataclass(frozen=True, slots=True)
class _Verb:
    """What a shell offers after a verb."""

    help: str
    options: list[str]
    values: dict[str, list[str]]
    """Option → the values it may have; "" is the verb's first argument."""
    runs: bool
    """Its arguments are runs."""


def _verbs(top: argparse.ArgumentParser) -> dict[str, _Verb]:
    found = {}
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                found[str(name)] = _verb(below)
    return found


def _verb(below: argparse.ArgumentParser) -> _Verb:
    options = [text for made in below._actions for text in made.option_strings if text.startswith("--")]
    values = {
        made.option_strings[-1] if made.option_strings else "": [str(choice) for choice in made.choices]
        for made in below._actions
        if made.choices
    }
    runs = any(str(made.metavar).startswith("RUN") for made in below._actions if not made.option_strings)
    return _Verb(below.description or "", options, values, runs)


def _values(verbs: dict[str, _Verb]) -> Iterator[tuple[str, str, list[str]]]:
    """(verb, word before, values that may follow it)."""
    for name, verb in verbs.items():
        for option, values in verb.values.items():
            yield name, option or name, values


def _with_runs(verbs: dict[str, _Verb]) -> list[str]:
    return [name for name, verb in verbs.items() if verb.runs]


def _bash(verbs: dict[str, _Verb]) -> str:
    cases = "\n".join(f'        {name}) words="{" ".join(verb.options)}" ;;' for name, verb in verbs.items())
    values = "\n".join(
        f'        "{name} {before}") COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$current")); return ;;'
        for name, before, words in _values(verbs)
    )
    return f"""# bash completion of rmtui
_rmtui() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" verb="" words="" word at folder=.
    if [[ "$before" == -C ]]; then
        COMPREPLY=($(compgen -d -- "$current"))
        return
    fi
    for ((at = 1; at < COMP_CWORD; at++)); do
        word="${{COMP_WORDS[at]}}"
        case "$word" in -C) ((at++)); folder="${{COMP_WORDS[at]}}" ;; -*) ;; *) verb="$word"; break ;; esac
    done
    case "$verb $before" in
{values}
    esac
    case "$verb" in
        "") words="{" ".join(verbs)}" ;;
{cases}
    esac
    if [[ -z "$verb" || "$current" == -* ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$current"))
        return
    fi
    local IFS=$'\\n'
    case "$verb" in
        {"|".join(_with_runs(verbs))})
            COMPREPLY=($(compgen -W "$(rmtui -C "$folder" ls 2>/dev/null | tail -n +2 | cut -f2)" -- "$current")) ;;
    esac
    COMPREPLY+=($(compgen -f -- "$current"))
}}
complete -o filenames -F _rmtui rmtui
"""


def _zsh(verbs: dict[str, _Verb]) -> str:
    names = "\n".join(f"        '{name}:{_single(verb.help, colons=True)}'" for name, verb in verbs.items())
    cases = "\n".join(f"        {name}) options=({' '.join(verb.options)}) ;;" for name, verb in verbs.items())
    values = "\n".join(
        f'        "{name} {before}") compadd -- {" ".join(words)}; return ;;' for name, before, words in _values(verbs)
    )
    return f"""#compdef rmtui
_rmtui() {{
    local -a verbs options
    verbs=(
{names}
    )
    local at=2 folder=.
    if [[ "$words[2]" == -C ]]; then at=4; folder="$words[3]"; fi
    if (( CURRENT < at )); then
        _files -/
        return
    fi
    if (( CURRENT == at )); then
        _describe verb verbs
        return
    fi
    case "$words[at] $words[CURRENT-1]" in
{values}
    esac
    case "$words[at]" in
{cases}
    esac
    if [[ "$PREFIX" == -* ]]; then
        compadd -- $options
        return
    fi
    case "$words[at]" in
        {"|".join(_with_runs(verbs))})
            compadd -- ${{(f)"$(rmtui -C "$folder" ls 2>/dev/null | tail -n +2 | cut -f2)"}} ;;
    esac
    _files
}}
_rmtui "$@"
"""


_FISH = """# fish completion of rmtui
function __rmtui_words
    # The words before the cursor without the program's name and without -C DIR.
    set -l words (commandline -opc)
    set -e words[1]
    if test "$words[1]" = -C
        set -e words[1]
        set -e words[1]
    end
    string join \\n -- $words
end
function __rmtui_is
    set -l words (__rmtui_words)
    test "$words[1]" = "$argv[1]"
end
function __rmtui_after
    set -l words (__rmtui_words)
    test "$words[1]" = "$argv[1]"; and test "$words[-1]" = "$argv[2]"
end
function __rmtui_runs
    set -l words (commandline -opc)
    set -l folder .
    if test "$words[2]" = -C
        set folder $words[3]
    end
    rmtui -C $folder ls 2>/dev/null | tail -n +2 | cut -f2
end
complete -c rmtui -n '__rmtui_is ""' -o C -x -a '(__fish_complete_directories)' -d 'the workspace'
"""


def _fish(verbs: dict[str, _Verb]) -> str:
    lines = [_FISH.rstrip()]
    for name, verb in verbs.items():
        lines.append(f"complete -c rmtui -n '__rmtui_is \"\"' -f -a {name} -d '{_single(verb.help)}'")
        lines += [f"complete -c rmtui -n '__rmtui_is {name}' -l {option[2:]}" for option in verb.options]
    lines += [f"complete -c rmtui -n '__rmtui_is {name}' -a '(__rmtui_runs)'" for name in _with_runs(verbs)]
    lines += [
        f"complete -c rmtui -n '__rmtui_after {name} {before}' -f -a '{' '.join(words)}'"
        for name, before, words in _values(verbs)
    ]
    return "\n".join(lines) + "\n"


def _single(text: str, colons: bool = False) -> str:
    """A text between single quotes, as zsh and fish both read it; for zsh's lists colons are escaped, too."""
    text = text.replace("'", "’")
    return text.replace(":", "\\:") if colons else text
