"""Sizes before anything is loaded: parameters, memory, steps and time from a model folder and a configuration.

No torch here: forms ask while a person types.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.config import TrainConfig

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Derived:
    """Everything that follows from a configuration, the number of training pairs and the processes."""

    train_pairs: int
    world_size: int
    effective_batch: int
    """Pairs an optimizer step: batch_size × gradient_accumulation_steps × processes."""
    steps_per_epoch: int
    last_step_pairs: int
    """Pairs in an epoch's last step, at most the effective batch; its gradient is the mean over these."""
    total_steps: int
    warmup_steps: int
    evaluations: int
    checkpoints: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Estimated parameters and peak memory of a training. Bytes are of one process."""

    parameters: int
    trainable: int
    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int

    @property
    def total_bytes(self) -> int:
        """Peak memory of one process, without what the runtime itself takes."""
        return self.weights_bytes + self.gradients_bytes + self.optimizer_bytes + self.activations_bytes


def derive(config: TrainConfig, train_pairs: int, world_size: int) -> Derived:
    """Steps, warm-up and counts; the trainer itself uses these figures."""
    effective = config.batch_size * config.gradient_accumulation_steps * world_size
    per_epoch = max(1, math.ceil(train_pairs / effective))
    total = per_epoch * config.num_epochs
    return Derived(
        train_pairs=train_pairs,
        world_size=world_size,
        effective_batch=effective,
        steps_per_epoch=per_epoch,
        last_step_pairs=train_pairs - (per_epoch - 1) * effective,
        total_steps=total,
        warmup_steps=int(config.warmup_ratio * total),
        evaluations=_times(config.eval_steps, per_epoch, config.num_epochs),
        checkpoints=_times(config.save_steps, per_epoch, config.num_epochs),
    )


def _times(every: int, per_epoch: int, epochs: int) -> int:
    """How often something happens that is due each `every` steps (0: never) and at each epoch's end."""
    if not every:
        return epochs
    total = per_epoch * epochs
    return epochs + total // every - total // math.lcm(every, per_epoch)


def seconds(derived: Derived, num_epochs: int, seconds_per_pair: float) -> float:
    """Training time from the seconds that a pair took in an earlier run on the same machine."""
    return derived.train_pairs * num_epochs * seconds_per_pair
