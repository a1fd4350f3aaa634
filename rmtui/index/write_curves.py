"""Writing curves into the index: points, their min/max roll-ups, a summary a metric, what goes with each step.

Everything here happens inside the caller's transaction. Reading is `rmtui.index.read_curves`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from operator import lt
from typing import Any, NamedTuple

from rmtui.index.rollups import LEVELS, Bucket, bucket_of, finite_of, rolled_up, rows_of
from rmtui.index.sqlite import Connection

Points = tuple[list[int], list[float]]
"""Steps, and the value at each."""

_MERGE = """INSERT INTO rollups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    low = coalesce(min(low, excluded.low), low, excluded.low),
    high = coalesce(max(high, excluded.high), high, excluded.high),
    last = coalesce(excluded.last, last),
    last_step = max(last_step, excluded.last_step),
    broken = max(broken, excluded.broken)"""
_SUMMARY = "INSERT OR REPLACE INTO summaries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(slots=True)
class MetricSummary:
    """A metric of a run in one row. `low` and `high` are of finite values; None while there is none."""

    count: int = 0
    first_step: int = 0
    first: float | None = None
    last_step: int = -1
    last: float | None = None
    low_step: int = 0
    low: float | None = None
    high_step: int = 0
    high: float | None = None

    def add(self, steps: Sequence[int], values: Sequence[float]) -> None:
        """Points in order of step, all of them beyond the last one."""
        if self.count == 0:
            self.first_step, self.first = steps[0], _stored(values[0])
        self.count += len(steps)
        self.last_step, self.last = steps[-1], _stored(values[-1])
        if not (finite := finite_of(values)):
            return
        low, high = min(finite), max(finite)
        if self.low is None or low < self.low:
            self.low_step, self.low = steps[values.index(low)], low
        if self.high is None or high > self.high:
            self.high_step, self.high = steps[values.index(high)], high

    def row(self) -> tuple[Any, ...]:
        return (
            *(self.count, self.first_step, self.first, self.last_step, self.last),
            *(self.low_step, self.low, self.high_step, self.high),
        )


class CollectedPoints:
    """A batch of one run's points, by metric, and what goes with each step."""

    def __init__(self) -> None:
        self.new: dict[str, Points] = {}
        self.steps: list[tuple[int, float, float, float | None]] = []
        """(step, epoch, seconds, tokens)."""

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """What is said for a step."""
        for name, value in metrics.items():
            if (points := self.new.get(name)) is None:
                points = self.new[name] = ([], [])
            points[0].append(step)
            points[1].append(value)

    def add_columns(self, steps: Sequence[int], columns: Mapping[str, Sequence[float]]) -> None:
        """What is said for several steps: a value at each of them."""
        for name, values in columns.items():
            points = self.new.setdefault(name, ([], []))
            points[0].extend(steps)
            points[1].extend(values)

    def beside(self, step: int, epoch: float, seconds: float, tokens: float | None) -> None:
        """A step's place on the other axes."""
        self.steps.append((step, epoch, seconds, tokens))


class FirstCurve(NamedTuple):
    """A metric of a run that the index has nothing of yet, worked out without the index."""

    points: tuple[Sequence[int], Sequence[float]]
    """Packed arrays: they go from process to process in one piece."""
    summary: tuple[Any, ...]
    rollups: list[tuple[Any, ...]]
    """Rows without run and metric."""


def first_curves(collected: CollectedPoints) -> dict[str, FirstCurve] | None:
    """The curves that a run begins with; None where points came out of order, which needs those that are stored."""
    made: dict[str, FirstCurve] = {}
    before = array("q")
    for name, (steps, values) in collected.new.items():
        summary = MetricSummary()
        steps, values, ordered = _in_order(summary, steps, values)
        if not ordered:
            return None
        summary.add(steps, values)
        packed = array("q", steps)
        before = before if packed == before else packed  # most metrics have the same steps
        made[name] = FirstCurve((before, array("d", values)), summary.row(), rows_of(rolled_up(steps, values)))
    return made


class CurveWriter(CollectedPoints):
    """Collects a batch of one run's points; `flush` writes it."""

    def __init__(self, connection: Connection, run: int, first: bool = False) -> None:
        """`first`: the index has nothing of the run yet."""
        super().__init__()
        self._connection = connection
        self._run = run
        self._names: dict[str, int] = {name: n for n, name in connection.execute("SELECT id, name FROM metric_names")}
        self.summaries = {} if first else read_summaries(connection, run)

    def metric(self, name: str) -> int:
        """The metric's number, given when it is first seen."""
        found = self._names.get(name)
        if found is None:
            found = self._connection.execute("INSERT INTO metric_names (name) VALUES (?)", (name,)).lastrowid
            assert found is not None
            self._names[name] = found
        return found

    def seconds_and_tokens(self, step: int) -> tuple[float, float | None]:
        """How long the training took up to a step, and how many tokens."""
        self.flush()
        row = self._connection.execute(
            "SELECT seconds, tokens FROM steps WHERE run = ? AND step <= ? ORDER BY step DESC LIMIT 1",
            (self._run, step),
        ).fetchone()
        return row or (0.0, None)

    def write_first(self, curves: Mapping[str, FirstCurve], steps: Iterable[tuple[Any, ...]]) -> None:
        """What `first_curves` made, of a run that has no points yet."""
        found = [((self._run, self.metric(name)), curve) for name, curve in curves.items()]
        self._write_points(self._points(metric, *curve.points) for (_, metric), curve in found)
        rollups = [key + row for key, curve in found for row in curve.rollups]
        self._connection.executemany("INSERT INTO rollups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rollups)
        self._connection.executemany(_SUMMARY, [key + curve.summary for key, curve in found])
        self._write_steps(steps)

    def flush(self) -> None:
        """Write the batch, a table after the other: most of the work is then done for many rows at once."""
        points: list[Iterable[tuple[int, int, int, float]]] = []
        rollups: list[tuple[Any, ...]] = []
        changed: list[int] = []
        again: list[int] = []
        for name, (steps, values) in self.new.items():
            metric = self.metric(name)
            steps, values, ordered = _in_order(self.summaries.setdefault(metric, MetricSummary()), steps, values)
            if not steps:
                continue
            points.append(self._points(metric, steps, values))
            changed.append(metric)
            if ordered:
                rollups += self._folded(metric, steps, values)
            else:
                again.append(metric)
        self._write_points(points)
        self._connection.executemany(_MERGE, rollups)
        for metric in again:
            self._count_again(metric)
        self._write_summaries(changed)
        self._write_steps(self.steps)
        self.new, self.steps = {}, []

    def _points(
        self, metric: int, steps: Sequence[int], values: Sequence[float]
    ) -> Iterable[tuple[int, int, int, float]]:
        return zip(repeat(self._run), repeat(metric), steps, values, strict=False)

    def _write_points(self, points: Iterable[Iterable[tuple[int, int, int, float]]]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)", chain.from_iterable(points))

    def _write_steps(self, steps: Iterable[tuple[Any, ...]]) -> None:
        rows = [(self._run, *step) for step in steps]
        self._connection.executemany("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?)", rows)

    def _folded(self, metric: int, steps: Sequence[int], values: Sequence[float]) -> list[tuple[Any, ...]]:
        """Into the summary; returns the rows of the roll-ups: points in order of step, all beyond the last one."""
        self.summaries[metric].add(steps, values)
        return self._rows(metric, rolled_up(steps, values))

    def _rows(self, metric: int, made: Mapping[tuple[int, int], Bucket]) -> list[tuple[Any, ...]]:
        return [(self._run, metric, *row) for row in rows_of(made)]

    def cut(self, step: int) -> None:
        """Forget everything after `step`: a resumed attempt tells it anew."""
        self.flush()
        after = (self._run, step)
        self._connection.execute("DELETE FROM steps WHERE run = ? AND step > ?", after)
        late = [metric for metric, summary in self.summaries.items() if summary.last_step > step]
        for metric in late:
            self._cut_metric(metric, step)
        self._write_summaries(late)

    def _cut_metric(self, metric: int, step: int) -> None:
        key = (self._run, metric)
        gone = self._connection.execute(
            "DELETE FROM points WHERE run = ? AND metric = ? AND step > ?", (*key, step)
        ).rowcount
        for level in LEVELS:
            self._connection.execute(
                "DELETE FROM rollups WHERE run = ? AND metric = ? AND level = ? AND bucket >= ?",
                (*key, level, (step + 1) >> level),
            )
        self._rebuild_cut_buckets(metric, step + 1)
        summary = self.summaries[metric]
        if summary.count == gone:
            self._drop(metric)
            return
        summary.count -= gone
        summary.last_step, summary.last = self._connection.execute(
            "SELECT step, value FROM points WHERE run = ? AND metric = ? ORDER BY step DESC LIMIT 1", key
        ).fetchone()
        if summary.low_step > step:
            summary.low_step, summary.low = self._extreme(metric, "low", "ASC")
        if summary.high_step > step:
            summary.high_step, summary.high = self._extreme(metric, "high", "DESC")

    def _rebuild_cut_buckets(self, metric: int, end: int) -> None:
        """Make the buckets anew that a cut before `end` went through, each from the finer ones below it."""
        for finer, level in zip((0, *LEVELS), LEVELS, strict=False):
            number = end >> level
            parts = self._parts(metric, finer, number << (level - finer))
            if number << level == end or not parts:
                continue
            whole = parts[0]
            for part in parts[1:]:
                whole.merge(part)
            self._connection.executemany(_MERGE, self._rows(metric, {(level, number): whole}))

    def _parts(self, metric: int, level: int, start: int) -> list[Bucket]:
        """Buckets of a level from number `start` on; level 0: points."""
        if level == 0:
            return [bucket_of(steps, values) for steps, values in self._stored(metric, start)]
        rows = self._connection.execute(
            """SELECT low, high, last, last_step, broken FROM rollups
            WHERE run = ? AND metric = ? AND level = ? AND bucket >= ? ORDER BY bucket""",
            (self._run, metric, level, start),
        )
        return [Bucket(*row) for row in rows]

    def _extreme(self, metric: int, name: str, way: str) -> tuple[int, float | None]:
        """First step of the lowest or highest value, by way of the coarsest roll-ups."""
        top, key = LEVELS[-1], (self._run, metric)
        found = self._connection.execute(
            f"""SELECT bucket, {name} FROM rollups WHERE run = ? AND metric = ? AND level = ? AND {name} IS NOT NULL
            ORDER BY {name} {way}, bucket LIMIT 1""",
            (*key, top),
        ).fetchone()
        if found is None:
            return 0, None
        (step,) = self._connection.execute(
            "SELECT min(step) FROM points WHERE run = ? AND metric = ? AND step >= ? AND step < ? AND value = ?",
            (*key, found[0] << top, (found[0] + 1) << top, found[1]),
        ).fetchone()
        return step, found[1]

    def _count_again(self, metric: int) -> None:
        """Points came out of order, or one was replaced: derive everything from the points."""
        self._connection.execute("DELETE FROM rollups WHERE run = ? AND metric = ?", (self._run, metric))
        self.summaries[metric] = MetricSummary()
        for steps, values in self._stored(metric, 0):
            self._connection.executemany(_MERGE, self._folded(metric, steps, values))

    def _drop(self, metric: int) -> None:
        del self.summaries[metric]
        self._connection.execute("DELETE FROM summaries WHERE run = ? AND metric = ?", (self._run, metric))

    def _stored(self, metric: int, start: int) -> Iterator[Points]:
        """Points from a step on, in order, some thousand at a time."""
        found = self._connection.execute(
            "SELECT step, value FROM points WHERE run = ? AND metric = ? AND step >= ? ORDER BY step",
            (self._run, metric, start),
        )
        while rows := found.fetchmany(4096):
            yield [step for step, _ in rows], [math.nan if value is None else value for _, value in rows]

    def _write_summaries(self, metrics: Iterable[int]) -> None:
        rows = [(self._run, metric, *self.summaries[metric].row()) for metric in metrics if metric in self.summaries]
        self._connection.executemany(_SUMMARY, rows)


def read_summaries(connection: Connection, run: int) -> dict[int, MetricSummary]:
    """Metric number → summary."""
    rows = connection.execute(
        """SELECT metric, count, first_step, first, last_step, last, low_step, low, high_step, high
        FROM summaries WHERE run = ?""",
        (run,),
    )
    return {metric: MetricSummary(*values) for metric, *values in rows}


def _in_order(summary: MetricSummary, steps: list[int], values: list[float]) -> tuple[list[int], list[float], bool]:
    """New points beside what is known of their metric, and whether they come after it in order of step."""
    if steps[0] > summary.last_step and all(map(lt, steps, steps[1:])):
        return steps, values, True
    return _drop_repeats(summary, steps, values)


def _drop_repeats(summary: MetricSummary, steps: list[int], values: list[float]) -> tuple[list[int], list[float], bool]:
    """Without points that say the same of the same step once more; and whether they are in order then."""
    last_step, last, ordered = summary.last_step, summary.last, True
    kept: Points = ([], [])
    for step, value in zip(steps, values, strict=True):
        if step == last_step and _stored(value) == last:
            continue
        ordered = ordered and step > last_step
        last_step, last = step, _stored(value)
        kept[0].append(step)
        kept[1].append(value)
    return *kept, ordered


def _stored(value: float) -> float | None:
    """As SQLite keeps it: NaN is NULL."""
    return None if math.isnan(value) else value
