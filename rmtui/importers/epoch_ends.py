"""Which places of a training are ends of epochs.

A Trainer that drops an incomplete batch counts 0.996, 1.992, 2.988: those are the ends of three epochs, and only the
steps of an epoch, or how the training ended, can say so. No other place is rounded to an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rmtui.importers.source_rows import Said
from rmtui.runs.model import Epoch

_SHORT = 0.1
"""Share of an epoch that may be missing where a training of whole epochs ends."""
_EXACT = 1e-3
FIGURES = ("train_loss", "val_loss", "val_acc", "val_pairs", "reward_margin")


@dataclass(frozen=True, slots=True)
class EpochEnds:
    """How epochs are counted in one training."""

    scale: float
    """What an epoch as written is multiplied with to give passes over the data."""

    @classmethod
    def of(cls, said: Said, step: float | None, epoch: float | None, evaluated: Sequence[float]) -> EpochEnds:
        """`step` and `epoch`: where the source ends; `evaluated`: epochs of its evaluations, as written."""
        if not epoch:
            return cls(1.0)
        return cls(_by_steps(said, step, epoch) or _by_end(said, epoch) or _by_spacing(evaluated) or 1.0)

    def epoch(self, epoch: float) -> float:
        """Passes over the data at an epoch as written."""
        found = epoch * self.scale
        return float(round(found)) if abs(found - round(found)) < _EXACT else epoch

    def end(self, epoch: float) -> int | None:
        """Which epoch ends at a place; None where none does."""
        found = self.epoch(epoch)
        return int(found) if found >= 1 and found == int(found) else None


def _by_steps(said: Said, step: float | None, epoch: float) -> float | None:
    """All steps and all epochs are known, and one is a multiple of the other."""
    if not (said.total_steps and said.num_epochs and step) or said.total_steps % said.num_epochs:
        return None
    share = step * said.num_epochs / said.total_steps / epoch
    return share if 1 <= share <= 1 + _SHORT else None


def _by_end(said: Said, epoch: float) -> float | None:
    """The training is over, a little short of whole epochs."""
    wanted = said.num_epochs or math.ceil(epoch)
    return wanted / epoch if said.over and 0 < wanted - epoch <= _SHORT else None


def _by_spacing(evaluated: Sequence[float]) -> float | None:
    """Every evaluation comes after the same little less than an epoch."""
    if len(evaluated) < 2 or not 1 - _SHORT <= evaluated[0] < 1:
        return None
    spaced = all(abs(at - number * evaluated[0]) < _EXACT * number for number, at in enumerate(evaluated, 1))
    return 1 / evaluated[0] if spaced else None


def mean_losses(logged: Iterable[tuple[float, float]]) -> Iterator[tuple[int, float]]:
    """(epoch so far, loss) of logged steps → each epoch's mean: epoch 1.3 lies in the second."""
    by_epoch: dict[int, list[float]] = {}
    for epoch, loss in logged:
        by_epoch.setdefault(max(1, math.ceil(epoch - _EXACT)), []).append(loss)
    for number, losses in by_epoch.items():
        yield number, sum(losses) / len(losses)


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
