"""Opening a log in a worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from rmtui.runs.log_index import LogIndex


@dataclass
class LogOpened(Message):
    """A log is ready to be read; `index` is None when the run has none."""

    run_id: str
    index: LogIndex | None
    title: str
    ranks: bool = False
    """A rank's log; while there is only the launcher's, the rank's is still to come."""


def open_log(run_id: str, folder: Path, place: int = 0) -> LogOpened:
    """Log number `place` of the run, counted round."""
    from rmtui.operations.logs import newest_logs  # with all launchers: after the first frame
    from rmtui.runs.folder import RunFolder

    run_folder = RunFolder(folder)
    logs = newest_logs(run_folder)
    if not logs:
        is_imported = run_folder.spec().get("origin") is not None
        return LogOpened(run_id, None, "no log was imported with it" if is_imported else "no log yet")
    path = logs[place % len(logs)]
    title = f"{path.stem} · {path.parent.parent.name}" if path.is_relative_to(folder) else str(path)
    return LogOpened(run_id, LogIndex(path), title, logs[0].stem != "launch")
