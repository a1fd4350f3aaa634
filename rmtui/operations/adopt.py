"""Adoption: a training whose supervisor died gets a new one."""

from __future__ import annotations

from rmtui.workspace import Workspace


def adopt_all(ws: Workspace) -> list[str]:
    """A new supervisor for every unsupervised training of the workspace; returns their ids. The app calls it at start
    and every few seconds."""
    return []


def adopt(ws: Workspace, run_id: str) -> bool:
    """A new supervisor for one run; False when it needs none."""
    return False
