"""The latest events of an attempt, or its first ones, without reading the whole file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmtui.runs.folder import AttemptFolder
from trainer.plain_files import open_plain

if TYPE_CHECKING:
    from trainer.events import Event

TAIL = 1 << 16


def read(attempt: AttemptFolder, kind: str, *, from_end: bool = True, most: int = TAIL) -> list[Event]:
    """Events of a kind among the last (or first) `most` bytes of events.jsonl, the oldest first."""
    from trainer.events import decode

    try:
        with open_plain(attempt.events) as file:
            if from_end:
                file.seek(max(0, file.seek(0, 2) - most))
            lines = file.read(most).split(b"\n")
    except OSError:
        return []
    events = [decode(line) for line in lines if f'"{kind}"'.encode() in line]
    return [event for event in events if event is not None and event.kind == kind]
