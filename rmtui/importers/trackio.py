"""trackio's SQLite file, a project each: table `metrics` of run, step and a JSON object. Read against trackio 0.43."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.importers.dictionary_rows import flat
from rmtui.importers.model import Foreign
from rmtui.importers.source_rows import Said
from rmtui.importers.text_files import identity
from rmtui.importers.training import LogOrigin, foreign_runs, trainings
from rmtui.importers.wandb import history_rows
from rmtui.index.sqlite import Connection, reading_foreign

_HEAD = b"SQLite format 3\x00"
_MOST = 300_000
"""Rows of a project."""


def is_trackio(path: Path) -> bool:
    """A SQLite file; whether it is trackio's, reading it shows."""
    return path.suffix in (".db", ".sqlite") and path.stat().st_size > 0


def read_project(path: Path) -> list[Foreign]:
    """Every run of a project. UserError where the file is no SQLite file, or another program's."""
    with path.open("rb") as file:
        if file.read(len(_HEAD)) != _HEAD:
            raise UserError(f"cannot read {path}", "it is not a SQLite file", "name the project's .db file")
    with reading_foreign(path) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "metrics" not in tables:
            raise UserError(f"cannot read {path}", "it has no table of metrics", "name a trackio project")
        (count,) = connection.execute("SELECT count(*) FROM metrics").fetchone()
        if count > _MOST:
            why = f"it holds {count:,} rows, more than {_MOST:,}"
            raise UserError(f"cannot read {path}", why, "copy the runs that you need into a project of their own")
        histories = _histories(connection)
        configs = _configs(connection) if "configs" in tables else {}
    digest = identity(path)
    return [
        run
        for name, history in histories.items()
        for run in _run(path, name, history, configs.get(name, {}), f"{digest}:{name}")
    ]


def _run(
    path: Path, name: str, history: list[dict[str, object]], config: dict[str, object], digest: str
) -> list[Foreign]:
    said = Said(config=config)
    found = trainings(history_rows(history, said), said)
    times = [at for row in history if isinstance(at := row["_timestamp"], float) and at]
    origin = LogOrigin(
        path, "trackio", name, digest, max(times, default=path.stat().st_mtime), "trackio run", means=True
    )
    return foreign_runs(origin, found)


def _histories(connection: Connection) -> dict[str, list[dict[str, object]]]:
    histories: dict[str, list[dict[str, object]]] = {}
    rows = connection.execute(f"SELECT run_name, step, timestamp, metrics FROM metrics ORDER BY id LIMIT {_MOST}")
    for name, step, time, text in rows:
        values = _object(text)
        histories.setdefault(str(name), []).append({"_step": step, "_timestamp": _unix(time), **dict(flat(values))})
    return histories


def _configs(connection: Connection) -> dict[str, dict[str, object]]:
    rows = connection.execute("SELECT run_name, config FROM configs").fetchall()
    return {str(name): {k: v for k, v in _object(text).items() if not k.startswith("_")} for name, text in rows}


def _object(text: Any) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _unix(text: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
