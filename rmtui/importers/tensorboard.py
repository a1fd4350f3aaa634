"""TensorBoard event files, read without TensorBoard: scalars of `simple_value` and of scalar tensors.

Framing: TFRecord (length, masked CRC, data, masked CRC), https://www.tensorflow.org/tutorials/load_data/tfrecord.
Checksums are not verified: a torn tail ends the file, damaged messages are counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rmtui.importers import protobuf
from rmtui.importers.model import Foreign, Point
from rmtui.importers.source_rows import Said
from rmtui.importers.text_files import identity
from rmtui.importers.training import LogOrigin, foreign, from_series

MAX_RECORD = 16 << 20
"""Bytes; a larger record (images, graphs) is skipped unread."""
_DT_FLOAT, _DT_DOUBLE = 1, 2


def is_event_file(path: Path) -> bool:
    return "tfevents" in path.name


def folders(files: Iterable[Path]) -> list[list[Path]]:
    """Event files by folder: those of one folder are one training and its restarts."""
    found: dict[Path, list[Path]] = {}
    for path in sorted(files):
        found.setdefault(path.parent, []).append(path)
    return list(found.values())


def read_events(paths: Sequence[Path]) -> Foreign:
    """The run whose event files these are, all of one folder."""
    folder = paths[0].parent
    told: dict[str, list[Point]] = {}
    damaged = 0
    for path in paths:
        for record in _records(path):
            try:
                for tag, point in _scalars(record):
                    told.setdefault(tag, []).append(point)
            except protobuf.BadProtobuf:
                damaged += 1
    times = [point[2] for points in told.values() for point in points if point[2]]
    origin = LogOrigin(
        folder,
        "tensorboard",
        _run_folder(folder.resolve()).name,
        identity(*paths),
        max(times, default=paths[-1].stat().st_mtime),
        "TensorBoard files",
        means=True,
    )
    ours = all(".rmtui-" in path.name for path in paths)
    notes = [f"{damaged} damaged events were left out"] if damaged else []
    run = foreign(origin, from_series(told, Said(), ours), 0, notes)
    return replace(run, created=min(times, default=None), ended=max(times, default=None))


def _run_folder(folder: Path) -> Path:
    """A Trainer writes them into OUTPUT/runs/DATE_HOST."""
    return folder.parent.parent if folder.parent.name == "runs" else folder


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while len(header := file.read(12)) == 12:
            (size,) = struct.unpack("<Q", header[:8])
            if size > MAX_RECORD:
                if size > path.stat().st_size:
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
