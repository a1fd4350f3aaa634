"""Small questions above a screen: yes or no, and a line of text."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from rmtui.app import actions


class Confirm(ModalScreen[bool]):
    """y or enter: yes; n or escape: no. Says what will happen and what cannot be undone."""

    BINDINGS = actions.bindings("dialog")

    def __init__(self, question: str, explanation: str = "") -> None:
        super().__init__()
        self.question = question
        self._explanation = explanation

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self.question, markup=False, classes="question")
            yield Static(self._explanation, markup=False, classes="quiet")
            yield Static("y yes   n no", markup=False, classes="answers")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Ask(ModalScreen[str | None]):
    """One line of text; enter takes it, escape leaves everything as it was."""

    BINDINGS = actions.bindings("ask")

    def __init__(self, question: str, text: str = "", hint: str = "", lines: str = "") -> None:
        super().__init__()
        self.question = question
        self._text = text
        self._hint = hint
        self._lines = lines

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(self.question, markup=False, classes="question")
            if self._lines:
                yield Static(self._lines, markup=False, classes="quiet")
            yield Input(self._text, placeholder=self._hint, compact=True, select_on_focus=False)
            yield Static("enter take it   esc back", markup=False, classes="answers")

    @on(Input.Submitted)
    def _taken(self, message: Input.Submitted) -> None:
        message.stop()
        self.dismiss(message.value)

    def action_leave(self) -> None:
        self.dismiss(None)
