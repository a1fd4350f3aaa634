"""The pairwise Bradley-Terry loss, in float32 whatever the model computes in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from trainer.config import TrainConfig


def pair_loss(chosen: Tensor, rejected: Tensor, margin: Tensor | None, config: TrainConfig) -> Tensor:
    """Loss of each pair [n] from the rewards of both sides [n].

    −log σ(d) with d = chosen − rejected − margin (Bradley and Terry 1952; the margin is Llama 2's, arXiv
    2307.09288, and counts only with `use_margin`); with label smoothing ε, (1 − ε)·−log σ(d) + ε·−log σ(−d);
    plus c·(chosen + rejected)², which keeps rewards near 0 (arXiv 2312.09244).
    """
    chosen, rejected = chosen.float(), rejected.float()
    gap = chosen - rejected
    if config.use_margin and margin is not None:
        gap = gap - margin.to(gap)
    loss = -logsigmoid(gap)
    if config.label_smoothing:
        loss = (1 - config.label_smoothing) * loss - config.label_smoothing * logsigmoid(-gap)
    if config.center_rewards_coefficient:
        loss = loss + config.center_rewards_coefficient * torch.square(chosen + rejected)
    return loss
