"""What choosing costs: the best of many evaluations looks better on its pairs than it is.

A candidate is one evaluation: which of the pairs it got right, as the bits of an integer. Resamples of whole clusters
are masks of such bits, so that a candidate's accuracy in one of them is a few counts of bits.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rmtui.statistics import quantile
from trainer.intervals import Interval, accuracy_interval, clustered_error, effective_pairs

DRAWS = 500
FEWEST = 5
"""Clusters below which nothing is resampled: an interval of the best of several is then not given."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The best of `candidates` evaluations."""

    candidates: int
    value: float
    """val_acc as measured."""
    corrected: float
    """What is expected of the chosen model on other pairs; at most `value`."""
    interval: Interval
    """Around `value`, wide enough for every candidate at once."""


def correct_choice(
    candidates: Sequence[int],
    place: int,
    clusters: Sequence[str],
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Chosen | None:
    """The candidate at `place`, chosen among all for its accuracy on pairs whose clusters are given, from bit 0 on.

    Corrected: the mean, over resamples of clusters, of the accuracy that the resample's best candidate has on the
    clusters that are not in it (Tsamardinos et al. 2018, Machine Learning 107:1895). Interval: Wilson's with the
    quantile of the largest |t| of any candidate in the resamples (max-t: Westfall and Young 1993).
    None below five clusters.
    """
    n, alone = len(clusters), list(dict.fromkeys([candidates[place], *candidates]))
    masks: dict[str, int] = {}
    for bit, name in enumerate(clusters):
        masks[name] = masks.get(name, 0) | 1 << bit
    groups = list(masks.values())
    if len(groups) < FEWEST:
        return None
    known = effective_pairs([bit == "1" for bit in _digits(alone[0], n)], clusters)
    shares = [one.bit_count() / n for one in alone]
    if len(alone) == 1:
        around = accuracy_interval(shares[0], n, known.clusters, known.effective, level)
        return Chosen(len(candidates), shares[0], shares[0], around)
    errors = [_error(one, clusters) for one in alone]
    draw, furthest, outside = random.Random(seed), [], []
    for _ in range(draws):
        planes, size = _resample(groups, draw)
        found = [_correct(one, planes) / size for one in alone]
        moved = (abs(its - share) / error for its, share, error in zip(found, shares, errors, strict=True) if error > 0)
        furthest.append(max(moved, default=0.0))
        left = (1 << n) - 1
        for plane in planes:
            left &= ~plane
        if left:
            best = max(range(len(alone)), key=lambda one: found[one])
            outside.append((alone[best] & left).bit_count() / left.bit_count())
    wide = quantile(sorted(furthest), level)
    around = accuracy_interval(shares[0], n, known.clusters, known.effective, level, wide)
    corrected = math.fsum(outside) / len(outside) if outside else shares[0]
    return Chosen(len(candidates), shares[0], min(shares[0], corrected), around)


def _error(candidate: int, clusters: Sequence[str]) -> float:
    return clustered_error([float(bit) for bit in _digits(candidate, len(clusters))], clusters)


def _digits(candidate: int, n: int) -> str:
    """Its bits, from the first pair's."""
    return f"{candidate:0{n}b}"[::-1]


def _resample(groups: Sequence[int], draw: random.Random) -> tuple[list[int], int]:
    """Clusters drawn with replacement: plane k holds the pairs whose number of draws has bit k; and the pairs drawn."""
    planes: list[int] = []
    size = 0
    for place, times in Counter(draw.choices(range(len(groups)), k=len(groups))).items():
        size += times * groups[place].bit_count()
        for power in range(times.bit_length()):
            if power == len(planes):
                planes.append(0)
            if times >> power & 1:
                planes[power] |= groups[place]
    return planes, size


def _correct(candidate: int, planes: Sequence[int]) -> int:
    return sum((candidate & plane).bit_count() << power for power, plane in enumerate(planes))
