"""What a run is expected to reach, as a band for each epoch, and where the run is: in it, above or below.

The guide's numbers are absolute on its own base model and data only; elsewhere they are read relative to the run's
first epoch. Metrics that a person wrote into a preset of their own are absolute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rmtui.guide.model import Subject, metric_of
from rmtui.guide.published_figures import AFTER, BEFORE, IDEAL, METRICS, PRESET_A, RATE_RAISED, Point, Range, better
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.runs.model import State

if TYPE_CHECKING:
    from rmtui.documents.scalars import Config, Metric


@dataclass(frozen=True, slots=True)
class Expectation:
    """A path and the ranges at its end; `guides` tells the guide's own numbers from a person's."""

    path: tuple[Point, ...] = ()
    final: Mapping[str, Range] = field(default_factory=dict)
    guides: bool = True


@dataclass(frozen=True, slots=True)
class ExpectedBand:
    """The expected range of a metric at one epoch."""

    metric: Metric
    epoch: int
    low: float
    high: float
    absolute: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """Where a metric is: `place` is in, above or below; `better` says whether outside is the good side."""

    band: ExpectedBand
    value: float
    place: Literal["in", "above", "below"]
    better: bool | None
    last: bool
    """The run has ended and this was its last epoch."""


def expectation(preset: str | None, expect: Mapping[str, Sequence[float]], config: Config) -> Expectation | None:
    """What the guide, or a person's own preset, expects; None where no metric is given (B, C and free runs).

    Preset A follows the path of the raised rate; a run at the guide's 1e-5 follows the path of more epochs.
    """
    ranges: dict[str, Range] = {
        metric: (float(ends[0]), float(ends[1])) for metric, ends in expect.items() if metric in METRICS
    }
    if ranges and ranges != dict(PRESET_A):
        return Expectation((), ranges, guides=False)
    if ranges or (preset or "").upper() == "A":
        return Expectation(RATE_RAISED, PRESET_A)
    if preset is None and config.get("learning_rate") == AFTER.config["learning_rate"]:
        return Expectation(IDEAL)
    return None


def is_guides_own(subject: Subject, limits: Thresholds = DEFAULT) -> bool:
    """Is this run on the guide's own base model and data? Its own two runs are, and those on `guide_model`."""
    run = subject.run
    if run.data != limits.guide_data:
        return False
    model = subject.value("model")
    if run.state is State.IMPORTED and not model:
        last = (subject.newest("train_loss"), subject.newest("val_loss"))
        return last in [(known.train_loss, known.val_loss) for known in (BEFORE, AFTER)]
    return bool(limits.guide_model) and model == limits.guide_model


def bands(wanted: Expectation, subject: Subject, limits: Thresholds = DEFAULT) -> list[ExpectedBand]:
    """The band of every epoch and metric that can be said; none where the run's first epoch is needed and not known."""
    absolute = not wanted.guides or is_guides_own(subject, limits)
    last = subject.run.num_epochs or subject.value("num_epochs") or 0
    found = []
    for metric in METRICS:
        ranges = _ranges(wanted, metric, last, limits)
        anchor = None if absolute else _anchor(wanted, subject, metric)
        if absolute:
            found += [ExpectedBand(metric, epoch, low, high, True) for epoch, (low, high) in ranges.items()]
        elif anchor:
            first, own, expected = anchor
            moved = {epoch: _move(metric, ends, own, expected) for epoch, ends in ranges.items() if epoch > first}
            found += [ExpectedBand(metric, epoch, low, high, False) for epoch, (low, high) in moved.items()]
    return found


def _ranges(wanted: Expectation, metric: str, last: int, limits: Thresholds) -> dict[int, Range]:
    """Epoch → range: the path's points, a band wide; at the last epoch the final range unless it disagrees."""
    half = limits.band_accuracy if metric == "val_acc" else limits.band_loss
    points = {point.epoch: _of(point, metric) for point in wanted.path if not last or point.epoch <= last}
    ranges = {epoch: (value - half, value + half) for epoch, value in points.items()}
    final = wanted.final.get(metric)
    if final and last and (last not in points or final[0] <= points[last] <= final[1]):
        ranges[last] = final
    return ranges


def _of(point: Point, metric: str) -> float:
    return {"train_loss": point.train_loss, "val_loss": point.val_loss, "val_acc": point.val_acc}[metric]


def _anchor(wanted: Expectation, subject: Subject, metric: str) -> tuple[int, float, float] | None:
    """First epoch that both the run and the path know: (epoch, the run's metric, the path's)."""
    points = {point.epoch: _of(point, metric) for point in wanted.path}
    for epoch, value in subject.known(metric):
        if epoch in points:
            return epoch, value, points[epoch]
    return None


def _move(metric: str, ends: Range, own: float, expected: float) -> Range:
    """A range carried over to a run that starts elsewhere: losses by ratio, val_acc by points."""
    if metric == "val_acc":
        low, high = (min(1.0, own + end - expected) for end in ends)
    else:
        low, high = (own * end / expected for end in ends)
    return low, high


def judge(wanted: Expectation, subject: Subject, limits: Thresholds = DEFAULT) -> list[Judgement]:
    """Every epoch's metrics against their bands, in the order of the epochs."""
    by_place = {(band.epoch, band.metric): band for band in bands(wanted, subject, limits)}
    rows = subject.run.epochs
    found = []
    for row in rows:
        last = row is rows[-1] and subject.run.state.final
        for metric in METRICS:
            value, band = metric_of(row, metric), by_place.get((row.epoch, metric))
            if band is not None and value is not None:
                found.append(_judge(band, value, last))
    return found


def _judge(band: ExpectedBand, value: float, last: bool) -> Judgement:
    if value > band.high:
        return Judgement(band, value, "above", better(band.metric, 1.0), last)
    if value < band.low:
        return Judgement(band, value, "below", better(band.metric, -1.0), last)
    return Judgement(band, value, "in", None, last)


def good_enough(wanted: Expectation, subject: Subject, limits: Thresholds = DEFAULT) -> bool | None:
    """Has the run reached its end's band, or better? By val_acc, else by val_loss; None where neither is known."""
    last = {item.band.metric: item for item in judge(wanted, subject, limits) if item.last}
    decisive = last.get("val_acc") or last.get("val_loss")
    return None if decisive is None else decisive.place == "in" or bool(decisive.better)
