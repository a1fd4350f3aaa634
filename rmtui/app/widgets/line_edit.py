"""One line of text being typed, with a caret: what fields of the form and prompts of the log edit. No screen here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class LineEdit:
    """Text and caret; `key` takes a Textual key and answers whether it was one for editing."""

    text: str = ""
    caret: int = 0

    @classmethod
    def at_end(cls, text: str) -> LineEdit:
        return cls(text, len(text))

    def key(self, key: str, character: str | None) -> bool:
        """Apply a key press."""
        if character is not None and len(character) == 1 and character.isprintable():
            self.insert(character)
            return True
        move = _MOVES.get(key)
        if move is None:
            return False
        move(self)
        return True

    def insert(self, text: str) -> None:
        """Type or paste; line breaks become blanks."""
        text = " ".join(text.splitlines())
        self.text = self.text[: self.caret] + text + self.text[self.caret :]
        self.caret += len(text)

    def _backspace(self) -> None:
        if self.caret:
            self.text = self.text[: self.caret - 1] + self.text[self.caret :]
            self.caret -= 1

    def _delete(self) -> None:
        self.text = self.text[: self.caret] + self.text[self.caret + 1 :]

    def _left(self) -> None:
        self.caret = max(0, self.caret - 1)

    def _right(self) -> None:
        self.caret = min(len(self.text), self.caret + 1)

    def _home(self) -> None:
        self.caret = 0

    def _end(self) -> None:
        self.caret = len(self.text)

    def _clear_left(self) -> None:
        self.text, self.caret = self.text[self.caret :], 0


_MOVES = {
    "backspace": LineEdit._backspace,
    "ctrl+h": LineEdit._backspace,
    "delete": LineEdit._delete,
    "left": LineEdit._left,
    "right": LineEdit._right,
    "home": LineEdit._home,
    "ctrl+a": LineEdit._home,
    "end": LineEdit._end,
    "ctrl+e": LineEdit._end,
    "ctrl+u": LineEdit._clear_left,
}
