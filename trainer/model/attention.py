"""Attention over an unpadded row of blocks, as an attention implementation of transformers.

A block attends to itself only, and the branches of a block do not see each other, which is what computing a shared
prefix once needs ("Accelerating Direct Preference Optimization with Prefix Sharing", arXiv 2410.20305).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from trainer.data.batches import Block

NAME = "pair_blocks"
FLOAT32_ON = frozenset({"cpu"})
"""Kinds of device where attention is always computed in float32: torch's backward on a CPU takes three times as long in
bf16."""


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
    sizes = [size for block in pair_blocks for size in pieces(block)]
    parts = zip(*(torch.split(part, sizes, dim=2) for part in (query, key, value)), strict=True)
    grouped = query.shape[1] != key.shape[1]
    found: list[Tensor] = []
    for block in pair_blocks:
        asking, keys, values = next(parts)
        found.append(_attend(asking, keys, values, None, causal, scaling, grouped))
        for _ in block.branches[1:]:
            asking, *own = next(parts)
            seen = [torch.cat([a[:, :, : block.shared], b], 2) for a, b in zip((keys, values), own, strict=True)]
            found.append(_attend(asking, seen[0], seen[1], _mask(asking, seen[0]), False, scaling, grouped))
    return torch.cat([part.transpose(1, 2) for part in found], dim=1), None


def pieces(block: Block) -> list[int]:
    """Runs of tokens that are attended together: the shared part with the first branch, then each other branch."""
    return [block.shared + block.branches[0], *block.branches[1:]]


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scaling: float | None, grouped: bool
) -> Tensor:
    """In value's format, unless `FLOAT32_ON` names the device: under autocast rotary embeddings leave query and key in
    float32, and the kernels want one format."""
    kept = value.dtype
    inside = torch.float32 if query.device.type in FLOAT32_ON else kept
    query, key, value = (part.to(inside) for part in (query, key, value))
    mask = None if mask is None else mask.to(inside)
    with torch.autocast(query.device.type, enabled=False):
        found = scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=causal, scale=scaling, enable_gqa=grouped
        )
    return found.to(kept)


def _mask(query: Tensor, key: Tensor) -> Tensor:
    """0 where a token may look and −∞ where not: the last query sees every key, the one before all but one, …"""
    asking, asked = query.shape[2], key.shape[2]
    blocked = torch.ones(asking, asked, dtype=torch.bool, device=query.device).triu_(asked - asking + 1)
    return torch.zeros(asking, asked, dtype=query.dtype, device=query.device).masked_fill_(blocked, -math.inf)
