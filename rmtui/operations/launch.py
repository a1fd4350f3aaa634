"""Launching: a preset becomes a plan with every problem and figure; a plan becomes a queued or started run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.presets import Preset
from rmtui.workspace import Workspace
from trainer.config import Problem
from trainer.estimate import Derived, Sizes


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be launched. Nothing is on disk yet."""

    spec: Mapping[str, Any]
    """spec.toml without id and created: name, preset, data, tags, [config], [trainer], [launch]."""
    problems: tuple[Problem, ...]
    argv: tuple[str, ...]
    """The accelerate line with `RUN` for the run folder."""
    environment: Mapping[str, str]
    """What is set for it beside the caller's environment; no secrets."""
    derived: Derived | None
    """Steps, warm-up, effective batch; None while the configuration or the data is wrong."""
    sizes: Sizes | None
    """Parameters and memory; None where the model's size is not known."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity != "error")

    @property
    def line(self) -> str:
        """The command as one would type it, environment first."""
        return ""


def plan(
    ws: Workspace,
    preset: Preset | str,
    *,
    overrides: Mapping[str, str] | None = None,
    data: str = "",
    train: str = "",
    val: str = "",
    extra_val: Mapping[str, str] | None = None,
    model: str = "",
    procs: int | None = None,
    devices: str = "",
    name: str = "",
    tags: Sequence[str] = (),
    accelerate_config: str = "",
    cwd: Path | None = None,
    check_data: bool = True,
    config: Mapping[str, Any] | None = None,
) -> Plan:
    """Everything a launch would do. `overrides` are dotted keys with values as typed; `devices` is `cpu` or `0,3`.

    Paths are relative to `cwd` (default: the workspace). `check_data=False` leaves the data check out (a form asks for
    it on launch only). `config` replaces the preset's configuration (a form opened from a past run).
    """
    raise UserError("not yet")


def start(ws: Workspace, plan: Plan, *, accept_warnings: bool = True) -> str:
    """Write the run folder, queue the run and start its waiting supervisor; returns the run's id.

    UserError lists every error of the plan. The run starts at once when its devices are free.
    """
    raise UserError("not yet")


def wait(ws: Workspace, run_id: str) -> int:
    """Until the run ends: 0 finished, 1 otherwise. Ctrl-C ends the waiting, never the run."""
    raise UserError("not yet")
