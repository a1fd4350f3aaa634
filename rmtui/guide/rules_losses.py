"""Readings of losses and val_acc: the guide's seven. Each rule is a function from a case to what it has to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from rmtui.guide.divergence import broken
from rmtui.guide.model import (
    Change,
    Reading,
    Subject,
    TrainFacts,
    changes,
    common_epoch,
    interval_of,
    newest_evaluation,
)
from rmtui.guide.paired_test import AccuracyTest
from rmtui.guide.thresholds import Thresholds
from rmtui.statistics import ENOUGH, simulated_coverage


@dataclass(frozen=True, slots=True)
class Case:
    """A run, the run it is held against, and the thresholds."""

    subject: Subject
    before: Subject | None
    limits: Thresholds
    paired: Mapping[str, AccuracyTest] = field(default_factory=dict)
    """Verdicts on val_acc pair by pair where pairs are known: `epochs` within the run, `last` over its last epoch,
    `runs` against `before`."""

    def scopes(self, metric: str) -> Iterator[tuple[dict[str, object], Change]]:
        """How a metric went over the run's own epochs, then against the run before."""
        known = self.subject.known(metric)
        if len(known) > 1:
            (first_epoch, first), (last_epoch, last) = known[0], known[-1]
            yield {"scope": "epochs", "from": first_epoch, "to": last_epoch}, Change(metric, first, last)
        if self.before is not None and metric in (against := changes(self.before, self.subject)):
            names = {"scope": "runs", "from": self.before.run.name, "to": self.subject.run.name}
            yield names | {"at_epoch": common_epoch(self.before, self.subject)}, against[metric]

    @property
    def beside_loss(self) -> dict[str, object]:
        """What train_loss holds and val_loss does not, by option: the two are no longer one quantity."""
        asked = {"label_smoothing": 0, "center_rewards_coefficient": 0, "use_margin": False}
        values = {key: self.subject.value(key) for key in asked}
        return {key: value for key, value in values.items() if value}

    @property
    def gap(self) -> float | None:
        """val_loss − train_loss of the last epoch; None too where they are not one quantity."""
        if self.beside_loss:
            return None
        val, train = self.subject.newest("val_loss"), self.subject.newest("train_loss")
        return None if val is None or train is None else val - train


def train_loss(case: Case) -> Iterator[Reading]:
    """1. train_loss fell: the model is learning; more training helps, unless it is over-fitting."""
    lesson = "overfitting" if (overfits(case) or "").startswith("overfitting") else "learning"
    lesson = "diverged" if broken(case.subject, case.limits) else lesson
    for scope, change in case.scopes("train_loss"):
        values = scope | change.figures() | {"lesson": lesson}
        if abs(change.share) <= case.limits.flat_loss:
            yield Reading("train_loss_flat", "warning", values, 1)
        elif change.delta < 0:
            yield Reading("train_loss_fell", "info" if lesson == "diverged" else "good", values, 1)
        else:
            yield Reading("train_loss_rose", "warning", values, 1)


def val_loss(case: Case) -> Iterator[Reading]:
    """2. val_loss fell, stayed, rose a little (four causes), or rose."""
    for scope, change in case.scopes("val_loss"):
        values = scope | change.figures()
        if abs(change.share) <= case.limits.flat_loss:
            yield Reading("val_loss_flat", "info", values, 2)
        elif change.delta < 0:
            yield Reading("val_loss_fell", "good", values, 2)
        elif change.share <= case.limits.small_rise:
            yield Reading("val_loss_rose_little", "info", values, 2)
        else:
            yield Reading("val_loss_rose", "warning", values, 2)


def train_above_val(case: Case) -> Iterator[Reading]:
    """3. train_loss above val_loss: early or an easier validation set; under-trained, not over-fitting."""
    gap = case.gap
    values = _losses(case)
    train, val = case.subject.newest("train_loss"), case.subject.newest("val_loss")
    if broken(case.subject, case.limits) or _measured(case.subject) is not None:
        return  # train_loss is an epoch's running mean, with dropout: where both are measured alike, it says nothing
    if gap is not None and train is not None and val is not None and _fell(train, val, case.limits):
        values |= {"gap": gap, "verdict": "under-trained"}
        yield Reading("train_above_val", "info", values, 3)


def _measured(subject: Subject) -> TrainFacts | None:
    """Training pairs scored like the validation pairs, at the last epoch."""
    found = subject.trained
    return found if found is not None and found.epoch == subject.last_epoch else None


def train_measured(case: Case) -> Iterator[Reading]:
    """Training and validation pairs, measured alike (`eval_train`): what was memorised."""
    found = _measured(case.subject)
    loss, share = case.subject.newest("val_loss"), case.subject.newest("val_acc")
    if found is None or loss is None or share is None:
        return
    values = {
        "train_acc": found.accuracy,
        "train": found.loss,
        "n": found.pairs,
        "val_acc": share,
        "val_loss": loss,
        "gap": found.accuracy - share,
    }
    yield Reading("train_measured", "info", values)


@dataclass(frozen=True, slots=True)
class Turn:
    """val_loss after its lowest epoch."""

    epoch: int
    lowest: float
    last: float
    last_epoch: int
    rises: int
    """Epochs in a row, up to the last, at which it rose."""
    train_fell: bool

    @property
    def share(self) -> float:
        return (self.last - self.lowest) / abs(self.lowest)


def turn_of(subject: Subject, limits: Thresholds) -> Turn | None:
    """The turn of val_loss; None while its last epoch is, but for a trifle, its lowest."""
    known = subject.known("val_loss")
    if len(known) < 2:
        return None
    epoch, lowest = min(known, key=lambda pair: pair[1])
    last_epoch, last = known[-1]
    if last <= lowest * (1 + limits.turn):
        return None
    values = [value for _, value in known]
    rises = 0
    while rises + 1 < len(values) and values[-1 - rises] > values[-2 - rises]:
        rises += 1
    train = dict(subject.known("train_loss"))
    fell = epoch in train and last_epoch in train and _fell(train[epoch], train[last_epoch], limits)
    return Turn(epoch, lowest, last, last_epoch, rises, fell)


def _fell(before: float, after: float, limits: Thresholds) -> bool:
    """Below the threshold of a change, a loss neither falls nor rises."""
    return after < before * (1 - limits.flat_loss)


def turned(case: Case) -> Iterator[Reading]:
    """The turn of val_loss with its epoch, over-fitting or not."""
    if turn := turn_of(case.subject, case.limits):
        values = {"epoch": turn.epoch, "first": turn.lowest, "last": turn.last, "change": turn.share}
        yield Reading("val_loss_turned", "info", values, 4)


def overfits(case: Case) -> str | None:
    """The reading that says whether it is over-fitting; None where that is not known, or something else is wrong."""
    gap, turn = case.gap, turn_of(case.subject, case.limits)
    if (gap is None and not case.beside_loss) or broken(case.subject, case.limits):
        return None
    below = gap is None or gap > 0
    if below and turn and turn.train_fell and (turn.share > case.limits.small_rise or turn.rises > 1):
        return "overfitting_turn" if gap is not None else "overfitting_turn_alone"
    if gap is None:
        return "no_turn" if len(case.subject.known("val_loss")) > 1 else None
    return "overfitting_gap" if gap > case.limits.gap_warning else "no_overfitting"


def overfitting(case: Case) -> Iterator[Reading]:
    """4. train_loss falls on while val_loss turns up, or is far below it; never while train_loss is the higher."""
    found = overfits(case)
    values: dict[str, Any] = _losses(case) | {"gap": case.gap}
    turn = turn_of(case.subject, case.limits)
    if found == "overfitting_turn" and turn is not None:
        yield Reading("overfitting_turn", "warning", values | {"epoch": turn.epoch, "change": turn.share}, 4)
    elif found == "overfitting_turn_alone" and turn is not None:
        yield Reading("overfitting_turn_alone", "warning", {"epoch": turn.epoch, "change": turn.share}, 4)
    elif found == "no_turn":
        yield Reading("no_turn", "good", {}, 4)
    elif found == "overfitting_gap":
        yield Reading("overfitting_gap", "warning", values, 4)
    elif found:
        yield Reading("no_overfitting", "good", values, 4)


def gap_size(case: Case) -> Iterator[Reading]:
    """5. The gap of the losses: above 0.2 it warns with val above train, and informs with train above val.

    Own: a train_loss that holds more than the pairs' loss has no gap to val_loss.
    """
    gap, limit = case.gap, case.limits.gap_warning
    if broken(case.subject, case.limits):
        return
    if gap is None:
        if case.beside_loss and None not in _losses(case).values():
            yield Reading("gap_unknown", "info", _losses(case) | {"options": list(case.beside_loss)})
        return
    values = _losses(case) | {"gap": gap, "limit": limit}
    if gap > limit:
        yield Reading("gap_warning", "warning", values, 5)
    elif -gap > limit:
        yield Reading("gap_train_above", "info", values, 5)
    else:
        yield Reading("gap_small", "info", values, 5)


def val_acc(case: Case) -> Iterator[Reading]:
    """6. val_acc is the key metric; where it is not known, confirming it comes first."""
    last = case.subject.newest("val_acc")
    if last is None:
        if case.subject.run.epochs or case.subject.last("train_loss") is not None:
            yield Reading("val_acc_unknown", "warning", _unknown(case), 6)
        return
    entered = case.subject.run.epochs[-1].entered if case.subject.run.epochs else ""
    at = next((at for at, value in reversed(case.subject.evaluations.get("val_acc", ())) if value == last), None)
    values = with_interval(case, last) | {"entered": entered}
    if at is not None and at != int(at):
        values["measured_at"] = at
    yield Reading("val_acc_is", "info", values, 6)
    loss = {scope["scope"]: change for scope, change in case.scopes("val_loss")}
    for scope, change in case.scopes("val_acc"):
        yield _accuracy(case, scope, change, loss.get(scope["scope"]))


def _accuracy(case: Case, scope: dict[str, object], change: Change, loss: Change | None) -> Reading:
    values = scope | change.figures()
    turned = case.paired.get(str(scope["scope"]))
    if abs(change.delta) <= case.limits.flat_accuracy and (turned is None or turned.word == "same"):
        return Reading("val_acc_flat", "info", values, 6)
    if turned is not None and turned.word == "same":
        ends = {"low": turned.difference.low, "high": turned.difference.high}
        about = {"p": turned.p, "n": turned.n, "clusters": turned.clusters, "shows": turned.shows} | ends
        about |= {"needed": turned.needed, "power": case.limits.power}
        return Reading("val_acc_unproven", "info", values | about, 6)
    half = with_interval(case, change.last)["half"]
    unsure = turned is None and half is not None and abs(change.delta) <= half
    values |= {"within": half if unsure else None}
    if change.delta < 0:
        return Reading("val_acc_fell", "info" if unsure else "warning", values, 6)
    if loss is not None and loss.share > case.limits.flat_loss:
        values |= {"val_loss_first": loss.first, "val_loss_last": loss.last, "val_loss_change": loss.share}
        return Reading("val_acc_rose_though_loss", "info" if unsure else "good", values, 6)
    return Reading("val_acc_rose", "info" if unsure else "good", values, 6)


def with_interval(case: Case, share: float) -> dict[str, float | None]:
    """val_acc with its interval where the number of pairs is known."""
    around, at = interval_of(case.subject.run, share, case.limits.level), newest_evaluation(case.subject.run)
    if around is None:
        return {"val_acc": share, "val_pairs": None, "low": None, "high": None, "half": None}
    values = {"val_acc": share, "val_pairs": at.val_pairs, "low": around.low, "high": around.high, "half": around.half}
    if at.val_clusters is None or at.val_effective is None:
        return values
    known: dict[str, float | None] = {**values, "clusters": at.val_clusters, "effective": at.val_effective}
    if 1 < at.val_clusters < min(ENOUGH, at.val_pairs or 0):
        level = case.limits.level
        known["coverage"] = simulated_coverage(share, at.val_pairs or 0, at.val_clusters, at.val_effective, level)
    return known


def _unknown(case: Case) -> dict[str, object]:
    before = case.before.newest("val_acc") if case.before else None
    return {"val_acc": None, "before": before, "run": case.subject.run.name, "key": "V", "verb": "score"}


def watch(case: Case) -> Iterator[Reading]:
    """7. In every run: train_loss falls every epoch, val_loss starts to fall at some epoch, val_acc climbs."""
    seen = {metric: case.subject.known(metric) for metric in ("train_loss", "val_loss", "val_acc")}
    missing = [metric for metric, known in seen.items() if len(known) < 2]
    if len(missing) == 3:
        if any(seen.values()):
            yield Reading("watch_unknown", "info", {"epochs": max(map(len, seen.values()))}, 7)
        return
    if "train_loss" not in missing:
        yield _train_every_epoch(seen["train_loss"], case.limits)
    if "val_loss" not in missing:
        yield _val_starts(seen["val_loss"], case.limits)
    if "val_acc" not in missing:
        yield _acc_climbs(seen["val_acc"], case.limits, case.paired.get("epochs"))


def _train_every_epoch(known: list[tuple[int, float]], limits: Thresholds) -> Reading:
    """A small rise is let pass only in a loss that falls on the whole."""
    noise = limits.last_loss_noise if _fell(known[0][1], known[-1][1], limits) else limits.flat_loss
    for (_, before), (epoch, value) in pairwise(known):
        if value > before * (1 + noise):
            return Reading("train_not_every_epoch", "warning", {"epoch": epoch, "first": before, "last": value}, 7)
    still = [epoch for (_, before), (epoch, value) in pairwise(known) if not _fell(before, value, limits)]
    if still:
        return Reading("train_hardly_falls", "info", {"still": still, "epochs": len(known)}, 7)
    return Reading("train_every_epoch", "good", {"epochs": len(known)}, 7)


def _val_starts(known: list[tuple[int, float]], limits: Thresholds) -> Reading:
    """Against the highest so far, so that a slow fall is seen too."""
    highest = known[0][1]
    for epoch, value in known[1:]:
        if _fell(highest, value, limits):
            return Reading("val_starts_falling", "good", {"epoch": epoch, "first": highest, "last": value}, 7)
        highest = max(highest, value)
    return Reading("val_not_falling", "info", {"epochs": len(known)}, 7)


def _acc_climbs(known: list[tuple[int, float]], limits: Thresholds, turned: AccuracyTest | None) -> Reading:
    """No sentence says more than the test: a climb that the pairs do not bear out is called that."""
    falls = [epoch for (_, before), (epoch, value) in pairwise(known) if before - value > limits.flat_accuracy]
    values = {"first": known[0][1], "last": known[-1][1], "epochs": len(known)}
    if known[-1][1] - known[0][1] > limits.flat_accuracy:
        if turned is not None and turned.word == "same":
            return Reading(
                "val_acc_climbs_unproven",
                "info",
                values | {"falls": falls, "n": turned.n, "clusters": turned.clusters},
                7,
            )
        name = "val_acc_climbs" if not falls else "val_acc_climbs_with_falls"
        return Reading(name, "good" if not falls else "info", values | {"falls": falls}, 7)
    return Reading("val_acc_not_climbing", "info", values | {"falls": falls}, 7)


def _losses(case: Case) -> dict[str, object]:
    return {"train_loss": case.subject.newest("train_loss"), "val_loss": case.subject.newest("val_loss")}


RULES = (train_loss, val_loss, train_above_val, train_measured, turned, overfitting, gap_size, val_acc, watch)
