"""TensorBoard event files, written with TensorBoard's own writer (`pip install 'rmtui[tensorboard]'`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from trainer.events import number


def write(document: Mapping[str, Any], folder: Path) -> None:
    """One run's metrics as scalars (float32, TensorBoard's own precision) under `folder`."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise UserError(
            "cannot write TensorBoard files", "tensorboard is not installed", "pip install 'rmtui[tensorboard]'"
        ) from None
    writer = EventFileWriter(str(folder), max_queue_size=1000)
    try:
        for name, points in document["metrics"].items():
            for step, value in points:
                if math.isfinite(step):
                    scalar = Summary.Value(tag=name, simple_value=number(value))
                    writer.add_event(Event(step=int(step), summary=Summary(value=[scalar])))
    finally:
        writer.close()
