"""trackio's SQLite file, a project each: table `metrics` of run, step and a JSON object.

Read against trackio 0.40–0.43; the newer have a `run_id`, so that several runs may share a name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from rmtui.importers.dictionary_rows import flat
from rmtui.importers.model import Foreign
from rmtui.importers.source_rows import Said
from rmtui.importers.text_files import identity, report_progress
from rmtui.importers.training import LogOrigin, foreign_runs, trainings
from rmtui.importers.wandb import history_rows
from rmtui.index.sqlite import Connection

_STEP = 1000
"""Rows between two reports of progress."""


def read_project(connection: Connection, path: Path) -> Iterator[Foreign]:
    """Run by run, its rows in the order of their coming."""
    key, configs, digest = _key(connection, "metrics"), _configs(connection), identity(path)
    names = [str(name) for _, name in connection.execute(f"SELECT DISTINCT {key}, run_name FROM metrics")]
    (count,) = connection.execute("SELECT count(*) FROM metrics").fetchone()
    rows = connection.execute(
        f"SELECT {key}, run_name, step, timestamp, metrics FROM metrics ORDER BY {key}, run_name, id"
    )
    counted = _counted(rows, path, int(count))
    for (run, name), own in groupby(counted, key=lambda row: (str(row[0]), str(row[1]))):
        identifier = f"{digest}:{name}" if names.count(name) == 1 else f"{digest}:{name}:{run}"
        yield from _run(path, name, own, configs.get(run, {}), identifier)


def _tables(connection: Connection) -> set[str]:
    return {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _key(connection: Connection, table: str) -> str:
    """The column that tells runs apart."""
    columns = {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}
    return "run_id" if "run_id" in columns else "run_name"


def _counted(rows: Any, path: Path, count: int) -> Iterator[Any]:
    size = path.stat().st_size
    for number, row in enumerate(rows):
        if number % _STEP == 0:
            report_progress(path, size * number // max(1, count), size)
        yield row


def _run(path: Path, name: str, rows: Iterator[Any], config: dict[str, object], digest: str) -> Iterator[Foreign]:
    said = Said(config=config)
    last: list[float] = []

    def history() -> Iterator[dict[str, object]]:
        for _, _, step, time, text in rows:
            at = _unix(time)
            last[:] = [at] if at and at > max(last, default=0.0) else last
            yield {"_step": step, "_timestamp": at, **dict(flat(_object(text)))}

    found = trainings(history_rows(history(), said), said)
    changed = max(last, default=path.stat().st_mtime)
    yield from foreign_runs(LogOrigin(path, "trackio", name, digest, changed, "trackio run", means=True), found)


def _configs(connection: Connection) -> dict[str, dict[str, object]]:
    if "configs" not in _tables(connection):
        return {}
    rows = connection.execute(f"SELECT {_key(connection, 'configs')}, config FROM configs")
    return {str(run): {k: v for k, v in _object(text).items() if not k.startswith("_")} for run, text in rows}


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
