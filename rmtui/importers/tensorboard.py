"""TensorBoard event files, read without TensorBoard: scalars of `simple_value` and of scalar tensors.

Framing: TFRecord (length, masked CRC, data, masked CRC), https://www.tensorflow.org/tutorials/load_data/tfrecord.
Checksums are not verified: a torn tail ends the file, damaged messages are counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rmtui.importers import protobuf
from rmtui.importers.metric_names import MetricName, Split, split_in, without_splits
from rmtui.importers.model import Foreign, Point
from rmtui.importers.source_rows import Said
from rmtui.importers.text_files import identity, report_progress
from rmtui.importers.training import LogOrigin, foreign, from_points

MAX_RECORD = 16 << 20
"""Bytes; a larger record (images, graphs) is skipped unread."""
_DT_FLOAT, _DT_DOUBLE = 1, 2


def is_event_file(path: Path) -> bool:
    return "tfevents" in path.name


class EventFolder(NamedTuple):
    """A training's folder, with its event files and what the folders that they lie in say of their metrics."""

    path: Path
    files: tuple[tuple[Path, Split | None], ...]


def folders(files: Iterable[Path]) -> list[EventFolder]:
    """Event files by training: those of one folder, also of restarts, and those of folders that are its splits.

    Keras writes `train` and `validation` side by side, SummaryWriter.add_scalars `loss_train` and `loss_val` below the
    folder of the others.
    """
    by_folder: dict[Path, list[Path]] = {}
    for path in sorted(files):
        by_folder.setdefault(path.parent, []).append(path)
    families: dict[tuple[Path, str], dict[Path, Split]] = {}
    for folder in by_folder:
        if (split := split_in(folder.name)) is not None:
            families.setdefault((folder.parent, without_splits(folder.name).strip(" _-.")), {})[folder] = split
    found: dict[Path, list[tuple[Path, Split | None]]] = {}
    splits = {
        folder: (parent if parent in by_folder or not name else parent / name, split)
        for (parent, name), family in families.items()
        if len({Split.TRAIN, *family.values()}) == len(set(family.values())) > 1
        for folder, split in family.items()
    }
    for folder, paths in by_folder.items():
        training, said = splits.get(folder, (folder, None))
        found.setdefault(training, []).extend((path, said) for path in paths)
    return [EventFolder(folder, tuple(parts)) for folder, parts in found.items()]


def read_events(source: EventFolder) -> Foreign:
    """The run whose event files these are."""
    paths = [path for path, _ in source.files]
    folder = source.path if source.path.is_dir() else paths[0].parent
    events = _Events()
    ours = all(".rmtui-" in path.name for path in paths)
    named = ((MetricName(tag, split), point) for path, split in source.files for tag, point in events.points(path))
    found = from_points(named, Said(), ours)
    origin = LogOrigin(
        folder,
        "tensorboard",
        _run_folder(source.path.resolve()).name,
        identity(*paths),
        events.last or paths[-1].stat().st_mtime,
        "TensorBoard files",
        means=True,
    )
    notes = [f"{events.damaged} damaged events were left out"] if events.damaged else []
    run = foreign(origin, found, 0, notes)
    return replace(run, created=events.first, ended=events.last)


@dataclass(slots=True)
class _Events:
    """The scalars of event files as they come, and what was seen on the way."""

    damaged: int = 0
    first: float | None = None
    last: float | None = None
    """Unix seconds of the earliest and the latest scalar."""

    def points(self, path: Path) -> Iterator[tuple[str, Point]]:
        for record in _records(path):
            try:
                scalars = list(_scalars(record))
            except protobuf.BadProtobuf:
                self.damaged += 1
                continue
            for tag, point in scalars:
                if time := point[2]:
                    self.first = min(time, self.first or time)
                    self.last = max(time, self.last or time)
                yield tag, point


def _run_folder(folder: Path) -> Path:
    """A Trainer writes them into OUTPUT/runs/DATE_HOST."""
    return folder.parent.parent if folder.parent.name == "runs" else folder


def _records(path: Path) -> Iterator[bytes]:
    whole = path.stat().st_size
    with path.open("rb") as file:
        while len(header := file.read(12)) == 12:
            report_progress(path, file.tell(), whole)
            (size,) = struct.unpack("<Q", header[:8])
            if size > MAX_RECORD:
                if size > whole:
                    return
                file.seek(size + 4, 1)
                continue
            record = file.read(size)
            if len(record) < size or len(file.read(4)) < 4:
                return
            yield record


def _scalars(record: bytes) -> Iterator[tuple[str, Point]]:
    """Event: wall_time = 1, step = 2, summary = 5; Summary: value = 1."""
    time, step, summaries = None, 0, []
    for number, value in protobuf.fields(record):
        if number == 1:
            time = protobuf.float64(value)
        elif number == 2:
            step = protobuf.signed(value)
        elif number == 5:
            summaries.append(protobuf.submessage(value))
    for summary in summaries:
        for number, value in protobuf.fields(summary):
            if number == 1 and (found := _scalar(protobuf.submessage(value))):
                yield found[0], (float(step), found[1], time)


def _scalar(message: bytes) -> tuple[str, float] | None:
    """Summary.Value: tag = 1, simple_value = 2, tensor = 8."""
    tag, scalar = "", None
    for number, value in protobuf.fields(message):
        if number == 1:
            tag = protobuf.text(value)
        elif number == 2:
            scalar = protobuf.float32(value)
        elif number == 8:
            scalar = _tensor_scalar(protobuf.submessage(value))
    return (tag, scalar) if tag and scalar is not None else None


def _tensor_scalar(message: bytes) -> float | None:
    """TensorProto of one element: dtype = 1, tensor_content = 4, float_val = 5, double_val = 6; else None."""
    kind, content, listed = 0, b"", None
    for number, value in protobuf.fields(message):
        if number == 1:
            kind = protobuf.signed(value)
        elif number == 4:
            content = protobuf.submessage(value)
        elif number == 5:
            listed = _packed(value, "<f", 4)
        elif number == 6:
            listed = _packed(value, "<d", 8)
    size, form = {_DT_FLOAT: (4, "<f"), _DT_DOUBLE: (8, "<d")}.get(kind, (0, ""))
    if size and len(content) == size:
        return float(struct.unpack(form, content)[0])
    return listed


def _packed(value: protobuf.Value, form: str, size: int) -> float | None:
    if isinstance(value, int):
        return protobuf.float32(value) if size == 4 else protobuf.float64(value)
    return float(struct.unpack(form, value)[0]) if len(value) == size else None
