"""One optimizer step: gradients are the mean over the step's pairs, whatever ranks and micro batches they are on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch.distributed.tensor import DTensor

from trainer.config import TrainConfig
from trainer.loop import optimizers, sharded
from trainer.model.reward import RewardModel

BUCKET_ELEMENTS = 8 * 1024 * 1024
SMALLEST_SCALE = 1.0
"""fp16: below this loss scale the overflow is not the format's fault."""


class NotFinite(RuntimeError):
    """A loss or gradient became NaN or infinite; the run cannot go on."""


@dataclass(slots=True)
class Sums:
    """What one rank adds up over its micro batches of a step. Metrics stay on the device until `settle`, since reading
    them makes a GPU wait."""

    loss: float = 0.0
    correct: float = 0.0
    margin: float = 0.0
    pairs: int = 0
    tokens: int = 0
    broken: list[str] = field(default_factory=list)
    """Pairs whose loss is not finite."""
    _ids: list[str] = field(default_factory=list)
    _figures: list[torch.Tensor] = field(default_factory=list)

    def add(self, ids: Sequence[str], losses: torch.Tensor, gaps: torch.Tensor, tokens: int) -> None:
        """One micro batch: loss and reward gap of each pair [n]."""
        self._ids += ids
        self._figures.append(torch.stack([losses, gaps]))
        self.tokens += tokens

    def settle(self) -> None:
        """Read the metrics; the losses are summed exactly, so that their order does not matter."""
        if not self._figures:
            return
        losses, gaps = torch.cat(self._figures, dim=1).tolist()
        self.broken = [one for one, loss in zip(self._ids, losses, strict=True) if not math.isfinite(loss)]
        self.loss = math.nan if self.broken else math.fsum(losses)
        self.correct = float(sum(gap > 0 for gap in gaps))
        self.margin = math.fsum(gaps)
        self.pairs = len(losses)

    def reduced(self, device: torch.device) -> Sums:
        """The sums over all ranks."""
        row = [self.loss, self.correct, self.margin, float(self.pairs), float(self.tokens)]
        loss, correct, margin, pairs, tokens = sum_over_ranks(row, device)
        return Sums(loss, correct, margin, int(pairs), int(tokens))


def sum_over_ranks(values: Sequence[float], device: torch.device) -> list[float]:
    """Element-wise sum over ranks, in float64."""
    return [sum(column) for column in zip(*every_rank(values, device), strict=True)]


def every_rank(values: Sequence[float], device: torch.device) -> list[list[float]]:
    """Each rank's values, by rank. The sum over them is then the same on every rank, to the bit."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [list(values)]
    mine = torch.tensor(values, dtype=torch.float64, device=device)
    gathered = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, mine)
    return [row.tolist() for row in gathered]


class Stepper:
    """Owns the optimizer and the model as it is called: a plain module whose gradients are summed over ranks here, or
    one that accelerate wrapped for FSDP or DeepSpeed, which average gradients over ranks by themselves."""

    def __init__(self, accelerator: Accelerator, reward_model: RewardModel, config: TrainConfig) -> None:
        self.accelerator = accelerator
        self.config = config
        self.sharded = sharded.is_sharded(accelerator)
        self.model: torch.nn.Module = reward_model if self.sharded else reward_model.to(accelerator.device)
        groups = decay_groups(reward_model, config.weight_decay)
        self.optimizer: Any = optimizers.make(config, groups, whole=not self.sharded)
        if self.sharded:
            self.model, self.optimizer = sharded.wrap(accelerator, reward_model, self.optimizer, config)
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        scaled = config.mixed_precision == "fp16" and not self.sharded
        self.scaler = torch.amp.GradScaler(accelerator.device.type, enabled=scaled)

    def begin(self, rate: float) -> None:
        """Set the step's learning rate; DeepSpeed steps inside its last backward, so this comes first."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
            if "betas" in group:
                group["betas"] = self.betas

    @property
    def betas(self) -> tuple[float, float]:
        """AdamW's; set at each step, since a checkpoint brings its own."""
        return 0.9, self.config.adam_beta2

    def backward(self, loss_sum: torch.Tensor, step_pairs: int, last: bool) -> None:
        """Add this micro batch's share of the mean over the whole step's pairs."""
        loss = loss_sum / step_pairs
        if self.sharded:
            self.accelerator.gradient_state._set_sync_gradients(last)
            self.accelerator.backward(loss * sharded.averaged_over(self.accelerator, self.config))
        else:
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    @property
    def overflow_only(self) -> bool:
        """fp16 gradients may overflow while the loss scale still has room to fall: the update is skipped, no more."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > SMALLEST_SCALE

    def finish(self) -> float:
        """Reduce, clip and apply the gradients; returns their norm before clipping. Where it is not finite no weight
        changes."""
        norm = self._sharded_norm() if self.sharded else self.clip()
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
        elif math.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def make_room(self) -> None:
        """Free the GPU for the process that checks the saved model; no step follows."""
        if self.accelerator.device.type == "cuda" and not self.sharded:
            self.optimizer.state.clear()
            self.model.to("cpu")
            torch.cuda.empty_cache()

    def clip(self) -> float:
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if self.accelerator.num_processes > 1:
            sum_gradients(gradients)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.config.max_grad_norm and bool(torch.isfinite(norm)):
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.config.max_grad_norm, norm)
        return float(norm)

    def _sharded_norm(self) -> float:
        limit = self.config.max_grad_norm or math.inf
        norm: Any = self.accelerator.clip_grad_norm_(self.model.parameters(), limit)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def decay_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay; biases and norms, which have one dimension, do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def sum_gradients(gradients: Iterable[torch.Tensor]) -> None:
    """All-reduce by sum, in place, in buckets of one flat buffer each."""
    bucket: list[torch.Tensor] = []
    held = 0
    for gradient in gradients:
        bucket.append(gradient)
        held += gradient.numel()
        if held >= BUCKET_ELEMENTS:
            _sum_bucket(bucket)
            bucket, held = [], 0
    if bucket:
        _sum_bucket(bucket)


def _sum_bucket(bucket: Sequence[torch.Tensor]) -> None:
    flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
    dist.all_reduce(flat)
    for gradient, summed in zip(bucket, torch.split(flat, [g.numel() for g in bucket]), strict=True):
        gradient.copy_(summed.view_as(gradient))
