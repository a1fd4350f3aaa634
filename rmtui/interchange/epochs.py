"""Epoch figures out of series that know steps only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rmtui.interchange.facts import Point, fraction
from rmtui.records.facts import Epoch

FIGURES = ("train_loss", "val_loss", "val_acc", "reward_margin")


def epochs_of(series: Mapping[str, Sequence[Point]]) -> tuple[Epoch, ...]:
    """Figures logged at steps at which the `epoch` series is a whole number; without that series none are known."""
    epoch_at = {step: value for step, value, _ in _finite(series, ("epoch", "train/epoch"))}
    rows: dict[int, dict[str, float]] = {}
    for name in FIGURES:
        for step, value, _ in series.get(name, ()):
            epoch = epoch_at.get(step, 0.0)
            share = fraction(value) if name == "val_acc" else value
            if epoch >= 1 and epoch == int(epoch) and share is not None:
                rows.setdefault(int(epoch), {})[name] = share
    return rows_to_epochs(rows)


def _finite(series: Mapping[str, Sequence[Point]], names: tuple[str, ...]) -> list[Point]:
    return [point for name in names for point in series.get(name, ()) if math.isfinite(point[1])]


def rows_to_epochs(rows: Mapping[int, Mapping[str, float]]) -> tuple[Epoch, ...]:
    """{epoch: {figure: value}} → epochs in order; figures that were not given stay None."""
    return tuple(
        Epoch(
            epoch,
            train_loss=row.get("train_loss"),
            val_loss=row.get("val_loss"),
            val_acc=row.get("val_acc"),
            reward_margin=row.get("reward_margin"),
        )
        for epoch, row in sorted(rows.items())
    )
