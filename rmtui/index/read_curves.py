"""Curves out of the index: min/max roll-ups, so that a chart reads in time that depends on its columns alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from rmtui.index.rollups import LEVELS
from rmtui.index.sqlite import Connection
from rmtui.runs.model import EvaluatedStep

Axis = Literal["step", "epoch", "tokens", "time"]
"""step: optimizer step. epoch: fractional. tokens: since the run began. time: seconds of training, no pauses."""

_BESIDE = {"epoch": "epoch", "time": "seconds", "tokens": "tokens"}


@dataclass(frozen=True, slots=True)
class Series:
    """A metric in at most so many columns, left to right. All tuples have one length.

    A column is one point or many; `low` and `high` are its extremes, so no spike is lost. NaN in low, high and last: no
    finite value in this column, draw a gap.
    """

    metric: str
    x: tuple[float, ...]
    """Of the column's last point."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    last: tuple[float, ...]
    steps: tuple[int, ...]
    """Step of the column's last point."""
    broken: tuple[bool, ...]
    """Whether the column holds a value that is not finite: mark it."""

    def __len__(self) -> int:
        return len(self.x)


Column = tuple[float | None, float | None, float | None, int, int]
"""low, high, last, last step, broken."""


def read(
    connection: Connection, run: int, metric: str, columns: int, x: Axis, lo: float | None, hi: float | None
) -> Series:
    """At most `columns` columns of a metric; lo and hi are in units of x. Empty if the run has no such metric."""
    row = connection.execute(
        """SELECT s.metric, s.count, s.first_step, s.last_step FROM summaries s JOIN metric_names m ON m.id = s.metric
        WHERE s.run = ? AND m.name = ?""",
        (run, metric),
    ).fetchone()
    if row is None:
        return _series(metric, [], [])
    number, count, first, last = row
    if lo is not None:
        first = max(first, step_at(connection, run, x, lo, after=True))
    if hi is not None:
        last = min(last, step_at(connection, run, x, hi, after=False))
    if first > last:
        return _series(metric, [], [])
    found = _columns(connection, run, number, first, last, count, max(1, columns))
    return _series(metric, found, [_beside(connection, run, x, column[3]) for column in found])


def read_broken(connection: Connection, run: int) -> set[str]:
    """Metrics of which a point is not finite, by the coarsest roll-ups: one row for 65,536 steps."""
    rows = connection.execute(
        """SELECT DISTINCT name FROM rollups JOIN metric_names ON id = metric
        WHERE run = ? AND metric IN (SELECT metric FROM summaries WHERE run = ?) AND level = ? AND broken""",
        (run, run, LEVELS[-1]),
    )
    return {name for (name,) in rows}


def _columns(
    connection: Connection, run: int, metric: int, first: int, last: int, count: int, columns: int
) -> list[Column]:
    """The finest level that is not much finer than the screen, merged into its columns."""
    width = (last - first + 1) / columns
    level = max((bits for bits in LEVELS if 1 << bits <= width), default=0)
    if level and count > columns:
        rows = connection.execute(
            """SELECT low, high, last, last_step, broken FROM rollups
            WHERE run = ? AND metric = ? AND level = ? AND bucket BETWEEN ? AND ? ORDER BY bucket""",
            (run, metric, level, first >> level, last >> level),
        )
    else:
        rows = connection.execute(
            "SELECT value, step FROM points WHERE run = ? AND metric = ? AND step BETWEEN ? AND ? ORDER BY step",
            (run, metric, first, last),
        )
        rows = map(_point, rows)  # type: ignore[assignment]
    found = list(rows)
    if len(found) <= columns:
        return found
    return _merged(found, first, width, columns)


def _point(row: tuple[float | None, int]) -> Column:
    value, step = row
    if value is None or math.isinf(value):
        return None, None, None, step, 1
    return value, value, value, step, 0


def _merged(rows: Iterable[Column], first: int, width: float, columns: int) -> list[Column]:
    made: dict[int, Column] = {}
    for row in rows:
        place = min(columns - 1, max(0, int((row[3] - first) / width)))
        made[place] = _joined(made[place], row) if place in made else row
    return list(made.values())


def _joined(left: Column, right: Column) -> Column:
    if right[0] is None or right[1] is None:
        return left[0], left[1], left[2], right[3], 1
    low = right[0] if left[0] is None else min(left[0], right[0])
    high = right[1] if left[1] is None else max(left[1], right[1])
    return low, high, right[2], right[3], left[4] | right[4]


def _series(metric: str, columns: list[Column], xs: list[float]) -> Series:
    if not columns:
        return Series(metric, (), (), (), (), (), ())
    low, high, last, steps, broken = zip(*columns, strict=True)
    return Series(metric, tuple(xs), _numbers(low), _numbers(high), _numbers(last), steps, tuple(map(bool, broken)))


def _numbers(values: Iterable[float | None]) -> tuple[float, ...]:
    return tuple(math.nan if value is None else value for value in values)


def _beside(connection: Connection, run: int, x: Axis, step: int) -> float:
    """A step's place on another axis; NaN where it is not known."""
    if x == "step":
        return float(step)
    row = connection.execute(
        f"SELECT {_BESIDE[x]} FROM steps WHERE run = ? AND step <= ? ORDER BY step DESC LIMIT 1", (run, step)
    ).fetchone()
    return math.nan if row is None or row[0] is None else float(row[0])


def step_at(connection: Connection, run: int, x: Axis, value: float, after: bool) -> int:
    """The step at a place on an axis: the first at or after it, or the last at or before it. By bisection."""
    if x == "step":
        return math.ceil(value) if after else math.floor(value)
    # Two questions: SQLite answers one for both ends by reading everything between them.
    (low,) = connection.execute("SELECT min(step) FROM steps WHERE run = ?", (run,)).fetchone()
    (high,) = connection.execute("SELECT max(step) FROM steps WHERE run = ?", (run,)).fetchone()
    if low is None:
        return 0
    if after:
        low, high = low - 1, high + 1  # answer is in (low, high]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _reached(connection, run, x, middle, value) else (middle, high)
        return int(high)
    low, high = low - 1, high + 1  # answer is in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        past = _beside(connection, run, x, middle) > value
        low, high = (low, middle) if past else (middle, high)
    return int(low)


def _reached(connection: Connection, run: int, x: Axis, step: int, value: float) -> bool:
    return _beside(connection, run, x, step) >= value


def read_full(connection: Connection, run: int, metric: str) -> list[tuple[int, float]]:
    """Every point in full precision; NaN where the value was NaN."""
    rows: Iterable[Any] = connection.execute(
        """SELECT step, value FROM points WHERE run = ? AND metric = (SELECT id FROM metric_names WHERE name = ?)
        ORDER BY step""",
        (run, metric),
    )
    return [(step, math.nan if value is None else value) for step, value in rows]


_EVALUATED = ("val_loss", "val_acc", "val_pairs", "reward_margin", "val_clusters", "val_effective")
_COUNTS = ("val_pairs", "val_clusters")


def read_evaluations(connection: Connection, run: int) -> list[EvaluatedStep]:
    """Points of the validation's metrics, joined by step; NaN where a value was NaN."""
    found: dict[int, dict[str, float]] = {}
    for name in _EVALUATED:
        for step, value in read_full(connection, run, name):
            found.setdefault(step, {})[name] = value
    return [EvaluatedStep(step, _epoch_of(connection, run, step), **_as_counted(found[step])) for step in sorted(found)]


def _epoch_of(connection: Connection, run: int, step: int) -> float | None:
    row = connection.execute("SELECT epoch FROM steps WHERE run = ? AND step = ?", (run, step)).fetchone()
    return None if row is None or row[0] is None else float(row[0])


def _as_counted(values: dict[str, float]) -> dict[str, Any]:
    counts = {name: values.pop(name, math.nan) for name in _COUNTS}
    return {**values, **{name: int(count) if math.isfinite(count) else None for name, count in counts.items()}}
