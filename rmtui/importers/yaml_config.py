"""Training settings of other programs in YAML or JSON → a nested configuration: `rm_config.yaml`, transformers' and
TRL's arguments, LLaMA-Factory, axolotl and alike.

YAML reads `2e-5` as text; that is accepted. Aliases are refused: a few lines of them unfold without end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rmtui.errors import UserError
from rmtui.importers.text_files import whole
from trainer.aliases import ALIASES
from trainer.config import OPTIONS, flatten, nest, parse_text

_LIMIT = 1 << 20
_SECTION = re.compile(
    r"(?:train|training|trainer|model|optim|optimizer|optimization|data|rm|reward|reward_model|lora|peft|hyper|hparams)"
    r"(?:_?(?:args?|arguments|cfgs?|config|configuration|params|parameters|settings|hparams))?"
)
"""Names of sections whose keys are settings of the training."""
_FORMATS = {"bf16": "bf16", "fp16": "fp16"}
_SCHEDULES = {"constant_with_warmup": "constant", "cosine_with_warmup": "cosine"}
_EVERY_LINEAR = ("all", "all-linear")


@dataclass(frozen=True, slots=True)
class YamlConfig:
    """What the file says in rmtui's words, and the keys that have no place here."""

    config: Mapping[str, Any]
    unknown: tuple[str, ...]
    unread: tuple[str, ...] = ()
    """Of those: lines whose key is a setting's name, in a section that is not known to hold the training's."""
    notes: tuple[str, ...] = ()
    """Values that the file leaves to its own program's defaults."""


class _Loader(yaml.SafeLoader):
    """The safe loader without aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read here; write the value out")
        return super().compose_node(parent, index)


def is_yaml(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml")


def read_yaml(path: Path) -> YamlConfig:
    """Read with the safe loader; raises UserError where the file is no YAML mapping."""
    if path.suffix == ".sh":
        raise UserError(
            f"{path} is a shell script", "it is not run or read here", "name the YAML or JSON that it passes"
        )
    try:
        document = yaml.load(whole(path, _LIMIT), Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"cannot read {path}", _first_line(error), "fix the YAML") from None
    if not isinstance(document, Mapping):
        raise UserError(f"cannot read {path}", "it holds no keys", "name a file of key: value lines")
    _refuse_others(path, document)
    flat: dict[str, Any] = {}
    unknown: list[str] = []
    unread: list[str] = []
    given = flatten({str(key): value for key, value in document.items()})
    for key, value in given.items():
        if value is None or value == "":  # empty: not set
            continue
        found = setting_of(str(key), value)
        if found is not None:
            flat.setdefault(*found)
            continue
        unknown.append(str(key))
        if "." in str(key) and setting_of(str(key).rpartition(".")[2], value):
            unread.append(f"{key}: {value}")
    notes = tuple(_own_defaults(document, flat))
    return YamlConfig(nest(flat), tuple(unknown), tuple(unread), notes)


def _refuse_others(path: Path, document: Mapping[str, object]) -> None:
    """UserError for files that belong to a training and hold none of its settings."""
    kind = ""
    if {"compute_environment", "distributed_type"} <= set(document):
        kind, use = "an accelerate", "launch with --accelerate-config to use it"
    elif {"zero_optimization", "train_micro_batch_size_per_gpu"} & set(document):
        kind, use = "a DeepSpeed", "name it in an accelerate configuration to use it"
    if kind:
        raise UserError(
            f"{path} is {kind} configuration", "it holds no training settings", f"name the training's own file; {use}"
        )


def setting_of(key: str, value: object) -> tuple[str, Any] | None:
    """(option, value) that a line says; None where it says nothing that is known here."""
    section, _, name = key.rpartition(".")
    name = name if not section or all(map(_SECTION.fullmatch, section.lower().split("."))) else key
    if name in _FORMATS and isinstance(value, bool):
        return ("mixed_precision", _FORMATS[name]) if value else None
    known = _known(key) or _known(name)
    return None if known is None else (known, _typed(known, value))


def _own_defaults(document: Mapping[str, object], flat: dict[str, object]) -> Iterator[str]:
    """What a program fills in where its file is silent."""
    rank = flat.get("lora.r")
    if "stage" in document and "finetuning_type" in document and isinstance(rank, int) and "lora.alpha" not in flat:
        flat["lora.alpha"] = 2.0 * rank
        yield "lora.alpha is LLaMA-Factory's default, 2 × r"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _known(key: str) -> str | None:
    return key if key in OPTIONS else ALIASES.get(key)


def _typed(key: str, value: Any) -> Any:
    """Numbers that YAML took for text become numbers; anything else is left for the check of the configuration."""
    option = OPTIONS[key]
    if key == "lr_scheduler":
        return _SCHEDULES.get(value, value)
    if key == "lora.target_modules" and value in _EVERY_LINEAR:
        return ["all-linear"]
    if option.type == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and option.type in ("int", "float", "bool"):
        try:
            return parse_text(option, value)
        except ValueError:
            return value
    if option.type == "names" and isinstance(value, str):
        return parse_text(option, value)
    return value
