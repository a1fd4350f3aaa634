"""Comparing runs: loads them and lets the guide speak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui.errors import UserError
from rmtui.guide import comparison
from rmtui.guide.comparison import MOST, Entry, same_set, seedless
from rmtui.guide.model import Subject, common_epoch
from rmtui.guide.paired_test import Clusters, Rewards, paired_test
from rmtui.guide.relabelled import Half, Relabelled, untouched
from rmtui.guide.settings_test import settings_test
from rmtui.guide.short_form import split_verdict
from rmtui.guide.thresholds import Thresholds
from rmtui.i18n import translate
from rmtui.index import settings
from rmtui.index.index import Index
from rmtui.operations import advise, candidates, load_subjects, pair_clusters, relabel_logs
from rmtui.operations.relabel_logs import Logs
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Run
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.documents.guide import CompareDocument

SEEDS = 20
"""Seeds of a setting, the newest, that a comparison of settings reads at most."""


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
        found = comparison.compare(_entries(ws, index, subjects, at, limits), limits, lang)
        if best := found["best"]:
            found["next"] = _next_step(ws, index, index.run(best["run"]), lang)
            if chosen := candidates.choice_of(ws, index, index.run(best["run"]), lang):
                found["chosen"] = chosen
        return found
    finally:
        index.close()


def _next_step(ws: Workspace, index: Index, leader: Run, lang: str) -> str:
    """`Next: 1 epoch at 3e-5 (from A-2)`."""
    _, step = split_verdict(advise.document(ws, index, leader, lang), lang)
    return translate("verdict.next_from", lang, step=step, run=leader.name) if step else ""


def _entries(ws: Workspace, index: Index, subjects: Sequence[Subject], at: str, limits: Thresholds) -> list[Entry]:
    """Each run with the test of its pairs against the first one's: the only place where a comparison tests them."""
    epoch = common_epoch(*subjects) if at == "last" else None
    paths = [_evaluation(item.run, at, epoch) for item in subjects]
    rewards = [load_subjects.read_rewards(path) if path else {} for path in paths]
    clusters: Clusters = pair_clusters.clusters_of(ws, subjects[0].run, paths[0]) if paths[0] else {}
    tests = [
        paired_test(rewards[0], scored, limits, clusters) if place and same_set([subjects[0], item]) else None
        for place, (item, scored) in enumerate(zip(subjects, rewards, strict=True))
    ]
    versions = _versions(ws, [item.run for item in subjects], rewards, clusters, limits)
    seeds = [_seeds(index, item.run, at, epoch) if any(tests) else [] for item in subjects]
    return [
        Entry(
            item,
            path.stem if path else "",
            bool(scored),
            test,
            settings_test(seeds[0], own, clusters, limits)
            if test and own and seeds[0] and _differ(subjects[0], item)
            else None,
            relabelled,
        )
        for item, path, scored, test, own, relabelled in zip(
            subjects, paths, rewards, tests, seeds, versions, strict=True
        )
    ]


def _versions(
    ws: Workspace, runs: Sequence[Run], rewards: Sequence[Rewards], clusters: Clusters, limits: Thresholds
) -> list[Relabelled | None]:
    """What logs of `relabel` say of each run's pairs against the first one's, by the hashes that both recorded."""
    prints = [(_train_print(run), run.val_fingerprint) for run in runs]
    if all(one == prints[0] for one in prints):
        return [None] * len(runs)
    logs = relabel_logs.find(ws, runs)
    found: list[Relabelled | None] = []
    for (train, val), scored in zip(prints, rewards, strict=True):
        halves = _half(logs, prints[0][0], train), _half(logs, prints[0][1], val)
        gap = halves[1].difference
        rest = untouched(rewards[0], scored, gap, limits, clusters) if gap is not None else None
        lost = any(half.same is False and half.difference is None for half in halves)
        one = Relabelled(*halves, rest, logs.damaged if lost else ())
        found.append(one if one.connected or one.damaged else None)
    return found


def _train_print(run: Run) -> str | None:
    found = settings.table(RunFolder(run.folder).spec(), "fingerprints").get("train")
    return found if isinstance(found, str) and found else None


def _half(logs: Logs, first: str | None, other: str | None) -> Half:
    if not first or not other:
        return Half(None)
    return Half(True) if first == other else Half(False, logs.between(first, other))


def _differ(one: Subject, other: Subject) -> bool:
    return seedless(one.run) != seedless(other.run)


def _seeds(index: Index, run: Run, at: str, epoch: int | None) -> list[Rewards]:
    """The rewards of every seed of a run's setting that came as far, itself among them."""
    own = seedless(run)
    family = [
        other
        for other in load_subjects.siblings(index, run)
        if other.id == run.id or (other.state.final and seedless(other) == own and len(other.epochs) == len(run.epochs))
    ]
    named = at not in ("last", "best")
    family = [other for other in family if not named or at in {path.stem for path in load_subjects.evaluations(other)}]
    paths = [_evaluation(other, at, epoch) for other in family[-SEEDS:]]
    return [scored for path in paths if path and (scored := load_subjects.read_rewards(path))]


def _evaluation(run: Run, at: str, epoch: int | None) -> Path | None:
    return load_subjects.evaluation(run, at) if epoch is None else load_subjects.at_epoch(run, epoch)
