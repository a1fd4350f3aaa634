"""The terminal program; the only room that imports Textual."""

from __future__ import annotations


def run_app(workspace: str | None, run_id: str = "", lang: str = "") -> int:
    """Open the app on a workspace folder (None: the current folder), on a run, in a language (default: the
    workspace's, else the locale's); returns the exit code."""
    from rmtui.app.start import start

    return start(workspace, run_id, lang)
