"""The learning rate of every optimizer step, as a formula: the same for any number of processes. No torch."""

from __future__ import annotations

import math


def factor(step: int, total: int, warmup: int, shape: str) -> float:
    """Share of the peak rate at optimizer step `step`, counted from 1.

    The formulas are transformers' get_linear_/cosine_/constant_schedule_with_warmup, whose first step has index 0: with
    a warm-up the first step's rate is 0, and the last step's rate is just above 0.
    """
    index = step - 1
    if index < warmup:
        return index / max(1, warmup)
    if shape == "constant":
        return 1.0
    progress = (index - warmup) / max(1, total - warmup)
    if shape == "cosine":
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
    return max(0.0, 1.0 - progress)


def learning_rate(step: int, total: int, warmup: int, shape: str, peak: float) -> float:
    """The rate that optimizer step `step` (from 1) uses."""
    return peak * factor(step, total, warmup, shape)
