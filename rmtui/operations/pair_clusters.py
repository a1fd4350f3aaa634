"""Which scored pairs of a run belong together: from its records, or from its validation file where those are older."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from rmtui.guide.model import Subject
from rmtui.guide.paired_test import Clusters, right
from rmtui.operations import load_subjects
from rmtui.runs.model import Epoch, Run
from rmtui.workspace import Workspace
from trainer.clusters import find_clusters
from trainer.intervals import effective_pairs
from trainer.pairs import Row, Unreadable, distinct_ids, is_data, read_rows


def clusters_of(ws: Workspace, run: Run, path: Path) -> Clusters:
    """Pair id → cluster for the pairs of one evaluation; empty where neither records nor the file name them all."""
    recorded, ids = load_subjects.read_clusters(path)
    return recorded or in_file(ws, run, ids)


def in_file(ws: Workspace, run: Run, ids: frozenset[str]) -> Clusters:
    """By the run's validation file; empty where it is gone, or lacks one of the pairs."""
    data = run.config.get("data")
    name, fields = (data.get("val"), data.get("fields")) if isinstance(data, Mapping) else (None, None)
    path = ws.path(name) if isinstance(name, str) and name else None
    if path is None or not ids or not is_data(path):
        return {}
    mapped = tuple(sorted(fields.items())) if isinstance(fields, Mapping) else ()
    found = _read(path, mapped, _changed(path))
    return {pair: found[pair] for pair in ids} if ids <= found.keys() else {}


def _changed(path: Path) -> tuple[int, int]:
    """By what a file is known to be another one; of a name that stands for several files nothing."""
    try:
        seen = path.stat()
    except OSError:
        return 0, 0
    return seen.st_mtime_ns, seen.st_size


@lru_cache(maxsize=8)
def _read(path: Path, fields: tuple[tuple[str, str], ...], changed: tuple[int, int]) -> Mapping[str, str]:
    try:
        rows = distinct_ids(row for row in read_rows(path, dict(fields)) if isinstance(row, Row))
    except Unreadable:
        return {}
    return find_clusters(rows).of


def with_clusters(ws: Workspace, item: Subject) -> Subject:
    """The run with the effective number of pairs of each epoch, where its trainer was too old to report it."""
    epochs = tuple(_filled(ws, item.run, row) for row in item.run.epochs)
    if epochs == item.run.epochs:
        return item
    last = epochs[-1]
    run = item.run._replace(epochs=epochs, val_clusters=last.val_clusters, val_effective=last.val_effective)
    return replace(item, run=run)


def _filled(ws: Workspace, run: Run, row: Epoch) -> Epoch:
    path = load_subjects.at_epoch(run, row.epoch) if row.val_effective is None and row.val_acc is not None else None
    if path is None or row.entered:
        return row
    clusters, rewards = clusters_of(ws, run, path), load_subjects.read_rewards(path)
    if not clusters or not rewards.keys() <= clusters.keys():
        return row
    found = effective_pairs([right(one) for one in rewards.values()], [clusters[pair] for pair in rewards])
    return row._replace(val_clusters=found.clusters, val_effective=found.effective)
