"""The lines of a log view: a row of the log, the status line, the prompt."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from rmtui import text as formats
from rmtui.app.widgets.glyphs import Glyphs
from rmtui.app.widgets.line_edit import LineEdit
from rmtui.app.widgets.log.page import LogPage, LogPicture, LogRow
from rmtui.app.widgets.log.spans import tone
from rmtui.app.widgets.palette import Palette, on_bar
from rmtui.runs.log_search import read_pattern
from rmtui.translation import tr


@dataclass(frozen=True, slots=True)
class LogLines:
    """Draws with one palette at one width."""

    palette: Palette
    glyphs: Glyphs
    width: int

    def notice(self, text: str) -> Strip:
        """A line that is not a row of the log."""
        return Strip([Segment(f"  {text}", self.palette.quiet)])

    def of(self, picture: LogPicture, y: int, aside: int, pattern: str, focus: bool) -> Strip:
        """Row `y` of a picture, text in its tone from column `aside` on, hits of the pattern and the cursor marked."""
        if y >= len(picture.rows):
            return self.notice("")
        row = picture.rows[y]
        strip = Strip.join([Strip([Segment(" ")]), Strip(self._segments(row, pattern)).crop(aside)])
        if row.place != picture.cursor:
            return strip
        return on_bar(strip.adjust_cell_length(self.width), self.palette.bar(focus))

    def _segments(self, row: LogRow, pattern: str) -> list[Segment]:
        style = self.palette.tone(tone(row.whole))
        if not pattern:
            return [Segment(row.text, style)]
        segments: list[Segment] = []
        end = 0
        for found in read_pattern(pattern).expression().finditer(row.text):
            segments += [
                Segment(row.text[end : found.start()], style),
                Segment(found.group(), style + self.palette.hit),
            ]
            end = found.end()
        return [*segments, Segment(row.text[end:], style)]

    def prompt(self, sign: str, edit: LineEdit) -> Strip:
        """What is being typed, with its caret."""
        palette = self.palette
        word = tr("search" if sign == "/" else "only lines with")
        at = edit.text[edit.caret : edit.caret + 1] or " "
        return Strip(
            [
                Segment(f" {word} ", palette.accent),
                Segment(edit.text[: edit.caret], palette.text),
                Segment(at, palette.text + Style(reverse=True)),
                Segment(edit.text[edit.caret + 1 :], palette.text),
            ]
        )

    def status(self, page: LogPage | None, title: str, notice: str) -> Strip:
        """Which log, how many lines came while paused, what was last said; to the right, where the cursor is."""
        quiet = self.palette.quiet
        left = [Segment(f" {tr(title, words=False)}  ", quiet)]
        if page is not None and page.unseen:
            left.append(Segment(f"{self.glyphs.more} {tr(f'{page.unseen:,} new')}  ", self.palette.accent))
        following = page is not None and page.following
        left.append(Segment(notice or (tr("following") if following else ""), quiet))
        right = self._position(page) if page is not None else ""
        used = sum(cell_len(segment.text) for segment in left)
        gap = " " * max(1, self.width - used - cell_len(right) - 1)
        return Strip([*left, Segment(gap + right, quiet)])

    @staticmethod
    def _position(page: LogPage) -> str:
        if page.following or not page.count:
            return ""
        number, source = page.number(page.cursor), page.source
        if not source.complete:
            return tr(f"at {formats.size(source.offset(number))} of {formats.size(source.size)}")
        return tr(f"line {number + 1:,} of {source.line_count:,}")
