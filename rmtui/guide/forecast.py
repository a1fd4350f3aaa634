"""A forecast of the next evaluations, marked as one, and how well earlier forecasts did.

From three comparable past runs: the run's last value plus their mean change from this epoch on. Else, from five
evaluations: its recent slope, which follows curves that flatten or turn. Both with prediction intervals; while a curve
turns for the worse, or was just far from what it promised, none is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Literal

from rmtui.guide.model import Subject
from rmtui.guide.thresholds import DEFAULT, Thresholds
from trainer.intervals import Interval, t_quantile

if TYPE_CHECKING:
    from rmtui.documents.scalars import Metric

Method = Literal["runs", "curve"]
METRICS: tuple[Metric, ...] = ("val_loss", "val_acc")
RECENT = 3
"""Gaps between evaluations whose mean slope goes on."""
BENT = 1.6
"""Two errors for the worse that are together more than this many times their usual size are no chance."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """A metric that has not come yet, said after `at` (an epoch) for `epoch`."""

    metric: Metric
    at: float
    epoch: float
    value: float
    low: float
    high: float
    method: Method
    """runs: from comparable past runs; curve: from the run's own evaluations."""
    n: int
    """Runs or evaluations it rests on."""


@dataclass(frozen=True, slots=True)
class ForecastRecord:
    """How well forecasts did whose evaluation has come."""

    count: int
    hits: int
    """Figures that fell inside their interval."""
    mean_error: float
    """Mean absolute error."""


def forecast(subject: Subject, past: Sequence[Subject] = (), limits: Thresholds = DEFAULT) -> list[Forecast]:
    """The next evaluations of val_loss and val_acc; empty while too little is known or nothing more will come."""
    found = []
    for metric in METRICS:
        points = curve(subject, metric)
        for epoch in _next_epochs(subject, points, limits):
            made = _from_runs(subject, past, metric, points, epoch, limits) or _from_curve(
                metric, points, epoch, limits
            )
            if made:
                found.append(made)
    return found


def curve(subject: Subject, metric: str) -> list[tuple[float, float]]:
    """(epoch, value) of every evaluation, between epochs too where they are known."""
    between = [(x, y) for x, y in subject.evaluations.get(metric, ()) if x > 0 and math.isfinite(y)]
    return sorted(between) if between else [(float(epoch), value) for epoch, value in subject.known(metric)]


def comparable(one: Subject, other: Subject, limits: Thresholds = DEFAULT) -> bool:
    """Same data, validation set, base model, method and rank, and a rate within a factor: its course may repeat."""
    if one.run.id == other.run.id or one.run.data != other.run.data:
        return False
    if one.run.val_fingerprint != other.run.val_fingerprint:
        return False
    if any(one.value(key) != other.value(key) for key in ("model", "method", "lora.r", "num_epochs")):
        return False
    rate, past = one.value("learning_rate"), other.value("learning_rate")
    if not isinstance(rate, (int, float)) or not isinstance(past, (int, float)) or min(rate, past) <= 0:
        return False
    return max(rate, past) / min(rate, past) <= limits.comparable_rate


def _next_epochs(subject: Subject, points: Sequence[tuple[float, float]], limits: Thresholds) -> list[float]:
    """The epochs at which the next evaluations fall, within the planned number of epochs."""
    end = subject.run.num_epochs or subject.value("num_epochs")
    if not points or not end or subject.run.state.final:
        return []
    last = points[-1][0]
    gap = last - points[-2][0] if len(points) > 1 else 1.0
    ahead = [last + gap * k for k in range(1, limits.forecast_ahead + 1)]
    return [round(epoch, 6) for epoch in ahead if gap > 0 and epoch <= end + 1e-6]


def _from_runs(
    subject: Subject,
    past: Sequence[Subject],
    metric: Metric,
    points: Sequence[tuple[float, float]],
    epoch: float,
    limits: Thresholds,
) -> Forecast | None:
    at, last = points[-1]
    moves = []
    for other in past:
        known = dict(curve(other, metric)) if comparable(subject, other, limits) else {}
        if at in known and epoch in known:
            moves.append(known[epoch] - known[at])
    count = len(moves)
    if count < max(2, limits.forecast_runs):
        return None
    return _made(metric, at, epoch, around_next(last, moves, limits.level), "runs", count)


def around_next(last: float, moves: Sequence[float], level: float) -> Interval:
    """`last` moved as the runs before it moved, on average, with Student's prediction interval: t·s·√(1 + 1/n)."""
    value, count = last + fmean(moves), len(moves)
    half = t_quantile(0.5 + level / 2, count - 1) * stdev(moves) * math.sqrt(1 + 1 / count)
    return Interval(value, value - half, value + half, level)


def _from_curve(
    metric: Metric, points: Sequence[tuple[float, float]], epoch: float, limits: Thresholds
) -> Forecast | None:
    """The recent slope goes on; the interval is that of its own one-step errors on this curve so far, Student's t. Two
    steps ahead the error of the slope counts twice, and so on: √(1² + 2² + …)."""
    if len(points) < max(4, limits.forecast_evaluations):
        return None
    errors = [value - _onward(points[:place], x) for place, (x, value) in enumerate(points) if place > 1]
    if _turns(metric, points, errors):
        return None
    at = points[-1][0]
    ahead = (epoch - at) / (at - points[-2][0])
    reach = math.sqrt(ahead * (ahead + 1) * (2 * ahead + 1) / 6 * (1 + 1 / len(errors)))
    value, half = _onward(points, epoch), t_quantile(0.5 + limits.level / 2, len(errors)) * _spread(errors) * reach
    return _made(metric, at, epoch, Interval(value, value - half, value + half, limits.level), "curve", len(points))


def _onward(points: Sequence[tuple[float, float]], x: float) -> float:
    """The value at `x` if the slope of the last evaluations goes on."""
    (begin, first), (end, last) = points[-RECENT - 1 :][0], points[-1]
    return last + (last - first) / (end - begin) * (x - end)


def _turns(metric: Metric, points: Sequence[tuple[float, float]], errors: Sequence[float]) -> bool:
    """The newest evaluation is further from its forecast than any before; or it is worse than the one before, and so
    were the newest two than their forecasts, by more than chance: where such a curve goes, its past does not say."""
    if abs(errors[-1]) > max(map(abs, errors[:-1])):
        return True
    bad = 1 if metric == "val_loss" else -1
    worse = bad * (points[-1][1] - points[-2][1]) > 0
    return worse and bad * (errors[-1] + errors[-2]) > BENT * _spread(errors)


def _spread(errors: Sequence[float]) -> float:
    return math.sqrt(fmean(error * error for error in errors))


def _made(metric: Metric, at: float, epoch: float, around: Interval, method: Method, n: int) -> Forecast:
    most = 1.0 if metric == "val_acc" else math.inf
    value, low, high = (min(most, max(0.0, end)) for end in (around.value, around.low, around.high))
    return Forecast(metric, at, epoch, value, low, high, method, n)


def outcomes(forecasts: Iterable[Forecast], subject: Subject) -> list[tuple[Forecast, float]]:
    """The forecasts whose evaluation has come, each with the metric that came."""
    came = {metric: {round(x, 6): y for x, y in curve(subject, metric)} for metric in METRICS}
    return [(item, came[item.metric][item.epoch]) for item in forecasts if item.epoch in came.get(item.metric, {})]


def record(pairs: Iterable[tuple[Forecast, float]]) -> ForecastRecord | None:
    """Hits and mean error; None while no forecast has come true or false."""
    found = list(pairs)
    if not found:
        return None
    hits = sum(item.low <= actual <= item.high for item, actual in found)
    return ForecastRecord(len(found), hits, fmean(abs(item.value - actual) for item, actual in found))
