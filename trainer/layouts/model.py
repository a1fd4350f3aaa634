"""What a layout is: how it is recognised, what it takes from where, and how its records become pairs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.turns import as_turns, read_history, read_side, read_tools

Record = Mapping[str, object]
Made = dict[str, object]
"""A pair in the house's own layout, as `trainer.house` reads it, or {left_out: why}."""
Numbered = tuple[int, Record | bytes]
"""A record with its number in the file, from 1; bytes where it could not be read, which say why themselves."""
NumberedPair = tuple[int, Made | bytes]


@dataclass(frozen=True, slots=True)
class PairLayout:
    """A way in which a file holds preferences, found in it by the names of its fields."""

    name: str
    sources: tuple[tuple[str, str], ...]
    """What is taken for prompt, chosen, rejected, margin …: (ours, theirs)."""
    convert: Callable[[Iterator[Numbered]], Iterator[NumberedPair]]


def left_out(why: str) -> Made:
    """A record that holds no preference: `tie`, `no_preference`, `one_answer`."""
    return {"left_out": why}


def each(made: Callable[[Record], Iterable[Made]]) -> Callable[[Iterator[Numbered]], Iterator[NumberedPair]]:
    """A conversion of one record at a time."""

    def convert(records: Iterator[Numbered]) -> Iterator[NumberedPair]:
        for number, record in records:
            if isinstance(record, bytes):
                yield number, record
            else:
                for one in made(record):
                    yield number, one

    return convert


def most(sample: Sequence[Record], fits: Callable[[Record], bool]) -> bool:
    """Whether at least half of the records fit."""
    return bool(sample) and 2 * sum(map(fits, sample)) >= len(sample)


def has(*names: str) -> Callable[[Record], bool]:
    """Whether a record has all of these fields."""
    return lambda record: all(name in record for name in names)


def number(value: Any) -> float | None:
    """A finite number, also as a table writes it; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


ABSENT = object()
"""For a prompt that the dialogues themselves begin with."""
_OURS = frozenset(("id", "prompt", "chosen", "rejected", "margin", "system", "tools", "left_out"))
_SHORT = 200
"""Characters of a further field that goes along with the pair."""


def build(
    record: Record,
    prompt: Any,
    chosen: Any,
    rejected: Any,
    *,
    used: Iterable[str] = (),
    turns: bool = True,
    system: Any = None,
    history: Any = None,
    margin: float | None = None,
) -> Made:
    """The pair of a record.

    `turns`: prompt and answers are turns of a dialogue, else text that is read on as it is. Fields that are not `used`
    go along where they are short.
    """
    made: Made = {name: record[name] for name in _further(tuple(record), tuple(used)) if _is_short(record[name])}
    own = record.get("id")
    if isinstance(own, (str, int)) and not isinstance(own, bool):
        made["id"] = own
    before = [*_system(system), *read_history(history)] if system or history else []
    if turns or before or isinstance(read_side(prompt), list):
        asked = as_turns(prompt, "user")
        made["prompt"] = _joined(before, asked) if before and isinstance(asked, list) else asked
        made["chosen"], made["rejected"] = as_turns(chosen, "assistant"), as_turns(rejected, "assistant")
    else:
        made["prompt"], made["chosen"], made["rejected"] = map(read_side, (prompt, chosen, rejected))
    if prompt is ABSENT:
        del made["prompt"]
    if margin is not None:
        made["margin"] = margin
    if (tools := _tools(record, prompt)) and (tools := read_tools(tools)):
        made["tools"] = tools
    return made


@functools.lru_cache(maxsize=64)
def _further(names: tuple[str, ...], used: tuple[str, ...]) -> tuple[str, ...]:
    """Fields of a record that go along with the pair, where they are short."""
    return tuple(name for name in names if name not in used and name not in _OURS)


def _tools(record: Record, prompt: Any) -> Any:
    """The tools of a record, or of the prompt where that is an object of its own (OpenAI's `input`)."""
    return record.get("tools") or (prompt.get("tools") if isinstance(prompt, Mapping) else None)


def _system(system: Any) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []


def _joined(before: list[dict[str, str]], turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """Earlier turns before later ones; a system prompt is not said twice."""
    twice = _opens_with_system(turns) and _opens_with_system(before)
    return [*(before[1:] if twice else before), *turns]


def _opens_with_system(turns: list[Any]) -> bool:
    return bool(turns) and isinstance(turns[0], Mapping) and turns[0].get("role") == "system"


def _is_short(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return 0 < len(value) <= _SHORT
    return kind is int or kind is bool or (kind is float and math.isfinite(value))
