"""The first layers of a large model with its head, as a small base model of the same family: it is saved and loaded in
seconds where the whole one takes minutes and a second time its memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainer.config import TrainConfig
from trainer.model import reward
from trainer.model.independence import CANNOT
from trainer.model.reward import RewardModel
from trainer.spec import Refused

FEWEST = 2
"""Layers, at least; more where the kinds of layers come later (full attention after sliding windows, say)."""
ADAPTED = (".base_layer", ".original_module")
"""What peft puts into the names of weights that it leaves as they are."""
OWN = ("lora_", ".modules_to_save.", ".token_adapter.")
"""Parts of the names of weights that are peft's."""


def load(model: RewardModel, tokenizer: Any, config: TrainConfig, folder: Path) -> tuple[RewardModel, int] | None:
    """The base is written into `folder` and loaded, on the CPU in float32, as `config` loads the whole one; with the
    number of its layers. None where no such model can be made: added rows, code of the model's own, a configuration
    that does not say how many layers there are."""
    if config.resize_embeddings or config.trust_remote_code:
        return None
    head_init = "default" if config.init_from else config.head_init
    like_it = replace(
        config, model=str(folder), init_from="", fresh_head=False, head_init=head_init, mixed_precision="no"
    )
    try:
        layers = _write(model, folder)
        if not layers:
            return None
        tokenizer.save_pretrained(folder)
        return reward.load(like_it)[0], layers
    except (Refused, KeyError, AssertionError, NotImplementedError, *CANNOT):
        return None


def _write(model: RewardModel, folder: Path) -> int:
    """A folder as the base's own, without what that lacked; returns its layers, 0 where it cannot be written."""
    classifier = model.classifier
    settings, layers = _shorter(classifier)
    if not layers:
        return 0
    family: Any = type(classifier)
    with torch.device("meta"):
        small: PreTrainedModel = family(settings)
    held = {_plain_name(name): one for name, one in classifier.state_dict().items() if not any(o in name for o in OWN)}
    wanted = small.state_dict()
    if any(name not in held or held[name].shape != one.shape for name, one in wanted.items()):
        return 0
    new = tuple(f"{part}." for part in model.new_parts)
    kept: dict[str, Tensor] = {
        name: held[name].detach().to("cpu", copy=True) for name in wanted if not name.startswith(new)
    }
    small.to_empty(device="cpu")
    small.load_state_dict(kept, strict=False)
    small.tie_weights()
    small.save_pretrained(folder, state_dict=kept)
    return layers


def _shorter(classifier: PreTrainedModel) -> tuple[Any, int]:
    """The configuration with the first layers only, and their number; 0 where that is not known. In a composite
    configuration the parts that read tokens are shortened, encoder and decoder alike, and those of images stay."""
    shorter = copy.deepcopy(classifier.config)
    return shorter, max((_cut(part, classifier) for part in _text_parts(shorter)), default=0)


def _text_parts(settings: Any) -> Iterator[Any]:
    """The configuration, or those inside it, that have layers and a vocabulary."""
    layers, words = (getattr(settings, name, None) for name in ("num_hidden_layers", "vocab_size"))
    if isinstance(layers, int) and words:
        yield settings
    for name in settings.sub_configs:
        inside = getattr(settings, name, None)
        if inside is not None:
            yield from _text_parts(inside)


def _cut(part: Any, classifier: PreTrainedModel) -> int:
    """Shorten this configuration; the layers of its longest stack that was, 0 where none was."""
    found = 0
    for name in ("num_hidden_layers", *(one for one in vars(part) if one.endswith("decoder_layers"))):
        whole = getattr(part, name)
        layers = _needed(part, whole, classifier)
        if layers >= whole:
            continue
        for other, value in list(vars(part).items()):
            if isinstance(value, list) and len(value) == whole:
                setattr(part, other, value[:layers])
        setattr(part, name, layers)
        found = max(found, layers)
    return found


def _needed(part: Any, whole: int, classifier: PreTrainedModel) -> int:
    """How many of the first layers hold every kind: those that the configuration lists, and those whose weights have
    other names or shapes (experts after a dense layer, say)."""
    listed = [one for one in vars(part).values() if isinstance(one, list) and len(one) == whole]
    kinds: list[list[Any]] = [one for one in listed if all(isinstance(kind, str) or kind in (0, 1) for kind in one)]
    stacks = (stack for stack in _stacks(classifier) if len(stack) == whole)
    kinds += [[frozenset(_shapes(layer)) for layer in stack] for stack in stacks]
    return max([FEWEST, *(1 + one.index(kind) for one in kinds for kind in set(one))])


def _stacks(module: nn.Module) -> Iterator[nn.ModuleList]:
    """Lists of modules that lie in no other list (a layer of T5 is one)."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _stacks(child)


def _shapes(layer: nn.Module) -> Iterator[tuple[str, torch.Size]]:
    return ((name, one.shape) for name, one in layer.state_dict().items())


def _plain_name(name: str) -> str:
    for part in ADAPTED:
        name = name.replace(part, "")
    return name
