"""From a form to a launch: what a worker works out while one types, and the start itself. No widget here."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from rmtui import text
from rmtui.index.index import Index
from rmtui.presets import Preset
from rmtui.runs.model import Run
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.operations.plan import Plan


@dataclass(frozen=True, slots=True)
class LaunchOrder:
    """A training as a person asks for it: a preset (a past run counts as one) and what was changed."""

    preset: Preset
    changes: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    """The data set that was asked for by name."""
    usual: str = ""
    """The one that fills the files that nobody named."""
    procs: int | None = None
    name: str = ""
    tags: tuple[str, ...] = ()

    def plan(self, ws: Workspace, check_data: bool = False) -> Plan:
        from rmtui.operations.plan import plan

        return plan(
            ws,
            self.preset,
            overrides=self.changes,
            data=self.data,
            usual_data=self.usual,
            procs=self.procs,
            name=self.name,
            tags=self.tags,
            check_data=check_data,
        )


@dataclass
class Planned(Message):
    """A plan for the form as it was when it was asked for."""

    order: LaunchOrder
    plan: Plan
    derived: Mapping[str, str]


@dataclass
class Launched(Message):
    """Runs were started or queued."""

    run_ids: tuple[str, ...]


def work_out(ws: Workspace, index: Index, order: LaunchOrder, check_data: bool = False) -> Planned:
    plan = order.plan(ws, check_data)
    return Planned(order, plan, derived_lines(plan, index))


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
    if sizes is not None:
        lines["trainable"] = f"{text.short(sizes.trainable)} of {text.short(sizes.parameters)}"
        lines["memory"] = f"~{text.size(sizes.total_bytes)} a process"
    if (past := past_time(index, plan.derived, plan.spec)) is not None:
        lines["about"] = f"{text.span(past.seconds)}, from {past.runs} past run{'s' if past.runs > 1 else ''}"
    return lines


def short_line(plan: Plan) -> str:
    """The command for a person: of the launcher's file the name alone; the launch itself takes the whole path."""
    argv, line = plan.command.argv, plan.line
    if "--config_file" not in argv:
        return line
    path = argv[argv.index("--config_file") + 1]
    return line.replace(shlex.quote(path), f".../{Path(path).name}")


def as_preset(run: Run) -> Preset:
    """A past run's configuration, to be launched again."""
    return Preset(run.preset or "", run.name, "", run.folder / "spec.toml", run.config, {}, "")


def launch(ws: Workspace, orders: Sequence[LaunchOrder]) -> Launched:
    """Start or queue every order; UserError of the first that is wrong, before any starts."""
    from rmtui.operations.launch import start

    plans = [order.plan(ws, check_data=True) for order in orders]
    return Launched(tuple(start(ws, plan) for plan in plans))


def with_seeds(order: LaunchOrder, seeds: Sequence[int]) -> list[LaunchOrder]:
    """The same training once a seed."""
    return [
        replace(
            order,
            changes={**order.changes, "seed": str(seed)},
            name=f"{order.name}-seed{seed}" if order.name else "",
        )
        for seed in seeds
    ]


def data_sets(root: Path) -> list[str]:
    """Names that `--data` takes in this workspace."""
    data = root / "data"
    flat = {path.name.removesuffix("_pairs.jsonl") for path in data.glob("train/*_pairs.jsonl")}
    folders = {path.parent.name for path in data.glob("*/train.jsonl")}
    return sorted(flat | folders)


def usual_data(ws: Workspace, newest: Run | None) -> str:
    """The data set a launch means when nobody says: the workspace's, the newest run's, else the first there is."""
    names = data_sets(ws.root)
    wanted = ws.settings.data or (newest.data if newest and newest.data else "")
    return wanted if wanted in names else names[0] if names else wanted


def usual_files(ws: Workspace, name: str) -> dict[str, tuple[str, str]]:
    """The fields that a data set fills while they are empty: (file below the workspace, where that is said)."""
    from rmtui.operations.plan import FILES
    from trainer.pairs import find_data

    try:
        found = find_data(ws.root, name)
    except FileNotFoundError:
        return {}
    source = "workspace.toml" if name == ws.settings.data else f"data set {name}"
    files = zip(FILES, found, strict=True)
    return {key: (str(path.relative_to(ws.root)), source) for key, path in files}


def usual_model(ws: Workspace, preset: Preset, newest: Run | None) -> str:
    """The newest run's model, where neither the preset nor the workspace names one; else empty."""
    if preset.config.get("model") or ws.settings.model or newest is None:
        return ""
    return str(newest.config.get("model") or "")


def texts_of(config: Mapping[str, object], ws: Workspace) -> dict[str, str]:
    """A configuration as form texts: numbers as people write them, paths as from the workspace's folder."""
    from rmtui.i18n import value_text
    from trainer.config import OPTIONS, flatten

    known = {key: value for key, value in flatten(config).items() if key in OPTIONS}
    return {key: ws.as_written(value_text(key, value)) for key, value in known.items()}
