"""A log of any size: only the lines on screen are read, through a line index over the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from textual.message import Message
from textual.scroll_view import ScrollView


class LineSource(Protocol):
    """`rmtui.records.logindex.LogIndex`: lines counted from 0; the last may be half there."""

    @property
    def path(self) -> Path: ...
    @property
    def line_count(self) -> int: ...
    def refresh(self) -> bool:
        """Look for new bytes; True when something changed."""

    def lines(self, first: int, n: int) -> Sequence[str]: ...


class LogView(ScrollView, can_focus=True):
    """Keys: j/k, g/G, pages, f (follow), n/N (next hit), w (wrap), t (timestamps), y/Y (copy line, path), r (rank)."""

    @dataclass
    class RankWanted(Message):
        """Show another rank's log; the screen opens it."""

        forward: bool = True

    @dataclass
    class FollowChanged(Message):
        following: bool

    @dataclass
    class SearchDone(Message):
        """`line` is None when nothing was found."""

        pattern: str
        line: int | None

    @dataclass
    class StepWanted(Message):
        """Enter on a line that names a step: show the curve there."""

        step: int

    def open(self, index: LineSource | None, title: str = "") -> None:
        """Show a log from its end, following; None empties the view."""

    def poll(self) -> bool:
        """Take in what the file gained; True when it did. Called by the widget's own slow timer too."""
        return False

    def search(self, pattern: str, forward: bool = False) -> None:
        """Find a text or /regular expression/ from the view's line on, in a thread; answers with SearchDone."""

    def set_filter(self, pattern: str) -> None:
        """Show only the lines that contain the text; "" shows all."""

    def go_to_line(self, line: int) -> None:
        """Show a line in the middle and stop following."""

    def go_to_step(self, step: int) -> None:
        """Find the line that names the step (`step 412`) and show it."""

    def first_error(self) -> None:
        """Find the first line that looks like an error."""
