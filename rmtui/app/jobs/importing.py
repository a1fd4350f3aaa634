"""Importing from the app: what was read and what could not be, in a toast."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from rmtui.app.jobs.jobs import still_wanted
from rmtui.i18n import translate
from rmtui.workspace import Workspace

MOST_NOTES = 4
"""Of what a source and the configuration beside it disagree on, in a toast."""


@dataclass
class Imported(Message):
    """What an import did, in words."""

    words: str


def import_paths(ws: Workspace, folder: Path, text: str, tell: Callable[[str], object], lang: str = "en") -> Imported:
    """Import what a person typed: paths, or one glob, relative to the folder the app was started in.

    `tell` hears of large files and of every run; what was read before a cancellation stays.
    """
    from rmtui.operations import imports

    base = Path(text).expanduser()
    paths = (
        sorted(folder.glob(text)) if any(sign in text for sign in "*?[") and not base.is_absolute() else [folder / base]
    )
    numbers = itertools.count(1)

    def report(_: object) -> None:
        still_wanted()
        tell(f"run {next(numbers)}")

    def report_file(path: Path, share: float) -> None:
        still_wanted()
        tell(f"{path.name} {share:.0%}")

    done = imports.import_paths(ws, paths, report, report_file)
    lines = [f"{len(done.runs)} run{'' if len(done.runs) == 1 else 's'} read"]
    lines += [f"{run.name}: {text}" for run in done.runs[:5] if (text := run.description(lang))]
    notes = [f"{run.name}: {note}" for run in done.runs[:5] for note in run.notes]
    lines += notes[:MOST_NOTES]
    lines += [f"{len(notes) - MOST_NOTES} more notes: rmtui import prints them all"] if len(notes) > MOST_NOTES else []
    return Imported("\n".join([*lines, *(translate("source.unread", lang, text=text) for text in done.unread[:5])]))
