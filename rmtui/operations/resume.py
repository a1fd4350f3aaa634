"""Going on: a new attempt of the same run, a linked run with more epochs, or a relaunch after a lack of memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rmtui.errors import UserError
from rmtui.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a resume did."""

    id: str
    """The run: the same, or the linked one."""
    step: int
    """The optimizer step it goes on from; 0: from the start."""
    warnings: tuple[str, ...] = ()
    """Why it is not exact, and what was passed over."""


def resume(ws: Workspace, run_id: str, *, force: bool = False, epochs: int | None = None) -> Resumed:
    """Queue a new attempt from the newest valid checkpoint; with `epochs`, extend a finished run as a linked run."""
    raise UserError("not yet")


def memory_suggestion(ws: Workspace, run_id: str) -> Mapping[str, int] | None:
    """What to try after `out of memory` (`{"batch_size": 2, "gradient_accumulation_steps": 4}`); None otherwise."""
    return None


def relaunch_smaller(ws: Workspace, run_id: str) -> str:
    """A new run with the suggestion after `out of memory`; returns its id."""
    raise UserError("not yet")
