"""Attention over an unpadded row of blocks, as an attention implementation of transformers.

A block attends to itself only, and the branches of a block do not see each other, which is what computing a shared
prefix once needs ("Accelerating Direct Preference Optimization with Prefix Sharing", arXiv 2410.20305).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from trainer.packing import Block

NAME = "pair_blocks"


def register() -> None:
    """Make the implementation known to transformers under `NAME`."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    pair_blocks: Sequence[Block] | None = None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, tokens, size], key and value with as many or fewer heads → [1, tokens, heads, size].

    Without `pair_blocks` it is transformers' own SDPA attention.
    """
    if pair_blocks is None:
        out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)
        return out, None
    causal = bool(more.get("is_causal", module.is_causal))
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    parts = [_block(query, key, value, block, causal, scaling) for block in pair_blocks]
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _block(query: Tensor, key: Tensor, value: Tensor, block: Block, causal: bool, scaling: float | None) -> Tensor:
    rows = slice(block.start, block.start + block.length)
    mask = _mask(block, query.device) if len(block.branches) > 1 else None
    return scaled_dot_product_attention(
        query[:, :, rows],
        key[:, :, rows],
        value[:, :, rows],
        attn_mask=mask,
        is_causal=causal and mask is None,
        scale=scaling,
    )


def _mask(block: Block, device: torch.device) -> Tensor:
    """True where a token may look: back, but from one branch never into another."""
    mask = torch.ones(block.length, block.length, dtype=torch.bool, device=device).tril_()
    second = block.shared + block.branches[0]
    mask[second:, block.shared : second] = False
    return mask
