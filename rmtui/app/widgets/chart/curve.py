"""The input of a chart: curves as minimum, maximum and last value a column, the guide's band. No screen here."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Axis(StrEnum):
    """What x counts. `time` is in seconds since the run started; pauses between attempts are the source's affair."""

    STEP = "step"
    EPOCH = "epoch"
    TOKENS = "tokens"
    TIME = "time"


class Curve(NamedTuple):
    """One line of a chart. A column whose `last` is not finite is a gap; a `broken` one gets a mark at the foot."""

    key: str
    """Identity, stable while the data grows: `<run id>/<metric>`."""
    label: str
    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    last: Sequence[float]
    broken: Sequence[bool] = ()
    """Columns that hold a value that is not finite; left out: those whose `last` is not."""
    run: str = ""
    """Name of its run where several are drawn: the legend may shorten it, and tells it before the label."""
    slot: int = 0
    """Colour and marker of the run, 0–5; a run keeps its slot wherever it is drawn."""
    quiet: bool = False
    """Drawn thin and grey behind the others, not in the legend."""
    dashed: bool = False
    """Second metric of the same run (val beside train)."""
    best: tuple[float, float] | None = None
    """(x, y) of the best epoch, marked with ★."""
    noisy: bool = False
    """Single steps: drawn as their mean, the steps themselves behind it, unless the view says otherwise."""
    thick: bool = False
    """Drawn two dots high: the curve that counts."""
    spread: tuple[Sequence[float], Sequence[float]] | None = None
    """Low and high end of the 95 % interval at each x."""

    @staticmethod
    def points(key: str, label: str, points: Sequence[tuple[float, float]]) -> Curve:
        """From raw points, rising in x."""
        x = [at for at, _ in points]
        y = [value for _, value in points]
        return Curve(key, label, x, y, y, y)


class Band(NamedTuple):
    """The guide's expected path: between `low` and `high` at each x; drawn as a shade behind the curves."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    label: str = "guide's range"
    target: float | None = None
    """A level to reach, drawn as a dotted line."""


class Window(NamedTuple):
    """The part of x on screen; None: from the start, to the end."""

    low: float | None = None
    high: float | None = None


class View(NamedTuple):
    """How a chart is looked at. Charts that move together share one view."""

    axis: Axis = Axis.STEP
    window: Window = Window()
    cursor: float | None = None
    """x of the cursor; None: no cursor."""
    smoothing: float | None = None
    """Weight of the past in the exponential mean, 0–0.99; None: noisy curves as the mean of the steps around."""
    log: bool = False


def finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def value_at(curve: Curve, at: float | None) -> float | None:
    """The value of the last column at or before `at`; the last finite one when `at` is None."""
    if at is None:
        return next((value for value in reversed(curve.last) if finite(value)), None)
    place = bisect.bisect_right(curve.x, at) - 1
    return curve.last[place] if place >= 0 else None
