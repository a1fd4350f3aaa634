"""Short formulas behind every interval and verdict, from the standard library alone.

Each is checked against scipy in the tests; scipy itself stays out of the program.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

LN2 = math.log(2)
"""Loss of a model that knows nothing: −log σ(0)."""

_MANY = 10_000
"""Above this many pairs the bootstrap of a mean is its normal limit, and much slower to draw."""


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


def wilson(k: float, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of k successes in n (Wilson 1927, JASA 22:209). ValueError unless 0 ≤ k ≤ n, n > 0."""
    if n <= 0 or not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is not a share")
    z = two_sided(level)
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if k == 0 else max(0.0, centre - half)
    high = 1.0 if k == n else min(1.0, centre + half)
    return Interval(share, low, high, level)


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


def paired_share_difference(gained: int, lost: int, n: int, level: float = 0.95) -> Interval:
    """Difference of two accuracies on the same n pairs: `gained` right only in the second, `lost` only in the first.

    The interval is the adjusted Wald one of Bonett and Price (2012, J. Educ. Behav. Stat. 37:479).
    """
    if n <= 0 or gained < 0 or lost < 0 or gained + lost > n:
        raise ValueError(f"{gained} and {lost} discordant of {n}")
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    centre = up - down
    half = two_sided(level) * math.sqrt((up + down - centre * centre) / (n + 2))
    return Interval((gained - lost) / n, max(-1.0, centre - half), min(1.0, centre + half), level)


def paired_bootstrap(differences: Sequence[float], level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean of paired differences (Efron and Tibshirani 1993, ch. 13).

    Deterministic in `seed`. Above 10,000 pairs: the bootstrap's normal limit, mean ± z·s/√n.
    """
    values = list(differences)
    n = len(values)
    if n < 2:
        raise ValueError("a bootstrap needs two pairs at least")
    if n > _MANY:
        return mean_normal(values, level)
    draw = random.Random(seed)
    means = sorted(math.fsum(draw.choices(values, k=n)) / n for _ in range(draws))
    tail = (1 - level) / 2
    return Interval(fmean(values), quantile(means, tail), quantile(means, 1 - tail), level)


def mean_normal(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean with its normal interval, z·s/√n; for large n."""
    mean = fmean(values)
    half = two_sided(level) * stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half, level)


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


def pair_loss(margin: float) -> float:
    """−log σ(margin), stable at both ends: the Bradley–Terry loss of one pair."""
    return math.log1p(math.exp(-margin)) if margin > 0 else math.log1p(math.exp(margin)) - margin


@dataclass(frozen=True, slots=True)
class Regression:
    """A least-squares line through its centre (mean_x, mean_y), with what a prediction interval needs."""

    slope: float
    mean_x: float
    mean_y: float
    residual: float
    """Standard error of the residuals, n − 2 degrees of freedom."""
    n: int
    spread_x: float
    """Sum of squares of x about its mean."""

    def predict(self, x: float, level: float = 0.95) -> Interval:
        """The next observation at x with its prediction interval (Draper and Smith 1998, ch. 3)."""
        away = x - self.mean_x
        value = self.mean_y + self.slope * away
        wide = self.residual * math.sqrt(1 + 1 / self.n + away * away / self.spread_x)
        half = t_quantile(0.5 + level / 2, self.n - 2) * wide
        return Interval(value, value - half, value + half, level)


def fit_line(points: Sequence[tuple[float, float]]) -> Regression:
    """Ordinary least squares through three points at least; ValueError where all x are equal.

    Centred first, and every sum by math.fsum, which rounds once: no digits are lost to the size of x or y.
    """
    n = len(points)
    mean_x, mean_y = fmean(x for x, _ in points), fmean(y for _, y in points)
    centred = [(x - mean_x, y - mean_y) for x, y in points]
    spread = math.fsum(dx * dx for dx, _ in centred)
    if n < 3 or spread == 0:
        raise ValueError("a line with an error needs three points at different places")
    slope = math.fsum(dx * dy for dx, dy in centred) / spread
    squares = math.fsum((dy - slope * dx) ** 2 for dx, dy in centred)
    return Regression(slope, mean_x, mean_y, math.sqrt(squares / (n - 2)), n, spread)
