"""Catching up with the run folders at little cost: new and removed ones, touched ones, and those that still live."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from rmtui.index import ingest, read_ahead
from rmtui.index.ingest import FirstLook
from rmtui.index.sqlite import Connection, write
from rmtui.runs.folder import RunFolder, may_be_run

SLICE = 2000
"""Settled runs whose folder times one round looks at; the next round goes on where this one stopped."""
AT_ONCE = 0.03
"""Seconds of reading new run folders in one transaction: long enough to be fast, short enough for other writers."""
Progress = Callable[[int, int], None]
"""Hears how many of how many new run folders are read, after every transaction."""
_T = TypeVar("_T")
UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What files that somebody else wrote may lead to, whatever is checked before."""
_COARSE = 2_000_000_000
"""Nanoseconds within which two changes of a folder may carry the same time."""


class Sync:
    """Rounds of catching up over one connection."""

    def __init__(self, connection: Connection, runs: Path) -> None:
        self._connection = connection
        self._runs = runs
        self._looked_at = 0

    def round(self, progress: Progress | None = None) -> set[str]:
        """Ids of runs that changed, appeared or vanished."""
        changed = self._new_and_gone(progress)
        changed |= self._touched()
        for (run_id,) in self._connection.execute("SELECT id FROM runs WHERE settled = 0").fetchall():
            changed |= self.refresh(run_id)
        return changed

    def from_the_start(self, progress: Progress | None = None) -> None:
        """Forget and read again, run by run, so that other processes get their turn in between."""
        known = [row[0] for row in self._connection.execute("SELECT id FROM runs ORDER BY id")]
        with write(self._connection):
            self._connection.execute("DELETE FROM marks")
        with read_ahead.looks(self._runs, known) as looks:
            self._each(looks, len(known), self._again, progress)
        self.round(progress)
        with write(self._connection):
            self._connection.execute("DELETE FROM metric_names WHERE id NOT IN (SELECT metric FROM summaries)")
            self._connection.execute("DELETE FROM setting_keys WHERE id NOT IN (SELECT setting FROM settings)")

    def _again(self, found: tuple[str, FirstLook | None]) -> None:
        ingest.forget(self._connection, found[0])
        self._add(found)

    def _add(self, found: tuple[str, FirstLook | None]) -> None:
        """A new run, whose folder may have been looked at already."""
        run_id, look = found
        if look is None or not ingest.add(self._connection, look):
            self.refresh(run_id)

    def _each(self, items: Iterable[_T], count: int, work: Callable[[_T], object], progress: Progress | None) -> None:
        """Do some work for every item, as much of it in one transaction as takes a moment."""
        waiting = iter(items)
        done = 0
        while done < count:
            until = time.monotonic() + AT_ONCE
            with write(self._connection):
                for item in waiting:
                    work(item)
                    done += 1
                    if time.monotonic() > until:
                        break
            if progress is not None:
                progress(done, count)

    def refresh(self, run_id: str) -> set[str]:
        """Catch up with one run."""
        folder = RunFolder(self._runs / run_id)
        if not folder.path.is_dir():
            ingest.forget(self._connection, run_id)
            return {run_id}
        try:
            return {run_id} if ingest.refresh(self._connection, folder) else set()
        except UNREADABLE as error:  # one folder that cannot be read must not hide the others
            return {run_id} if ingest.unreadable(self._connection, run_id, error) else set()

    def _new_and_gone(self, progress: Progress | None) -> set[str]:
        modified = self._runs.stat().st_mtime_ns if self._runs.is_dir() else 0
        mark = self._connection.execute("SELECT value FROM marks WHERE name = 'runs'").fetchone()
        if mark is not None and mark[0] == modified:
            return set()
        there = set(run_ids(self._runs))
        known = {row[0] for row in self._connection.execute("SELECT id FROM runs")}
        new, gone = sorted(there - known), sorted(known - there)
        self._each(gone, len(gone), self.refresh, None)
        with read_ahead.looks(self._runs, new) as looks:
            self._each(looks, len(new), self._add, progress)
        if time.time_ns() - modified > _COARSE:
            with write(self._connection):
                self._connection.execute("INSERT OR REPLACE INTO marks VALUES ('runs', ?)", (modified,))
        return there ^ known

    def _touched(self) -> set[str]:
        """Settled runs with a new attempt or another meta.toml are read again."""
        rows = self._connection.execute(
            """SELECT n, id, (SELECT max(n) FROM attempts WHERE run = runs.n), folder_time, meta_time FROM runs
            WHERE settled = 1 AND n > ? ORDER BY n LIMIT ?""",
            (self._looked_at, SLICE),
        ).fetchall()
        self._looked_at = rows[-1][0] if len(rows) == SLICE else 0
        changed: set[str] = set()
        touched = [
            run_id
            for _, run_id, last, *times in rows
            if ingest.folder_times(f"{self._runs}/{run_id}", last) != tuple(times)
        ]
        self._each(touched, len(touched), lambda run_id: changed.update(self.refresh(run_id)), None)
        return changed


def run_ids(runs: Path) -> list[str]:
    """Names of the run folders. No entry is looked at more closely: there may be a hundred thousand."""
    try:
        return [name for name in os.listdir(runs) if may_be_run(name)]  # noqa: PTH208  (five times faster)
    except FileNotFoundError:
        return []
