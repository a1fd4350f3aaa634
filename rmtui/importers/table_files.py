"""CSV tables of figures: a row a step or an epoch, a column a metric; W&B's and TensorBoard's downloads included."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from rmtui.errors import UserError
from rmtui.importers.epochs import epochs_of, rows_to_epochs
from rmtui.importers.model import Foreign, Point, fraction, names_of, renamed
from rmtui.importers.text_files import identity, lines

_STEPS = ("step", "_step", "global_step", "train/global_step", "trainer/global_step")
_TIMES = ("time", "wall time", "_timestamp")
_RUNS = ("run", "run_id", "run id", "run_name", "run name")
_EPOCHS = ("epoch", "train/epoch")


def read_table(path: Path) -> list[Foreign]:
    """The runs in a CSV file, several where a column says which run a row belongs to.

    Raises UserError where it has no column that says step or epoch.
    """
    rows = list(_rows(path))
    header = {name.strip().lower() for name in (rows[0] if rows else {})}
    if not header & {*_STEPS, *_EPOCHS}:
        raise UserError(f"cannot read {path}", "no column is named step or epoch", "name one of them in the first line")
    digest = identity(path)
    runs = _by_run(rows)
    return [
        _run(path, name if len(runs) > 1 else path.stem, f"{digest}:{name}" if len(runs) > 1 else digest, own)
        for name, own in runs.items()
    ]


def _by_run(rows: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """Rows under the name of their run, without the columns that say it."""
    runs: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        name = next((text for column, text in row.items() if column.strip().lower() in _RUNS), "")
        own = {column: text for column, text in row.items() if column.strip().lower() not in _RUNS}
        runs.setdefault(name.strip(), []).append(own)
    return runs


def _run(path: Path, name: str, digest: str, rows: list[dict[str, str]]) -> Foreign:
    series, by_epoch, unread = _gather(rows)
    return Foreign(
        name=name or path.stem,
        origin=path,
        kind="csv",
        identity=digest,
        epochs=rows_to_epochs(by_epoch) or epochs_of(series),
        series=series,
        created=path.stat().st_mtime,
        ended=path.stat().st_mtime,
        notes=(f"{unread} cells were no number and were left out",) if unread else (),
    )


def _rows(path: Path) -> Iterator[dict[str, str]]:
    reader = csv.DictReader(line for line in lines(path) if line.strip())
    try:
        for row in reader:
            yield {name: value for name, value in row.items() if isinstance(name, str) and isinstance(value, str)}
    except csv.Error as error:
        raise UserError(f"cannot read {path}", str(error), "is it a CSV file?") from None


def _gather(rows: list[dict[str, str]]) -> tuple[dict[str, list[Point]], dict[int, dict[str, float]], int]:
    series: dict[str, list[Point]] = {}
    by_epoch: dict[int, dict[str, float]] = {}
    unread = 0
    known = names_of([name.strip().lower() for name in (rows[0] if rows else {})])
    for row in rows:
        numbers, bad = _numbers(row)
        unread += bad
        step, epoch, time = (_first(numbers, names) for names in (_STEPS, _EPOCHS, _TIMES))
        figures = {name: value for name, value in numbers.items() if name not in (*_STEPS, *_TIMES)}
        if step is not None:
            for name, value in figures.items():
                series.setdefault("loss" if name == "value" else name, []).append((step, value, time))
        elif epoch is not None and epoch >= 1 and epoch == int(epoch):
            by_epoch[int(epoch)] = {
                known.get(name, name): share
                for name, value in figures.items()
                if (share := _as_metric(known.get(name, name), value)) is not None
            }
    return renamed(series), by_epoch, unread


def _as_metric(name: str, value: float) -> float | None:
    return fraction(value) if name == "val_acc" else value


def _first(numbers: Mapping[str, float], names: tuple[str, ...]) -> float | None:
    return next((numbers[name] for name in names if name in numbers and math.isfinite(numbers[name])), None)


def _numbers(row: Mapping[str, str]) -> tuple[dict[str, float], int]:
    numbers: dict[str, float] = {}
    bad = 0
    for name, text in row.items():
        if not text.strip():
            continue
        try:
            numbers[name.strip().lower()] = float(text)
        except ValueError:
            bad += 1
    return numbers, bad
