"""What the verbs that start and end trainings say alike: states as they change, a run's short document, exit codes."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from rmtui.runs.model import state_text
from rmtui.text import bar, log_line
from rmtui.translation import spoken, tr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rmtui.documents.runs import LaunchDocument
    from rmtui.operations.imports import ImportedRun
    from rmtui.runs.model import Status
    from rmtui.workspace import Workspace


def echo(text: str, *, file: TextIO | None = None, end: str = "\n", flush: bool = False) -> None:
    """Print in the language that is spoken; for what the program says itself, not for logs, ids or JSON."""
    print(tr(text), file=file, end=end, flush=flush)


def print_imported(run: ImportedRun) -> None:
    """One run that an import found, with what it was taken for."""
    echo(f"{run.id}  {run.name}  {'from' if run.new else 'was there already, from'} {run.source}", flush=True)
    for note in (run.description(spoken()), *run.notes):
        if note:
            echo(f"  {note}")


def print_status(status: Status) -> None:
    """A state with its reason, a line on stderr."""
    print(format_status(status), file=sys.stderr, flush=True)


def format_status(status: Status) -> str:
    return tr(state_text(status.state, status.reason))


def countdown() -> Callable[[Status], None]:
    """Says a stop's progress: counting on one line of a terminal, elsewhere one line a state."""
    last = ""

    def report(status: Status) -> None:
        nonlocal last
        if sys.stderr.isatty():
            print(f"\r\x1b[K{format_status(status)}", end="", file=sys.stderr, flush=True)
        elif status.state != last:
            print_status(status)
        last = status.state

    return report


def end_line() -> None:
    """After a countdown: leave its line clean for what follows."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def reading_file(path: Path, share: float) -> None:
    """On a terminal: how far the reading of a large file has come, on one line that is gone when it is read."""
    if share >= 1:
        end_line()
    elif sys.stderr.isatty():
        name = log_line(path.name)[:40]
        print(f"\r\x1b[Kreading {name} {bar(share, 30)} {share:4.0%}", end="", file=sys.stderr, flush=True)


def wait(what: str) -> None:
    """Why nothing happens."""
    print(f"rmtui: {tr(f'waiting for {what}')}", file=sys.stderr, flush=True)


def show_fetching(line: str) -> None:
    """What `datasets` says while it fetches from the hub, on one line of a terminal."""
    if sys.stderr.isatty():
        from rmtui import text

        shown = text.fit(text.clean(line), shutil.get_terminal_size().columns - 1)
        print(f"\r\x1b[K{shown}", end="", file=sys.stderr, flush=True)


def fetch_from_hub(paths: Iterable[Path]) -> None:
    """Bring what lies on the hub into the cache, saying how far it is; whoever reads it says what failed."""
    from trainer import held_out, hub

    places = [place for place, _ in map(held_out.parse, paths) if hub.is_hub(place)]
    for place in places:
        with suppress(OSError):
            hub.fetch(place, show_fetching)
    if places:
        end_line()


def reading_folders() -> Callable[[int, int], None]:
    """Says on a terminal, from the second second on, how far a long reading of run folders has come."""
    began = time.monotonic()
    reported_at = 0.0

    def report(done: int, of: int) -> None:
        nonlocal reported_at
        now = time.monotonic()
        if not sys.stderr.isatty() or now - began < 1.0:
            return
        if done == of:
            end_line()
        elif now - reported_at > 0.2:
            reported_at = now
            text = tr(f"reading run folders: {done:,} of {of:,}")
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    return report


def run_document(ws: Workspace, run_id: str) -> LaunchDocument:
    """id, state, reason and folder, as `launch --json`, `stop --json` and `resume --json` print them."""
    from rmtui.runs import state
    from rmtui.runs.folder import RunFolder

    run = RunFolder(ws.runs / run_id)
    status = state.status(run)
    return {"id": run_id, "state": str(status.state), "reason": status.reason, "folder": str(run.path)}


def ended_code(ended: list[Status]) -> int:
    """0 when every run that was waited for finished."""
    return 0 if all(status.state == "finished" for status in ended) else 1
