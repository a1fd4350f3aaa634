"""Epochs at steps that a source did not say: epochs grow in step with steps between places that are known."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence


def epoch_at(step: int, steps: Sequence[int], places: Mapping[int, float]) -> float | None:
    """The epoch at a step, by the steps around it whose epochs are known; None where none are.

    `steps` are those of `places`, in order. Before the first the start (step 0, epoch 0) counts as known; beyond the
    last the training goes on at its mean pace.
    """
    if not steps:
        return None
    at = bisect_left(steps, step)
    if at == len(steps):
        last = steps[-1]
        return places[last] * step / last if last else None
    later = steps[at]
    if later == step:
        return places[later]
    earlier = steps[at - 1] if at else 0
    begin = places[earlier] if at else 0.0
    return begin + (places[later] - begin) * (step - earlier) / (later - earlier)


def known(epoch: float | None) -> bool:
    """Whether an epoch is one: files write one that is not known as NaN."""
    return epoch is not None and math.isfinite(epoch)
