"""The terminal program; the only room that imports Textual."""

from __future__ import annotations


def run_app(workspace: str | None) -> int:
    """Open the app on a workspace folder (None: the current folder); returns the exit code."""
    from rmtui.app.start import start

    return start(workspace)
