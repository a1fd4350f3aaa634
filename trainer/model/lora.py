"""LoRA on a classifier: which modules get an adapter, and what is computed as one function."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from trainer import base_files
from trainer.config import TrainConfig
from trainer.estimate import ENOUGH, PROJECTIONS
from trainer.model import fused_lora, fused_norm, head
from trainer.model.stored import format_of, posing_as_float32
from trainer.spec import Refused

PEFT_HEADS = ("classifier", "score")
"""Endings of the modules that peft's task type SEQ_CLS trains and saves by itself."""
EXPERT_NAMES = ("gate_proj", "up_proj", "down_proj", "w1", "w2", "w3")
"""What peft may take for experts where all linear layers are asked for."""
PEFT_PREFIX = "base_model.model."


def add_lora(
    classifier: PreTrainedModel,
    config: TrainConfig,
    parts: tuple[str, ...],
    like: Path | None = None,
    grown: Sequence[int] = (),
) -> PeftModel:
    """An adapter on the target modules. The head is trained and saved whole: what task type SEQ_CLS names (score,
    classifier), and the `parts` that are new beside it (a pooler, dense, classification_head …). `like` is a
    folder with an adapter that goes on: its target modules are taken (what `auto` means may have changed since then),
    and what it has beside the options here, ranks by pattern, say. Rows that the embedding has `grown` are trained
    and saved whole."""
    saved = [part for part in parts if not part.endswith(PEFT_HEADS)]
    _refuse_ambiguous(classifier, saved)
    settings = saved_settings(like) or LoraConfig(
        target_modules=target_modules(classifier, config.lora.target_modules),
        target_parameters=target_parameters(classifier, config.lora.target_parameters),
        task_type=TaskType.SEQ_CLS,
    )
    settings.r, settings.lora_dropout, settings.inference_mode = config.lora.r, config.lora.dropout, False
    settings.trainable_token_indices = list(grown) or settings.trainable_token_indices
    settings.use_dora, settings.use_rslora = config.lora.dora, config.lora.rslora
    settings.lora_alpha = config.lora.alpha  # type: ignore[assignment]  # peft only multiplies by it
    kept = {part for part in settings.modules_to_save or () if part not in PEFT_HEADS or not settings.task_type}
    settings.modules_to_save = sorted(kept | set(saved)) or None
    with quiet(), posing_as_float32(classifier):
        made = _adapted(classifier, settings)
    assert isinstance(made, PeftModel)
    fuse(made, config, config.mixed_precision)
    return made


def _adapted(classifier: PreTrainedModel, settings: LoraConfig) -> Any:
    try:
        return get_peft_model(classifier, settings)
    except ValueError as error:
        kind = re.search(r"Target module \(?(\w+)", str(error))
        if kind is None:
            raise
        raise Refused(_not_adapted(kind[1])) from error


def _not_adapted(kinds: str) -> str:
    return f"LoRA adapts linear projections here, not {kinds}; set method = full, or name others in lora.target_modules"


def _refuse_ambiguous(classifier: PreTrainedModel, saved: list[str]) -> None:
    """peft takes every module whose name ends alike. Raises Refused where that is more than the head."""
    for part in saved:
        hit = [name for name, _ in classifier.named_modules() if name.endswith(part) and name != part]
        if hit:
            raise Refused(
                f"model: the new part {part} of its head cannot be saved with an adapter: peft takes {hit[0]} for it, "
                "too; train with method = full"
            )


def trained_rows(folder: Path | None) -> int:
    """Rows that the embedding has to have for those that an adapter in this folder trained; 0 where it trained none."""
    settings = saved_settings(folder)
    found = settings.trainable_token_indices if settings is not None else None
    if isinstance(found, dict):
        raise Refused(
            f"{folder} trained rows of {', '.join(found)}; here an adapter trains those of the embedding only"
        )
    return max(found, default=-1) + 1 if found else 0


def saves_embedding(model: PeftModel) -> Any:
    """What peft is asked about the embedding when it saves: where rows were added, they alone are saved."""
    settings = model.peft_config["default"]
    return False if isinstance(settings, LoraConfig) and settings.trainable_token_indices else "auto"


def format_to_read(base: Path, folder: Path) -> torch.dtype | None:
    """The half-precision format in which a base model's weights can stay while the adapter in `folder` is computed over
    it and merged; None where they are read as float32: peft copies them, or computes with them, beyond plain LoRA."""
    settings = saved_settings(folder)
    if settings is None or settings.use_dora or settings.target_parameters or settings.trainable_token_indices:
        return None
    more = settings.lora_bias or settings.bias != "none" or {*(settings.modules_to_save or ())} - {*PEFT_HEADS}
    return None if more else format_of(base)


def adapter_weights(folder: Path) -> set[str]:
    """Names, as the classifier knows them, of what an adapter folder holds beside its LoRA matrices: the head."""
    return {name.removeprefix(PEFT_PREFIX) for name in _stored(folder)}


def state_of(model: PeftModel) -> dict[str, torch.Tensor]:
    """What an adapter's file holds of this model."""
    found: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=saves_embedding(model))
    return found


def refuse_incomplete(model: PeftModel, folder: Path) -> None:
    """Raises Refused where a weight of the adapter or its head is not in the folder, of another shape, or unused."""
    wanted = {name: tuple(weight.shape) for name, weight in state_of(model).items()}
    there = _stored(folder)
    other = [name for name in sorted(wanted.keys() & there) if wanted[name] != there[name]]
    lost, left = sorted(wanted.keys() - there.keys()), sorted(there.keys() - wanted)
    if other:
        what = f"{other[0]} is {list(there[other[0]])}, not {list(wanted[other[0]])}"
    elif lost or left:
        what = f"it has no {', '.join(lost[:3])}" if lost else f"nothing takes its {', '.join(left[:3])}"
    else:
        return
    raise Refused(
        f"{folder} does not fit this model: {what} ({len(lost)} weights missing, {len(left)} unused, {len(other)} of "
        "another shape). It was trained on another base model, with another rank or with other target modules; name "
        "what it was trained with"
    )


def refuse_unheld(parts: tuple[str, ...], folder: Path) -> None:
    """Raises Refused where an adapter's folder lacks a part of the head that its base does not hold either."""
    held = adapter_weights(folder)
    lost = [part for part in parts if not any(name.startswith(f"{part}.") for name in held)]
    if lost:
        raise Refused(
            f"{folder} has no {', '.join(lost)}, which its base does not hold either: it would be random numbers. Its "
            "training saved only a part of its head and has to be run again"
        )


def _stored(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape of the weights in an adapter's folder."""
    file = folder / "adapter_model.safetensors"
    if file.is_file():
        wrong = base_files.file_fault(file)
        if wrong:
            raise Refused(f"{file} {wrong}; copy or download it again, or train anew")
        return {name: tuple(shape) for name, shape in base_files.file_shapes(file).items()}
    old = folder / "adapter_model.bin"
    found = torch.load(old, map_location="cpu", weights_only=True) if old.is_file() else {}
    return {name: tuple(weight.shape) for name, weight in found.items()}


def fuse(model: PeftModel, config: TrainConfig, precision: str = "no") -> None:
    """Let adapted layers and frozen norms compute as one function each, where that is asked for and possible."""
    if gathers_by_module():
        return
    if config.fused_adapter:
        classifier: Any = model.get_base_model()
        exact = {module for part in head.parts(classifier) for module in part.modules()}
        fused_lora.fuse(model, precision, exact)
    if config.fused_norm:
        fused_norm.fuse(model)


def gathers_by_module() -> bool:
    """DeepSpeed gathers a sharded weight when the module that holds it is called, so each has to be called."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def target_modules(classifier: nn.Module, named: list[str]) -> list[str] | str:
    """`all-linear`; names as given, ValueError if one is absent; or `auto`: the usual names of attention and MLP
    projections, and where they miss much of a model's layers, every projection that is found in its layers."""
    if named == ["all-linear"]:
        _refuse_experts(classifier, sorted(EXPERT_NAMES), "all-linear")
        return "all-linear"
    present = {name.rpartition(".")[2] for name, module in classifier.named_modules() if _adaptable(module)}
    if named == ["auto"]:
        return _auto(classifier, present) or "all-linear"
    absent = [name for name in named if not any(name == other or name.endswith(f".{other}") for other in present)]
    if absent:
        others = {type(one).__name__ for name, one in classifier.named_modules() if name.rpartition(".")[2] in absent}
        if others:
            raise Refused(_not_adapted(", ".join(sorted(others))))
        known = ", ".join(sorted(present))
        raise ValueError(f"lora.target_modules: {', '.join(absent)} is not in this model, which has {known}")
    _refuse_experts(classifier, named, ", ".join(named))
    return named


def taken_for_experts(classifier: nn.Module, names: Iterable[str]) -> set[str]:
    """Names of projections that peft, on this model, takes for weights of its experts, as transformers 4 called them,
    and would adapt in place of the layers that have the names now."""
    taken = set()
    for name in names:
        tried = LoraConfig(target_modules=[name])
        try:
            convert_peft_config_for_transformers(tried, classifier, None)
        except ValueError:  # one of two that it joins
            taken.add(name)
        if tried.target_parameters:
            taken.add(name)
    return taken


def _refuse_experts(classifier: nn.Module, names: Iterable[str], shown: str) -> None:
    taken = taken_for_experts(classifier, names)
    if taken:
        raise Refused(
            f"lora.target_modules = {shown}: on this model peft takes {', '.join(sorted(taken))} for the weights of "
            "its experts; leave them out (auto does), and adapt the experts with lora.target_parameters = auto and "
            "lora.dropout = 0"
        )


def target_parameters(classifier: nn.Module, named: list[str]) -> list[str] | None:
    """`auto`: the weights of a layer's experts where they are one parameter with three dimensions [expert, …]; else
    endings as given. None where none are asked for. Raises Refused where the model has none of them."""
    if not named:
        return None
    stacked = [
        f"{place}.{name}"
        for place, module in classifier.named_modules()
        for name, weight in module.named_parameters(recurse=False)
        if weight.ndim == 3 and not isinstance(module, nn.modules.conv._ConvNd)
    ]
    found = sorted({_below_its_layer(name) for name in stacked}) if named == ["auto"] else named
    absent = [one for one in found if not any(name.endswith(f".{one}") for name in stacked)]
    if absent or not found:
        there = ", ".join(sorted({_below_its_layer(name) for name in stacked})) or "none"
        raise Refused(f"lora.target_parameters: {', '.join(absent or named)} is not in this model, which has {there}")
    return found


def _below_its_layer(name: str) -> str:
    """`model.layers.0.mlp.experts.down_proj` → `mlp.experts.down_proj`."""
    parts = name.split(".")
    return ".".join(parts[max((place + 1 for place, part in enumerate(parts) if part.isdigit()), default=0) :])


def _auto(classifier: nn.Module, present: set[str]) -> list[str]:
    """Names, or whole paths where the last part is a number, which would fit every numbered module."""
    routed, taken = _routes(classifier), taken_for_experts(classifier, present)
    usual = (present & PROJECTIONS) - taken
    inside = {
        name: module
        for name, module in classifier.named_modules()
        if _adaptable(module)
        and any(part.isdigit() for part in name.split(".")[:-1])
        and not routed(module)
        and name.rpartition(".")[2] not in taken
    }
    sizes = {name: sum(one.numel() for one in module.parameters(recurse=False)) for name, module in inside.items()}
    hit = sum(size for name, size in sizes.items() if name.rpartition(".")[2] in usual)
    if usual and hit >= ENOUGH * sum(sizes.values()):
        return sorted(usual)
    lasts = {name: name.rpartition(".")[2] for name in inside}
    return sorted({name if last.isdigit() else last for name, last in lasts.items()})


def _routes(classifier: nn.Module) -> Callable[[nn.Module], bool]:
    """Whether a projection only chooses among a layer's experts."""
    settings = getattr(classifier, "config", None)
    names = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
    counts = {getattr(settings, name, None) for name in names} - {None, 0, 1}
    return lambda module: getattr(module, "out_features", None) in counts


def saved_settings(like: Path | None) -> LoraConfig | None:
    """The adapter's own settings in a folder; None without one."""
    if like is None or not (like / "adapter_config.json").is_file():
        return None
    found = LoraConfig.from_pretrained(str(like))
    assert isinstance(found, LoraConfig)
    return found


def coverage(model: PeftModel) -> float:
    """Share of the body's weights, embeddings aside, that have an adapter beside them."""
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    adapted = [one for layer in layers for one in _adapted_weights(layer)]
    body: Any = model.get_base_model().base_model
    tables = {id(one) for module in body.modules() if isinstance(module, nn.Embedding) for one in module.parameters()}
    own = [one for name, one in body.named_parameters() if "lora_" not in name and id(one) not in tables]
    hit = {id(one): one.numel() for one in adapted}
    total = sum(one.numel() for one in own)
    return sum(hit.get(id(one), 0) for one in own) / total if total else 1.0


def _adapted_weights(layer: Any) -> list[nn.Parameter]:
    if type(layer) is not ParamWrapper:
        return list(layer.get_base_layer().parameters())
    weight: Any = getattr(layer.get_base_layer(), layer.parameter_name)
    return [weight]


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
