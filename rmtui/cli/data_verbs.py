"""Verbs about data: the demo, and the check of preference pairs."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtui.cli.messages import echo, fetch_from_hub
from rmtui.cli.verb import Verb, add_json, print_json, workspace_folder
from rmtui.errors import UserError
from rmtui.translation import spoken

if TYPE_CHECKING:
    from rmtui.documents.data import ConvertDocument


def _build_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", nargs="?", metavar="DIR", help="folder of the demo (default: ./demo)")
    parser.add_argument("--no-app", action="store_true", help="wait for the end and print the epochs' metrics instead")


def _run_demo(args: argparse.Namespace) -> int:
    from rmtui.operations import demo

    root = Path(args.dir or args.workspace or "demo")
    made = demo.demo(root, _print_error)
    _print_error(f"{'Training' if made.fresh else 'Showing'} preset A on {made.place}: run {made.run_id}")
    if not args.no_app:
        from rmtui.app import run_app

        return run_app(str(made.root), made.run_id)
    for epoch in demo.follow(made.root, made.run_id):
        _print_error(_epoch_line(epoch.epoch, epoch.train_loss, epoch.val_loss, epoch.val_acc, epoch.val_pairs))
    finished, words = demo.outcome(made.root, made.run_id)
    _print_error(f"{words[0].upper()}{words[1:]}. Look at it with: rmtui -C {root}")
    return 0 if finished else 1


def _epoch_line(
    epoch: int, train_loss: float | None, val_loss: float | None, val_acc: float | None, pairs: int | None
) -> str:
    losses = (f"{name} {value:.4f}" for name, value in (("train", train_loss), ("val", val_loss)) if value is not None)
    accuracy = f"val_acc {val_acc:.1%} of {pairs} pairs" if val_acc is not None else "val_acc not known"
    return f"  epoch {epoch}   {'   '.join(losses)}   {accuracy}"


def _print_error(line: str) -> None:
    echo(line, flush=True)


def _build_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="files, folders of shards, or hf:org/name:config@split"
    )
    parser.add_argument("--head", type=int, metavar="N", default=0, help="print the first N pairs of each file as well")
    parser.add_argument(
        "--fix", type=Path, metavar="OUT", help="write a cleaned copy, and OUT.dropped.jsonl (several files: a folder)"
    )
    parser.add_argument("--model", type=Path, metavar="DIR", help="count tokens with this model's tokenizer.json")
    parser.add_argument(
        "--max-length", type=int, metavar="N", default=512, help="tokens a side, with --model (default 512)"
    )
    parser.add_argument(
        "--tokens", action="store_true", help="with a model: count every pair's tokens, in large files too"
    )
    add_fields(parser)
    parser.add_argument("--no-near", action="store_true", help="leave out the pass for near-duplicates")
    add_json(parser)


def add_fields(parser: argparse.ArgumentParser) -> None:
    """`--fields`, of verbs that read pair files."""
    help = "fields of a layout that is not recognised: prompt=question,chosen=good,rejected=bad"
    parser.add_argument("--fields", default="", metavar="NAME=FIELD,…", help=help)


def _build_floors(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("train", type=Path, metavar="TRAIN", help="training pairs, to which the bag of words is fitted")
    parser.add_argument("val", type=Path, metavar="VAL", help="validation pairs")
    parser.add_argument(
        "--base",
        nargs="?",
        const="",
        metavar="MODEL",
        help="ask a frozen model, too (default: the workspace's): it reads every pair, minutes on a CPU; kept",
    )
    parser.add_argument(
        "--max-length", type=int, metavar="N", default=512, help="tokens a side, with --base (default 512)"
    )
    add_fields(parser)
    add_json(parser)


def _run_floors(args: argparse.Namespace) -> int:
    from rmtui.cli.text_tables import Column, show
    from rmtui.operations.convert import fields_of
    from rmtui.operations.floors import TITLES, floors
    from rmtui.operations.frozen_base import BaseAsked, base_of
    from rmtui.workspace import open_workspace

    try:
        workspace = open_workspace(workspace_folder(args))
    except UserError:  # files of anywhere are measured, too, and not remembered
        workspace = None
    asked = None
    if args.base is not None:
        asked = BaseAsked(base_of(workspace, args.base), args.max_length, _tell_share)
    found = floors(workspace, args.train, args.val, fields_of(args.fields), asked)
    if args.json:
        print_json(found)
        return 0
    rows = [("", found["pairs"], one) for one in found["floors"]]
    rows += [(part["source"], part["pairs"], one) for part in found["sources"] for one in part["floors"]]
    columns = [Column("baseline", ours=True), Column("val_acc", right=True), Column("95 %", right=True)]
    columns += [Column("pairs", right=True), *([Column("source")] if found["sources"] else [])]
    show(
        columns,
        [
            [
                TITLES[one["floor"]],
                f"{one['accuracy']:.1%}",
                f"{100 * one['interval'][0]:.1f}–{one['interval'][1]:.1%}",
                str(pairs),
                *([source] if found["sources"] else []),
            ]
            for source, pairs, one in rows
        ],
    )
    if "base" in found and found["base"]["why_none"]:
        echo(f"no log-probability: {found['base']['why_none']}")
    return 0


def _tell_share(share: str) -> None:
    """On a terminal, how much of the pairs the base has read."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{share}\r")
        sys.stderr.flush()


def _build_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a file, folder of shards or hf:org/name:config@split, in any layout"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a new file: JSON lines of prompt, chosen, rejected")
    add_fields(parser)
    add_json(parser)


def _run_convert(args: argparse.Namespace) -> int:
    from rmtui.operations import convert

    fetch_from_hub([args.file])
    lang = spoken()
    with _Progress(args.json, lang) as progress:
        made = convert.convert(
            args.file, args.out, fields=convert.fields_of(args.fields), tell=lambda share: progress.show("lines", share)
        )
    if not args.json:
        print("\n".join(convert.lines(made, args.out, lang)))
        return 0
    document: ConvertDocument = {
        "path": str(args.out),
        "layout": made.reading.name,
        "container": made.reading.container,
        "fields": made.reading.sources,
        "records": made.records,
        "pairs": made.kept,
        "left_out": made.left_out,
    }
    print_json(document)
    return 0


def _run_check(args: argparse.Namespace) -> int:
    from rmtui.datacheck import report as words
    from rmtui.operations import check, convert

    model, lang = _model(workspace_folder(args)), spoken()
    fields = convert.fields_of(args.fields)
    fetch_from_hub(args.files)
    with _Progress(args.json, lang) as progress:
        report = check.check(
            args.files,
            model=args.model or model,
            max_length=args.max_length,
            every_token=args.tokens,
            look_for_near=not args.no_near,
            fields=fields,
            progress=progress.show,
            cancelled=lambda: progress.cancelled,
        )
    if args.json:
        print_json(check.document(report, lang))
    else:
        _print_check(args, fields, lang, words.lines(report, lang))
    if args.fix:
        for copy, cleaned in check.fix(report, args.fix, lang).items():
            text = words.copied(copy, cleaned, lang)
            print(text, file=sys.stderr if args.json else sys.stdout)
    return 1 if report.failed else 0


def _print_check(args: argparse.Namespace, fields: dict[str, str], lang: str, lines: Iterable[str]) -> None:
    from rmtui.datacheck import report as words

    for path in args.files if args.head > 0 else ():
        print(path)
        for line in words.head(path, args.head, lang, fields):
            print(line)
    for line in lines:
        print(line)


def _model(root: Path) -> Path | None:
    """The model whose tokens are counted, if this is a workspace and its model a folder with a tokenizer."""
    from rmtui.workspace import open_workspace

    try:
        ws = open_workspace(root)
    except UserError:
        return None
    folder = ws.path(ws.settings.model)
    return folder if ws.settings.model and (folder / "tokenizer.json").is_file() else None


class _Progress:
    """A bar on standard error, on a terminal only. Ctrl-C ends only the pass for near-duplicates."""

    def __init__(self, quiet: bool, lang: str) -> None:
        self._lang = lang
        self._quiet = quiet or not sys.stderr.isatty()
        self._before: Any = None
        self._shown = ""
        self.cancelled = False

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self._shown:
            sys.stderr.write("\r\x1b[K")

    def show(self, name: str, share: float) -> None:
        if name == "near-duplicates" and self._before is None:
            self._before = signal.signal(signal.SIGINT, self._cancel)
        if self._quiet:
            return
        from rmtui.datacheck.report import progress
        from rmtui.text import bar

        text = "\r" + progress(f"{bar(share, 30)} {share:4.0%}", self._before is not None, self._lang)
        if text != self._shown:
            self._shown = text
            sys.stderr.write(text)
            sys.stderr.flush()

    def _cancel(self, _number: int, _frame: object) -> None:
        self.cancelled = True


VERBS: tuple[Verb, ...] = (
    Verb(
        "demo",
        "make a workspace with its own small model and data, and train preset A in it",
        _build_demo,
        _run_demo,
        ("rmtui demo", "rmtui demo ~/rm-demo --no-app"),
    ),
    Verb(
        "check",
        "check preference data line by line, and validation against training",
        _build_check,
        _run_check,
        (
            "rmtui check data/train/helpful_pairs.jsonl data/val/helpful_pairs.jsonl",
            "rmtui check pairs.jsonl --head 10",
            "rmtui check hf:org/name@train hf:org/name@test",
            "rmtui check pairs.jsonl --fix clean.jsonl",
        ),
    ),
    Verb(
        "floors",
        "what simple baselines score: length rulers, a bag of words, a frozen base",
        _build_floors,
        _run_floors,
        (
            "rmtui floors data/train/helpful_pairs.jsonl data/val/helpful_pairs.jsonl",
            "rmtui floors data/train/helpful_pairs.jsonl data/val/helpful_pairs.jsonl --base models/base",
        ),
    ),
    Verb(
        "convert",
        "write preference data of any known layout as plain pairs",
        _build_convert,
        _run_convert,
        (
            "rmtui convert train.parquet data/train/helpful_pairs.jsonl",
            "rmtui convert ranked.csv pairs.jsonl --fields prompt=q,chosen=good,rejected=bad",
        ),
    ),
)
