"""The lines of a form: name, value, unit and range, what is wrong or differs; at the foot, what the field means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from rmtui.app.widgets.cells import fit
from rmtui.app.widgets.form.fields import Fields
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.line_edit import LineEdit
from rmtui.app.widgets.palette import Palette, on_bar
from rmtui.i18n import value_text
from rmtui.text import clean, wrap
from rmtui.translation import colon, tr
from trainer.config import Option, Problem, range_text

NAME, VALUE = 32, 16
DERIVED = 44
WIDE = 116
"""From this width on, derived numbers have a column of their own to the right; below, lines above the foot."""


FIELDS = 108
MOST_BESIDE = 84
"""Cells that names, values and their ranges need, and that the second column takes at most."""
NARROW = 100
"""Below this width the foot keeps two lines for the explanation."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A group's name above its fields."""

    group: str


GROUPS = ("training", "lora", "model", "data", "evaluation", "checkpoints", "speed", "loss")
"""What people change most comes first."""


def arranged(fields: Fields, advanced: bool) -> list[Option | Heading]:
    """Groups in their order, each under its heading; advanced fields when asked for, or when they differ."""
    changed = {} if advanced else fields.changes()
    rows: list[Option | Heading] = []
    for group in GROUPS:
        members = [
            option
            for option in fields.options.values()
            if option.meta.group == group and (advanced or not option.meta.advanced or option.key in changed)
        ]
        rows += [Heading(group), *members] if members else []
    return rows


@dataclass(frozen=True, slots=True)
class FormLines:
    """Draws the lines of one state of the form."""

    fields: Fields
    width: int
    palette: Palette
    glyphs: Glyphs
    derived: Mapping[str, str]
    notes: Sequence[tuple[str, str]] = ()

    def heading(self, heading: Heading) -> Strip:
        return Strip([Segment(f" {tr(heading.group)}", self.palette.quiet)])

    def field(self, option: Option, edit: LineEdit | None, here: bool) -> Strip:
        """One field. While it is edited, the value has a caret and takes the room it needs."""
        value, problems = self.fields.read(option.key)
        wrong = value is None and bool(problems)
        differs = self.fields.differing(option.key)
        tone = self.palette.bad if wrong else self.palette.accent if differs else self.palette.text
        name_width = min(NAME, max(16, self._room() * 2 // 5))
        sign = self.glyphs.pointer if here else " "
        segments = [
            Segment(f" {sign} {fit(option.key, name_width - 4, ellipsis=self.glyphs.ellipsis)} ", self.palette.text),
            *self._value(option, edit, tone + Style(bold=bool(differs))),
        ]
        used = sum(cell_len(segment.text) for segment in segments)
        segments += self._beside(option, problems, differs, max(0, self._room() - used - 1))
        return Strip(segments)

    def _value(self, option: Option, edit: LineEdit | None, style: Style) -> list[Segment]:
        if edit is not None:
            before, at, after = (
                edit.text[: edit.caret],
                edit.text[edit.caret : edit.caret + 1],
                edit.text[edit.caret + 1 :],
            )
            pad = " " * max(1, VALUE - cell_len(edit.text) - (not at))
            under = style + Style(underline=True)
            return [
                Segment(before, under),
                Segment(at or " ", style + Style(reverse=True)),
                Segment(after, under),
                Segment(pad),
            ]
        text = clean(self.fields.text(option.key))
        if option.meta.choices or option.type == "bool":
            text = f"{text} ▾" if not self.glyphs.curves.isascii() else f"{text} v"
        room = VALUE if cell_len(text) < VALUE else min(cell_len(text) + 2, self._room() // 2)
        if not text:
            fallback = self.fields.fallback(option.key)
            words = clean(fallback.text) if fallback else self.glyphs.dash
            room = min(max(VALUE, cell_len(words) + 2), self._room() // 2)
            return [Segment(fit(words, room - 1, ellipsis=self.glyphs.ellipsis) + " ", self.palette.quiet)]
        return [Segment(fit(text, room - 1, ellipsis=self.glyphs.ellipsis) + " ", style)]

    def _beside(
        self, option: Option, problems: list[Problem], differs: list[tuple[str, str]], room: int
    ) -> list[Segment]:
        """What is wrong first, then where an empty field's value comes from, what differs, else unit and range."""
        quiet = self.palette.quiet
        for problem in problems:
            bad = problem.severity == "error"
            text = f"{self.glyphs.gap if bad else '!'} {tr(f'{problem.what}; {problem.form_remedy or problem.remedy}')}"
            return [
                Segment(fit(text, room, ellipsis=self.glyphs.ellipsis), self.palette.bad if bad else self.palette.warn)
            ]
        segments: list[Segment] = []
        if fallback := self.fields.fallback(option.key):
            source = tr(f"from {fallback.source}  ")
            segments = [Segment(fit(source, min(room, cell_len(source)), ellipsis=self.glyphs.ellipsis), quiet)]
            differs = [(name, text) for name, text in differs if text not in ("", fallback.text)]
            room -= sum(segment.cell_length for segment in segments)
        if differs and room > 6:
            arrow = "<-" if self.glyphs.curves.isascii() else "←"
            words = "   ".join(
                f"{name} {self._end_of(text, room - cell_len(name) - 3)}"
                for name, text in ((tr(name) if name == "file" else name, text) for name, text in differs)
            )
            segments.append(Segment(fit(f"{arrow} {words}", room, ellipsis=self.glyphs.ellipsis), self.palette.accent))
        if segments:
            return segments
        unit = "" if option.meta.choices else option.meta.unit
        text = " ".join(tr(part) for part in (range_text(option), unit) if part)
        return [Segment(fit(text, room, ellipsis=self.glyphs.ellipsis), quiet)] if room > 6 else []

    def _end_of(self, text: str, room: int) -> str:
        """A path that is too long is its last name."""
        if "/" in text and cell_len(text) > room:
            return f"{self.glyphs.ellipsis}/{text.rpartition('/')[2]}"
        return text or self.glyphs.dash

    # Derived numbers and the foot

    def _room(self) -> int:
        return self.width - self._column() if self.beside_fields else self.width

    def _column(self) -> int:
        """Cells of the second column: what is left beside the fields, within reason."""
        return max(DERIVED, min(MOST_BESIDE, self.width - FIELDS))

    @property
    def beside_fields(self) -> bool:
        return bool(self.derived) and self.width >= WIDE

    def second_column(self) -> list[list[Segment]]:
        """On a wide screen, to the right of the fields: derived numbers, then the notes."""
        if not self.beside_fields:
            return []
        room = self._column() - 3
        rows = [
            [
                Segment(fit(name, 16), self.palette.quiet),
                Segment(fit(text, room - 16, ellipsis=self.glyphs.ellipsis), self.palette.text),
            ]
            for name, text in (map(tr, pair) for pair in self.derived.items())
        ]
        for tone, text in self.notes:
            rows.append([])
            for line in wrap(clean(tr(text)), room):
                rows.append([Segment(line, self.palette.tone(tone))])
        return rows

    def with_column(self, strip: Strip, row: Sequence[Segment] | None) -> Strip:
        """A line of fields, and one of the second column."""
        if row is None:
            return strip
        bar = Segment(f"{self.glyphs.vertical} ", self.palette.quiet)
        return Strip([*strip.adjust_cell_length(self._room()), bar, *row])

    def derived_below(self) -> list[Strip]:
        """On a narrow screen, derived numbers run on in as few lines as they need."""
        if not self.derived or self.beside_fields:
            return []
        lines: list[list[Segment]] = [[Segment(" ")]]
        used = 1
        for name, text in (map(tr, pair) for pair in self.derived.items()):
            length = cell_len(name) + cell_len(text) + 4
            if used + length > self.width and used > 1:
                lines.append([Segment(" ")])
                used = 1
            lines[-1] += [Segment(f"{name} ", self.palette.quiet), Segment(f"{text}   ", self.palette.text)]
            used += length
        return [Strip(line) for line in lines]

    def foot(self, option: Option) -> list[Strip]:
        """A rule, what the field means, and (narrow screens) the derived numbers above."""
        usual = option.meta.usual
        more = [tr(f"usual {value_text(option.key, usual[0])} … {value_text(option.key, usual[1])}")] if usual else []
        text = "  ·  ".join([f"{option.key}{colon()}{tr(option.meta.help)}", *more])
        rule = Strip([Segment(self.glyphs.horizontal * self.width, self.palette.quiet)])
        rows = wrap(text, self.width - 2)[:2] if self.width < NARROW else [text]
        rows += [""] * (2 - len(rows)) if self.width < NARROW else []
        words = [Strip([Segment(fit(f" {row}", self.width), self.palette.text)]) for row in rows]
        return [rule, *self.derived_below(), *words]

    def on_ground(self, strip: Strip, ground: Style) -> Strip:
        """The cursor's row on its own ground, as far as the fields reach."""
        left, right = strip.crop(0, self._room()), strip.crop(self._room())
        return Strip.join([on_bar(left, ground), right])
