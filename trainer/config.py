"""Reading and checking a configuration by the option table: all problems at once, each with its remedy.

This module imports nothing heavy; rmtui reads it without the training stack.
"""

from __future__ import annotations

import difflib
import importlib.util
import math
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

from trainer import base_files, init_from, mixture
from trainer.aliases import ALIASES
from trainer.containers import is_data
from trainer.layouts import given
from trainer.options import OPTIONS, SCHEMA_VERSION, DataFiles, Lora, Meta, Option, TrainConfig, options
from trainer.values import ErrorOrWarning, format_number

__all__ = [
    "OPTIONS",
    "SCHEMA_VERSION",
    "DataFiles",
    "Lora",
    "Meta",
    "Option",
    "Problem",
    "TrainConfig",
    "build",
    "check",
    "check_inputs",
    "check_value",
    "flatten",
    "make",
    "nest",
    "options",
    "parse_text",
    "range_text",
    "sources_of",
    "to_document",
]

SET_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
"""A further validation set's; it becomes part of file names."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong or unusual in a configuration; `str()` is what a person reads."""

    key: str
    what: str
    remedy: str
    source: str = ""
    """The file or command-line option that the value came from."""
    severity: ErrorOrWarning = "error"
    """error: refused before anything starts; warning: asked about on a terminal."""
    form_remedy: str = ""
    """What to do where the values are fields on a screen, which has no command-line options; empty: the remedy."""

    def __str__(self) -> str:
        return f"{self._place}: {self.what}; {self.remedy}"

    def in_form(self) -> str:
        """What a person reads on a screen with a field for each value."""
        place = self.key if self.source.startswith("--") else self._place
        return f"{place}: {self.what}; {self.form_remedy or self.remedy}"

    @property
    def _place(self) -> str:
        """The source and the key, either alone where it says both."""
        if self.source == "--set":
            return f"--set {self.key}"
        if self.source.startswith("--"):
            return self.source
        return f"{self.source}: {self.key}" if self.source else self.key


def flatten(document: Mapping[str, Any]) -> dict[str, Any]:
    """Nested configuration → dotted keys; a table-valued option stays whole."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        _flatten_into(flat, key, value)
    return flat


def _flatten_into(flat: dict[str, Any], key: str, value: Any) -> None:
    option = OPTIONS.get(key)
    if isinstance(value, Mapping) and (option is None or option.type != "table"):
        for name, inner in value.items():
            _flatten_into(flat, f"{key}.{name}", inner)
    else:
        flat[key] = mixture.lines(value) if key == "data.source" and isinstance(value, list) else value


def nest(flat: Mapping[str, object]) -> dict[str, object]:
    """Dotted keys → nested configuration, the inverse of `flatten`."""
    document: dict[str, Any] = {}
    for key, value in flat.items():
        *tables, name = key.split(".")
        inner = document
        for table in tables:
            inner = inner.setdefault(table, {})
        inner[name] = value
    return document


def check(document: Mapping[str, object], source: str = "") -> list[Problem]:
    """All problems of a nested configuration at once; missing keys take their defaults and are not a problem."""
    problems: list[Problem] = []
    for key, value in flatten(document).items():
        option = OPTIONS.get(key)
        if option is None:
            problems.append(Problem(key, "unknown key", _closest(key), source))
        else:
            problems += check_value(option, value, source)
    return problems


def _closest(key: str) -> str:
    if key in ALIASES:
        return f"did you mean {ALIASES[key]}?"
    near = difflib.get_close_matches(key, OPTIONS, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else "remove it; `rmtui presets --options` lists every key"


def check_value(option: Option, value: Any, source: str = "") -> list[Problem]:
    """Type, range and choice of one value."""
    if option.key == "data.source" and isinstance(value, list):
        remedy = 'write [[data.source]] with path = "pairs.jsonl", weight = 0.5, limit = 1000'
        return [Problem(option.key, fault, remedy, source) for fault in mixture.faults(value)]
    if not _type_fits(option.type, value):
        wanted = {
            "names": "a list of names",
            "table": "a table of name = text",
            "str": "text",
            "bool": "true or false",
            "int": "a whole number",
            "float": "a number",
        }[option.type]
        return [Problem(option.key, f"{value!r} is not {wanted}", f"write it like {_example(option)}", source)]
    meta = option.meta
    if meta.choices and value not in meta.choices:
        return [Problem(option.key, f"{value!r} is not known", f"choose one of {', '.join(meta.choices)}", source)]
    if option.type in ("int", "float"):
        return _check_range(option, float(value), value, source)
    if option.type == "table":
        if option.key == "data.fields":
            remedy = "name fields like chosen = good, rejected = bad"
            return [Problem(option.key, fault, remedy, source) for fault in given.faults(value)]
        remedy = 'use letters, digits, ".", "_" and "-", and not "val", which is the set without a name'
        wrong = [name for name in value if not SET_NAME.fullmatch(name) or name == "val"]
        return [Problem(option.key, f"{name!r} cannot name a set", remedy, source) for name in wrong]
    return []


def _type_fits(kind: str, value: Any) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "names":
        return isinstance(value, list) and all(isinstance(name, str) for name in value)
    if kind == "table":
        return isinstance(value, Mapping) and all(isinstance(path, str) for path in value.values())
    return isinstance(value, str)


def _example(option: Option) -> str:
    default = option.default
    if option.type == "str":
        return f'{option.key} = "{default or "…"}"'
    if option.type == "table":
        return (
            '[data.fields] chosen = "good"'
            if option.key == "data.fields"
            else f'[{option.key}] holdout = "holdout.jsonl"'
        )
    text = str(default).lower() if isinstance(default, bool) else str(default).replace("'", '"')
    return f"{option.key} = {text}"


def _check_range(option: Option, number: float, shown: Any, source: str) -> list[Problem]:
    meta = option.meta
    below = meta.low is not None and (number < meta.low or (meta.open_low and number == meta.low))
    above = meta.high is not None and number > meta.high
    if not math.isfinite(number) or below or above:
        return [Problem(option.key, f"{shown} is out of range", f"use {range_text(option)}", source)]
    if meta.usual and not meta.usual[0] <= number <= meta.usual[1]:
        low, high = (format_number(bound) for bound in meta.usual)
        return [Problem(option.key, f"{shown} is unusual", f"usual values are {low} … {high}", source, "warning")]
    return []


def range_text(option: Option) -> str:
    """The possible values in words: `1 … 1024`, `more than 0, at most 1`, `linear, cosine, constant`."""
    meta = option.meta
    if meta.choices:
        return ", ".join(meta.choices)
    if option.type == "bool":
        return "true, false"
    if meta.low is None or meta.high is None:
        return ""
    if meta.open_low:
        return f"more than {_bound(meta.low)}, at most {_bound(meta.high)}"
    return f"{_bound(meta.low)} … {_bound(meta.high)}"


def _bound(value: float) -> str:
    """From five digits on in groups of three: `1,048,576`."""
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 10_000 else format_number(value)


def parse_text(option: Option, text: str) -> Any:
    """A value typed by a person (`--set`, a form field); raises ValueError with what was expected.

    The numbers' spelling is free (`1.5e-5`, `0.000015`); names are separated by commas.
    """
    text = text.strip()
    try:
        if option.type == "int":
            return int(text.replace("_", ""))
        if option.type == "float":
            return float(text)
    except ValueError:
        raise ValueError(str(check_value(option, text)[0])) from None
    if option.type == "bool":
        if text.lower() not in ("true", "false", "yes", "no", "on", "off"):
            raise ValueError(str(check_value(option, text)[0]))
        return text.lower() in ("true", "yes", "on")
    if option.type == "names":
        return [name for part in text.strip("[]").split(",") if (name := part.strip().strip("\"'"))]
    if option.type == "table":
        pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
        return {name.strip(): path.strip() for name, _, path in pairs}
    return text


def build(document: Mapping[str, Any]) -> TrainConfig:
    """A checked nested configuration → `TrainConfig`, defaults filled in. Raises ValueError on any error."""
    errors = [problem for problem in check(document) if problem.severity == "error"]
    if errors:
        raise ValueError("\n".join(map(str, errors)))
    return make(flatten(document))


LATER = {"overlong": "cut_end", "doubled_bos": "keep"}
"""What options that came later, and whose default is another, stood for before they were there."""


def recorded(document: Mapping[str, object]) -> dict[str, object]:
    """The configuration that a checkpoint or a model's card holds, with the values that options added later had then:
    a default that has changed since then must not change what was trained."""
    return {**LATER, **document}


def with_recorded(config: TrainConfig, held: Mapping[str, object]) -> TrainConfig:
    """`config` with what the options that came later stood for in a checkpoint's configuration that lacks them."""
    return replace(config, **{key: value for key, value in LATER.items() if key not in held})  # type: ignore[arg-type]


def make(flat: Mapping[str, Any]) -> TrainConfig:
    """Checked values by dotted key → `TrainConfig`, defaults filled in."""
    made = _build(TrainConfig, flat, "")
    assert isinstance(made, TrainConfig)
    return made


def _build(cls: Any, flat: Mapping[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for item in fields(cls):
        kind, key = hints[item.name], f"{prefix}{item.name}"
        if is_dataclass(kind):
            values[item.name] = _build(kind, flat, f"{key}.")
        elif key in flat:
            values[item.name] = float(flat[key]) if kind is float else flat[key]
    return cls(**values)


def to_document(config: TrainConfig) -> dict[str, object]:
    """`TrainConfig` → nested plain values, every key present."""
    return asdict(config)


def sources_of(files: DataFiles) -> list[mixture.DataSource]:
    """The files of a mixture; empty where there is one training file. Raises ValueError for a line that is none."""
    return [mixture.parse(text) for text in files.source]


def check_inputs(config: TrainConfig, source: str = "", resuming: bool = False) -> list[Problem]:
    """Files and folders that a training needs before it can start; a resume needs nothing of what the run began with
    (`init_from`)."""
    problems = list(_model_problems(config.model, config.trust_remote_code, source))
    first = () if resuming else init_from.faults(config)
    problems += [Problem("init_from", fault.what, fault.remedy, source) for fault in first]
    problems += _optimizer_problems(config, source)
    problems += _expert_problems(config.lora, source) if config.method == "lora" else ()
    sources = {f"data.source[{place}]": one.path for place, one in enumerate(sources_of(config.data))}
    named = {**(sources or {"data.train": config.data.train}), "data.val": config.data.val}
    named |= {f"data.extra_val.{name}": path for name, path in config.data.extra_val.items()}
    for key, path in named.items():
        if not path:
            remedy = f"launch with --data NAME, or set {key}"
            filled = f"fill in the data set, or {key} in the form"
            problems.append(Problem(key, "no file is named", remedy, source, form_remedy=filled))
        elif not is_data(path):
            remedy, filled = "check the path, or launch with --train and --val", "check the path, or fill in a data set"
            problems.append(Problem(key, f"{path} does not exist", remedy, source, form_remedy=filled))
    return problems if resuming else [*problems, *_test_problems(config.data.test, named, source)]


def _test_problems(test: str, named: Mapping[str, str], source: str) -> Iterator[Problem]:
    if test and not is_data(test):
        yield Problem("data.test", f"{test} does not exist", "check the path, or leave it out", source)
    for key in (key for key, path in named.items() if test and path == test):
        yield Problem("data.test", f"{key} is the same file", "a sealed test set needs pairs of its own", source)


def _optimizer_problems(config: TrainConfig, source: str) -> Iterator[Problem]:
    if config.optimizer == "adamw8bit" and importlib.util.find_spec("bitsandbytes") is None:
        what = "adamw8bit needs bitsandbytes, which is not installed"
        yield Problem("optimizer", what, "run pip install bitsandbytes, or set optimizer = adafactor", source)
    if config.optimizer == "adafactor" and config.adam_beta2 != TrainConfig().adam_beta2:
        what = "adafactor has a decay of its own and does not use it"
        yield Problem("adam_beta2", what, "leave it out, or set optimizer = adamw", source, "warning")


def _expert_problems(lora: Lora, source: str) -> Iterator[Problem]:
    if lora.target_parameters and lora.dropout:
        what = "lora.target_parameters adapts weights themselves, and no input of theirs can be dropped"
        yield Problem("lora.dropout", what, "set lora.dropout = 0", source)
    if lora.target_parameters and lora.dora:
        what = "DoRA is not done for lora.target_parameters"
        yield Problem("lora.dora", what, "leave one of them out", source)


def _model_problems(model: str, trusted: bool, source: str) -> Iterator[Problem]:
    if not model:
        remedy = "launch with --model PATH, or set model in workspace.toml"
        filled = "fill in the model field, or set model in workspace.toml"
        yield Problem("model", "no model is named", remedy, form_remedy=filled)
        return
    for fault in base_files.faults(model, trusted):
        yield Problem("model", fault.what, fault.remedy, source, "warning" if fault.warning else "error")
