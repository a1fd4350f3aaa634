"""What a training says while it runs: one JSON line an event, in events.jsonl of the attempt.

Rank 0 alone writes, one O_APPEND write a line, so a reader never sees lines mixed; a line may be half
there when its writer was killed. Non-finite numbers are the strings "NaN", "Infinity" and "-Infinity", so that every
line is strict JSON.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple

from trainer.plain_files import open_plain

VERSION = 1
_NOTHING: Mapping[str, Any] = MappingProxyType({})

KINDS = (
    "start",  # data: world_size, versions, device, precision, resumed_from_step, exact_resume
    "derived",  # data: everything computed before the first step, see trainer.estimate.Derived
    "sample",  # data: one tokenised pair, decoded
    "step",  # metrics: loss, learning_rate, grad_norm, tokens_per_s, pairs_per_s, accuracy, margin
    "eval",  # metrics: val_loss, val_acc, val_pairs, val_ties, reward_margin, …; data.set names an extra set
    "epoch",  # metrics: train_loss, val_loss, val_acc, val_pairs, reward_margin
    "checkpoint",  # data: folder, reason, seconds that it took
    "best",  # data: folder, metric, value
    "warning",  # data: id, text
    "stopping",  # data: signal
    "round_trip",  # data: max_difference, passed
    "fast_paths",  # data: reward, gradient, used, given_up, pairs
    "memory_trial",  # data: pairs, tokens, peak_bytes of the longest batch, tried before the first step
    "progress",  # data: done, of; said by a scoring, not by a training
    "failure",  # data: type, text, rank, step, pair_ids
    "end",  # data: outcome (finished, stopped, failed), reason
)


class Event(NamedTuple):
    """One line. `step` counts optimizer steps from 1 (0: before the first); `epoch` is fractional inside an epoch.

    A named tuple: hundreds of thousands are made when folders are read, each in a fifth of a dataclass's time.
    """

    kind: str
    t: float
    """Unix time, seconds."""
    step: int = 0
    epoch: float = 0.0
    metrics: Mapping[str, float] = _NOTHING
    data: Mapping[str, Any] = _NOTHING
    v: int = VERSION


class EventWriter:
    """Appends events to a file; usable as a context manager. OSError (a full disk, say) is the caller's to handle."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, event: Event) -> None:
        """One write call for the whole line; a short write is completed."""
        line = encode(event)
        while line:
            line = line[os.write(self._fd, line) :]

    def record(
        self,
        kind: str,
        step: int = 0,
        epoch: float = 0.0,
        metrics: Mapping[str, float] | None = None,
        **data: Any,
    ) -> None:
        """Write an event that happened now."""
        self.write(Event(kind, time.time(), step, epoch, metrics or {}, data))

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def encode(event: Event) -> bytes:
    """Event → one line of strict JSON, newline included."""
    document: dict[str, Any] = {
        "v": event.v,
        "t": event.t,
        "kind": event.kind,
        "step": event.step,
        "epoch": plain(event.epoch),  # NaN where it is not known
    }
    if event.metrics:
        document["metrics"] = plain(dict(event.metrics))
    if event.data:
        document["data"] = plain(dict(event.data))
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"


def decode(line: bytes) -> Event | None:
    """One line → Event; None for a torn or foreign line, which the reader counts."""
    try:
        return _event_or_none(json.loads(line))
    except (ValueError, RecursionError):
        return None


def _decode_lines(lines: list[bytes]) -> list[Event | None]:
    """`decode` of each, all at once where every line is JSON: half the time of one by one."""
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        rows = []
    if len(rows) != len(lines):
        return [decode(line) for line in lines]
    return [_event_or_none(row) for row in rows]


def _event_or_none(row: Any) -> Event | None:
    try:
        return _event(row)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _event(row: Any) -> Event:
    """Raises one of several errors where the row is none."""
    get = row.get
    return Event(
        str(row["kind"]),
        float(row["t"]),
        int(get("step", 0)),
        number(get("epoch", 0.0)),
        {name: float(value) for name, value in row["metrics"].items()} if "metrics" in row else _NOTHING,
        dict(row["data"]) if "data" in row else _NOTHING,
        int(get("v", VERSION)),
    )


def number(value: Any) -> float:
    """A metric as written → float; "NaN", "Infinity" and "-Infinity" come back as such."""
    return float(value)


def plain(value: Any) -> Any:
    """Plain JSON values with non-finite floats as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def read_from(path: Path, offset: int = 0, limit: int = 1 << 22) -> tuple[list[Event], int, int]:
    """Whole lines from `offset` on, at most about `limit` bytes: (events, next offset, lines that were no event)."""
    with open_plain(path) as file:
        file.seek(offset)
        block = file.read(limit)
        if block and not block.endswith(b"\n"):
            newline = block.rfind(b"\n")
            block = block[: newline + 1] if newline >= 0 else _long_line(file, block, limit)
    found = _decode_lines([line for line in block.split(b"\n") if line.strip()])
    events = [event for event in found if event is not None]
    return events, offset + len(block), len(found) - len(events)


def read_all(path: Path) -> Iterator[Event]:
    """Every event of a file, in order; lines that are none are passed over."""
    offset, after = 0, -1
    while offset != after:
        after = offset
        events, offset, _ = read_from(path, offset)
        yield from events


def _long_line(file: Any, block: bytes, limit: int) -> bytes:
    """A line longer than the limit: read on to its end; b"" while its end is not written yet."""
    if len(block) < limit:
        return b""
    rest: bytes = file.readline()
    return block + rest if rest.endswith(b"\n") else b""
