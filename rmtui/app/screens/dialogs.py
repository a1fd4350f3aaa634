"""Small questions above a screen: yes or no, and a line of text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from rmtui import text as formats
from rmtui.app import actions
from rmtui.app.presentation.hanging_indent import Hanging, HangingRows, row
from rmtui.app.widgets.cells import fit
from rmtui.app.widgets.palette import palette_of
from rmtui.app.widgets.path_input import PathInput
from rmtui.translation import tr


class Confirm(ModalScreen[bool]):
    """y or enter: yes; n or escape: no. Says what will happen and what cannot be undone."""

    BINDINGS = actions.bindings("dialog")

    def __init__(self, question: str, explanation: str = "") -> None:
        super().__init__()
        self.question = question
        self._explanation = explanation

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self._laid(self.question), classes="question")
            yield Static(self._laid(self._explanation), classes="quiet")
            yield Static(f"y {tr('yes')}   n {tr('no')}", markup=False, classes="answers")

    def _laid(self, text: str) -> Hanging:
        """Lines as its language breaks them: no Chinese one begins with a comma."""
        return Hanging(row("", tr(text, words=False)))

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Letters(ModalScreen[str | None]):
    """One letter of a few: that is the answer; any other key leaves everything as it was."""

    def __init__(self, question: str, choices: Mapping[str, str]) -> None:
        """`choices`: letter → what it stands for."""
        super().__init__()
        self._question = question
        self._choices = choices

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(tr(self._question), markup=False, classes="question")
            yield HangingRows(id="letters")

    def on_mount(self) -> None:
        palette = palette_of(self)
        line = Text()
        for letter, word in self._choices.items():
            line.append(letter, palette.accent).append(f"\xa0{tr(word).replace(' ', chr(0xA0))}   ")
        self.query_one(HangingRows).show_rows([row("", line)])

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        self.dismiss(event.character if event.character in self._choices else None)


class Ask(ModalScreen[str | None]):
    """One line of text; enter takes it, escape leaves everything as it was."""

    BINDINGS = actions.bindings("ask")

    def __init__(
        self, question: str, text: str = "", hint: str = "", lines: str = "", *, root: Path | None = None
    ) -> None:
        """`root`: the line is a path below it."""
        super().__init__()
        self._root = root
        self.question = question
        self._text = text
        self._hint = hint
        self._lines = lines

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(tr(self.question, words=False), markup=False, classes="question")
            if self._lines:
                yield Static(tr(self._lines, words=False), markup=False, classes="quiet")
            hint = tr(self._hint, words=False)
            if self._root is None:
                yield Input(self._text, placeholder=hint, compact=True, select_on_focus=False)
                yield Static(f"enter {tr('OK')}   esc {tr('back')}", markup=False, classes="answers")
            else:
                yield PathInput(self._root, self._text, placeholder=hint)
                yield Static(id="there", markup=False, classes="quiet")
                keys = f"tab {tr('complete')}   enter {tr('OK')}   esc {tr('back')}"
                yield Static(keys, markup=False, classes="answers")

    @on(PathInput.Continued)
    def _continued(self, message: PathInput.Continued) -> None:
        """What is there, as much of it as one line holds."""
        there = self.query_one("#there", Static)
        names = [formats.clean(name) for name in message.names]
        line = "  ".join(names) if names else tr("nothing begins like this")
        there.update(fit(line, max(20, there.size.width or 56)).rstrip())

    @on(Input.Submitted)
    def _taken(self, message: Input.Submitted) -> None:
        message.stop()
        self.dismiss(message.value)

    def action_leave(self) -> None:
        self.dismiss(None)
