"""Two runs on the same pairs, pair by pair: is the difference more than chance, and what could these pairs show?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Literal

from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.i18n import translate
from rmtui.statistics import (
    detectable,
    effective_differences,
    mean_t,
    paired_bootstrap,
    paired_share_difference,
    sample_size,
    sign_flip,
)
from trainer.calibrate import pair_loss
from trainer.intervals import Interval

if TYPE_CHECKING:
    from rmtui.documents.guide import IntervalDocument, PairedVerdict
    from rmtui.documents.scalars import Metric

Word = Literal["better", "worse", "same"]
Rewards = Mapping[str, tuple[float, float]]
"""Pair id → (reward of chosen, reward of rejected)."""
Clusters = Mapping[str, str]
"""Pair id → the group, prompt or question that it shares with others (`trainer.clusters`)."""


@dataclass(frozen=True, slots=True)
class AccuracyTest:
    """A sign-flip test of b against a on the differences of each cluster, McNemar's exact test where every pair is its
    own: `gained` pairs are right in b only, `lost` in a only."""

    n: int
    gained: int
    lost: int
    p: float
    difference: Interval
    """It holds 0 just when the test does not reject."""
    needed: int | None
    """Pairs that would show this difference if it were the true one; None when there is no difference at all."""
    alpha: float
    clusters: int
    effective: float
    """As many independent pairs would measure the difference as finely."""
    shows: float | None
    """The smallest difference (0–1) that these pairs show at the usual power; None: not even if all turned one way."""

    @property
    def word(self) -> Word:
        """better, worse or same: the words follow the exact test."""
        if self.p >= self.alpha:
            return "same"
        return "better" if self.gained > self.lost else "worse"


@dataclass(frozen=True, slots=True)
class Turns:
    """What a comparison of two runs counted, before any level is chosen: `gained` pairs are right in the second only,
    `lost` in the first only."""

    n: int
    gained: int
    lost: int
    p: float
    clusters: int
    effective: float

    def verdict(self, limits: Thresholds = DEFAULT) -> AccuracyTest:
        """The test at the level of `limits`."""
        difference = paired_share_difference(
            self.gained, self.lost, self.n, limits.level, self.effective, self.clusters
        )
        discordance = (self.gained + self.lost) / self.n
        needed, shows = None, None
        if self.gained != self.lost:
            alone = sample_size((self.gained - self.lost) / self.n, discordance, limits.power, limits.level)
            needed = math.ceil(alone * self.n / self.effective)
        if discordance:
            found = detectable(max(1, int(self.effective)), discordance, limits.power, limits.level)
            shows = found if math.isfinite(found) else None
        alpha = 1 - limits.level
        return AccuracyTest(
            self.n,
            self.gained,
            self.lost,
            self.p,
            _agreeing(difference, self.p < alpha),
            needed,
            alpha,
            self.clusters,
            self.effective,
            shows,
        )


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


def accuracy_test(
    a: Rewards, b: Rewards, limits: Thresholds = DEFAULT, clusters: Clusters | None = None
) -> AccuracyTest | None:
    """Accuracy alone, over the pairs both have; None with fewer than two clusters. A pair without one is its own."""
    turns = count_turns(a, b, clusters)
    return None if turns is None else turns.verdict(limits)


def count_turns(a: Rewards, b: Rewards, clusters: Clusters | None = None) -> Turns | None:
    """The pairs that turned from a to b, with the sign-flip test's p; None with fewer than two clusters."""
    common = sorted(a.keys() & b.keys())
    if len(common) < 2:
        return None
    turns = [right(b[key]) - right(a[key]) for key in common]
    names = _names(common, clusters)
    if len(set(names)) < 2:
        return None
    sums: Counter[str] = Counter()
    for turn, name in zip(turns, names, strict=True):
        sums[name] += turn
    p = sign_flip(list(sums.values()))
    return Turns(len(common), turns.count(1), turns.count(-1), p, *effective_differences(turns, names))


def _names(pairs: Sequence[str], clusters: Clusters | None) -> list[str]:
    """The cluster of each pair; its own where none is known."""
    found = clusters or {}
    return [found.get(key, f"={key}") for key in pairs]


def _agreeing(around: Interval, rejected: bool) -> Interval:
    """The interval with 0 in it just when the test does not reject: the exact test decides on 0, and the approximation
    on everything else."""
    if not rejected:
        return replace(around, low=min(around.low, 0.0), high=max(around.high, 0.0))
    if around.value > 0:
        return replace(around, low=max(around.low, 0.0))
    return replace(around, high=min(around.high, 0.0))


def paired_test(
    a: Rewards, b: Rewards, limits: Thresholds = DEFAULT, clusters: Clusters | None = None
) -> PairedTest | None:
    """Accuracy and loss (its bootstrap takes most of the time), over the pairs both have; None with fewer than two
    clusters."""
    accuracy = accuracy_test(a, b, limits, clusters)
    if accuracy is None:
        return None
    common = sorted(a.keys() & b.keys())
    losses = [pair_loss(b[key][0] - b[key][1]) - pair_loss(a[key][0] - a[key][1]) for key in common]
    return PairedTest(accuracy, paired_bootstrap(losses, _names(common, clusters), limits.level))


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
        "clusters": accuracy.clusters,
        "effective_pairs": accuracy.effective,
        "detectable": accuracy.shows,
        "accuracy_verdict": accuracy.word,
        "loss_verdict": test.loss_word,
    }


def _ends(interval: Interval) -> IntervalDocument:
    return {"delta": interval.value, "low": interval.low, "high": interval.high}


def texts(test: PairedTest, a: str, b: str, lang: str, limits: Thresholds = DEFAULT) -> list[str]:
    """The test in words: accuracy, what these pairs can show where they show nothing, loss."""
    accuracy = test.accuracy
    names = {"a": a, "b": b, "n": counted_pairs(accuracy.n, accuracy.clusters, lang)}
    said = [translate(f"verdict.accuracy_{accuracy.word}", lang, **names, **_ends(accuracy.difference), p=accuracy.p)]
    if accuracy.word == "same" and accuracy.gained + accuracy.lost:
        said.append(shown_text(accuracy.shows, str(names["n"]), limits.power, lang))
    return [*said, translate(f"verdict.loss_{test.loss_word}", lang, **names, **_ends(test.loss))]


def counted_pairs(n: int, clusters: int | None, lang: str) -> str:
    """`341 pairs`, `348 pairs of 112 prompts`."""
    shared = clusters is not None and clusters < n
    return translate("word.pairs_of_prompts" if shared else "word.pairs", lang, n=n, clusters=clusters)


def shown_text(shows: float | None, pairs: str, power: float, lang: str) -> str:
    """What so many pairs can show: not how many more would show what they have not shown."""
    word = "verdict.cannot_show" if shows is None else "verdict.can_show"
    return translate(word, lang, n=pairs, shows=shows, power=power)


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
