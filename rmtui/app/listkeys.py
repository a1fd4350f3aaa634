"""The keys of the list: filter, order, and taking both away. The rows themselves come from the index."""

from __future__ import annotations

from textual import on

from rmtui.app.filterline import FilterLine
from rmtui.app.jobs.list_rows import IndexRows
from rmtui.app.run_commands import RunCommands
from rmtui.app.widgets.table.run_table import RunTable
from rmtui.errors import UserError
from rmtui.index.listing import SORT_COLUMNS

NO_MATCH = "no run matches; escape takes the filter away"
WAYS = """\
No runs yet. Three ways on:
n     open preset A, B or C as a form and launch it
i     read past runs: logs, TensorBoard, W&B, exports
demo  in a shell: rmtui demo DIR trains one for real"""


class ListKeys(RunCommands):
    """A screen with a run table and a filter line above it."""

    @property
    def table(self) -> RunTable:
        return self.query_one(RunTable)

    def _show_rows(self) -> bool:
        """Read the rows under the present filter and order; False when the filter cannot be read."""
        memory = self.memory
        line = self.query_one(FilterLine)
        rows = IndexRows(self.feed.index, memory.query, memory.sort, memory.descending)
        try:
            shown = rows.count()
        except UserError as error:
            line.tell(error.why or error.what, wrong=True)
            return False
        line.tell(f"{shown} of {self.feed.index.count('')}" if memory.query else "")
        self.table.empty_text = NO_MATCH if memory.query else WAYS
        self.table.set_source(rows)
        self.table.set_sort(memory.sort, memory.descending)
        return True

    def _tell_landmarks(self) -> None:
        """What the rows are read against: the best runs and the chosen baseline."""
        try:
            baseline = self.feed.index.run(self.memory.baseline) if self.memory.baseline else None
        except UserError:
            baseline = None
            self.memory.baseline = ""
        self.table.set_landmarks(self.rmtui.counts.landmarks, baseline)

    def action_baseline(self) -> None:
        run = self.current()
        if run is None:
            return
        if run.val_acc is None:
            self.say(f"{run.name} has no val_acc to measure from")
            return
        self.memory.baseline = "" if self.memory.baseline == run.id else run.id
        self._tell_landmarks()
        self.say(f"differences are measured from {run.name if self.memory.baseline else 'no run'}")

    def action_filter(self) -> None:
        self.query_one(FilterLine).open()

    @on(FilterLine.Changed)
    def _filtered(self, message: FilterLine.Changed) -> None:
        before, self.memory.query = self.memory.query, message.query
        if not self._show_rows():
            self.memory.query = before

    @on(FilterLine.Left)
    def _filter_left(self, message: FilterLine.Left) -> None:
        self.table.focus()

    def _filter(self, query: str) -> None:
        self.query_one(FilterLine).fill(query)
        self.memory.query = query
        self._show_rows()

    def action_clear(self) -> None:
        """Escape: the filter first, then the marks."""
        if self.memory.query:
            self._filter("")
        elif self.table.marked:
            self.table.set_marked(())
            self.table.post_message(RunTable.Marked(()))

    def action_sort_left(self) -> None:
        self._sort_by(-1)

    def action_sort_right(self) -> None:
        self._sort_by(1)

    def _sort_by(self, direction: int) -> None:
        keys = [key for key in self.table.sortable if key in SORT_COLUMNS]
        place = keys.index(self.memory.sort) if self.memory.sort in keys else -1 if direction > 0 else 0
        self.memory.sort = keys[(place + direction) % len(keys)]
        self._show_rows()

    def action_turn(self) -> None:
        self.memory.descending = not self.memory.descending
        self._show_rows()
