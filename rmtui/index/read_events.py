"""Following events.jsonl of a run's attempts into the index, each batch with its byte offset in one transaction."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rmtui.index.sqlite import Connection, write
from rmtui.index.write_curves import CollectedPoints, CurveWriter, FirstCurve, first_curves
from rmtui.runs.model import Epoch
from trainer.plain_files import open_plain

if TYPE_CHECKING:
    from trainer.events import Event

BATCH = 1 << 17
"""Bytes of events a transaction: some 30 ms, so that other writers get their turn."""
_BATCH_KEYS = ("effective_batch", "last_step_pairs", "steps_per_epoch")
LARGEST = 2**50
"""Steps and times beyond this are garbage."""
HEAD = 512
"""Bytes by which a file of events is known again."""
RECENT = 32
"""Steps that the time a step is the median of."""
VALIDATED = ("val_loss", "val_acc", "val_pairs", "reward_margin", "val_clusters", "val_effective")
EPOCH_FIGURES = ("train_loss", *VALIDATED)


@dataclass(slots=True)
class ReadPosition:
    """How far an attempt has been read. `position` is a byte offset."""

    n: int
    position: int = 0
    bad_lines: int = 0
    resumed: int = 0
    """Step that the attempt went on from."""
    cut: int | None = None
    """Set at the attempt's first metrics: what earlier attempts said of later steps no longer counts."""
    clock: float | None = None
    """When the last event was written."""
    seconds: float = 0.0
    """Of training so far, pauses between attempts left out."""
    tokens: float | None = None
    mark: str | None = None
    """By what the file is known again: its first bytes."""


@dataclass(slots=True)
class RunTotals:
    """What the events say about a run as a whole."""

    step: int = 0
    total_steps: int | None = None
    batch: dict[str, int] = field(default_factory=dict)
    """effective_batch, last_step_pairs and steps_per_epoch, as the trainer derived them."""
    epochs_done: float | None = 0.0
    """None where the events say steps and no epochs."""
    last_event: float | None = None
    first_event: float | None = None
    epochs: list[dict[str, Any]] = field(default_factory=list)
    """One an epoch, with the `step` at its end."""
    evaluated: dict[str, Any] = field(default_factory=dict)
    """The newest evaluation of the run's own validation set, with its `step`."""
    numbered: bool = False
    """An imported run whose source gives no steps: those of its events number lines."""
    recent: list[tuple[int, float]] = field(default_factory=list)
    """(step, time) of the latest steps of the newest attempt."""


def read_attempts(connection: Connection, run: int, sources: Mapping[int, Path]) -> bool:
    """Read on in every attempt's events, oldest attempt first; whether anything was new."""
    known = dict(connection.execute("SELECT n, position FROM progress WHERE run = ?", (run,)))
    read = [_read(connection, run, n, sources[n], known.get(n, 0)) for n in sorted(sources)]
    return any(read)


def fits(connection: Connection, run: int, sources: Mapping[int, Path]) -> bool:
    """Whether what was read of each attempt is still the head of its file: one that was replaced, or is shorter,
    has to be read again."""
    rows = connection.execute("SELECT n, position, mark FROM progress WHERE run = ? AND position > 0", (run,))
    return all(
        n not in sources or (_size(sources[n]) >= position and mark in (None, _mark(sources[n], position)))
        for n, position, mark in rows.fetchall()
    )


def _mark(path: Path, position: int) -> str | None:
    """Of the first bytes, as far as they were read."""
    try:
        with open_plain(path) as file:
            head = file.read(min(position, HEAD))
    except OSError:
        return None
    return f"{len(head)}:{zlib.crc32(head)}"


def _read(connection: Connection, run: int, n: int, path: Path, position: int) -> bool:
    read = False
    while _size(path) > position:
        with write(connection):
            before, position = position, _read_batch(connection, run, n, path)
        if position <= before:
            break  # half a last line, or another process was faster
        read = True
    return read


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read_batch(connection: Connection, run: int, n: int, path: Path) -> int:
    attempts = _attempts(connection, run)
    progress = attempts.setdefault(n, ReadPosition(n))
    from trainer.events import read_from  # lists and curves are read without it

    events, position, bad = read_from(path, progress.position, BATCH)
    if position == progress.position:
        return position
    later = [other.cut for other in attempts.values() if other.n > n and other.cut is not None]
    earlier = any(other.n < n for other in attempts.values())
    writer, totals = CurveWriter(connection, run), load_totals(connection, run)
    EventBatch(writer, writer, progress, totals, min(later, default=None), earlier).take_all(events)
    _note_position(progress, path, position, bad)
    writer.flush()
    _save(connection, run, progress, _as_text(totals))
    return position


def _note_position(progress: ReadPosition, path: Path, position: int, bad: int) -> None:
    progress.position = position
    progress.bad_lines += bad
    if progress.mark is None or not progress.mark.startswith(f"{HEAD}:"):
        progress.mark = _mark(path, position)


def _save(connection: Connection, run: int, progress: ReadPosition, totals: str) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (run, *_values(progress).values())
    )
    connection.execute("UPDATE documents SET figures = ? WHERE run = ?", (totals, run))


def _as_text(totals: RunTotals) -> str:
    return json.dumps(_values(totals))


class EvaluationRow(NamedTuple):
    """What was measured at a step."""

    step: int
    epoch: float | None
    val_acc: float | None
    val_loss: float | None


class FirstEvents(NamedTuple):
    """A short file of events from its head, worked out without the index."""

    progress: ReadPosition
    totals: RunTotals
    text: str
    """The totals as the index keeps them."""
    curves: Mapping[str, FirstCurve]
    steps: Sequence[tuple[int, float, float, float | None]]

    def evaluations(self) -> list[EvaluationRow]:
        """Every step at which val_acc or val_loss was measured, in order."""
        accuracies, losses = (self._values(name) for name in ("val_acc", "val_loss"))
        epochs = {step: epoch for step, epoch, *_ in self.steps}
        return [
            EvaluationRow(step, epochs.get(step), accuracies.get(step), losses.get(step))
            for step in sorted(accuracies.keys() | losses.keys())
        ]

    def _values(self, name: str) -> dict[int, float]:
        curve = self.curves.get(name)
        return {step: value for step, value in zip(*curve.points, strict=True) if math.isfinite(value)} if curve else {}


def read_first(n: int, path: Path) -> FirstEvents | None:
    """The events of the only attempt of a run that the index has nothing of; None where they need more than one batch,
    or what earlier ones left in the index."""
    from trainer.events import read_from  # lists and curves are read without it

    if not 0 < _size(path) <= BATCH:
        return None
    events, position, bad = read_from(path, 0, BATCH)
    if [event.kind for event in events].count("start") > 1:
        return None
    points, progress, totals = CollectedPoints(), ReadPosition(n), RunTotals()
    EventBatch(points, None, progress, totals, None, False).take_all(events)
    curves = first_curves(points)
    if curves is None or position == 0:
        return None
    _note_position(progress, path, position, bad)
    return FirstEvents(progress, totals, _as_text(totals), curves, points.steps)


def write_first(connection: Connection, run: int, first: FirstEvents) -> None:
    """Into the index, inside the caller's transaction; the run has its row in `documents`."""
    CurveWriter(connection, run, first=True).write_first(first.curves, first.steps)
    _save(connection, run, first.progress, first.text)


def _attempts(connection: Connection, run: int) -> dict[int, ReadPosition]:
    rows = connection.execute(
        "SELECT n, position, bad_lines, resumed, cut, clock, seconds, tokens, mark FROM progress WHERE run = ?", (run,)
    )
    return {row[0]: ReadPosition(*row) for row in rows}


class EventBatch:
    """Some events of one attempt on their way into the index."""

    def __init__(
        self,
        points: CollectedPoints,
        writer: CurveWriter | None,
        progress: ReadPosition,
        totals: RunTotals,
        ceiling: int | None,
        earlier: bool,
    ) -> None:
        """`writer`: the same as `points`, where the index may have something of the run; `ceiling`: the step at which a
        later attempt took over; `earlier`: there are attempts before this one."""
        self._points, self._writer, self._progress = points, writer, progress
        self.figures = totals
        self._ceiling, self._earlier = ceiling, earlier

    def take_all(self, events: Iterable[Event]) -> None:
        """`take` of each, in order. Most are steps, one after the other with the same metrics: they are taken as
        columns, in half the time."""
        for names, stretch in groupby(events, key=_step_metrics):
            alike = list(stretch)
            if not names or self._ceiling is not None or not self._take_steps(names, alike):
                for event in alike:
                    self.take(event)

    def _take_steps(self, names: tuple[str, ...], events: Sequence[Event]) -> bool:
        """Steps with these metrics; False, and nothing is done, where one of them is no ordinary one."""
        times, steps = [event.t for event in events], [event.step for event in events]
        epochs = [event.epoch for event in events]
        placed = 0 <= min(steps) <= max(steps) < LARGEST and 0 <= min(times) <= max(times) < LARGEST
        if not placed or not math.isfinite(sum(epochs)) or max(map(abs, epochs)) >= LARGEST:
            return False
        totals = self.figures
        if totals.first_event is None:
            totals.first_event = times[0]
        totals.last_event = max(*times, totals.last_event or 0.0)
        if self._progress.cut is None:
            self._supersede()
        totals.step, totals.epochs_done = steps[-1], epochs[-1]
        totals.recent = [*totals.recent, *zip(steps, times, strict=True)][-RECENT:]
        columns = zip(*(event.metrics.values() for event in events), strict=True)
        self._points.add_columns(steps, dict(zip(names, columns, strict=True)))
        self._points.steps += zip(steps, epochs, self._clock(times), self._tokens(events), strict=True)
        return True

    def _clock(self, times: Sequence[float]) -> list[float]:
        """Seconds of training at each of these times."""
        found = []
        for t in times:
            self._wind_clock(t)
            found.append(self._progress.seconds)
        return found

    def _tokens(self, events: Sequence[Event]) -> list[float | None]:
        """Tokens until each of these steps."""
        found = []
        for event in events:
            self._count_tokens(event)
            found.append(self._progress.tokens)
        return found

    def take(self, event: Event) -> None:
        kind, t, step, epoch, metrics, data, _ = event
        placed = abs(epoch) < LARGEST or (math.isnan(epoch) and kind != "epoch")
        if not (0 <= step < LARGEST and 0 <= t < LARGEST and placed):
            self._progress.bad_lines += 1
            return
        self._wind_clock(t)
        totals = self.figures
        totals.last_event = max(t, totals.last_event or 0.0)
        if totals.first_event is None:
            totals.first_event = t
        if kind == "start":
            self._start(event)
        elif kind == "derived":
            self._derived(data)
        elif metrics and kind in ("step", "eval", "epoch"):
            self._take_totals(event)
        elif kind == "end" and data.get("outcome") == "read" and step >= totals.step:
            self._reach(event)  # how far the source of an imported run goes

    def _reach(self, event: Event) -> None:
        totals = self.figures
        totals.step = event.step
        totals.epochs_done = event.epoch if math.isfinite(event.epoch) else totals.epochs_done or None

    def _derived(self, data: Mapping[str, object]) -> None:
        known = {key: value for key, value in data.items() if isinstance(value, int) and 0 < value < LARGEST}
        self.figures.total_steps = known.get("total_steps", self.figures.total_steps)
        self.figures.numbered = data.get("numbered") is True or self.figures.numbered
        self.figures.batch = {key: known[key] for key in _BATCH_KEYS if key in known}

    def _wind_clock(self, t: float) -> None:
        """Seconds of training: a clock that was set back counts as stopped."""
        progress = self._progress
        if progress.clock is not None and t > progress.clock:
            progress.seconds += t - progress.clock
        progress.clock = t

    def _start(self, event: Event) -> None:
        resumed = event.data.get("resumed_from_step")
        self._progress.resumed = resumed if isinstance(resumed, int) and 0 <= resumed < LARGEST else 0
        known = self._writer.seconds_and_tokens(self._progress.resumed) if self._writer else (0.0, None)
        self._progress.seconds, self._progress.tokens = known
        self.figures.recent = []

    def _take_totals(self, event: Event) -> None:
        if self._ceiling is not None and event.step > self._ceiling:
            return
        if self._progress.cut is None:
            self._supersede()
        prefix = f"{name}/" if (name := event.data.get("set")) else ""
        metrics = {prefix + metric: value for metric, value in event.metrics.items()} if prefix else event.metrics
        self._points.add(event.step, metrics)
        self._reach(event)
        if event.kind == "step":
            self._step(event)
        elif not prefix:
            self._evaluation(event)
        self._points.beside(event.step, event.epoch, self._progress.seconds, self._progress.tokens)

    def _supersede(self) -> None:
        cut = self._progress.cut = self._progress.resumed
        if self._earlier and self._writer:
            self._writer.cut(cut)
            self.figures.epochs = [row for row in self.figures.epochs if row["step"] <= cut]
            if self.figures.evaluated.get("step", 0) > cut:
                self.figures.evaluated = {}

    def _step(self, event: Event) -> None:
        self._count_tokens(event)
        self.figures.recent = [*self.figures.recent, (event.step, event.t)][-RECENT:]

    def _count_tokens(self, event: Event) -> None:
        progress = self._progress
        if "tokens" in event.metrics:
            progress.tokens = event.metrics["tokens"]
        elif (tokens := _tokens(event, self.figures.batch)) is not None:
            progress.tokens = (progress.tokens or 0.0) + tokens

    def _evaluation(self, event: Event) -> None:
        if event.kind == "epoch":
            self._epoch(event)
        found = {name: event.metrics[name] for name in VALIDATED if name in event.metrics}
        if found:
            same = self.figures.evaluated.get("step") == event.step
            self.figures.evaluated = {**(self.figures.evaluated if same else {}), "step": event.step, **found}

    def _epoch(self, event: Event) -> None:
        number = max(1, round(event.epoch))
        row: dict[str, Any] = {"epoch": number, "step": event.step}
        row |= {name: value for name in EPOCH_FIGURES if (value := event.metrics.get(name)) is not None}
        rows = [other for other in self.figures.epochs if other["epoch"] != number]
        self.figures.epochs = sorted([*rows, row], key=lambda other: other["epoch"])


def _step_metrics(event: Event) -> tuple[str, ...]:
    """The names of a step's metrics; none of other events, and where they are not of the training."""
    return tuple(event.metrics) if event.kind == "step" and "set" not in event.data else ()


def _values(record: ReadPosition | RunTotals) -> dict[str, object]:
    """What `dataclasses.asdict` gives, without copying what is inside."""
    return {name: getattr(record, name) for name in record.__slots__}


def _tokens(event: Event, batch: Mapping[str, int]) -> float | None:
    """Tokens of one step from its speeds: tokens a second over pairs a second, times its pairs."""
    tokens, pairs = event.metrics.get("tokens_per_s"), event.metrics.get("pairs_per_s")
    if not tokens or not pairs or not math.isfinite(tokens / pairs) or "effective_batch" not in batch:
        return None
    last = event.step % batch.get("steps_per_epoch", LARGEST) == 0
    return (
        tokens / pairs * (batch.get("last_step_pairs", batch["effective_batch"]) if last else batch["effective_batch"])
    )


def load_totals(connection: Connection, run: int) -> RunTotals:
    """What the events read so far say; empty for a run that said nothing."""
    row = connection.execute("SELECT figures FROM documents WHERE run = ?", (run,)).fetchone()
    return RunTotals(**json.loads(row[0])) if row and row[0] else RunTotals()


def epoch_facts(totals: RunTotals) -> tuple[Epoch, ...]:
    """The epochs as the rest of the program knows them."""
    return tuple(_epoch_fact(row) for row in totals.epochs)


def _epoch_fact(row: Mapping[str, Any]) -> Epoch:
    return Epoch(
        epoch=row["epoch"],
        train_loss=row.get("train_loss"),
        val_loss=row.get("val_loss"),
        val_acc=row.get("val_acc"),
        val_pairs=_counted(row.get("val_pairs")),
        reward_margin=row.get("reward_margin"),
        entered=row.get("entered", ""),
        val_clusters=_counted(row.get("val_clusters")),
        val_effective=row.get("val_effective"),
    )


def _counted(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
