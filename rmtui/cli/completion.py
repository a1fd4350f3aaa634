"""Shell completion, written from the parser: verbs, their options, and files where nothing else fits."""

from __future__ import annotations

import argparse


def script(top: argparse.ArgumentParser, shell: str) -> str:
    """The completion script for bash, zsh or fish."""
    verbs = _verbs(top)
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](verbs)


def _verbs(top: argparse.ArgumentParser) -> dict[str, tuple[str, list[str]]]:
    """verb → (help, its long options)."""
    found = {}
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                options = [text for made in below._actions for text in made.option_strings if text.startswith("--")]
                found[str(name)] = (below.description or "", options)
    return found


def _bash(verbs: dict[str, tuple[str, list[str]]]) -> str:
    cases = "\n".join(f'        {name}) words="{" ".join(options)}" ;;' for name, (_, options) in verbs.items())
    return f"""# bash completion of rmtui
_rmtui() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" verb="" words="" word folder=""
    if [[ "$before" == -C ]]; then
        COMPREPLY=($(compgen -d -- "$current"))
        return
    fi
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        if [[ -n "$folder" ]]; then folder=""; continue; fi
        case "$word" in -C) folder=next ;; -*) ;; *) verb="$word"; break ;; esac
    done
    case "$verb" in
        "") words="{" ".join(verbs)}" ;;
{cases}
    esac
    if [[ -z "$verb" || "$current" == -* ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    else
        COMPREPLY=($(compgen -f -- "$current"))
    fi
}}
complete -o filenames -F _rmtui rmtui
"""


def _zsh(verbs: dict[str, tuple[str, list[str]]]) -> str:
    names = "\n".join(f"        '{name}:{_quoted(help)}'" for name, (help, _) in verbs.items())
    cases = "\n".join(f"        {name}) options=({' '.join(options)}) ;;" for name, (_, options) in verbs.items())
    return f"""#compdef rmtui
_rmtui() {{
    local -a verbs options
    verbs=(
{names}
    )
    local at=2
    if [[ "$words[2]" == -C ]]; then at=4; fi
    if (( CURRENT == at )); then
        _describe verb verbs
        return
    fi
    case "$words[at]" in
{cases}
    esac
    if [[ "$PREFIX" == -* ]]; then compadd -- $options; else _files; fi
}}
_rmtui "$@"
"""


def _fish(verbs: dict[str, tuple[str, list[str]]]) -> str:
    lines = ["# fish completion of rmtui"]
    for name, (help, options) in verbs.items():
        lines.append(f"complete -c rmtui -n __fish_use_subcommand -a {name} -d '{_quoted(help)}'")
        lines += [f"complete -c rmtui -n '__fish_seen_subcommand_from {name}' -l {text[2:]}" for text in options]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace("'", "").replace(":", "")
