"""Min/max roll-ups of a curve: extremes and last value of every so many steps. No SQL here."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEVELS = (4, 8, 12, 16)
"""A roll-up of level n covers 2**n steps: 16, 256, 4,096 and 65,536."""


@dataclass(slots=True)
class Bucket:
    """Extremes and last value of neighbouring points; None while no value was finite."""

    low: float | None
    high: float | None
    last: float | None
    last_step: int
    broken: int

    def merge(self, other: Bucket) -> None:
        """Take in what comes after."""
        if other.low is not None and other.high is not None:
            self.low = other.low if self.low is None else min(self.low, other.low)
            self.high = other.high if self.high is None else max(self.high, other.high)
            self.last = other.last
        self.last_step = max(self.last_step, other.last_step)
        self.broken |= other.broken


def finite_of(values: Sequence[float]) -> Sequence[float]:
    """A finite sum is one of finite values."""
    return values if math.isfinite(sum(values)) else [value for value in values if math.isfinite(value)]


def rolled_up(steps: Sequence[int], values: Sequence[float]) -> dict[tuple[int, int], Bucket]:
    """(level, bucket) → extremes, at every level; points of one metric in order of step."""
    finest, *coarser = LEVELS
    below = [(number, bucket_of(steps[start:end], values[start:end])) for number, start, end in _cut(steps)]
    made = {(finest, number): bucket for number, bucket in below}
    for finer, level in zip(LEVELS, coarser, strict=False):
        shift = level - finer
        if len(below) == 1:  # as most runs are from 256 steps on: every coarser one is the same
            below = [(below[0][0] >> shift, below[0][1])]
        else:
            above: dict[int, Bucket] = {}
            for number, bucket in below:
                _put(above, number >> shift, bucket)
            below = list(above.items())
        made.update(((level, number), bucket) for number, bucket in below)
    return made


def _cut(steps: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(bucket, start, end) of the finest level."""
    finest, start = LEVELS[0], 0
    while start < len(steps):
        number = steps[start] >> finest
        end = bisect_left(steps, (number + 1) << finest, start, min(len(steps), start + (1 << finest)))
        yield number, start, end
        start = end


def bucket_of(steps: Sequence[int], values: Sequence[float]) -> Bucket:
    finite, last_step = finite_of(values), steps[-1]
    broken = int(len(finite) < len(values))
    if not finite:
        return Bucket(None, None, None, last_step, broken)
    return Bucket(min(finite), max(finite), finite[-1], last_step, broken)


def _put(made: dict[int, Bucket], number: int, bucket: Bucket) -> None:
    if (found := made.get(number)) is None:
        made[number] = Bucket(bucket.low, bucket.high, bucket.last, bucket.last_step, bucket.broken)
    else:
        found.merge(bucket)


def rows_of(made: Mapping[tuple[int, int], Bucket]) -> list[tuple[Any, ...]]:
    """Rows of the table, without run and metric."""
    return [
        (level, number, bucket.low, bucket.high, bucket.last, bucket.last_step, bucket.broken)
        for (level, number), bucket in made.items()
    ]
