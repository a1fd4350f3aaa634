"""CSV tables of figures: a row a step or an epoch, a column a metric; W&B's, TensorBoard's and notebooks' included."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from rmtui.errors import UserError
from rmtui.importers.dictionary_rows import EPOCHS, STEPS, TIMES
from rmtui.importers.metric_names import Split, in_table
from rmtui.importers.model import Foreign
from rmtui.importers.source_rows import Said, SourceRow, number, place, says_split, split_of
from rmtui.importers.text_files import identity, lines
from rmtui.importers.training import LogOrigin, foreign_runs, trainings

_RUNS = ("run", "run_id", "run id", "run_name", "run name", "name")
_TEXTS = ("state", "user", "notes", "tags", "created", "sweep")
"""Columns of W&B's table of runs that hold no metric."""
_OURS = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
"""The id of a run in rmtui's own table."""
_PANEL = re.compile(r"(?P<run>.+) - (?P<metric>\S.*?)(?P<range>__MIN|__MAX)?")
"""A column of a W&B panel: `RUN - eval/accuracy`, and its range over grouped runs."""
_PLAIN = frozenset(("metrics", "log", "logs", "history", "progress", "results"))
_STEP = re.compile(r"(?:train/|trainer/)?(?:global[_ ]?)?(?:steps?|iter(?:ation)?s?)", re.IGNORECASE)
_OF_FILE = re.compile(
    r"(?:eval|val|valid|validation|dev)(?:[_-]?(?:metrics|results?|log|history|scores))?", re.IGNORECASE
)


def read_table(path: Path) -> list[Foreign]:
    """The runs in a CSV file, several where a column, or the columns' names, say which run a figure belongs to.

    Raises UserError where it has no column that says step or epoch.
    """
    rows = _rows_of(path)
    header = list(next(iter(rows()), {}))
    placed = [name for name in header if name.lower() in (*STEPS, *EPOCHS) or _STEP.fullmatch(name)]
    if not placed:
        columns = ", ".join(header[:12]) or "none"
        raise UserError(
            f"cannot read {path}", f"no column is named step or epoch (columns: {columns})", "name one of them so"
        )
    ours = header[:2] == ["run", "step"] and all(_OURS.fullmatch(row.get("run", "")) for row in rows())
    runs = _panel(header, rows) or _by_run(header, rows)
    splits = in_table(header, Split.VALIDATION if _OF_FILE.fullmatch(path.stem) else None)
    digest = identity(path)
    kind, title = ("wandb-panel", "table of a W&B panel") if _panel(header, rows) else ("csv", "CSV table")
    found: list[Foreign] = []
    for name, own in runs.items():
        several = len(runs) > 1
        label = name if several and name else _label(path)
        key = f"{digest}:{name}" if several else digest
        origin = LogOrigin(path, kind, label, key, path.stat().st_mtime, title, means=True)
        found += _run(origin, own, splits, ours)
    return found


def _label(path: Path) -> str:
    """A run's name: that of the file, or of its folder where every file is called so."""
    return path.resolve().parent.name if path.stem in _PLAIN else path.stem


def _run(
    origin: LogOrigin, rows: Iterable[dict[str, str]], splits: Mapping[str, Split | None], ours: bool
) -> list[Foreign]:
    said, unread = Said(), [0]
    found = trainings(_as_rows(rows, splits, said, unread, ours), said)
    for training in found:
        training.ours = ours
    bad = f"{unread[0]} cells are not numbers and were ignored"
    read = foreign_runs(origin, found, [bad] if unread[0] else [])
    return read or [Foreign(origin.name, origin.path, origin.kind, origin.digest)]


class _TableColumn(NamedTuple):
    """What a column's name says."""

    place: str
    """`step`, `epoch` or `time`; empty where its values are no places."""
    named: str
    """What its values are called; empty where they are no metric."""
    split: Split | None
    says_split: bool


def _column(name: str, splits: Mapping[str, Split | None], ours: bool) -> _TableColumn:
    lower = name.lower()
    place = "epoch" if lower in EPOCHS else "time" if lower in TIMES else ""
    place = "step" if lower in STEPS or _STEP.fullmatch(name) else place
    named = "" if (name == "step" if ours else place) else "loss" if lower == "value" else name
    return _TableColumn(place, named, splits.get(name), says_split(name))  # TensorBoard calls every metric Value


def _as_rows(
    rows: Iterable[dict[str, str]], splits: Mapping[str, Split | None], said: Said, unread: list[int], ours: bool
) -> Iterator[SourceRow]:
    """Rows in order of the file, one a split where columns without a word of their own are of another one."""
    columns: dict[str, _TableColumn] = {}
    for row in rows:
        places: dict[str, float] = {}
        parts: dict[Split | None, dict[str, float]] = {}
        for name, text in row.items():
            if not text or text.isspace():
                continue
            column = columns.get(name)
            if column is None:
                column = columns[name] = _column(name, splits, ours)
            value = number(text)
            if value is None:
                unread[0] += not column.says_split
                continue
            if column.place and column.place not in places and (at := place(value)) is not None:
                places[column.place] = at
            if column.named:
                parts.setdefault(column.split, {})[column.named] = value
        if "step" not in places and "epoch" not in places:
            continue
        said_split = split_of(row) if any(columns[name].says_split for name in row if name in columns) else None
        for split in (None, *Split):
            if split in parts:
                yield SourceRow(
                    parts[split], places.get("step"), places.get("epoch"), split or said_split, places.get("time")
                )


_Rows = Callable[[], Iterable[dict[str, str]]]
"""The rows of a table, from the beginning each time."""
_SMALL = 16 << 20
"""Bytes of a table that is kept in memory; a larger one is read once for each of its runs."""


def _rows_of(path: Path) -> _Rows:
    if path.stat().st_size > _SMALL:
        return lambda: _rows(path)
    kept = list(_rows(path))
    return lambda: kept


def _by_run(header: Sequence[str], rows: _Rows) -> dict[str, Iterable[dict[str, str]]]:
    """Rows under the name of their run, without the columns that say it."""
    naming = [column for column in header if column.lower() in _RUNS]
    left = {*naming, *(column for column in header if naming and column.lower() in _TEXTS)}
    if not naming:
        return {"": rows()}
    names = {row.get(naming[0], "").strip(): None for row in rows()}

    def of(name: str) -> Iterator[dict[str, str]]:
        for row in rows():
            if row.get(naming[0], "").strip() == name:
                yield {column: text for column, text in row.items() if column not in left}

    return {name: of(name) for name in names}


def _panel(header: Sequence[str], rows: _Rows) -> dict[str, Iterable[dict[str, str]]]:
    """Rows of a W&B panel by run, empty where it is none: its columns are named RUN - METRIC, with ranges beside."""
    columns = {name: match for name in header if (match := _PANEL.fullmatch(name))}
    plain = {name: match for name, match in columns.items() if match["range"] is None}
    if not plain or len(columns) + 1 != len(header):
        return {}

    def of(run: str) -> Iterator[dict[str, str]]:
        for row in rows():
            mine = {match["metric"]: row[name] for name, match in plain.items() if match["run"] == run and name in row}
            if any(text.strip() for text in mine.values()):
                yield {**{name: text for name, text in row.items() if name not in columns}, **mine}

    return {run: of(run) for run in {match["run"]: None for match in plain.values()}}


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Columns are parted by commas, or by semicolons or tabs, whichever the heading has; then commas may be decimal."""
    text = (line for line in lines(path) if line.strip())
    heading = next(text, "")
    mark = next((mark for mark in ("\t", ";", ",") if mark in heading), ",")
    if mark != ",":
        text = (re.sub(r"(?<=\d),(?=\d)", ".", line) for line in text)
    reader = csv.DictReader(chain([heading], text), delimiter=mark)
    try:
        for row in reader:
            yield {
                name.strip(): value for name, value in row.items() if isinstance(name, str) and isinstance(value, str)
            }
    except csv.Error as error:
        raise UserError(f"cannot read {path}", str(error), "is it a CSV file?") from None
