"""Verbs of coming and leaving: import, watch, export, score, merge, serve, completion."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from rmtui.cli.messages import echo, end_line, print_imported, reading_file
from rmtui.cli.verb import Verb, add_json, print_json, workspace_folder


def _build_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files, folders or an exported tarball")
    parser.add_argument("--again", metavar="RUN", help="re-read the source of an imported run and show what changed")
    parser.add_argument("--as-preset", metavar="NAME", help="make a preset of a YAML configuration")
    add_json(parser)


def _import(args: argparse.Namespace) -> int:
    from rmtui.errors import UserError
    from rmtui.i18n import translate
    from rmtui.operations import imports
    from rmtui.translation import spoken, tr
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    if args.again:
        return _import_again(args)
    if not args.paths:
        raise UserError("no file to import was named", "", "name files or folders, or --again RUN")
    if args.as_preset:
        return _import_preset(args)
    try:
        report = imports.import_paths(ws, args.paths, None if args.json else print_imported, reading_file)
    finally:
        end_line()
    for text in report.unread:
        print(translate("source.unread", spoken(), text=text), file=sys.stderr)
    if args.json:
        rows = [
            {
                "id": run.id,
                "name": run.name,
                "source": str(run.source),
                "new": run.new,
                "notes": list(run.notes),
                "recognised": run.recognised,
                "unused": list(run.unused),
            }
            for run in report.runs
        ]
        print_json({"runs": rows, "unread": list(report.unread), "skipped": list(report.skipped)})
        return 0 if report.runs else 1
    for text in report.skipped:
        print(translate("source.skipped", spoken(), text=text), file=sys.stderr)
    if not report.runs:
        print(f"{translate('source.nothing', spoken())}{tr(_hint(args.paths))}", file=sys.stderr)
    return 0 if report.runs else 1


def _hint(paths: list[Path]) -> str:
    if any(path.suffix in (".yaml", ".yml") for path in paths):
        return "; a configuration becomes a preset with --as-preset NAME"
    if any(path.suffix == ".jsonl" for path in paths):
        return "; preference pairs go into data/train/ and data/val/, and `rmtui check FILE` looks at them"
    return ""


def _import_again(args: argparse.Namespace) -> int:
    from rmtui.operations import imports
    from rmtui.workspace import open_workspace

    done = imports.import_again(open_workspace(workspace_folder(args)), args.again)
    if args.json:
        print_json({"id": done.id, "name": done.name, "source": done.source, "changes": list(done.changes)})
        return 0
    echo(f"{done.id}  {done.name}  read again from {done.source}")
    for change in done.changes or ("nothing changed",):
        echo(f"  {change}")
    return 0


def _import_preset(args: argparse.Namespace) -> int:
    from rmtui.operations import exchange
    from rmtui.workspace import open_workspace

    preset, unknown = exchange.import_preset(open_workspace(workspace_folder(args)), args.paths[0], args.as_preset)
    if args.json:
        print_json({"preset": preset.name, "path": str(preset.path), "unknown": list(unknown)})
        return 0
    echo(f"{preset.path}: preset {preset.name}\n  {preset.purpose}")
    if unknown:
        echo(f"not taken, no counterpart here: {', '.join(unknown)}", file=sys.stderr)
    return 0


def _build_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", type=Path, metavar="LOG_OR_FOLDER", help="log or folder that a training elsewhere writes"
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--once", action="store_true", help="read what is there and end")
    end.add_argument(
        "--stay", action="store_true", help="keep watching when all training there is over: more may follow"
    )
    parser.add_argument(
        "--until-idle", type=_minutes, metavar="MINUTES", help="end after this long without anything new"
    )


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError
    return value


def _watch(args: argparse.Namespace) -> int:
    from rmtui.operations import follow as watch
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    idle = None if args.until_idle is None else 60 * args.until_idle
    until = watch.Until(over=not args.stay, idle=idle, once=args.once)
    for text in watch.follow(ws, args.path, until):
        echo(text, flush=True)
    return 0


def _build_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="ids, names, unique prefixes, @latest or @best")
    parser.add_argument(
        "--format",
        default="",
        choices=("json", "csv", "markdown", "html", "tensorboard", "tar"),
        help="default: by the ending of -o, else json",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="a file, or a folder for tensorboard; - for stdout"
    )
    parser.add_argument("--weights", action="store_true", help="tar: include checkpoints and model")


def _export(args: argparse.Namespace) -> int:
    from rmtui.operations import exchange
    from rmtui.workspace import open_workspace

    ws = open_workspace(workspace_folder(args))
    to_stdout = str(args.output) == "-"
    stream = sys.stdout.buffer if to_stdout and not sys.stdout.isatty() else None
    text = exchange.export(ws, args.runs, args.format, None if to_stdout else args.output, args.weights, stream)
    if text is not None:
        sys.stdout.write(text)
    elif not to_stdout:
        print(args.output)
    return 0


def _build_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN|MODEL_DIR", help="a run (its best checkpoint) or a model folder")
    parser.add_argument("file", metavar="FILE", help="pairs or {prompt, response} lines; - reads stdin")
    parser.add_argument("--checkpoint", default="", metavar="STEP", help="another checkpoint of the run")
    parser.add_argument("--out", metavar="FILE", help="write each line's rewards there as JSON lines")
    parser.add_argument("--batch-size", type=int, metavar="N", help="pairs a forward pass")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda or cuda:1 (default: a GPU if there is one)")
    parser.add_argument(
        "--precision",
        choices=("own", "auto", "no", "bf16", "fp16"),
        help="number format; own (default): the run's, float32 for a folder of unknown origin",
    )
    add_json(parser)


def _score(args: argparse.Namespace) -> int:
    from rmtui.operations import model_folders

    folder = model_folders.model_folder(workspace_folder(args), args.model, args.checkpoint)
    model_folders.refuse_sealed(workspace_folder(args), args.file, args.model)
    options: list[str | Path] = ["--json"] if args.json else []
    options += ["--out", args.out] if args.out else []
    options += ["--batch-size", str(args.batch_size)] if args.batch_size else []
    options += ["--device", args.device] if args.device else []
    options += ["--precision", args.precision] if args.precision else []
    return model_folders.trainer(["score", folder, args.file, *options])


def _build_test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the finalist: one run, its best checkpoint")
    parser.add_argument("--against", default="", metavar="RUN", help="the one run that it is compared with")
    parser.add_argument("--file", type=Path, metavar="FILE", help="sealed pairs (default: the run's data.test)")
    parser.add_argument("--again", action="store_true", help="look once more at a set that has been looked at")
    parser.add_argument("--batch-size", type=int, metavar="N", help="pairs a forward pass")
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda or cuda:1 (default: a GPU if there is one)")
    add_json(parser)


def _test(args: argparse.Namespace) -> int:
    from rmtui.operations.sealed_test import sealed_set, take_look
    from rmtui.translation import spoken
    from rmtui.workspace import open_workspace

    options = [*(["--batch-size", str(args.batch_size)] if args.batch_size else [])]
    options += ["--device", args.device] if args.device else []
    ws = open_workspace(workspace_folder(args))
    at = sealed_set(ws, args.run, args.against, args.file.expanduser().resolve() if args.file else None)
    document = take_look(ws, at, again=args.again, options=tuple(options), lang=spoken())
    if args.json:
        print_json(document)
    else:
        print(document["text"])
    return 0


def _build_merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN|MODEL_DIR", help="a run (its best checkpoint) or an adapter's folder")
    parser.add_argument(
        "directory", type=Path, metavar="DIR", help="the folder to make; it must not exist, or be empty"
    )
    parser.add_argument("--checkpoint", default="", metavar="STEP", help="another checkpoint of the run")
    add_json(parser)


def _merge(args: argparse.Namespace) -> int:
    from rmtui.operations import model_folders

    place = workspace_folder(args)
    folder = model_folders.model_folder(place, args.run, args.checkpoint)
    selection = "" if args.checkpoint else model_folders.selection(place, args.run)
    options = [*(["--json"] if args.json else []), *(["--selection", selection] if selection else [])]
    if sealed := model_folders.sealed(place, args.run, folder):
        options += ["--sealed", sealed]
    return model_folders.trainer(["merge", folder, args.directory, *options])


def _build_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a finished run")
    add_json(parser)


def _verify(args: argparse.Namespace) -> int:
    from rmtui.operations import model_folders

    folder = model_folders.run_folder(workspace_folder(args), args.run)
    return model_folders.trainer(["verify", folder, *(["--json"] if args.json else [])])


def _build_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on")
    parser.add_argument("--any-address", action="store_true", help="allow an address that others can reach")
    parser.add_argument("--public-url", metavar="URL", help="what browsers call it, behind a proxy")


def _serve(args: argparse.Namespace) -> int:
    from rmtui.app.terminal.serving import serve
    from rmtui.workspace import open_workspace

    root = open_workspace(workspace_folder(args)).root
    return serve(root, args.host, args.port, args.any_address, args.public_url)


def _build_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def _completion(args: argparse.Namespace) -> int:
    from rmtui.cli import parser
    from rmtui.cli.completion import script

    sys.stdout.write(script(parser(), args.shell))
    return 0


VERBS = (
    Verb(
        "import",
        "runs of other programs: logs, trainer_state.json, TensorBoard, W&B, MLflow, trackio, CSV, own exports",
        _build_import,
        _import,
        (
            "rmtui import logs/training/rm",
            "rmtui import run.tar.gz",
            "rmtui import configs/rm_config.yaml --as-preset mine",
            "rmtui import --again helpful_3",
        ),
    ),
    Verb(
        "watch",
        "follow a training started elsewhere as a run of this workspace until it ends",
        _build_watch,
        _watch,
        (
            "rmtui watch logs/training/rm/helpful_3.log",
            "rmtui watch logs/training/rm --stay --until-idle 120",
        ),
    ),
    Verb(
        "export",
        "runs as JSON, CSV, Markdown, an HTML report, TensorBoard files or a tarball",
        _build_export,
        _export,
        (
            "rmtui export @latest -o run.html",
            "rmtui export A-1 A-2 --format markdown",
            "rmtui export @best -o best.tar.gz",
        ),
    ),
    Verb(
        "score",
        "rewards of pairs or responses; of pairs the accuracy with its interval",
        _build_score,
        _score,
        ("rmtui score @best holdout.jsonl", "rmtui score ~/models/rm - --json < pairs.jsonl"),
    ),
    Verb(
        "test",
        "the last word on one finalist: its accuracy on sealed pairs, each look counted",
        _build_test,
        _test,
        ("rmtui test @best", "rmtui test helpful-A-7 --against helpful-A-1"),
    ),
    Verb(
        "merge",
        "a plain model folder for AutoModelForSequenceClassification",
        _build_merge,
        _merge,
        ("rmtui merge @best ~/models/helpful-rm",),
    ),
    Verb(
        "verify",
        "load a finished run's model by plain transformers in a fresh process: does it give the trained rewards?",
        _build_verify,
        _verify,
        ("rmtui verify @latest",),
    ),
    Verb(
        "serve",
        "the app in a browser, for this machine only unless another address is given",
        _build_serve,
        _serve,
        ("rmtui serve", "rmtui -C ~/rm serve --port 8080"),
    ),
    Verb(
        "completion",
        "a completion script for a shell",
        _build_completion,
        _completion,
        (
            "rmtui completion bash > ~/.local/share/bash-completion/completions/rmtui",
            "rmtui completion zsh > ~/.zfunc/_rmtui                     # a folder in fpath, before compinit",
            "rmtui completion fish > ~/.config/fish/completions/rmtui.fish",
        ),
    ),
)
