"""A bag of words as a rival of the reward model: Bradley–Terry over the words of both answers, in plain Python."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from trainer.clusters import words

RARE = 3
"""A word of fewer training pairs than this has no weight."""
EPOCHS, RATE, DECAY = 6, 0.3, 1e-3

Texts = tuple[str, str]
"""Chosen, rejected."""


def fit_words(pairs: Sequence[Texts], seed: int = 0) -> dict[str, float]:
    """Word → weight: logistic regression on the difference of log(1 + count), each pair's scaled to length 1, by
    AdaGrad (Duchi et al. 2011) with an L2 penalty. The same for the same pairs and seed."""
    uses = Counter(word for pair in pairs for word in {word for side in pair for word in words(side)})
    known = {word for word, count in uses.items() if count >= RARE}
    rows = [row for chosen, rejected in pairs if (row := _difference(chosen, rejected, known))]
    weights, squares = dict.fromkeys(known, 0.0), dict.fromkeys(known, 1e-8)
    order = random.Random(seed)
    for _ in range(EPOCHS):
        order.shuffle(rows)
        for row in rows:
            margin = sum(weights[word] * value for word, value in row)
            pull = 1 / (1 + math.exp(min(margin, 50.0)))
            for word, value in row:
                slope = DECAY * weights[word] - pull * value
                squares[word] += slope * slope
                weights[word] -= RATE * slope / math.sqrt(squares[word])
    return weights


def prefers_chosen(weights: Mapping[str, float], chosen: str, rejected: str) -> bool:
    """Whether the chosen answer scores higher; a tie is wrong, as in val_acc."""
    return words_margin(weights, chosen, rejected) > 0


def words_margin(weights: Mapping[str, float], chosen: str, rejected: str) -> float:
    """Log-odds of the chosen answer under the fitted weights; 0 where neither has a word that is known."""
    return sum(weights[word] * value for word, value in _difference(chosen, rejected, weights.keys()))


def _difference(chosen: str, rejected: str, known: Collection[str]) -> list[tuple[str, float]]:
    here, there = Counter(words(chosen)), Counter(words(rejected))
    found = [
        (word, math.log1p(here[word]) - math.log1p(there[word]))
        for word in sorted(here.keys() | there.keys())
        if word in known and here[word] != there[word]
    ]
    size = math.sqrt(sum(value * value for _, value in found))
    return [(word, value / size) for word, value in found] if size else []
