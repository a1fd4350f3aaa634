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
from trainer.data.sequences import Sequences
from trainer.model import varlen

NAME = "pair_blocks"
MORE_THAN_PRODUCTS = ("softcap", "s_aux", "position_bias")
"""What transformers hands to an attention whose scores are capped, biased, or have sinks."""
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
    pair_sequences: Sequences | None = None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, tokens, size], key and value with as many or fewer heads → [1, tokens, heads, size].

    Without `pair_blocks` it is transformers' own SDPA attention; with `pair_sequences`, the same blocks, it is one call
    where value is in half precision. Raises ValueError for scores that are more than scaled products.
    """
    if pair_blocks is None:
        out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)
        return out, None
    if any(more.get(name) is not None for name in MORE_THAN_PRODUCTS):
        raise ValueError("pair blocks are for attention by scaled products alone")
    causal = bool(more.get("is_causal", module.is_causal))
    alike = value.shape[-1] == query.shape[-1]
    if pair_sequences is not None and alike and value.dtype in varlen.FORMATS:
        return varlen.attend(query, key, value, pair_sequences, causal, scaling), None
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
            seen, apart = _one_head_each(asking, seen)
            found.append(_attend(asking, seen[0], seen[1], _mask(asking, seen[0]), False, scaling, apart))
    return torch.cat([part.transpose(1, 2) for part in found], dim=1), None


def _one_head_each(query: Tensor, seen: list[Tensor]) -> tuple[list[Tensor], bool]:
    """Keys and values, and whether their heads are fewer. On GPUs a mask beside grouped heads leaves only the kernel
    that writes out all scores, so each query head gets keys of its own there."""
    groups = query.shape[1] // seen[0].shape[1]
    if groups == 1 or query.device.type in FLOAT32_ON:
        return seen, groups > 1
    return [part.repeat_interleave(groups, dim=1) for part in seen], False


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
