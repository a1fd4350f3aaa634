"""Stopping runs, and asking a running one for its stacks."""

from __future__ import annotations

from collections.abc import Callable

from rmtui.errors import UserError
from rmtui.records.facts import Status
from rmtui.workspace import Workspace


def stop(
    ws: Workspace, run_id: str, *, now: bool = False, wait: bool = False, said: Callable[[Status], None] | None = None
) -> Status:
    """Ask a run to stop: it saves a checkpoint and ends; `now` kills at once. A queued run leaves the queue.

    Adopts a run whose supervisor died. With `wait`, returns when no process of the run is left; `said` hears each change
    of the status's words. A run that has ended is left as it is and its status returned.
    """
    raise UserError("not yet")


def stacks(ws: Workspace, run_id: str) -> None:
    """Have every rank write its Python stacks into its log."""
    raise UserError("not yet")
