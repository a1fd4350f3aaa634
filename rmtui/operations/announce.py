"""Ends that nobody saw: their supervisors died, or the machine did. Whoever looks runs the workspace's command."""

from __future__ import annotations

from rmtui.workspace import Workspace


def announce_ends(ws: Workspace) -> None:
    """Run on_finished or on_failed for every end that was not announced. One look at one folder where there is none."""
    try:
        waiting = any((ws.queue / "unannounced").iterdir())
    except OSError:
        return
    if waiting:
        from rmtui.launch import hooks

        hooks.found_ended(ws)
