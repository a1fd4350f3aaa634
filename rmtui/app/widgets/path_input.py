"""A line for a path: it shows what is there while one types, and tab completes as a shell does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message
from textual.widgets import Input

from rmtui.app import actions

MOST = 400
"""Entries of a folder that are looked at: nobody reads more, and a key has to be quick."""


def candidates(root: Path, text: str) -> list[str]:
    """What `text`, a path relative to `root` or absolute, can be continued to; folders end in a slash."""
    head, slash, begun = text.rpartition("/")
    folder = root / Path(f"{head}{slash}").expanduser()
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry, _ in zip(entries, range(MOST), strict=False):
                if entry.name.startswith(begun) and (begun.startswith(".") or not entry.name.startswith(".")):
                    found.append(f"{head}{slash}{entry.name}{'/' if entry.is_dir() else ''}")
    except OSError:  # no such folder, or not ours to read
        return []
    return sorted(found)


def first_there(root: Path, folders: Sequence[str]) -> str:
    """The first of these folders that is there and holds something, else nothing."""
    return next((folder for folder in folders if candidates(root, folder)), "")


class PathInput(Input):
    """Completes paths below `root`; where there is nothing to complete, tab goes to the next field."""

    BINDINGS = actions.bindings("path")

    @dataclass
    class Continued(Message):
        """What the path can be continued to now."""

        names: Sequence[str]

    def __init__(self, root: Path, value: str = "", *, placeholder: str = "", id: str | None = None) -> None:
        super().__init__(value, placeholder=placeholder, id=id, compact=True, select_on_focus=False)
        self._root = root

    def on_mount(self) -> None:
        self._tell()

    def on_input_changed(self) -> None:
        self._tell()

    def _tell(self) -> None:
        names = candidates(self._root, self.value)
        self.post_message(
            self.Continued([name.rstrip("/").rpartition("/")[2] + "/" * name.endswith("/") for name in names])
        )

    def action_complete(self) -> None:
        """As far as all that begins like this goes on alike."""
        names = candidates(self._root, self.value)
        begun = os.path.commonprefix(names)  # noqa: RUF071 - by characters, as a shell does
        if len(begun) > len(self.value):
            self.value = begun
            self.cursor_position = len(begun)
        else:
            self.screen.focus_next()
