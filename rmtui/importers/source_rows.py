"""What a reader takes out of a source: rows of figures at a place of the training, in the source's own words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from rmtui.importers.metric_names import Split, split_in
from rmtui.importers.model import PerCent

_LARGEST = 1e15
"""Steps and epochs beyond this are garbage."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """Figures that one line, or one entry, gives."""

    figures: Mapping[str, float] = field(default_factory=dict)
    """Name as written → value; accuracies as written too (`71` or `0.71`)."""
    step: float | None = None
    epoch: float | None = None
    """Passes over the training pairs so far: 1.3 lies inside the second."""
    split: Split | None = None
    """What a section, line or file says of all these figures; names that say it themselves come first."""
    time: float | None = None
    """Unix seconds."""


@dataclass(slots=True)
class Said:
    """What a source says of its training as a whole; None or empty where it is silent."""

    total_steps: int | None = None
    num_epochs: int | None = None
    steps_per_epoch: float | None = None
    over: str = ""
    """Its words for the end of the training."""
    whole_loss: float | None = None
    """The mean training loss over all steps."""
    config: dict[str, Any] = field(default_factory=dict)
    unused: dict[str, None] = field(default_factory=dict)
    """Keys that were not read, in the order of their coming."""


def number(value: object) -> float | None:
    """A figure as programs write it: a number, or one in quotation marks, per cent included; None for anything else."""
    if type(value) is float:
        return value
    if isinstance(value, str):
        return _number_in(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def _number_in(text: str) -> float | None:
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return PerCent(text.strip().rstrip("%"))
    except ValueError:
        return None


def place(value: object) -> float | None:
    """A step or an epoch; None for what cannot be one."""
    found = number(value)
    return found if found is not None and math.isfinite(found) and 0 <= found < _LARGEST else None


def whole(value: object) -> int | None:
    """A positive count; None for what is none."""
    found = place(value)
    return int(found) if found is not None and found >= 1 and found == int(found) else None


def figures_of(values: Mapping[str, object], left_out: Iterable[str], said: Said) -> dict[str, float]:
    """The numbers in a row; what is no number, or only measures the machine, is noted as not used."""
    out = left_out if isinstance(left_out, frozenset) else frozenset(left_out)
    found: dict[str, float] = {}
    for name, value in values.items():
        if name in out or (says_split(name) and isinstance(value, str) and split_in(value)):
            continue
        figure = None if measures_machine(name) else number(value)
        if figure is None:
            if len(said.unused) < 100:
                said.unused[name] = None
        else:
            found[name] = figure
    return found


_MACHINE = (
    "runtime",
    "per_sec",
    "total_flos",
    "elapsed_time",
    "remaining_time",
    "percentage",
    "memory",
    "_speed",
    "timing_",
)
_SAYS_SPLIT = frozenset(("phase", "split", "stage", "mode", "set", "subset", "type", "event", "kind"))
_SECONDS = re.compile(r"\btime\b|\((?:s|ms|gib|mb)\)|throughput|tokens/s|\bmfu\b|\bsamples$")


def says_split(name: str) -> bool:
    """Whether a key or column is one under which rows name their split."""
    return name.lower() in _SAYS_SPLIT


def split_of(values: Mapping[str, object]) -> Split | None:
    """The split that a row names in words of its own, `"phase": "eval"`."""
    words = (value for name, value in values.items() if isinstance(value, str) and says_split(name))
    return next((split for value in words if len(value) <= 40 and (split := split_in(value)) is not None), None)


@lru_cache(maxsize=4096)
def measures_machine(name: str) -> bool:
    """Speeds, times, memory and how many samples there were: nothing that the training achieved."""
    lower = name.lower()
    return any(part in lower for part in _MACHINE) or _SECONDS.search(lower.replace("_", " ")) is not None
