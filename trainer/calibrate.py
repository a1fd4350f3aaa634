"""A loss that a model's scale does not spoil: of margins times a temperature that was fitted on the other half.

Few steps at a high rate, or a new head, leave rewards too large or too small by a factor; accuracy and the order of
answers do not depend on it, the plain loss does.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

STEPS = 40
LARGEST = 1e4
"""Scale beyond which nothing is looked for: all margins have the right sign."""


def pair_loss(margin: float) -> float:
    """−log σ(margin), stable at both ends: the Bradley–Terry loss of one pair."""
    return math.log1p(math.exp(-margin)) if margin > 0 else math.log1p(math.exp(margin)) - margin


def scale(margins: Sequence[float]) -> float:
    """The factor ≥ 0 at which the mean loss of these margins is lowest (one parameter of temperature scaling, Guo 2017,
    arXiv 1706.04599): by bisection of its derivative, which rises with the factor."""

    def slope(factor: float) -> float:
        return -math.fsum(margin / (1 + math.exp(min(700.0, factor * margin))) for margin in margins)

    if not margins or slope(0.0) >= 0:
        return 0.0
    low, high = 0.0, 1.0
    while slope(high) < 0 and high < LARGEST:
        low, high = high, high * 4
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2


def cross_fitted(margins: Mapping[str, float], clusters: Mapping[str, str]) -> dict[str, float]:
    """Pair id → its loss at the factor of the half that it is not in. Pairs of a cluster are in one half."""
    halves: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for pair, margin in margins.items():
        halves[zlib.crc32(clusters.get(pair, pair).encode()) % 2][pair] = margin
    found: dict[str, float] = {}
    for half, other in (halves, halves[::-1]):
        factor = scale(list(other.values()))
        found |= {pair: pair_loss(factor * margin) for pair, margin in half.items()}
    return found
