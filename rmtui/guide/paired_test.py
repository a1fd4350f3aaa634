"""Two runs on the same pairs, pair by pair: is the difference more than chance, and how many pairs would show it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Literal

from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.i18n import translate
from rmtui.statistics import (
    Interval,
    mcnemar_exact,
    mean_t,
    pair_loss,
    paired_bootstrap,
    paired_share_difference,
    sample_size,
)

if TYPE_CHECKING:
    from rmtui.documents.guide import IntervalDocument, PairedVerdict
    from rmtui.documents.scalars import Metric

Word = Literal["better", "worse", "same"]
Rewards = Mapping[str, tuple[float, float]]
"""Pair id → (reward of chosen, reward of rejected)."""


@dataclass(frozen=True, slots=True)
class AccuracyTest:
    """McNemar's exact test of b against a: `gained` pairs are right in b only, `lost` in a only."""

    n: int
    gained: int
    lost: int
    p: float
    difference: Interval
    needed: int | None
    """Pairs that would show this difference; None when there is no difference at all."""
    alpha: float

    @property
    def word(self) -> Word:
        """better, worse or same: the words follow the exact test."""
        if self.p >= self.alpha:
            return "same"
        return "better" if self.gained > self.lost else "worse"


@dataclass(frozen=True, slots=True)
class PairedTest:
    """b against a on the pairs both scored: made once a comparison, for its readings, table and text."""

    accuracy: AccuracyTest
    loss: Interval
    """Mean difference of the pairs' losses, b − a: below 0 is better."""

    @property
    def loss_word(self) -> Word:
        if not self.loss.excludes_zero:
            return "same"
        return "better" if self.loss.value < 0 else "worse"


def right(rewards: tuple[float, float]) -> bool:
    """A tie is not right, as in val_acc."""
    return rewards[0] > rewards[1]


def accuracy_test(a: Rewards, b: Rewards, limits: Thresholds = DEFAULT) -> AccuracyTest | None:
    """Accuracy alone, over the pairs both have; None with fewer than two."""
    common = a.keys() & b.keys()
    n = len(common)
    if n < 2:
        return None
    gained = sum(right(b[key]) and not right(a[key]) for key in common)
    lost = sum(right(a[key]) and not right(b[key]) for key in common)
    needed = None
    if gained != lost:
        needed = sample_size((gained - lost) / n, (gained + lost) / n, limits.power, limits.level)
    difference = paired_share_difference(gained, lost, n, limits.level)
    return AccuracyTest(n, gained, lost, mcnemar_exact(gained, lost), difference, needed, 1 - limits.level)


def paired_test(a: Rewards, b: Rewards, limits: Thresholds = DEFAULT) -> PairedTest | None:
    """Accuracy and loss (its bootstrap takes most of the time), over the pairs both have; None with fewer than two."""
    accuracy = accuracy_test(a, b, limits)
    if accuracy is None:
        return None
    common = sorted(a.keys() & b.keys())
    losses = [pair_loss(b[key][0] - b[key][1]) - pair_loss(a[key][0] - a[key][1]) for key in common]
    return PairedTest(accuracy, paired_bootstrap(losses, limits.level))


def document(test: PairedTest) -> PairedVerdict:
    """The test as `compare --json` holds it."""
    accuracy, loss = test.accuracy, test.loss
    return {
        "n": accuracy.n,
        "mended": accuracy.gained,
        "broken": accuracy.lost,
        "p": accuracy.p,
        "accuracy": _ends(accuracy.difference),
        "loss": _ends(loss),
        "needed_pairs": accuracy.needed,
        "accuracy_verdict": accuracy.word,
        "loss_verdict": test.loss_word,
    }


def _ends(interval: Interval) -> IntervalDocument:
    return {"delta": interval.value, "low": interval.low, "high": interval.high}


def texts(test: PairedTest, a: str, b: str, lang: str, limits: Thresholds = DEFAULT) -> list[str]:
    """The test in words: accuracy, the pairs that would show it when these do not, loss."""
    accuracy = test.accuracy
    names = {"a": a, "b": b, "n": accuracy.n}
    said = [translate(f"verdict.accuracy_{accuracy.word}", lang, **names, **_ends(accuracy.difference), p=accuracy.p)]
    if accuracy.word == "same" and accuracy.needed:
        said.append(translate("verdict.needed", lang, needed=accuracy.needed, power=limits.power))
    return [*said, translate(f"verdict.loss_{test.loss_word}", lang, **names, **_ends(test.loss))]


@dataclass(frozen=True, slots=True)
class Spread:
    """Seeds of one configuration, summarised."""

    metric: Metric
    count: int
    deviation: float
    """Standard deviation over the seeds."""
    mean: Interval


def seed_spread(metric: Metric, values: Sequence[float], level: float = 0.95) -> Spread | None:
    """None with fewer than two values."""
    if len(values) < 2:
        return None
    return Spread(metric, len(values), stdev(values, fmean(values)), mean_t(values, level))
