"""What the guide looks at: a run with the few things beside its facts that rules rest on, and what it says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rmtui.guide.published_figures import METRICS, better
from rmtui.runs.model import Best, Epoch, Run, State
from trainer.best import best_of
from trainer.intervals import Interval, accuracy_interval

if TYPE_CHECKING:
    from rmtui.documents.scalars import Severity

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info", "good")
"""In the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class RewardSummary:
    """Rewards of one evaluation, over both answers of every pair."""

    epoch: float
    mean: float
    spread: float


@dataclass(frozen=True, slots=True)
class BadValue:
    """A metric that was NaN or infinite at a step."""

    metric: str
    step: int


class LengthFacts(NamedTuple):
    """What the trainer measures of length in an evaluation, in tokens."""

    val_acc: float
    pairs: int
    shorter: float
    """Pairs whose chosen answer is the shorter one."""
    accuracy_shorter: float
    """val_acc of these."""
    correlation: float | None
    """Of reward and length over all answers."""


class TrainFacts(NamedTuple):
    """Training pairs scored as the validation pairs are (`eval_train`), at the newest epoch's end."""

    epoch: float
    loss: float
    accuracy: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Subject:
    """A run as the rules see it. `evaluations` holds (epoch, value) of val_loss and val_acc between epochs too."""

    run: Run
    rewards: tuple[RewardSummary, ...] = ()
    bad_values: tuple[BadValue, ...] = ()
    peak_step: int | None = None
    """Step at which the learning rate was highest: the end of its warm-up."""
    evaluations: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    fitted: tuple[tuple[float, float], ...] = ()
    """(epoch, val_loss at a cross-fitted temperature) at the ends of epochs; empty where rewards of its single pairs
    are not known."""
    start_loss: float | None = None
    """Mean loss of the first steps, while the model is as good as untrained; None where steps are not known."""
    lengths: LengthFacts | None = None
    """How the newest evaluation depends on length; None where its trainer did not measure that."""
    trained: TrainFacts | None = None
    """Its training pairs, measured as its validation pairs; None where that was not asked for."""
    floor: tuple[str, float] | None = None
    """The best simple rival on its validation pairs and that one's accuracy, where they were measured."""
    has_model: bool = False
    """A checkpoint or model of it is here, so that it can be evaluated."""
    checkpoint: int | None = None
    """Step of the newest checkpoint, where a resume goes on; None where there is none."""

    def value(self, key: str) -> Any:
        """A dotted key of the configuration; None where it is not known."""
        if "." not in key:  # by far the most: asked of hundreds of runs with each key in the app
            return self.run.config.get(key)
        found: Any = self.run.config
        for name in key.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def last(self, metric: str) -> float | None:
        """The value at the newest epoch that has one; finite."""
        known = self.known(metric)
        return known[-1][1] if known else None

    def known(self, metric: str) -> list[tuple[int, float]]:
        """(epoch, value) of every epoch whose metric is known and finite; the run's own metric where no epoch is."""
        pairs = [(row.epoch, metric_of(row, metric)) for row in self.run.epochs]
        found = [(epoch, value) for epoch, value in pairs if value is not None and math.isfinite(value)]
        alone = metric_of(self.run, metric)
        if not self.run.epochs and alone is not None and math.isfinite(alone):
            return [(self.last_epoch, alone)]
        return found

    @property
    def best(self) -> Best | None:
        """The run's best evaluation; where only its epochs are known, the best of them."""
        if self.run.best is not None:
            return self.run.best
        metric = str(self.value("best_metric") or "val_acc")
        row = best_of(self.run.epochs, lambda epoch: (epoch.val_acc, epoch.val_loss), metric)
        return None if row is None else Best(float(row.epoch), row.val_acc, row.val_loss)

    def at_best(self, metric: str) -> float | None:
        """A metric of the best evaluation; train_loss only where that is at an epoch's end."""
        best = self.best
        if best is None or metric == "train_loss":
            epoch = best.epoch if best else None
            return dict(self.known(metric)).get(int(epoch)) if epoch and epoch == int(epoch) else None
        return best.val_acc if metric == "val_acc" else best.val_loss

    @property
    def unfinished(self) -> bool:
        """The run has not come to its end, so its last epoch is not the one it was launched for."""
        return self.run.state not in (State.FINISHED, State.IMPORTED)

    @property
    def cut_off(self) -> bool:
        """The run was killed, failed or was interrupted: what it was launched for is not answered."""
        return self.run.state in (State.KILLED, State.FAILED, State.INTERRUPTED)

    @property
    def trains(self) -> bool:
        """It trains, or is about to: what its metrics will come to is open."""
        return self.run.state.alive or self.run.state is State.QUEUED

    @property
    def last_epoch(self) -> int:
        return self.run.epochs[-1].epoch if self.run.epochs else max(1, round(self.run.epochs_done or 0))

    def at(self, metric: str, epoch: int | None) -> float | None:
        """The value at an epoch; None for `epoch`: of the run's last one."""
        return self.newest(metric) if epoch is None else dict(self.known(metric)).get(epoch)

    def newest(self, metric: str) -> float | None:
        """The value at the run's last epoch itself; None where that epoch lacks it, whatever earlier ones have."""
        if not self.run.epochs:
            return self.last(metric)
        value = metric_of(self.run.epochs[-1], metric)
        return value if value is not None and math.isfinite(value) else None


def metric_of(row: Epoch | Run, metric: str) -> float | None:
    """One of the guide's three metrics of an epoch or a run."""
    return {"train_loss": row.train_loss, "val_loss": row.val_loss, "val_acc": row.val_acc}[metric]


def newest_evaluation(run: Run) -> Epoch | Run:
    """What the number of pairs is of: the last epoch; the run where no epoch is known."""
    return run.epochs[-1] if run.epochs else run


def interval_of(run: Run, share: float | None, level: float = 0.95) -> Interval | None:
    """The interval of a val_acc of the run's newest evaluation; None where the number of pairs is not known."""
    at = newest_evaluation(run)
    if share is None or not at.val_pairs:
        return None
    return accuracy_interval(share, at.val_pairs, at.val_clusters, at.val_effective, level)


@dataclass(frozen=True, slots=True)
class Change:
    """How a metric went from one value to another."""

    metric: str
    first: float
    last: float

    @property
    def delta(self) -> float:
        return self.last - self.first

    @property
    def share(self) -> float:
        """Relative change: −0.23 is 23 % down."""
        return self.delta / abs(self.first) if self.first else 0.0

    @property
    def better(self) -> bool | None:
        return better(self.metric, self.delta)

    def figures(self) -> dict[str, object]:
        return {
            "metric": self.metric,
            "first": self.first,
            "last": self.last,
            "delta": self.delta,
            "change": self.share,
            "better": self.better,
        }


def common_epoch(*subjects: Subject) -> int | None:
    """Where runs are held against each other while one is unfinished: the last epoch that all reached.

    None once all have come to their end: then each stands for itself with its last epoch.
    """
    return min(item.last_epoch for item in subjects) if any(item.unfinished for item in subjects) else None


def changes(before: Subject, after: Subject) -> dict[str, Change]:
    """The metrics of two runs at their common epoch, metric by metric, where both are known."""
    epoch = common_epoch(before, after)
    both = {metric: (before.at(metric, epoch), after.at(metric, epoch)) for metric in METRICS}
    return {
        metric: Change(metric, first, last)
        for metric, (first, last) in both.items()
        if first is not None and last is not None
    }


@dataclass(frozen=True, slots=True)
class Reading:
    """What a metric means. `id` names its sentence in the catalogue; `figures` are what it rests on."""

    id: str
    severity: Severity
    figures: Mapping[str, Any] = field(default_factory=dict)
    statement: int | None = None
    """Number of the guide's reading that it carries; None: rmtui's own."""


AdviceAction = Literal["form", "evaluate", "check", "launch", "resume", "none"]


@dataclass(frozen=True, slots=True)
class Advice:
    """A next step. `changes` are dotted keys of the configuration, ready for the form."""

    id: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, Any] = field(default_factory=dict)
    """Metric → [low, high] where the guide gives numbers."""
    because: tuple[str, ...] = ()
    """Ids of the readings behind it."""
    action: AdviceAction = "form"
    """form: open the preset form with `changes`; evaluate (or enter val_acc); check; launch; resume; none."""
    own: bool = False
    """The guide does not say it: it is rmtui's own."""
    figures: Mapping[str, Any] = field(default_factory=dict)
