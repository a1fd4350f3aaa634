"""MLflow's file store: `mlruns/EXPERIMENT/RUN/metrics/NAME`, lines of `time value step` (time in milliseconds)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rmtui.errors import UserError
from rmtui.importers.model import Foreign, Point
from rmtui.importers.source_rows import Said, number, place
from rmtui.importers.text_files import identity, lines, whole
from rmtui.importers.training import LogOrigin, foreign, from_points

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
    said = Said(over="MLflow says that the run is over" if meta.get("status") in ("3", "FINISHED") else "")
    name = meta.get("run_name") or folder.resolve().name
    found = from_points(
        ((str(file.relative_to(folder / "metrics")), point) for file in files for point in _points(file)), said
    )
    times = (point[2] for curve in found.curves.values() for point in curve.points[-1:] if point[2])
    changed = max(times, default=folder.stat().st_mtime)
    origin = LogOrigin(folder, "mlflow", name, identity(*files), changed, "MLflow run", means=True)
    return foreign(origin, found, 0, ())


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
