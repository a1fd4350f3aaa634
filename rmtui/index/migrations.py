"""The index's schema, as numbered steps that are never edited once released. Runs in a process of its own.

sqlite-utils loads numpy and pandas where they are installed, and needs neither here: half a second before each first
list. No other module imports this one: `rmtui.index.sqlite` starts it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

if __name__ == "__main__":  # as if they were not installed
    sys.modules.update({"numpy": None, "pandas": None})  # type: ignore[dict-item]

from sqlite_utils import Database, Migrations

migrations = Migrations("rmtui")
"""`PRAGMA user_version` is the number of those applied."""

RUN_COLUMNS: Mapping[str, type] = {
    "n": int,  # short number of the run, used by every other table
    "id": str,
    "name": str,
    "state": str,
    "reason": str,
    "resumable": int,
    "preset": str,
    "data": str,
    "created": float,
    "started": float,
    "ended": float,
    "host": str,
    "processes": int,
    "step": int,
    "total_steps": int,
    "epochs_done": float,
    "num_epochs": int,
    "train_loss": float,
    "val_loss": float,
    "val_acc": float,
    "val_pairs": int,
    "best_epoch": float,
    "best_val_acc": float,
    "best_val_loss": float,
    "gap": float,
    "duration": float,
    "last_event": float,
    "seconds_per_step": float,
    "note": str,
    "pinned": int,
    "archived": int,
    "group_name": str,
    "val_fingerprint": str,
    "origin": str,  # digest of what an imported run was read from
    "words": str,  # what a bare word of a query is looked for in, casefolded
    "settled": int,  # 1: final and read to the end; only its folder's times are looked at
    "folder_time": int,
    "meta_time": int,
}
SORTED_BY = (
    *("created", "started", "ended", "name", "state", "preset", "data", "val_acc", "best_val_acc", "val_loss"),
    *("train_loss", "gap", "epochs_done", "duration"),
)


@migrations()
def m001_runs(db: Database) -> None:
    """A narrow row a run for lists; the wide documents beside it, so that scanning the rows stays cheap."""
    db.table("runs").create(
        dict(RUN_COLUMNS), pk="n", not_null={"id", "name", "state", "created", "pinned", "archived", "settled"}
    )
    db.table("runs").create_index(["id"], unique=True)
    db.table("documents").create({"run": int, "config": str, "tags": str, "figures": str}, pk="run")
    db.table("marks").create({"name": str, "value": int}, pk="name")
    db.execute(
        """CREATE TABLE attempts (run INTEGER, n INTEGER, state TEXT, reason TEXT, exit_code INTEGER, started REAL,
        ended REAL, resumed_from_step INTEGER, PRIMARY KEY (run, n)) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE progress (run INTEGER, n INTEGER, position INTEGER, bad_lines INTEGER, resumed INTEGER,
        cut INTEGER, clock REAL, seconds REAL, tokens REAL, PRIMARY KEY (run, n)) WITHOUT ROWID"""
    )


@migrations()
def m002_curves(db: Database) -> None:
    """Points, their min/max roll-ups, a summary a metric, and what goes with each step."""
    db.table("metric_names").create({"id": int, "name": str}, pk="id", not_null={"name"})
    db.table("metric_names").create_index(["name"], unique=True)
    db.execute(
        """CREATE TABLE points (run INTEGER, metric INTEGER, step INTEGER, value REAL,
        PRIMARY KEY (run, metric, step)) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE rollups (run INTEGER, metric INTEGER, level INTEGER, bucket INTEGER, low REAL, high REAL,
        last REAL, last_step INTEGER, broken INTEGER, PRIMARY KEY (run, metric, level, bucket)) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE summaries (run INTEGER, metric INTEGER, count INTEGER, first_step INTEGER, first REAL,
        last_step INTEGER, last REAL, low_step INTEGER, low REAL, high_step INTEGER, high REAL,
        PRIMARY KEY (run, metric)) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE steps (run INTEGER, step INTEGER, epoch REAL, seconds REAL, tokens REAL,
        PRIMARY KEY (run, step)) WITHOUT ROWID"""
    )
    _read_again(db)


@migrations()
def m003_queries(db: Database) -> None:
    """Tags and configuration values one by one, so that queries find runs by them."""
    db.execute("CREATE TABLE tags (tag TEXT, run INTEGER, PRIMARY KEY (tag, run)) WITHOUT ROWID")
    db.table("setting_keys").create({"id": int, "key": str}, pk="id", not_null={"key"})
    db.table("setting_keys").create_index(["key"], unique=True)
    db.execute(
        """CREATE TABLE settings (setting INTEGER, run INTEGER, number REAL, text TEXT,
        PRIMARY KEY (setting, run)) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX settings_of_run ON settings (run)")
    db.execute("CREATE INDEX tags_of_run ON tags (run)")
    _read_again(db)


@migrations()
def m004_sorting(db: Database) -> None:
    """An index a column that lists are sorted by, after what every list asks for."""
    for column in SORTED_BY:
        collation = " COLLATE NOCASE" if RUN_COLUMNS[column] is str else ""
        db.execute(f"CREATE INDEX runs_by_{column} ON runs (archived, pinned, {column}{collation}, id)")
    db.execute("CREATE INDEX runs_unsettled ON runs (n) WHERE settled = 0")
    db.execute("CREATE INDEX runs_by_origin ON runs (origin) WHERE origin IS NOT NULL")


@migrations()
def m005_landmarks(db: Database) -> None:
    """The best run of each validation set, and whether there are groups, are asked for whenever something changed."""
    db.execute(
        """CREATE INDEX runs_by_pairs ON runs (val_fingerprint, val_acc, id)
        WHERE archived = 0 AND val_fingerprint IS NOT NULL AND val_acc IS NOT NULL"""
    )
    db.execute("CREATE INDEX runs_grouped ON runs (n) WHERE group_name <> ''")


@migrations()
def m006_order_and_marks(db: Database) -> None:
    """The order of launches, which no clock decides, and by what an attempt's events are known again."""
    db.execute("ALTER TABLE runs ADD COLUMN launched INTEGER")
    db.execute("ALTER TABLE progress ADD COLUMN mark TEXT")


@migrations()
def m007_evaluations(db: Database) -> None:
    """The step of the best evaluation; the newest evaluation, wherever in an epoch, is in the totals of the events."""
    db.execute("ALTER TABLE runs ADD COLUMN best_step INTEGER")
    _read_again(db)


@migrations()
def m008_entered(db: Database) -> None:
    """val_acc that a person entered; the best of several runs is the one whose best evaluation is."""
    db.execute("ALTER TABLE documents ADD COLUMN entered TEXT")
    db.execute("DROP INDEX runs_by_pairs")
    db.execute(
        """CREATE INDEX runs_by_pairs ON runs (val_fingerprint, best_val_acc, best_val_loss, id)
        WHERE archived = 0 AND val_fingerprint IS NOT NULL AND best_val_acc IS NOT NULL"""
    )
    _read_again(db)


@migrations()
def m009_clusters(db: Database) -> None:
    """What the prompts that validation pairs share leave of their number; events of older versions do not hold it."""
    db.execute("ALTER TABLE runs ADD COLUMN val_clusters INTEGER")
    db.execute("ALTER TABLE runs ADD COLUMN val_effective REAL")
    _read_again(db)


def _read_again(db: Database) -> None:
    """Rows of older schemas lack something that the folders have: the next sync reads every folder from its start."""
    db.execute("UPDATE runs SET settled = 0, folder_time = 0, meta_time = 0")
    db.execute("DELETE FROM progress")
    db.execute("DELETE FROM marks")


def apply(path: str, up_to: int | None = None) -> int:
    """Bring the database at `path` to the newest schema, or the `up_to`-th; returns its number."""
    db = Database(path)
    try:
        names = [migration.name for migration in migrations.pending(db)]
        done = len(migrations.applied(db))
        stop = names[up_to - done] if up_to is not None and up_to - done < len(names) else None
        migrations.apply(db, stop_before=stop)
        version = len(migrations.applied(db))
        db.conn.execute(f"PRAGMA user_version = {version}")
        db.conn.commit()
    finally:
        db.close()
    return version


if __name__ == "__main__":
    apply(sys.argv[1])
