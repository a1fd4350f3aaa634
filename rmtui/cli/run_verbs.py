"""Verbs about a workspace, its presets and its runs: init, presets, ls, show, logs, plot, note, tag, rm, rebuild …"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rmtui.cli.messages import echo, print_imported, reading_folders
from rmtui.cli.verb import Verb, add_json, nothing, print_json, workspace_folder
from rmtui.text import clean
from rmtui.translation import colon, spoken, tr

if TYPE_CHECKING:
    from rmtui.runs.model import Run


def _open(args: argparse.Namespace) -> Any:
    from rmtui.workspace import open_workspace

    return open_workspace(workspace_folder(args))


def _print_trouble(index: Any) -> None:
    """The index's trouble on stderr; the metrics below it are right all the same, or as they were last known."""
    if index.trouble is not None:
        print(f"rmtui: {index.trouble}", file=sys.stderr)


def _build_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", metavar="DIR", help="default: the workspace of -C, else this folder")
    parser.add_argument(
        "--without",
        action="append",
        choices=("runs", "preset", "data", "model"),
        default=[],
        help="leave out a kind of what the folder holds; may be repeated",
    )
    parser.add_argument("--bare", action="store_true", help="take in nothing of what the folder holds")
    parser.add_argument("--guide", action="store_true", help="with the two runs that the tuning guide starts from")


def _init(args: argparse.Namespace) -> int:
    from pathlib import Path

    from rmtui.operations.take_in import look, take_in
    from rmtui.workspace import SETTINGS_FILE

    root = Path(args.folder).expanduser().resolve() if args.folder else workspace_folder(args)
    seen = look(root) if root.is_dir() and not args.bare and not (root / SETTINGS_FILE).exists() else None
    parts = [part for part in seen.parts if part.kind not in args.without] if seen else []
    taken = take_in(root, parts, print_imported, args.guide)
    echo(f"{taken.workspace.root} is a workspace")
    if parts:
        echo(f"found and taken in: {', '.join(part.label for part in parts)}")
    for path in seen.unreadable if seen else ():
        echo(f"not read: {path}", file=sys.stderr)
    if seen and seen.bounded:
        echo("only a part of the folder was looked at; rmtui import takes in the rest", file=sys.stderr)
    for line in taken.lines():
        echo(line)
    settings = taken.workspace.settings
    if not settings.model:
        echo("next: name a model in its workspace.toml (model = DIR), or launch with --model DIR")
    if not settings.data:
        echo("pairs go into data/train/NAME_pairs.jsonl and data/val/NAME_pairs.jsonl")
    data = "" if settings.data else " --data NAME"
    echo(f"then: cd {taken.workspace.root} && rmtui launch A{data}")
    return 0


def _build_presets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="letter, name, file stem or path")
    parser.add_argument("--options", action="store_true", help="list every key a preset may hold")
    add_json(parser)


def _presets(args: argparse.Namespace) -> int:
    from rmtui import presets
    from rmtui.cli import run_listing

    if args.options:
        run_listing.options(args.json)
        return 0
    ws = _open(args)
    if args.name:
        preset = presets.find(ws, args.name)
        print_json(presets.as_document(preset)) if args.json else print(preset.text, end="")
        return 0
    found, wrong = presets.all_presets(ws)
    print_json([presets.as_document(preset) for preset in found]) if args.json else run_listing.presets(found)
    for error in wrong:
        print(f"rmtui: {error}", file=sys.stderr)
    return 2 if wrong else 0


def _build_ls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--filter", default="", metavar="Q", help="words, state:failed, tag:x -tag:y, lr>=1e-5, since:2d"
    )
    parser.add_argument("--sort", default="created", metavar="KEY", help="created, name, val_acc, val_loss, best, …")
    parser.add_argument("--reverse", action="store_true", help="reverse the order")
    parser.add_argument("--limit", type=int, metavar="N", help="show at most N")
    parser.add_argument("--all", action="store_true", help="archived runs too")
    add_json(parser)


def _ls(args: argparse.Namespace) -> int:
    from rmtui.cli import run_listing
    from rmtui.operations.runs import as_document, reading
    from rmtui.runs import identity

    descending = args.sort not in ("name", "preset", "state", "data", "val_loss", "train_loss") and args.sort != "age"
    with reading(_open(args), reading_folders()) as index:
        runs = index.runs(args.filter, args.sort, descending ^ args.reverse, args.limit, archived=args.all)
        if args.json:
            print_json([as_document(run) for run in runs])
        else:
            best = index.landmarks().best
            run_listing.runs(runs, best)
            if said := _worth(index, [run for run in runs if run.id in best]):  # stdout holds rows alone, for pipes
                print(f"{run_listing.STAR} {said}", file=sys.stderr)
        _print_trouble(index)
    if copy := identity.format_copy(_open(args).root):
        echo(copy, file=sys.stderr)
    return 0


def _worth(index: Any, starred: Sequence[Run]) -> str:
    """What the val_acc of the newest starred run is worth on other pairs: one correction a list, not one a data set."""
    from rmtui.operations.candidates import choice_of

    if not starred:
        return ""
    newest = max(starred, key=lambda run: run.created)
    found = choice_of(index.workspace, index, newest, spoken())
    return clean(f"{newest.name}{colon()}{found['text']}") if found else ""


def _build_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="id, name, unique prefix, @latest or @best")


def _build_show(parser: argparse.ArgumentParser) -> None:
    _build_run(parser)
    add_json(parser)


def _show(args: argparse.Namespace) -> int:
    from rmtui.cli import run_listing
    from rmtui.operations.runs import reading, show

    with reading(_open(args), reading_folders()) as index:
        document = show(index, args.run, spoken())
        print_json(document) if args.json else run_listing.run(document)
        _print_trouble(index)
    return 0


def _build_logs(parser: argparse.ArgumentParser) -> None:
    _build_run(parser)
    parser.add_argument(
        "--rank", type=int, metavar="N", help="default: rank 0, or the launcher if no rank wrote anything"
    )
    parser.add_argument("--attempt", type=int, metavar="N", help="default: all, one after the other")
    parser.add_argument("--tail", type=int, metavar="N", help="the last N lines")
    parser.add_argument("--follow", "-f", action="store_true", help="follow until the run ends")


def _logs(args: argparse.Namespace) -> int:
    from rmtui.operations import logs
    from rmtui.operations.runs import folder_of

    folder = folder_of(_open(args), args.run)
    lines = (
        logs.follow(folder, args.tail, args.rank)
        if args.follow
        else logs.lines(folder, args.tail, args.rank, args.attempt)
    )
    for line in lines:
        print(line, flush=args.follow)
    return 0


def _build_plot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="ids, names, unique prefixes, @latest or @best")
    parser.add_argument(
        "--metric", action="append", default=[], metavar="M", help="loss, val_loss, val_acc, grad_norm …"
    )
    parser.add_argument(
        "--x", choices=("step", "epoch", "tokens", "time"), default="step", help="what runs along the axis"
    )
    parser.add_argument("--width", type=int, metavar="N", help="columns (default: the terminal's, else 80)")
    parser.add_argument("--height", type=int, default=18, metavar="N", help="lines a chart")


def _plot(args: argparse.Namespace) -> int:
    import os
    import shutil

    from rmtui.operations.plotting import plot
    from rmtui.operations.runs import reading

    width = args.width or shutil.get_terminal_size((80, 24)).columns
    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    with reading(_open(args), reading_folders()) as index:
        print(plot(index, args.runs, args.metric, args.x, width, args.height, colours))
        _print_trouble(index)
    return 0


def _build_set(parser: argparse.ArgumentParser) -> None:
    _build_run(parser)
    parser.add_argument(
        "value",
        metavar="val_acc=VALUE",
        help="0.712, 71.2%%, 71.2%% of 2354, 1676/2354, or a log of the run that has it; empty removes it",
    )
    parser.add_argument("--epoch", type=int, metavar="N", help="default: the run's last")
    parser.add_argument("--pairs", type=int, metavar="N", help="validation pairs, for its interval")


def _set(args: argparse.Namespace) -> int:
    from pathlib import Path

    from rmtui.errors import UserError
    from rmtui.operations.enter_accuracy import enter

    key, sign, text = args.value.partition("=")
    if key.strip() != "val_acc" or not sign:
        raise UserError(f"{args.value} cannot be set", "only val_acc of a run can", "write it like val_acc=71.2%")
    for option, value in (("--epoch", args.epoch), ("--pairs", args.pairs)):
        if value is not None and value < 1:
            raise UserError(f"{option} {value} cannot be used", "it counts from 1", f"write it like {option} 2")
    echo(enter(_open(args), args.run, text, args.epoch, args.pairs, Path()))
    return 0


def _build_note(parser: argparse.ArgumentParser) -> None:
    _build_run(parser)
    parser.add_argument("text", metavar="TEXT", help="an empty text removes the note")


def _note(args: argparse.Namespace) -> int:
    from rmtui.operations.runs import set_note

    set_note(_open(args), args.run, args.text)
    return 0


def _build_tag(parser: argparse.ArgumentParser) -> None:
    _build_run(parser)
    parser.add_argument("--add", action="append", default=[], metavar="T", help="tag to add; may be repeated")
    parser.add_argument("--remove", action="append", default=[], metavar="T", help="tag to remove")


def _tag(args: argparse.Namespace) -> int:
    from rmtui.operations.runs import set_tags

    print(" ".join(set_tags(_open(args), args.run, args.add, args.remove)))
    return 0


def _build_rename(parser: argparse.ArgumentParser) -> None:
    _build_run(parser)
    parser.add_argument("name", metavar="NAME", help="the new name; the run's id and folder stay")


def _rename(args: argparse.Namespace) -> int:
    from rmtui.operations.runs import rename

    rename(_open(args), args.run, args.name)
    return 0


def _build_group(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="ids, names, unique prefixes, @latest or @best")
    parser.add_argument("--name", default="", help="the heading; without it the runs leave their group")


def _group(args: argparse.Namespace) -> int:
    from rmtui.operations.runs import set_group

    ws = _open(args)
    for ref in args.runs:
        set_group(ws, ref, args.name)
    return 0


def _build_switch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="ids, names, unique prefixes, @latest or @best")
    parser.add_argument("--off", action="store_true", help="undo it")


def _switch(args: argparse.Namespace) -> int:
    """`pin` and `archive`, on or off."""
    from rmtui.operations import runs

    ws, change = _open(args), runs.pin if args.verb == "pin" else runs.archive
    for ref in args.runs:
        change(ws, ref, not args.off)
    return 0


def _build_rm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="ids, names, unique prefixes, @latest or @best")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument(
        "--not-running",
        action="store_true",
        help="you know that it is not running, although that cannot be seen from here",
    )


def _rm(args: argparse.Namespace) -> int:
    from rmtui.errors import UserError
    from rmtui.operations.runs import deletion_notes, folder_of, remove

    ws = _open(args)
    folders = [folder_of(ws, ref) for ref in args.runs]
    if not args.yes:
        names = ", ".join(folder.name() for folder in folders)
        notes = deletion_notes(ws, {folder.id for folder in folders})
        if not sys.stdin.isatty():
            why = f"there is no terminal to ask on{f', and {notes}' if notes else ''}"
            raise UserError(f"{names} was not deleted", why, "add --yes")
        for note in notes.splitlines():
            echo(note, file=sys.stderr)
        question = f"Delete {names} with checkpoints, logs and metrics? This cannot be undone. [y/N] "
        answer = input(tr(question))
        if answer.strip().casefold() not in ("y", "yes"):
            return 1
    for folder in folders:
        echo(remove(ws, folder.id, args.not_running))
    return 0


def _rebuild(args: argparse.Namespace) -> int:
    from rmtui.operations.runs import rebuild

    ws = _open(args)
    echo(f"reading the run folders in {ws.runs}", file=sys.stderr, flush=True)
    count, aside = rebuild(ws, reading_folders())
    if aside is not None:
        echo(f"the damaged index was moved to {aside}")
    echo(f"{ws.database}: {count} runs")
    return 0


VERBS: tuple[Verb, ...] = (
    Verb(
        "init",
        "make a workspace of a folder, with the logs, settings, data and model that it holds",
        _build_init,
        _init,
        ("rmtui init ~/rm", "rmtui init --without model", "rmtui init ~/rm --guide"),
    ),
    Verb(
        "presets",
        "list the presets, or print one",
        _build_presets,
        _presets,
        ("rmtui presets", "rmtui presets A", "rmtui presets --options"),
    ),
    Verb(
        "ls",
        "list runs",
        _build_ls,
        _ls,
        ("rmtui ls --filter='state:finished val_acc>0.7'", "rmtui ls --sort best --limit 5", "rmtui ls --json"),
        states=True,
    ),
    Verb(
        "show", "everything about one run", _build_show, _show, ("rmtui show @best", "rmtui show @latest --json"), True
    ),
    Verb("logs", "print a run's log", _build_logs, _logs, ("rmtui logs @latest --follow", "rmtui logs A-3 --tail 50")),
    Verb(
        "plot", "draw curves as text", _build_plot, _plot, ("rmtui plot @latest", "rmtui plot A-1 A-2 --metric val_acc")
    ),
    Verb(
        "set",
        "enter the val_acc of an imported run that its log does not have",
        _build_set,
        _set,
        ("rmtui set after val_acc=71.2%", "rmtui set after val_acc=71.2% --epoch 2 --pairs 2354"),
    ),
    Verb("note", "write a note on a run", _build_note, _note, ("rmtui note @latest 'warm-up 20 %, calmer'",)),
    Verb(
        "tag",
        "tag a run; prints its tags",
        _build_tag,
        _tag,
        ("rmtui tag @latest --add night", "rmtui tag A-1 --remove night"),
    ),
    Verb("rename", "give a run another name", _build_rename, _rename, ("rmtui rename @latest helpful-A-long",)),
    Verb("group", "put runs under one heading", _build_group, _group, ("rmtui group A-1 A-2 --name seeds",)),
    Verb(
        "pin", "keep runs at the top of every list", _build_switch, _switch, ("rmtui pin @best", "rmtui pin A-1 --off")
    ),
    Verb("archive", "hide runs from lists", _build_switch, _switch, ("rmtui archive A-1", "rmtui ls --all")),
    Verb("rm", "delete runs with all that is in their folders", _build_rm, _rm, ("rmtui rm A-1 --yes",)),
    Verb("rebuild", "rebuild the index from the run folders", nothing, _rebuild, ("rmtui rebuild",)),
)
