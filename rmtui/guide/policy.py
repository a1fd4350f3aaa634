"""What to try next over all runs of a data set, anchored on the best one: it is recommended before the guide's advice.

The order: a training that broke → is the model learning at all → is the learning rate bracketed → how many epochs →
is anything left to gain. Each step asks for the shortest run that can answer it. Runs are ordered by their loss at a
cross-fitted temperature where rewards of single pairs are known (`rmtui.guide.evidence`), else by val_loss. Measured in
`benchmarks/advice.py` against a ladder of rates, random search and successive halving at equal epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from statistics import NormalDist
from typing import Any, NamedTuple

from rmtui.guide import evidence, rates
from rmtui.guide.divergence import broken, pairs_of, usual_rate
from rmtui.guide.model import Advice, AdviceAction, Subject, newest_evaluation
from rmtui.guide.rules_losses import turn_of
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.runs.model import Epoch, State
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


ENDS = ("tuning_done", "cannot_tell")
"""Steps that end the tuning and keep a run."""
TOO_LARGE = ("rate_down", "rate_lower", "rate_slower", "slower_to_learn", "stop_earlier")
"""Steps that lower the rate: nothing that raises it, and no longer training at it, is advised beside them."""


HARDLY = 0.03
"""A loss that is not this far below ln 2 has hardly learned."""


class PastTrial(NamedTuple):
    """A run as the policy sees it. Losses and val_acc are those of its best epoch."""

    subject: Subject
    rate: float
    epochs: int
    """Epochs that it was planned for, or had when a person stopped it."""
    broken: bool
    above: bool
    """Its train_loss was above that of an untrained model, in its first epoch or its last: the steps are too large."""
    learned: bool
    """It beats a constant reward on validation pairs, or its train_loss clearly fell where none were scored."""
    epoch: int
    """Its best epoch: of the lowest loss, where one is known."""
    val_loss: float | None
    """At a cross-fitted temperature where `fitted`."""
    val_acc: float | None
    val_pairs: int
    still: bool
    """Its last epoch is its best."""
    losses: Mapping[int, float]
    """By epoch."""
    fitted: bool
    """Its losses are those at a cross-fitted temperature."""
    rank: tuple[float, float]
    """Lower is better."""
    seen: evidence.EpochEvidence | None
    """Its best epoch, where `fitted`."""

    @property
    def hardly(self) -> bool:
        """It has learned little, if anything."""
        return self.val_loss is not None and self.val_loss > LN2 - HARDLY

    @property
    def by_heart(self) -> bool:
        """Its training pairs were clearly learned, whatever the validation pairs show."""
        train = self.subject.last("train_loss")
        return train is not None and train < LN2 - evidence.CLEARLY

    @property
    def memorised(self) -> bool:
        """Pairs that it saw again were clearly learned, and of that the validation pairs show hardly anything: a higher
        rate is no remedy."""
        return self.fitted and self.epochs > 1 and self.by_heart and (self.hardly or not self.learned)

    @property
    def too_large(self) -> bool:
        """Its steps were too large."""
        return self.broken or self.above


def next_step(subject: Subject, runs: Iterable[Subject], limits: Thresholds = DEFAULT) -> Advice | None:
    """The one step that is recommended; None where the runs do not say enough (no rate, no metrics, still training: of
    such a run only that it broke is certain)."""
    if subject.trains and not broken(subject, limits):
        return None
    family = _family(subject, runs)
    if fitted := bool(subject.fitted):  # losses of two kinds have no order: the others count only where they broke
        family = [item for item in family if item.fitted or broken(item, limits)]
    trials = [trial for item in family if (trial := _kept_trial(item, limits, fitted)) is not None]
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


_KEPT: dict[str, tuple[tuple[Subject, Thresholds, bool], PastTrial | None]] = {}
"""Trials by run: with each key in the app the policy asks for hundreds, of which hardly one has changed."""


def _kept_trial(item: Subject, limits: Thresholds, fitted: bool) -> PastTrial | None:
    kept = _KEPT.get(item.run.id)
    if kept is not None and kept[0] == (item, limits, fitted):
        return kept[1]
    if len(_KEPT) > 1000:
        _KEPT.clear()
    made = _trial(item, limits, fitted)
    _KEPT[item.run.id] = ((item, limits, fitted), made)
    return made


def _trial(item: Subject, limits: Thresholds, fitted: bool) -> PastTrial | None:
    rate = rates.current(item)
    rows = [row for row in item.run.epochs if row.train_loss is not None or row.val_loss is not None]
    if rate is None or not rows or (item.cut_off and not broken(item, limits)):
        return None
    pairs = pairs_of(item)
    effective = _shared(item, pairs)[1] or float(pairs)
    losses = {int(epoch): loss for epoch, loss in (item.fitted if fitted else item.known("val_loss"))}

    def order(row: Epoch) -> tuple[float, float]:
        loss = losses.get(row.epoch)
        if fitted and loss is not None:
            return evidence.rank(loss, row.train_loss, row.val_acc, effective)
        return (1.0 if loss is None else loss), -(row.val_acc or 0.0)

    at = _best_row(rows, losses, order)
    loss = losses.get(at.epoch)
    seen = None
    if fitted and loss is not None:
        seen = evidence.EpochEvidence(loss, at.train_loss, at.val_acc, effective)
        learned = evidence.beats_constant(loss, effective)
    else:
        learned = _learned(item, at.val_loss, at.val_acc, pairs, limits)
    planned = rows[-1].epoch if item.run.state is State.STOPPED else item.value("num_epochs")
    return PastTrial(
        item,
        rate,
        planned if isinstance(planned, int) and planned > 0 else rows[-1].epoch,
        broken(item, limits),
        _above(item),
        learned,
        at.epoch,
        loss,
        at.val_acc,
        pairs,
        at.epoch == rows[-1].epoch,
        losses,
        fitted,
        order(at),
        seen,
    )


def _best_row(
    rows: Sequence[Epoch], losses: Mapping[int, float], order: Callable[[Epoch], tuple[float, float]]
) -> Epoch:
    """The epoch that a run is judged by: of the lowest loss, else of the highest val_acc, else the last."""
    if known := [row for row in rows if row.epoch in losses]:
        return min(known, key=order)
    shares = [row for row in rows if row.val_acc is not None]
    return max(shares, key=lambda row: row.val_acc or 0.0) if shares else rows[-1]


def _above(item: Subject) -> bool:
    """Its train_loss is above that of an untrained model: at the end, or in the first epoch, where the loss of a pair
    is taken before it is trained on, so that what was learned from the others made it worse."""
    known = [loss for _, loss in item.known("train_loss")]
    if not known or item.start_loss is None:
        return False
    return max(known[0], known[-1]) > max(LN2, item.start_loss) * 1.05


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


RANK = attrgetter("rank")


class _Step(NamedTuple):
    id: str
    base: PastTrial
    changes: Mapping[str, Any]
    figures: Mapping[str, Any]
    action: AdviceAction = "form"


def _leader(trials: Sequence[PastTrial]) -> PastTrial:
    """The best run, or one at a higher rate that was ahead of it after as many epochs and was still improving."""
    known = {id(trial): trial.seen for trial in trials if trial.seen is not None}
    alike = len(known) == len(trials)
    best = evidence.choose(trials, lambda trial: known[id(trial)]) if alike else min(trials, key=RANK)
    faster = [
        trial
        for trial in trials
        if trial.rate > best.rate * 1.5
        and trial.epochs < best.epochs
        and trial.still
        and trial.val_loss is not None
        and trial.val_loss < _loss_within(best, trial.epochs)
    ]
    return min(faster, key=RANK, default=best)


def _loss_within(trial: PastTrial, epochs: int) -> float:
    """The lowest val_loss of its first epochs."""
    return min((loss for epoch, loss in trial.losses.items() if epoch <= epochs), default=math.inf)


def _overfits(trial: PastTrial, limits: Thresholds) -> bool:
    """The loss has clearly turned in its first half; the plain val_loss, while train_loss fell on: it also turns where
    the model only grows too sure of itself."""
    if trial.fitted and trial.losses and trial.val_loss is not None:
        last = trial.losses[max(trial.losses)]
        return 2 * trial.epoch <= trial.epochs and last > trial.val_loss * (1 + limits.small_rise)
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
    if around.high < 0.5 and own.by_heart:
        yield _Step("labels_turned", own, {}, values, "check")
    elif around.low > limits.leak_accuracy:
        yield _Step("leakage", own, {}, values, "check")


def _learn(sound: Sequence[PastTrial], trials: Sequence[PastTrial], limits: Thresholds) -> Iterator[_Step]:
    """Nothing has learned yet: ten times up until something does or the steps are too large, once below that, then
    longer, at the highest rate that is not too large: it gets furthest in as many steps. Where that one has learned the
    training pairs already, no other rate is tried before a lower one for as long."""
    low = max((trial for trial in sound if not trial.above), key=lambda trial: trial.rate, default=None)
    high = min((trial for trial in trials if trial.too_large), key=lambda trial: trial.rate, default=None)
    if low is None and high is not None:
        yield _rate_step("rate_down", high, high.rate / 10, 1)
    elif low is not None and not low.memorised and (high is None or high.rate > low.rate * 15):
        wanted = max(low.rate * 10, usual_rate(low.subject, limits))
        if high is not None and wanted > high.rate / 3:
            wanted = low.rate * 10
        yield _rate_step("rate_not_learned", low, wanted, 1)
    elif low is not None and low.fitted and not low.memorised and not any(t.rate < low.rate / 3 for t in trials):
        yield _rate_step("rate_down", low, low.rate / 10, 1)
    else:
        base = low if low is not None and low.fitted else min((one for one in sound if not one.above), key=RANK)
        longest = max((one for one in trials if _near(one.rate, base.rate)), key=lambda one: one.epochs)
        slower = any(one.rate < base.rate / 1.5 and one.epochs >= longest.epochs for one in trials)
        if longest.by_heart and longest.epochs > 1 and not slower:
            yield _rate_step("slower_to_learn", longest, base.rate / 3, longest.epochs)
        longer = max(4, 2 * longest.epochs)
        if longer <= limits.most_epochs:
            yield _Step("longer_to_learn", base, {"num_epochs": longer}, {"n": longer, "run": base.subject.run.name})


def _bracket(best: PastTrial, trials: Sequence[PastTrial], limits: Thresholds) -> Iterator[_Step]:
    """A higher and a lower rate than the best run's have to have been tried before anything else is turned. Where the
    best has hardly learned, chance decides which rate looks best, and only steps that are too large are a bound. None
    is raised whose own steps are too large, or that learned its training pairs by heart."""
    unsure = best.hardly and best.fitted
    higher = [trial for trial in trials if trial.rate > best.rate * 1.5]
    above = [trial.rate for trial in higher if trial.too_large or not unsure]
    below = [trial.rate for trial in trials if trial.rate < best.rate / 1.5]
    fits_fast = any(_near(trial.rate, best.rate) and _overfits(trial, limits) for trial in trials)
    broke = any(trial.broken and trial.rate <= best.rate * 1.5 for trial in trials)
    if not (above or fits_fast or broke or best.above or best.memorised):
        highest = max((trial for trial in trials if trial.rate >= best.rate), key=lambda trial: trial.rate)
        base = highest if unsure else best
        yield _rate_step("rate_up", base, base.rate * (10 if best.hardly else 3), 1)
    elif higher and (nearest := min(trial.rate for trial in higher)) > best.rate * 8 and best.still:
        yield _rate_step("rate_between", best, math.sqrt(best.rate * nearest), 1)
    if not below:
        yield _rate_step("rate_lower", best, best.rate / (10 if best.above and best.hardly else 3), 1)


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
    run = best.subject.run
    values = {"run": run.name, "id": run.id, "n": best.val_pairs, "shown": shown, "val_acc": best.val_acc}
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
