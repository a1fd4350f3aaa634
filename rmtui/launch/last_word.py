"""exit.json: the last word of whoever supervised an attempt."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rmtui.launch.verdict import Observed, Verdict
from rmtui.runs.files import write_json
from rmtui.runs.folder import AttemptFolder
from rmtui.runs.model import State

PATIENCE = 10.0
"""Seconds in which it is tried again on a full disk."""


def write(
    attempt: AttemptFolder, verdict: Verdict, seen: Observed | None, lock: int | None, log: Callable[[str], None]
) -> None:
    """exit.json, then the lock is let go of: at once where nothing can be written, since no process is left."""
    document = {
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "exit_code": _exit_code(verdict, seen),
        "ended": time.time(),
        **verdict.details,
    }
    _write_stubbornly(attempt.path / "exit.json", document, lock, log)


def _exit_code(verdict: Verdict, seen: Observed | None) -> int | None:
    if verdict.outcome == State.FINISHED:
        return 0
    code = seen.exit_code if seen else None
    return code if code is None or code >= 0 else 128 - code


def _write_stubbornly(path: Path, document: Mapping[str, object], lock: int | None, log: Callable[[str], None]) -> None:
    """A full disk may have room again in a moment. Meanwhile readers judge by what is there: `lock` is let go of."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            write_json(path, document)
            return
        except OSError as error:
            if lock is not None:
                fcntl.flock(lock, fcntl.LOCK_UN)
            if time.monotonic() > until:
                log(f"{path} could not be written: {error}")
                return
            time.sleep(1)
