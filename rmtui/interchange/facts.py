"""A run as another program left it behind: what every importer returns. Unknown values stay None or absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmtui.records.facts import Epoch

Point = tuple[float, float, float | None]
"""(step, value, Unix time or None)."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """One run found in somebody's files."""

    name: str
    origin: Path
    kind: str
    """guide-log, trainer-state, tensorboard, wandb, csv or rmtui."""
    identity: str
    """Content hash: the same source imported twice is one run."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Nested configuration, only what the source says."""
    data: str | None = None
    """Name of the data set, where the source says it."""
    epochs: tuple[Epoch, ...] = ()
    series: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    created: float | None = None
    ended: float | None = None
    notes: tuple[str, ...] = ()
    """What could not be read, in words."""


METRIC_NAMES: dict[str, tuple[str, ...]] = {
    "train_loss": (
        "train_loss",
        "train loss",
        "training_loss",
        "training loss",
        "train/loss",
        "loss/train",
        "avg_train_loss",
    ),
    "val_loss": (
        "val_loss",
        "val loss",
        "validation_loss",
        "validation loss",
        "valid_loss",
        "eval_loss",
        "eval/loss",
        "val/loss",
        "loss/val",
        "dev_loss",
        "test_loss",
    ),
    "val_acc": (
        "val_acc",
        "val acc",
        "val_accuracy",
        "val accuracy",
        "validation_accuracy",
        "validation accuracy",
        "valid_acc",
        "eval_accuracy",
        "eval/accuracy",
        "eval_acc",
        "val/acc",
        "val/accuracy",
        "accuracy",
        "acc",
        "eval_rewards/accuracies",
        "eval/rewards/accuracies",
    ),
    "reward_margin": (
        "reward_margin",
        "reward margin",
        "eval_margin",
        "eval/margin",
        "val_margin",
        "margin",
        "eval_rewards/margins",
    ),
    "loss": ("loss", "step_loss", "batch_loss"),
    "learning_rate": ("learning_rate", "lr", "train/learning_rate"),
    "grad_norm": ("grad_norm", "gradient_norm", "train/grad_norm"),
}
"""rmtui's name of a metric → the names it goes by elsewhere."""

_CANONICAL = {alias: name for name, aliases in METRIC_NAMES.items() for alias in aliases}


def canonical(name: str) -> str:
    """rmtui's name of a metric; an unknown one keeps its own."""
    return _CANONICAL.get(name.strip().lower(), name.strip())


def fraction(value: float, percent: bool = False) -> float | None:
    """An accuracy as people write it → 0–1: `71 %`, `71.0` and `0.71` are the same; None where it is none."""
    if percent or value > 1:
        value /= 100
    return value if 0 <= value <= 1 else None
