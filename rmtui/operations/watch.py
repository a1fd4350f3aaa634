"""Following a training that was started elsewhere: its log or folder is read again whenever it changes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rmtui.errors import UserError
from rmtui.interchange.facts import Foreign
from rmtui.interchange.sources import gather
from rmtui.operations.exchange import imported_before, place, source_of
from rmtui.records.imported import extend
from rmtui.workspace import Workspace
from trainer.events import Event

_EVERY = 1.0
"""Seconds between two looks at the source."""


def follow(ws: Workspace, path: Path, once: bool = False) -> Iterator[str]:
    """Keep a run of this workspace equal to what `path` says; yields what is new in words. Ends by Ctrl-C only.

    The run stays the same one when the watching is started again. UserError where `path` does not exist.
    """
    path = path.expanduser().resolve()
    seen = ""
    ids: dict[str, str] = {}
    while True:
        now = _signature(path)
        if now != seen:
            seen = now
            for run in _told(path):
                yield from _update(ws, path, run, ids)
        if once:
            return
        time.sleep(_EVERY)


def _told(path: Path) -> Sequence[Foreign]:
    return gather([path]).runs


def _signature(path: Path) -> str:
    """Changes when any file of the source does."""
    if not path.exists():
        raise UserError(f"cannot watch {path}", "it does not exist", "name the log or folder that the training writes")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return repr([(str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files])


def _update(ws: Workspace, path: Path, run: Foreign, ids: dict[str, str]) -> Iterator[str]:
    if run.name not in ids:
        before = imported_before(ws).get(source_of(run))
        ids[run.name] = before[0].id if before else place(ws, run, f"watch:{path}:{run.name}", {})
        yield f"{ids[run.name]}  {run.name}  follows {run.origin}"
    for event in extend(ws, ids[run.name], run.epochs, run.series):
        if event.kind == "epoch":
            yield _words(run, event)


def _words(run: Foreign, event: Event) -> str:
    figures = " | ".join(f"{name}={value:.4f}" for name, value in event.metrics.items())
    return f"{run.name}  Epoch {event.epoch:g} | {figures}"
