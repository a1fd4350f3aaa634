"""Writes the pages of docs/ that come from the program; `--check` only says which are out of date."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rmtui.cli import parser
from rmtui.cli.verbs import Verb
from trainer.config import OPTIONS, Option, figure, range_text

DOCS = Path(__file__).resolve().parent
_HEAD = "<!-- Written by docs/generate.py; change the source it names, then run it. -->\n"


def configuration() -> str:
    """The reference of every option, from trainer/config.py."""
    lines = [
        "# Configuration reference",
        "",
        _HEAD,
        "Source: `trainer/config.py`. The same keys stand in presets (TOML), `--set key=value`, the form and",
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
    usual = f" (usual {figure(option.meta.usual[0])} … {figure(option.meta.usual[1])})" if option.meta.usual else ""
    default = figure(option.default) if option.type in ("int", "float") else str(option.default).lower()
    shown = f"`{default}`" if option.default not in ("", [], {}) else "–"
    return f"| `{option.key}` | {shown} | {range_text(option)}{usual} | {option.meta.unit} | {option.meta.help} |"


def command_line() -> str:
    """Every verb with its help, as `rmtui VERB --help` prints it."""
    os.environ["COLUMNS"] = "100"
    top = parser()
    parts = ["# Command line", "", _HEAD]
    parts.append(
        "Exit codes: 0 done · 1 the run or check failed · 2 wrong usage, configuration or file · 130 interrupted."
    )
    parts += ["", "```", top.format_help().rstrip(), "```"]
    for verb, below in _verbs(top):
        parts += ["", f"## {verb.name}", "", "```", below.format_help().rstrip(), "```"]
    return "\n".join(parts) + "\n"


def _verbs(top: argparse.ArgumentParser) -> Iterator[tuple[Verb, argparse.ArgumentParser]]:
    (choices,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    for below in choices.choices.values():
        yield below.get_default("run_verb"), below


PAGES = {"configuration.md": configuration, "cli.md": command_line}


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
    return stale if "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
