"""From run folders into the index: what was launched, what a person set, what the events say, its state."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from rmtui.index import settings
from rmtui.index.read_events import (
    LARGEST,
    VALIDATED,
    EvaluationRow,
    FirstEvents,
    RunTotals,
    fits,
    load_totals,
    read_attempts,
    read_first,
    write_first,
)
from rmtui.index.sqlite import Connection, bound_log, faults, open_database, write
from rmtui.index.write_curves import MetricSummary, read_summaries
from rmtui.runs import state, typed_files
from rmtui.runs.entered import read_entered, with_entered
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import Attempt, State, Status
from rmtui.workspace import Workspace
from trainer.best import best_of

SETTLES_AFTER = 600.0
"""Seconds of silence after which an interrupted run, which has no exit.json, counts as settled."""
_ATTEMPT = "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def catch_up(ws: Workspace, folder: RunFolder) -> None:
    """Bring one run's rows up to date. Raises DatabaseError: the training goes on all the same, try again later."""
    connection = open_database(ws.database)
    try:
        with faults(ws.database):
            refresh(connection, folder)
            bound_log(connection, ws.database)
    finally:
        connection.close()


class Seen(NamedTuple):
    """What a run folder holds beside its events."""

    spec: Mapping[str, Any]
    meta: Mapping[str, Any]
    status: Status
    attempts: tuple[Attempt, ...]
    sources: Mapping[int, Path]
    host: str
    folder_time: int
    meta_time: int


def refresh(connection: Connection, folder: RunFolder) -> bool:
    """Read what is new in one run folder; whether its rows changed. The caller translates SQLite's errors."""
    row = _known(connection, folder.id)
    if row is None:
        return add(connection, first_look(folder))
    with typed_files.one_look():
        seen = _look(folder)
    run = int(row[0])
    if not fits(connection, run, seen.sources):
        forget(connection, folder.id)  # the events are others than those that were read
        return add(connection, first_look(folder))
    read = read_attempts(connection, run, seen.sources)
    return _store(connection, run, folder.id, seen) or read


class FirstLook(NamedTuple):
    """All that a folder says which the index does not know yet, worked out without the index."""

    id: str
    seen: Seen
    settings: settings.Prepared
    events: FirstEvents | None
    """None where there are none, and where they are read a batch at a time."""


def first_look(folder: RunFolder) -> FirstLook:
    """Look at a run folder as if nothing were known of it. Raises what reading it raises."""
    with typed_files.one_look():
        seen = _look(folder)
    only = next(iter(seen.sources.items())) if len(seen.sources) == 1 else None
    prepared = settings.prepare(seen.spec, seen.meta)
    return FirstLook(folder.id, seen, prepared, read_first(*only) if only else None)


def add(connection: Connection, look: FirstLook) -> bool:
    """Put a run that is new to the index into it; False where another process was faster."""
    seen, events = look.seen, look.events
    with write(connection):
        if _known(connection, look.id) is not None:
            return False
        (run,) = connection.execute("SELECT coalesce(max(n), 0) + 1 FROM runs").fetchone()
        settings.insert(connection, run, look.settings)
        if events is not None:
            write_first(connection, run, events)
        totals = events.totals if events is not None else RunTotals()
        if seen.meta:
            _enter(connection, run, seen, totals)
        made = _row(look.id, seen, totals, lambda _: events.evaluations() if events is not None else [])
        row = {"n": run, "id": look.id, **made}
        if events is None and seen.sources:
            row["settled"] = 0  # until its events are read
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO runs ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
        connection.executemany(_ATTEMPT, _attempt_rows(run, seen))
    if events is None:
        read_attempts(connection, run, seen.sources)
        _store(connection, run, look.id, seen)
    return True


def _known(connection: Connection, run_id: str) -> tuple[Any, ...] | None:
    found: tuple[Any, ...] | None = connection.execute("SELECT n FROM runs WHERE id = ?", (run_id,)).fetchone()
    return found


def _look(folder: RunFolder) -> Seen:
    # Times first and state before events: what happens meanwhile is found at the next look.
    starts = folder.attempts()
    folder_time, meta_time = folder_times(folder.path, starts[-1].n if starts else None)
    status = state.status(folder)
    sources = {start.n: start.events for start in starts}
    if (own := folder.path / "events.jsonl").is_file():
        sources[0] = own  # an imported run has events and no attempt
    launch = starts[-1].launch() if starts else {}
    attempts = tuple(state.attempt_fact(folder, start, status if start is starts[-1] else None) for start in starts)
    return Seen(
        folder.spec(), folder.meta(), status, attempts, sources, str(launch.get("host", "")), folder_time, meta_time
    )


def folder_times(path: Path | str, last: int | None) -> tuple[int, int]:
    """What tells a new attempt, a new note and events that were replaced: the modification time (ns) of a run folder,
    and that of its meta.toml joined with inode and size of the last attempt's events. 0: not there."""
    events = f"{path}/events.jsonl" if last is None else f"{path}/attempt-{last}/events.jsonl"
    try:
        found = os.stat(events)  # noqa: PTH116
        mark = found.st_ino * 1_000_003 + found.st_size
    except OSError:
        mark = 0
    return _time(str(path)), (_time(f"{path}/meta.toml") ^ mark) & (2**63 - 1)


def _time(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116  (asked of thousands of folders at a time)
    except OSError:
        return 0


def _number(connection: Connection, run_id: str) -> int:
    if (row := _known(connection, run_id)) is not None:
        return int(row[0])
    with write(connection):
        connection.execute(
            """INSERT INTO runs (id, name, state, created, step, epochs_done, pinned, archived, settled)
            VALUES (?, ?, 'unknown', 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING""",
            (run_id, run_id),
        )
        (n,) = connection.execute("SELECT n FROM runs WHERE id = ?", (run_id,)).fetchone()
        connection.execute("INSERT OR IGNORE INTO documents (run, config, tags) VALUES (?, '{}', '[]')", (n,))
    return int(n)


def _store(connection: Connection, run: int, run_id: str, seen: Seen) -> bool:
    totals = load_totals(connection, run)
    if entered := read_entered(seen.meta):
        totals.epochs = with_entered(totals.epochs, entered)
    row = _row(run_id, seen, totals, lambda metric: _stored_candidates(connection, run, metric))
    names = ", ".join(row)
    old = connection.execute(f"SELECT {names} FROM runs WHERE n = ?", (run,)).fetchone()
    attempts = _attempt_rows(run, seen)
    stored = connection.execute("SELECT * FROM attempts WHERE run = ? ORDER BY n", (run,)).fetchall()
    if old == tuple(row.values()) and stored == attempts:
        return False
    with write(connection):
        changes = ", ".join(f"{name} = ?" for name in row)
        connection.execute(f"UPDATE runs SET {changes} WHERE n = ?", (*row.values(), run))
        connection.execute("DELETE FROM attempts WHERE run = ?", (run,))
        connection.executemany(_ATTEMPT, attempts)
        settings.store(connection, run, settings.prepare(seen.spec, seen.meta))
        _enter(connection, run, seen, totals)
    return True


def _enter(connection: Connection, run: int, seen: Seen, totals: RunTotals) -> None:
    """What a person entered of epochs goes into the totals, and beside them."""
    entered = read_entered(seen.meta)
    if entered:
        totals.epochs = with_entered(totals.epochs, entered)
    text = json.dumps(entered) if entered else None
    connection.execute("UPDATE documents SET entered = ? WHERE run = ?", (text, run))


def _attempt_rows(run: int, seen: Seen) -> list[tuple[Any, ...]]:
    return [(run, a.n, a.state, a.reason, a.exit_code, a.started, a.ended, a.resumed_from_step) for a in seen.attempts]


def _row(
    run_id: str, seen: Seen, totals: RunTotals, evaluations: Callable[[str], list[EvaluationRow]]
) -> dict[str, object]:
    """The run's row without its number; `evaluations`: by best metric, at least those that may be the best."""
    spec, meta, status = seen.spec, seen.meta, seen.status
    origin = settings.table(spec, "origin")
    last = _newest(totals)
    started = _started(seen, totals)
    ended = _ended(seen, totals)
    until = ended if ended is not None else totals.last_event
    row: dict[str, Any] = {
        "name": str(meta.get("name") or spec.get("name") or run_id),
        "state": str(status.state),
        "reason": status.reason,
        "resumable": int(status.resumable),
        "preset": _text(spec.get("preset")),
        "data": _text(spec.get("data")),
        "launched": _whole(spec.get("order")),
        "created": _moment(origin.get("created")) or _moment(spec.get("created")) or 0.0,
        "started": started,
        "ended": ended,
        "host": seen.host or str(settings.table(spec, "launch").get("host", "")),
        "processes": _whole(settings.table(spec, "launch").get("processes")),
        "step": 0 if totals.numbered else totals.step,
        "total_steps": totals.total_steps,
        "epochs_done": totals.epochs_done,
        "num_epochs": _whole(settings.table(spec, "config").get("num_epochs")),
        "train_loss": last.get("train_loss"),
        "val_loss": last.get("val_loss"),
        "val_acc": last.get("val_acc"),
        "val_pairs": _whole(last.get("val_pairs")),
        "val_clusters": _whole(last.get("val_clusters")),
        "val_effective": last.get("val_effective"),
        "gap": _difference(last.get("val_loss"), last.get("train_loss")),
        "duration": None if started is None or until is None else max(0.0, until - started),
        "last_event": None if _from_elsewhere(seen) else totals.last_event,
        "seconds_per_step": _pace(totals),
        "note": str(meta.get("note", "")),
        "pinned": int(bool(meta.get("pinned"))),
        "archived": int(bool(meta.get("archived"))),
        "group_name": str(meta.get("group", "")),
        "val_fingerprint": _text(settings.table(spec, "fingerprints").get("val")),
        "origin": _text(origin.get("digest")),
        "settled": int(_settled(seen, totals)),
        "folder_time": seen.folder_time,
        "meta_time": seen.meta_time,
    }
    row |= _best(evaluations, totals, str(settings.table(spec, "config").get("best_metric") or "val_acc"))
    text = (row["name"], run_id, row["preset"], row["data"], row["note"], row["group_name"], row["state"])
    row["words"] = " ".join(filter(None, (*text, status.reason, *settings.tags_of(spec, meta)))).casefold()
    return {name: None if value != value else value for name, value in row.items()}


def _newest(totals: RunTotals) -> dict[str, Any]:
    """The metrics of the last epoch; those of the validation are of the last evaluation, at an epoch's end or not."""
    last = totals.epochs[-1] if totals.epochs else {}
    later = totals.evaluated.get("step", -1) > last.get("step", -1)
    silent = last.get("val_loss") is None and last.get("val_acc") is None
    if not later and not silent:
        return last
    return {**last, **dict.fromkeys(VALIDATED), **totals.evaluated}


def _text(value: Any) -> str | None:
    return str(value) if value else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and abs(value) < LARGEST else None


def _difference(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _moment(value: Any) -> float | None:
    """Unix seconds of a TOML or ISO time, or of a number; None for anything else."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, (int, float)) and abs(value) < LARGEST else None


def _from_elsewhere(seen: Seen) -> bool:
    """It was read from files of others: its times are those that these say, also while it is watched."""
    return settings.table(seen.spec, "launch").get("kind") == "imported" and not seen.attempts


def _started(seen: Seen, totals: RunTotals) -> float | None:
    if _from_elsewhere(seen):
        return _moment(settings.table(seen.spec, "origin").get("started"))
    return next((a.started for a in seen.attempts if a.started is not None), totals.first_event)


def _ended(seen: Seen, totals: RunTotals) -> float | None:
    if _from_elsewhere(seen):
        return _moment(settings.table(seen.spec, "origin").get("ended"))
    if not seen.status.state.final:
        return None
    return seen.attempts[-1].ended or totals.last_event if seen.attempts else None


def _settled(seen: Seen, totals: RunTotals) -> bool:
    if seen.status.state == State.INTERRUPTED:
        signs = [seen.folder_time / 1e9, totals.last_event or 0.0, *(a.started or 0.0 for a in seen.attempts)]
        return time.time() - max(signs) > SETTLES_AFTER
    return seen.status.state.final


def _pace(totals: RunTotals) -> float | None:
    """Median seconds a step, over the latest steps."""
    pairs = zip(totals.recent, totals.recent[1:], strict=False)
    paces = [(t - before) / (step - earlier) for (earlier, before), (step, t) in pairs if step > earlier]
    return statistics.median(paces) if paces else None


def _best(evaluations: Callable[[str], list[EvaluationRow]], totals: RunTotals, metric: str) -> dict[str, object]:
    """The best evaluation by `trainer.best`, epochs whose val_acc a person entered among them."""
    found = [*evaluations(metric), *_of_entered(totals)]
    best = best_of(sorted(found, key=lambda item: item.step), lambda item: (item.val_acc, item.val_loss), metric)
    if best is None:
        return dict.fromkeys(("best_epoch", "best_step", "best_val_acc", "best_val_loss"))
    return {
        "best_epoch": best.epoch,
        "best_step": None if totals.numbered or not best.step else best.step,
        "best_val_acc": best.val_acc,
        "best_val_loss": best.val_loss,
    }


def _stored_candidates(connection: Connection, run: int, metric: str) -> list[EvaluationRow]:
    """Of what the index holds, only the evaluations with the highest val_acc or the lowest val_loss."""
    names = dict(connection.execute("SELECT name, id FROM metric_names WHERE name IN ('val_acc', 'val_loss')"))
    summaries = read_summaries(connection, run)
    accuracy, loss = (summaries.get(names.get(name, 0), MetricSummary()) for name in ("val_acc", "val_loss"))
    ends = {"val_acc": accuracy.high, "val_loss": loss.low}
    by = next((name for name in (metric, "val_loss") if ends.get(name) is not None), None)
    if by is None:
        return []
    rows = connection.execute(
        """SELECT here.step, steps.epoch, accuracy.value, loss.value FROM points AS here
        LEFT JOIN steps ON steps.run = here.run AND steps.step = here.step
        LEFT JOIN points AS accuracy ON accuracy.run = here.run AND accuracy.step = here.step AND accuracy.metric = ?
        LEFT JOIN points AS loss ON loss.run = here.run AND loss.step = here.step AND loss.metric = ?
        WHERE here.run = ? AND here.metric = ? AND here.value = ?""",
        (names.get("val_acc", 0), names.get("val_loss", 0), run, names[by], ends[by]),
    )
    return [EvaluationRow(*row) for row in rows]


def _of_entered(totals: RunTotals) -> Iterator[EvaluationRow]:
    for row in totals.epochs:
        if row.get("entered"):
            yield EvaluationRow(row["step"], float(row["epoch"]), row["val_acc"], row.get("val_loss"))


def unreadable(connection: Connection, run_id: str, error: Exception) -> bool:
    """List a run whose folder cannot be read, and say so; whether that is new."""
    run, reason = _number(connection, run_id), f"its folder cannot be read: {error}"
    if connection.execute("SELECT reason FROM runs WHERE n = ?", (run,)).fetchone() == (reason,):
        return False
    with write(connection):
        connection.execute("UPDATE runs SET state = 'unknown', reason = ?, settled = 0 WHERE n = ?", (reason, run))
    return True


def forget(connection: Connection, run_id: str) -> None:
    """Take a run out of the index; its folder is somebody else's to remove."""
    if (row := _known(connection, run_id)) is None:
        return
    with write(connection):
        for name in (
            "documents",
            "attempts",
            "progress",
            "points",
            "rollups",
            "summaries",
            "steps",
            "tags",
            "settings",
        ):
            connection.execute(f"DELETE FROM {name} WHERE run = ?", row)
        connection.execute("DELETE FROM runs WHERE n = ?", row)
