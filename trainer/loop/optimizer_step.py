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


@dataclass(frozen=True, slots=True)
class Totals:
    """What an optimizer step came to over all ranks; the same on each of them but for `broken`."""

    loss: float
    """Sum over the pairs, exact, so that their order does not matter; NaN where one is not finite."""
    correct: float
    margin: float
    pairs: int
    tokens: int
    norm: float
    """Of the gradient, before clipping."""
    broken: list[str]
    """Pairs of this rank whose loss is not finite."""
    flags: list[bool]
    """Each flag of the ranks, where any has raised it."""

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.norm)


@dataclass(slots=True)
class Sums:
    """What one rank gathers over its micro batches of a step. It stays on the device until `read`, since reading makes
    a GPU wait."""

    tokens: int = 0
    _ids: list[str] = field(default_factory=list)
    _figures: list[torch.Tensor] = field(default_factory=list)

    def add(self, ids: Sequence[str], losses: torch.Tensor, gaps: torch.Tensor, tokens: int) -> None:
        """One micro batch: loss and reward gap of each pair [n]."""
        self._ids += ids
        self._figures.append(torch.stack([losses, gaps]))
        self.tokens += tokens

    def fault(self, device: torch.device) -> torch.Tensor:
        """[1] on the device: 0 where every loss of this rank is finite, else NaN."""
        return sum((figures[0].sum() * 0 for figures in self._figures), torch.zeros(1, device=device))

    def read(self, norm: torch.Tensor, flags: Sequence[bool], most: int, device: torch.device) -> Totals:
        """All of a step's numbers in one read of the device. `most`: pairs of the rank that has the most."""
        held = [len(self._ids), self.tokens, *flags]
        figures = torch.cat([*self._figures, torch.zeros(2, most - len(self._ids), device=device)], dim=1)
        row = torch.cat([norm.reshape(1).double(), figures.double().flatten()])
        if ranks() > 1:
            row = torch.cat([row, torch.tensor(held, dtype=torch.float64, device=device)])
            rows = [torch.empty_like(row) for _ in range(ranks())]
            dist.all_gather(rows, row)
            everyone = torch.stack(rows).tolist()
            mine = everyone[dist.get_rank()]
        else:
            everyone = [mine := [*row.tolist(), *map(float, held)]]
        return _totals(everyone, mine, most, self._ids)


def _totals(everyone: Sequence[Sequence[float]], mine: Sequence[float], most: int, ids: Sequence[str]) -> Totals:
    """From each rank's row: norm, losses, gaps, number of pairs, tokens, flags."""
    losses: list[float] = []
    gaps: list[float] = []
    for row in everyone:
        pairs = int(row[1 + 2 * most])
        losses += row[1 : 1 + pairs]
        gaps += row[1 + most : 1 + most + pairs]
    _, tokens, *flags = zip(*(row[1 + 2 * most :] for row in everyone), strict=True)
    whole = all(map(math.isfinite, losses))
    return Totals(
        loss=math.fsum(losses) if whole else math.nan,
        correct=float(sum(gap > 0 for gap in gaps)),
        margin=math.fsum(gaps) if whole else math.nan,
        pairs=len(losses),
        tokens=int(sum(tokens)),
        norm=mine[0],
        broken=[one for one, loss in zip(ids, mine[1:], strict=False) if not math.isfinite(loss)],
        flags=[any(flag) for flag in flags],
    )


def ranks() -> int:
    """Processes of this training."""
    return dist.get_world_size() if dist.is_initialized() else 1


def every_rank(values: Sequence[float], device: torch.device) -> list[list[float]]:
    """Each rank's values, by rank."""
    if ranks() == 1:
        return [list(values)]
    mine = torch.tensor(values, dtype=torch.float64, device=device)
    gathered = [torch.empty_like(mine) for _ in range(ranks())]
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

    @property
    def guarded(self) -> bool:
        """The optimizer itself leaves weights alone on the device where a gradient is not finite, so that the host may
        look afterwards: torch's fused AdamW."""
        return self.config.optimizer == "adamw" and not self.sharded

    def reduce(self, fault: torch.Tensor) -> torch.Tensor:
        """Sum gradients over ranks and clip them; returns their norm before clipping, on the device. `fault` [1] is 0,
        or NaN where a loss of this rank is not finite; the norm is then NaN on every rank."""
        return self._sharded_norm() if self.sharded else self.clip(fault)

    def update(self, norm: torch.Tensor, finite: bool = True) -> None:
        """Apply the gradients; where their norm is not finite no weight changes: what is not `guarded` is told by
        `finite`."""
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
        elif self.guarded:
            self.optimizer.found_inf = torch.isfinite(norm).logical_not().float()
            self.optimizer.step()
            del self.optimizer.found_inf
        elif finite:
            self.optimizer.step()
        self.optimizer.zero_grad()

    def make_room(self) -> None:
        """Free the GPU for the process that checks the saved model; no step follows."""
        if self.accelerator.device.type == "cuda" and not self.sharded:
            self.optimizer.state.clear()
            self.model.to("cpu")
            torch.cuda.empty_cache()

    def clip(self, fault: torch.Tensor) -> torch.Tensor:
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if self.accelerator.num_processes > 1:
            sum_gradients([*gradients, fault])
        if self.scaler.is_enabled():
            gradients[0].add_(fault)  # the scaler looks at gradients alone
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.get_total_norm(gradients) + fault[0]
        if self.config.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.config.max_grad_norm, norm)
        return norm

    def _sharded_norm(self) -> torch.Tensor:
        limit = self.config.max_grad_norm or math.inf
        norm: Any = self.accelerator.clip_grad_norm_(self.model.parameters(), limit)
        return (
            norm.full_tensor() if isinstance(norm, DTensor) else torch.as_tensor(norm, device=self.accelerator.device)
        )


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
