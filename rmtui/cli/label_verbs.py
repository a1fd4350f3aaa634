"""Verbs about labels: training pairs that may be mislabelled, and versions of the data that change them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui.cli.data_verbs import add_fields
from rmtui.cli.messages import echo
from rmtui.cli.verb import Verb, add_json, print_json, workspace_folder
from rmtui.errors import UserError

if TYPE_CHECKING:
    from rmtui.guide.thresholds import Thresholds
    from rmtui.operations.relabel import Action


def _build_suspects(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("train", type=Path, metavar="TRAIN", help="training pairs")
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="parts, of whole prompts (default 5)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of how the parts are drawn (default 0)")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="pairs to show (default 10; 0: all)")
    parser.add_argument(
        "--export", type=Path, metavar="MARKS", help="write them as a list to mark, for relabel --marks"
    )
    add_fields(parser)
    add_json(parser)


def _run_suspects(args: argparse.Namespace) -> int:
    from rmtui.cli.text_tables import Column, show
    from rmtui.operations.convert import fields_of
    from rmtui.operations.suspects import export_marks, suspect_lines, suspects

    limit = None if args.export else args.limit or None
    found = suspects(args.train, fields_of(args.fields), args.folds, args.seed, limit, _limits(args), _progress)
    if args.export:
        found["exported"] = export_marks(found, args.export)
    if args.json:
        print_json(found)
        return 0
    for line in suspect_lines(found):
        echo(line, file=sys.stdout)
    if args.export:
        echo(f"{found['exported']} pairs are in {args.export}: set each action, then", file=sys.stdout)
        print(f"  rmtui relabel {args.train} --marks {args.export}")
        return 0
    columns = [Column("id", widest=20), Column("line", right=True), Column("margin", right=True)]
    columns += [Column("prompt", worth=1, widest=40), Column("chosen"), Column("rejected")]
    if found["suspects"]:
        show(
            columns,
            [
                [one["id"], str(one["line"]), f"{min(one['margins']):+.2f}"]
                + [" ".join(one[side].split())[-200:] for side in ("prompt", "chosen", "rejected")]
                for one in found["suspects"]
            ],
        )
    return 0


def _limits(args: argparse.Namespace) -> Thresholds:
    """The workspace's, where this is one."""
    from rmtui.guide.thresholds import DEFAULT
    from rmtui.operations import load_subjects
    from rmtui.workspace import open_workspace

    try:
        return load_subjects.limits(open_workspace(workspace_folder(args)))
    except UserError:
        return DEFAULT


def _progress(share: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{share:4.0%}" if share < 1 else "\r\x1b[K")
        sys.stderr.flush()


def _build_relabel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="pairs; the file is left as it is")
    parser.add_argument(
        "--flip", action="extend", nargs="+", metavar="ID", default=[], help="the other answer is better"
    )
    parser.add_argument("--tie", action="extend", nargs="+", metavar="ID", default=[], help="neither answer is better")
    parser.add_argument("--drop", action="extend", nargs="+", metavar="ID", default=[], help="leave the pair out")
    parser.add_argument("--marks", type=Path, metavar="MARKS", help="a list of suspects --export, with an action each")
    parser.add_argument(
        "--out", type=Path, metavar="OUT", help="a new file (default: FILE's name and a hash, beside it)"
    )
    add_fields(parser)
    add_json(parser)


def _run_relabel(args: argparse.Namespace) -> int:
    from rmtui.operations.convert import fields_of
    from rmtui.operations.relabel import relabel, relabelled_lines

    made = relabel(args.file, _marks(args), args.out, fields_of(args.fields))
    if args.json:
        print_json(made)
        return 0
    for line in relabelled_lines(made):
        echo(line, file=sys.stdout)
    return 0


def _marks(args: argparse.Namespace) -> dict[str, Action]:
    from rmtui.operations.relabel import ACTIONS, read_marks

    marks = read_marks(args.marks) if args.marks else {}
    for action in ACTIONS:
        for key in getattr(args, action):
            if marks.setdefault(key, action) != action:
                raise UserError(f"{key} is marked twice, and differently", remedy="choose one of flip, tie and drop")
    return marks


VERBS: tuple[Verb, ...] = (
    Verb(
        "suspects",
        "training pairs to read: words of other prompts speak against their labels",
        _build_suspects,
        _run_suspects,
        (
            "rmtui suspects data/train/helpful_pairs.jsonl",
            "rmtui suspects data/train/helpful_pairs.jsonl --export marks.jsonl",
        ),
    ),
    Verb(
        "relabel",
        "a new version of pairs in which some are flipped, tied or dropped, with a log",
        _build_relabel,
        _run_relabel,
        (
            "rmtui relabel data/train/helpful_pairs.jsonl --flip p17 p40 --drop p3",
            "rmtui relabel data/train/helpful_pairs.jsonl --marks marks.jsonl",
        ),
    ),
)
