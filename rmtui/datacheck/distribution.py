"""What the pairs of a file are like as a whole, and whether two files are of one kind."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rmtui.datacheck import language
from rmtui.datacheck.kinds import found
from rmtui.datacheck.model import Finding
from rmtui.datacheck.short_way import Pair
from rmtui.statistics import detectable

if TYPE_CHECKING:
    from rmtui.documents.data import PairFigures

BIAS = 0.7
"""Share of pairs whose chosen answer is the longer (or shorter) one, above which length alone says too much."""
FEW = 100
"""Fewer pairs say nothing about a distribution."""
LENGTH_GAP, SHARE_GAP = 0.2, 0.2
"""Largest difference of two cumulative distributions (Kolmogorov, Smirnov), of two sets of shares (total variation)."""
DISCORDANT = 0.25
"""Pairs on which two runs of one model disagree, as seen between presets."""
HOPED = 0.1
"""A validation set that cannot even show 10 points is too small to choose between runs."""
SOURCES = 200


@dataclass(slots=True)
class Distribution:
    """Counts over the pairs of one file; memory does not grow with it."""

    pairs: int = 0
    chosen_longer: int = 0
    rejected_longer: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    """Quarter octaves of characters in prompt and both answers."""
    sources: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)

    def add(self, pair: Pair) -> None:
        self.pairs += 1
        chosen, rejected = len(pair.chosen), len(pair.rejected)
        if chosen > rejected:
            self.chosen_longer += 1
        elif rejected > chosen:
            self.rejected_longer += 1
        length = len(pair.prompt) + chosen + rejected
        self.lengths[_BINS[length] if length < len(_BINS) else _bin(length)] += 1
        if pair.source and (len(self.sources) < SOURCES or pair.source in self.sources):
            self.sources[pair.source] += 1
        if self.pairs < 1_000 or self.pairs % 100 == 0:
            self.languages[language.guess(pair.chosen + " " + pair.rejected)] += 1

    def figures(self) -> PairFigures:
        """What a report says of the file."""
        return {
            "pairs": self.pairs,
            "chosen_longer": self.chosen_longer / self.pairs if self.pairs else None,
            "characters": {"median": self.quantile(0.5), "p95": self.quantile(0.95)},
            "sources": dict(self.sources.most_common(10)),
            "languages": shares(self.languages),
            "shows_difference_of": self.shows(),
        }

    def shows(self) -> float | None:
        """Smallest difference of two runs' accuracies that these pairs show; None where they show none at all."""
        gap = detectable(self.pairs, DISCORDANT) if self.pairs else math.inf
        return gap if math.isfinite(gap) else None

    def quantile(self, share: float) -> int | None:
        """Characters of a pair that this share of the pairs stays below, to a quarter of an octave."""
        below = 0
        for place in sorted(self.lengths):
            below += self.lengths[place]
            if below >= share * self.pairs:
                return _edge(place)
        return None


def alone(spread: Distribution, validation: bool) -> Iterator[Finding]:
    """What one file's distribution has wrong."""
    for name, count in (("longer", spread.chosen_longer), ("shorter", spread.rejected_longer)):
        if spread.pairs >= FEW and count > BIAS * spread.pairs:
            about = {"share": count / spread.pairs, "pairs": spread.pairs}
            yield found(None, "label_bias", f"label_bias_{name}", **about)
    if validation and spread.pairs:
        yield from _too_few(spread)


def _too_few(spread: Distribution) -> Iterator[Finding]:
    gap = spread.shows()
    if gap is None:
        key = "too_few_pairs_one" if spread.pairs == 1 else "too_few_pairs_none"
        yield found(None, "too_few_pairs", key, pairs=spread.pairs)
    elif gap > HOPED:
        yield found(None, "too_few_pairs", pairs=spread.pairs, gap=gap)


def between(train: Distribution, val: Distribution, against: str) -> Iterator[Finding]:
    """How validation differs in kind from training."""
    if min(train.pairs, val.pairs) < FEW:
        return
    if (gap := _ks(train.lengths, val.lengths)) > max(LENGTH_GAP, _ks_limit(train.pairs, val.pairs)):
        medians = {"ours": val.quantile(0.5), "theirs": train.quantile(0.5)}
        yield found(None, "different_length", **medians, against=against, gap=gap)
    for kind, ours, theirs in (("source", val.sources, train.sources), ("language", val.languages, train.languages)):
        here, there = shares(ours), shares(theirs)
        if ours and theirs and _variation(here, there) > SHARE_GAP:
            most = max({**here, **there}, key=lambda name: abs(here.get(name, 0) - there.get(name, 0)))
            about: dict[str, Any] = {"ours": here.get(most, 0.0), "theirs": there.get(most, 0.0), "against": against}
            yield found(None, f"different_{kind}", most=most, **about)


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Counts → shares, the largest first."""
    total = sum(counts.values())
    return {name: count / total for name, count in sorted(counts.items(), key=lambda item: -item[1])}


def _variation(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(abs(one.get(name, 0) - other.get(name, 0)) for name in {**one, **other}) / 2


def _ks(one: Counter[int], other: Counter[int]) -> float:
    """Largest gap of the two cumulative distributions."""
    ours, theirs, gap = 0.0, 0.0, 0.0
    for place in sorted({*one, *other}):
        ours += one[place] / one.total()
        theirs += other[place] / other.total()
        gap = max(gap, abs(ours - theirs))
    return gap


def _ks_limit(n: int, m: int) -> float:
    """Gap of two samples of one distribution that is exceeded once in a thousand (Smirnov 1948, asymptotic)."""
    return math.sqrt(-math.log(0.001 / 2) / 2 * (n + m) / (n * m))


def _bin(length: int) -> int:
    bits = length.bit_length()
    return bits * 4 + (length >> (bits - 3) & 3) if bits > 2 else length


def _edge(place: int) -> int:
    """Upper edge of a bin in characters."""
    if place < 12:
        return place
    bits, quarter = divmod(place, 4)
    return (5 + quarter) << (bits - 3)


_BINS = [_bin(length) for length in range(1 << 13)]
