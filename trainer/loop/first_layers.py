"""The first layers of a large model with its head, as a small base model of the same family: it is saved and loaded in
seconds where the whole one takes minutes and a second time its memory."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
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
    settings, layers = _shorter(classifier.config)
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


def _shorter(settings: Any) -> tuple[Any, int]:
    """The configuration with the first layers only, and their number; 0 where that is not known."""
    shorter = copy.deepcopy(settings)
    text = shorter.get_text_config()
    whole, kinds = getattr(text, "num_hidden_layers", None), getattr(text, "layer_types", None) or []
    if not isinstance(whole, int) or text is not shorter:
        return shorter, 0
    layers = max(FEWEST, 1 + max((kinds.index(kind) for kind in set(kinds)), default=0))
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == whole:
            setattr(text, name, value[:layers])
    text.num_hidden_layers = layers
    return shorter, layers if layers < whole else 0


def _plain_name(name: str) -> str:
    for part in ADAPTED:
        name = name.replace(part, "")
    return name
