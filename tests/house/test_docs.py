"""The pages say what the program does: generated ones are fresh, commands, options, keys and links exist."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmtui.app.actions import ACTIONS
from rmtui.app.widgets.table.run_table import RunTable
from rmtui.cli import parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_the_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pages
def test_every_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def verbs() -> dict[str, argparse.ArgumentParser]:
    (below,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(below.choices)


def commands(page: Path) -> Iterator[list[str]]:
    """Words of every `rmtui VERB …` in code, up to a comment, a redirection or the next command."""
    text = page.read_text("utf-8")
    pieces = re.findall(r"`([^`\n]+)`", text)
    pieces += [line for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    for piece in pieces:
        for command in re.findall(r"(?:^|&& )rmtui ([^&|<>#]*)", piece.strip()):
            lexer = shlex.shlex(command, posix=True, punctuation_chars=False)
            lexer.whitespace_split, lexer.quotes = True, "'\""
            try:
                words = list(lexer)
            except ValueError:
                words = command.split()
            yield words


@pages
def test_every_verb_and_option_that_is_written_down_exists(page: Path) -> None:
    known, wrong = verbs(), []
    for words in commands(page):
        if words[:1] == ["-C"]:
            words = words[2:]
        if not words or words[0] in ("VERB", "--help", "--version"):
            continue
        options = known[words[0]]._option_string_actions if words[0] in known else None
        named = [word.partition("=")[0] for word in words if word.startswith("--")]
        if options is None or any(name not in options for name in named):
            wrong.append(" ".join(words))
    assert wrong == []


def test_every_verb_has_an_example_and_explains_its_arguments() -> None:
    for name, below in verbs().items():
        assert below.get_default("run_verb").examples, name
        assert [action.dest for action in below._actions if not action.help and not action.choices] == [], name


def test_the_readmes_keys_are_bound_at_home() -> None:
    (table,) = re.findall(r"## Ten keys\n(.*?)\n## ", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    cells = [cell for row in table.splitlines() if row.startswith("| `") for cell in row.split("|")[1:4:2]]
    written = {key for cell in cells for group in re.findall(r"`([^`]+)`", cell) for key in group.split()}
    home = {key for action in ACTIONS if action.pane in ("home", "app") for key in action.keys.split(",")}
    home |= {key for binding in RunTable.BINDINGS for key in binding.key.split(",")}  # type: ignore[union-attr]
    names = {"↑": "up", "↓": "down", "/": "slash", "?": "question_mark"}
    assert written and {names.get(key, key) for key in written} <= home


@pytest.mark.parametrize("path", [*PAGES, *PICTURES], ids=lambda path: path.name)
def test_no_page_or_picture_names_a_machine_or_needs_a_network(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"(?<![\w.~])/(root|tmp|work)/", text)
    if path.suffix == ".svg":
        assert "@import" not in text and "url(http" not in text and 'url("http' not in text
        assert path.stat().st_size < 300_000
