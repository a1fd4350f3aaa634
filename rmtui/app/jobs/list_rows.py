"""The list's rows: a window over the index under the present filter and order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmtui.index.index import Index
from rmtui.runs.model import Run


@dataclass(frozen=True, slots=True)
class IndexRows:
    """A RowSource of the run table. Each call is one indexed query of the screen's own connection."""

    index: Index
    query: str = ""
    sort: str = "created"
    descending: bool = True

    def count(self) -> int:
        return self.index.count(self.query)

    def fetch(self, offset: int, limit: int) -> Sequence[Run]:
        return self.index.runs(self.query, self.sort, self.descending, limit, offset)

    def position(self, run_id: str) -> int | None:
        return self.index.position(run_id, self.query, self.sort, self.descending)
