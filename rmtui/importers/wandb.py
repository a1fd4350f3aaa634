"""W&B offline runs (`run-ID.wandb`), read without wandb: configuration, history and the run's name.

Framing: LevelDB's log format (32 KiB blocks of chunks: CRC, length, type) behind a 7-byte header; records are protobuf
`Record` messages (wandb/proto/wandb_internal.proto). Read against wandb 0.31.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from rmtui.importers import protobuf
from rmtui.importers.dictionary_rows import EPOCHS, STEPS
from rmtui.importers.model import Foreign
from rmtui.importers.source_rows import Said, SourceRow, figures_of, place
from rmtui.importers.text_files import identity, report_progress
from rmtui.importers.training import LogOrigin, foreign, trainings

_BLOCK = 32 << 10
_HEADER = 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_MAX_RECORD = 64 << 20


_PEEK = 1000
"""Rows by which a trainer that logs its own step has logged it."""


class _Run:
    """What has been gathered from the records so far, without the history."""

    def __init__(self) -> None:
        self.name = ""
        self.started: float | None = None
        self.config: dict[str, Any] = {}
        self.damaged = 0
        self.exited = False
        self.first: float | None = None
        self.last: float | None = None
        """Unix seconds of the earliest and the latest row."""

    def history(self, path: Path) -> Iterator[dict[str, float]]:
        """The rows of a file, as its records are read."""
        for record in _records(path):
            try:
                rows = list(_take(self, record))
            except (protobuf.BadProtobuf, ValueError, RecursionError):
                self.damaged += 1
                continue
            for row in rows:
                if (time := row.get("_timestamp")) is not None:
                    self.first = time if self.first is None else min(time, self.first)
                    self.last = time if self.last is None else max(time, self.last)
                yield row


def is_wandb_file(path: Path) -> bool:
    return path.suffix == ".wandb"


def read_run(path: Path) -> Foreign:
    """One offline run; a torn tail ends it."""
    run = _Run()
    said = Said(config=run.config)
    found = trainings(history_rows(run.history(path), said), said)
    said.over = "W&B wrote its exit" if run.exited else said.over
    changed = run.last or run.started or path.stat().st_mtime
    origin = LogOrigin(path, "wandb", run.name or path.stem, identity(path), changed, "W&B offline run", means=True)
    notes = [f"{run.damaged} damaged records were left out"] if run.damaged else []
    read = [foreign(origin, training, 0, notes) for training in found[-1:]]
    if not read:
        return Foreign(origin.name, path, "wandb", origin.digest, config=run.config, notes=tuple(notes))
    return replace(read[0], created=run.started or run.first, ended=run.last or run.started)


def history_rows(history: Iterable[Mapping[str, object]], said: Said) -> Iterator[SourceRow]:
    """Rows of a history, or a summary. Where a trainer logs its own step, W&B's counts calls and is no step."""
    own = [name for name in STEPS if name != "_step"]
    rows = iter(history)
    first = list(islice(rows, _PEEK))
    counted = any(place(row.get(name)) is not None for row in first for name in own if name in row)
    names = own if counted else ["_step"]
    for row in chain(first, rows):
        step = next((at for name in names if name in row and (at := place(row[name])) is not None), None)
        epoch = next((at for name in EPOCHS if name in row and (at := place(row[name])) is not None), None)
        values = {name: value for name, value in row.items() if not name.startswith("_")}
        figures = figures_of(values, _PLACES, said)
        if figures:
            yield SourceRow(figures, step, epoch, time=place(row.get("_timestamp")))


_PLACES = frozenset((*STEPS, *EPOCHS))


def _records(path: Path) -> Iterator[bytes]:
    parts: list[bytes] = []
    whole = path.stat().st_size
    with path.open("rb") as file:
        if file.read(_HEADER)[:4] != b":W&B":
            return
        position = _HEADER
        while True:
            room = _BLOCK - position % _BLOCK
            if room < _HEADER:
                file.seek(room, 1)
                position += room
            header = file.read(_HEADER)
            if len(header) < _HEADER:
                return
            _, size, kind = struct.unpack("<IHB", header)
            data = file.read(size)
            position += _HEADER + size
            report_progress(path, position, whole)
            if len(data) < size:
                return
            parts = [*parts, data] if kind in (_MIDDLE, _LAST) else [data]
            if kind in (_FULL, _LAST):
                yield b"".join(parts)
            if sum(map(len, parts)) > _MAX_RECORD:
                return


def _take(run: _Run, record: bytes) -> Iterator[dict[str, float]]:
    """Record: history = 2, config = 5, run = 17, exit = 18. Yields rows of the history."""
    for number, value in protobuf.fields(record):
        if number == 2:
            yield _row(protobuf.submessage(value))
        elif number == 5:
            _take_config(run, protobuf.submessage(value))
        elif number == 17:
            _take_run(run, protobuf.submessage(value))
        elif number == 18:
            run.exited = True


def _take_run(run: _Run, message: bytes) -> None:
    """RunRecord: config = 4, display_name = 8, start_time = 17 (Timestamp: seconds = 1)."""
    for number, value in protobuf.fields(message):
        if number == 4:
            _take_config(run, protobuf.submessage(value))
        elif number == 8:
            run.name = protobuf.text(value)
        elif number == 17:
            seconds = dict(protobuf.fields(protobuf.submessage(value))).get(1)
            run.started = float(protobuf.signed(seconds)) if seconds is not None else None


def _take_config(run: _Run, message: bytes) -> None:
    """ConfigRecord: update = 1 (ConfigItem); `_wandb` is the logger's own."""
    for number, value in protobuf.fields(message):
        if number == 1:
            keys, item = _item(protobuf.submessage(value))
            if keys and keys[0] != "_wandb":
                _place(run.config, keys, item)


def _place(document: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        inner = document.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        document = inner
    document[keys[-1]] = value


def _row(message: bytes) -> dict[str, float]:
    """HistoryRecord: item = 1, step = 2 (HistoryStep: num = 1)."""
    values: dict[str, float] = {}
    step = 0
    for number, value in protobuf.fields(message):
        if number == 1:
            keys, item = _item(protobuf.submessage(value))
            if isinstance(item, (int, float)) and not isinstance(item, bool):
                values[".".join(keys)] = float(item)
        elif number == 2:
            step = protobuf.signed(dict(protobuf.fields(protobuf.submessage(value))).get(1, 0))
    return {"_step": float(step), **values}


def _item(message: bytes) -> tuple[list[str], Any]:
    """key = 1, nested_key = 2, integer = 5, number = 6, text = 7, json = 8, value_json = 16."""
    key = ""
    nested: list[str] = []
    found: Any = None
    for number, value in protobuf.fields(message):
        if number == 1:
            key = protobuf.text(value)
        elif number == 2:
            nested.append(protobuf.text(value))
        elif number == 5:
            found = protobuf.signed(value)
        elif number == 6:
            found = protobuf.float64(value)
        elif number == 7:
            found = protobuf.text(value)
        elif number in (8, 16):
            found = json.loads(protobuf.text(value))
    return nested or [key], found
