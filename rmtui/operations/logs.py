"""Reading the logs of a run: which files there are, their last lines, and following them until the run ends."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from rmtui.errors import UserError
from rmtui.launch import launchers
from rmtui.operations.runs import origin_of
from rmtui.runs import state
from rmtui.runs.folder import RunFolder
from rmtui.runs.log_index import LogIndex
from rmtui.runs.model import State
from rmtui.text import log_line
from trainer.plain_files import open_plain

PERIOD = 0.2
"""Seconds between two looks while following."""


def log_files(folder: RunFolder, rank: int | None = None, attempt: int | None = None) -> list[Path]:
    """Logs of the run's attempts, oldest first: one rank's (None: rank 0), or the launcher's where no rank spoke. Of an
    imported run the log that it was read from."""
    found = []
    for start in folder.attempts():
        if attempt is not None and start.n != attempt:
            continue
        own = [path for number, path in _ranks(start.logs) if number == (rank or 0) and path.is_file()]
        found += own or (launchers.of(folder).logs(start) if rank is None else [])
    return found or (_source_log(folder) if rank is None and attempt is None else [])


def newest_logs(folder: RunFolder) -> list[Path]:
    """Logs of the last attempt that wrote any, to be looked at one by one: rank 0, further ranks, the launcher's; else
    the log that the run was imported from."""
    for start in reversed(folder.attempts()):
        if found := [*(path for _, path in _ranks(start.logs)), *launchers.of(folder).logs(start)]:
            return found
    return _source_log(folder)


def _source_log(folder: RunFolder) -> list[Path]:
    """The log that an imported run was read from, where it still is."""
    origin = origin_of(folder)
    if origin is None:
        return []
    from rmtui.importers.log_files import is_log  # every reader of logs: not for runs that were made here

    source = Path(origin["path"])
    return [source] if is_log(source) and source.is_file() else []


def _ranks(logs: Path) -> list[tuple[int, Path]]:
    """Each rank's log with its number, in order."""
    named = ((path.stem.removeprefix("rank"), path) for path in logs.glob("rank*.log"))
    return sorted((int(rank), path) for rank, path in named if rank.isdigit())


def lines(folder: RunFolder, tail: int | None = None, rank: int | None = None, attempt: int | None = None) -> list[str]:
    """The last `tail` lines (None: all) of a run's log, attempts joined, harmless to print. UserError: no such log."""
    files = log_files(folder, rank, attempt)
    if not files:
        raise _missing(folder, rank, attempt)
    kept: deque[str] = deque()
    for path in reversed(files):
        left = None if tail is None else tail - len(kept)
        if left is not None and left <= 0:
            break
        kept.extendleft(reversed(_last_lines(path, left)))
    return list(kept)


def _missing(folder: RunFolder, rank: int | None, attempt: int | None) -> UserError:
    ranks = sorted({number for start in folder.attempts() for number, _ in _ranks(start.logs)})
    which = "" if rank is None else f" of rank {rank}"
    which += "" if attempt is None else f" of attempt {attempt}"
    there = (
        f"there are logs of rank {', '.join(map(str, ranks))}" if ranks else f"the run is {state.status(folder).state}"
    )
    return UserError(f"{folder.name()} has no log{which}", there, f"see {folder.path}", exit_code=1)


def _last_lines(path: Path, n: int | None) -> list[str]:
    index = LogIndex(path)
    try:
        while not index.complete and (n is None or index.line_count < n):
            index.grow(1.0)
        first = 0 if n is None else max(0, index.line_count - n)
        return [log_line(line) for line in index.lines(first, index.line_count - first)]
    finally:
        index.close()


def follow(folder: RunFolder, tail: int | None, rank: int | None = None) -> Iterator[str]:
    """Lines as they come, from the last `tail` on, through further attempts; ends when the run has ended."""
    sent = _starts(log_files(folder, rank), tail)
    while True:
        ended = _ended(folder)  # asked before the files are read, so that nothing written before the end is missed
        for path in log_files(folder, rank):
            yield from _whole_lines(path, sent, to_the_end=ended)
        if ended:
            return
        time.sleep(PERIOD)


def _ended(folder: RunFolder) -> bool:
    now = state.status(folder).state
    return now.final or now == State.UNKNOWN


def _starts(files: list[Path], tail: int | None) -> dict[Path, int]:
    """Byte offset in each file from which the last `tail` lines of them all are read."""
    starts: dict[Path, int] = {}
    left = tail
    for path in reversed(files):
        index = LogIndex(path)
        while not index.complete and (left is None or index.line_count < left):
            index.grow(1.0)
        wanted = index.line_count if left is None else min(left, index.line_count)
        starts[path] = index.offset(index.line_count - wanted) if wanted else index.size
        left = None if left is None else left - wanted
        index.close()
    return starts


def _whole_lines(path: Path, sent: dict[Path, int], to_the_end: bool) -> Iterator[str]:
    position = sent.get(path, 0)
    with open_plain(path) as file:
        file.seek(position)
        for line in file:
            if not line.endswith(b"\n") and not to_the_end:
                break
            position += len(line)
            yield log_line(line.decode("utf-8", "replace"))
    sent[path] = position
