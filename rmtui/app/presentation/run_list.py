"""The list of runs: a filter line over a table of rows out of the index. A filter takes effect while it is typed, with
a live count or the reason why it does not."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from rmtui.app import actions
from rmtui.app.base import Base
from rmtui.app.chrome import Label
from rmtui.app.jobs.list_rows import IndexRows
from rmtui.app.widgets.table.columns import ASCENDING, COLUMNS, LETTERS
from rmtui.app.widgets.table.run_table import RunTable
from rmtui.errors import UserError
from rmtui.index.listing import SORT_COLUMNS
from rmtui.translation import tr

NO_MATCH = "no run matches; escape clears the filter"
WAYS = """\
No runs yet. Three ways to start:
n     open preset A, B or C as a form and launch it
i     read past runs: logs, TensorBoard, W&B, exports
demo  in a shell: rmtui demo DIR trains one for real"""
UNREAD = "reading run folders…"
"""Before the first look at them, where there are some that the index does not know."""


class FilterLine(Horizontal):
    """Hidden while there is no filter and nobody types one."""

    DEFAULT_CSS = """
    FilterLine { height: 1; display: none; }
    FilterLine.-used { display: block; }
    FilterLine #slash { width: 2; color: $accent; padding-left: 1; }
    FilterLine Input { width: 1fr; background: $background; }
    FilterLine #count { width: auto; max-width: 60%; color: $quiet; padding: 0 1; }
    FilterLine.-wrong #count { color: $warning; }
    """

    BINDINGS = actions.bindings("filter")

    @dataclass
    class Changed(Message):
        """The filter says something else."""

        query: str

    @dataclass
    class Left(Message):
        """Typing is over; `keep` is False after escape."""

        keep: bool

    def compose(self) -> ComposeResult:
        yield Label("/", id="slash")
        yield Input(
            id="query", placeholder=tr("words, state:failed, tag:x -tag:y, val_acc>0.7, since:2d, a|b"), compact=True
        )
        yield Label(id="count")

    @property
    def _input(self) -> Input:
        return self.query_one(Input)

    def open(self) -> None:
        """Start typing."""
        self.add_class("-used")
        self._input.focus()

    def fill(self, query: str) -> None:
        """Show a filter that came from elsewhere."""
        with self.prevent(Input.Changed):
            self._input.value = query
        self.set_class(bool(query), "-used")

    def show_result(self, text: str, wrong: bool = False) -> None:
        """The live count, or why the filter cannot be read."""
        self.query_one("#count", Label).show_text(text)
        self.set_class(wrong, "-wrong")

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        message.stop()
        self.post_message(self.Changed(message.value))

    def action_keep(self) -> None:
        self.set_class(bool(self._input.value), "-used")
        self.post_message(self.Left(True))

    def action_drop(self) -> None:
        self.fill("")
        self.post_message(self.Changed(""))
        self.post_message(self.Left(False))


class RunList(Vertical):
    """Filter line and table, under the filter, order and baseline that the app remembers."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._fitted: int | str = ""
        self.looked = False
        """The run folders have been looked at since the app started."""

    def compose(self) -> ComposeResult:
        yield FilterLine()
        yield RunTable(id="runs")

    @property
    def table(self) -> RunTable:
        return self.query_one(RunTable)

    @property
    def filter_line(self) -> FilterLine:
        return self.query_one(FilterLine)

    @property
    def _base(self) -> Base:
        assert isinstance(self.screen, Base)
        return self.screen

    def show_rows(self) -> bool:
        """Read the rows under the present filter and order; False when the filter cannot be read."""
        memory, index = self._base.memory, self._base.feed.index
        rows = IndexRows(index, memory.query, memory.sort, memory.descending)
        try:
            shown = rows.count()
        except UserError as error:
            self.filter_line.show_result(tr(error.why or error.what), wrong=True)
            return False
        self.filter_line.show_result(f"{shown} of {index.count('')}" if memory.query else "")
        self.table.empty_text = NO_MATCH if memory.query else WAYS if self.looked or self._no_folder() else UNREAD
        self.table.set_source(rows)
        self.table.set_sort(memory.sort, memory.descending)
        self.fit()
        return True

    def _no_folder(self) -> bool:
        """Whether there is no run, whatever the index knows."""
        return not any(self._base.ws.runs.glob("*"))

    def fit(self) -> None:
        """Beside the panel, the list takes what it needs; curves, log and reasons get the rest."""
        beside = not self.screen.has_class("-narrow") and not self._base.memory.alone
        width = self.table.natural_width(self.screen.size.width // 2) if beside else "100%"
        if self._fitted != width:
            self._fitted = self.styles.width = width

    def on_resize(self) -> None:
        self.call_after_refresh(self.fit)

    def show_landmarks(self) -> None:
        """What the rows are read against: the best runs and the chosen baseline."""
        memory, index = self._base.memory, self._base.feed.index
        try:
            baseline = index.run(memory.baseline) if memory.baseline else None
        except UserError:
            baseline = None
            memory.baseline = ""
        self.table.set_landmarks(self._base.rmtui.counts.landmarks, baseline)
        self.fit()

    def filter_by(self, query: str) -> None:
        self.filter_line.fill(query)
        self._base.memory.query = query
        self.show_rows()

    def sort_by(self, direction: int) -> None:
        """By the column to the left (−1) or right (1) of the present one."""
        memory = self._base.memory
        keys = [key for key in self.table.sortable if key in SORT_COLUMNS]
        place = keys.index(memory.sort) if memory.sort in keys else -1 if direction > 0 else 0
        memory.sort = keys[(place + direction) % len(keys)]
        self.show_rows()

    def sort_letters(self) -> dict[str, str]:
        """Key after S → title of the column it sorts by."""
        known = [key for key in self.table.sortable if key in SORT_COLUMNS and key in LETTERS]
        titles = {column.key: column.title for column in COLUMNS}
        return {LETTERS[key]: titles[key] for key in known}

    def sort_by_letter(self, letter: str | None) -> None:
        """By that column; the one that it is sorted by already: the other way round."""
        key = next((key for key, own in LETTERS.items() if own == letter), None)
        if key is None:
            return
        memory = self._base.memory
        memory.descending = not memory.descending if memory.sort == key else key not in ASCENDING
        memory.sort = key
        self.show_rows()

    def reverse(self) -> None:
        self._base.memory.descending = not self._base.memory.descending
        self.show_rows()

    def clear(self) -> None:
        """The filter first, then the marks."""
        if self._base.memory.query:
            self.filter_by("")
        elif self.table.marked:
            self.table.set_marked(())
            self.table.post_message(RunTable.Marked(()))

    @on(FilterLine.Changed)
    def _filtered(self, message: FilterLine.Changed) -> None:
        memory = self._base.memory
        before, memory.query = memory.query, message.query
        if not self.show_rows():
            memory.query = before

    @on(FilterLine.Left)
    def _filter_left(self, message: FilterLine.Left) -> None:
        self.table.focus()
