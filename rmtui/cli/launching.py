"""Verbs that start and end trainings: launch, stop, resume, queue, doctor."""

from __future__ import annotations

import argparse
import itertools
import sys
from typing import TYPE_CHECKING, Any

from rmtui.cli.verbs import Verb, add_json, print_json, workspace_folder

if TYPE_CHECKING:
    from rmtui.operations.plan import Plan
    from rmtui.records.facts import Status
    from rmtui.workspace import Workspace


def _build_launch(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("preset", nargs="+", metavar="PRESET", help="letter, name or file; several are queued in this order")
    add("--data", default="", metavar="NAME", help="data/{train,val}/NAME_pairs.jsonl or data/NAME/{train,val}.jsonl")
    add("--train", default="", metavar="FILE", help="training pairs")
    add("--val", action="append", default=[], metavar="FILE|NAME=FILE", help="validation pairs, or a further set")
    add("--model", default="", help="local folder or hub name (default: the workspace's)")
    add("--procs", type=int, metavar="N", help="processes (default: the workspace's, else the visible GPUs, else 1)")
    add("--devices", default="", metavar="0,3|cpu", help="these GPUs and no others, or the CPU")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="one option, dotted: lora.r=16")
    add("--seeds", default="", metavar="1,2,3", help="a run a seed")
    add("--name", default="")
    add("--tag", action="append", default=[], metavar="T")
    add("--accelerate-config", default="", metavar="FILE", help="an accelerate configuration (FSDP, DeepSpeed)")
    add("--dry-run", action="store_true", help="show line, figures and problems; start nothing")
    add("--wait", action="store_true", help="until the run ends; exit code 1 unless it finished")
    add("--yes", action="store_true", help="accept warnings without asking")
    add_json(parser)


def _launch(args: argparse.Namespace) -> int:
    from rmtui.operations import launch
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    plans = [_plan(ws, args, preset, seed) for preset, seed in itertools.product(args.preset, _seeds(args.seeds))]
    if args.dry_run:
        return _show_plans(plans, args.json)
    if any(plan.errors for plan in plans):
        launch.start(ws, next(plan for plan in plans if plan.errors))
    if not _accepted(plans, args.yes):
        return 2
    ids = []
    for plan in plans:
        ids.append(launch.start(ws, plan))
        if not args.json:
            print(ids[-1], flush=True)
    ended = [launch.wait(ws, run, _say) for run in ids] if args.wait else []
    if args.json:
        documents = [_document(ws, run) for run in ids]
        print_json(documents[0] if len(documents) == 1 else documents)
    return _code(ended)


def _plan(ws: Workspace, args: argparse.Namespace, preset: str, seed: str) -> Plan:
    from pathlib import Path

    from rmtui.errors import UserError
    from rmtui.operations.plan import plan

    overrides = {}
    for text in args.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text} has no value", remedy=f"write it like --set {key}=VALUE")
        overrides[key.strip()] = value
    if seed:
        overrides["seed"] = seed
    named = dict(text.split("=", 1) for text in args.val if "=" in text)
    main = [text for text in args.val if "=" not in text]
    several = len(args.preset) > 1 or bool(seed)
    return plan(
        ws,
        preset,
        overrides=overrides,
        data=args.data,
        train=args.train,
        val=main[-1] if main else "",
        extra_val=named,
        model=args.model,
        procs=args.procs,
        devices=args.devices,
        name=f"{args.name}-{preset}{f'-seed{seed}' if seed else ''}" if args.name and several else args.name,
        tags=args.tag,
        accelerate_config=args.accelerate_config,
        cwd=Path.cwd(),
    )


def _seeds(text: str) -> list[str]:
    return [seed.strip() for seed in text.split(",") if seed.strip()] or [""]


def _show_plans(plans: list[Plan], as_json: bool) -> int:
    if as_json:
        documents = [_plan_document(plan) for plan in plans]
        print_json(documents[0] if len(documents) == 1 else documents)
    else:
        for plan in plans:
            _print_plan(plan)
    return 2 if any(plan.errors for plan in plans) else 0


def _plan_document(plan: Plan) -> dict[str, Any]:
    import dataclasses

    return {
        "name": plan.spec["name"],
        "line": plan.line,
        "argv": list(plan.command.argv),
        "environment": dict(plan.command.environment),
        "config": plan.spec["config"],
        "launch": plan.spec["launch"],
        "derived": dataclasses.asdict(plan.derived) if plan.derived else None,
        "problems": [dataclasses.asdict(problem) for problem in plan.problems],
    }


def _print_plan(plan: Plan) -> None:
    print(plan.spec["name"])
    print(f"  {plan.line}")
    if (derived := plan.derived) is not None:
        print(
            f"  {derived.train_pairs} pairs, {derived.steps_per_epoch} steps an epoch, {derived.total_steps} in all, "
            f"warm-up {derived.warmup_steps}, effective batch {derived.effective_batch}, "
            f"{derived.evaluations} evaluations"
        )
    for problem in plan.problems:
        print(f"  {problem.severity}: {problem}")


def _accepted(plans: list[Plan], yes: bool) -> bool:
    """Warnings are shown; they ask only on a terminal."""
    warnings = list(dict.fromkeys(str(problem) for plan in plans for problem in plan.warnings))
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if not warnings or yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print("launch all the same? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say(status: Status) -> None:
    print(f"{status.state}{f': {status.reason}' if status.reason else ''}", file=sys.stderr, flush=True)


def _document(ws: Workspace, run_id: str) -> dict[str, Any]:
    from rmtui.records import state
    from rmtui.records.folder import RunFolder

    run = RunFolder(ws.runs / run_id)
    status = state.status(run)
    return {"id": run_id, "state": str(status.state), "reason": status.reason, "folder": str(run.path)}


def _code(ended: list[Status]) -> int:
    return 0 if all(status.state == "finished" for status in ended) else 1


def _build_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--now", action="store_true", help="kill at once, without a checkpoint")
    parser.add_argument("--wait", action="store_true", help="until no process of the run is left")
    add_json(parser)


def _stop(args: argparse.Namespace) -> int:
    from rmtui.operations import stop

    ws, run = _resolve(args)
    status = stop.stop(ws, run, now=args.now, wait=args.wait, said=None if args.json else _say)
    if args.json:
        print_json(_document(ws, run))
    else:
        _say(status)
    return 0


def _build_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--force", action="store_true", help="also where it is not exact, or ran on another machine")
    parser.add_argument("--epochs", type=int, metavar="N", help="extend a finished run to N epochs, as a linked run")
    parser.add_argument("--smaller", action="store_true", help="after out of memory: a new run with a smaller batch")
    parser.add_argument("--wait", action="store_true", help="until the run ends; exit code 1 unless it finished")
    add_json(parser)


def _resume(args: argparse.Namespace) -> int:
    from rmtui.operations import launch, resume

    ws, run = _resolve(args)
    if args.smaller:
        run, step = resume.relaunch_smaller(ws, run), 0
    else:
        done = resume.resume(ws, run, force=args.force, epochs=args.epochs)
        run, step = done.id, done.step
        for warning in done.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    if not args.json:
        print(run, flush=True)
        print(f"goes on from step {step}" if step else "starts from the beginning", file=sys.stderr)
    ended = [launch.wait(ws, run, _say)] if args.wait else []
    if args.json:
        print_json(_document(ws, run) | {"resumed_from_step": step or None})
    return _code(ended)


def _build_queue(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--move", nargs=2, metavar=("RUN", "PLACE"), help="put a waiting run at a place; 1 is first")
    parser.add_argument("--remove", metavar="RUN", help="take a run out of the queue")
    parser.add_argument("--start", action="store_true", help="start waiting again after the machine restarted")
    add_json(parser)


def _queue(args: argparse.Namespace) -> int:
    import dataclasses
    from datetime import UTC, datetime

    from rmtui.errors import UserError
    from rmtui.operations import queue, stop
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    if args.move:
        if not args.move[1].isdigit():
            raise UserError(f"{args.move[1]} is no place", remedy="write it like --move RUN 1")
        queue.move(ws, _find(ws, args.move[0]), int(args.move[1]))
    if args.remove:
        stop.stop(ws, _find(ws, args.remove))
    if args.start:
        queue.start_again(ws)
    places = queue.places(ws)
    if args.json:
        print_json(
            [{**dataclasses.asdict(p), "since": datetime.fromtimestamp(p.since, UTC).isoformat()} for p in places]
        )
        return 0
    if not places:
        print("nothing waits")
    for place in places:
        print(f"{place.place:>3}  {place.id}  {place.name}  {place.reason}")
    return 0


def _build_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fast", action="store_true", help="without starting accelerate")
    parser.add_argument(
        "--end-orphans", action="store_true", help="end processes of trainings that no run accounts for"
    )
    add_json(parser)


def _doctor(args: argparse.Namespace) -> int:
    import dataclasses

    from rmtui.errors import UserError
    from rmtui.operations import doctor
    from rmtui.workspace import open_workspace

    try:
        ws = open_workspace(workspace_folder(args))
    except UserError:
        ws = None
    if args.end_orphans:
        ended = doctor.end_orphans(ws)
        print(f"ended {len(ended)} processes" + (f": {', '.join(map(str, ended))}" if ended else ""), file=sys.stderr)
    findings = doctor.examine(ws, deep=not args.fast)
    if args.json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{doctor.GLYPHS[finding.level]} {finding.level:<8}{finding.topic}: {finding.text}")
            if finding.remedy:
                print(f"            → {finding.remedy}")
    return 1 if any(finding.level == "error" for finding in findings) else 0


def _resolve(args: argparse.Namespace) -> tuple[Workspace, str]:
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    return ws, _find(ws, args.run)


def _find(ws: Workspace, text: str) -> str:
    """A run by id without the index, so that stopping works whatever the database does; else the index's rules."""
    if text and "/" not in text and not text.startswith(".") and (ws.runs / text).is_dir():
        return text
    from rmtui.records.index import Index

    index = Index.open_reading(ws)
    try:
        index.sync()
        return index.resolve(text)
    finally:
        index.close()


VERBS: tuple[Verb, ...] = (
    Verb(
        "launch",
        "start a training, or queue it when the devices are taken; prints the run's id",
        _build_launch,
        _launch,
        (
            "rmtui launch A --data helpful --procs 8",
            "rmtui launch A B C --data helpful        three runs, one after the other",
            "rmtui launch A --seeds 1,2,3 --set learning_rate=2e-5",
            "rmtui launch B --dry-run                 the exact line, derived figures, every problem",
        ),
    ),
    Verb("stop", "stop a run: it saves a checkpoint first", _build_stop, _stop, ("rmtui stop @latest --wait",)),
    Verb(
        "resume",
        "go on from the newest valid checkpoint",
        _build_resume,
        _resume,
        ("rmtui resume helpful-A-3", "rmtui resume helpful-A-3 --epochs 4", "rmtui resume helpful-A-3 --smaller"),
    ),
    Verb(
        "queue",
        "what waits for devices, and in which order",
        _build_queue,
        _queue,
        ("rmtui queue --move helpful-B-1 1", "rmtui queue --start"),
    ),
    Verb("doctor", "is this machine fit to train, and what is in the way", _build_doctor, _doctor),
)
