"""Run folders for trainings that were not launched here: a spec.toml with its origin, and the figures as events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from rmtui.index import ingest
from rmtui.index.read_events import EPOCH_FIGURES
from rmtui.index.sqlite import Connection, DatabaseError, faults, open_database
from rmtui.index.sync import run_ids
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Epoch
from rmtui.workspace import Workspace
from trainer.events import Event, EventWriter, encode, read_all

Points = Sequence[Sequence[float | None]]
"""(step, value), or (step, value, Unix time); a time that is not known is None."""


def add_imported(
    ws: Workspace,
    spec: Mapping[str, Any],
    epochs: Sequence[Epoch],
    series: Mapping[str, Points],
    origin: Mapping[str, Any],
) -> str:
    """Write the run folder and index it; returns the run's id.

    `spec` may hold name, preset, data, tags, config (nested; unknown values left out) and fingerprints. `origin` says
    where it comes from: `source` (a path, or words), `digest` (of what was read), and `created`, `started`, `ended`
    (Unix seconds) where known. A second import with an equal digest returns the id of the first.
    """
    connection = open_database(ws.database)
    try:
        with faults(ws.database):
            if (known := _same(connection, ws, origin.get("digest"))) is not None:
                return known
        folder = _write(ws, spec, epochs, series, origin)
        with suppress(DatabaseError), faults(ws.database):  # the folder has the truth; the next sync reads it
            ingest.refresh(connection, folder)
        return folder.id
    finally:
        connection.close()


def _same(connection: Connection, ws: Workspace, digest: str | None) -> str | None:
    rows = connection.execute("SELECT id FROM runs WHERE origin = ? ORDER BY n", (digest,)).fetchall()
    indexed = next((run_id for (run_id,) in rows if (ws.runs / run_id).is_dir()), None)
    return indexed or _not_yet_indexed(connection, ws, digest)


def _not_yet_indexed(connection: Connection, ws: Workspace, digest: str | None) -> str | None:
    """The same among the folders that an import wrote and could not index: it was cut off, or the index was locked."""
    there = run_ids(ws.runs)
    (known,) = connection.execute("SELECT count(*) FROM runs").fetchone()
    if digest is None or len(there) == known:
        return None
    new = set(there) - {run_id for (run_id,) in connection.execute("SELECT id FROM runs")}
    same = (run_id for run_id in sorted(new) if _digest_of(RunFolder(ws.runs / run_id)) == digest)
    return next(same, None)


def _digest_of(folder: RunFolder) -> object:
    origin = folder.spec().get("origin")
    return origin.get("digest") if isinstance(origin, Mapping) else None


def _write(
    ws: Workspace,
    spec: Mapping[str, object],
    epochs: Sequence[Epoch],
    series: Mapping[str, Points],
    origin: Mapping[str, object],
) -> RunFolder:
    created = origin.get("created")
    at = float(created) if isinstance(created, (int, float)) else time.time()
    lines = b"".join(encode(event) for event in _events(epochs, series, at))
    document = {**spec, "launch": {"kind": "imported"}, "origin": dict(origin)}
    return RunFolder.create(ws.runs, document, {"events.jsonl": lines})


def extend(ws: Workspace, run_id: str, epochs: Sequence[Epoch], series: Mapping[str, Points]) -> list[Event]:
    """Append to an imported run what its source says by now and did not say before; returns the new events."""
    folder = RunFolder(ws.runs / run_id)
    path = folder.path / "events.jsonl"
    known = set(map(_event_key, read_all(path)))
    new = [event for event in _events(epochs, series, time.time()) if _event_key(event) not in known]
    with EventWriter(path) as writer:
        for event in new:
            writer.write(event)
    if new:
        ingest.catch_up(ws, folder)
    return new


def went_on(folder: RunFolder, epochs: Sequence[Epoch], series: Mapping[str, Points]) -> bool:
    """Whether a source still says all that it said when the run was imported, and may say more."""
    keys = set(map(_event_key, _events(epochs, series, 0.0)))
    return all(_event_key(event) in keys for event in read_all(folder.path / "events.jsonl"))


def _event_key(event: Event) -> tuple[str, float, str]:
    """What an event says, wherever its epoch's end is taken to be while the log still grows."""
    return event.kind, event.epoch if event.kind == "epoch" else event.step, repr(dict(event.metrics))


def _events(epochs: Sequence[Epoch], series: Mapping[str, Points], at: float) -> Iterator[Event]:
    last_step = max((int(point[0] or 0) for points in series.values() for point in points), default=0)
    last_epoch = max((epoch.epoch for epoch in epochs), default=0)
    ends = {_end(epoch, series, last_step, last_epoch): epoch for epoch in epochs}
    figures, times = _by_step(series)
    for step in sorted({*figures, *ends}):
        at = max(at, times.get(step, at))
        position = step * last_epoch / last_step if last_step else float(step)
        for kind, metrics in figures.get(step, {}).items():
            yield Event(kind, at, step, position, metrics)
        if (epoch := ends.get(step)) is not None:
            yield Event("epoch", at, step, float(epoch.epoch), _known(epoch))


def _end(epoch: Epoch, series: Mapping[str, Points], last_step: int, last_epoch: int) -> int:
    """The step at an epoch's end: where its val_loss was measured, else its share of the steps, else its own number."""
    for step, value, *_ in series.get("val_loss", ()):
        if value is not None and value == epoch.val_loss:
            return int(step or 0)
    return round(last_step * epoch.epoch / last_epoch) if last_step else epoch.epoch


def _by_step(series: Mapping[str, Points]) -> tuple[dict[int, dict[str, dict[str, float]]], dict[int, float]]:
    """step → kind of event → metrics, and step → time."""
    metrics: dict[int, dict[str, dict[str, float]]] = {}
    times: dict[int, float] = {}
    for metric, points in series.items():
        kind = "eval" if metric.startswith("val_") or metric in EPOCH_FIGURES else "step"
        for at, value, *when in points:
            step = int(at or 0)
            if value is not None:
                metrics.setdefault(step, {}).setdefault(kind, {})[metric] = float(value)
            if when and when[0] is not None:
                times[step] = when[0]
    return metrics, times


def _known(epoch: Epoch) -> dict[str, float]:
    values = ((name, getattr(epoch, name)) for name in EPOCH_FIGURES)
    return {name: float(value) for name, value in values if value is not None}
