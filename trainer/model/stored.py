"""Frozen weights kept in the half precision of their files: mapped from the file and shared by the ranks of a machine,
not copied, and never float32 on the host. What is computed from them is what float32 copies would give."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer import base_files
from trainer.config import TrainConfig
from trainer.model import fused_lora, head
from trainer.model.independence import CANNOT

HALF = {"BF16": torch.bfloat16, "F16": torch.float16}
"""Half-precision formats as safetensors names them."""
SPLITTERS = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")


def format_to_keep(config: TrainConfig) -> torch.dtype | None:
    """The format in which the base model's weights can stay while it trains; None where they are read as float32.

    They stay where LoRA runs in half precision with each adapted layer computed as one function, all files are in one
    half-precision format, and the model is not split over ranks.
    """
    lora = config.lora
    plain = config.method == "lora" and config.fused_adapter and not lora.dora and not lora.target_parameters
    split = any(os.environ.get(one, "false").lower() == "true" for one in SPLITTERS)
    if config.mixed_precision not in fused_lora.FORMATS or not plain or config.resize_embeddings or split:
        return None
    return format_of(Path(config.model))


def format_of(folder: Path) -> torch.dtype | None:
    """The half-precision format of all of a folder's weights; None where they have several, or another."""
    formats = base_files.tensor_formats(folder) if folder.is_dir() else set()
    return HALF.get(formats.pop()) if len(formats) == 1 else None


def computes(classifier: PreTrainedModel) -> bool:
    """Whether `as_float32` reaches all that this model computes: some use a layer's weights without calling it."""
    try:
        with torch.inference_mode(), as_float32(classifier):
            classifier(input_ids=torch.ones(1, 4, dtype=torch.long))
    except CANNOT:
        return False
    return True


@contextmanager
def as_float32(model: nn.Module) -> Iterator[None]:
    """Every module computes with float32 copies of its own weights, made for its call and thrown away after it."""
    handles = widen_in_calls(model)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def widen_in_calls(model: nn.Module) -> list[Any]:
    """`as_float32` from now on; the handles of its hooks."""
    handles: list[Any] = []
    spare: Spare = defaultdict(list)
    for module in model.modules():
        if not _half(module.parameters(recurse=False)):
            continue
        if type(module) is nn.Embedding:
            handles.append(module.register_forward_hook(_widened_output))
        else:
            call = _FloatCall(module, spare)
            handles.append(module.register_forward_pre_hook(call.begin))
            handles.append(module.register_forward_hook(call.end, always_call=True))
    return handles


Spare = defaultdict[torch.Size, list[Tensor]]
"""Float32 memory by shape, which one module after the other uses."""


class _FloatCall:
    """One module's weights as float32 while it is called."""

    def __init__(self, module: nn.Module, spare: Spare) -> None:
        self._weights = _half(module.parameters(recurse=False))
        self._kept: list[Tensor] = []
        self._spare = spare

    def begin(self, _module: nn.Module, _given: Any) -> None:
        kept = [weight.data for weight in self._weights]
        for weight in self._weights:
            free = self._spare[weight.shape]
            wide = free.pop() if free else _wide(weight)
            weight.data = wide.copy_(weight.data)
        self._kept = kept

    def end(self, _module: nn.Module, _given: Any, _out: Any) -> None:
        kept, self._kept = self._kept, []  # none where the call failed before it began
        for weight, before in zip(self._weights, kept, strict=bool(kept)):
            self._spare[weight.shape].append(weight.data)
            weight.data = before


def _wide(weight: Tensor) -> Tensor:
    """Float32 memory for a weight, which calls with and without inference mode may both fill."""
    with torch.inference_mode(False):
        return torch.empty(weight.shape, dtype=torch.float32, device=weight.device)


def _half(weights: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [weight for weight in weights if weight.dtype in HALF.values()]


def _widened_output(_module: nn.Module, _given: Any, out: Tensor) -> Tensor:
    return out.float()


@contextmanager
def posing_as_float32(model: PreTrainedModel) -> Iterator[None]:
    """The body's layers show peft float32 weights of their shape that take no memory, so that what it draws for an
    adapter is not rounded to their format. The head, which peft copies, and embeddings stay as they are."""
    body: nn.Module = model.base_model
    layers = [one for one in body.modules() if body is not model and not isinstance(one, nn.Embedding)]
    with posing(weight for one in layers for weight in _half(one.parameters(recurse=False))):
        yield


@contextmanager
def posing(given: Iterable[nn.Parameter]) -> Iterator[None]:
    """These weights show float32 zeros of their shape that take no memory."""
    weights = list(given)
    kept = [weight.data for weight in weights]
    try:
        for weight in weights:
            weight.data = torch.zeros(1, device=weight.device).expand(weight.shape)
        yield
    finally:
        for weight, before in zip(weights, kept, strict=True):
            weight.data = before


def read_only(classifier: PreTrainedModel) -> None:
    """For computing only: norms, biases and the head become float32, every other weight where it is called."""
    outside = {id(weight) for part in head.parts(classifier) for weight in part.parameters()}
    for weight in _half(classifier.parameters()):
        if weight.ndim < 2 or id(weight) in outside:
            weight.data = weight.data.float()
    widen_in_calls(classifier)


def settle(model: nn.Module) -> None:
    """Once adapters are in place: the frozen weights of layers that compute as one function stay, and so does a frozen
    embedding, whose rows are widened as they are read; every other weight becomes float32."""
    stay = {
        id(module.get_base_layer().weight)
        for module in model.modules()
        if isinstance(module, LoraLayer) and fused_lora.FUSED in vars(module)
    }
    for module in model.modules():
        weights = [one for one in _half(module.parameters(recurse=False)) if id(one) not in stay]
        if weights and type(module) is nn.Embedding and not module.weight.requires_grad:
            module.register_forward_hook(_widened_output)
            continue
        for weight in weights:
            weight.data = weight.data.float()
