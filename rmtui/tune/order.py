"""From what a person asks for to a search, and from a trial to the launch of its run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rmtui.errors import UserError
from rmtui.index.index import Index
from rmtui.operations.hub_revisions import Tell, silent
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.plan import Plan, plan
from rmtui.presets import Preset
from rmtui.runs.model import Run
from rmtui.tune import results
from rmtui.tune.course import Order
from rmtui.tune.decide import DECAY
from rmtui.tune.model import Budget, Dimension, Goal, Search, Trial
from rmtui.workspace import Workspace
from trainer.config import flatten, nest
from trainer.values import format_number

VARIED = ("learning_rate", "lora.r", "lora.alpha", "lora.dropout", "batch_size")
"""Options that a space may vary, as a search keeps the base configuration's."""
FEW_STEPS = 10
"""Optimizer steps below which a run shows nothing: its epochs are doubled, to four at most."""
WARM_UP = 0.1
"""Share of the shortest run's steps in which the rate rises; longer ones warm up in as many steps."""


def base_plan(ws: Workspace, request: LaunchRequest, tell: Tell = silent) -> Plan:
    """The base configuration, its data checked. UserError lists every error, as a launch does. `tell` hears what is
    printed while data is fetched."""
    made = plan(ws, request, tell=tell)
    if made.errors:
        said = "\n  ".join(["", *map(str, made.errors)])
        raise UserError("the search was refused before anything started", said.rstrip(), "fix these and try again")
    if made.derived is None:
        raise UserError("the search was refused", "its training pairs cannot be counted", "see rmtui launch --dry-run")
    if made.spec["launch"].get("kind") != "local":
        raise UserError("a search on a cluster was not tried", remedy="run it in a job of its own, with rmtui tune")
    return made


def make_search(
    made: Plan,
    budget: Budget,
    *,
    space: tuple[Dimension, ...],
    repeats: int,
    goal: Goal,
    margin: float,
) -> Search:
    """The rules of a search from this base configuration."""
    flat = flatten(made.spec["config"])
    lora = flat["method"] == "lora"
    kept = [key for key in VARIED if lora or not key.startswith("lora.")]
    return Search(
        budget,
        {key: flat[key] for key in kept},
        int(flat["num_epochs"]),
        space,
        repeats,
        goal,
        int(flat["seed"]),
        margin,
        shortest=min(4, math.ceil(FEW_STEPS / made.derived.steps_per_epoch)) if made.derived else 1,
        lora=lora,
    )


def steps_per_epoch(order: Order, settings: Mapping[str, float]) -> int:
    """Optimizer steps an epoch of a trial with these settings."""
    flat = {**flatten(order.spec["config"]), **settings}
    effective = int(flat["batch_size"]) * int(flat["gradient_accumulation_steps"])
    return max(1, math.ceil(order.train_pairs / (effective * int(order.spec["launch"]["processes"]))))


def schedule(order: Order, trial: Trial) -> dict[str, float | int | str]:
    """Warm-up, a constant rate, then a decay; a checkpoint before it, from which a longer run branches off. All runs
    of a search warm up in as many steps, so that a longer one shares the stable part of a shorter."""
    steps = steps_per_epoch(order, trial.settings)
    total, shortest = steps * trial.epochs, steps * order.search.rungs[0]
    warm, decay = int(WARM_UP * shortest), max(1, int(DECAY * total))
    stable = total - decay
    return {
        "lr_scheduler": "wsd",
        "lr_floor": 0.0,
        "warmup_ratio": (warm + 0.5) / total,
        "lr_decay_ratio": min(1.0, (decay + 0.5) / total),
        "save_steps": stable if stable > warm and 2 * stable > total else 0,
        "keep_checkpoints": 2 + math.ceil(decay / steps),
    }


def trial_plan(ws: Workspace, order: Order, trial: Trial) -> Plan:
    """The ordinary launch that a trial is. Its data was checked with the base configuration; the first run alone makes
    the start check, since the others have its model."""
    flat = {
        **flatten(order.spec["config"]),
        **trial.settings,
        **schedule(order, trial),
        "num_epochs": trial.epochs,
        "seed": trial.seed,
        "best_metric": "val_acc",  # plain val_loss prefers epochs that learned less; ties go to the lower val_loss
        "early_stopping_patience": 0,
        "eval_steps": 0,
        "eval_per_epoch": 0,
        "eval_at_start": True,
        "start_check": trial.n == 1,
    }
    launch = order.spec["launch"]
    name = str(order.spec.get("preset") or "")
    preset = Preset(name, "", "", Path("tune"), nest(flat), {}, "")
    request = LaunchRequest(
        preset,
        procs=int(launch["processes"]),
        devices=",".join(launch.get("devices", ())) or ("cpu" if launch.get("device") == "cpu" else ""),
        accelerate_config=str(launch.get("accelerate_config", "")),
        name=f"{order.data or 'run'}-tune-{order.id[9:15]}-{trial.n}",
        tags=("tune",),
    )
    made = plan(ws, request, check_data=False)
    return replace(made, spec={**made.spec, "data": order.data})


def launch_facts(order: Order, trial: Trial, index: Index, parent: Trial | None) -> dict[str, str]:
    """What spec.toml notes of a trial, so that it is found again, and where it goes on from."""
    facts = {"tune": mark(order.id, trial)}
    if trial.role == "extension" and parent is not None and parent.run:
        found = results.branch(index.run(parent.run))
        if found is not None:
            facts |= {"extends": parent.run, "branches_from": str(found.folder)}
    return facts


def mark(order_id: str, trial: Trial) -> str:
    """By which spec.toml says whose trial a run is."""
    return f"{order_id}/{trial.n}"


def settings_text(trial: Trial, base: Mapping[str, float]) -> str:
    """`learning_rate 3e-4 · lora.r 64`: what a trial has of its own."""
    own = {key: value for key, value in trial.settings.items() if key == "learning_rate" or base.get(key) != value}
    return " · ".join(f"{key} {format_number(value)}" for key, value in own.items())


def run_of(index: Index, trial: Trial) -> Run | None:
    """Its run, as the index has it."""
    try:
        return index.run(trial.run) if trial.run else None
    except UserError:
        return None
