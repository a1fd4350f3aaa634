"""The index over run folders: what lists, charts and comparisons read. Everything in it comes from the folders."""

from __future__ import annotations

from rmtui.errors import UserError
from rmtui.records.facts import Attempt, Epoch, Run
from rmtui.records.series import Axis, Series
from rmtui.workspace import Workspace


class Index:
    """One connection to runs.sqlite. Use it from the thread that opened it; open as many as there are threads."""

    trouble: UserError | None
    """Why this index is a temporary one, or could not be brought up to date; None when all is well."""

    @classmethod
    def open(cls, ws: Workspace) -> Index:
        """The workspace's index, made when missing; UserError when the database is faulty (the folders are safe)."""
        raise UserError("not yet")

    @classmethod
    def open_reading(cls, ws: Workspace) -> Index:
        """Like `open`, but over a faulty database a temporary index built from the folders, with `trouble` set."""
        raise UserError("not yet")

    def close(self) -> None: ...

    def sync(self) -> set[str]:
        """Catch up with the folders; ids of runs that changed or vanished. Costs little when nothing happened."""
        raise UserError("not yet")

    def runs(
        self,
        query: str = "",
        sort: str = "created",
        descending: bool = True,
        limit: int | None = None,
        offset: int = 0,
        archived: bool = False,
    ) -> list[Run]:
        """Rows of a list, pinned ones first; UserError if the query cannot be read."""
        raise UserError("not yet")

    def count(self, query: str = "", archived: bool = False) -> int:
        raise UserError("not yet")

    def position(self, run_id: str, query: str = "", sort: str = "created", descending: bool = True) -> int | None:
        """Row number of a run in `runs(…)`, so that a selection stays where it is; None if the query leaves it out."""
        raise UserError("not yet")

    def run(self, run_id: str) -> Run:
        """UserError if there is none."""
        raise UserError("not yet")

    def resolve(self, text: str) -> str:
        """id, name, unique prefix, @latest or @best → id; UserError if none fits or several do."""
        raise UserError("not yet")

    def attempts(self, run_id: str) -> list[Attempt]:
        raise UserError("not yet")

    def epochs(self, run_id: str) -> list[Epoch]:
        raise UserError("not yet")

    def metrics(self, run_id: str) -> list[str]:
        """Names of the run's metrics; those of further validation sets as `holdout/val_acc`."""
        raise UserError("not yet")

    def series(
        self,
        run_id: str,
        metric: str,
        columns: int = 160,
        x: Axis = "step",
        lo: float | None = None,
        hi: float | None = None,
    ) -> Series:
        """At most `columns` columns of a metric between lo and hi (in units of x), attempts joined."""
        raise UserError("not yet")

    def series_full(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Every point, in full precision: (step, value)."""
        raise UserError("not yet")
