"""Epoch figures out of series that know steps only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rmtui.importers.model import Point, fraction
from rmtui.runs.model import Epoch

FIGURES = ("train_loss", "val_loss", "val_acc", "val_pairs", "reward_margin")


def epochs_of(series: Mapping[str, Sequence[Point]]) -> tuple[Epoch, ...]:
    """Figures logged at steps at which the `epoch` series is a whole number; without that series none are known.

    An epoch's train_loss is, where it is not said, the mean of the losses logged in it, if all losses say where they
    lie: with epochs told at their ends only, the mean would be that of a last step.
    """
    epoch_at = {step: value for step, value, _ in _finite(series, ("epoch", "train/epoch"))}
    rows: dict[int, dict[str, float]] = {}
    for name in FIGURES:
        for step, value, _ in series.get(name, ()):
            epoch = epoch_at.get(step, 0.0)
            share = fraction(value) if name == "val_acc" else value
            if epoch >= 1 and epoch == int(epoch) and share is not None:
                rows.setdefault(int(epoch), {})[name] = share
    losses = [(epoch_at.get(step), value) for step, value, _ in series.get("loss", ())]
    placed = [(epoch, value) for epoch, value in losses if epoch is not None]
    for number, loss in mean_losses(placed) if len(placed) == len(losses) else ():
        if number in rows:
            rows[number].setdefault("train_loss", loss)
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
            val_pairs=_count(row.get("val_pairs")),
            reward_margin=row.get("reward_margin"),
        )
        for epoch, row in sorted(rows.items())
    )


def _count(value: float | None) -> int | None:
    """A number of pairs; None for what is none."""
    return int(value) if value is not None and math.isfinite(value) and 0 < value == int(value) else None
