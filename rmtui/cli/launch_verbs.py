"""Verbs that start and end trainings: launch, stop, resume, queue, doctor."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rmtui.cli.launch_verb import build_launch, run_launch
from rmtui.cli.messages import countdown, end_line, ended_code, print_status, run_document
from rmtui.cli.verb import Verb, add_json, print_json, workspace_folder

if TYPE_CHECKING:
    from rmtui.workspace import Workspace


def _build_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="id, name, unique beginning, @latest or @best")
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
    parser.add_argument("run", metavar="RUN", help="id, name, unique beginning, @latest or @best")
    parser.add_argument("--inexact", action="store_true", help="also where data, processes or options changed")
    parser.add_argument(
        "--not-running", action="store_true", help="you know that it does not run, though that cannot be seen from here"
    )
    parser.add_argument("--own", action="store_true", help="you have seen the command of a run that came by copy")
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
            print(f"warning: {warning}", file=sys.stderr)
    run, step = done.id, done.step
    if not args.json:
        print(run, flush=True)
        begins = f"starts with the weights of {done.weights}" if done.weights else "starts from the beginning"
        print(f"goes on from step {step}" if step else begins, file=sys.stderr)
    ended = [launch.wait(ws, run, print_status)] if args.wait else []
    if args.json:
        print_json({**run_document(ws, run), "resumed_from_step": step or None})
    return ended_code(ended)


def _asked(ws: Workspace, run_id: str) -> bool:
    """Whether a person at a terminal has seen the command of a run that came by copy, and wants it run."""
    from rmtui.operations.resume import command_of
    from rmtui.runs import identity, ownership
    from rmtui.runs.folder import RunFolder

    run = RunFolder(ws.runs / run_id)
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()) or run.origin.exists():
        return False
    if identity.copied_from(ws.root) or not ownership.foreign(ws.root, run):
        return False
    print(
        f"{run_id} came by copy. It would run:\n  {command_of(run)}\nRun it? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
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
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    if args.move:
        if not args.move[1].isdigit():
            raise UserError(f"{args.move[1]} is no place", remedy="write it like --move RUN 1")
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


def _build_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--own", action="store_true", help="make a copy a workspace of its own, and every run in it")


def _workspace(args: argparse.Namespace) -> int:
    from rmtui.runs import identity, ownership
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    known = ownership.own(ws.root) if args.own else identity.ensure(ws.root)
    print(f"{ws.root}  {known.id}")
    if copy := identity.format_copy(ws.root):
        print(copy)
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
        build_launch,
        run_launch,
        (
            "rmtui launch A --data helpful --procs 8",
            "rmtui launch A B C --data helpful        # three runs, one after the other",
            "rmtui launch A --seeds 1,2,3 --set learning_rate=2e-5",
            "rmtui launch B --dry-run                 # the exact line, derived figures, every problem",
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
        ("rmtui queue", "rmtui queue --move helpful-B-1 1", "rmtui queue --start"),
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
        "is this machine fit to train, and what is in the way",
        _build_doctor,
        _doctor,
        ("rmtui doctor", "rmtui doctor --fast --json", "rmtui doctor --end-orphans"),
    ),
)
