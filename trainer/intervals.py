"""Intervals of a share, of single pairs or of pairs in clusters, and the quantiles behind them; standard library alone.

Each is checked against scipy in the tests; scipy itself stays out of the program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float
    level: float = 0.95

    @property
    def half(self) -> float:
        """Half the width: the ± of a value."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def normal_quantile(p: float) -> float:
    """Quantile of the standard normal distribution, 0 < p < 1."""
    return NormalDist().inv_cdf(p)


def two_sided(level: float) -> float:
    """The z of a two-sided interval: 1.96 for 0.95."""
    return normal_quantile(0.5 + level / 2)


def wilson(k: float, n: float, level: float = 0.95) -> Interval:
    """Wilson score interval of k successes in n (Wilson 1927, JASA 22:209). ValueError unless 0 ≤ k ≤ n, n > 0."""
    if n <= 0 or not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is not a share")
    return _wilson(k / n, n, two_sided(level), level)


def _wilson(share: float, n: float, z: float, level: float) -> Interval:
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if share == 0 else max(0.0, centre - half)
    high = 1.0 if share == 1 else min(1.0, centre + half)
    return Interval(share, low, high, level)


class Clustered(NamedTuple):
    """What the clusters of an evaluation's pairs leave of their number."""

    clusters: int
    effective: float
    """As many independent pairs would measure the share as finely; at most the number of pairs."""


def clustered_error(values: Sequence[float], clusters: Sequence[str]) -> float:
    """Standard error of the mean of values that share clusters: √(G/(G−1) · Σ_g (Σ_{i∈g} (x_i − x̄))²) / n.

    Liang and Zeger 1986 for a mean; with this small-sample factor as in Miller (arXiv 2411.00640). NaN of one cluster.
    """
    n, mean = len(values), math.fsum(values) / len(values)
    sums: dict[str, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value - mean
    count = len(sums)
    if count < 2:
        return math.nan
    return math.sqrt(count / (count - 1) * math.fsum(one * one for one in sums.values())) / n


def effective_pairs(right: Sequence[bool], clusters: Sequence[str]) -> Clustered:
    """The effective number of pairs, share · (1 − share) / SE² with the clustered standard error.

    Where every pair is right, or every pair wrong, nothing is known of how alike pairs of a cluster are: a cluster
    counts as one pair. ValueError without pairs.
    """
    n, count = len(right), len(set(clusters))
    if not n:
        raise ValueError("no pairs")
    if count == n:
        return Clustered(n, float(n))
    share = sum(right) / n
    error = clustered_error([float(one) for one in right], clusters)
    if not error > 0:
        return Clustered(count, float(count))
    return Clustered(count, min(float(n), share * (1 - share) / error**2))


def accuracy_interval(
    share: float,
    pairs: int,
    clusters: int | None = None,
    effective: float | None = None,
    level: float = 0.95,
    quantile: float | None = None,
) -> Interval:
    """The interval of an accuracy, everywhere the same: Wilson's, of the effective number of pairs and with the
    quantile of t_{G−1} in place of z where pairs share clusters.

    Without clusters, or with each pair its own, Wilson's interval of `pairs` independent ones. `quantile` is a wider
    one, for the best of several candidates. ValueError unless 0 ≤ share ≤ 1 and pairs > 0.
    """
    if pairs <= 0 or not 0 <= share <= 1:
        raise ValueError(f"{share} of {pairs} pairs is not a share")
    if clusters is None or effective is None or clusters >= pairs:
        return _wilson(share, pairs, max(two_sided(level), quantile or 0.0), level)
    if clusters < 2:
        return Interval(share, 0.0, 1.0, level)
    return _wilson(share, effective, max(t_quantile(0.5 + level / 2, clusters - 1), quantile or 0.0), level)


@lru_cache(maxsize=1024)
def t_quantile(p: float, df: float) -> float:
    """Quantile of Student's t with `df` degrees of freedom, by bisection of its tail down to neighbouring floats."""
    if not 0 < p < 1 or df <= 0:
        raise ValueError("needs 0 < p < 1 and df > 0")
    if p == 0.5:
        return 0.0
    share = min(p, 1 - p)
    low, high = 0.0, 1.0
    while t_tail(high, df) > share:
        low, high = high, high * 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if t_tail(middle, df) > share else (low, middle)
    return math.copysign((low + high) / 2, p - 0.5)


def t_cdf(t: float, df: float) -> float:
    """Distribution function of Student's t."""
    return 1 - t_tail(t, df) if t > 0 else t_tail(-t, df)


def t_tail(t: float, df: float) -> float:
    """P(T > t), t ≥ 0, through the incomplete beta function (Abramowitz and Stegun 26.7.1)."""
    square = t * t
    return incomplete_beta(df / 2, 0.5, df / (df + square), square / (df + square)) / 2


def incomplete_beta(a: float, b: float, x: float, rest: float | None = None) -> float:
    """Regularised incomplete beta I_x(a, b), a, b > 0, 0 ≤ x ≤ 1 (continued fraction, DLMF 8.17.22).

    `rest` is 1 − x, for a caller who knows it to more digits than a subtraction leaves.
    """
    y = 1 - x if rest is None else rest
    if x <= 0 or y <= 0:
        return float(y <= 0)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, y, x)
    powers = a * _log(x, y) + b * _log(y, x)
    return math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + powers) / a / _beta_fraction(a, b, x)


def _log(x: float, rest: float) -> float:
    """log x from x or from 1 − x, whichever is the smaller and so the better known."""
    return math.log(x) if x < 0.5 else math.log1p(-rest)


def _beta_fraction(a: float, b: float, x: float, most: int = 10_000) -> float:
    """The fraction 1 + d₁/(1 + d₂/(1 + …)), evaluated forwards (Lentz 1976)."""
    tiny = 1e-300
    value, c, d = 1.0, 1.0, 0.0
    for i in range(1, most):
        m = i // 2
        if i % 2 == 0:
            step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / (1 + step * d or tiny)
        c = 1 + step / c or tiny
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value
