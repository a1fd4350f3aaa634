"""The list of runs: a window over a row source, so that a hundred thousand rows cost what two hundred do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from textual.message import Message
from textual.scroll_view import ScrollView

from rmtui.records.facts import Run


@dataclass(frozen=True, slots=True)
class Group:
    """A heading row above runs of one group."""

    name: str
    runs: int
    text: str = ""


Row = Run | Group


class RowSource(Protocol):
    """Where rows come from. Calls must be quick (one indexed query): they happen on the way to the screen."""

    def count(self) -> int:
        """All rows under the present filter, headings included."""

    def fetch(self, offset: int, limit: int) -> Sequence[Row]:
        """The rows from `offset` on, in the present order."""

    def position(self, run_id: str) -> int | None:
        """Where a run stands now; None when the filter hides it."""


class RunTable(ScrollView, can_focus=True):
    """Keys: j/k, arrows, g/G, home/end, page up/down, space (mark), enter (open)."""

    @dataclass
    class Moved(Message):
        """The cursor stands on another run (None: no run)."""

        run_id: str | None

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, RunTable.Moved)

    @dataclass
    class Opened(Message):
        run_id: str

    @dataclass
    class Marked(Message):
        run_ids: tuple[str, ...]

    def set_source(self, source: RowSource) -> None: ...

    def refresh_rows(self) -> None:
        """Read the source again; cursor, marks and scroll stay with their runs."""

    def set_sort(self, key: str, descending: bool) -> None:
        """Show which column is sorted; the source does the sorting."""

    def set_slots(self, slots: Mapping[str, int]) -> None:
        """Run id → colour slot of the runs whose curves are on screen."""

    def select(self, run_id: str) -> bool:
        """Put the cursor on a run; False when the source does not have it."""
        return False

    @property
    def selected(self) -> Run | None: ...

    @property
    def marked(self) -> tuple[str, ...]:
        """Ids in the order in which they were marked."""
        return ()

    def set_marked(self, run_ids: Sequence[str]) -> None: ...
