"""Two runs on the same pairs, pair by pair: is the difference more than chance, and how many pairs would show it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from rmtui.guide.catalog import say
from rmtui.guide.statistics import (
    Interval,
    mcnemar_exact,
    mean_t,
    pair_loss,
    paired_bootstrap,
    paired_share_difference,
    sample_size,
)
from rmtui.guide.thresholds import DEFAULT, Thresholds

Rewards = Mapping[str, tuple[float, float]]
"""Pair id → (reward of chosen, reward of rejected)."""


@dataclass(frozen=True, slots=True)
class Paired:
    """The verdict on b against a. `gained` pairs are right in b only, `lost` in a only."""

    n: int
    gained: int
    lost: int
    p: float
    accuracy: Interval
    loss: Interval
    """Mean difference of the pairs' losses, b − a: below 0 is better."""
    needed: int | None
    """Pairs that would show this accuracy difference; None when there is no difference at all."""
    alpha: float

    @property
    def accuracy_word(self) -> str:
        """better, worse or same: the words follow the exact test."""
        if self.p >= self.alpha:
            return "same"
        return "better" if self.gained > self.lost else "worse"

    @property
    def loss_word(self) -> str:
        if not self.loss.excludes_zero:
            return "same"
        return "better" if self.loss.value < 0 else "worse"


def right(rewards: tuple[float, float]) -> bool:
    """A tie is not right, as in val_acc."""
    return rewards[0] > rewards[1]


def compare_pairs(a: Rewards, b: Rewards, limits: Thresholds = DEFAULT) -> Paired | None:
    """The verdict over the pairs both have; None with fewer than two."""
    common = sorted(a.keys() & b.keys())
    n = len(common)
    if n < 2:
        return None
    gained = sum(right(b[key]) and not right(a[key]) for key in common)
    lost = sum(right(a[key]) and not right(b[key]) for key in common)
    losses = [pair_loss(b[key][0] - b[key][1]) - pair_loss(a[key][0] - a[key][1]) for key in common]
    needed = None
    if gained != lost:
        needed = sample_size((gained - lost) / n, (gained + lost) / n, limits.power, limits.level)
    return Paired(
        n,
        gained,
        lost,
        mcnemar_exact(gained, lost),
        paired_share_difference(gained, lost, n, limits.level),
        paired_bootstrap(losses, limits.level),
        needed,
        1 - limits.level,
    )


def document(paired: Paired) -> dict[str, Any]:
    """The verdict as `compare --json` holds it."""
    return {
        "n": paired.n,
        "mended": paired.gained,
        "broken": paired.lost,
        "p": paired.p,
        "accuracy": {"delta": paired.accuracy.value, "low": paired.accuracy.low, "high": paired.accuracy.high},
        "loss": {"delta": paired.loss.value, "low": paired.loss.low, "high": paired.loss.high},
        "needed_pairs": paired.needed,
        "accuracy_verdict": paired.accuracy_word,
        "loss_verdict": paired.loss_word,
    }


def texts(paired: Paired, a: str, b: str, lang: str, limits: Thresholds = DEFAULT) -> list[str]:
    """The verdict in words: accuracy, the pairs that would show it when these do not, loss."""
    names = {"a": a, "b": b, "n": paired.n}
    accuracy, loss = paired.accuracy, paired.loss
    figures = {"delta": accuracy.value, "low": accuracy.low, "high": accuracy.high, "p": paired.p}
    said = [say(f"verdict.accuracy_{paired.accuracy_word}", lang, **names, **figures)]
    if paired.accuracy_word == "same" and paired.needed:
        said.append(say("verdict.needed", lang, needed=paired.needed, power=limits.power))
    figures = {"delta": loss.value, "low": loss.low, "high": loss.high}
    return [*said, say(f"verdict.loss_{paired.loss_word}", lang, **names, **figures)]


@dataclass(frozen=True, slots=True)
class Spread:
    """Seeds of one configuration, summarised."""

    metric: str
    count: int
    deviation: float
    """Standard deviation over the seeds."""
    mean: Interval


def seed_spread(metric: str, values: Sequence[float], level: float = 0.95) -> Spread | None:
    """None with fewer than two values."""
    if len(values) < 2:
        return None
    return Spread(metric, len(values), stdev(values, fmean(values)), mean_t(values, level))
