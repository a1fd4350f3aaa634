"""LoRA's forward and backward as one function: y = xWᵀ + s · drop(x)AᵀBᵀ, for peft's plain linear adapters.

It computes what peft computes, to rounding, with fewer passes over memory: sums go into the matrix products, and of the
dropped input only its mask is kept for the backward pass, a byte an element.
"""

from __future__ import annotations

from collections.abc import Container
from types import MethodType
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}
MERGE_FROM = 1024
"""Without gradients, from this many tokens on, adding the adapter to the weight costs less than applying it."""
FUSED = "_fused"
"""Attribute of a module that was fused: whether it computes so; if not, as its library does."""
ROUNDED = "_rounded"
"""Attribute of an activation: (its version, itself in autocast's format)."""
LANE = 1 << 16
"""Dropout draws 16 bits an element: p is rounded to 1/65536, and the scale follows the rounded p."""


def fuse(model: PeftModel, precision: str = "no", exact: Container[nn.Module] = ()) -> int:
    """Let the model's plain LoRA modules compute with `AdaptedLinear`; returns how many.

    With bf16 or fp16 their frozen weights are kept in that format, to which autocast would round them in each forward;
    not those of `exact` modules, which run outside autocast.
    """
    fused = [module for module in model.modules() if isinstance(module, LoraLinear) and is_plain(module)]
    for module in fused:
        vars(module).update({"forward": MethodType(forward, module), FUSED: True})
        if precision in FORMATS and module not in exact:
            weight = module.get_base_layer().weight
            weight.data = weight.data.to(FORMATS[precision])
    return len(fused)


def is_plain(module: LoraLinear) -> bool:
    """One trained adapter over a frozen nn.Linear; no variant, bias, merge or mixed batch."""
    base = module.get_base_layer()
    names = module.active_adapters
    if type(base) is not nn.Linear or len(names) != 1 or module.lora_variant or module.fan_in_fan_out:
        return False
    bias = module.lora_B[names[0]].bias is not None
    return not bias and not base.weight.requires_grad and not module.merged


def forward(module: Any, x: Tensor) -> Tensor:
    """Stands in for `peft.tuners.lora.Linear.forward`."""
    if module.disable_adapters or module.merged or not vars(module).get(FUSED, True):
        return LoraLinear.forward(module, x)
    name = module.active_adapters[0]
    dropout = module.lora_dropout[name]
    share = dropout.p if module.training and isinstance(dropout, nn.Dropout) else 0.0
    base, down, up = module.get_base_layer(), module.lora_A[name].weight, module.lora_B[name].weight
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, down, up = rounded(x, dtype), down.to(dtype), up.to(dtype)
    weight, bias = base.weight.to(x.dtype), None if base.bias is None else base.bias.to(x.dtype)
    if not torch.is_grad_enabled() and not share and x.dtype == torch.float32 and x.numel() > MERGE_FROM * x.shape[-1]:
        return linear(x, torch.addmm(weight, up, down, alpha=module.scaling[name]), bias)
    apply: Any = AdaptedLinear.apply
    found: Tensor = apply(x, weight, bias, down, up, module.scaling[name], share)
    return found


def rounded(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x in autocast's format, made once for all layers that read it: query, key and value, or gate and up.

    It is kept on x itself, so it goes when x goes. Tensors of inference mode have no version to go by.
    """
    if x.dtype == dtype or x.is_inference():
        return x.to(dtype)
    follows = x.requires_grad and torch.is_grad_enabled()
    version, made = vars(x).get(ROUNDED, (None, x))
    if (version, made.dtype, made.requires_grad) != (x._version, dtype, follows):
        made = x.to(dtype)
        vars(x)[ROUNDED] = (x._version, made)
    found: Tensor = made
    return found


class AdaptedLinear(torch.autograd.Function):
    """Gradients to the input and to both adapter matrices; the base layer is frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scale: float,
        share: float,
    ) -> Tensor:
        """x [..., in], weight [out, in], down [rank, in], up [out, rank]; `share` of the adapter's input is dropped."""
        flat = x.flatten(0, -2)
        keep, kept = keep_mask(flat, share) if share else (None, 1.0)
        inner = linear(dropped(flat, keep), down)
        out = flat.new_empty(*x.shape[:-1], len(weight))  # no view: models change it in place (Longformer's queries)
        rows = out.view(len(flat), -1)
        if bias is None:
            torch.mm(flat, weight.t(), out=rows)
        else:
            torch.addmm(bias, flat, weight.t(), out=rows)
        rows.addmm_(inner, up.t(), alpha=scale / kept)
        ctx.save_for_backward(flat, weight, down, up, inner, keep)
        ctx.scale, ctx.shape = scale / kept, x.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        flat, weight, down, up, inner, keep = ctx.saved_tensors
        grad = grad.reshape(-1, weight.shape[0])
        grad_inner = (grad @ up).mul_(ctx.scale)
        grad_down = grad_inner.t() @ dropped(flat, keep) if ctx.needs_input_grad[3] else None
        grad_up = (grad.t() @ inner).mul_(ctx.scale) if ctx.needs_input_grad[4] else None
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight
            if keep is None:
                grad_x.addmm_(grad_inner, down)
            else:
                grad_x.add_((grad_inner @ down).mul_(keep))
            grad_x = grad_x.view(ctx.shape)
        return grad_x, None, None, grad_down, grad_up, None, None


def dropped(x: Tensor, keep: Tensor | None) -> Tensor:
    """x with what is not kept set to 0; not scaled."""
    return x if keep is None else x.clone().mul_(keep)


def keep_mask(x: Tensor, share: float) -> tuple[Tensor, float]:
    """(mask of x's shape, probability of being kept), from torch's default generator of x's device."""
    lost = min(round(share * LANE), LANE - 1)
    lanes = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(-(1 << 63), None)
    keep = lanes.view(torch.int16)[: x.numel()] >= lost - LANE // 2
    return keep.view_as(x), 1.0 - lost / LANE
