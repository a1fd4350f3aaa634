"""From run folders into the index: events with their byte offset in one transaction, states, what a person set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmtui.errors import UserError
from rmtui.records.facts import Epoch
from rmtui.workspace import Workspace


def catch_up(ws: Workspace, run_id: str) -> None:
    """Bring one run's rows up to date. UserError when the database is faulty: the training goes on, try again later."""
    raise UserError("not yet")


def add_imported(
    ws: Workspace,
    spec: Mapping[str, Any],
    epochs: Sequence[Epoch],
    series: Mapping[str, Sequence[tuple[int, float]]],
    origin: Mapping[str, Any],
) -> str:
    """Write a run folder for a training that was not launched here, and index it; returns its id.

    `spec` may hold name, preset, data, created (ISO or Unix time), config (nested; unknown values left out) and
    fingerprints. `series` is metric → (step, value). `origin` says where it came from: `source` (path or words),
    `digest` (of what was read). A second import with an equal digest returns the id of the first.
    """
    raise UserError("not yet")
