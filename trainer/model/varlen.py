"""One attention call a layer over a whole row of pair blocks, on GPUs in bf16 or fp16: flash attention with sequence
bounds ("FlashAttention-2", arXiv 2307.08691).

Pair by pair a layer takes two calls a pair, nearly each with lengths of its own. Whether the one call is right is tried
on the card before it is used; everything else falls back and says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention

from trainer.data.sequences import Sequences, sequences_of

FORMATS = (torch.bfloat16, torch.float16)
FIRST = (8, 0)
"""Compute capability of the first cards with these kernels (Ampere)."""
AGREE = 0.03
"""Of the largest value: how far the one call and float32 may differ in half precision, outputs and gradients."""
ARGUMENTS = ("query", "key", "value", "cum_seq_q", "cum_seq_k", "max_q", "max_k", "dropout_p", "is_causal")
ARGUMENTS_AFTER = ("return_debug_mask", "scale")
TRIED = ((0, 5, (7, 3)), (15, 0, (4,)), (19, 0, (6,)), (25, 9, (1, 12)))
"""Blocks of the trial: (start, shared, branches)."""
Kernel = Callable[[Tensor, Tensor, Tensor, Sequences, bool, "float | None"], Tensor]


def flash(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, causal: bool, scale: float | None) -> Tensor:
    """query [tokens, heads, size], key and value [keys, as many or fewer heads, size] → [tokens, heads, size]. Causal:
    the last query of a sequence sees all its keys, the one before all but one, …"""
    queries, keys = sequences.bounds
    longest = (sequences.longest_query, sequences.longest_key)
    found: Any = torch.ops.aten._flash_attention_forward(
        query, key, value, queries, keys, *longest, 0.0, causal, False, scale=scale
    )
    out: Tensor = found[0]
    return out


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sequences: Sequences,
    causal: bool,
    scale: float | None,
    kernel: Kernel | None = None,
) -> Tensor:
    """query [1, heads, tokens, size], key and value with as many or fewer heads → [1, tokens, heads, size], in value's
    format."""
    query, key, value = (part.squeeze(0).transpose(0, 1).to(value.dtype) for part in (query, key, value))
    if sequences.repeats:
        key, value = (laid_out(part, sequences) for part in (key, value))
    with torch.autocast(query.device.type, enabled=False):
        return (kernel or flash)(query, key, value, sequences, causal, scale)[None]


def laid_out(x: Tensor, sequences: Sequences) -> Tensor:
    """x [tokens, …] → [keys, …]."""
    apply: Any = LaidOut.apply
    found: Tensor = apply(x, *sequences.split())
    return found


class LaidOut(torch.autograd.Function):
    """Rows of x by index. The gradient of each token's own copy is gathered, those of further copies are added."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor, own: Tensor, shared: Tensor, shared_at: Tensor) -> Tensor:
        ctx.save_for_backward(own, shared, shared_at)
        return x.index_select(0, source)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        own, shared, shared_at = ctx.saved_tensors
        found = grad.index_select(0, own).index_add_(0, shared, grad.index_select(0, shared_at))
        return found, None, None, None, None


def why_not(device: torch.device, dtype: torch.dtype | None, config: Any, kernel: Kernel | None = None) -> str:
    """Why a model of this configuration cannot attend in one call here; empty where it can, which was tried."""
    if dtype not in FORMATS:
        return "it takes bf16 or fp16"
    if kernel is None:
        if device.type != "cuda":
            return "it is for GPUs"
        if torch.cuda.get_device_capability(device) < FIRST:
            return "the card is older than Ampere"
        if not has_flash():
            return f"torch {torch.__version__} calls its flash attention otherwise"
    try:
        heads = int(config.num_attention_heads)
        grouped = int(getattr(config, "num_key_value_heads", None) or heads)
        size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
        gap = max(trial(heads, grouped, size, device, dtype, causal, kernel) for causal in (True, False))
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        return f"this torch or card refuses it: {str(error).splitlines()[0]}"
    return "" if gap <= AGREE else f"tried on the card, it differs by {gap:.2g} of the largest value"


def has_flash() -> bool:
    """Whether torch's flash attention has the arguments that are handed to it here."""
    found = getattr(torch.ops.aten, "_flash_attention_forward", None)
    names = [] if found is None else [argument.name for argument in found.default._schema.arguments]
    return tuple(names[: len(ARGUMENTS)]) == ARGUMENTS and set(ARGUMENTS_AFTER) <= set(names)


def trial(
    heads: int, grouped: int, size: int, device: torch.device, dtype: torch.dtype, causal: bool, kernel: Kernel | None
) -> float:
    """Largest difference to float32 by masks, of outputs and gradients, as a share of the largest value."""
    start, shared, branches = TRIED[-1]
    tokens, sequences = start + shared + sum(branches), sequences_of(TRIED).to(device)
    generator = torch.Generator().manual_seed(0)
    shapes = ((1, heads, tokens, size), (1, grouped, tokens, size), (1, grouped, tokens, size))
    drawn = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
    along = torch.randn(1, tokens, heads, size, generator=generator)
    half = [part.detach().to(device).requires_grad_() for part in drawn]
    wide = [part.detach().float().requires_grad_() for part in drawn]
    fast = attend(half[0], half[1], half[2], sequences, causal, None, kernel)
    slow = by_mask(wide[0], wide[1], wide[2], causal)
    torch.autograd.backward([fast, slow], [along.to(device, dtype), along])
    gaps = [_gap(fast.detach(), slow.detach())]
    gaps += [_gap(one.grad, other.grad) for one, other in zip(half, wide, strict=True)]
    return max(gaps)


def _gap(one: Tensor | None, other: Tensor | None) -> float:
    assert one is not None and other is not None
    gap = (one.cpu().float() - other).abs().max() / other.abs().max()
    return float(gap) if bool(torch.isfinite(gap)) else float("inf")


def by_mask(query: Tensor, key: Tensor, value: Tensor, causal: bool) -> Tensor:
    """The blocks of the trial by one mask over all tokens: what the one call has to equal."""
    tokens = query.shape[2]
    seen = torch.zeros(tokens, tokens, dtype=torch.bool)
    for start, shared, branches in TRIED:
        at = start + shared
        seen[start:at, start : at + branches[0]] = True  # the shared part goes with the first branch
        for size in branches:
            seen[at : at + size, start : start + shared] = True
            seen[at : at + size, at : at + size] = True
            at += size
    if causal:
        seen &= torch.ones_like(seen).tril_()
    found = scaled_dot_product_attention(query, key, value, attn_mask=seen, enable_gqa=query.shape[1] != key.shape[1])
    return found.transpose(1, 2)
