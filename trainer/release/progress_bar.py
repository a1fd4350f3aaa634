"""How far a scoring is, on standard error: a bar on a terminal, lines in a pipe, events for a program that asks."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from trainer.events import Event, encode

CHOICES = ("auto", "events", "none")
BAR = 30
PARTS = 10
"""Lines that a pipe gets at most."""


@dataclass(slots=True)
class ProgressBar:
    """Hears how many of `of` are done; `how` is one of CHOICES, `what` the plural of what is counted."""

    how: str
    what: str
    of: int
    _parts: int = 0

    def update(self, done: int) -> None:
        """So many are scored by now."""
        if self.how == "events":
            sys.stderr.buffer.write(encode(Event("progress", time.time(), data={"done": done, "of": self.of})))
            sys.stderr.flush()
        elif self.how == "auto" and sys.stderr.isatty():
            self._draw(done)
        elif self.how == "auto":
            self._write(done)

    def _draw(self, done: int) -> None:
        full = BAR * done // self.of
        bar = "━" * full + "─" * (BAR - full)
        print(
            f"\r\x1b[K{bar} {self._label(done)}" if done < self.of else "\r\x1b[K", end="", file=sys.stderr, flush=True
        )

    def _write(self, done: int) -> None:
        parts = PARTS * done // self.of
        if parts > self._parts:
            self._parts = parts
            print(f"scored {self._label(done)}", file=sys.stderr, flush=True)

    def _label(self, done: int) -> str:
        return f"{done:,} of {self.of:,} {self.what} ({100 * done // self.of} %)"
