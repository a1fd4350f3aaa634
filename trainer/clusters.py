"""Which validation pairs are not independent of each other: those of one group, prompt, or nearly the same first turn.

A mean over pairs that share a question is less certain than one over as many questions: see `trainer.intervals`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from trainer.held_out import family
from trainer.rows import Row

GROUP = "group"
"""The field of a pair file that names clusters; it outranks what texts say."""
ALIKE = 0.5
"""Share of the weight of two questions' words that they have in common, from which they count as one. In the weight,
words that many questions use count little, so that another wording is the same question and another topic is not."""
_COMMON = 50
"""A word in more questions than this brings none of them together by itself."""

_WORD = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]|[^\\W\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]+")
"""Words; of Chinese, Japanese and Korean, characters."""

By = Literal["group", "prompt", "first turn"]


class Clusters(NamedTuple):
    """Pair id → its cluster, and what clusters are made by."""

    of: Mapping[str, str]
    by: By

    @property
    def number(self) -> int:
        return len(set(self.of.values()))


def find_clusters(rows: Sequence[Row]) -> Clusters:
    """Clusters of pairs with distinct ids: by the field `group` where any row has it (a row without it is
    alone), else by first turns that are the same or nearly so, which keeps pairs of one prompt together.

    Names are short hashes, the same for the same rows in any order.
    """
    if any(row.fields.get(GROUP) is not None for row in rows):
        return Clusters({row.id: _name(_group(row)) for row in rows}, "group")
    families = {row.id: family(row) for row in rows}
    joined = _joined(sorted(set(families.values())))
    by: By = "prompt" if len(set(joined.values())) == len(joined) else "first turn"
    return Clusters({key: _name(joined[one]) for key, one in families.items()}, by)


def _group(row: Row) -> str:
    value = row.fields.get(GROUP)
    return f"={row.id}" if value is None else f"{type(value).__name__} {value}"


def _name(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _joined(questions: Sequence[str]) -> dict[str, str]:
    """Question → the first of those it is joined with, directly or through others."""
    root = {question: question for question in questions}

    def find(one: str) -> str:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    for one, other in _alike(questions):
        first, second = sorted((find(one), find(other)))
        root[second] = first
    return {question: find(question) for question in questions}


def words(text: str) -> list[str]:
    """Lower-case words; of Chinese, Japanese and Korean, characters."""
    return _WORD.findall(text.casefold())


def _alike(questions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Questions with a rare word in common and at least `ALIKE` of their words' weight."""
    found = {question: frozenset(words(question)) for question in questions}
    count = Counter(word for one in found.values() for word in one)
    weight = {word: math.log(len(questions) / uses) for word, uses in count.items()}
    by_word: defaultdict[str, list[str]] = defaultdict(list)
    for question in questions:
        for word in found[question]:
            if 1 < count[word] <= _COMMON:
                by_word[word].append(question)
    seen = set()
    for sharing in by_word.values():
        for place, one in enumerate(sharing):
            for other in sharing[place + 1 :]:
                if (one, other) in seen:
                    continue
                seen.add((one, other))
                common = math.fsum(weight[word] for word in found[one] & found[other])
                if common >= ALIKE * math.fsum(weight[word] for word in found[one] | found[other]):
                    yield one, other
