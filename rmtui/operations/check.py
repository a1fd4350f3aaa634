"""Checking preference data: for the verb, the screen, and before every launch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rmtui.guide.datacheck.facts import Finding, Report

Progress = Callable[[str, float], None]
"""Called with the name of the pass and the share done, 0–1."""


def check(
    files: Sequence[Path],
    *,
    model: Path | None = None,
    max_length: int = 512,
    near: bool = True,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Report:
    """Check the files line by line and against each other; `cancelled` ends the pass for near-duplicates.

    `model` is a folder with a tokenizer.json, whose tokens are counted against `max_length`.
    Raises UserError when a file cannot be opened.
    """
    return Report(())


def document(report: Report) -> dict[str, Any]:
    """The document of `check --json`."""
    return {}


def fix(path: Path, out: Path, report: Report) -> tuple[int, int]:
    """Write the rows of `path` without those that a report drops; returns rows kept and dropped.

    What was dropped goes to OUT.dropped.jsonl with its line and reason. The input is never written.
    """
    return 0, 0


def before_launch(train: Path, val: Path, *, model: Path | None = None, max_length: int = 512) -> list[Finding]:
    """The exact checks of a launch's two files, worst first, from a cache when neither file changed.

    Errors stop a launch, warnings ask. A message names its file.
    """
    return []
