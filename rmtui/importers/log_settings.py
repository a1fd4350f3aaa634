"""Settings that a log states itself, before its first line of metrics, and when its training began.

`learning_rate: 2e-05`, `LoRA r=16, alpha=32, dropout=0.1`, `Namespace(lr=2e-05, …)`, `key=value`, JSON and Python's
dictionaries. Nothing is taken from lines of metrics: their `lr` is that of a step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from rmtui.importers.dictionaries import dictionary
from rmtui.importers.source_rows import number
from rmtui.importers.yaml_config import setting_of
from trainer.config import OPTIONS, check_value
from trainer.plain_files import open_plain

MOST_LINES, LONGEST = 5000, 1 << 16
_STAMP = re.compile(r"\b(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)")
_HEAD = re.compile(r"^\W*\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*\W*|\b(?:INFO|DEBUG|WARNING)\b\W*")
_METRICS = re.compile(r"\bloss\b|_loss\b|\bit/s|s/it\b|^\W*(?:epoch|step)\W*\d|\d+%\|", re.IGNORECASE)
_VALUE = r"""(?P<value>"[^"]*"|'[^']*'|\[[^\]]*\]|[^\s,;(){}\[\]|=]+)"""
_LINE = re.compile(rf"(?P<key>[A-Za-z_][\w.]*)\s*:\s*{_VALUE}")
"""`key: value`, the whole message."""
_EQUALS = re.compile(rf"(?<![\w.'\"/-])(?P<key>[A-Za-z_][\w.]*)\s*=\s*{_VALUE}")
_QUOTED = re.compile(rf"""(?P<quote>['"])(?P<key>[A-Za-z_][\w.]*)(?P=quote)\s*:\s*{_VALUE}""")
_PLACES = ("epoch", "step", "global_step", "current_steps", "current_step", "global_step/max_steps", "iteration")
_LOSSES = ("loss", "train_loss", "eval_loss", "train/loss")
_SPLIT = r"(?<![A-Za-z/])(?<!max[_ ])(?:val|valid|validation|eval|evaluation)"
_COUNT = r"(\d{1,3}(?:,\d{3})+|\d+)(?![\d.,]*\d|\s*[/%])"
_UNIT = r"(?:pairs|examples|samples|preferences)"
_VAL_PAIRS = re.compile(
    rf"{_SPLIT}(?:[ _]?set|[ _]data(?:set)?)?[ _](?:{_UNIT}|size)\s*[:=]\s*{_COUNT}"
    rf"|{_SPLIT}(?:[ _]?set|[ _]data(?:set)?)?\s*[:=]\s*{_COUNT}\s+{_UNIT}"
    rf"|(?<![\d.,:=/])(?<![:=] ){_COUNT}\s+{_SPLIT}(?:[ _]set)?[ _]{_UNIT}(?!\s*[:=])"
    rf"|验证(?:集|样本|数据)?(?:大小|数量|数)?\s*[:：=]\s*{_COUNT}",
    re.IGNORECASE,
)
_SHARED = {"r", "rank", "alpha", "dropout"}
"""Names that mean LoRA's in a line about LoRA, and anything elsewhere."""
_NO_SETTING = {"rank", "model", "data", "batch", "schedule", "scheduler", "warmup"}


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Dotted key → value, and Unix seconds; None where the log has no dates."""

    flat: dict[str, Any]
    started: float | None
    val_pairs: int | None = None
    """Pairs of the validation set, where a line before the metrics counts them."""


def read_settings(path: Path) -> LogSettings:
    """What the first lines of a log say."""
    flat: dict[str, Any] = {}
    started: float | None = None
    pairs: int | None = None
    with open_plain(path) as file:
        for raw in islice(file, MOST_LINES):
            line = raw[:LONGEST].decode("utf-8", "replace")
            if started is None and (stamp := _STAMP.search(line)):
                started = _moment(" ".join(stamp.groups()))
            if _has_metrics(line):
                break
            flat.update(_settings(line))
            pairs = _val_pairs(line) or pairs
    return LogSettings(flat, started, pairs)


def _val_pairs(line: str) -> int | None:
    """`Val pairs: 2,354`, `eval examples = 2354`, `validation set: 2354 pairs`, `2354 val pairs`, `验证集：2354 对`."""
    found = _VAL_PAIRS.search(line)
    count = int(next(filter(None, found.groups())).replace(",", "")) if found else 0
    return count if 0 < count < 2**31 else None


def _has_metrics(line: str) -> bool:
    """Whether a line is one of a training that has begun; a dictionary is one if it has a place, or a loss."""
    if "Namespace(" in line:
        return False
    if "{" not in line:
        return _METRICS.search(line) is not None
    values = {name: number(value) for name, value in dictionary(line).items()}
    return any(value is not None and (name in _PLACES or name in _LOSSES) for name, value in values.items())


def _moment(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _settings(line: str) -> Iterator[tuple[str, Any]]:
    message = _HEAD.sub("", line).strip()
    whole = _LINE.fullmatch(message)
    inside = whole is not None or "{" in message or "(" in message
    for pair in [whole] if whole else [*_EQUALS.finditer(message), *_QUOTED.finditer(message)]:
        key = pair["key"]
        if key in _SHARED and "lora" in message.lower():
            key = f"lora.{key}"
        elif key in _SHARED | _NO_SETTING or (key == "lr" and not inside):
            continue
        value = _value(pair["value"])
        found = None if value is None else setting_of(key, value)
        if found is not None and not _wrong(*found):
            yield found


def _wrong(key: str, value: Any) -> bool:
    return any(problem.severity == "error" for problem in check_value(OPTIONS[key], value))


def _value(text: str) -> Any:
    """As YAML reads it; None for nothing."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return found if isinstance(found, (str, int, float, bool, list)) and found != "None" else None
