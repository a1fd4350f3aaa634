"""Which launcher a run has. The module of a launcher is loaded when the first run of its kind asks for it."""

from __future__ import annotations

from rmtui.launch.launcher import Launcher
from rmtui.launch.this_machine import ThisMachine
from rmtui.runs.folder import RunFolder


def of(run: RunFolder) -> Launcher:
    """The launcher of a run."""
    return ThisMachine()
