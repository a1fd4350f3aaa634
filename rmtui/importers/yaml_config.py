"""Training settings of other programs → a nested configuration: YAML, JSON, TOML, and the arguments in shell scripts.

Names that are alike everywhere are in `trainer.aliases`; whose file it is, and that program's defaults, in
`config_producers`.

YAML reads `2e-5` as text; that is accepted. Aliases are refused: a few lines of them unfold without end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli
import yaml

from rmtui.errors import UserError
from rmtui.importers.config_producers import batches, producer_of, reckoned, silent
from rmtui.importers.shell_flags import read_flags
from rmtui.importers.source_rows import number, place
from rmtui.importers.text_files import whole
from trainer.aliases import ALIASES
from trainer.config import OPTIONS, check_value, flatten, nest, parse_text

_LIMIT = 1 << 20
_SCRIPTS = (".sh", ".bash", ".slurm", ".sbatch")
_SECTION = re.compile(
    r"(?:train|training|trainer|model|optim|optimizer|optimization|data|rm|reward|reward_model|lora|peft|hyper|hparams)"
    r"(?:_?(?:args?|arguments|cfgs?|config|configuration|params|parameters|settings|hparams))?"
)
"""Names of sections whose keys are settings of the training."""
_OF_OTHERS = re.compile(r"(?:data_?sets?|generat|logg|wandb|checkpoint|tokenizer)\w*\.", re.IGNORECASE)
"""Sections whose keys are none of the training, though they may have a training's names (`dataset_mixture.seed`)."""
_FORMATS = {"bf16": "bf16", "fp16": "fp16"}
_SAME: dict[str, dict[object, str]] = {
    "lr_scheduler": {
        **dict.fromkeys(("constant_with_warmup",), "constant"),
        **dict.fromkeys(("cosine_with_warmup", "cosine_with_min_lr"), "cosine"),
        "warmup_stable_decay": "wsd",
    },
    "optimizer": {
        **dict.fromkeys(("adamw_torch", "adamw_torch_fused", "adamw_hf", "adam", "paged_adamw_32bit"), "adamw"),
        **dict.fromkeys(("adamw_bnb_8bit", "adamw_8bit", "paged_adamw_8bit"), "adamw8bit"),
    },
    "mixed_precision": {"bfloat16": "bf16", "float16": "fp16", "float32": "no", "fp32": "no"},
}
"""Option → its values in other programs' words."""
_ADAPTER_OR_NOT = ("use_peft", "use_lora", "lora_enable", "enable_lora")
_EVERY_LINEAR = ("all", "all-linear")


@dataclass(frozen=True, slots=True)
class YamlConfig:
    """What the file says in rmtui's words, and the keys that have no place here."""

    config: Mapping[str, Any]
    unknown: tuple[str, ...]
    unread: tuple[str, ...] = ()
    """Of those: lines whose key is a setting's name, in a section that is not known to hold the training's."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Option → what the file's own program does where the file is silent."""
    producer: str = ""
    """Whose file it is; empty where nobody is known."""
    notes: tuple[str, ...] = ()


class _Loader(yaml.SafeLoader):
    """The safe loader without aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read here; write the value out")
        return super().compose_node(parent, index)


def is_yaml(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml")


def read_yaml(path: Path) -> YamlConfig:
    """What a configuration says; raises UserError where the file is none. Nothing in it is run or unpickled."""
    document, assumed = _document(path)
    _refuse_others(path, document)
    given = {
        str(key): value
        for key, value in flatten({str(key): value for key, value in document.items()}).items()
        if value is not None and value != ""  # empty: not set
    }
    producer = producer_of(given, script=path.suffix in _SCRIPTS)
    names = producer.names if producer else {}
    flat: dict[str, Any] = {}
    unknown: list[str] = []
    unread: list[str] = []
    wrong: set[str] = set()
    notes: list[str] = []
    grouped = list(batches(producer, given)) if producer else []
    for key, value in given.items():
        found = _own(names[key], value) if names.get(key) else setting_of(key, value)
        if found is None or (grouped and found[0] in ("batch_size", "gradient_accumulation_steps")):
            unknown.append(key)
            nested = (producer is not None and any("." in name for name in names)) or _OF_OTHERS.match(key)
            if "." in key and not nested and setting_of(key.rpartition(".")[2], value):
                unread.append(f"{key}: {value}")
        elif isinstance(found[1], str) and ("$" in found[1] or "`" in found[1]):
            unread.append(f"{key}: {value}")
        elif producer is not None and _wrong(*found):  # a word that only this program knows
            unknown.append(f"{key}: {value}")
            wrong.add(found[0])
        else:
            flat.setdefault(*found)
            if key in assumed:
                notes.append(f"{key} is {value} where {assumed[key]} is not set outside the script")
    for option, size, note in grouped:
        flat[option] = size
        notes += [note] if note else []
    for option, value, key, note in reckoned(producer, given, flat) if producer else ():
        flat[option] = value
        unknown = [one for one in unknown if one != key]
        notes += [note] if note else []
    if (steps := _warm_up_steps(given)) is not None:
        key, count = steps
        share = _warm_up_share(count, given)
        if share is None:
            share = flat.get("warmup_ratio", 0.0)
            instead = f"warmup_ratio is {share:g} in its place; set it to {count:g} / all steps"
            notes.append(f"{key} {count:g} has no counterpart: {instead}")
        else:
            unknown.remove(key)
        if count or "warmup_ratio" not in flat:
            flat["warmup_ratio"] = share
    notes += [
        f"the file is of {key} {value}, which is no reward model"
        for key, value in given.items()
        if _is_other(key, value)
    ]
    if "mixed_precision" not in flat and str(given.get("bf16")).lower() == "false":
        flat["mixed_precision"] = "no"
    defaults = silent(producer, given, flat) if producer and flat else {}
    defaults = {key: value for key, value in defaults.items() if key not in wrong}
    if flat.get("lora.r") == 0:  # how OpenRLHF says that there is no adapter
        flat = {key: value for key, value in flat.items() if not key.startswith("lora.")} | {"method": "full"}
    return YamlConfig(
        nest(flat), tuple(unknown), tuple(unread), defaults, producer.title if producer else "", tuple(notes)
    )


def _document(path: Path) -> tuple[Mapping[str, object], Mapping[str, str]]:
    """What a file holds, and for a shell script which arguments are defaults of variables."""
    if path.suffix in (".bin", ".pt", ".pth", ".pkl"):
        raise UserError(f"cannot read {path}", "it is a pickle, which is never opened", "name the YAML, JSON or script")
    if path.suffix in _SCRIPTS:
        read = read_flags(path)
        if not read.flags:
            raise UserError(
                f"cannot read {path}", "no arguments (--name value) are in it", "name the YAML or JSON that it passes"
            )
        return read.flags, read.assumed
    try:
        if path.suffix == ".toml":
            return tomli.loads(whole(path, _LIMIT).decode("utf-8")), {}
        document = yaml.load(whole(path, _LIMIT), Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        what = "TOML" if path.suffix == ".toml" else "YAML"
        raise UserError(f"cannot read {path}", _first_line(error), f"fix the {what}") from None
    if not isinstance(document, Mapping):
        raise UserError(f"cannot read {path}", "it holds no keys", "name a file of key: value lines")
    return document, {}


_WARM_UP_STEPS = ("warmup_steps", "lr_warmup_steps", "num_warmup_steps")


def _warm_up_steps(given: Mapping[str, object]) -> tuple[str, float] | None:
    """The key under which a file gives its warm-up in steps, and their number."""
    for key, value in given.items():
        if key.rpartition(".")[2] in _WARM_UP_STEPS and (count := place(value)) is not None:
            return key, count
    return None


def _warm_up_share(steps: float, given: Mapping[str, object]) -> float | None:
    """Steps of warm-up as a share of all steps; None where nobody knows how many there are.

    0 is none; transformers takes a number below 1 for the share itself.
    """
    if steps < 1:
        return steps
    total = place(given.get("max_steps"))
    return steps / total if total and total >= steps else None


def _is_other(key: str, value: object) -> bool:
    """Whether a line says that no reward model is trained: LLaMA-Factory's stage, ms-swift's type."""
    return key in ("stage", "rlhf_type") and isinstance(value, str) and value.lower() not in ("rm", "reward", "bt")


def _own(option: str, value: object) -> tuple[str, Any]:
    """A value under a program's own name for an option."""
    return option, _typed(option, value)


def _wrong(option: str, value: object) -> bool:
    return any(problem.severity == "error" for problem in check_value(OPTIONS[option], value))


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
    if name in _FORMATS and str(value).lower() in ("true", "false", "auto"):
        return None if str(value).lower() == "false" else ("mixed_precision", _FORMATS[name])
    if name in _ADAPTER_OR_NOT:
        return "method", "full" if str(value).lower() in ("false", "0", "no") else "lora"
    if key.rpartition(".")[2] in ("betas", "adam_betas"):
        return _second_beta(value)
    if name == "adapter":
        return ("method", "lora") if str(value).lower() in ("lora", "qlora") else None
    known = _known(key) or _known(name)
    return None if known is None else (known, _typed(known, value))


def _second_beta(value: object) -> tuple[str, Any] | None:
    """AdamW's two decays as a list, or as text; None where the first is not 0.9, which has no option here."""
    found = value if isinstance(value, list) else str(value).strip("[]() ").replace(",", " ").split()
    decays = [number(one) for one in found]
    return ("adam_beta2", decays[1]) if len(decays) == 2 and decays[0] == 0.9 and decays[1] is not None else None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _known(key: str) -> str | None:
    return key if key in OPTIONS else ALIASES.get(key)


def _typed(key: str, value: Any) -> Any:
    """Numbers that YAML took for text become numbers; anything else is left for the check of the configuration."""
    option = OPTIONS[key]
    if key in _SAME and isinstance(value, str):
        return _SAME[key].get(value, value)
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
