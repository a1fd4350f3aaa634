"""The record of forecasts: what was said is kept in the run's folder, and held against what came."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from rmtui.guide.forecast import Forecast, ForecastRecord, outcomes, record
from rmtui.guide.model import Subject
from rmtui.runs.model import Run
from trainer.plain_files import read_tail

FILE = "forecasts.jsonl"
MOST = 1 << 20
"""Bytes of it that are read."""
SETTLED = 60.0
"""Seconds after a run's end within which somebody may still write what they foretold of it while it worked."""


def any_recorded(run: Run) -> bool:
    """Whether forecasts were made for a run. Asked of hundreds with each key in the app; of those that ended a while
    ago, of which nothing more is foretold, the answer is kept."""
    ended = run.ended
    if ended is None or not run.state.final or time.time() - ended < SETTLED:
        return _is_there(run.folder)
    return _was_there(run.folder, ended)


@lru_cache(maxsize=2000)
def _was_there(folder: Path, _ended: float) -> bool:
    return _is_there(folder)


def _is_there(folder: Path) -> bool:
    return os.path.exists(f"{folder}/{FILE}")  # noqa: PTH110  (three times faster)


def recorded(folder: Path) -> list[Forecast]:
    """The forecasts that were made for a run, oldest first; torn lines are left out."""
    try:
        lines = read_tail(folder / FILE, MOST).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [found for line in lines if (found := _parse(line))]


def _parse(line: str) -> Forecast | None:
    try:
        found = Forecast(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    figures = (found.at, found.epoch, found.value, found.low, found.high, found.n)
    typed = all(type(figure) in (int, float) and abs(figure) < 1e300 for figure in figures)
    return found if typed and isinstance(found.metric, str) and isinstance(found.method, str) else None


def keep(folder: Path, made: Sequence[Forecast]) -> bool:
    """Add those not said before; False where the folder cannot be written (the forecast is shown all the same)."""
    known = {(item.metric, item.at, item.epoch) for item in recorded(folder)}
    fresh = [item for item in made if (item.metric, item.at, item.epoch) not in known]
    if not fresh:
        return True
    lines = "".join(json.dumps(asdict(item)) + "\n" for item in fresh)
    try:
        # A line that a crash cut short must not swallow the next one.
        if not _ends_whole(folder / FILE):
            lines = "\n" + lines
        fd = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, lines.encode())
        finally:
            os.close(fd)
    except OSError:
        return False
    return True


def _ends_whole(path: Path) -> bool:
    try:
        return read_tail(path, 1) in (b"", b"\n")
    except FileNotFoundError:
        return True


def history(subjects: Iterable[Subject]) -> ForecastRecord | None:
    """How well the forecasts for these runs did; None while none has met its evaluation."""
    return record(pair for subject in subjects for pair in outcomes(recorded(subject.run.folder), subject))
