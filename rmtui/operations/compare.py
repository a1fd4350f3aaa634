"""Comparing runs: loads them and lets the guide speak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.guide import comparison
from rmtui.guide.comparison import MOST, Entry
from rmtui.guide.model import Subject, common_epoch
from rmtui.index.index import Index
from rmtui.operations import load_subjects
from rmtui.runs.model import Run
from rmtui.workspace import Workspace


def compare(ws: Workspace, refs: Sequence[str], lang: str = "en", at: str = "last") -> dict[str, Any]:
    """The document of `compare --json` for two to six runs; every difference is against the first.

    `at` chooses the evaluation whose pairs are tested: last (while a run is unfinished, the last epoch that all
    reached), best, or a name such as epoch-2.
    """
    index = Index.open_reading(ws)
    try:
        index.sync()
        ids = list(dict.fromkeys(index.resolve(ref) for ref in refs))
        if not 2 <= len(ids) <= MOST:
            raise UserError(f"a comparison takes 2 to {MOST} runs, not {len(ids)}", remedy="rmtui compare RUN RUN…")
        runs = [index.run(run_id) for run_id in ids]
        entries = _entries(index, runs, at)
    finally:
        index.close()
    return comparison.compare(entries, load_subjects.limits(ws), lang)


def _entries(index: Index, runs: Sequence[Run], at: str) -> list[Entry]:
    found = [load_subjects.subject(index, run) for run in runs]
    epoch = common_epoch(*found) if at == "last" else None
    return [
        _entry(
            item, load_subjects.evaluation(item.run, at) if epoch is None else load_subjects.at_epoch(item.run, epoch)
        )
        for item in found
    ]


def _entry(subject: Subject, path: Path | None) -> Entry:
    return Entry(subject, load_subjects.read_rewards(path), path.stem) if path else Entry(subject)
