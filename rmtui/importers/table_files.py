"""CSV tables of figures: a row a step or an epoch, a column a metric; W&B's, TensorBoard's and notebooks' included."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

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
    bad = f"{unread[0]} cells were no number and were left out"
    read = foreign_runs(origin, found, [bad] if unread[0] else [])
    return read or [Foreign(origin.name, origin.path, origin.kind, origin.digest)]


def _as_rows(
    rows: Iterable[dict[str, str]], splits: Mapping[str, Split | None], said: Said, unread: list[int], ours: bool
) -> Iterator[SourceRow]:
    """Rows in order of the file, one a split where columns without a word of their own are of another one."""
    for row in rows:
        values = {name: found for name, text in row.items() if text.strip() and (found := number(text)) is not None}
        texts = [text for name, text in row.items() if text.strip() and name not in values and not says_split(name)]
        unread[0] += len(texts)
        step = _first(values, lambda name: name.lower() in STEPS or _STEP.fullmatch(name) is not None)
        epoch = _first(values, lambda name: name.lower() in EPOCHS)
        time = _first(values, lambda name: name.lower() in TIMES)
        left = {name: value for name, value in values.items() if ours or not _is_place(name)}
        if ours:
            left.pop("step", None)
        if step is None and epoch is None:
            continue
        said_split = split_of(row)
        for split in (None, *Split):
            part = {_named(name): value for name, value in left.items() if splits.get(name) is split}
            if part:
                yield SourceRow(part, step, epoch, split or said_split, time)


def _named(name: str) -> str:
    """TensorBoard's own download calls every figure Value."""
    return "loss" if name.lower() == "value" else name


def _is_place(name: str) -> bool:
    return name.lower() in (*STEPS, *EPOCHS, *TIMES) or _STEP.fullmatch(name) is not None


def _first(values: Mapping[str, float], fits: Callable[[str], bool]) -> float | None:
    return next((at for name, value in values.items() if fits(name) and (at := place(value)) is not None), None)


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
