"""Which evaluation of a training is the best: one answer for checkpoints, lists, charts, comparisons and `merge`.

Higher val_acc is better, or lower val_loss where `best_metric` says so or no val_acc is known; of equal ones the lower
val_loss, then the earlier.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

METRICS = ("val_acc", "val_loss")

Item = TypeVar("Item")
Values = tuple[float | None, float | None]
"""(val_acc, val_loss) of an evaluation; None or NaN: not known."""


def rank(val_acc: float | None, val_loss: float | None, metric: str = "val_acc") -> tuple[float, float] | None:
    """What evaluations are compared by, higher is better; None where the metric is not known."""
    loss = -math.inf if val_loss is None or math.isnan(val_loss) else -val_loss
    if metric == "val_loss":
        return None if loss == -math.inf else (loss, 0.0)
    return None if val_acc is None or math.isnan(val_acc) else (val_acc, loss)


def best_of(items: Iterable[Item], values: Callable[[Item], Values], metric: str = "val_acc") -> Item | None:
    """The best of evaluations in the order in which they were made; None where none can be ranked."""
    known = list(items)
    for by in (metric, "val_loss"):
        ranked = [(found, item) for item in known if (found := rank(*values(item), by)) is not None]
        if ranked:
            return max(ranked, key=lambda pair: pair[0])[1]
    return None
