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


FACES = ("rmtui/app/screens", "rmtui/app/presentation", "rmtui/app/jobs", "rmtui/documents")
"""Rooms whose files are called as the subject that they show, load or describe."""
ONE_THING = {
    "model.py": "the plain facts of its room",
    "files.py": "files that are replaced in one step",
    "logs.py": "log files: reading them, and importing those of other programs",
    "tensorboard.py": "one format, read and written",
}


def test_a_file_name_stands_twice_only_where_it_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for package in ("rmtui", "trainer"):
        for path in sorted((REPO / package).rglob("*.py")):
            if not path.name.startswith("__") and str(path.parent.relative_to(REPO)) not in FACES:
                places.setdefault(path.name, []).append(str(path.relative_to(REPO)))
    assert {name for name, found in places.items() if len(found) > 1} <= set(ONE_THING), places


def test_prose_of_the_design_is_at_most_120_wide() -> None:
    text = (REPO / "docs" / "DESIGN.md").read_text(encoding="utf-8")
    prose = "".join(text.split("```")[::2])
    assert [line for line in prose.splitlines() if len(line) > 120 and not line.startswith("|")] == []
