"""A configuration as a form, made from the option table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from textual.message import Message
from textual.scroll_view import ScrollView

from trainer.config import OPTIONS, Option, Problem


@dataclass(frozen=True, slots=True)
class Reference:
    """Values that the form is compared with: the file, the last run, a baseline. Texts as spelled there."""

    name: str
    """As said beside a field: `file`, `helpful-A-2`."""
    texts: Mapping[str, str] = field(default_factory=dict)


class Form(ScrollView, can_focus=True):
    """Keys: up/down, tab (field), digits or enter (edit), ←/→ (choice, one more or less), u (undo), ^r (redo),
    backspace on a field at rest (back to the file's value), a (advanced fields)."""

    @dataclass
    class Changed(Message):
        """A field has another value. `value` is None while the text is wrong; `text` is as typed."""

        key: str
        text: str
        value: Any
        problems: tuple[Problem, ...]

    @dataclass
    class Focused(Message):
        """The cursor stands on another field."""

        key: str

    def __init__(
        self, options: Mapping[str, Option] = OPTIONS, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)

    def load(self, texts: Mapping[str, str], references: tuple[Reference, ...] = ()) -> None:
        """Show a configuration: dotted key → text as spelled; missing keys show their defaults. The first reference is
        the file: what differs from it is `changes()`."""

    def texts(self) -> dict[str, str]:
        """Every field's text as typed."""
        return {}

    def values(self) -> dict[str, Any]:
        """Dotted key → value of the fields that are right."""
        return {}

    def changes(self) -> dict[str, str]:
        """Texts that differ in value from the first reference."""
        return {}

    def problems(self) -> list[Problem]:
        """Errors and warnings of all fields."""
        return []

    def set_text(self, key: str, text: str) -> None:
        """Change a field from outside (an advice); can be undone."""

    def set_derived(self, lines: Mapping[str, str]) -> None:
        """Derived figures to show beside the fields: name → text."""

    def focus_key(self, key: str) -> None:
        """Put the cursor on a field."""
