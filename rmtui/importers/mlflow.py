"""MLflow's stores: `mlruns/EXPERIMENT/RUN/metrics/NAME`, lines of `time value step` (time in milliseconds), and its
SQLite file, `mlflow.db`, with the tables runs, metrics and params.

Read against MLflow 2.x and 3.x (`mlflow/store/tracking/dbmodels/models.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rmtui.errors import UserError
from rmtui.importers.metric_names import MetricName
from rmtui.importers.model import Foreign, Point
from rmtui.importers.source_rows import Said, number, place
from rmtui.importers.text_files import identity, lines, report_progress, whole
from rmtui.importers.training import LogOrigin, foreign, from_points
from rmtui.importers.yaml_config import setting_of
from rmtui.index.sqlite import Connection
from trainer.config import nest

_META = "meta.yaml"
_MOST = 10_000
"""Metrics of a run."""


def run_of(file: Path) -> Path | None:
    """The run folder that a file of the store belongs to, if it is a metric."""
    for folder in file.parents[:5]:
        if folder.name == "metrics":
            return folder.parent if (folder.parent / _META).is_file() else None
    return None


def read_run(folder: Path) -> Foreign:
    """One run of a store."""
    files = sorted(file for file in (folder / "metrics").rglob("*") if file.is_file() and not file.is_symlink())
    if len(files) > _MOST:
        raise UserError(f"cannot read {folder}", f"it holds more than {_MOST:,} metrics", "is it the right folder?")
    meta = _meta(folder / _META)
    said = Said(over=_over(meta.get("status")))
    name = meta.get("run_name") or folder.resolve().name
    found = from_points(
        ((MetricName(str(file.relative_to(folder / "metrics"))), point) for file in files for point in _points(file)),
        said,
    )
    times = (point[2] for curve in found.curves.values() for point in curve.points[-1:] if point[2])
    changed = max(times, default=folder.stat().st_mtime)
    origin = LogOrigin(folder, "mlflow", name, identity(*files), changed, "MLflow run", means=True)
    return foreign(origin, found, 0, ())


def read_database(connection: Connection, path: Path) -> Iterator[Foreign]:
    """Every run in a SQLite file that was not deleted, the oldest first."""
    digest, size = identity(path), path.stat().st_size
    runs = connection.execute(
        "SELECT run_uuid, name, status, start_time FROM runs WHERE lifecycle_stage IS NOT 'deleted' ORDER BY start_time"
    ).fetchall()
    for at, (run, name, status, started) in enumerate(runs, 1):
        report_progress(path, size * at // len(runs), size)
        rows = connection.execute(
            "SELECT key, step, value, timestamp FROM metrics WHERE run_uuid = ? AND NOT is_nan", (run,)
        )
        points = ((MetricName(str(key)), (float(step), float(value), time / 1000)) for key, step, value, time in rows)
        said = Said(over=_over(status), config=_settings(connection, run))
        found = from_points(points, said)
        times = [point[2] for curve in found.curves.values() for point in curve.points[-1:] if point[2]]
        changed = max(times, default=path.stat().st_mtime)
        origin = LogOrigin(path, "mlflow", str(name or run), f"{digest}:{run}", changed, "MLflow run", means=True)
        yield replace(foreign(origin, found, 0, ()), created=started / 1000 if started else changed, number=at)


def _settings(connection: Connection, run: object) -> dict[str, object]:
    """Parameters of a run that are settings here, too."""
    rows = connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run,))
    return nest(dict(found for key, value in rows if (found := setting_of(str(key), value))))


def _over(status: object) -> str:
    return "MLflow says that the run is over" if status in ("3", "FINISHED") else ""


def _points(file: Path) -> Iterator[Point]:
    for line in lines(file):
        fields = line.split()
        if len(fields) < 3:
            continue
        time, value, step = number(fields[0]), number(fields[1]), place(fields[2])
        if value is not None and step is not None:
            yield step, value, None if time is None else time / 1000


def _meta(path: Path) -> dict[str, str]:
    """Flat entries of a meta.yaml, as text."""
    text = whole(path, 1 << 20).decode("utf-8", "replace")
    entries = (line.partition(": ") for line in text.splitlines())
    return {key.strip(): value.strip().strip("'\"") for key, _, value in entries if value}
