"""The verb launch: plans, their problems and figures, and starting them."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rmtui.cli.messages import ended_code, print_status, run_document
from rmtui.cli.verb import add_json, print_json, workspace_folder

if TYPE_CHECKING:
    from rmtui.documents.launching import DerivedDocument, PlanDocument, ProblemDocument, SizesDocument
    from rmtui.operations.estimates import PastTime
    from rmtui.operations.plan import Plan
    from rmtui.workspace import Workspace
    from trainer.config import Problem
    from trainer.estimate import Derived, Sizes


def build_launch(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("preset", nargs="+", metavar="PRESET", help="letter, name or file; several are queued in this order")
    add("--data", default="", metavar="NAME", help="data/{train,val}/NAME_pairs.jsonl or data/NAME/{train,val}.jsonl")
    add("--train", default="", metavar="FILE", help="training pairs")
    add("--val", action="append", default=[], metavar="FILE|NAME=FILE", help="validation pairs, or a further set")
    add("--model", default="", help="local folder or hub name (default: the workspace's)")
    add("--procs", type=int, metavar="N", help="processes (default: the workspace's, else the visible GPUs, else 1)")
    add("--devices", default="", metavar="0,3|cpu", help="these GPUs and no others, or the CPU")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="one option, dotted: lora.r=16")
    add("--fresh-head", action="store_true", help="a new head in place of the model's own: --set fresh_head=true")
    add("--seeds", default="", metavar="1,2,3", help="a run a seed")
    add("--name", default="", help="the run's name (default: data, preset and a number, helpful-A-3)")
    add("--tag", action="append", default=[], metavar="T", help="a tag; may be given several times")
    add("--accelerate-config", default="", metavar="FILE", help="an accelerate configuration (FSDP, DeepSpeed)")
    add("--dry-run", action="store_true", help="show line, figures and problems; start nothing")
    add("--wait", action="store_true", help="until the run ends; exit code 1 unless it finished")
    add("--yes", action="store_true", help="accept warnings without asking")
    add_json(parser)


def run_launch(args: argparse.Namespace) -> int:
    from rmtui.operations import launch
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    plans = [_plan(ws, args, preset, seed) for preset, seed in itertools.product(args.preset, _seeds(args.seeds))]
    if args.dry_run:
        return _show_plans(ws, plans, args.json)
    if any(plan.errors for plan in plans):
        wrong = next(plan for plan in plans if plan.errors)
        launch.start(ws, wrong, remedy=_remedy(ws, wrong))
    if not _accepted(plans, args.yes):
        return 2
    ids = []
    for plan in plans:
        ids.append(launch.start(ws, plan))
        if not args.json:
            print(ids[-1], flush=True)
    try:
        ended = [launch.wait(ws, run, print_status) for run in ids] if args.wait else []
    except KeyboardInterrupt:
        print("no longer waiting; what was launched goes on (rmtui stop ends it)", file=sys.stderr)
        raise
    if args.json:
        documents = [run_document(ws, run) for run in ids]
        print_json(documents[0] if len(documents) == 1 else documents)
    return ended_code(ended)


def _remedy(ws: Workspace, plan: Plan) -> str:
    """What to add where the form would have a value of its own: the newest run's model, the data set that is there."""
    from rmtui.index.index import Index
    from rmtui.operations import launch_defaults

    with Index.open_reading(ws) as index:
        index.sync()
        newest = next(iter(index.runs("", limit=1)), None)
    options = launch_defaults.options(ws, plan, newest)
    return f"add {options}, as a form would, or name others" if options else ""


def _plan(ws: Workspace, args: argparse.Namespace, preset: str, seed: str) -> Plan:
    from pathlib import Path

    from rmtui.errors import UserError
    from rmtui.operations.launch_request import LaunchRequest
    from rmtui.operations.plan import plan

    overrides = {}
    for text in args.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text} has no value", remedy=f"write it like --set {key}=VALUE")
        overrides[key.strip()] = value
    if args.fresh_head:
        overrides["fresh_head"] = "true"
    if seed:
        overrides["seed"] = seed
    named = dict(text.split("=", 1) for text in args.val if "=" in text)
    main = [text for text in args.val if "=" not in text]
    several = len(args.preset) > 1 or bool(seed)
    request = LaunchRequest(
        preset,
        overrides,
        data=args.data,
        train=args.train,
        val=main[-1] if main else "",
        extra_val=named,
        model=args.model,
        procs=args.procs,
        devices=args.devices,
        name=f"{args.name}-{preset}{f'-seed{seed}' if seed else ''}" if args.name and several else args.name,
        tags=tuple(args.tag),
        accelerate_config=args.accelerate_config,
        cwd=Path.cwd(),
    )
    return plan(ws, request)


def _seeds(text: str) -> list[str]:
    return [seed.strip() for seed in text.split(",") if seed.strip()] or [""]


def _show_plans(ws: Workspace, plans: list[Plan], as_json: bool) -> int:
    from rmtui.index.index import Index
    from rmtui.operations.estimates import past_time

    index = Index.open_reading(ws)
    index.sync()
    times = [past_time(index, plan.derived, plan.spec) for plan in plans]
    if as_json:
        documents = [_plan_document(plan, time) for plan, time in zip(plans, times, strict=True)]
        print_json(documents[0] if len(documents) == 1 else documents)
    else:
        for plan, time in zip(plans, times, strict=True):
            _print_plan(plan, time)
    return 2 if any(plan.errors for plan in plans) else 0


def _plan_document(plan: Plan, time: PastTime | None) -> PlanDocument:
    return {
        "name": plan.spec["name"],
        "line": plan.line,
        "argv": list(plan.command.argv),
        "environment": dict(plan.command.environment),
        "config": plan.spec["config"],
        "launch": plan.spec["launch"],
        "precision": plan.precision,
        "derived": _derived(plan.derived) if plan.derived else None,
        "sizes": _sizes(plan.sizes) if plan.sizes else None,
        "time": {"seconds": time.seconds, "runs": time.runs} if time else None,
        "problems": [_problem(problem) for problem in plan.problems],
    }


def _derived(derived: Derived) -> DerivedDocument:
    return {
        "train_pairs": derived.train_pairs,
        "world_size": derived.world_size,
        "effective_batch": derived.effective_batch,
        "steps_per_epoch": derived.steps_per_epoch,
        "last_step_pairs": derived.last_step_pairs,
        "total_steps": derived.total_steps,
        "warmup_steps": derived.warmup_steps,
        "evaluations": derived.evaluations,
        "checkpoints": derived.checkpoints,
    }


def _sizes(sizes: Sizes) -> SizesDocument:
    return {
        "parameters": sizes.parameters,
        "trainable": sizes.trainable,
        "weights_bytes": sizes.weights_bytes,
        "gradients_bytes": sizes.gradients_bytes,
        "optimizer_bytes": sizes.optimizer_bytes,
        "activations_bytes": sizes.activations_bytes,
        "total_bytes": sizes.total_bytes,
    }


def _problem(problem: Problem) -> ProblemDocument:
    return {
        "key": problem.key,
        "what": problem.what,
        "remedy": problem.remedy,
        "source": problem.source,
        "severity": problem.severity,
    }


def _print_plan(plan: Plan, time: PastTime | None) -> None:
    print(plan.spec["name"])
    print(f"  {plan.line}")
    if (derived := plan.derived) is not None:
        print(
            f"  {derived.train_pairs} pairs, {derived.steps_per_epoch} steps an epoch, {derived.total_steps} in all, "
            f"warm-up {derived.warmup_steps}, effective batch {derived.effective_batch}, "
            f"{derived.evaluations} evaluations"
        )
    print(f"  precision: {plan.precision}")
    if estimated := ", ".join(_estimates(plan, time)):
        print(f"  {estimated}")
    for problem in plan.problems:
        print(f"  {problem.severity}: {problem}")


def _estimates(plan: Plan, time: PastTime | None) -> Iterator[str]:
    """Sizes and time, as far as they can be told."""
    from rmtui.cli.run_listing import age

    if (sizes := plan.sizes) is not None:
        share = f"{100 * sizes.trainable / sizes.parameters:.3g} %"
        yield f"{sizes.trainable:,} of {sizes.parameters:,} parameters trained ({share})".replace(",", " ")
        yield f"about {sizes.total_bytes / 1024**3:.2g} GB a process"
    if time is not None:
        yield f"about {age(time.seconds)}, from {time.runs} past run{'s' if time.runs > 1 else ''}"


def _accepted(plans: list[Plan], yes: bool) -> bool:
    """Warnings are shown; they ask only on a terminal."""
    warnings = list(dict.fromkeys(str(problem) for plan in plans for problem in plan.warnings))
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if not warnings or yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print("launch all the same? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
