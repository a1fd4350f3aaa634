"""Adoption: trainings of this machine whose supervisor died get a new one."""

from __future__ import annotations

from rmtui.launch import hooks
from rmtui.launch.this_machine import ThisMachine
from rmtui.runs import identity, proc
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace


def adopt_all(ws: Workspace) -> list[str]:
    """A new supervisor for every unsupervised training of the workspace; returns their ids.

    The app calls it at start and every few seconds: it looks at tagged processes only, whatever the number of runs.
    """
    if identity.copied_from(ws.root):
        return []
    hooks.found_ended(ws)
    here, tagged = ThisMachine(), sorted({process.run for process in proc.tagged()})
    return [run for run in tagged if here.attend(ws, RunFolder(ws.runs / run))]
