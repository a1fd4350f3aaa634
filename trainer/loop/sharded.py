"""Models that accelerate splits over ranks: FSDP and DeepSpeed. Every function here is called by every rank.

Both are tested on CPU ranks, DeepSpeed (ZeRO 2) where it is installed; neither has run on several GPUs yet.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import accelerate
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from trainer.config import TrainConfig
from trainer.model.reward import RewardModel
from trainer.spec import Refused

DEEPSPEED_FOLDER = "deepspeed"
INNER = "inner."
"""Where the saved model's names begin inside RewardModel's."""


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether the launcher's configuration asks for FSDP or DeepSpeed."""
    return accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)


def load_whole() -> None:
    """Have every rank read the whole model before it is split, called before the accelerator is made.

    accelerate's launcher lets all ranks but the first start with empty weights by default; but which layout is exact
    for a model, and whether every rank starts from the same weights, is tried on the weights themselves.
    """
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"


def refuse_unless_sharded(accelerator: Accelerator) -> None:
    """accelerate passes over FSDP and DeepSpeed in silence where it does not do them; a run that was to be split over
    ranks must not start whole on each. Raises Refused."""
    for name, flag in (("FSDP", "ACCELERATE_USE_FSDP"), ("DeepSpeed", "ACCELERATE_USE_DEEPSPEED")):
        if os.environ.get(flag, "false").lower() == "true" and not is_sharded(accelerator):
            kind, ranks = accelerator.distributed_type.value, accelerator.num_processes
            raise Refused(
                f"the accelerate configuration asks for {name}, which accelerate {accelerate.__version__} takes up on "
                f"several GPUs or other accelerators only; here it runs {kind} with {ranks} processes on "
                f"{accelerator.device.type}. Launch without --accelerate-config, or on GPUs"
            )


def wrap(
    accelerator: Accelerator, reward_model: RewardModel, optimizer: torch.optim.Optimizer, config: TrainConfig
) -> tuple[torch.nn.Module, Any]:
    """The split model and its optimizer."""
    # accelerate looks for the layers to split at on the model it gets, which is not transformers' own here.
    split_at: Any = reward_model.classifier._no_split_modules
    reward_model._no_split_modules = split_at
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        accelerator.state.deepspeed_plugin.deepspeed_config.update(
            train_micro_batch_size_per_gpu=config.batch_size,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            gradient_clipping=config.max_grad_norm,
        )
    wrapped, prepared = accelerator.prepare(reward_model, optimizer)
    return wrapped, prepared


def averaged_over(accelerator: Accelerator, config: TrainConfig) -> int:
    """What the split model's backward pass divides by: both average over ranks, DeepSpeed over micro batches too."""
    ranks: int = accelerator.num_processes
    deepspeed = accelerator.distributed_type == DistributedType.DEEPSPEED
    return ranks * config.gradient_accumulation_steps if deepspeed else ranks


def weights(accelerator: Accelerator, wrapped: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The whole state of RewardModel.inner on rank 0, on the CPU; the other ranks get an empty or partial one."""
    state = accelerator.get_state_dict(wrapped)
    return {name.removeprefix(INNER): weight for name, weight in state.items()}


def save_optimizer(accelerator: Accelerator, wrapped: torch.nn.Module, optimizer: Any, folder: Path) -> Any:
    """FSDP: the whole optimizer state on rank 0, to be saved by the caller. DeepSpeed writes files of its own."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        accelerator.wait_for_everyone()
        engine: Any = wrapped
        engine.save_checkpoint(str(folder / DEEPSPEED_FOLDER))
        return {}
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return get_optimizer_state_dict(wrapped, optimizer.optimizer, options=options)


def load_optimizer(
    accelerator: Accelerator, wrapped: torch.nn.Module, optimizer: Any, folder: Path, state: Any
) -> None:
    """The inverse of `save_optimizer`."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        engine: Any = wrapped
        engine.load_checkpoint(str(folder / DEEPSPEED_FOLDER))
        return
    options = StateDictOptions(full_state_dict=True)
    set_optimizer_state_dict(wrapped, optimizer.optimizer, optim_state_dict=state, options=options)
