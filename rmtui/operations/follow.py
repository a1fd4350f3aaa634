"""Following a training that was started elsewhere: its log or folder is read whenever it changes, until it is over."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from rmtui.errors import UserError
from rmtui.importers.model import Foreign
from rmtui.importers.sources import gather
from rmtui.index import ingest
from rmtui.index.add_imported import began_as, first_event
from rmtui.index.sqlite import DatabaseError
from rmtui.operations.announce import announce_ends
from rmtui.operations.imports import imported_before, keep_up, number_of, place, source_of
from rmtui.runs.files import locked
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace
from trainer.events import Event

_EVERY = 1.0
"""Seconds between two looks at the source."""
_ANNOUNCE_EVERY = 10.0
"""Seconds between two looks for ends of this workspace's own trainings."""
_PAUSE = 4
"""A source whose reading takes long is left alone for so many times as long."""


@dataclass(frozen=True, slots=True)
class Until:
    """When a watching ends."""

    over: bool = True
    """Every training at the path says that it is over."""
    idle: float | None = None
    """Nothing new for so many seconds."""
    once: bool = False
    """After the first look."""


UNTIL_OVER = Until()


def follow(ws: Workspace, path: Path, until: Until = UNTIL_OVER) -> Iterator[str]:
    """Keep runs of this workspace equal to what `path` says; yields in words what is new, and at last why it ends.

    A run stays the same one when the watching is started again. UserError where `path` does not exist.
    """
    path = path.expanduser().resolve()
    seen, changed, announced = "", time.monotonic(), -math.inf
    runs: Sequence[Foreign] = ()
    ids: dict[tuple[str, int], str] = {}
    live = _Live(ws)
    try:
        while True:
            began = time.monotonic()
            if began - announced >= _ANNOUNCE_EVERY:
                announce_ends(ws)
                announced = began
            now = _signature(path)
            if now != seen:
                seen, changed = now, time.monotonic()
                runs = _read_source(path)
                for run in runs:
                    yield from _update(ws, path, run, ids)
                    if not until.once:
                        live.show(ids[source_of(run), run.number], not run.last_word)
            if until.once:
                return
            if until.over and (text := _over(runs)):
                yield text
                return
            if until.idle is not None and time.monotonic() - changed >= until.idle:
                yield f"nothing new for {until.idle / 60:g} min"
                return
            time.sleep(max(_EVERY, _PAUSE * (time.monotonic() - began)))
    finally:
        live.end()


class _Live:
    """Runs that are shown as running: each has its lock held, until its log says that it is over or nobody watches."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._held: dict[str, ExitStack] = {}

    def show(self, run_id: str, goes_on: bool) -> None:
        """As running while it goes on; otherwise as imported."""
        if goes_on == (run_id in self._held):
            return
        folder = RunFolder(self._ws.runs / run_id)
        if goes_on:
            stack = ExitStack()
            try:
                stack.enter_context(locked(folder.watched, patience=0.0))
            except OSError:  # somebody else watches it, or there are no locks here
                return
            self._held[run_id] = stack
        else:
            self._held.pop(run_id).close()
        with suppress(UserError, DatabaseError):  # the next look at the files sees it
            ingest.catch_up(self._ws, folder)

    def end(self) -> None:
        """Nobody watches any more."""
        for run_id in list(self._held):
            self.show(run_id, False)


def _over(runs: Sequence[Foreign]) -> str:
    """Why there is nothing more to come; empty while one training has not said its last word, or none is there."""
    if not runs or not all(run.last_word for run in runs):
        return ""
    last = max(runs, key=lambda run: run.ended or 0.0)
    count = len(runs) - 1
    others = f", as {'is 1 other' if count == 1 else f'are {count} others'}" if count else ""
    return f"{last.name}  is over: {last.last_word}{others}"


def _read_source(path: Path) -> Sequence[Foreign]:
    return gather([path]).runs


def _signature(path: Path) -> str:
    """Changes when any file of the source does."""
    if not path.exists():
        raise UserError(f"cannot watch {path}", "it does not exist", "name the log or folder that the training writes")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return repr([(str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files])


def _update(ws: Workspace, path: Path, run: Foreign, ids: dict[tuple[str, int], str]) -> Iterator[str]:
    key = source_of(run), run.number
    if key not in ids or not _same_training(ws, ids[key], run):
        ids[key] = _followed(ws, path, run)
        yield f"{ids[key]}  {run.name}  follows {run.origin}"
    for event in keep_up(ws, ids[key], run):
        if event.kind in ("epoch", "eval"):
            yield _format_event(run, event)


def _same_training(ws: Workspace, run_id: str, run: Foreign) -> bool:
    return began_as(RunFolder(ws.runs / run_id), run.epochs, run.series)


def _followed(ws: Workspace, path: Path, run: Foreign) -> str:
    """The run that an import or an earlier watching made of this training; a new one where the file holds another."""
    before = [folder for folder in imported_before(ws).get(source_of(run), ()) if number_of(folder) == run.number]
    same = [folder.id for folder in before if _same_training(ws, folder.id, run)]
    digest = f"watch:{path}:{source_of(run)}:{run.number}:{first_event(run.epochs, run.series)}"
    return same[0] if same else place(ws, run, digest, {})


def _format_event(run: Foreign, event: Event) -> str:
    metrics = " | ".join(f"{name}={value:.4f}" for name, value in event.metrics.items())
    at = f"Epoch {event.epoch:g}" if math.isfinite(event.epoch) else f"Step {event.step}"
    return f"{run.name}  {at} | {metrics}"
