"""TensorBoard event files, written with TensorBoard's own writer (the extra `tensorboard`)."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rmtui.errors import UserError, install
from trainer.events import number, plain

if TYPE_CHECKING:
    from rmtui.documents.runs import ExportDocument

_MARK = re.compile(r"\.rmtui-[0-9a-f]{16}$")


def mark(document: ExportDocument) -> str:
    """The end of the event file's name: which metrics it holds."""
    held = json.dumps(plain(document["metrics"]), sort_keys=True)
    return f".rmtui-{hashlib.sha256(held.encode()).hexdigest()[:16]}"


def is_ours(path: Path) -> bool:
    """An event file that an export made; files of others in the same folder are left alone."""
    return _MARK.search(path.name) is not None


def write(document: ExportDocument, folder: Path, suffix: str = "") -> None:
    """One run's metrics as scalars (float32, TensorBoard's own precision) under `folder`."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise UserError(
            "cannot write TensorBoard files", "tensorboard is not installed", install("tensorboard")
        ) from None
    writer = EventFileWriter(str(folder), max_queue_size=1000, filename_suffix=suffix)
    try:
        for name, points in document["metrics"].items():
            for step, value in points:
                if math.isfinite(step):
                    scalar = Summary.Value(tag=name, simple_value=number(value))
                    writer.add_event(Event(step=int(step), summary=Summary(value=[scalar])))
    finally:
        writer.close()
