"""Whether a training broke: its steps were too large, so that nothing else its metrics seem to say counts."""

from __future__ import annotations

import math

from rmtui.guide import rates
from rmtui.guide.model import Subject
from rmtui.guide.thresholds import DEFAULT, Thresholds
from rmtui.statistics import LN2

SPREAD = 0.35
"""Of the losses of single pairs near ln 2: half the spread of an untrained head's differences, about 0.7 at most."""


def come_apart(subject: Subject, limits: Thresholds) -> tuple[tuple[int, float], tuple[int, float]] | None:
    """The lowest epoch and the last of a train_loss that rose from it and is worse than that of equal rewards, ln 2."""
    known = subject.known("train_loss")
    if len(known) < 2 or known[-1][1] <= LN2 + limits.ln2_distance:
        return None
    lowest = min(known, key=lambda pair: pair[1])
    return (lowest, known[-1]) if known[-1][1] > lowest[1] * (1 + limits.come_apart) else None


def broken(item: Subject, limits: Thresholds) -> bool:
    """NaN, a loss that came apart, or losses beyond those of an untrained model by more than chance.

    An untrained head may start anywhere: its loss is that of the first steps, where they are known. Where they are not,
    a rate that is usual for the method is not blamed for a high first loss.
    """
    if item.bad_values or come_apart(item, limits):
        return True
    if any(value is not None and not math.isfinite(value) for row in item.run.epochs for value in row[1:3]):
        return True
    return beyond_untrained(item, limits)


def beyond_untrained(item: Subject, limits: Thresholds) -> bool:
    """Losses at the end are above those of an untrained model by more than chance."""
    train, val = item.known("train_loss"), item.known("val_loss")
    if not train or not val or min(loss for _, loss in val) < LN2:
        return False
    start = item.start_loss
    if start is None:
        start = max(train[0][1], val[0][1]) if (rates.current(item) or 0.0) <= 5 * usual_rate(item, limits) else LN2
    beyond = max(LN2, start) + 4 * SPREAD / math.sqrt(pairs_of(item) or 100)
    return train[-1][1] > beyond or (val[-1][1] > beyond and train[-1][1] > LN2)


def asks_for_start(item: Subject) -> bool:
    """Whether the loss that it started from makes a difference: only where a loss is not below a constant reward's."""
    train, val = item.last("train_loss"), item.known("val_loss")
    return (train is not None and train > LN2) or bool(val and min(loss for _, loss in val) >= LN2)


def usual_rate(item: Subject, limits: Thresholds) -> float:
    """Where a search for the learning rate begins."""
    return rate_of_method(item.value("method") != "full", limits)


def rate_of_method(lora: bool, limits: Thresholds = DEFAULT) -> float:
    """What is usual: ten times higher for LoRA than for full fine-tuning."""
    return limits.full_rate * (limits.lora_rate_factor if lora else 1.0)


def pairs_of(item: Subject) -> int:
    """Validation pairs behind its newest evaluation; 0 where their number is not known."""
    return next((row.val_pairs for row in reversed(item.run.epochs) if row.val_pairs), None) or item.run.val_pairs or 0
