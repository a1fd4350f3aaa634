"""What an evaluation shows of what was learned, whatever the scale of its rewards: by the loss at a cross-fitted
temperature (`trainer.calibrate`).

The plain val_loss of a new head is off by its scale, and labels that are noisy leave that of every trained model above
ln 2: ranked by it, an untrained model wins.
"""

from __future__ import annotations

import math

from rmtui.statistics import LN2

CRITICAL = 6.63
"""Of the likelihood ratio: chi-squared with one degree of freedom at 1 %, so 0.5 % on the side that counts. The best of
five untrained models passes it in one search of forty."""


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
