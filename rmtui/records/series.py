"""Curves out of the index: min/max roll-ups, so that a chart reads in time that depends on its columns alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Axis = Literal["step", "epoch", "tokens", "time"]
"""step: optimizer step. epoch: fractional. tokens: since the run began. time: seconds of training without its pauses."""


@dataclass(frozen=True, slots=True)
class Series:
    """A metric in at most so many columns, left to right. All tuples have one length.

    A column is one point or many; `low` and `high` are its extremes, so no spike is lost. NaN in low, high and last: no
    finite value in this column, draw a gap.
    """

    metric: str
    x: tuple[float, ...]
    """Of the column's last point."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    last: tuple[float, ...]
    steps: tuple[int, ...]
    """Step of the column's last point."""
    broken: tuple[bool, ...]
    """Whether the column holds a value that is not finite: mark it."""

    def __len__(self) -> int:
        return len(self.x)
