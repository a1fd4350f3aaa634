"""SQLite files of experiment trackers: which tracker's one is, by the columns of its table `metrics`."""

from __future__ import annotations

from pathlib import Path

from rmtui.errors import UserError
from rmtui.importers import mlflow, trackio
from rmtui.importers.model import Foreign
from rmtui.index.sqlite import Connection, reading_foreign

_HEAD = b"SQLite format 3\x00"


def is_sqlite(path: Path) -> bool:
    """Named like a SQLite file; whose it is, reading it shows."""
    return path.suffix in (".db", ".sqlite") and path.stat().st_size > 0


def read_tracker(path: Path) -> list[Foreign]:
    """Every run in the file. UserError where it is no SQLite file, or neither trackio's nor MLflow's."""
    with path.open("rb") as file:
        if file.read(len(_HEAD)) != _HEAD:
            raise UserError(f"cannot read {path}", "it is not a SQLite file", "name the project's .db file")
    with reading_foreign(path) as connection:
        columns = _columns(connection)
        if "run_uuid" in columns:
            return list(mlflow.read_database(connection, path))
        if "run_name" in columns:
            return list(trackio.read_project(connection, path))
        raise UserError(
            f"cannot read {path}", "it has no table of metrics", "name a trackio project, or MLflow's mlflow.db"
        )


def _columns(connection: Connection) -> set[str]:
    """Those of the table of metrics; none where there is no such table."""
    return {str(row[1]) for row in connection.execute("PRAGMA table_info(metrics)")}
