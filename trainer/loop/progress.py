"""The state of a training between two optimizer steps: what a resume needs beside weights and optimizer. No torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from trainer.best import rank


@dataclass(slots=True)
class Progress:
    """The loop's own state. An epoch's end is stored as (epoch + 1, position 0)."""

    step: int = 0
    """Optimizer steps done."""
    epoch: int = 0
    """The epoch in progress, from 0."""
    position: int = 0
    """Optimizer steps done in this epoch."""
    loss_sum: float = 0.0
    """Sum of this epoch's pair losses, as they were trained."""
    pair_count: int = 0
    token_count: int = 0
    """Tokens of all training forwards so far."""
    evaluation_due: bool = False
    """Stopped between a step and the evaluation it calls for; a resume evaluates first."""
    best_value: float | None = None
    best_loss: float = math.inf
    """val_loss of the best evaluation."""
    best_step: int = 0
    stale: int = 0
    """Evaluations since the best one."""
    done: str = ""
    """Why no step follows, in words; empty while training."""

    @property
    def train_loss(self) -> float:
        """Pair-weighted mean over the epoch so far."""
        return self.loss_sum / max(1, self.pair_count)

    def epochs(self, steps_per_epoch: int) -> float:
        """Epochs done, fractional inside an epoch."""
        return self.epoch + self.position / steps_per_epoch

    def stepped(self, loss_sum: float, pairs: int, tokens: int) -> None:
        """Count one optimizer step."""
        self.step += 1
        self.position += 1
        self.loss_sum += loss_sum
        self.pair_count += pairs
        self.token_count += tokens

    def next_epoch(self, num_epochs: int) -> None:
        """Turn to the following epoch, or be done."""
        self.epoch, self.position, self.loss_sum, self.pair_count = self.epoch + 1, 0, 0.0, 0
        if self.epoch >= num_epochs and not self.done:
            self.done = f"all {num_epochs} epochs are done" if num_epochs > 1 else "the epoch is done"

    def forget_best(self) -> None:
        """The next evaluation is the best so far."""
        self.best_value, self.best_loss, self.best_step, self.stale = None, math.inf, 0, 0

    def judge(self, metrics: Mapping[str, float], metric: str, patience: int) -> bool:
        """Take in an evaluation; true when it is the best so far (see `trainer.best`).

        Evaluations of one val_acc are common on few pairs: the lower val_loss decides.
        """
        value, loss = metrics[metric], metrics["val_loss"]
        if self.best_value is None or _better((value, loss), (self.best_value, self.best_loss), metric):
            self.best_value, self.best_loss, self.best_step, self.stale = value, loss, self.step, 0
            return True
        self.stale += 1
        if patience and self.stale >= patience:
            self.done = f"early stopping after {self.stale} evaluations without a better value"
        return False


def _better(now: tuple[float, float], before: tuple[float, float], metric: str) -> bool:
    """Of two (value of the metric, val_loss)."""
    first, second = rank(now[0], now[1], metric), rank(before[0], before[1], metric)
    return first is not None and (second is None or first > second)


def rescaled(progress: Progress, before: int, now: int) -> Progress:
    """The same share of the training where an epoch had `before` steps and has `now`: for inexact resumes."""
    position = now if progress.position == before else min(now - 1, round(progress.position * now / before))
    return replace(
        progress,
        position=position,
        step=progress.epoch * now + position,
        best_step=round(progress.best_step * now / before),
    )


def to_row(progress: Progress) -> dict[str, object]:
    """Plain JSON values; Python writes floats so that they come back bit by bit."""
    return asdict(progress)


def from_row(row: Mapping[str, Any]) -> Progress:
    """The inverse of `to_row`; what an older version did not write takes its default."""
    return Progress(**{item.name: row[item.name] for item in fields(Progress) if item.name in row})


def forward_seed(seed: int, rank: int, micro_step: int) -> int:
    """Seed of one forward pass's dropout: a function of its place, so that no random state has to be saved."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{rank}:{micro_step}".encode()).digest()[:8], "big") >> 1
