"""Margins of pairs by a model that saw none of their group: the bag of words, fitted to the other folds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from rmtui.guide.bag_of_words import Texts, fit_words, words_margin
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.statistics import quantile

MOST = 10_000
"""Training pairs that one bag of words is fitted to; of more, that many are drawn."""
SURE = 0.9
"""Agreement with the labels from which a judge is believed whatever its margins."""


def folds(clusters: Mapping[str, str], count: int, seed: int) -> list[list[str]]:
    """Pair ids in `count` folds of about equal size, whole clusters each, the largest placed first; in an order that
    `seed` draws. Fewer where there are fewer clusters."""
    members: dict[str, list[str]] = {}
    for key, cluster in clusters.items():
        members.setdefault(cluster, []).append(key)
    order = sorted(members)
    random.Random(seed).shuffle(order)
    made: list[list[str]] = [[] for _ in range(min(count, len(order)))]
    for cluster in sorted(order, key=lambda one: -len(members[one])):
        min(made, key=len).extend(members[cluster])
    return made


def cross_fitted(
    pairs: Mapping[str, Texts],
    clusters: Mapping[str, str],
    count: int,
    seed: int,
    tell: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """Pair id → log-odds of its chosen answer, by words fitted to the pairs of the other folds; `tell` after each."""
    found: dict[str, float] = {}
    for held, others in _splits(folds(clusters, count, seed)):
        drawn = random.Random(seed).sample(others, MOST) if len(others) > MOST else others
        weights = fit_words([pairs[key] for key in drawn], seed)
        found |= {key: words_margin(weights, *pairs[key]) for key in held}
        tell()
    return found


def _splits(made: Sequence[Sequence[str]]) -> Iterator[tuple[Sequence[str], list[str]]]:
    for place, held in enumerate(made):
        yield held, [key for other, fold in enumerate(made) if other != place for key in fold]


def likely_wrong(repeats: Sequence[Mapping[str, float]], limits: Thresholds = DEFAULT) -> list[str]:
    """Pairs whose label every repeat is confidently against, the likeliest first.

    Confident is a margin among a repeat's widest quarter (`suspect_share`), and any at or above which it agrees with
    nine labels of ten.
    """
    edges = [_edge(margins, limits.suspect_share) for margins in repeats]
    against = {key: [-margins[key] for margins in repeats] for key in repeats[0]}
    found = {
        key: min(depths)
        for key, depths in against.items()
        if all(depth > 0 and depth >= edge for depth, edge in zip(depths, edges, strict=True))
    }
    return sorted(found, key=lambda key: (-found[key], key))


def _edge(margins: Mapping[str, float], share: float) -> float:
    sizes = sorted(map(abs, margins.values()))
    edge, agree = quantile(sizes, 1 - share), 0
    for count, margin in enumerate(sorted(margins.values(), key=abs, reverse=True), start=1):
        agree += margin > 0
        if agree >= SURE * count:
            edge = min(edge, abs(margin))
    return edge
