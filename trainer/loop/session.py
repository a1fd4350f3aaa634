"""The training session: everything that setup made and the loop, checkpoints and reports work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

from trainer.config import TrainConfig
from trainer.data.batches import StepBatches, epoch_batches
from trainer.data.pairset import PairSet
from trainer.estimate import Derived
from trainer.heartbeat import Heartbeat
from trainer.loop.optimizer_step import Stepper
from trainer.loop.progress import Progress
from trainer.loop.reporter import Reporter
from trainer.model import reward as model
from trainer.request import Moment, Request
from trainer.signals import StopRequest
from trainer.spec import Spec


@dataclass(slots=True)
class Session:
    """What the loop works on."""

    spec: Spec
    request: Request
    config: TrainConfig
    accelerator: Accelerator
    model: model.RewardModel
    tokenizer: Any
    train: PairSet
    validation: dict[str, PairSet]
    """By name; the set named "" decides which checkpoint is the best."""
    derived: Derived
    stepper: Stepper
    progress: Progress
    reporter: Reporter
    heartbeat: Heartbeat
    stop: StopRequest
    moment: Moment
    facts: dict[str, Any]
    """What a resume compares."""
    resumed: bool

    @property
    def sharded(self) -> bool:
        """FSDP or DeepSpeed: every forward and every save needs all ranks."""
        return self.stepper.sharded

    @property
    def rank(self) -> int:
        return self.request.rank

    @property
    def world_size(self) -> int:
        return self.request.world_size

    @property
    def device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    @property
    def micro_step(self) -> int:
        """Of the next training step's first micro batch. Cut by tokens, a step has at most one a pair."""
        by_tokens = self.derived.effective_batch if self.config.batch_tokens else 0
        return self.progress.step * (by_tokens or self.config.gradient_accumulation_steps)

    def batches(self, epoch: int) -> list[StepBatches]:
        """What this rank computes in each optimizer step of an epoch."""
        pairs, layout = self.train, self.model.layout
        return epoch_batches(pairs.pairs, self.config, epoch, self.world_size, self.rank, layout, pairs.shares)

    def beat(self, doing: str, done: int = 0, of: int = 0) -> None:
        """A sign of life between training steps."""
        self.heartbeat.beat(self.progress.step, self.micro_step, doing, done, of)
