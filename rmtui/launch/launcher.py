"""What a way of running trainings has to do: the contract of every launcher, and nothing of any of them.

Where a run stands is no part of it: `rmtui.runs.state` derives that from files, and `look` brings the files up to date.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rmtui.errors import UserError
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a run: the first, or a resume."""

    attempt: int = 1
    checkpoint: str = ""
    """Folder to go on from; empty: from the beginning."""
    inexact: bool = False
    """Also where that cannot be exact."""


class NotSubmitted(UserError):
    """The launcher refused a start, and nothing of it is left with it."""


class Launcher(Protocol):
    """One way of running trainings. Its `kind` stands in spec.toml and launch.json, under [launch]."""

    @property
    def kind(self) -> str: ...

    def submit(self, ws: Workspace, run: RunFolder, start: Start) -> None:
        """Hand a start over: from now on it waits and then trains, whatever becomes of this process. The queue's turn
        is held. NotSubmitted where it was refused; OSError or SubprocessError where it was not even asked."""

    def look(self, ws: Workspace, *, at_once: bool = False) -> None:
        """Learn what became of its runs, so that their folders say it. Asks nobody more often than the launcher's own
        interval, unless `at_once`. What cannot be learnt now is no error: the last word is kept with its age."""

    def withdraw(self, ws: Workspace, run: RunFolder, by: str) -> None:
        """Take a start that still waits out of the line. It may have begun meanwhile: then nothing happens."""

    def stop(self, ws: Workspace, run: RunFolder, *, now: bool, by: str) -> None:
        """Ask the last attempt for a checkpoint and its end; `now` kills at once. UserError where it does not hear."""

    def attend(self, ws: Workspace, run: RunFolder) -> bool:
        """Give a training that nobody watches a watcher; whether that was needed."""

    def logs(self, attempt: AttemptFolder) -> list[Path]:
        """What was said of an attempt beside its ranks' own logs, in the order of interest."""

    def remains(self, run: RunFolder, attempt: AttemptFolder) -> str:
        """The proof of an end: what of an attempt is still there, in words; empty where nothing is."""
