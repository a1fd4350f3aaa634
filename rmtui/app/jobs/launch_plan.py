"""From a form to a launch: what a worker works out while one types, and the start itself. No widget here."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from rmtui import text
from rmtui.index.index import Index
from rmtui.operations.launch_request import LaunchRequest
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.operations.plan import Plan


@dataclass
class Planned(Message):
    """A plan for the form as it was when it was asked for."""

    request: LaunchRequest
    plan: Plan
    derived: Mapping[str, str]


@dataclass
class Launched(Message):
    """Runs were started or queued."""

    run_ids: tuple[str, ...]


def plan_launch(ws: Workspace, index: Index, request: LaunchRequest, check_data: bool = False) -> Planned:
    from rmtui.operations.plan import plan

    made = plan(ws, request, check_data=check_data)
    return Planned(request, made, derived_lines(made, index))


def derived_lines(plan: Plan, index: Index) -> dict[str, str]:
    """Figures that follow from the form: name → text."""
    from rmtui.operations.estimates import past_time

    lines: dict[str, str] = {}
    derived, sizes = plan.derived, plan.sizes
    config = plan.spec.get("config", {})
    if derived is not None:
        count = text.count
        lines["pairs"] = count(derived.train_pairs)
        lines["steps"] = f"{count(derived.total_steps)} ({count(derived.steps_per_epoch)} an epoch)"
        lines["warm-up"] = f"{count(derived.warmup_steps)} steps"
        factors = (config.get("batch_size"), config.get("gradient_accumulation_steps"), derived.world_size)
        lines["effective batch"] = f"{derived.effective_batch} = {' × '.join(map(str, factors))}"
        if tokens := config.get("batch_tokens"):
            lines["forward pass"] = f"≤ {count(tokens)} tokens"
    lines["precision"] = plan.precision
    if sizes is not None:
        lines["trainable"] = f"{text.short(sizes.trainable)} of {text.short(sizes.parameters)}"
        lines["memory"] = f"~{text.size(sizes.total_bytes)} a process"
    if (past := past_time(index, plan.derived, plan.spec)) is not None:
        lines["about"] = f"{text.span(past.whole)}, from {past.runs} past run{'s' if past.runs > 1 else ''}"
    return lines


def short_line(plan: Plan) -> str:
    """The command for a person: of the launcher's file the name alone; the launch itself takes the whole path."""
    argv, line = plan.command.argv, plan.line
    if "--config_file" not in argv:
        return line
    path = argv[argv.index("--config_file") + 1]
    return line.replace(shlex.quote(path), f".../{Path(path).name}")


def launch(ws: Workspace, requests: Sequence[LaunchRequest]) -> Launched:
    """Start or queue every request; UserError of the first that is wrong, before any starts."""
    from rmtui.operations.launch import start
    from rmtui.operations.plan import plan

    plans = [plan(ws, request) for request in requests]
    return Launched(tuple(start(ws, plan) for plan in plans))


def texts_of(config: Mapping[str, object], ws: Workspace) -> dict[str, str]:
    """A configuration as form texts: numbers as people write them, paths as from the workspace's folder."""
    from rmtui.i18n import value_text
    from trainer.config import OPTIONS, flatten

    known = {key: value for key, value in flatten(config).items() if key in OPTIONS}
    return {key: ws.as_written(value_text(key, value)) for key, value in known.items()}
