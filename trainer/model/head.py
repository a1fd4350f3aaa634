"""The head of a classifier: what makes a reward from hidden states. It always computes in its own weights' format,
float32, since bf16 rewards tie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def visible(classifier: PreTrainedModel) -> Iterator[None]:
    """A head that reads its input with weights of 1 / √inputs, so that a probe sees every difference of the hidden
    states, whatever head is there (zeros, say); its own comes back bit by bit."""
    held = [one for part in parts(classifier) for one in part.parameters() if one.ndim > 1]
    kept = [one.detach().clone() for one in held]
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for one in held:
                drawn = torch.randn(one.shape, generator=generator) / one.shape[1] ** 0.5
                one.copy_(drawn.to(one.device, one.dtype))
        yield
    finally:
        with torch.no_grad():
            for one, before in zip(held, kept, strict=True):
                one.copy_(before)


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
