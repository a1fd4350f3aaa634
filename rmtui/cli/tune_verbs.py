"""The verb that searches for good settings: tune."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from rmtui.cli.messages import echo, end_line, show_fetching
from rmtui.cli.overrides import read_overrides
from rmtui.cli.verb import Verb, add_json, print_json, workspace_folder

if TYPE_CHECKING:
    from rmtui.operations.plan import Plan
    from rmtui.tune.course import Folder
    from rmtui.tune.model import Search
    from rmtui.tune.show import SearchView
    from rmtui.workspace import Workspace

OF_A_NEW_ONE = ("preset", "data", "train", "val", "split", "model", "procs", "devices", "set", "space", "goal", "new")
"""Options that say what is searched; without any of them the newest search goes on."""


def _build(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--budget", default="", metavar="12runs|8h|40epochs", help="what the search may spend")
    add("--preset", default="", metavar="PRESET", help="base configuration (default: M, else A)")
    add("--data", default="", metavar="NAME", help="data/{train,val}/NAME_pairs.jsonl or data/NAME/{train,val}.jsonl")
    add("--train", default="", metavar="FILE", help="training pairs: a file, a folder, or hf:org/name:config@split")
    add("--val", default="", metavar="FILE", help="validation pairs, on which trials are compared")
    add("--split", default="", metavar="0.05", help="hold out this share of the training prompts as validation")
    add("--model", default="", help="local folder or hub name (default: the workspace's)")
    add("--procs", type=int, metavar="N", help="processes a run (default as of launch)")
    add("--devices", default="", metavar="0,3|cpu", help="these GPUs and no others, or the CPU")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one option of every run: max_length=512",
    )
    add("--space", default="", metavar="lr,epochs,r,batch,dropout", help="what is varied (default: lr,epochs)")
    add("--repeats", type=int, default=2, metavar="N", help="further seeds of the best settings (default 2)")
    add("--goal", choices=("val_loss", "val_acc"), default="", help="what is best (default: val_loss)")
    add("--margin", type=float, default=0.005, metavar="X", help="a val_loss this much higher may end a trial (0.005)")
    add("--search", default="", metavar="ID", help="this search, not the newest")
    add("--new", action="store_true", help="begin anew, also where the same search is there")
    add("--detach", action="store_true", help="drive the search in a process of its own, and return")
    add("--show", action="store_true", help="show the search as it is now, and do nothing")
    add("--stop", action="store_true", help="ask the process that drives the search to stop its runs and end")
    add("--pause", action="store_true", help="let the runs that train end, and begin no further one for now")
    add("--dry-run", action="store_true", help="show the plan and its cost by past runs; start nothing")
    add_json(parser)


def _tune(args: argparse.Namespace) -> int:
    from rmtui.tune import begin, show
    from rmtui.tune.drive import drive
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    asked = any(vars(args)[name] for name in OF_A_NEW_ONE)
    if args.dry_run:
        return _dry_run(ws, args)
    folder = _begun(ws, args) if asked or not _known(ws, args) else _named(ws, args)
    if args.stop or args.pause:
        echo(begin.ask_stop(folder) if args.stop else begin.ask_pause(folder))
        return 0
    if args.detach:
        echo(begin.start_apart(ws, folder), file=sys.stderr if args.json else sys.stdout)
    elif args.budget and folder.driven:
        echo(f"search {folder.id} is running already, and takes a larger budget up", file=sys.stderr)
        args.show = True
    elif not args.show:
        try:
            drive(ws, folder, partial(echo, file=sys.stderr if args.json else sys.stdout, flush=True))
        except KeyboardInterrupt:
            echo("no longer driving; the run goes on, and so does the search with: rmtui tune", file=sys.stderr)
            raise
    shown = show.look(ws, folder)
    assert shown is not None
    print_json(show.document(shown)) if args.json else _print(shown)
    return 0 if args.show or args.detach or shown.course.done else 1


def _known(ws: Workspace, args: argparse.Namespace) -> bool:
    from rmtui.tune.course import folders

    return bool(args.search or args.show or args.stop or args.pause or folders(ws))


def _named(ws: Workspace, args: argparse.Namespace) -> Folder:
    """The search that is meant, with a larger budget where one is given."""
    from rmtui.errors import UserError
    from rmtui.tune import begin
    from rmtui.tune.course import folders
    from rmtui.tune.model import parse_budget

    folder = begin.newest(ws)
    if args.search:
        fitting = [one for one in folders(ws) if one.id.startswith(args.search)]
        if len(fitting) != 1:
            ids = ", ".join(one.id for one in fitting or folders(ws)) or "none"
            what = f"{args.search} is ambiguous" if fitting else f"{args.search} is no search"
            raise UserError(what, f"there are: {ids}")
        folder = fitting[0]
    if args.budget:
        begin.raise_budget(folder, parse_budget(args.budget))
    return folder


def _begun(ws: Workspace, args: argparse.Namespace) -> Folder:
    from rmtui.tune import begin

    made, search = _asked(ws, args)
    for warning in made.warnings:
        echo(f"warning: {warning}", file=sys.stderr)
    folder, new = begin.begin(ws, made, search, anew=args.new)
    if not new:
        echo(f"search {folder.id} is there already, and goes on", file=sys.stderr)
    return folder


def _asked(ws: Workspace, args: argparse.Namespace) -> tuple[Plan, Search]:
    """The base configuration and the rules that the options ask for."""
    from pathlib import Path

    from rmtui.operations.launch_request import LaunchRequest
    from rmtui.tune import asked

    request = LaunchRequest(
        args.preset,
        read_overrides(args.set),
        data=args.data,
        train=args.train,
        val=args.val,
        split=args.split,
        model=args.model,
        procs=args.procs,
        devices=args.devices,
        cwd=Path.cwd(),
    )
    rules = asked.Rules(args.budget, args.space, args.repeats, args.goal, args.margin)
    found = asked.read(ws, request, rules, show_fetching)
    end_line()
    return found


def _dry_run(ws: Workspace, args: argparse.Namespace) -> int:
    from rmtui.tune import show

    made, search = _asked(ws, args)
    document = show.planned(ws, made, search)
    if args.json:
        print_json(document)
    else:
        for line in show.plan_lines(document):
            echo(line)
    return 0


def _print(shown: SearchView) -> None:
    from rmtui.cli import text_tables
    from rmtui.cli.text_tables import Column
    from rmtui.tune import search_report

    columns = [
        Column("trial"), Column("run", worth=1), Column("settings", worth=5), Column("epochs", right=True, worth=4),
        Column("seed", right=True, worth=2), Column("val_loss", right=True), Column("val_acc", right=True),
        Column("why", worth=3, ours=True),
    ]  # fmt: skip
    text_tables.show(columns, [row.cells for row in search_report.rows(shown.order, shown.course.trials)])
    for line in (*shown.course.notes, *search_report.lines(shown.order, shown.course, shown.summary)):
        echo(line)
    echo(f"report: {shown.folder.path / 'report.md'}, report.html")


VERBS: tuple[Verb, ...] = (
    Verb(
        "tune",
        "search for good settings within a budget: short runs first, losers dropped, the best repeated",
        _build,
        _tune,
        (
            "rmtui tune --data helpful --budget 12runs",
            "rmtui tune --data helpful --budget 8h --space lr,epochs,r --repeats 3",
            "rmtui tune --data helpful --budget 40epochs --dry-run",
            "rmtui tune --data helpful --budget 12runs --detach",
            "rmtui tune                               # go on with the newest search",
            "rmtui tune --budget 20runs               # the same with more to spend",
        ),
        states=True,
    ),
)
