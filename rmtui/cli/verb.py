"""What a verb of the command line is; the families (runs, launching, guide, …) each export a tuple of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Verb:
    """`build` adds arguments to the verb's parser; `run` does the work and returns the exit code.

    Modules of verbs import argparse and this module at the top; everything else inside `run`, so that a verb pays only
    for what it uses.
    """

    name: str
    help: str
    build: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    examples: tuple[str, ...] = ()
    states: bool = False
    """It shows, or goes by, where runs stand: schedulers that hold some are asked before it."""


def nothing(parser: argparse.ArgumentParser) -> None:
    """`build` of a verb without arguments."""


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def print_json(document: Any) -> None:
    """One JSON document on stdout; non-finite numbers as strings, paths as text."""
    from trainer.events import plain

    json.dump(plain(document), sys.stdout, ensure_ascii=False, indent=2, allow_nan=False, default=_as_text)
    sys.stdout.write("\n")


def _as_text(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def ask_schedulers(workspace: Path) -> None:
    """Learn what became of runs that a scheduler holds. Where none does, one folder is looked at and nothing loaded."""
    try:
        if not any(not entry.name.startswith(".") for entry in os.scandir(workspace / "queue" / "jobs")):
            return
    except OSError:
        return
    from rmtui.launch.launchers import look_at_jobs
    from rmtui.workspace import open_workspace

    look_at_jobs(open_workspace(workspace), at_once=True)


def workspace_folder(args: argparse.Namespace) -> Path:
    """The folder that -C names, else the current one."""
    return Path(args.workspace or ".").expanduser().resolve()
