"""Verbs that read metrics: compare, advise, pairs."""

from __future__ import annotations

import argparse
import shutil
from typing import Any

from rmtui.cli.verb import Verb, add_json, print_json, workspace_folder
from rmtui.translation import spoken


def _open(args: argparse.Namespace) -> tuple[Any, str]:
    from rmtui.workspace import open_workspace

    return open_workspace(workspace_folder(args)), spoken()


def _build_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="two to six runs; differences are against the first")
    parser.add_argument(
        "--at", default="last", metavar="WHICH", help="evaluation whose pairs are tested: last, best, epoch-2 …"
    )
    parser.add_argument("--all", action="store_true", help="show the settings that are equal, too")
    add_json(parser)
    parser.add_argument("--markdown", action="store_true", help="print Markdown for a pull request")


def _compare(args: argparse.Namespace) -> int:
    from rmtui.guide import comparison_tables
    from rmtui.operations.compare import compare

    ws, lang = _open(args)
    document = compare(ws, args.runs, lang, args.at)
    if args.json:
        print_json(document)
    else:
        print(
            comparison_tables.markdown(document, lang)
            if args.markdown
            else comparison_tables.plain(document, args.all, lang)
        )
    return 0


def _build_advise(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="id, name, unique prefix, @latest or @best")
    parser.add_argument(
        "--all", action="store_true", help="every reading and advice in full, with its id, and the path"
    )
    parser.add_argument("--against", metavar="RUN", help="the run to compare it with (default: the one before it)")
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--silence", metavar="ID", help="hide this reading or advice for this run")
    change.add_argument("--unsilence", metavar="ID", help="show a hidden reading or advice again")
    parser.add_argument("--always", action="store_true", help="with --silence: in every run of the workspace")
    add_json(parser)


def _advise(args: argparse.Namespace) -> int:
    from rmtui.operations.advise import advise
    from rmtui.operations.mute import silence, unsilence

    ws, lang = _open(args)
    if args.silence:
        silence(ws, args.run, args.silence, args.always)
    if args.unsilence:
        unsilence(ws, args.run, args.unsilence)
    document = advise(ws, args.run, lang, args.against)
    if args.json:
        print_json(document)
        return 0
    from rmtui.guide.short_form import page
    from rmtui.guide.text_report import advice_text

    columns = shutil.get_terminal_size().columns
    print(advice_text(document, lang) if args.all else page(document, lang, columns))
    return 0


def _build_pairs(parser: argparse.ArgumentParser) -> None:
    from rmtui.guide.pair_kinds import KINDS, kind_of

    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="one run; two for fixed and regressed; several for suspects"
    )
    parser.add_argument(
        "--kind", type=kind_of, choices=KINDS, help="default: wrong for one run, regressed for two, suspect for more"
    )
    parser.add_argument("--by", metavar="FIELD", help="accuracy by length, source or any field of the data")
    parser.add_argument("--at", default="last", metavar="WHICH", help="evaluation: last, best, epoch-2 …")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="pairs to show (default 10; 0: all)")
    parser.add_argument("--export", metavar="FILE", help="write these pairs as JSON lines")
    add_json(parser)


def _pairs(args: argparse.Namespace) -> int:
    from pathlib import Path

    from rmtui.guide.text_report import groups_text, pairs_text
    from rmtui.i18n import translate
    from rmtui.operations.pair_report import accuracy_by, export, pairs

    ws, lang = _open(args)
    if args.by:
        groups = accuracy_by(ws, args.runs, args.by, args.at, lang)
        print_json(groups) if args.json else print(groups_text(groups, lang))
        return 0
    document = pairs(ws, args.runs, args.kind, args.at, None if args.export else args.limit or None, lang)
    if args.export:
        document["exported"] = export(document, Path(args.export))
    if args.json:
        print_json(document)
    elif args.export:
        print(translate("pairs.written", lang, count=document["exported"], path=args.export))
    else:
        print(pairs_text(document, lang))
    return 0


def _build_curve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the run on all pairs: id, name, unique prefix, @latest or @best")
    parser.add_argument(
        "--launch", action="store_true", help="train with its settings on a quarter and on half of its pairs"
    )
    add_json(parser)


def _curve(args: argparse.Namespace) -> int:
    from rmtui.operations import learning_curve

    ws, lang = _open(args)
    started = learning_curve.start(ws, args.run) if args.launch else []
    if args.json:
        print_json(learning_curve.learning_curve(ws, args.run, lang))
    else:
        print("\n".join(started) or learning_curve.page(learning_curve.learning_curve(ws, args.run, lang), lang))
    return 0


VERBS: tuple[Verb, ...] = (
    Verb(
        "compare",
        "runs side by side: settings, metrics, and whether the difference is more than chance",
        _build_compare,
        _compare,
        ("rmtui compare before after", "rmtui compare A-1 B-1 C-1 --markdown"),
    ),
    Verb(
        "advise",
        "what the metrics of a run mean and what to try next",
        _build_advise,
        _advise,
        ("rmtui advise @latest", "rmtui advise @latest --lang zh", "rmtui advise A-1 --silence more_epochs --always"),
    ),
    Verb(
        "learning-curve",
        "what more training pairs would bring: a run beside runs of its settings on fewer of its pairs",
        _build_curve,
        _curve,
        ("rmtui learning-curve @best", "rmtui learning-curve @best --launch"),
    ),
    Verb(
        "pairs",
        "the validation pairs behind the metrics: most wrong, closest, fixed, regressed, likely mislabelled",
        _build_pairs,
        _pairs,
        (
            "rmtui pairs @latest",
            "rmtui pairs @latest --by source",
            "rmtui pairs A-1 A-2 --kind fixed",
            "rmtui pairs A-1 A-2 A-3 --kind suspect --export doubtful.jsonl",
        ),
    ),
)
