"""Verbs about data: the demo, and the check of preference pairs."""

from __future__ import annotations

import argparse
from pathlib import Path

from rmtui.cli.verbs import Verb


def _build_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", nargs="?", metavar="DIR", help="folder of the demo (default: ./demo)")
    parser.add_argument("--no-app", action="store_true", help="wait for the end and print the epochs' figures instead")


def _run_demo(args: argparse.Namespace) -> int:
    from rmtui.operations import demo

    root = Path(args.dir or args.workspace or "demo")
    made = demo.demo(root, _say)
    _say(f"{'Training' if made.fresh else 'Showing'} preset A on two processes: run {made.run_id}")
    if not args.no_app:
        from rmtui.app import run_app

        return run_app(str(made.root))
    for epoch in demo.follow(made.root, made.run_id):
        _say(_epoch_line(epoch.epoch, epoch.train_loss, epoch.val_loss, epoch.val_acc, epoch.val_pairs))
    finished, words = demo.outcome(made.root, made.run_id)
    _say(f"{words[0].upper()}{words[1:]}. Look at it with: rmtui -C {root}")
    return 0 if finished else 1


def _epoch_line(
    epoch: int, train_loss: float | None, val_loss: float | None, val_acc: float | None, pairs: int | None
) -> str:
    losses = (f"{name} {value:.4f}" for name, value in (("train", train_loss), ("val", val_loss)) if value is not None)
    accuracy = f"val_acc {val_acc:.1%} of {pairs} pairs" if val_acc is not None else "val_acc not known"
    return f"  epoch {epoch}   {'   '.join(losses)}   {accuracy}"


def _say(line: str) -> None:
    print(line, flush=True)


VERBS: tuple[Verb, ...] = (
    Verb(
        "demo",
        "make a workspace with its own small model and data, and train preset A in it",
        _build_demo,
        _run_demo,
        ("rmtui demo", "rmtui demo ~/rm-demo --no-app"),
    ),
)
