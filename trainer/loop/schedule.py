"""The learning rate of every optimizer step, as a formula: the same for any number of processes. No torch."""

from __future__ import annotations

import math


def factor(step: int, total: int, warmup: int, shape: str, floor: float = 0.0, decay: int = 0) -> float:
    """Share of the peak rate at optimizer step `step`, counted from 1.

    The formulas are transformers' get_linear_/cosine_/constant_schedule_with_warmup, whose first step has index 0: with
    a warm-up the first step's rate is 0, and the last step's rate is just above `floor`, a share of the peak
    (get_cosine_with_min_lr_schedule_with_warmup). wsd (warmup-stable-decay, arXiv 2404.06395) is get_wsd_schedule with
    a linear decay over the last `decay` steps, but for a warm-up that starts at 0 with a floor, too.
    """
    index = step - 1
    if index < warmup:
        return index / max(1, warmup)
    if shape == "constant":
        return 1.0
    if shape == "wsd":
        start = max(warmup, total - decay)
        return 1.0 if index < start else floor + (1.0 - floor) * max(0.0, 1.0 - (index - start) / max(1, total - start))
    progress = (index - warmup) / max(1, total - warmup)
    falling = max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)) if shape == "cosine" else 1.0 - progress)
    return floor + (1.0 - floor) * falling if floor else falling


def learning_rate(
    step: int, total: int, warmup: int, shape: str, peak: float, floor: float = 0.0, decay_ratio: float = 0.0
) -> float:
    """The rate that optimizer step `step` (from 1) uses."""
    return peak * factor(step, total, warmup, shape, floor, int(decay_ratio * total))
