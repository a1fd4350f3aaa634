"""LoRA on a classifier: which modules get an adapter, and what is computed as one function."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from trainer.config import TrainConfig
from trainer.estimate import PROJECTIONS
from trainer.model import fused_lora, fused_norm


def add_lora(classifier: PreTrainedModel, config: TrainConfig) -> PeftModel:
    """An adapter on the target modules; the head is trained and saved whole (task type SEQ_CLS)."""
    settings = LoraConfig(
        r=config.lora.r,
        lora_alpha=config.lora.alpha,  # type: ignore[arg-type]  # peft only multiplies by it
        lora_dropout=config.lora.dropout,
        target_modules=target_modules(classifier, config.lora.target_modules),
        task_type=TaskType.SEQ_CLS,
    )
    with quiet():
        made = get_peft_model(classifier, settings)
    assert isinstance(made, PeftModel)
    fuse(made, config, config.mixed_precision)
    return made


def fuse(model: PeftModel, config: TrainConfig, precision: str = "no") -> None:
    """Let adapted layers and frozen norms compute as one function each, where that is asked for and possible."""
    if gathers_by_module():
        return
    if config.fused_adapter:
        fused_lora.fuse(model, precision)
    if config.fused_norm:
        fused_norm.fuse(model)


def gathers_by_module() -> bool:
    """DeepSpeed gathers a sharded weight when the module that holds it is called, so each has to be called."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def target_modules(classifier: nn.Module, named: list[str]) -> list[str] | str:
    """`auto`: attention and MLP projections by name; `all-linear`; or names as given, ValueError if one is absent."""
    if named == ["all-linear"]:
        return "all-linear"
    present = {name.rpartition(".")[2] for name, module in classifier.named_modules() if _adaptable(module)}
    if named == ["auto"]:
        return sorted(present & PROJECTIONS) or "all-linear"
    absent = [name for name in named if not any(name == other or name.endswith(f".{other}") for other in present)]
    if absent:
        known = ", ".join(sorted(present))
        raise ValueError(f"lora.target_modules: {', '.join(absent)} is not in this model, which has {known}")
    return named


def _adaptable(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' and peft's remarks about what is on purpose here (a head that is new, say)."""
    verbosity: Any = logging
    verbosity.set_verbosity_error()
    verbosity.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
