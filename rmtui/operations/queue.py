"""The queue as a person sees it: its order, moving, taking out, starting again after the machine restarted."""

from __future__ import annotations

from dataclasses import dataclass

from rmtui.errors import UserError
from rmtui.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Place:
    """One waiting run, first in line first."""

    id: str
    name: str
    place: int
    needs: str
    since: float
    attended: bool
    """False: it waits for a person (`start_again`)."""
    reason: str


def places(ws: Workspace) -> list[Place]:
    """Every waiting run in order."""
    return []


def move(ws: Workspace, run_id: str, place: int) -> None:
    """Put a waiting run at `place` (1: first)."""
    raise UserError("not yet")


def start_again(ws: Workspace, run_id: str | None = None) -> list[str]:
    """Start the waiting again for runs whose waiting process is gone (all, or one); returns their ids."""
    return []
