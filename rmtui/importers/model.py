"""A run as another program left it behind: what every importer returns. Unknown values stay None or absent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rmtui.runs.model import Epoch

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
    last_word: str = ""
    """How the source says that this training is over (`epoch 3 of 3`); empty while it does not."""


METRIC_NAMES: dict[str, tuple[str, ...]] = {
    "train_loss": (
        "train_loss",
        "train loss",
        "training_loss",
        "training loss",
        "loss/train",
        "avg_train_loss",
        "训练损失",
        "训练集损失",
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
        "验证损失",
        "验证集损失",
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
        "eval_rewards/accuracies",
        "eval/rewards/accuracies",
        "验证准确率",
        "验证集准确率",
        "验证精度",
        "accuracy",
        "acc",
        "准确率",
    ),
    "reward_margin": (
        "reward_margin",
        "reward margin",
        "eval_margin",
        "eval/margin",
        "val_margin",
        "eval_rewards/margins",
        "eval/rewards/margins",
        "margin",
    ),
    "loss": ("loss", "train/loss", "step_loss", "batch_loss", "损失"),
    "learning_rate": ("learning_rate", "lr", "train/learning_rate", "学习率"),
    "grad_norm": ("grad_norm", "gradient_norm", "train/grad_norm"),
}
"""rmtui's name of a metric → the names it goes by elsewhere; where a source has several of them, the first counts."""

LOOSE = frozenset({"accuracy", "acc", "准确率", "margin", "test_loss"})
"""Names that mean a training step's pairs, or another set, where a source also speaks of validation, or of steps."""


def key(name: str) -> str:
    """A name without what people write differently: `Val Loss`, `val-loss`, `valLoss` and `val_loss` have one key."""
    return re.sub(r"[^\w/]|_", "", name.lower())


_CANONICAL = {key(alias): name for name, aliases in METRIC_NAMES.items() for alias in aliases}


def canonical(name: str) -> str:
    """rmtui's name of a metric; an unknown one keeps its own."""
    return _CANONICAL.get(key(name), name.strip())


def names_of(names: Iterable[str]) -> dict[str, str]:
    """Each name of one source → rmtui's. Of several that mean one metric one gets its name, the others keep theirs."""
    holders: dict[str, str] = {}
    for name in names:
        known = canonical(name)
        if known not in holders or _rank(name) < _rank(holders[known]):
            holders[known] = name
    return {name: known if holders[known] == name else name.strip() for name in names for known in (canonical(name),)}


def _rank(name: str) -> int:
    keys = [key(alias) for alias in METRIC_NAMES.get(canonical(name), ())]
    return keys.index(key(name)) if keys else 0


def renamed(series: Mapping[str, Sequence[Point]]) -> dict[str, list[Point]]:
    """Series as a source calls them → under rmtui's names, accuracies as fractions."""
    names = names_of(list(series))
    found = {names[name]: list(points) for name, points in series.items()}
    if "val_acc" in found:
        shares = [(step, fraction(value), time) for step, value, time in found["val_acc"]]
        found["val_acc"] = [(step, share, time) for step, share, time in shares if share is not None]
    return found


def fraction(value: float, percent: bool = False) -> float | None:
    """An accuracy as people write it → 0–1: `71 %`, `71.0` and `0.71` are the same; None where it is none."""
    if percent or value > 1:
        value /= 100
    return value if 0 <= value <= 1 else None
