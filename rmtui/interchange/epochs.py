"""Epoch figures out of series that know steps only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rmtui.interchange.facts import Point, fraction
from rmtui.records.facts import Epoch

FIGURES = ("train_loss", "val_loss", "val_acc", "reward_margin")


def epochs_of(series: Mapping[str, Sequence[Point]]) -> tuple[Epoch, ...]:
    """Figures logged at steps at which the `epoch` series is a whole number; without that series none are known.

    An epoch's train_loss is, where it is not said, the mean of the losses logged in it.
    """
    epoch_at = {step: value for step, value, _ in _finite(series, ("epoch", "train/epoch"))}
    rows: dict[int, dict[str, float]] = {}
    for name in FIGURES:
        for step, value, _ in series.get(name, ()):
            epoch = epoch_at.get(step, 0.0)
            share = fraction(value) if name == "val_acc" else value
            if epoch >= 1 and epoch == int(epoch) and share is not None:
                rows.setdefault(int(epoch), {})[name] = share
    for epoch, loss in mean_losses(
        (epoch_at[step], value) for step, value, _ in series.get("loss", ()) if step in epoch_at
    ):
        if epoch in rows:
            rows[epoch].setdefault("train_loss", loss)
    return rows_to_epochs(rows)


def mean_losses(logged: Iterable[tuple[float, float]]) -> Iterator[tuple[int, float]]:
    """(epoch so far, loss) of logged steps → each epoch's mean: epoch 1.3 lies in the second."""
    by_epoch: dict[int, list[float]] = {}
    for epoch, loss in logged:
        by_epoch.setdefault(max(1, math.ceil(epoch)), []).append(loss)
    for number, losses in by_epoch.items():
        yield number, sum(losses) / len(losses)


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
