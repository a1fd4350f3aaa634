"""`python -m trainer train|score|merge|verify`; train when none is named: `accelerate launch -m trainer --config SPEC`.

Exit codes: 0 finished or stopped, 1 failed, 2 wrong configuration, files or usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from trainer import spec as specs
from trainer.signals import die_with_parent

COMMANDS = ("score", "base-floors", "merge", "verify", "check-round-trip")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    # What these libraries deprecate among each other is nothing a user can fix.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|accelerate)\.")
    try:
        if given and given[0] in COMMANDS:
            return _other(given[0], given[1:])
        return _train(_parser().parse_args(given[1:] if given[:1] == ["train"] else given))
    except specs.Refused as refused:
        if int(os.environ.get("RANK", "0")) == 0:
            print(refused, file=sys.stderr)
        return 2


def _other(command: str, argv: Sequence[str]) -> int:
    if command == "check-round-trip":
        from trainer.loop import round_trip

        return round_trip.main(argv)
    from trainer.release import export

    return export.main([command, *argv])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trainer",
        description="Train a reward model on preference pairs. Other commands: score, merge (see their --help).",
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, required=True, metavar="SPEC", help="TOML file with the options")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="the run's folder (default: the config's)")
    parser.add_argument("--attempt-dir", type=Path, metavar="DIR", help="this start's folder (default: attempt-N)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", type=Path, metavar="CHECKPOINT", help="go on from a checkpoint of this run")
    start.add_argument(
        "--init-from", type=Path, metavar="DIR", help="start anew from these weights, as the option init_from"
    )
    parser.add_argument("--force", action="store_true", help="resume even where that cannot be exact")
    return parser


def _train(args: argparse.Namespace) -> int:
    die_with_parent()
    spec = specs.read(args.config.resolve(), args.init_from, resuming=args.resume is not None)
    specs.check_world_size(spec, int(os.environ.get("WORLD_SIZE", "1")))
    if args.resume is not None and not args.resume.is_dir():
        raise specs.Refused(f"{args.resume} does not exist; name a folder checkpoints/step-… of a run")
    from trainer.loop import attempt
    from trainer.request import Request

    return attempt.run(spec, Request.of(args))


if __name__ == "__main__":
    sys.exit(main())
