"""What the app remembers between two starts: selection, filter, sort, marks, theme. A convenience, never a record."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from trainer.files import replace_file


@dataclass(slots=True)
class Memory:
    """Changed in place while the app runs; `store` writes it, `recall` reads it."""

    query: str = ""
    sort: str = "created"
    descending: bool = True
    cursor: str = ""
    """Id of the run under the cursor."""
    marked: list[str] = field(default_factory=list)
    baseline: str = ""
    """Id of the run that Δ is measured from."""
    theme: str = ""
    lang: str = ""
    alone: bool = False
    """The list has the whole width."""
    panel: str = "curves"
    """What the lower half of a small home shows: curves, log or summary."""


def recall(path: Path) -> Memory:
    """The remembered state; anything unreadable is forgotten without a word, since nothing depends on it."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return Memory()
    return _from_document(document) if isinstance(document, dict) else Memory()


def _from_document(document: Mapping[str, object]) -> Memory:
    memory = Memory()
    for item in fields(Memory):
        value = document.get(item.name)
        if isinstance(value, type(getattr(memory, item.name))):
            setattr(memory, item.name, value)
    memory.marked = [mark for mark in memory.marked if isinstance(mark, str)]
    return memory


def store(memory: Memory, path: Path) -> None:
    """Replace the file; a folder that cannot be written costs the memory, not the app."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(asdict(memory), ensure_ascii=False).encode("utf-8", "replace"))
