"""The filter above the list: what is typed takes effect at once, with a live count or the reason why it does not."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from rmtui.app import actions
from rmtui.app.chrome import Words


class FilterLine(Horizontal):
    """Hidden while there is no filter and nobody types one."""

    DEFAULT_CSS = """
    FilterLine { height: 1; display: none; }
    FilterLine.-used { display: block; }
    FilterLine #slash { width: 2; color: $accent; padding-left: 1; }
    FilterLine Input { width: 1fr; background: $background; }
    FilterLine #count { width: auto; max-width: 60%; color: $quiet; padding: 0 1; }
    FilterLine.-wrong #count { color: $warning; }
    """

    BINDINGS = actions.bindings("filter")

    @dataclass
    class Changed(Message):
        """The filter says something else."""

        query: str

    @dataclass
    class Left(Message):
        """Typing is over; `keep` is False after escape."""

        keep: bool

    def compose(self) -> ComposeResult:
        yield Words("/", id="slash")
        yield Input(
            id="query", placeholder="words, state:failed, tag:x -tag:y, val_acc>0.7, since:2d, a|b", compact=True
        )
        yield Words(id="count")

    @property
    def _input(self) -> Input:
        return self.query_one(Input)

    def open(self) -> None:
        """Start typing."""
        self.add_class("-used")
        self._input.focus()

    def fill(self, query: str) -> None:
        """Show a filter that came from elsewhere."""
        with self.prevent(Input.Changed):
            self._input.value = query
        self.set_class(bool(query), "-used")

    def tell(self, words: str, wrong: bool = False) -> None:
        """The live count, or why the filter cannot be read."""
        self.query_one("#count", Words).say(words)
        self.set_class(wrong, "-wrong")

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        message.stop()
        self.post_message(self.Changed(message.value))

    @on(Input.Submitted)
    def _entered(self, message: Input.Submitted) -> None:
        message.stop()
        self.set_class(bool(message.value), "-used")
        self.post_message(self.Left(True))

    def action_drop(self) -> None:
        self.fill("")
        self.post_message(self.Changed(""))
        self.post_message(self.Left(False))
