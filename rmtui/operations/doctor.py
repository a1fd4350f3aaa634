"""The doctor: is this machine fit to train, and what is in the way."""

from __future__ import annotations

from dataclasses import dataclass

from rmtui.workspace import Workspace

GLYPHS = {"ok": "✓", "note": "·", "warning": "▲", "error": "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    level: str
    """ok, note, warning or error."""
    text: str
    remedy: str = ""


def examine(ws: Workspace | None, *, deep: bool = True) -> list[Finding]:
    """Look at Python, packages, the real world size (`deep`), GPUs, disk, file system, SQLite, logind, orphans."""
    return []


def end_orphans(ws: Workspace | None) -> list[int]:
    """End the processes of trainings that no supervisor watches and no run accounts for; returns their pids."""
    return []
