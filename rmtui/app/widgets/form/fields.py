"""The values behind a form: texts as typed, what they parse to, what they differ from, and undo. No screen here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmtui.i18n import value_text
from trainer.config import Option, Problem, check_value, parse_text


@dataclass(frozen=True, slots=True)
class Reference:
    """Values that the form is compared with: the file, the last run, a baseline. Texts as spelled there."""

    name: str
    """As said beside a field: `file`, `helpful-A-2`."""
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fallback:
    """What counts while a field is empty, and where that is said."""

    text: str
    source: str


def read(option: Option, text: str) -> tuple[Any, list[Problem]]:
    """(value, problems); the value is None while the text is wrong."""
    try:
        value = parse_text(option, text)
    except ValueError as error:
        return None, [_unreadable(option, text, error)]
    problems = check_value(option, value)
    wrong = any(problem.severity == "error" for problem in problems)
    return (None if wrong else value), problems


def _unreadable(option: Option, text: str, error: ValueError) -> Problem:
    if not text.strip():
        return Problem(option.key, "a value is missing", f"its default is {value_text(option.key, option.default)}")
    found = check_value(option, text)
    return found[0] if found else Problem(option.key, str(error), "")


@dataclass(frozen=True, slots=True)
class _Change:
    key: str
    before: str
    after: str


class Fields:
    """Texts of every option, with undo and redo."""

    def __init__(self, options: Mapping[str, Option]) -> None:
        self.options = options
        self.references: tuple[Reference, ...] = ()
        self.fallbacks: Mapping[str, Fallback] = {}
        """Shown in the place of empty fields, never taken for their own."""
        self._texts: dict[str, str] = {}
        self._done: list[_Change] = []
        self._undone: list[_Change] = []
        self.load({}, ())

    def load(self, texts: Mapping[str, str], references: Sequence[Reference]) -> None:
        """Start anew from these texts; what is missing takes its default."""
        self._texts = {key: texts.get(key, value_text(key, option.default)) for key, option in self.options.items()}
        self.references = tuple(references)
        self._done.clear()
        self._undone.clear()

    def text(self, key: str) -> str:
        return self._texts[key]

    def fallback(self, key: str) -> Fallback | None:
        """What counts instead of a field that is empty."""
        return None if self._texts[key].strip() else self.fallbacks.get(key)

    def texts(self) -> dict[str, str]:
        return dict(self._texts)

    def read(self, key: str) -> tuple[Any, list[Problem]]:
        """(value, problems) of a field."""
        return read(self.options[key], self._texts[key])

    def set(self, key: str, text: str) -> bool:
        """A change that can be undone; False when nothing changed."""
        before = self._texts[key]
        self.typed(key, text)
        return self.settle(key, before)

    def typed(self, key: str, text: str) -> None:
        """The text of a field while it is being typed: no step of undo until `settle`."""
        self._texts[key] = text

    def settle(self, key: str, before: str) -> bool:
        """Typing ended: one step of undo from `before`."""
        if before == self._texts[key]:
            return False
        self._done.append(_Change(key, before, self._texts[key]))
        self._undone.clear()
        return True

    def undo(self) -> str | None:
        """Undo the last change; the key it was made on."""
        if not self._done:
            return None
        change = self._done.pop()
        self._undone.append(change)
        self._texts[change.key] = change.before
        return change.key

    def redo(self) -> str | None:
        if not self._undone:
            return None
        change = self._undone.pop()
        self._done.append(change)
        self._texts[change.key] = change.after
        return change.key

    def differing(self, key: str) -> list[tuple[str, str]]:
        """(name, text) of the references whose value is another than the field's."""
        value, _ = self.read(key)
        return [
            (reference.name, text)
            for reference in self.references
            if (text := self.reference_text(reference, key)) != self._texts[key]
            and read(self.options[key], text)[0] != value
        ]

    def reference_text(self, reference: Reference, key: str) -> str:
        """As spelled there; a key that it lacks has its default."""
        return reference.texts.get(key, value_text(key, self.options[key].default))

    def changes(self) -> dict[str, str]:
        """Texts that differ in value from the first reference."""
        if not self.references:
            return {}
        first = self.references[0].name
        return {key: text for key, text in self._texts.items() if any(name == first for name, _ in self.differing(key))}
