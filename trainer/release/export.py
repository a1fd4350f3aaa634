"""Leaving with the model: `python -m trainer merge`, `verify` and `score`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from trainer.data.texts import DataError
from trainer.release import base_floors, merge, scoring, verify
from trainer.remedies import remedy_for
from trainer.spec import Refused


def main(argv: Sequence[str]) -> int:
    """merge, verify or score. Exit code 1: the check failed, 2: wrong files or usage."""
    parser = argparse.ArgumentParser(prog="trainer", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    merge.add_arguments(commands.add_parser("merge", help="adapter and base model → one plain folder for transformers"))
    verify.add_arguments(commands.add_parser("verify", help="does plain transformers find the training's rewards?"))
    scoring.add_arguments(commands.add_parser("score", help="rewards of pairs, or of prompt/response lines"))
    base_floors.add_arguments(commands.add_parser("base-floors", help="what a frozen base knows of pairs"))
    args = parser.parse_args(argv)
    runs = {"merge": merge.run, "verify": verify.run, "score": scoring.run, "base-floors": base_floors.run}
    try:
        return runs[args.command](args)
    except OSError as error:
        print(f"rmtui: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except merge.CheckFailed as error:
        print(f"rmtui: {error}", file=sys.stderr)
        return 1
    except (merge.ExportError, DataError, Refused) as error:
        print(f"rmtui: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if not (remedy := remedy_for(error)):
            raise
        print(f"rmtui: {str(error).splitlines()[0]}; {remedy}", file=sys.stderr)
        return 1
