"""Verbs that start and end trainings: launch, stop, resume, queue, workspace, doctor."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

from rmtui.cli import cluster_options, plan_pages
from rmtui.cli.messages import countdown, echo, end_line, ended_code, print_status, run_document, show_fetching
from rmtui.cli.overrides import read_overrides
from rmtui.cli.verb import Verb, add_json, print_json, workspace_folder
from rmtui.translation import colon, tr

if TYPE_CHECKING:
    from rmtui.operations.launch_request import LaunchRequest
    from rmtui.operations.plan import Plan
    from rmtui.workspace import Workspace


def _build_launch(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("preset", nargs="+", metavar="PRESET", help="letter, name or file; several are queued in this order")
    add("--data", default="", metavar="NAME", help="data/{train,val}/NAME_pairs.jsonl or data/NAME/{train,val}.jsonl")
    add("--train", default="", metavar="FILE", help="training pairs: a file, a folder, or hf:org/name:config@split")
    add("--val", action="append", default=[], metavar="FILE|NAME=FILE", help="validation pairs, or a further set")
    add("--split", default="", metavar="0.05", help="hold out this share of the training prompts as validation")
    add("--split-seed", default="", metavar="N", help="of --split (default 42, whatever the run's seed)")
    add("--model", default="", help="local folder or hub name (default: the workspace's)")
    add("--procs", type=int, metavar="N", help="processes (default: the workspace's, else the visible GPUs, else 1)")
    add("--devices", default="", metavar="0,3|cpu", help="these GPUs and no others, or the CPU")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="one option, dotted: lora.r=16")
    add("--eval-train", type=int, metavar="N", help="score N training pairs, too: --set eval_train=N")
    add("--init-from", default="", metavar="RUN|DIR", help="weights to start from: --set init_from=RUN")
    add("--fresh-head", action="store_true", help="a new head in place of the model's own: --set fresh_head=true")
    add("--resize-embeddings", action="store_true", help="rows for unknown tokens: --set resize_embeddings=true")
    add("--seeds", default="", metavar="1,2,3", help="a run a seed")
    add("--name", default="", help="the run's name (default: data, preset and a number, helpful-A-3)")
    add("--tag", action="append", default=[], metavar="T", help="a tag; may be given several times")
    add("--accelerate-config", default="", metavar="FILE", help="an accelerate configuration (FSDP, DeepSpeed)")
    cluster_options.build(parser)
    add("--dry-run", action="store_true", help="show line, numbers and problems; start nothing")
    add("--wait", action="store_true", help="until the run ends; exit code 1 unless it finished")
    add("--yes", action="store_true", help="accept warnings without asking")
    add_json(parser)


def _launch(args: argparse.Namespace) -> int:
    from rmtui.operations import launch
    from rmtui.operations.plan import plan as plan_of
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    plans = [plan_of(ws, request, tell=show_fetching) for request in _requests(args, ws)]
    end_line()
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
        echo("no longer waiting; the launched run continues (rmtui stop ends it)", file=sys.stderr)
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
    return f"add {options}, as the form does, or name others" if options else ""


_NAMED_FILE = re.compile(r"([^=/#:]+)=(.+)")
"""NAME=FILE; what follows a # belongs to a file's own name."""


def _requests(args: argparse.Namespace, ws: Workspace) -> list[LaunchRequest]:
    """One a preset and seed, in the order that was asked for."""
    from pathlib import Path

    from rmtui.operations.launch_request import LaunchRequest

    overrides = read_overrides(args.set)
    if args.eval_train is not None:
        overrides["eval_train"] = str(args.eval_train)
    if args.init_from:
        overrides["init_from"] = args.init_from
    overrides |= {key: "true" for key in ("fresh_head", "resize_embeddings") if vars(args)[key]}
    further = {found[1]: found[2] for text in args.val if (found := _NAMED_FILE.fullmatch(text))}
    main = [text for text in args.val if not _NAMED_FILE.fullmatch(text)]
    cluster = cluster_options.read(args, ws)
    seeds = [seed.strip() for seed in args.seeds.split(",") if seed.strip()]
    requests = []
    for preset in args.preset:
        request = LaunchRequest(
            preset,
            overrides,
            data=args.data,
            train=args.train,
            val=main[-1] if main else "",
            split=args.split,
            split_seed=args.split_seed,
            extra_val=further,
            model=args.model,
            procs=args.procs,
            devices=args.devices,
            name=f"{args.name}-{preset}" if args.name and len(args.preset) > 1 else args.name,
            tags=tuple(args.tag),
            accelerate_config=args.accelerate_config,
            cluster=cluster,
            cwd=Path.cwd(),
        )
        requests += request.with_seeds(seeds) if seeds else [request]
    return requests


def _show_plans(ws: Workspace, plans: list[Plan], as_json: bool) -> int:
    from rmtui.index.index import Index
    from rmtui.operations.estimates import past_time

    index = Index.open_reading(ws)
    index.sync()
    times = [past_time(index, plan.derived, plan.spec) for plan in plans]
    if as_json:
        documents = [plan_pages.document(plan, time) for plan, time in zip(plans, times, strict=True)]
        print_json(documents[0] if len(documents) == 1 else documents)
    else:
        for plan, time in zip(plans, times, strict=True):
            plan_pages.print_plan(plan, time)
    return 2 if any(plan.errors for plan in plans) else 0


def _accepted(plans: list[Plan], yes: bool) -> bool:
    """Warnings are shown; they ask only on a terminal."""
    warnings = list(dict.fromkeys(str(problem) for plan in plans for problem in plan.warnings))
    for warning in warnings:
        echo(f"warning: {warning}", file=sys.stderr)
    if not warnings or yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    echo("launch anyway? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _build_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="id, name, unique prefix, @latest or @best")
    parser.add_argument("--now", action="store_true", help="kill at once, without a checkpoint")
    parser.add_argument("--wait", action="store_true", help="until no process of the run is left")
    add_json(parser)


def _stop(args: argparse.Namespace) -> int:
    from rmtui.operations import stop

    ws, run = _resolve(args)
    status = stop.stop(ws, run, now=args.now, wait=args.wait, said=None if args.json else countdown())
    if args.json:
        print_json(run_document(ws, run))
    else:
        end_line()
        print_status(status)
    return 0


def _build_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="id, name, unique prefix, @latest or @best")
    parser.add_argument("--inexact", action="store_true", help="also where data, processes or options changed")
    parser.add_argument(
        "--not-running",
        action="store_true",
        help="you know that it is not running, although that cannot be seen from here",
    )
    parser.add_argument("--own", action="store_true", help="you have read the command of a copied run")
    parser.add_argument("--force", action="store_true", help="--inexact and --not-running")
    parser.add_argument("--epochs", type=int, metavar="N", help="extend a finished run to N epochs, as a linked run")
    parser.add_argument("--smaller", action="store_true", help="after out of memory: a new run with a smaller batch")
    parser.add_argument("--wait", action="store_true", help="until the run ends; exit code 1 unless it finished")
    add_json(parser)


def _resume(args: argparse.Namespace) -> int:
    from rmtui.operations import launch, resume

    ws, run = _resolve(args)
    if args.smaller:
        done = resume.Resumed(resume.relaunch_smaller(ws, run, own=args.own or _asked(ws, run)), 0)
    else:
        done = resume.resume(
            ws,
            run,
            inexact=args.inexact or args.force,
            not_running=args.not_running or args.force,
            own=args.own or _asked(ws, run),
            epochs=args.epochs,
        )
        for warning in done.warnings:
            echo(f"warning: {warning}", file=sys.stderr)
    run, step = done.id, done.step
    if not args.json:
        print(run, flush=True)
        begins = f"starts with the weights of {done.weights}" if done.weights else "starts from the beginning"
        echo(f"resumes from step {step}" if step else begins, file=sys.stderr)
    ended = [launch.wait(ws, run, print_status)] if args.wait else []
    if args.json:
        print_json({**run_document(ws, run), "resumed_from_step": step or None})
    return ended_code(ended)


def _asked(ws: Workspace, run_id: str) -> bool:
    """Whether a person at a terminal has seen the command of a run that came by copy, and wants it run."""
    from rmtui.operations.resume import unseen_command

    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    unseen = unseen_command(ws, run_id)
    if unseen is None:
        return False
    print(f"{tr(unseen.question)}\n  {unseen.command}\n[y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


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
    from rmtui.runs.model import state_text
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    if args.move:
        if not args.move[1].isdigit():
            raise UserError(f"{args.move[1]} is not a place in the queue", remedy="write it like --move RUN 1")
        queue.move(ws, _find(ws, args.move[0]), int(args.move[1]))
    if args.remove:
        run = _find(ws, args.remove)
        queue.check_waits(ws, run)
        stop.stop(ws, run)
    if args.start:
        queue.start_again(ws)
    places = queue.places(ws)
    if args.json:
        print_json(
            [{**dataclasses.asdict(p), "since": datetime.fromtimestamp(p.since, UTC).isoformat()} for p in places]
        )
        return 0
    if not places:
        echo("the queue is empty")
    for place in places:
        print(f"{place.place:>3}  {place.id}  {place.name}  {tr(state_text('queued', place.reason))}")
    return 0


def _build_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fast", action="store_true", help="without starting accelerate")
    parser.add_argument("--slurm", action="store_true", help="also submit a job of two nodes whose ranks have to meet")
    parser.add_argument("--end-orphans", action="store_true", help="end training processes that belong to no run")
    add_json(parser)


def _doctor(args: argparse.Namespace) -> int:
    import dataclasses

    from rmtui.errors import UserError
    from rmtui.operations import doctor
    from rmtui.text import fit
    from rmtui.workspace import open_workspace

    try:
        ws = open_workspace(workspace_folder(args))
    except UserError:
        ws = None
    if args.end_orphans:
        ended = doctor.end_orphans(ws)
        echo(f"ended {len(ended)} processes" + (f": {', '.join(map(str, ended))}" if ended else ""), file=sys.stderr)
    findings = doctor.examine(ws, deep=not args.fast, probe_slurm=args.slurm)
    if args.json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        for finding in findings:
            level, topic, text, remedy = map(tr, (finding.level, finding.topic, finding.text, finding.remedy))
            print(f"{doctor.GLYPHS[finding.level]} {fit(level, 8)}{topic}{colon()}{text}")
            if remedy:
                print(f"            → {remedy}")
    return 1 if any(finding.level == "error" for finding in findings) else 0


def _build_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--own", action="store_true", help="make a copy a workspace of its own, and every run in it")


def _workspace(args: argparse.Namespace) -> int:
    from rmtui.runs import identity, ownership
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    known = ownership.own(ws.root) if args.own else identity.ensure(ws.root)
    print(f"{ws.root}  {known.id}")
    if copy := identity.format_copy(ws.root):
        echo(copy)
    return 0


def _resolve(args: argparse.Namespace) -> tuple[Workspace, str]:
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    return ws, _find(ws, args.run)


def _find(ws: Workspace, text: str) -> str:
    """A run by id without the index, so that stopping works whatever the database does; else the index's rules."""
    if text and "/" not in text and not text.startswith(".") and (ws.runs / text).is_dir():
        return text
    from rmtui.index.index import Index

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
            "rmtui launch A B C --data helpful        # three runs, one after the other",
            "rmtui launch A --seeds 1,2,3 --set learning_rate=2e-5",
            "rmtui launch A --on slurm --nodes 2 --procs 8 --time 8:00:00",
            "rmtui launch B --dry-run                 # the exact line, derived numbers, every problem",
        ),
    ),
    Verb(
        "stop",
        "stop a run: it saves a checkpoint first",
        _build_stop,
        _stop,
        ("rmtui stop @latest --wait", "rmtui stop helpful-A-3 --now"),
    ),
    Verb(
        "resume",
        "resume from the newest valid checkpoint",
        _build_resume,
        _resume,
        ("rmtui resume helpful-A-3", "rmtui resume helpful-A-3 --epochs 4", "rmtui resume helpful-A-3 --smaller"),
        states=True,
    ),
    Verb(
        "queue",
        "runs waiting for devices, in order",
        _build_queue,
        _queue,
        ("rmtui queue", "rmtui queue --move helpful-B-1 1", "rmtui queue --start"),
        states=True,
    ),
    Verb(
        "workspace",
        "which workspace this is, and whether it is a copy of another",
        _build_workspace,
        _workspace,
        ("rmtui workspace", "rmtui workspace --own"),
    ),
    Verb(
        "doctor",
        "check that this machine is fit to train",
        _build_doctor,
        _doctor,
        ("rmtui doctor", "rmtui doctor --fast --json", "rmtui doctor --end-orphans", "rmtui doctor --slurm"),
    ),
)
