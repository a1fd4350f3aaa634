"""What rank 0 says: events for programs, lines for people, metrics to trackers. The other ranks report nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.events import EventWriter
from trainer.loop.trackers import Mirrors


class Reporter:
    """Writes events.jsonl on rank 0; on other ranks every call does nothing."""

    def __init__(self, attempt: Path, main: bool) -> None:
        self.main = main
        self.mirrors = Mirrors(lambda text: self.warn("tracker", text))
        self._writer = EventWriter(attempt / "events.jsonl") if main else None
        self._troubled = False

    def report(
        self, kind: str, step: int = 0, epoch: float = 0.0, metrics: Mapping[str, float] | None = None, **data: Any
    ) -> None:
        """One event. A full disk is said once and does not stop the training."""
        if self._writer is None:
            return
        try:
            self._writer.record(kind, step, epoch, metrics, **data)
        except OSError as error:
            if not self._troubled:
                print(f"events.jsonl cannot be written: {error.strerror}; training goes on", file=sys.stderr)
            self._troubled = True
        if metrics:
            self.mirrors.send(metrics, step, epoch, data.get("set", ""))

    def line(self, text: str) -> None:
        """One line for people."""
        if self.main:
            print(text, flush=True)

    def warn(self, identity: str, text: str, step: int = 0, epoch: float = 0.0) -> None:
        """A warning, to both."""
        self.line(f"warning: {text}")
        self.report("warning", step, epoch, id=identity, text=text)
