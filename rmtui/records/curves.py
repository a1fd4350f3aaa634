"""Writing curves into the index: points, their min/max roll-ups, a summary a metric, what lies beside each step.

Everything here happens inside the caller's transaction. Reading is `records.series`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rmtui.records.sqlite import Connection

LEVELS = (4, 8, 12, 16)
"""A roll-up of level n covers 2**n steps: 16, 256, 4,096 and 65,536."""

_MERGE = """INSERT INTO rollups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    low = coalesce(min(low, excluded.low), low, excluded.low),
    high = coalesce(max(high, excluded.high), high, excluded.high),
    last = coalesce(excluded.last, last),
    last_step = max(last_step, excluded.last_step),
    broken = max(broken, excluded.broken)"""


@dataclass(slots=True)
class _Bucket:
    """Extremes and last value of neighbouring points; None while no value was finite."""

    low: float | None
    high: float | None
    last: float | None
    last_step: int
    broken: int

    def merge(self, other: _Bucket) -> None:
        """Take in what comes after."""
        if other.low is not None and other.high is not None:
            self.low = other.low if self.low is None else min(self.low, other.low)
            self.high = other.high if self.high is None else max(self.high, other.high)
            self.last = other.last
        self.last_step = max(self.last_step, other.last_step)
        self.broken |= other.broken


@dataclass(slots=True)
class Summary:
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

    def add(self, step: int, value: float | None) -> None:
        if self.count == 0:
            self.first_step, self.first = step, value
        self.count += 1
        self.last_step, self.last = step, value
        if value is None or math.isinf(value):
            return
        if self.low is None or value < self.low:
            self.low_step, self.low = step, value
        if self.high is None or value > self.high:
            self.high_step, self.high = step, value

    def row(self) -> tuple[Any, ...]:
        return (
            *(self.count, self.first_step, self.first, self.last_step, self.last),
            *(self.low_step, self.low, self.high_step, self.high),
        )


class CurveWriter:
    """Collects a batch of one run's points; `flush` writes it."""

    def __init__(self, connection: Connection, run: int) -> None:
        self._connection = connection
        self._run = run
        self._names: dict[str, int] = {name: n for n, name in connection.execute("SELECT id, name FROM metric_names")}
        self.summaries = read_summaries(connection, run)
        self._points: list[tuple[int, int, int, float | None]] = []
        self._steps: list[tuple[int, int, float, float, float | None]] = []
        self._changed: set[int] = set()
        self._disordered: set[int] = set()

    def metric(self, name: str) -> int:
        """The metric's number, given when it is first seen."""
        found = self._names.get(name)
        if found is None:
            found = self._connection.execute("INSERT INTO metric_names (name) VALUES (?)", (name,)).lastrowid
            assert found is not None
            self._names[name] = found
        return found

    def add(self, name: str, step: int, value: float) -> None:
        """A point. The same value said twice for a step counts once; another value replaces the first."""
        metric = self.metric(name)
        stored = None if math.isnan(value) else value
        summary = self.summaries.setdefault(metric, Summary())
        if step <= summary.last_step:
            if step == summary.last_step and stored == summary.last:
                return
            self._disordered.add(metric)
        summary.add(step, stored)
        self._changed.add(metric)
        self._points.append((self._run, metric, step, stored))

    def beside(self, step: int, epoch: float, seconds: float, tokens: float | None) -> None:
        """Where on the other axes a step lies."""
        self._steps.append((self._run, step, epoch, seconds, tokens))

    def flush(self) -> None:
        """Write the batch."""
        write = self._connection.executemany
        write("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)", self._points)
        write("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?)", self._steps)
        ordered = (point for point in self._points if point[1] not in self._disordered)
        write(_MERGE, _rows(self._run, _rolled_up(ordered)))
        for metric in self._disordered:
            self._count_again(metric)
        self._write_summaries(self._changed)
        self._points, self._steps = [], []
        self._changed, self._disordered = set(), set()

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
        self._mend(metric, step + 1)
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

    def _mend(self, metric: int, end: int) -> None:
        """Make the buckets anew that a cut before `end` went through, each from the finer ones below it."""
        for finer, level in zip((0, *LEVELS), LEVELS, strict=False):
            number = end >> level
            parts = self._parts(metric, finer, number << (level - finer))
            if number << level == end or not parts:
                continue
            whole = parts[0]
            for part in parts[1:]:
                whole.merge(part)
            self._connection.executemany(_MERGE, _rows(self._run, {(metric, level, number): whole}))

    def _parts(self, metric: int, level: int, start: int) -> list[_Bucket]:
        """Buckets of a level from number `start` on; level 0: points."""
        if level == 0:
            return [_bucket(step, value) for _, _, step, value in self._stored(metric, start)]
        rows = self._connection.execute(
            """SELECT low, high, last, last_step, broken FROM rollups
            WHERE run = ? AND metric = ? AND level = ? AND bucket >= ? ORDER BY bucket""",
            (self._run, metric, level, start),
        )
        return [_Bucket(*row) for row in rows]

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
        self._connection.executemany(_MERGE, _rows(self._run, _rolled_up(self._stored(metric, 0))))
        self._summarise(metric)

    def _summarise(self, metric: int) -> None:
        summary = self.summaries[metric] = Summary()
        for _, _, step, value in self._stored(metric, 0):
            summary.add(step, value)
        if summary.count == 0:
            self._drop(metric)

    def _drop(self, metric: int) -> None:
        del self.summaries[metric]
        self._connection.execute("DELETE FROM summaries WHERE run = ? AND metric = ?", (self._run, metric))

    def _stored(self, metric: int, start: int) -> Iterator[tuple[int, int, int, float | None]]:
        return iter(
            self._connection.execute(
                "SELECT run, metric, step, value FROM points WHERE run = ? AND metric = ? AND step >= ? ORDER BY step",
                (self._run, metric, start),
            )
        )

    def _write_summaries(self, metrics: Iterable[int]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO summaries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(self._run, metric, *self.summaries[metric].row()) for metric in metrics if metric in self.summaries],
        )


def read_summaries(connection: Connection, run: int) -> dict[int, Summary]:
    """Metric number → summary."""
    rows = connection.execute(
        """SELECT metric, count, first_step, first, last_step, last, low_step, low, high_step, high
        FROM summaries WHERE run = ?""",
        (run,),
    )
    return {metric: Summary(*values) for metric, *values in rows}


def _rolled_up(points: Iterable[tuple[int, int, int, float | None]]) -> dict[tuple[int, int, int], _Bucket]:
    """(metric, level, bucket) → extremes, at every level; points of a metric come in order of step."""
    finest, *coarser = LEVELS
    made: dict[tuple[int, int, int], _Bucket] = {}
    for _, metric, step, value in points:
        key = (metric, finest, step >> finest)
        if (found := made.get(key)) is None:
            made[key] = _bucket(step, value)
        else:
            found.merge(_bucket(step, value))
    below = list(made.items())
    for finer, level in zip(LEVELS, coarser, strict=False):
        above: dict[tuple[int, int, int], _Bucket] = {}
        for (metric, _, number), bucket in below:
            _put(above, (metric, level, number >> (level - finer)), bucket)
        made |= above
        below = list(above.items())
    return made


def _bucket(step: int, value: float | None) -> _Bucket:
    finite = value if value is not None and math.isfinite(value) else None
    return _Bucket(finite, finite, finite, step, int(finite is None))


def _put(made: dict[tuple[int, int, int], _Bucket], key: tuple[int, int, int], bucket: _Bucket) -> None:
    if (found := made.get(key)) is None:
        made[key] = _Bucket(bucket.low, bucket.high, bucket.last, bucket.last_step, bucket.broken)
    else:
        found.merge(bucket)


def _rows(run: int, made: dict[tuple[int, int, int], _Bucket]) -> list[tuple[Any, ...]]:
    return [
        (run, metric, level, number, bucket.low, bucket.high, bucket.last, bucket.last_step, bucket.broken)
        for (metric, level, number), bucket in made.items()
    ]
