"""The head of a classifier: what makes a reward from hidden states. It always computes in its own weights' format,
float32, since bf16 rewards tie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


def parts(classifier: PreTrainedModel) -> list[nn.Module]:
    """Every module outside the pretrained body, and the body's own pooler."""
    body = classifier.base_model
    if body is classifier:
        return []
    outside = [module for module in classifier.children() if module is not body]
    return [*outside, *(module for name, module in body.named_children() if name == "pooler")]


def leave_autocast(classifier: PreTrainedModel) -> None:
    """Let each part compute without autocast, whoever calls it. Call it once, when adapters are in place."""
    for module in parts(classifier):
        if any(True for _ in module.parameters()):
            vars(module)["forward"] = _outside(module, module.forward)


def _outside(module: nn.Module, whole: Callable[..., Any]) -> Callable[..., Any]:
    def forward(*args: Any, **named: Any) -> Any:
        own = next(module.parameters())
        given = [_as(part, own.dtype) for part in args]
        with torch.autocast(own.device.type, enabled=False):
            return whole(*given, **{key: _as(part, own.dtype) for key, part in named.items()})

    return forward


def _as(given: Any, dtype: torch.dtype) -> Any:
    return given.to(dtype) if isinstance(given, Tensor) and given.is_floating_point() else given
