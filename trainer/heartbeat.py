"""A rank's signs of life: a line of fixed width in `ranks/rankN`, written in place, and its reading. No torch.

Before the first step rank 0 writes the same line into `starting`: what the start is busy with.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WORDS_BYTES = 60
STARTING = "starting"
Phase = Callable[[str, int, int], None]
"""Says what a start is busy with: words, pairs done, pairs in all (0: not counted)."""


@dataclass(frozen=True, slots=True)
class Beat:
    """Where a rank is. Times are Unix seconds."""

    step: int
    """Optimizer steps done."""
    t: float
    since: float
    """When it began what it does now."""
    beats: int = 0
    """Signs of life since then."""
    done: int = 0
    of: int = 0
    """Pairs of an evaluation; 0: what it does is not counted."""
    doing: str = ""
    """`evaluating`, `saving a checkpoint`, …; empty: training steps."""


class Heartbeat:
    """`<step> <micro_step> <unix time> <since> <beats> <done> <of> <doing>`, overwritten in place."""

    def __init__(self, attempt: Path, rank: int | None) -> None:
        """`rank` None: of the start, which is no rank's step yet."""
        path = attempt / STARTING if rank is None else attempt / "ranks" / f"rank{rank}"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._last = Beat(0, 0.0, 0.0)

    def beat(self, step: int, micro_step: int, doing: str = "", done: int = 0, of: int = 0) -> None:
        """Say where this rank is, and what it does where that is not a training step."""
        now, last = time.time(), self._last
        if doing == last.doing and done >= last.done:
            self._last = Beat(step, now, last.since, last.beats + 1, done, of, doing)
        else:
            self._last = Beat(step, now, now, 0, done, of, doing)
        since, beats = self._last.since, self._last.beats
        line = f"{step:>10} {micro_step:>10} {now:>17.6f} {since:>17.6f} {beats:>10} {done:>10} {of:>10} "
        os.pwrite(self._descriptor, line.encode() + doing.encode()[:WORDS_BYTES].ljust(WORDS_BYTES) + b"\n", 0)


def phase(attempt: Path, main: bool) -> Phase:
    """What a start tells its phases to; ranks other than the first tell them nobody."""
    if not main:
        return lambda doing, done, of: None
    beats = Heartbeat(attempt, None)
    return lambda doing, done, of: beats.beat(0, 0, doing, done, of)


def read(line: bytes) -> Beat | None:
    """A beat as written, by an older trainer (three numbers) too; None where it is none."""
    fields = line.split(None, 7)
    try:
        step, t = int(fields[0]), float(fields[2])
        if len(fields) < 7:
            return Beat(step, t, t)
        doing = fields[7].decode("utf-8", "ignore").strip() if len(fields) > 7 else ""
        return Beat(step, t, float(fields[3]), int(fields[4]), int(fields[5]), int(fields[6]), doing)
    except (ValueError, IndexError):
        return None
