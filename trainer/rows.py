"""What a pair is: its two sides, how they read as text, and what distinguishes it from others. No torch, no files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Message = dict[str, str]
Side = str | list[Message]
"""Text, or a list of {role, content}."""


LEFT_OUT = "left_out"
"""Kind of a `BadLine` that is a row without a preference (a tie, say): counted, and no fault."""


@dataclass(frozen=True, slots=True)
class Row:
    """One preference pair. `line` is 1-based; lines end at \\n only."""

    id: str
    """The row's own `id`, else a hash of its content; see `distinct_ids`."""
    prompt: Side
    chosen: Side
    rejected: Side
    margin: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the line holds (source, subset, …)."""
    line: int = 0
    tools: tuple[Mapping[str, Any], ...] = ()
    """What the assistant could call, as chat templates take it."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that holds no readable pair."""

    line: int
    kind: str
    """blank, encoding, json, object, duplicate_key, missing_field, type, empty, surrogate, prompts_differ, margin,
    left_out."""
    message: str
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the message is made of, for whoever says it in other words; `case` tells a kind's sentences apart."""

    @property
    def harmless(self) -> bool:
        """Nothing is wrong with it: it is blank, or a row that holds no preference."""
        return self.kind in ("blank", LEFT_OUT)

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Response:
    """One answer to be scored by itself: a line with `response` (or `completion`), and `prompt`."""

    id: str
    prompt: Side
    response: Side
    line: int = 0


def plain_text(side: Side) -> str:
    """A side as text: message lists in the HH manner, for models without a chat template."""
    if isinstance(side, str):
        return side
    names = {"user": "Human", "assistant": "Assistant", "system": "System"}
    return "".join(f"\n\n{names.get(item['role'], item['role'])}: {message_text(item)}" for item in side)


def message_text(message: Message) -> str:
    """What a turn says: its content, and its tool calls as JSON."""
    calls = message.get("tool_calls")
    return message["content"] + (json.dumps(calls, ensure_ascii=False) if calls else "")


def content_hash(row: Row) -> str:
    """16 hex digits of what the pair says: prompt, chosen, rejected, margin and tools."""
    return digest(row).hex()[:16]


def prompt_hash(row: Row) -> str:
    """16 hex digits of the prompt; case and spacing do not count."""
    text = " ".join(plain_text(row.prompt).casefold().split())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest(row: Row) -> bytes:
    """SHA-256 of what the pair says."""
    texts = [row.prompt, row.chosen, row.rejected, row.margin, *([row.tools] if row.tools else [])]
    return hashlib.sha256(json.dumps(texts, ensure_ascii=True, sort_keys=True).encode()).digest()


def distinct_ids(rows: Iterable[Row]) -> list[Row]:
    """Rows whose ids tell them apart: an id that occurs twice gives way to content hashes, and those to `hash~2`."""
    kept = list(rows)
    own = Counter(row.id for row in kept)
    kept = [row if own[row.id] == 1 else replace(row, id=content_hash(row)) for row in kept]
    seen: Counter[str] = Counter()
    for place, row in enumerate(kept):
        seen[row.id] += 1
        if seen[row.id] > 1:
            kept[place] = replace(row, id=f"{row.id}~{seen[row.id]}")
    return kept
