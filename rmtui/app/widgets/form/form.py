"""A configuration as a form, made from the option table: one row a field, edited in place with the keyboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from rmtui.app import actions
from rmtui.app.widgets.form.field_lines import FormLines, Heading, arranged
from rmtui.app.widgets.form.fields import Fields
from rmtui.app.widgets.form.fields import Reference as Reference
from rmtui.app.widgets.glyphs import glyphs_of
from rmtui.app.widgets.line_edit import LineEdit
from rmtui.app.widgets.ordered_keys import OrderedKeys
from rmtui.app.widgets.palette import palette_of
from trainer.config import OPTIONS, Option, Problem


class Form(OrderedKeys, ScrollView, can_focus=True):
    """Typing edits the field under the cursor; what is wrong, or differs, is shown beside it."""

    DEFAULT_CSS = """
    Form { height: 1fr; overflow: hidden; }
    """
    BINDINGS = actions.bindings("fields")

    @dataclass
    class Changed(Message):
        """A field has another value. `value` is None while the text is wrong; `text` is as typed."""

        key: str
        text: str
        value: Any
        problems: tuple[Problem, ...]

    @dataclass
    class Focused(Message):
        """The cursor moved to another field."""

        key: str

    def __init__(
        self, options: Mapping[str, Option] = OPTIONS, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.fields = Fields(options)
        self.show_advanced = False
        self._rows: list[Option | Heading] = []
        self._cursor = 1
        self._edit: LineEdit | None = None
        self._before = ""
        self._derived: dict[str, str] = {}
        self._notes: tuple[tuple[str, str], ...] = ()
        self._paint: tuple[FormLines, list[Strip], list[list[Segment]], Style]
        self._arrange()

    # What the screen tells and asks

    def load(self, texts: Mapping[str, str], references: Sequence[Reference] = ()) -> None:
        """Show a configuration: dotted key → text as spelled; missing keys show their defaults. The first reference is
        the file: what differs from it is `changes()`."""
        self._edit = None
        self.fields.load(texts, references)
        self._arrange()
        self.refresh()

    def texts(self) -> dict[str, str]:
        """Every field's text as typed."""
        return self.fields.texts()

    def values(self) -> dict[str, Any]:
        """Dotted key → value of the fields that are right."""
        read = {key: self.fields.read(key)[0] for key in self.fields.options}
        return {key: value for key, value in read.items() if value is not None}

    def changes(self) -> dict[str, str]:
        """Texts that differ in value from the first reference."""
        return self.fields.changes()

    def problems(self) -> list[Problem]:
        """Errors and warnings of all fields."""
        return [problem for key in self.fields.options for problem in self.fields.read(key)[1]]

    def set_text(self, key: str, text: str) -> None:
        """Change a field from outside (an advice); can be undone."""
        if self.fields.set(key, text):
            self._post_change(key)

    def set_derived(self, lines: Mapping[str, str]) -> None:
        """Derived numbers to show beside the fields: name → text."""
        if dict(lines) != self._derived:
            self._derived = dict(lines)
            self._show_cursor()
            self.refresh()

    def set_notes(self, notes: Sequence[tuple[str, str]]) -> None:
        """(tone, text): paragraphs below the derived numbers, where these have a column of their own."""
        if tuple(notes) != self._notes:
            self._notes = tuple(notes)
            self.refresh()

    @property
    def has_column(self) -> bool:
        """Whether derived numbers and notes stand beside the fields."""
        return self._lines().beside_fields

    def focus_key(self, key: str) -> None:
        """Put the cursor on a field."""
        self._end_edit()
        if self.fields.options[key].meta.advanced and not self.show_advanced:
            self.show_advanced = True
            self._arrange()
        self._go(next(n for n, row in enumerate(self._rows) if isinstance(row, Option) and row.key == key))

    @property
    def key(self) -> str:
        """The field under the cursor."""
        return self._option.key

    @property
    def _option(self) -> Option:
        row = self._rows[self._cursor]
        assert isinstance(row, Option)
        return row

    def _arrange(self) -> None:
        """Groups in their order, each under its heading; advanced fields when asked for, or when they differ."""
        here = self._option.key if self._rows else None
        self._rows = arranged(self.fields, self.show_advanced)
        places = {row.key: place for place, row in enumerate(self._rows) if isinstance(row, Option)}
        self._cursor = places.get(here or "", 1)

    def _go(self, place: int) -> None:
        self._cursor = place
        self._show_cursor()
        self.refresh()
        self.post_message(self.Focused(self.key))

    def _show_cursor(self) -> None:
        foot = len(self._lines().foot(self._option))
        self.virtual_size = Size(self.size.width, len(self._rows) + foot)
        shown = max(1, self.size.height - foot)
        top = self.scroll_offset.y
        if self._cursor <= 1:
            top = 0
        elif self._cursor < top:
            top = self._cursor
        elif self._cursor >= top + shown:
            top = self._cursor - shown + 1
        self.scroll_to(y=top, animate=False, immediate=True, force=True)

    def action_move(self, by: int) -> None:
        self._end_edit()
        places = [n for n, row in enumerate(self._rows) if isinstance(row, Option)]
        here = places.index(self._cursor)
        self._go(places[max(0, min(len(places) - 1, here + by))])

    def action_edit(self) -> None:
        if self._edit is not None:
            self._end_edit()
            self.refresh()
        elif self._choices():
            self.action_turn(1)
        else:
            self._begin_edit(LineEdit.at_end(self.fields.text(self.key)))

    def action_turn(self, by: int) -> None:
        """The next choice; for a whole number one more or less."""
        choices, text = self._choices(), self.fields.text(self.key)
        if choices:
            place = choices.index(text) if text in choices else -by
            self.set_text(self.key, choices[(place + by) % len(choices)])
        elif self._option.type == "int" and isinstance(value := self.fields.read(self.key)[0], int):
            self.set_text(self.key, str(value + by))

    def action_undo(self) -> None:
        self._end_edit()
        self._moved_to(self.fields.undo())

    def action_redo(self) -> None:
        self._moved_to(self.fields.redo())

    def action_restore(self) -> None:
        if self.fields.references:
            self.set_text(self.key, self.fields.reference_text(self.fields.references[0], self.key))

    def action_advanced(self) -> None:
        self.show_advanced = not self.show_advanced
        self._arrange()
        self._show_cursor()
        self.refresh()

    def _moved_to(self, key: str | None) -> None:
        if key is not None:
            self.focus_key(key)
            self._post_change(key)

    def _choices(self) -> tuple[str, ...]:
        option = self._option
        return ("true", "false") if option.type == "bool" else option.meta.choices

    def take_key(self, event: events.Key) -> bool:
        """While a field is being edited it takes the keys; a digit on a number at rest begins anew."""
        if self._edit is None:
            starts = event.character is not None and event.character in "0123456789.-"
            if not (starts and self._option.type in ("int", "float")):
                return False
            self._begin_edit(LineEdit())
        return self._take(event)

    def _take(self, event: events.Key) -> bool:
        assert self._edit is not None
        if event.key == "escape":
            self.fields.typed(self.key, self._before)
            self._edit = None
            self._post_change(self.key)
            return True
        if not self._edit.key(event.key, event.character):
            return False
        self.fields.typed(self.key, self._edit.text)
        self._post_change(self.key)
        return True

    def on_paste(self, event: events.Paste) -> None:
        if self._choices():
            return
        edit = self._edit or self._begin_edit(LineEdit())
        edit.insert(event.text)
        self.fields.typed(self.key, edit.text)
        self._post_change(self.key)
        event.stop()

    def _begin_edit(self, edit: LineEdit) -> LineEdit:
        self._before, self._edit = self.fields.text(self.key), edit
        self.refresh()
        return edit

    def _end_edit(self) -> None:
        if self._edit is not None:
            self._edit = None
            self.fields.settle(self.key, self._before)

    def on_blur(self) -> None:
        self._end_edit()
        self.refresh()

    def _post_change(self, key: str) -> None:
        value, problems = self.fields.read(key)
        self.post_message(self.Changed(key, self.fields.text(key), value, tuple(problems)))
        self.refresh()

    def on_resize(self) -> None:
        self._show_cursor()

    def on_click(self, event: events.Click) -> None:
        place = event.y + self.scroll_offset.y
        if place < len(self._rows) and isinstance(self._rows[place], Option):
            self._end_edit()
            self._go(place)

    def _lines(self) -> FormLines:
        return FormLines(self.fields, self.size.width, palette_of(self), glyphs_of(self), self._derived, self._notes)

    def render_lines(self, crop: Region) -> list[Strip]:
        """What all lines share is worked out once."""
        lines = self._lines()
        self._paint = (lines, lines.foot(self._option), lines.second_column(), self.rich_style)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        lines, foot, column, base = self._paint
        body = self.size.height - len(foot)
        place = y + self.scroll_offset.y
        if y >= body:
            strip = foot[y - body]
        elif place >= len(self._rows):
            strip = Strip([])
        elif isinstance(row := self._rows[place], Heading):
            strip = lines.heading(row)
        else:
            strip = lines.field(row, self._edit if place == self._cursor else None, place == self._cursor)
        if y < body:
            strip = lines.with_column(strip, column[y] if y < len(column) else None)
        strip = strip.adjust_cell_length(self.size.width)
        if place == self._cursor and y < body:
            strip = lines.on_ground(strip, lines.palette.bar(self.has_focus))
        return strip.apply_style(base)
