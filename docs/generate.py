"""Writes the pages of docs/ that come from the program; `--check` only says which are out of date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby, zip_longest
from pathlib import Path

import schemas
from textual.keys import format_key

from rmtui.app.actions import DIGITS, LETTERS, PANES, of_pane
from rmtui.cli import parser
from rmtui.cli.verb import Verb
from trainer.config import OPTIONS, Option, range_text
from trainer.values import format_number

DOCS = Path(__file__).resolve().parent
_HEAD = "<!-- Written by docs/generate.py; change the source it names, then run it. -->\n"


def configuration() -> str:
    """The reference of every option, from trainer/config.py."""
    lines = [
        "# Configuration reference",
        "",
        _HEAD,
        "Source: `trainer/config.py`. The same keys are used in presets (TOML), `--set key=value`, the form and",
        "`spec.toml`; a dotted key is a table in TOML (`[lora]`, then `r = 32`). Impossible values are refused,",
        "unusual ones warned of.",
    ]
    ordered = sorted(OPTIONS.values(), key=lambda option: _GROUPS.index(option.meta.group))
    for group, rows in groupby(ordered, key=lambda option: option.meta.group):
        lines += [
            "",
            f"## {group.capitalize()}",
            "",
            "| key | default | values | unit | what it is |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(option) for option in rows]
    return "\n".join(lines) + "\n"


_GROUPS = ["model", "data", "training", "lora", "evaluation", "checkpoints", "loss", "speed"]


def _row(option: Option) -> str:
    usual = (
        f" (usual {format_number(option.meta.usual[0])} … {format_number(option.meta.usual[1])})"
        if option.meta.usual
        else ""
    )
    default = format_number(option.default) if option.type in ("int", "float") else str(option.default).lower()
    shown = f"`{default}`" if option.default not in ("", [], {}) else "–"
    return f"| `{option.key}` | {shown} | {range_text(option)}{usual} | {option.meta.unit} | {option.meta.help} |"


def command_line() -> str:
    """Every verb with its arguments, defaults and examples."""
    top = parser()
    verbs = list(_verbs(top))
    lines = ["# Command line", "", _HEAD, *_INTRODUCTION, "", "| verb | what it does |", "|---|---|"]
    lines += [f"| [`{verb.name}`](#{verb.name}) | {_cell(verb.help)} |" for verb, _ in verbs]
    for verb, below in verbs:
        lines += ["", f"## {verb.name}", "", f"{verb.help[0].upper()}{verb.help[1:]}.", "", *_usage(verb, below)]
        lines += [*_arguments(below), *_examples(verb)]
    return "\n".join(lines) + "\n"


_INTRODUCTION = (
    "Source: `rmtui/cli/`. `rmtui` alone opens the app; `rmtui VERB --help` prints the same. Every verb takes",
    "`-C DIR`, the workspace (default: this folder), and `-h`. RUN is an id, a name, a unique beginning of one,",
    "`@latest` or `@best`. On a terminal lists come as tables, in a pipe as lines with tabs between the values;",
    "`--json` prints one document, described in `docs/schema/`.",
    "",
    "Exit codes: 0 done · 1 the run or check failed · 2 wrong usage, configuration or file · 130 interrupted.",
)


def _verbs(top: argparse.ArgumentParser) -> Iterator[tuple[Verb, argparse.ArgumentParser]]:
    (choices,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    for below in choices.choices.values():
        yield below.get_default("run_verb"), below


def _own(below: argparse.ArgumentParser) -> list[argparse.Action]:
    """The verb's arguments without those that every verb has."""
    return [action for action in below._actions if not {"-h", "-C"} & set(action.option_strings)]


def _usage(verb: Verb, below: argparse.ArgumentParser) -> Iterator[str]:
    named = [action for action in _own(below) if action.option_strings]
    placed = [action for action in _own(below) if not action.option_strings]
    words = [f"rmtui {verb.name}", *map(_placed, placed), *(["[OPTIONS]"] if named else [])]
    yield from ("```", " ".join(words), "```")


def _placed(action: argparse.Action) -> str:
    """An argument without a dash, as often as it may be given: `RUN`, `RUN …`, `[DIR]`."""
    name = _value(action)
    return {"+": f"{name} …", "*": f"[{name} …]", "?": f"[{name}]"}.get(str(action.nargs), name)


def _value(action: argparse.Action) -> str:
    """What stands for the value in the help: the metavar, the choices, or the name in capitals."""
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    choices = f"{{{','.join(map(str, action.choices))}}}" if action.choices else ""
    return action.metavar or choices or action.dest.upper()


def _arguments(below: argparse.ArgumentParser) -> Iterator[str]:
    if rows := _own(below):
        yield from ("", "| argument | default | what it is |", "|---|---|---|")
    for action in rows:
        value = "" if action.nargs == 0 else f" {_value(action)}"
        names = ", ".join(f"`{option}{value}`" for option in action.option_strings) or f"`{_placed(action)}`"
        unset = action.default in (None, False, "", argparse.SUPPRESS) or action.default == []
        yield f"| {_cell(names)} | {'' if unset else f'`{action.default}`'} | {_cell(action.help or '')} |"


def _examples(verb: Verb) -> Iterator[str]:
    if verb.examples:
        yield from ("", "```sh", *verb.examples, "```")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def keys() -> str:
    """Every key of the app, pane by pane."""
    lines = ["# Keys", "", _HEAD, *_KEYS_INTRODUCTION]
    lines += ["", "## What a letter means, on every screen", "", "| key | means | key | means |", "|---|---|---|---|"]
    senses = [f"| `{key}` | {meaning} " for key, meaning in (DIGITS | LETTERS).items()]
    half = (len(senses) + 1) // 2
    lines += [f"{left}{right}|" for left, right in zip_longest(senses[:half], senses[half:], fillvalue="| | ")]
    for pane, title in PANES.items():
        lines += ["", f"## {title[0].upper()}{title[1:]}", "", "| key | id | what it does |", "|---|---|---|"]
        lines += [
            f"| {_keys(action.keys)} | `{action.id}` | {_cell(action.help or action.word)} |"
            for action in of_pane(pane)
        ]
    return "\n".join(lines) + "\n"


_KEYS_INTRODUCTION = (
    "Source: `rmtui/app/actions.py`. In the app `?` shows what each key does in the focused pane, and `:` finds an",
    "action by name. `keys.toml` gives an action other keys by its id ([how](files.md#keystoml)).",
)


def _keys(names: str) -> str:
    return " ".join(f"`{'enter' if name == 'enter' else _cell(format_key(name))}`" for name in names.split(","))


PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "cli.md": command_line,
    "keys.md": keys,
    **{f"schema/{name}.json": partial(schemas.page, name) for name in schemas.DOCUMENTS},
}


def main() -> int:
    """Write, or with --check compare, every generated page; returns how many were out of date."""
    stale = 0
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if path.is_file() and path.read_text() == text:
            continue
        stale += 1
        if "--check" in sys.argv:
            print(f"docs/{name} is out of date: python docs/generate.py")
        else:
            path.write_text(text)
    for path in sorted((DOCS / "schema").glob("*.json")):
        if f"schema/{path.name}" not in PAGES:
            stale += 1
            print(f"docs/schema/{path.name} is of no document: remove it")
    return stale if "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
