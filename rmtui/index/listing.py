"""Windows of the run list out of SQL: the same cost for a hundred runs and a hundred thousand."""

from __future__ import annotations

from typing import Any

from rmtui.errors import UserError
from rmtui.index.query import Condition, compile_query
from rmtui.index.sqlite import Connection
from rmtui.runs.model import Landmarks

_MANY = 500
"""Runs that fit, above which a list is read in its order, and below which by what fits."""
_NOCASE = {"name", "preset", "data", "state", "group_name"}
_N = "coalesce(val_effective, val_pairs)"
SORT_COLUMNS = {
    **{name: name for name in ("created", "started", "ended", "name", "state", "preset", "data")},
    **{name: name for name in ("val_acc", "val_loss", "train_loss", "gap", "duration")},
    "best": "best_val_acc",
    "best_val_acc": "best_val_acc",
    "epochs": "epochs_done",
    "age": "created",
    "group": "group_name",
    "delta": "val_acc",
    "progress": "min(1.0, 1.0 * step / nullif(total_steps, 0))",
    "spread": f"(val_acc * (1 - val_acc) / {_N} + 0.96036 / {_N} / {_N})"
    f" / ((1 + 3.84146 / {_N}) * (1 + 3.84146 / {_N}))",
    "tags": "(SELECT nullif(tags, '[]') FROM documents WHERE run = runs.n)",
}
"""What a list can be sorted by → its column, or what is computed from columns. Against one baseline, a difference in
val_acc has the order of val_acc; `spread` has the order of Wilson's half-width, of which it is the square over z²;
with clusters of their effective number."""

_IN_SET = "archived = 0 AND val_fingerprint = :pairs AND best_val_acc IS NOT NULL"
_BEST_OF_SET = f"""
SELECT id FROM runs WHERE {_IN_SET}
AND best_val_acc = (SELECT max(best_val_acc) FROM runs INDEXED BY runs_by_pairs WHERE {_IN_SET})
AND (SELECT count(*) FROM (SELECT 1 FROM runs INDEXED BY runs_by_pairs WHERE {_IN_SET} LIMIT 2)) > 1
ORDER BY best_val_loss IS NULL, best_val_loss, id LIMIT 1
"""
"""As `_BEST`, of one set of pairs, at the price of a search in the index however many runs there are."""
_BEST = """
WITH top AS (
    SELECT val_fingerprint AS pairs, max(best_val_acc) AS most FROM runs INDEXED BY runs_by_pairs
    WHERE archived = 0 AND val_fingerprint IS NOT NULL AND best_val_acc IS NOT NULL
    GROUP BY val_fingerprint HAVING count(*) > 1
)
SELECT (
    SELECT id FROM runs WHERE archived = 0 AND val_fingerprint = pairs AND best_val_acc = most
    ORDER BY best_val_loss IS NULL, best_val_loss, id LIMIT 1
) FROM top
"""
"""By each run's best evaluation (`trainer.best`); of equal ones the older. The only run on its
validation pairs is not the best of any."""


class Listing:
    """Filtered, sorted, windowed rows. Pinned runs come first, archived ones only when asked for."""

    def __init__(self, connection: Connection, select: str) -> None:
        self._connection = connection
        self._select = select

    def rows(
        self, query: str, sort: str, descending: bool, limit: int | None, offset: int, archived: bool
    ) -> list[tuple[Any, ...]]:
        condition, column = compile_query(query), _column(sort)
        found: list[tuple[Any, ...]] = []
        for pinned in (1, 0):
            left = -1 if limit is None else limit - len(found)
            if left != 0:
                many = bool(condition.sql) and self._many(condition, archived, pinned)
                where = _where(condition, archived, pinned, ordered=many)
                found += self._part(where, condition, column, descending, left, offset)
            if pinned and offset:
                offset = max(0, offset - self._count(condition, archived, pinned=1))
        return found

    def _part(
        self, where: str, condition: Condition, column: str, descending: bool, limit: int, offset: int
    ) -> list[tuple[Any, ...]]:
        way = "DESC" if descending else "ASC"
        order = f"ORDER BY {_collated(column)} {way} NULLS LAST, id {way}"
        window = f"SELECT n FROM runs WHERE {where} {order} LIMIT ? OFFSET ?"
        return self._connection.execute(
            f"{self._select} WHERE n IN ({window}) {order}", (*condition.parameters, limit, offset)
        ).fetchall()

    def landmarks(self) -> Landmarks:
        """Reads an entry of an index a run: for workers."""
        best = frozenset(row[0] for row in self._connection.execute(_BEST))
        grouped = self._connection.execute("SELECT 1 FROM runs WHERE group_name <> '' LIMIT 1").fetchone()
        return Landmarks(best, grouped is not None)

    def best_of(self, fingerprint: str) -> str | None:
        row = self._connection.execute(_BEST_OF_SET, {"pairs": fingerprint}).fetchone()
        return None if row is None else str(row[0])

    def count(self, query: str, archived: bool) -> int:
        condition = compile_query(query)
        return sum(self._count(condition, archived, pinned) for pinned in (1, 0))

    def _count(self, condition: Condition, archived: bool, pinned: int) -> int:
        where = _where(condition, archived, pinned)
        (n,) = self._connection.execute(f"SELECT count(*) FROM runs WHERE {where}", condition.parameters).fetchone()
        return int(n)

    def _many(self, condition: Condition, archived: bool, pinned: int) -> bool:
        """Whether more than _MANY fit; no more are counted."""
        fits = f"SELECT 1 FROM runs WHERE {_where(condition, archived, pinned)} LIMIT 1 OFFSET {_MANY}"
        return self._connection.execute(fits, condition.parameters).fetchone() is not None

    def position(self, run_id: str, query: str, sort: str, descending: bool, archived: bool) -> int | None:
        condition, column = compile_query(query), _column(sort)
        row = self._connection.execute(f"SELECT pinned, {column} FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            return None
        pinned, value = row
        where = _where(condition, archived, pinned)
        inside = self._connection.execute(
            f"SELECT 1 FROM runs WHERE {where} AND id = ?", (*condition.parameters, run_id)
        ).fetchone()
        if inside is None:
            return None
        sign = ">" if descending else "<"
        values: tuple[Any, ...]
        if value is None:
            before, values = f"({column} IS NOT NULL OR id {sign} ?)", (run_id,)
        else:
            name = _collated(column)
            before, values = f"({name} {sign} ? OR ({name} = ? AND id {sign} ?))", (value, value, run_id)
        (n,) = self._connection.execute(
            f"SELECT count(*) FROM runs WHERE {where} AND {before}", (*condition.parameters, *values)
        ).fetchone()
        return int(n) + (0 if pinned else self._count(condition, archived, pinned=1))


def _column(sort: str) -> str:
    if sort not in SORT_COLUMNS:
        raise UserError(f"runs cannot be sorted by {sort}", "", f"sort by one of: {', '.join(SORT_COLUMNS)}")
    return SORT_COLUMNS[sort]


def _collated(column: str) -> str:
    return f"{column} COLLATE NOCASE" if column in _NOCASE else column


def _where(condition: Condition, archived: bool, pinned: int, ordered: bool = False) -> str:
    shown = "archived IN (0, 1)" if archived or condition.archived else "archived = 0"
    sql = condition.ordered if ordered else condition.sql
    wanted = f" AND ({sql})" if sql else ""
    return f"{shown} AND pinned = {pinned}{wanted}"
