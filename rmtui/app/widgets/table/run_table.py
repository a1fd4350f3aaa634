"""The list of runs: a window over a row source, so that a hundred thousand rows cost what two hundred do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from rmtui.app import actions
from rmtui.app.widgets.glyphs import UNICODE, glyphs_of
from rmtui.app.widgets.palette import on_bar, palette_of
from rmtui.app.widgets.table.columns import NOW, RunColumn, Setting, natural_width
from rmtui.app.widgets.table.row_lines import LEAD, Layout, RunLines, laid_out, needs_of, shown, useful
from rmtui.runs.model import Landmarks, Run


class RowSource(Protocol):
    """Where rows come from. Calls must be quick (one indexed query): they happen on the way to the screen."""

    def count(self) -> int:
        """All rows under the present filter."""

    def fetch(self, offset: int, limit: int) -> Sequence[Run]:
        """The rows from `offset` on, in the present order."""

    def position(self, run_id: str) -> int | None:
        """The row of a run now; None when the filter hides it."""


class RunTable(ScrollView, can_focus=True):
    """Rows under a heading line; the cursor, the marks and the scroll stay with their runs when rows arrive."""

    DEFAULT_CSS = """
    RunTable { height: 1fr; overflow-x: hidden; overflow-y: hidden; }
    """
    BINDINGS = actions.bindings("table")

    @dataclass
    class Moved(Message):
        """The cursor moved to another run (None: on no run)."""

        run_id: str | None

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, RunTable.Moved)

    @dataclass
    class Opened(Message):
        """Enter on a run."""

        run_id: str

    @dataclass
    class Marked(Message):
        """The marked runs, in the order in which they were marked."""

        run_ids: tuple[str, ...]

    def __init__(self, source: RowSource | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.empty_text = ""
        """Said in place of rows when the source has none."""
        self.source = source
        self._count = 0
        self._offset = 0
        self._rows: Sequence[Run] = ()
        self._cursor = 0
        self._selected: str | None = None
        self.placed = True  # the cursor belongs to its run; else it stays at the top until it is moved
        self._marks: dict[str, None] = {}
        self._sort: tuple[str, bool] = ("created", True)
        self._setting = Setting(UNICODE, 0.0)
        self._longest: dict[str, int] = {}
        self._needs_of: Sequence[Run] = ()
        self._columns: Layout = ()
        """As they were drawn last."""
        self._paint: tuple[RunLines, Layout, Style]

    # What the screen tells the table

    def set_source(self, source: RowSource) -> None:
        """Show other rows; the selected run stays selected where it is among them."""
        self.source = source
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """Read the source again; cursor, marks and scroll stay with their runs."""
        if self.source is None or not self.is_attached:
            return
        above = self._cursor - self.scroll_offset.y
        before = self._on_screen()
        self._count = self.source.count()
        self._rows = ()
        self.virtual_size = Size(self.size.width, self._count + 1)
        self._cursor = self._place_of_selected()
        self._scroll_rows(self._cursor - above)
        self._settle()
        self._refresh_changed(before, self._on_screen())

    def _on_screen(self) -> tuple[tuple[int, int, int], list[Run | None]]:
        """Count, scroll and cursor, and the rows on screen as far as they were read."""
        top = self.scroll_offset.y
        places = range(top - self._offset, top - self._offset + self._shown())
        rows = [self._rows[place] if 0 <= place < len(self._rows) else None for place in places]
        return (self._count, top, self._cursor), rows

    def _refresh_changed(
        self, old: tuple[tuple[int, int, int], list[Run | None]], new: tuple[tuple[int, int, int], list[Run | None]]
    ) -> None:
        """While a run is live, one row of many changes each second; all are drawn anew where its text moves columns."""
        (place, before), (place_now, now) = old, new
        if place != place_now or self._columns != self._layout():
            self.refresh()
            return
        for line, (was, run) in enumerate(zip(before, now, strict=True)):
            if was != run or (run is None and place_now[1] + line < self._count):
                self._refresh_row(place_now[1] + line)

    def set_sort(self, key: str, descending: bool) -> None:
        """Show which column is sorted; the source does the sorting."""
        if self._sort != (key, descending):
            self._sort = (key, descending)
            self.refresh()

    def set_slots(self, slots: Mapping[str, int]) -> None:
        """Run id → colour slot of the runs whose curves are on screen; a single one needs no sign to tell it apart."""
        before, slots = self._setting.slots, slots if len(slots) > 1 else {}
        if dict(before) != dict(slots):
            self._setting = self._setting._replace(slots=dict(slots))
            self._refresh_runs({run_id for run_id in {*before, *slots} if before.get(run_id) != slots.get(run_id)})

    def set_landmarks(self, landmarks: Landmarks, baseline: Run | None) -> None:
        """The best runs, whether there are groups, and the run that Δ is measured from."""
        if (landmarks, baseline) != (self._setting.landmarks, self._setting.baseline):
            self._setting = self._setting._replace(landmarks=landmarks, baseline=baseline)
            self.refresh()

    def select(self, run_id: str) -> bool:
        """Put the cursor on a run; False when the source does not have it."""
        place = self.source.position(run_id) if self.source else None
        if place is None:
            return False
        self._move_to(place)
        return True

    @property
    def selected(self) -> Run | None:
        """The run under the cursor."""
        return self._row(self._cursor)

    @property
    def marked(self) -> tuple[str, ...]:
        """Ids in the order in which they were marked."""
        return tuple(self._marks)

    def set_marked(self, run_ids: Sequence[str]) -> None:
        """Replace the marks, without a message."""
        before, self._marks = self._marks, dict.fromkeys(run_ids)
        self._refresh_runs(before.keys() ^ self._marks.keys())

    @property
    def sortable(self) -> list[str]:
        """Keys of all columns, left to right, for choosing the next one to sort by; that one is always on screen."""
        return [column.key for column in useful(self._setting)]

    def _row(self, index: int) -> Run | None:
        if not 0 <= index < self._count or self.source is None:
            return None
        if not self._offset <= index < self._offset + len(self._rows):
            page = max(20, self.size.height or self.screen.size.height)
            self._offset = max(0, index - page // 2)
            self._rows = self.source.fetch(self._offset, 2 * page)
        return self._rows[index - self._offset] if index - self._offset < len(self._rows) else None

    def _place_of_selected(self) -> int:
        """Where the selected run is now: looked for nearby first; the old place when it is gone."""
        if not self.placed:
            return 0
        if self._selected is None or self.source is None:
            return min(self._cursor, max(0, self._count - 1))
        for place in (self._cursor, self._cursor + 1, self._cursor - 1):
            row = self._row(place)
            if row is not None and row.id == self._selected:
                return place
        place_now = self.source.position(self._selected)
        return place_now if place_now is not None else min(self._cursor, max(0, self._count - 1))

    # Keys

    def action_move(self, by: int) -> None:
        self._move_to(self._cursor + by)

    def action_page(self, by: int) -> None:
        self._move_to(self._cursor + by * max(1, self.size.height - 2))

    def action_jump(self, place: int) -> None:
        self._move_to(place if place >= 0 else self._count - 1)

    def action_mark(self) -> None:
        if (run := self.selected) is None:
            return
        if run.id in self._marks:
            del self._marks[run.id]
        else:
            self._marks[run.id] = None
        self.post_message(self.Marked(self.marked))
        self._refresh_row(self._cursor)
        self.action_move(1)

    def action_open(self) -> None:
        if (run := self.selected) is not None:
            self.post_message(self.Opened(run.id))

    def _move_to(self, place: int) -> None:
        self.placed = True
        place = max(0, min(place, self._count - 1))
        before, self._cursor = self._cursor, place
        self._refresh_row(before)
        self._refresh_row(place)
        top, shown = self.scroll_offset.y, self._shown()
        if not top <= place < top + shown:
            self._scroll_rows(place if place < top else place - shown + 1)
        self._settle()

    def _settle(self) -> None:
        run_id = run.id if (run := self.selected) else None
        if run_id != self._selected:
            self._selected = run_id
            self.call_later(self._post_moved)

    def _post_moved(self) -> None:
        """From the table's own turn: Textual keeps a message from the screen that is made while the list around the
        table handles one, such as a filter that changed."""
        self.post_message(self.Moved(self._selected))

    def _shown(self) -> int:
        return max(1, self.size.height - 1)

    def _scroll_rows(self, top: int) -> None:
        top = max(0, min(top, self._count - self._shown()))
        self.scroll_to(y=top, animate=False, immediate=True, force=True)

    def _refresh_row(self, place: int) -> None:
        self.refresh(Region(0, place - self.scroll_offset.y + 1, self.size.width, 1))

    def _refresh_runs(self, run_ids: AbstractSet[str]) -> None:
        """Draw the rows of these runs again, as far as they are on screen."""
        top = self.scroll_offset.y
        for place in range(top, top + self._shown()):
            row = self._row(place)
            if row is not None and row.id in run_ids:
                self._refresh_row(place)

    def on_mount(self) -> None:
        self.set_interval(60, self.refresh)
        self.refresh_rows()

    def on_resize(self, event: events.Resize) -> None:
        self.virtual_size = Size(event.size.width, self._count + 1)
        placed = self.placed
        self._move_to(self._cursor)
        self.placed = placed

    def on_click(self, event: events.Click) -> None:
        if event.y >= 1:
            self._move_to(event.y - 1 + self.scroll_offset.y)
        if event.chain == 2:
            self.action_open()

    # Drawing

    def _layout(self) -> list[tuple[RunColumn, int]]:
        return laid_out(self.size.width, self._setting, self._sort[0], self._needs())

    def _needs(self) -> dict[str, int]:
        """Of the rows that were read; what was longer once keeps its room, so that columns stay while one scrolls. What
        live runs did keeps it until none is live."""
        self._row(self.scroll_offset.y)  # reads them, where they are not there yet
        if self._needs_of is not self._rows:
            self._needs_of = self._rows
            setting = self._setting._replace(glyphs=glyphs_of(self), now=time.time(), spells_state=False)
            found = needs_of(self._rows[: self.size.height + 2], setting)
            if NOW not in found:
                self._longest.pop(NOW, None)
            for key, cells in found.items():
                self._longest[key] = max(self._longest.get(key, 0), cells)
        return self._longest

    def natural_width(self, half: int) -> int:
        """Cells in which the list shows all that matters; long reasons only within `half` of the screen."""
        return LEAD + natural_width(shown(self._setting, self._sort[0]), self._needs(), half - LEAD - 1) + 1

    def render_lines(self, crop: Region) -> list[Strip]:
        """What all lines share is worked out once."""
        columns = self._columns = self._layout()
        spells = any(column.key == "state" for column, _ in columns)
        setting = self._setting._replace(glyphs=glyphs_of(self), now=time.time(), spells_state=spells)
        self._paint = (RunLines(setting, palette_of(self), self._sort), columns, self.rich_style)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        lines, columns, base = self._paint
        strip = lines.heading(columns) if y == 0 else self._line(lines, columns, y - 1 + self.scroll_offset.y, y)
        return strip.adjust_cell_length(self.size.width).apply_style(base)

    def _line(self, lines: RunLines, columns: Layout, place: int, y: int) -> Strip:
        row = self._row(place)
        if row is None:
            said = self.empty_text.split("\n") if self._count == 0 else []
            return lines.notice(said[y - 2] if 0 <= y - 2 < len(said) else "")
        strip = lines.run(row, columns, row.id in self._marks)
        if place != self._cursor:
            return strip
        return on_bar(strip.adjust_cell_length(self.size.width), lines.palette.bar(self.has_focus))
