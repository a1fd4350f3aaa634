"""The optimizers of the option `optimizer`: torch's AdamW, bitsandbytes' AdamW with 8-bit states, and Adafactor."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from accelerate import Accelerator
from transformers.optimization import Adafactor

from trainer.config import TrainConfig
from trainer.loop import sharded
from trainer.spec import Refused

INEXACT = frozenset(("adamw8bit",))
"""Optimizers whose resume is not promised to the bit."""


def refuse_impossible(config: TrainConfig, accelerator: Accelerator) -> None:
    """Raises Refused, before anything is loaded, where an optimizer would not compute what it promises."""
    if config.optimizer == "adamw":
        return
    if sharded.is_sharded(accelerator):
        raise Refused(
            f"optimizer = {config.optimizer} is not for a model that is split over ranks: each rank would see the rows "
            "and blocks of its own part only; set optimizer = adamw"
        )
    if config.optimizer == "adamw8bit" and accelerator.device.type != "cuda":
        raise Refused(
            f"optimizer = adamw8bit computes on CUDA GPUs, and this is {accelerator.device.type}; set optimizer = "
            "adamw, or adafactor, which takes little memory everywhere"
        )


def make(config: TrainConfig, groups: list[dict[str, object]], whole: bool) -> Any:
    """The optimizer over `decay_groups`. `whole`: the model is not split over ranks.

    Adafactor (Shazeer and Stern 2018, arXiv 1804.04235) without a first moment, its rate the schedule's and not
    relative to the weights, as transformers' Trainer runs it. 8-bit states: Dettmers et al. 2021, arXiv 2110.02861.
    """
    betas = 0.9, config.adam_beta2
    if config.optimizer == "adafactor":
        factored: Any = Adafactor
        return factored(groups, lr=config.learning_rate, scale_parameter=False, relative_step=False)
    if config.optimizer == "adamw8bit":
        optional: Any = importlib.import_module("bitsandbytes.optim")
        return optional.AdamW8bit(groups, lr=config.learning_rate, betas=betas)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=betas, fused=True if whole else None)
