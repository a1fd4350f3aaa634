"""Two settings by their seeds: is one better whatever the seed and the prompts, or is it one training of it that is?"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import TYPE_CHECKING

from rmtui.guide.paired_test import Clusters, Rewards, Word, right
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.i18n import translate
from rmtui.statistics import sign_flip

if TYPE_CHECKING:
    from rmtui.documents.guide import SettingsDocument

FEWEST = 4
"""Seeds a setting for a verdict: of 3 against 3 no order has a p below 0.1, of 4 against 4 the clearest has 0.029."""
_MOST = 20_000
"""Orders of seeds that are counted one by one; of more so many are drawn."""


@dataclass(frozen=True, slots=True)
class SettingsTest:
    """b against a. Accuracies are 0–1, of each seed, over the pairs that all have scored."""

    a: tuple[float, ...]
    b: tuple[float, ...]
    deviation: float | None
    """Standard deviation over seeds, pooled; None where no setting has two."""
    p_seeds: float | None
    """Of a permutation of the seeds between the settings; None with fewer than four seeds of either."""
    p_prompts: float | None
    """Of a sign-flip test of the prompts' mean differences."""
    alpha: float

    @property
    def difference(self) -> float:
        return fmean(self.b) - fmean(self.a)

    @property
    def p(self) -> float | None:
        """The larger of the two: a difference holds for other seeds and for other prompts, or it is not called one."""
        if self.p_seeds is None or self.p_prompts is None:
            return None
        return max(self.p_seeds, self.p_prompts)

    @property
    def word(self) -> Word | None:
        """None: too few seeds for a verdict."""
        if self.p is None:
            return None
        if self.p >= self.alpha:
            return "same"
        return "better" if self.difference > 0 else "worse"


def settings_test(
    a: Sequence[Rewards], b: Sequence[Rewards], clusters: Clusters, limits: Thresholds = DEFAULT
) -> SettingsTest | None:
    """The seeds of two settings on the same pairs; None where no pair was scored by all."""
    common = sorted(frozenset.intersection(*(frozenset(one) for one in (*a, *b))))
    if not common:
        return None
    scores = [[right(one[key]) for key in common] for one in (*a, *b)]
    means = [fmean(map(int, one)) for one in scores]
    first, second = tuple(means[: len(a)]), tuple(means[len(a) :])
    enough = min(len(a), len(b)) >= FEWEST
    p_prompts = None
    if enough:
        sums: Counter[str] = Counter()
        for place, key in enumerate(common):
            mine, its = (sum(one[place] for one in side) for side in (scores[: len(a)], scores[len(a) :]))
            sums[clusters.get(key, f"={key}")] += its * len(a) - mine * len(b)
        p_prompts = sign_flip(list(sums.values()))
    p_seeds = permuted(first, second) if enough else None
    return SettingsTest(first, second, _pooled(first, second), p_seeds, p_prompts, 1 - limits.level)


def _pooled(a: Sequence[float], b: Sequence[float]) -> float | None:
    squares = [variance(side) * (len(side) - 1) for side in (a, b) if len(side) > 1]
    return math.sqrt(sum(squares) / (len(a) + len(b) - 2)) if squares and len(a) + len(b) > 2 else None


def permuted(a: Sequence[float], b: Sequence[float], seed: int = 0) -> float:
    """Two-sided p of the difference of means under every way to deal the values to the two sides (Fisher 1935); of more
    than 20,000 ways, that many are drawn, with this one among them."""
    values = [*a, *b]
    total, many = math.fsum(values), len(a)
    reach = abs(math.fsum(a) / many - math.fsum(b) / len(b)) - 1e-12
    ways = math.comb(len(values), many)

    def far(drawn: Sequence[float]) -> bool:
        one = math.fsum(drawn)
        return abs(one / many - (total - one) / len(b)) >= reach

    if ways <= _MOST:
        return sum(map(far, itertools.combinations(values, many))) / ways
    draw = random.Random(seed)
    return (1 + sum(far(draw.sample(values, many)) for _ in range(_MOST))) / (_MOST + 1)


def document(found: SettingsTest, text: str) -> SettingsDocument:
    """The test as `compare --json` holds it."""
    return {
        "a": list(found.a),
        "b": list(found.b),
        "deviation": found.deviation,
        "delta": found.difference,
        "p_seeds": found.p_seeds,
        "p_prompts": found.p_prompts,
        "verdict": found.word,
        "text": text,
    }


def format_settings(found: SettingsTest, a: str, b: str, lang: str) -> str:
    """`The settings of B against those of A, 4 and 4 seeds: … better (p = 0.029).`"""
    values = {
        "a": a,
        "b": b,
        "n": len(found.a),
        "m": len(found.b),
        "values_a": _listed(found.a),
        "values_b": _listed(found.b),
        "need": FEWEST,
        "delta": found.difference,
        "p": found.p,
    }
    spread = "" if found.deviation is None else translate("settings.spread", lang, spread=found.deviation)
    return translate(f"settings.{found.word or 'too_few'}", lang, **values, spread=spread)


def _listed(values: Sequence[float]) -> str:
    """Of many the lowest and the highest."""
    shown = [f"{100 * value:.1f}" for value in sorted(values)]
    return " / ".join(shown) if len(shown) <= 6 else f"{shown[0]} … {shown[-1]}"
