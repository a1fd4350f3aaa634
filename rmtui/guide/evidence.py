"""What an evaluation shows of what was learned, whatever the scale of its rewards: by the loss at a cross-fitted
temperature (`trainer.calibrate`).

The plain val_loss of a new head is off by its scale, and labels that are noisy leave that of every trained model above
ln 2: ranked by it, an untrained model wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from rmtui.statistics import LN2

Item = TypeVar("Item")

CRITICAL = 6.63
"""Of the likelihood ratio: chi-squared with one degree of freedom at 1 %, so 0.5 % on the side that counts. The best of
five untrained models passes it in one search of forty."""
CLEARLY = 0.1
"""A train_loss this far below ln 2 has left a constant reward's behind."""
ALIKE = 1.645
"""Standard errors of a difference that is no more than chance, one-sided 95 %."""


class EpochEvidence(NamedTuple):
    """What an epoch's end shows."""

    loss: float
    """At a cross-fitted temperature."""
    train_loss: float | None
    val_acc: float | None
    pairs: float
    """The effective number."""

    @property
    def rank(self) -> tuple[float, float]:
        return rank(*self)

    @property
    def learned(self) -> bool:
        """It beats a constant reward on validation pairs, or has clearly learned the training pairs."""
        trained = self.train_loss is not None and self.train_loss < LN2 - CLEARLY
        return trained or beats_constant(self.loss, self.pairs)


def beats_constant(loss: float, pairs: float) -> bool:
    """Likelihood-ratio test (Wilks 1938) of the rewards, at their temperature, against a constant: 2n(ln 2 − loss).

    `loss` is cross-fitted, which only makes the test stricter; `pairs`: the effective number.
    """
    return 2 * pairs * (LN2 - loss) > CRITICAL


def below_chance(val_acc: float, pairs: float) -> bool:
    """The model is wrong more often than right, by the same level."""
    return pairs > 0 and (0.5 - val_acc) * 2 * math.sqrt(pairs) > math.sqrt(CRITICAL)


def rank(loss: float, train_loss: float | None, val_acc: float | None, pairs: float) -> tuple[float, float]:
    """What evaluations are ordered by, lower is better: their loss where it beats a constant's; among the others, which
    the validation pairs cannot tell apart, the train_loss; last those below chance."""
    if val_acc is not None and below_chance(val_acc, pairs):
        return math.inf, math.inf
    return (loss if beats_constant(loss, pairs) else LN2), (math.inf if train_loss is None else train_loss)


def choose(items: Iterable[Item], of: Callable[[Item], EpochEvidence]) -> Item:
    """The item to go on with: of those that have learned and that the pairs cannot tell from the one of the lowest
    loss, that of the lowest train_loss. The lowest loss of many is the luckiest one, too, and mostly of a model that
    has learned less than others.

    Raises ValueError without items.
    """
    known = [(item, of(item)) for item in items]
    first, lowest = min(known, key=lambda pair: pair[1].rank)
    if not beats_constant(lowest.loss, lowest.pairs):
        return first
    alike = [(item, one) for item, one in known if one.learned and one.train_loss is not None and _alike(one, lowest)]
    return min(alike, key=lambda pair: (pair[1].train_loss, pair[1].rank), default=(first, lowest))[0]


def _alike(one: EpochEvidence, lowest: EpochEvidence) -> bool:
    if one.val_acc is not None and below_chance(one.val_acc, one.pairs):
        return False
    return one.loss - lowest.loss <= ALIKE * spread(one.loss, lowest.loss, lowest.pairs)


def spread(one: float, other: float, pairs: float) -> float:
    """Standard error of the difference of two losses on the same pairs, each at its best temperature.

    There E m² of the margins m is 8 (ln 2 − loss), and two losses of a pair differ by half of the difference of its
    margins, both to leading order; margins of two models are taken to correlate by one half.
    """
    gain, its = max(0.0, LN2 - one), max(0.0, LN2 - other)
    return math.sqrt(2 * (gain + its - math.sqrt(gain * its)) / pairs)
