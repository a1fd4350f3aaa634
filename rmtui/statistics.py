"""Short formulas behind every verdict, from the standard library alone; those of intervals are in `trainer.intervals`.

Each is checked against scipy in the tests; scipy itself stays out of the program.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean, stdev

from trainer.intervals import (
    Interval,
    accuracy_interval,
    clustered_error,
    effective_pairs,
    normal_quantile,
    t_quantile,
    two_sided,
)

FEW = 10
"""Clusters below which a bootstrap has too few different draws."""
LN2 = math.log(2)
"""Loss of a model that knows nothing: −log σ(0)."""

_MANY = 2_000
"""Above this many clusters the bootstrap of a mean is near its normal limit, and slow to draw."""


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact McNemar test: p-value of b against c discordant pairs under a fair coin (McNemar 1947)."""
    if b < 0 or c < 0:
        raise ValueError("counts are not negative")
    n = b + c
    term, total = 1, 0
    for i in range(min(b, c) + 1):
        total += term
        term = term * (n - i) // (i + 1)
    return min(1.0, 2 * total / (1 << n))


def sign_flip(sums: Sequence[int]) -> float:
    """Two-sided p of Σ sums if the sign of each were a fair coin's: exact, whatever the number of clusters.

    Sums of ±1 make it McNemar's exact test. Equal sizes share a binomial, and binomials are folded together.
    """
    sizes = Counter(abs(one) for one in sums if one)
    if sizes.keys() <= {1}:
        return mcnemar_exact(sum(one > 0 for one in sums), sum(one < 0 for one in sums))
    law = [1.0]  # law[i]: probability of the sum 2·i − len(law) + 1
    for size, count in sizes.items():
        law = _folded(law, size, count)
    reach = abs(sum(sums))
    total = len(law) - 1
    tail = math.fsum(part for place, part in enumerate(law) if abs(2 * place - total) >= reach)
    return min(1.0, tail)


def _folded(law: Sequence[float], size: int, count: int) -> list[float]:
    """The law of a sum with `count` further coins of ±size."""
    found = [0.0] * (len(law) + size * count)
    for heads in range(count + 1):
        share = math.exp(math.lgamma(count + 1) - math.lgamma(heads + 1) - math.lgamma(count - heads + 1) - count * LN2)
        if share > 0:
            for place, part in enumerate(law, size * heads):
                found[place] += share * part
    return found


def paired_share_difference(
    gained: int,
    lost: int,
    n: int,
    level: float = 0.95,
    effective: float | None = None,
    clusters: int | None = None,
) -> Interval:
    """Difference of two accuracies on the same n pairs: `gained` right only in the second, `lost` only in the first.

    The interval is the adjusted Wald one of Bonett and Price (2012, J. Educ. Behav. Stat. 37:479); where pairs share
    clusters, of the effective number of pairs and with the quantile of t_{clusters − 1}.
    """
    if n <= 0 or gained < 0 or lost < 0 or gained + lost > n:
        raise ValueError(f"{gained} and {lost} discordant of {n}")
    value = (gained - lost) / n
    if clusters is None or effective is None or clusters >= n:
        many, wide = float(n), two_sided(level)
    elif clusters < 2:
        return Interval(value, -1.0, 1.0, level)
    else:
        many, wide = effective, t_quantile(0.5 + level / 2, clusters - 1)
    up, down = (gained * many / n + 1) / (many + 2), (lost * many / n + 1) / (many + 2)
    centre = up - down
    half = wide * math.sqrt((up + down - centre * centre) / (many + 2))
    return Interval(value, max(-1.0, centre - half), min(1.0, centre + half), level)


def effective_differences(differences: Sequence[int], clusters: Sequence[str]) -> tuple[int, float]:
    """(clusters, effective number of pairs) of differences of −1, 0 and 1 that share clusters."""
    n, count = len(differences), len(set(clusters))
    error = clustered_error([float(one) for one in differences], clusters) if count < n else math.nan
    if count == n:
        return n, float(n)
    if not error > 0:
        return count, float(count)
    mean = sum(differences) / n
    return count, min(float(n), (sum(map(abs, differences)) / n - mean * mean) / error**2)


def paired_bootstrap(
    differences: Sequence[float],
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    draws: int = 999,
    seed: int = 0,
) -> Interval:
    """The mean of paired differences; each end is the farther of the studentised bootstrap's (Davison and Hinkley 1997,
    5.2), clusters drawn whole, and Student's, mean ± t·SE.

    The first keeps its level where differences are skewed, the second where a few are much larger than the rest.
    Deterministic in `seed`. Below 10 clusters, which leave too few draws, and above 2,000 it is
    Student's alone. ValueError with fewer than two clusters.
    """
    values = list(differences)
    names = [str(place) for place in range(len(values))] if clusters is None else clusters
    sums: dict[str, list[float]] = {}
    for value, name in zip(values, names, strict=True):
        sums.setdefault(name, []).append(value)
    groups = [(math.fsum(one), float(len(one))) for one in sums.values()]
    count = len(groups)
    if count < 2:
        raise ValueError("a bootstrap needs two clusters at least")
    n = len(values)
    mean = math.fsum(values) / n
    error = math.sqrt(count / (count - 1) * math.fsum((one - mean * size) ** 2 for one, size in groups)) / n
    half = t_quantile(0.5 + level / 2, count - 1) * error
    if not FEW <= count <= _MANY or error <= 1e-12 * abs(mean) or error == 0:
        return Interval(mean, mean - half, mean + half, level)
    size = groups[0][1]
    equal = all(other == size for _, other in groups)
    away = [(one - mean * size, size) for one, size in groups]
    rows = [(one, one * one) if equal else (one, one * one, n_g, one * n_g, n_g * n_g) for one, n_g in away]
    draw, found = random.Random(seed), []
    for _ in range(draws):
        total, squares, *rest = map(sum, zip(*draw.choices(rows, k=count), strict=True))
        sizes, mixed, wide = rest or (count * size, total * size, count * size * size)
        moved = total / sizes
        left = squares + moved * (moved * wide - 2 * mixed)
        if left > 1e-12 * squares:
            found.append(moved * sizes / math.sqrt(count / (count - 1) * left))
    found.sort()
    tail = (1 - level) / 2
    above, below = quantile(found, 1 - tail) * error, -quantile(found, tail) * error
    return Interval(mean, mean - max(half, above), mean + max(half, below), level)


ENOUGH = 30
"""Clusters below which a t interval's level is not relied on: its simulated coverage is reported."""


@lru_cache(maxsize=256)
def simulated_coverage(
    share: float, pairs: int, clusters: int, effective: float, level: float = 0.95, draws: int = 500, seed: int = 0
) -> float:
    """How often `accuracy_interval` holds the truth in evaluations like this one: as many pairs in as many clusters of
    equal size, right with a beta-binomial law of this share and of the correlation that `effective` pairs imply.

    Its own error with 500 draws is about one point.
    """
    sizes = [pairs // clusters + (place < pairs % clusters) for place in range(clusters)]
    alike = (pairs / effective - 1) / (pairs / clusters - 1) if pairs > clusters else 0.0
    alike, truth = min(max(alike, 0.01), 0.99), min(max(share, 1 / (pairs + 2)), 1 - 1 / (pairs + 2))
    scale = 1 / alike - 1
    draw, hits = random.Random(seed), 0
    names = [str(place) for place, size in enumerate(sizes) for _ in range(size)]
    for _ in range(draws):
        rates = [draw.betavariate(truth * scale, (1 - truth) * scale) for _ in sizes]
        right = [draw.random() < rate for rate, size in zip(rates, sizes, strict=True) for _ in range(size)]
        around = accuracy_interval(sum(right) / pairs, pairs, *effective_pairs(right, names), level)
        hits += around.low <= truth <= around.high
    return hits / draws


def mean_t(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean with Student's interval, t·s/√n (Student 1908): a few seeds of one preset."""
    n = len(values)
    if n < 2:
        raise ValueError("a spread needs two values at least")
    mean = fmean(values)
    half = t_quantile(0.5 + level / 2, n - 1) * stdev(values) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, level)


def quantile(ordered: Sequence[float], p: float) -> float:
    """Quantile of sorted values, linear between neighbours (type 7 of Hyndman and Fan 1996)."""
    place = p * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def sample_size(difference: float, discordant: float, power: float = 0.8, level: float = 0.95) -> int:
    """Pairs that show `difference` of two accuracies with this power, a share `discordant` of them changing side.

    McNemar's test after Connor (1987, Biometrics 43:207). ValueError unless 0 < difference ≤ discordant.
    """
    gap = abs(difference)
    if not 0 < gap <= discordant <= 1:
        raise ValueError(f"a difference of {difference} needs 0 < |difference| ≤ discordant ≤ 1, not {discordant}")
    z_level, z_power = two_sided(level), normal_quantile(power)
    root = z_level * math.sqrt(discordant) + z_power * math.sqrt(discordant - gap * gap)
    return math.ceil((root / gap) ** 2)


def detectable(n: int, discordant: float, power: float = 0.8, level: float = 0.95) -> float:
    """Smallest difference of two accuracies that n pairs show with this power; infinite when n shows none at all."""
    if sample_size(discordant, discordant, power, level) > n:
        return math.inf
    low, high = 0.0, discordant
    for _ in range(60):
        middle = (low + high) / 2
        if sample_size(middle, discordant, power, level) > n:
            low = middle
        else:
            high = middle
    return high
