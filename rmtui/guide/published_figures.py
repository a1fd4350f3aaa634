"""The tuning guide's own figures, quoted verbatim. What it does not give is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rmtui.documents.scalars import Metric

METRICS: tuple[Metric, ...] = ("train_loss", "val_loss", "val_acc")
"""The guide's metrics of an epoch. val_acc is better when higher, the losses when lower."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """One epoch of a path."""

    epoch: int
    train_loss: float
    val_loss: float
    val_acc: float


@dataclass(frozen=True, slots=True)
class GuideRun:
    """One of the two runs the guide starts from; `config` holds only what is given."""

    name: str
    epochs: int
    train_loss: float
    val_loss: float
    val_acc: float | None
    config: Mapping[str, Any] = field(default_factory=dict)


BEFORE = GuideRun("before", 1, 0.8755, 0.5928, 0.6845, {"num_epochs": 1, "learning_rate": 2e-5, "lora": {"r": 16}})
AFTER = GuideRun(
    "after",
    2,
    0.6728,
    0.6050,
    None,
    {
        "num_epochs": 2,
        "learning_rate": 1e-5,
        "lr_scheduler": "linear",
        "warmup_ratio": 0.1,
        "lora": {"r": 32, "dropout": 0.1},
    },
)

IDEAL = (
    Point(1, 0.87, 0.59, 0.68),
    Point(2, 0.67, 0.61, 0.71),
    Point(3, 0.58, 0.57, 0.74),
    Point(4, 0.52, 0.55, 0.76),
)
"""The path of more epochs; its 71 % is a hope, not a measurement."""

RATE_RAISED = (
    Point(1, 0.87, 0.59, 0.68),
    Point(2, 0.65, 0.58, 0.72),
    Point(3, 0.56, 0.54, 0.75),
)
"""The path after the learning rate is raised."""

AFTER_LOSSES: Mapping[str, float] = {"train_loss": 0.67, "val_loss": 0.605}
"""Where the guide's expected ranges start from: the second run's losses, as it rounds them."""
MORE_EPOCHS: Mapping[str, Range] = {"train_loss": (0.55, 0.60), "val_loss": (0.55, 0.58)}
HIGHER_RATE: Mapping[str, Range] = {"val_loss": (0.55, 0.58)}
PRESET_A: Mapping[str, Range] = {"train_loss": (0.55, 0.60), "val_loss": (0.55, 0.58), "val_acc": (0.73, 0.76)}
"""Expected of preset A at its end. Of B and C the guide gives no figure."""

MORE_EPOCHS_TO = (3, 4)
RAISED_RATE = 1.5e-5
FORMER_RATE = 2e-5
FORMER_RATE_EPOCHS = 3
LONGER_WARMUP = (0.2, 0.3)
HIGHER_DROPOUT = 0.2
LOWER_RANK = 24
WARMUP = 0.1

CONSERVATIVE: Mapping[str, Any] = {"num_epochs": 3, "learning_rate": 1.5e-5}
"""Preset A on an existing configuration: it changes epochs and rate only."""
BALANCED: Mapping[str, float] = {"lora.dropout": 0.15, "batch_size": 6}
"""What tells preset C from A, whose epochs and rate it has."""


def better(metric: str, change: float) -> bool | None:
    """Is this change for the better? None for no change and for figures that have no better side."""
    if change == 0 or metric not in METRICS:
        return None
    return (change > 0) == (metric == "val_acc")
