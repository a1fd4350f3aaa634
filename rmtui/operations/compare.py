"""Comparing runs: loads them and lets the guide speak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui.errors import UserError
from rmtui.guide import comparison
from rmtui.guide.comparison import MOST, Entry, same_set
from rmtui.guide.model import Subject, common_epoch
from rmtui.guide.paired_test import Clusters, paired_test
from rmtui.guide.short_form import split_verdict
from rmtui.guide.thresholds import Thresholds
from rmtui.i18n import translate
from rmtui.index.index import Index
from rmtui.operations import advise, load_subjects, pair_clusters
from rmtui.runs.model import Run
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.documents.guide import CompareDocument


def compare(ws: Workspace, refs: Sequence[str], lang: str = "en", at: str = "last") -> CompareDocument:
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
        subjects = [pair_clusters.with_clusters(ws, load_subjects.subject(index, run)) for run in runs]
        limits = load_subjects.limits(ws)
        found = comparison.compare(_entries(ws, subjects, at, limits), limits, lang)
        if best := found["best"]:
            found["next"] = _next_step(ws, index, index.run(best["run"]), lang)
        return found
    finally:
        index.close()


def _next_step(ws: Workspace, index: Index, leader: Run, lang: str) -> str:
    """`Next: 1 epoch at 3e-5 (from A-2)`."""
    _, step = split_verdict(advise.document(ws, index, leader, lang), lang)
    return translate("verdict.next_from", lang, step=step, run=leader.name) if step else ""


def _entries(ws: Workspace, subjects: Sequence[Subject], at: str, limits: Thresholds) -> list[Entry]:
    """Each run with the test of its pairs against the first one's: the only place where a comparison tests them."""
    epoch = common_epoch(*subjects) if at == "last" else None
    paths = [_evaluation(item.run, at, epoch) for item in subjects]
    rewards = [load_subjects.read_rewards(path) if path else {} for path in paths]
    clusters: Clusters = {}
    if paths[0]:
        clusters = pair_clusters.clusters_of(ws, subjects[0].run, paths[0])
    return [
        Entry(
            item,
            path.stem if path else "",
            bool(scored),
            paired_test(rewards[0], scored, limits, clusters) if place and same_set([subjects[0], item]) else None,
        )
        for place, (item, path, scored) in enumerate(zip(subjects, paths, rewards, strict=True))
    ]


def _evaluation(run: Run, at: str, epoch: int | None) -> Path | None:
    return load_subjects.evaluation(run, at) if epoch is None else load_subjects.at_epoch(run, epoch)
