"""CSV tables of figures: a row a step or an epoch, a column a metric; W&B's, TensorBoard's and notebooks' included."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from rmtui.errors import UserError
from rmtui.importers.dictionary_rows import EPOCHS, STEPS, TIMES
from rmtui.importers.metric_names import Split, in_table
from rmtui.importers.model import Foreign
from rmtui.importers.source_rows import Said, SourceRow, number, place, says_split, split_of
from rmtui.importers.text_files import identity, lines
from rmtui.importers.training import LogOrigin, Trainings, foreign_runs

_RUNS = ("run", "run_id", "run id", "run_name", "run name", "name")
_TEXTS = ("state", "user", "notes", "tags", "created", "runtime", "sweep")
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

    The file is read once, whatever the number of its runs. Raises UserError where no column says step or epoch.
    """
    rows = _rows(path)
    header = next(rows, [])
    placed = [name for name in header if name.lower() in (*STEPS, *EPOCHS) or _STEP.fullmatch(name)]
    if not placed:
        columns = ", ".join(header[:12]) or "none"
        raise UserError(
            f"cannot read {path}", f"no column is named step or epoch (columns: {columns})", "name one of them so"
        )
    table = _panel(header) or _Table(path, header)
    for cells in rows:
        table.take(cells)
    kind, title = ("wandb-panel", "table of a W&B panel") if isinstance(table, _Panel) else ("csv", "CSV table")
    digest = identity(path)
    found: list[Foreign] = []
    for name, own in table.runs.items():
        several = len(table.runs) > 1
        label = name if several and name else _label(path)
        key = f"{digest}:{name}" if several else digest
        found += own.foreign(LogOrigin(path, kind, label, key, path.stat().st_mtime, title, means=True))
    return found


def _label(path: Path) -> str:
    """A run's name: that of the file, or of its folder where every file is called so."""
    return path.resolve().parent.name if path.stem in _PLAIN else path.stem


class _TableColumn(NamedTuple):
    """Where a column stands and what its name says."""

    at: int
    place: str
    """`step`, `epoch` or `time`; empty where its values are no places."""
    named: str
    """What its values are called; empty where they are no metric."""
    split: Split | None
    says_split: bool


def _column(at: int, name: str, split: Split | None, ours: bool = False) -> _TableColumn:
    lower = name.lower()
    place = "epoch" if lower in EPOCHS else "time" if lower in TIMES else ""
    place = "step" if lower in STEPS or _STEP.fullmatch(name) else place
    named = "" if (name == "step" if ours else place) else "loss" if lower == "value" else name
    return _TableColumn(at, place, named, split, says_split(name))  # TensorBoard calls every metric Value


NOWHERE: Mapping[str, float] = {}


class _RunRows:
    """One run of a table while its rows come in."""

    def __init__(self, columns: Sequence[_TableColumn], ours: bool = False) -> None:
        self._said = Said()
        self._trainings = Trainings(self._said)
        self._columns = columns
        self._ours = ours
        self._unread = 0
        self.means = 0
        """Rows with a mean between a lowest and a highest value."""

    def take(self, cells: Sequence[str], shared: Mapping[str, float] = NOWHERE) -> None:
        """A row, with places that are known already; a row of figures each split, where columns are of several."""
        places = dict(shared)
        parts: dict[Split | None, dict[str, float]] = {}
        said_split: Split | None = None
        for at, place_of, named, split, says in self._columns:
            text = cells[at] if at < len(cells) else ""
            if not text or text.isspace():
                continue
            value = number(text)
            if value is None:
                self._unread += not says
                said_split = said_split or (split_of({named: text}) if says else None)
                continue
            if place_of and place_of not in places and (found := place(value)) is not None:
                places[place_of] = found
            if named:
                parts.setdefault(split, {})[named] = value
        step, epoch = places.get("step"), places.get("epoch")
        if step is None and epoch is None:
            return
        for split in (None, *Split) if len(parts) > 1 else parts:
            if split in parts:
                self._trainings.take(SourceRow(parts[split], step, epoch, split or said_split, places.get("time")))

    def foreign(self, origin: LogOrigin) -> list[Foreign]:
        """The runs of these rows; one without metrics where they hold none."""
        found = self._trainings.found()
        for training in found:
            training.ours = self._ours
        bad = f"{self._unread} cells are not numbers and were ignored"
        notes = [bad] if self._unread else []
        if self.means:
            notes.append(f"means between a MIN and a MAX, of several runs or several steps: {self.means} rows")
        read = foreign_runs(origin, found, notes)
        return read or [Foreign(origin.name, origin.path, origin.kind, origin.digest)]


class _Table:
    """Rows under the name of their run, where a column says it."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        naming = [name for name in header if name.lower() in _RUNS]
        left = {*naming, *(name for name in header if naming and name.lower() in _TEXTS)}
        splits = in_table(header, Split.VALIDATION if _OF_FILE.fullmatch(path.stem) else None)
        self._header, self._splits = header, splits
        self._naming = header.index(naming[0]) if naming else None
        self._places = {name: at for at, name in enumerate(header) if name not in left}
        self._may_be_ours = list(header[:2]) == ["run", "step"]
        self.runs: dict[str, _RunRows] = {}

    def take(self, cells: Sequence[str]) -> None:
        name = "" if self._naming is None else cells[self._naming].strip() if self._naming < len(cells) else ""
        run = self.runs.get(name)
        if run is None:
            run = self.runs[name] = self._run(self._may_be_ours and _OURS.fullmatch(name) is not None)
        run.take(cells)

    def _run(self, ours: bool) -> _RunRows:
        return _RunRows([_column(at, name, self._splits.get(name), ours) for name, at in self._places.items()], ours)


class _Panel:
    """A W&B panel: columns named RUN - METRIC, with ranges beside, which are left out; one column is the step."""

    def __init__(self, header: Sequence[str], columns: Mapping[str, re.Match[str]]) -> None:
        (self._shared,) = (_column(at, name, None) for at, name in enumerate(header) if name not in columns)
        own: dict[str, list[_TableColumn]] = {}
        for at, name in enumerate(header):
            if (match := columns.get(name)) and match["range"] is None:
                own.setdefault(match["run"], []).append(_column(at, match["metric"], None))
        self.runs = {run: _RunRows(found) for run, found in own.items()}
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        places = {name: at for at, name in enumerate(header)}
        for name, match in columns.items():
            low, high = places.get(f"{name}__MIN"), places.get(f"{name}__MAX")
            if low is not None and high is not None:
                self._ranges.setdefault(match["run"], []).append((low, high))

    def take(self, cells: Sequence[str]) -> None:
        at = number(cells[self._shared.at]) if self._shared.at < len(cells) else None
        if (found := place(at)) is not None:
            for name, run in self.runs.items():
                run.take(cells, {self._shared.place: found})
                run.means += any(_differ(cells, low, high) for low, high in self._ranges.get(name, ()))


def _differ(cells: Sequence[str], one: int, other: int) -> bool:
    """Whether two cells hold different numbers."""
    values = [number(cells[at]) if at < len(cells) else None for at in (one, other)]
    return None not in values and values[0] != values[1]


def _panel(header: Sequence[str]) -> _Panel | None:
    columns = {name: match for name in header if (match := _PANEL.fullmatch(name))}
    plain = any(match["range"] is None for match in columns.values())
    return _Panel(header, columns) if plain and len(columns) + 1 == len(header) else None


def _rows(path: Path) -> Iterator[list[str]]:
    """The names of the columns, then rows of cells.

    Columns are parted by commas, or by semicolons or tabs, whichever the heading has; then commas may be decimal.
    """
    text = (line for line in lines(path) if line.strip())
    heading = next(text, "")
    mark = next((mark for mark in ("\t", ";", ",") if mark in heading), ",")
    if mark != ",":
        text = (re.sub(r"(?<=\d),(?=\d)", ".", line) for line in text)
    try:
        for number_of, row in enumerate(csv.reader(chain([heading], text), delimiter=mark)):
            yield row if number_of else [name.strip() for name in row]
    except csv.Error as error:
        raise UserError(f"cannot read {path}", str(error), "is it a CSV file?") from None
