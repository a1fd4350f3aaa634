"""Run folders for trainings that were not launched here: a spec.toml with its origin, and the metrics as events."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from rmtui.index import ingest
from rmtui.index.read_events import EPOCH_FIGURES
from rmtui.index.sqlite import Connection, DatabaseError, faults, open_database
from rmtui.index.sync import run_ids
from rmtui.runs.epoch_places import epoch_at
from rmtui.runs.files import write_toml
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Epoch
from rmtui.workspace import Workspace
from trainer.events import Event, EventWriter, encode, read_all
from trainer.files import PRIVATE, replace_file


@dataclass(frozen=True, slots=True)
class Placing:
    """Where in its training a source puts its steps."""

    places: Mapping[int, float] = field(default_factory=dict)
    """Step → epoch, in order of steps."""
    total_steps: int | None = None
    numbered: bool = False
    """The source gives no steps: they number its lines."""
    reached: tuple[int | None, float | None] = (None, None)
    """Step and epoch to which the source reaches."""


UNPLACED = Placing()
Points = Sequence[Sequence[float | None]]
"""(step, value), or (step, value, Unix time); a time that is not known is None."""


def add_imported(
    ws: Workspace,
    spec: Mapping[str, object],
    epochs: Sequence[Epoch],
    series: Mapping[str, Points],
    origin: Mapping[str, object],
    placing: Placing = UNPLACED,
) -> str:
    """Write the run folder and index it; returns the run's id.

    `spec` may hold name, preset, data, tags, config (nested; unknown values left out) and fingerprints. `origin` says
    where it comes from: `source` (a path, or words), `digest` (of what was read), and `created`, `started`, `ended`
    (Unix seconds) where known, `reason` (how the source ends, in words), `metrics` (metric → its name there), `unused`
    (keys that were not read). A second import with an equal digest returns the id of the first.
    """
    connection = open_database(ws.database)
    try:
        with faults(ws.database):
            if (known := _same(connection, ws, origin.get("digest"))) is not None:
                return known
        folder = _write(ws, spec, list(_events(epochs, series, placing, _created(origin))), origin)
        with suppress(DatabaseError), faults(ws.database):  # the folder has the truth; the next sync reads it
            ingest.refresh(connection, folder)
        return folder.id
    finally:
        connection.close()


def _same(connection: Connection, ws: Workspace, digest: object) -> str | None:
    rows = connection.execute("SELECT id FROM runs WHERE origin = ? ORDER BY n", (digest,)).fetchall()
    indexed = next((run_id for (run_id,) in rows if (ws.runs / run_id).is_dir()), None)
    return indexed or _not_yet_indexed(connection, ws, digest)


def _not_yet_indexed(connection: Connection, ws: Workspace, digest: object) -> str | None:
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


def _created(origin: Mapping[str, object]) -> float:
    created = origin.get("created")
    return float(created) if isinstance(created, (int, float)) else time.time()


def _write(
    ws: Workspace, spec: Mapping[str, object], events: Sequence[Event], origin: Mapping[str, object]
) -> RunFolder:
    document = {**spec, "launch": {"kind": "imported"}, "origin": dict(origin)}
    return RunFolder.create(ws.runs, document, {"events.jsonl": b"".join(map(encode, events))})


def bring_up_to_date(
    ws: Workspace,
    run_id: str,
    spec: Mapping[str, object],
    epochs: Sequence[Epoch],
    series: Mapping[str, Points],
    origin: Mapping[str, object],
    placing: Placing = UNPLACED,
) -> list[Event]:
    """Make an imported run say what its source says by now; returns the events that are new.

    New events are appended; where the source no longer says what was read of it, the events are replaced as a whole.
    What a person set (meta.toml) stays.
    """
    folder = RunFolder(ws.runs / run_id)
    path = folder.path / "events.jsonl"
    now = list(_events(epochs, series, placing, time.time()))
    before = Counter(map(_event_key, read_all(path)))
    left = Counter(before)
    new = [event for event in now if not _take_one(left, _event_key(event))]
    if left.total():
        created = origin.get("created")
        at = float(created) if isinstance(created, (int, float)) else time.time()
        replace_file(path, b"".join(map(encode, _events(epochs, series, placing, at))), PRIVATE)
    elif new:
        with EventWriter(path) as writer:
            for event in new:
                writer.write(event)
    old = folder.spec()
    digest = origin.get("digest") if left.total() else old.get("origin", {}).get("digest")
    known = {name: value for name, value in {**origin, "digest": digest}.items() if value is not None}
    document = {**old, **spec, "origin": known}
    if new or left.total() or document != old:
        write_toml(folder.path / "spec.toml", document)
        with suppress(DatabaseError):  # the folder has the truth; the next sync reads it
            ingest.catch_up(ws, folder)
    return [event for event in new if event.metrics]


def _take_one(left: Counter[EventKey], key: EventKey) -> bool:
    """Whether there is one more of these; it is taken off."""
    there = left[key] > 0
    left[key] -= there
    return there


def went_on(folder: RunFolder, epochs: Sequence[Epoch], series: Mapping[str, Points]) -> bool:
    """Whether a source still says all that it said when the run was imported, and may say more.

    What is worked out of it (an epoch's mean, where a training ends) may have changed.
    """
    keys = {_event_key(event) for event in _events(epochs, series, UNPLACED, 0.0) if event.kind != "epoch"}
    ends = [set(_known(epoch).items()) for epoch in epochs]
    return all(
        _is_said(event, keys, ends)
        for event in read_all(folder.path / "events.jsonl")
        if event.kind in ("step", "eval", "epoch")
    )


def _is_said(event: Event, keys: set[EventKey], ends: Sequence[set[tuple[str, float]]]) -> bool:
    if event.kind != "epoch":
        return _event_key(event) in keys
    validated = {(name, value) for name, value in event.metrics.items() if name != "train_loss"}
    return any((validated or set(event.metrics.items())) <= end for end in ends)


def began_as(folder: RunFolder, epochs: Sequence[Epoch], series: Mapping[str, Points]) -> bool:
    """Whether a run and a source begin with the same metrics, so that both are one training."""
    first = next((event for event in read_all(folder.path / "events.jsonl") if event.metrics), None)
    return first is None or _is_said(
        first,
        {_event_key(event) for event in _events(epochs, series, UNPLACED, 0.0) if event.kind != "epoch"},
        [set(_known(epoch).items()) for epoch in epochs],
    )


def first_event(epochs: Sequence[Epoch], series: Mapping[str, Points]) -> str:
    """The first metrics of a source, as a text that tells it from others."""
    return next((repr(_event_key(event)) for event in _events(epochs, series, UNPLACED, 0.0) if event.metrics), "")


EventKey = tuple[str, float, str]


def _event_key(event: Event) -> EventKey:
    """What an event says, wherever its epoch's end is taken to be while the log still grows."""
    return event.kind, event.epoch if event.kind == "epoch" else event.step, repr(dict(event.metrics or event.data))


def _events(epochs: Sequence[Epoch], series: Mapping[str, Points], placing: Placing, at: float) -> Iterator[Event]:
    """The events of a run, in order of steps; an epoch that is not known is NaN."""
    derived = {"total_steps": placing.total_steps, "numbered": placing.numbered or None}
    if known := {name: value for name, value in derived.items() if value}:
        yield Event("derived", at, 0, 0.0, data=known)
    last_step = max((int(point[0] or 0) for points in series.values() for point in points), default=0)
    last_epoch = max((epoch.epoch for epoch in epochs), default=0)
    placed = list(placing.places)
    said = {place: step for step, place in placing.places.items()}
    ends: dict[int, Epoch] = {}
    after = -1
    for epoch in epochs:
        end_of = said.get(float(epoch.epoch))
        if end_of is None:
            end_of = _end(epoch, series, last_step, last_epoch, after)
        ends[end_of] = epoch
        after = max(after, end_of)
    metrics, times = _by_step(series)
    for step in sorted({*metrics, *ends}):
        at = max(at, times.get(step, at))
        position = epoch_at(step, placed, placing.places) if placed else _share(step, last_step, last_epoch)
        for kind, values in metrics.get(step, {}).items():
            yield Event(kind, at, step, math.nan if position is None else position, values)
        if (ended := ends.get(step)) is not None:
            yield Event("epoch", at, step, float(ended.epoch), _known(ended))
    end, position = placing.reached
    if (end is not None and end >= last_step) or position is not None:
        yield Event("end", at, end or last_step, math.nan if position is None else position, data={"outcome": "read"})


def _share(step: int, last_step: int, last_epoch: int) -> float | None:
    """The epoch at a step where only the last ones of both are known."""
    if not last_epoch:
        return None
    return step * last_epoch / last_step if last_step else float(step)


def _end(epoch: Epoch, series: Mapping[str, Points], last_step: int, last_epoch: int, after: int) -> int:
    """The step at an epoch's end that the source does not say: where its val_loss was measured, else its share of the
    steps, else its own number. Rounded losses repeat: the one after the end of the epoch before (`after`) is meant."""
    for step, value, *_ in series.get("val_loss", ()):
        if value is not None and value == epoch.val_loss and (step or 0) > after:
            return int(step or 0)
    return round(last_step * epoch.epoch / last_epoch) if last_step else epoch.epoch


def _by_step(series: Mapping[str, Points]) -> tuple[dict[int, dict[str, dict[str, float]]], dict[int, float]]:
    """step → kind of event → metrics, and step → time."""
    metrics: dict[int, dict[str, dict[str, float]]] = {}
    times: dict[int, float] = {}
    for metric, points in series.items():
        kind = "eval" if metric.startswith(("val_", "test_")) or metric in EPOCH_FIGURES else "step"
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
