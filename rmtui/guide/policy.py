"""What to try next over all runs of a data set, anchored on the best one: it is recommended before the guide's advice.

The order: a training that broke → is the model learning at all → is the learning rate bracketed → how many epochs →
is anything left to gain. Each step asks for the shortest run that can answer it. Measured in `benchmarks/advice.py`
against a ladder of rates, random search and successive halving at equal epochs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

from rmtui.guide import rates
from rmtui.guide.divergence import broken, pairs_of, usual_rate
from rmtui.guide.model import Advice, AdviceAction, Subject, newest_evaluation
from rmtui.guide.rules_losses import turn_of
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.runs.model import State
from rmtui.statistics import LN2
from trainer.intervals import accuracy_interval

KEPT = (
    "learning_rate",
    "num_epochs",
    "lr_scheduler",
    "warmup_ratio",
    "weight_decay",
    "lora.r",
    "lora.alpha",
    "lora.dropout",
)
"""Settings that a step takes over from the best run."""


TOO_LARGE = ("rate_down", "rate_lower", "rate_slower", "stop_earlier")
"""Steps that lower the rate: nothing that raises it, and no longer training at it, is advised beside them."""


class PastTrial(NamedTuple):
    """A run as the policy sees it. Losses and val_acc are those of its best epoch."""

    subject: Subject
    rate: float
    epochs: int
    """Epochs that it was planned for, or had when a person stopped it."""
    broken: bool
    above: bool
    """Its train_loss ended above that of an untrained model: the steps are too large."""
    learned: bool
    """Its val_acc is above chance by more than its interval, or its train_loss clearly fell."""
    epoch: int
    """Its best epoch: the lowest val_loss, where that is known."""
    val_loss: float | None
    val_acc: float | None
    val_pairs: int
    still: bool
    """Its last epoch is its best."""


def next_step(subject: Subject, runs: Iterable[Subject], limits: Thresholds = DEFAULT) -> Advice | None:
    """The one step that is recommended; None where the runs do not say enough (no rate, no metrics, still running)."""
    if subject.unfinished and subject.run.state.alive:
        return None
    trials = [trial for item in _family(subject, runs) if (trial := _kept_trial(item, limits)) is not None]
    own = next((trial for trial in trials if trial.subject.run.id == subject.run.id), None)
    if own is None:
        return None
    step = next(_steps(own, trials, limits), None)
    return None if step is None else _as_difference(step, subject)


def _family(subject: Subject, runs: Iterable[Subject]) -> list[Subject]:
    """Runs that answer the same question: same base model, method and validation pairs, as far as those are known."""

    model, method, pairs = subject.value("model"), subject.value("method"), subject.run.val_fingerprint

    def alike(other: Subject) -> bool:
        return (
            _may_be(model, other.value("model"))
            and _may_be(method, other.value("method"))
            and _may_be(pairs, other.run.val_fingerprint)
        )

    found = {item.run.id: item for item in runs if alike(item)}
    return list({**found, subject.run.id: subject}.values())


def _may_be(mine: object, its: object) -> bool:
    return not mine or not its or mine == its


_KEPT: dict[str, tuple[Subject, Thresholds, PastTrial | None]] = {}
"""Trials by run: with each key in the app the policy asks for hundreds, of which hardly one has changed."""


def _kept_trial(item: Subject, limits: Thresholds) -> PastTrial | None:
    kept = _KEPT.get(item.run.id)
    if kept is not None and kept[0] == item and kept[1] == limits:
        return kept[2]
    if len(_KEPT) > 1000:
        _KEPT.clear()
    made = _trial(item, limits)
    _KEPT[item.run.id] = (item, limits, made)
    return made


def _trial(item: Subject, limits: Thresholds) -> PastTrial | None:
    rate = rates.current(item)
    rows = [row for row in item.run.epochs if row.train_loss is not None or row.val_loss is not None]
    if rate is None or not rows or (item.cut_off and not broken(item, limits)):
        return None
    losses = [(row.val_loss, row.epoch) for row in rows if row.val_loss is not None and math.isfinite(row.val_loss)]
    shares = [(-row.val_acc, row.epoch) for row in rows if row.val_acc is not None]
    epoch = min(losses or shares or [(0.0, rows[-1].epoch)])[1]
    at = next(row for row in rows if row.epoch == epoch)
    pairs = pairs_of(item)
    planned = rows[-1].epoch if item.run.state is State.STOPPED else item.value("num_epochs")
    return PastTrial(
        item,
        rate,
        planned if isinstance(planned, int) and planned > 0 else rows[-1].epoch,
        broken(item, limits),
        _above(item),
        _learned(item, at.val_loss, at.val_acc, pairs, limits),
        epoch,
        at.val_loss,
        at.val_acc,
        pairs,
        epoch == rows[-1].epoch,
    )


def _above(item: Subject) -> bool:
    train = item.last("train_loss")
    return train is not None and item.start_loss is not None and train > max(LN2, item.start_loss) * 1.05


def _learned(item: Subject, val_loss: float | None, val_acc: float | None, pairs: int, limits: Thresholds) -> bool:
    """Whether it beats a constant reward on pairs it was not trained on; by train_loss where nothing was validated."""
    if val_acc is not None and pairs:
        above = accuracy_interval(val_acc, pairs, *_shared(item, pairs), limits.level).low > 0.5
        return above and (val_loss is None or val_loss < LN2)
    if val_loss is not None:
        return val_loss < LN2 - 2 * limits.ln2_distance
    known = item.known("train_loss")
    return bool(known) and known[-1][1] < LN2 - 2 * limits.ln2_distance


def _shared(item: Subject, pairs: int) -> tuple[int | None, float | None]:
    """Clusters and effective number of the newest evaluation's pairs, if it had so many."""
    at = newest_evaluation(item.run)
    return (at.val_clusters, at.val_effective) if at.val_pairs == pairs else (None, None)


def _steps(own: PastTrial, trials: Sequence[PastTrial], limits: Thresholds) -> Iterator[_Step]:
    """Recommendations, the first of which counts."""
    yield from _suspicious(own, limits)
    sound = [trial for trial in trials if not trial.broken]
    if not sound:
        lowest = min(trials, key=lambda trial: trial.rate)
        yield _rate_step("rate_down", lowest, lowest.rate / 10, 1)
    elif not any(trial.learned for trial in sound):
        yield from _learn(sound, trials, limits)
    else:
        best = _leader([trial for trial in sound if trial.learned])
        if _overfits(best, limits):
            yield from _stop_earlier(best, trials)
        else:
            yield from _bracket(best, trials, limits)
        yield from _epochs(best, trials, limits)
        yield from _finish(best, limits)


class _Step(NamedTuple):
    id: str
    base: PastTrial
    changes: Mapping[str, Any]
    figures: Mapping[str, Any]
    action: AdviceAction = "form"


def _rank(trial: PastTrial) -> tuple[float, float]:
    """Lower is better: val_loss, which few pairs measure more finely than val_acc."""
    return (trial.val_loss if trial.val_loss is not None else 1.0, -(trial.val_acc or 0.0))


def _leader(trials: Sequence[PastTrial]) -> PastTrial:
    """The best run, or one at a higher rate that was ahead of it after as many epochs and was still improving."""
    best = min(trials, key=_rank)
    faster = [
        trial
        for trial in trials
        if trial.rate > best.rate * 1.5
        and trial.epochs < best.epochs
        and trial.still
        and trial.val_loss is not None
        and trial.val_loss < _loss_within(best, trial.epochs)
    ]
    return min(faster, key=_rank, default=best)


def _loss_within(trial: PastTrial, epochs: int) -> float:
    """The lowest val_loss of its first epochs."""
    known = [value for epoch, value in trial.subject.known("val_loss") if epoch <= epochs]
    return min(known, default=math.inf)


def _overfits(trial: PastTrial, limits: Thresholds) -> bool:
    """val_loss has clearly turned while train_loss fell on, in its first half."""
    turn = turn_of(trial.subject, limits)
    return turn is not None and turn.train_fell and turn.share > limits.small_rise and 2 * trial.epoch <= trial.epochs


def _stop_earlier(best: PastTrial, trials: Sequence[PastTrial]) -> Iterator[_Step]:
    """Over-fitting at this rate: end where it was best, so that the rate decays by then; next, a lower rate."""
    if not any(_near(trial.rate, best.rate) and trial.epochs <= best.epoch for trial in trials):
        values = {"epoch": best.epoch, "run": best.subject.run.name}
        yield _Step("stop_earlier", best, {"num_epochs": best.epoch}, values)
    if not any(trial.rate < best.rate / 1.5 for trial in trials):
        yield _rate_step("rate_slower", best, best.rate / 3, best.epochs)


def _suspicious(own: PastTrial, limits: Thresholds) -> Iterator[_Step]:
    """A val_acc below one half, or near one, speaks of the data and not of the settings."""
    if own.val_acc is None or own.val_pairs < 50 or own.broken:
        return
    around = accuracy_interval(own.val_acc, own.val_pairs, *_shared(own.subject, own.val_pairs), limits.level)
    values = {"val_acc": own.val_acc, "n": own.val_pairs}
    train = own.subject.last("train_loss")
    if around.high < 0.5 and train is not None and train < LN2 - 0.1:
        yield _Step("labels_turned", own, {}, values, "check")
    elif around.low > limits.leak_accuracy:
        yield _Step("leakage", own, {}, values, "check")


def _learn(sound: Sequence[PastTrial], trials: Sequence[PastTrial], limits: Thresholds) -> Iterator[_Step]:
    """Nothing has learned yet: ten times up until something does or the steps are too large, then longer."""
    low = max((trial for trial in sound if not trial.above), key=lambda trial: trial.rate, default=None)
    high = min((trial for trial in trials if trial.broken or trial.above), key=lambda trial: trial.rate, default=None)
    if low is None and high is not None:
        yield _rate_step("rate_down", high, high.rate / 10, 1)
    elif low is not None and (high is None or high.rate > low.rate * 15):
        wanted = max(low.rate * 10, usual_rate(low.subject, limits))
        if high is not None and wanted > high.rate / 3:
            wanted = low.rate * 10
        yield _rate_step("rate_not_learned", low, wanted, 1)
    else:
        base = min((trial for trial in sound if not trial.above), key=_rank)
        longer = max(4, 2 * max(trial.epochs for trial in trials if _near(trial.rate, base.rate)))
        if longer <= limits.most_epochs:
            yield _Step("longer_to_learn", base, {"num_epochs": longer}, {"n": longer, "run": base.subject.run.name})


def _bracket(best: PastTrial, trials: Sequence[PastTrial], limits: Thresholds) -> Iterator[_Step]:
    """A higher and a lower rate than the best run's have to have been tried before anything else is turned."""
    above = [trial.rate for trial in trials if trial.rate > best.rate * 1.5]
    below = [trial.rate for trial in trials if trial.rate < best.rate / 1.5]
    fits_fast = any(_near(trial.rate, best.rate) and _overfits(trial, limits) for trial in trials)
    broke = any(trial.broken and trial.rate <= best.rate * 1.5 for trial in trials)
    if not above and not fits_fast and not broke:
        hardly = best.val_loss is not None and best.val_loss > LN2 - 0.03
        yield _rate_step("rate_up", best, best.rate * (10 if hardly else 3), 1)
    elif above and min(above) > best.rate * 8 and best.still:
        yield _rate_step("rate_between", best, math.sqrt(best.rate * min(above)), 1)
    if not below:
        yield _rate_step("rate_lower", best, best.rate / 3, 1)


def _epochs(best: PastTrial, trials: Sequence[PastTrial], limits: Thresholds) -> Iterator[_Step]:
    """The best rate for longer while its last epoch is its best; then a lower rate for as long."""
    longest = max(trial.epochs for trial in trials if _near(trial.rate, best.rate))
    longer = 4 if longest < 3 else longest * 2
    if best.epochs == longest and best.still and longer <= limits.most_epochs:
        yield _Step("longer", best, {"num_epochs": longer}, {"n": longer, "run": best.subject.run.name})
    slower = [trial for trial in trials if trial.rate < best.rate / 1.5 and trial.epochs >= longest]
    if not slower and longest > 1:
        yield _rate_step("rate_slower", best, best.rate / 3, longest)


def _finish(best: PastTrial, limits: Thresholds) -> Iterator[_Step]:
    """Rate and length are bracketed. What is left to gain is less than the pairs can show, or than is worth a run."""
    shown = detectable(best.val_pairs, limits) if best.val_pairs else None
    values = {"run": best.subject.run.name, "n": best.val_pairs, "shown": shown, "val_acc": best.val_acc}
    few = shown is not None and shown > limits.worth
    yield _Step("cannot_tell" if few else "tuning_done", best, {}, values, "none")


def detectable(n: int, limits: Thresholds = DEFAULT) -> float:
    """The smallest difference in val_acc (0–1) that two models on the same `n` pairs show at the usual power.

    Of McNemar's test: (z of the level + z of the power) · √(share of pairs that turn / n): 5.9 points for 340
    pairs of which 15 % turn.
    """
    z = NormalDist().inv_cdf(0.5 + limits.level / 2) + NormalDist().inv_cdf(limits.power)
    return z * math.sqrt(limits.discordance / n)


def _rate_step(name: str, base: PastTrial, rate: float, epochs: int) -> _Step:
    tidy = rates.tidy(rate)
    changes = {"learning_rate": tidy, "num_epochs": epochs}
    return _Step(name, base, changes, {"rate": tidy, "from": base.rate, "run": base.subject.run.name})


def _near(one: float, other: float) -> bool:
    return other / 1.05 <= one <= other * 1.05


def _as_difference(step: _Step, subject: Subject) -> Advice:
    """The step as changes to this run's own configuration: the best run's settings, and the step's."""
    base = {key: step.base.subject.value(key) for key in KEPT} if step.changes else {}
    wanted = {**{key: value for key, value in base.items() if value is not None}, **step.changes}
    changes = {key: value for key, value in wanted.items() if subject.value(key) != value}
    return Advice(step.id, changes, figures=step.figures, action=step.action, own=True)
