"""Text with a hanging indent: further lines begin below its first word, laid out anew when the width changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text
from textual.geometry import Region
from textual.strip import Strip

from rmtui.app.chrome import Label
from rmtui.text import KEPT, line_ends

Row = tuple[Text, Text]
"""The lead, and the text that hangs from it."""
_HARD = "\ue000"
_UNIT = (
    r"(?<=\d) (?=(?:%|±|(?:[kMG]B|ms|s|min|h|d|pairs?|steps?|epochs?|points?|tokens?)\b))"
    r"|(?<=[→=<>±×]) (?=[-+−]?\d)|(?<=\d) (?=[×=] \d)|(?<=[\d%]) (?=→ [-+−]?\d)|(?<=\bp) (?=[=<])"
    r"|(?<=\bepoch) (?=\d)|(?<=\bstep) (?=\d)|(?<=\brank) (?=\d)|(?<=\bmargin) (?=[−+\d])"
    r"|(?<=第) (?=\d)|(?<=\d) (?=[\u4e00-\u9fff])"
)
"""One blank for one sign, so that colours stay where they are."""
_CHINESE = "[\u3000-\u9fff\uff00-\uffef]"
BELOW = "  "
"""The lead of text that is set below it."""
LEAST = 16
"""Cells that the text keeps; a lead that leaves fewer gets a line of its own."""


def row(lead: str | Text, text: str | Text) -> Row:
    """A row of plain texts."""
    return (_text(lead), _text(text))


def laid(rows: Iterable[Row], width: int, console: Console) -> Text:
    """The rows as one text of lines of at most `width` cells."""
    lines: list[Text] = []
    for lead, text in rows:
        lines += _lines(lead, text, width, console)
    return Text("\n").join(lines)


def _lines(lead: Text, text: Text, width: int, console: Console) -> list[Text]:
    indent = cell_len(lead.plain)
    room = width - indent
    if room < LEAST and indent > len(BELOW):
        return [lead, *_lines(Text(BELOW), text, width, console)]
    lines = wrapped(text, max(1, room), console) if text.plain else [Text()]
    return [Text.assemble(lead if number == 0 else " " * indent, line) for number, line in enumerate(lines)]


def wrapped(text: Text, width: int, console: Console) -> list[Text]:
    """A text in lines of at most `width` cells. A hard space holds together what stands beside it (Rich takes it for a
    place to break), and so does the blank between a number and its unit, or the sign before it."""
    kept, hard = text.copy(), KEPT if re.search(_CHINESE, text.plain) else _HARD
    kept.plain = re.sub(_UNIT, hard, text.plain).replace("\xa0", hard)
    lines = _chinese_lines(kept, width) if hard == KEPT else list(kept.wrap(console, width))
    for line in lines:
        line.plain = line.plain.replace(hard, " ")
    return lines


def _chinese_lines(text: Text, width: int) -> list[Text]:
    """Rich breaks at blanks only, and tears what is longer, before a stop too."""
    lines = []
    for paragraph in text.split("\n", allow_blank=True):
        for line in paragraph.divide(line_ends(paragraph.plain, width)):
            line.rstrip()
            lines.append(line)
    return lines


def _text(value: str | Text) -> Text:
    return value if isinstance(value, Text) else Text(value)


class Hanging:
    """Rows as something that Rich can draw in whatever width it gets: an option of a list."""

    def __init__(self, *rows: Row) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield laid(self._rows, options.max_width, console)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(LEAST, options.max_width)


class HangingRows(Label):
    """Rows of (lead, words), one below the other."""

    DEFAULT_CSS = "HangingRows { text-wrap: nowrap; }"  # laid out here

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows: tuple[Row, ...] = ()
        self._laid_width = 0
        self._is_blank = False
        self._blank_line = Strip([])

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show these rows."""
        self._rows = tuple(rows)
        self._is_blank = False
        self._lay()
        self.refresh()

    def blank(self) -> None:
        """Show nothing and keep the room, until there are rows again: what is below does not jump."""
        self._is_blank = True
        self.refresh()

    @property
    def plain(self) -> str:
        return "" if self._is_blank else super().plain

    def render_lines(self, crop: Region) -> list[Strip]:
        if self._is_blank:
            self._blank_line = Strip.blank(self.size.width, self.rich_style)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        return self._blank_line if self._is_blank else super().render_line(y)

    def changes_size(self, fresh: Text) -> bool:
        """Not where there are as many lines as before: a text of another run under the cursor moves nothing."""
        before, after = self._lines_of(self._said), self._lines_of(fresh)
        is_wide = self.styles.has_rule("width") and self.styles.width is not None and self.styles.width.is_auto
        return super().changes_size(fresh) and (before != after or is_wide)

    @staticmethod
    def _lines_of(text: Text) -> int:
        return len(text.plain.split("\n")) if text.plain else 0

    def on_resize(self) -> None:
        if self.size.width != self._laid_width:
            self._lay()

    def _lay(self) -> None:
        self._laid_width = width = self.size.width or self.app.size.width
        self.show_text(laid(self._rows, width, self.app.console))
