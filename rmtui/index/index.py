"""The index over run folders: what lists, charts and comparisons read. Everything in it comes from the folders."""

from __future__ import annotations

import contextlib
import json
import tempfile
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtui.errors import UserError
from rmtui.index import read_curves as series
from rmtui.index import references
from rmtui.index.listing import Listing
from rmtui.index.read_curves import Axis, Series
from rmtui.index.read_events import RunTotals, epoch_facts, load_totals
from rmtui.index.sqlite import Connection, DatabaseError, bound_log, check, faults, open_database
from rmtui.runs.entered import Entered, with_entered
from rmtui.runs.model import Attempt, Best, Epoch, EvaluatedStep, Landmarks, Run, State
from rmtui.workspace import Workspace

if TYPE_CHECKING:
    from rmtui.index.sync import Progress, Sync

_COLUMNS = (
    *("id", "name", "state", "reason", "resumable", "preset", "data", "created", "started", "ended", "host"),
    *("processes", "step", "total_steps", "epochs_done", "num_epochs", "train_loss", "val_loss", "val_acc"),
    *(
        "val_pairs",
        "val_clusters",
        "val_effective",
        "last_event",
        "seconds_per_step",
        "note",
        "pinned",
        "archived",
        "val_fingerprint",
    ),
)
_SELECT = f"""SELECT {", ".join(_COLUMNS)}, group_name, best_epoch, best_step, best_val_acc, best_val_loss,
    tags, config, figures, entered FROM runs JOIN documents ON documents.run = runs.n"""


class Index:
    """One connection to runs.sqlite. Use it from the thread that opened it; open as many as there are threads."""

    def __init__(self, ws: Workspace, path: Path) -> None:
        self._ws = ws
        self._path = path
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._falls_back = False
        self.trouble: UserError | None = None
        """Why this index is a temporary one, or could not be brought up to date; None when all is well."""
        self._connect()

    def _connect(self) -> None:
        self._connection: Connection = open_database(self._path)
        self._inode = _inode(self._path)
        self.__dict__.pop("_sync", None)
        self._listing = Listing(self._connection, _SELECT)
        self._newest: tuple[object, list[Run]] = None, []

    @property
    def workspace(self) -> Workspace:
        """Whose runs these are."""
        return self._ws

    @cached_property
    def _sync(self) -> Sync:
        """Made when it is asked for: reading lists and curves needs nothing of what reads the folders."""
        from rmtui.index.sync import Sync

        return Sync(self._connection, self._ws.runs)

    @classmethod
    def open(cls, ws: Workspace) -> Index:
        """The workspace's index, made when missing. Raises DatabaseError when it is faulty (the folders are safe)."""
        return cls(ws, ws.database)

    @classmethod
    def open_reading(cls, ws: Workspace) -> Index:
        """Like `open`, but a faulty one is replaced by a temporary one, now or at a later `sync`; `trouble` says why.

        It shows what was known last; `sync` brings it up to date.
        """
        try:
            index = cls.open(ws)
            index._falls_back = True
            index.count()
        except DatabaseError as error:
            index = cls.__new__(cls)
            index._ws, index._falls_back = ws, True
            index._fall_back(error)
        return index

    def _fall_back(self, error: DatabaseError) -> None:
        """Go on with an index of our own, made from the run folders."""
        self._temporary = tempfile.TemporaryDirectory(prefix="rmtui-index-")
        self._path = Path(self._temporary.name) / "runs.sqlite"
        self._connect()
        with faults(self._path):
            self._sync.round()
        self.trouble = error

    def close(self) -> None:
        """Let go of the database; a temporary one is removed."""
        self._connection.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sync(self, progress: Progress | None = None) -> set[str]:
        """Catch up with the folders; ids of runs that changed or vanished. Costs little when nothing happened.

        `progress` hears (done, of how many) while many new folders are read.
        Where the database cannot be written (full disk, locked), what it holds can still be read: `trouble` says so.
        """
        try:
            self._reopen_if_replaced()
            with faults(self._path):
                changed = self._sync.round(progress)
                if changed:
                    bound_log(self._connection, self._path)
        except DatabaseError as error:
            return self._without_writing(error)
        if self._temporary is None:
            self.trouble = None
        return changed

    def version(self) -> int:
        """A number that is another one once any other connection, of whichever process, has written."""
        (number,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(number)

    def _without_writing(self, error: DatabaseError) -> set[str]:
        try:
            self.count()
            self.trouble = error
            return set()
        except DatabaseError:
            if not self._falls_back or self._temporary is not None:
                raise error from None
        self._connection.close()
        self._fall_back(error)
        return {run.id for run in self.runs(archived=True)}

    def _reopen_if_replaced(self) -> None:
        """The file was removed or made anew while it was open: what is written to the old one would be lost."""
        if _inode(self._path) != self._inode:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connect()

    def refresh(self, run_id: str) -> bool:
        """Catch up with one run; whether anything was new."""
        with faults(self._path):
            return bool(self._sync.refresh(run_id))

    def rebuild(self, progress: Progress | None = None) -> None:
        """Read every run folder from its start. Raises Damaged where the database itself is."""
        with faults(self._path):
            check(self._connection, self._path)
            self._sync.from_the_start(progress)

    def runs(
        self,
        query: str = "",
        sort: str = "created",
        descending: bool = True,
        limit: int | None = None,
        offset: int = 0,
        archived: bool = False,
    ) -> list[Run]:
        """Rows of a list, pinned ones first; UserError if the query or the sort key cannot be read.

        `archived`: with the archived ones; a query that speaks of them (`is:archived`) needs no such word.
        """
        with faults(self._path):
            rows = self._listing.rows(query, sort, descending, limit, offset, archived)
            return [self._run(row) for row in rows]

    def newest_runs(self, query: str, limit: int) -> list[Run]:
        """`runs`, the newest first, kept until anybody writes: the guide asks for the same hundreds with each key."""
        with faults(self._path):
            asked = (query, limit, self.version(), self._connection.total_changes)
        if self._newest[0] != asked:
            self._newest = asked, self.runs(query, limit=limit)
        return self._newest[1]

    def count(self, query: str = "", archived: bool = False) -> int:
        """How many rows `runs` gives without a limit."""
        with faults(self._path):
            return self._listing.count(query, archived)

    def landmarks(self) -> Landmarks:
        """The best run of each validation set, and whether there are groups. Reads an entry a run: for workers."""
        with faults(self._path):
            return self._listing.landmarks()

    def best_of(self, fingerprint: str) -> str | None:
        """Id of the best run on a validation set, which `landmarks` names among those of all sets; None for a set with
        fewer than two runs. As quick with 100,000 runs as with ten."""
        with faults(self._path):
            return self._listing.best_of(fingerprint)

    def position(
        self, run_id: str, query: str = "", sort: str = "created", descending: bool = True, archived: bool = False
    ) -> int | None:
        """Row number of a run in `runs(…)`, so that a selection stays where it is; None if the query leaves it out."""
        with faults(self._path):
            return self._listing.position(run_id, query, sort, descending, archived)

    def run(self, run_id: str) -> Run:
        """One run; UserError if there is none."""
        with faults(self._path):
            row = self._connection.execute(f"{_SELECT} WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            raise references.unknown(run_id)
        return self._run(row)

    @cached_property
    def _folders(self) -> Path:
        return self._ws.runs

    def _run(self, row: tuple[Any, ...]) -> Run:
        return _run_of(self._folders, row)

    def resolve(self, text: str) -> str:
        """id, name, unique prefix, @latest or @best → id; UserError if none fits or several do."""
        with faults(self._path):
            return references.resolve(self._connection, text)

    def attempts(self, run_id: str) -> list[Attempt]:
        """Every start of a run, oldest first; none for a queued or an imported one."""
        with faults(self._path):
            rows = self._connection.execute(
                """SELECT n, state, reason, exit_code, started, ended, resumed_from_step FROM attempts
                WHERE run = ? ORDER BY n""",
                (self._number(run_id),),
            )
            return [Attempt(n, State(state), *rest) for n, state, *rest in rows]

    def epochs(self, run_id: str) -> list[Epoch]:
        """Figures of every epoch that ended, attempts joined."""
        with faults(self._path):
            return list(epoch_facts(load_totals(self._connection, self._number(run_id))))

    def evaluations(self, run_id: str) -> list[EvaluatedStep]:
        """Every evaluation of the run's own validation set, in order of steps, attempts joined."""
        with faults(self._path):
            number = self._number(run_id)
            rows = series.read_evaluations(self._connection, number)
            if load_totals(self._connection, number).numbered:
                return [row._replace(step=None) for row in rows]
            return rows

    def epoch_ends(self, run_id: str) -> list[tuple[int, int]]:
        """(step, epoch) of every epoch that ended."""
        with faults(self._path):
            rows = load_totals(self._connection, self._number(run_id)).epochs
            return sorted((row["step"], row["epoch"]) for row in rows)

    def entered(self, run_id: str) -> list[tuple[int, int, float]]:
        """(step, epoch, val_acc) of every epoch whose val_acc a person entered."""
        rows = [row for row in self.run(run_id).epochs if row.entered and row.val_acc is not None]
        if not rows:
            return []
        steps = {epoch: step for step, epoch in self.epoch_ends(run_id)}
        return [(steps.get(row.epoch, 0), row.epoch, row.val_acc) for row in rows if row.val_acc is not None]

    def metrics(self, run_id: str) -> list[str]:
        """Names of the run's metrics; those of further validation sets as `holdout/val_acc`."""
        with faults(self._path):
            rows = self._connection.execute(
                "SELECT name FROM summaries JOIN metric_names ON id = metric WHERE run = ? ORDER BY name",
                (self._number(run_id),),
            )
            return [name for (name,) in rows]

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
        with faults(self._path):
            return series.read(self._connection, self._number(run_id), metric, columns, x, lo, hi)

    def series_full(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Every point, in full precision: (step, value)."""
        with faults(self._path):
            return series.read_full(self._connection, self._number(run_id), metric)

    def broken_metrics(self, run_id: str) -> set[str]:
        """Names of the run's metrics with a point that is NaN or infinite."""
        with faults(self._path):
            return series.read_broken(self._connection, self._number(run_id))

    def step_at(self, run_id: str, x: Axis, value: float) -> int:
        """The last step at or before a place on an axis."""
        with faults(self._path):
            return series.step_at(self._connection, self._number(run_id), x, value, after=False)

    def _number(self, run_id: str) -> int:
        row = self._connection.execute("SELECT n FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            raise references.unknown(run_id)
        return int(row[0])


@lru_cache(maxsize=1024)
def _run_of(folders: Path, row: tuple[Any, ...]) -> Run:
    """The run of a row. The guide looks back on hundreds of runs, which are the same ones at each key."""
    *plain, group, best_epoch, best_step, best_acc, best_loss, tags, config, figures, entered = row
    values = dict(zip(_COLUMNS, plain, strict=True))
    for name in ("resumable", "pinned", "archived"):
        values[name] = bool(values[name])
    values |= {"state": State(values["state"]), "folder": folders / values["id"]}
    read = RunTotals(**json.loads(figures)) if figures else RunTotals()
    if entered:
        read.epochs = with_entered(read.epochs, [Entered(*item) for item in json.loads(entered)])
    return Run(
        **values,
        best=None if best_acc is None and best_loss is None else Best(best_epoch, best_acc, best_loss, best_step),
        tags=tuple(json.loads(tags)),
        group=group or "",
        config=json.loads(config),
        epochs=epoch_facts(read),
    )


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0
