"""Which number format a forward pass computes in. `auto` is decided where it trains, by the GPUs there; a resume keeps
what its checkpoint was trained in. No torch."""

from __future__ import annotations

from collections.abc import Sequence

AUTO = "auto"
BF16_SINCE = (8, 0)
"""CUDA compute capability of the first cards with bf16 in their tensor cores (Ampere)."""
Capability = tuple[int, int]


def resolve(asked: str, gpus: Sequence[Capability], before: str = "") -> str:
    """`no`, `bf16` or `fp16` on devices of these capabilities; none of them: a CPU. `before` is the format of the
    checkpoint that a resume starts from."""
    if asked != AUTO:
        return asked
    has_bf16 = bool(gpus) and min(gpus) >= BF16_SINCE
    if before and (has_bf16 or before != "bf16"):
        return before
    return "bf16" if has_bf16 else "no"


def format_precision(asked: str, resolved: str, gpus: int) -> str:
    """`bf16 (auto: the GPU has it)`, `float32 (auto: no GPU)`, `fp16`."""
    name = "float32" if resolved == "no" else resolved
    if asked != AUTO:
        return name
    if not gpus:
        return f"{name} (auto: no GPU)"
    whose = "the GPU has" if gpus == 1 else "every GPU has"
    return f"{name} (auto: {whose} it)" if resolved == "bf16" else f"{name} (auto: a GPU without bf16, or a resume)"
