"""Dotted names in comments, docstrings and pages are those of things that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import REPO, resolves

NAMED = re.compile(r"`((?:rmtui|trainer)(?:\.\w+)+)`|\bsee ((?:rmtui|trainer)(?:\.\w+)+)")
PLACED = re.compile(r"`((?:rmtui|trainer)/[\w/]+\.(?:py|toml|css|yaml))`")
TEXTS = [
    path
    for folder, ending in (("rmtui", "*.py"), ("trainer", "*.py"), ("docs", "*.md"), ("benchmarks", "*.md"))
    for path in sorted((REPO / folder).rglob(ending))
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(REPO)))
def test_what_a_text_names_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = {first or second for first, second in NAMED.findall(text)}
    assert {name for name in named if not resolves(name)} == set()
    assert {place for place in PLACED.findall(text) if not (REPO / place).is_file()} == set()


def test_a_name_that_is_nowhere_is_found() -> None:
    assert resolves("trainer.estimate.Derived") and not resolves("trainer.train.Derived")


def test_prose_of_the_design_is_at_most_120_wide() -> None:
    text = (REPO / "docs" / "DESIGN.md").read_text(encoding="utf-8")
    prose = "".join(text.split("```")[::2])
    assert [line for line in prose.splitlines() if len(line) > 120 and not line.startswith("|")] == []
