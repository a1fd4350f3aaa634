"""All background work of the app: named thread workers that each end in one posted message.

A worker never touches a widget. What it learned, or why it failed, arrives as a message at the pump that asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump
from textual.timer import Timer
from textual.worker import Worker, get_current_worker

from rmtui.errors import UserError
from rmtui.index.index import Index
from rmtui.runs.model import Landmarks
from rmtui.workspace import Workspace

ALIVE_SECONDS = 1.0
"""Between two looks at the files while a run is alive; a dead run is to be shown dead within two seconds."""
ADOPT_SECONDS, FIRST_ADOPTION = 6.0, 1.5
IDLE_SECONDS = 4.0
"""The same while nothing runs: only another rmtui could change something."""
READING_SECONDS = 1.0
"""Between two words on how far a long first reading has come."""
ALIVE = "is:alive"


@dataclass
class Synced(Message):
    """The index has caught up with the files."""

    changed: tuple[str, ...]
    """Ids of runs that have something new."""
    alive: int
    queued: int
    total: int
    landmarks: Landmarks = Landmarks()
    trouble: UserError | None = None
    """Why the metrics are those that were known last: the index is locked, its disk is full, …"""

    @property
    def remark(self) -> str:
        """For the top line, for as long as it lasts; a toast tells the rest once."""
        return "" if self.trouble is None else "▲ the list may be out of date"


@dataclass
class ReadingFolders(Message):
    """Many new run folders are being read into the index: so many of so many."""

    done: int
    of: int

    @property
    def label(self) -> str:
        return f"reading {self.done:,} of {self.of:,} run folders"


@dataclass
class Failed(Message):
    """A worker ended in an error: what was tried, and what a person should read."""

    job: str
    error: UserError


Job = Callable[[], Message]


def in_thread(app: App[None], target: MessagePump, name: str, job: Job, group: str = "") -> Worker[None]:
    """A named thread worker that ends in one message; of one group only the latest worker answers."""
    return app.run_worker(
        lambda: _answer(app, target, name, job),
        name=name,
        group=group or name,
        exclusive=bool(group),
        exit_on_error=False,
        thread=True,
    )


def _answer(app: App[None], target: MessagePump, name: str, job: Job) -> None:
    worker = get_current_worker()
    try:
        message = job()
    except UserError as error:
        message = Failed(name, error)
    except Exception as error:  # shown as a toast; the app goes on
        message = Failed(name, UserError(f"{name} failed", f"{type(error).__name__}: {error}", "", 1))
    if not worker.is_cancelled and app.is_running:
        target.post_message(message)


class Feed:
    """The app's only door to threads."""

    def __init__(self, app: App[None], workspace: Workspace) -> None:
        self._app = app
        self._workspace = workspace
        self._local = threading.local()
        self._syncing = False
        self._next_adoption = time.monotonic() + FIRST_ADOPTION
        self._again = False
        self._timer: Timer | None = None
        self._landmarks = Landmarks()
        self._asking = threading.Thread()
        """Looks at the jobs of schedulers, where runs have any."""

    @property
    def index(self) -> Index:
        """The index, opened once a thread: SQLite connections do not travel."""
        index: Index | None = self._local.__dict__.get("index")
        if index is None:
            index = self._local.index = Index.open_reading(self._workspace)
        return index

    def ask(self, target: MessagePump, name: str, job: Job, group: str = "") -> Worker[None]:
        """Run a job in a thread and post its message to `target`. Of one group only the latest job answers."""
        return in_thread(self._app, target, name, job, group)

    def sync(self) -> None:
        """Catch up with the files; answers the app with Synced. Asked for during a catching up, another one follows."""
        if self._timer is not None:
            self._timer.stop()
        if self._syncing:
            self._again = True
            return
        self._syncing = True
        self.ask(self._app, "sync", self._sync)

    def rest(self, seconds: float) -> None:
        """The answer has arrived: catch up again after this time."""
        self._syncing = False
        if self._again:
            self._again = False
            self.sync()
        else:
            self._timer = self._app.set_timer(seconds, self.sync)

    def _sync(self) -> Synced:
        self._adopt()
        index = self.index
        changed = tuple(index.sync(self._progress()))
        if changed or self._others_wrote():
            self._landmarks = index.landmarks()
        return Synced(
            changed, index.count(ALIVE), index.count("state:queued"), index.count(""), self._landmarks, index.trouble
        )

    def _progress(self) -> Callable[[int, int], None]:
        """Posts ReadingFolders every second, from the second second on."""
        last = time.monotonic()

        def report(done: int, of: int) -> None:
            nonlocal last
            if time.monotonic() - last >= READING_SECONDS and self._app.is_running:
                last = time.monotonic()
                self._app.post_message(ReadingFolders(done, of))

        return report

    def _others_wrote(self) -> bool:
        """Whether another connection has written since this thread asked last; True when it never did."""
        before, self._local.version = self._local.__dict__.get("version"), self.index.version()
        return bool(before != self._local.version)

    def _adopt(self) -> None:
        """Every few seconds: a training whose supervisor died gets a new one."""
        if time.monotonic() >= self._next_adoption:
            from rmtui.operations.adopt import adopt_all

            self._next_adoption = time.monotonic() + ADOPT_SECONDS
            adopt_all(self._workspace)
            self._ask_schedulers()

    def _ask_schedulers(self) -> None:
        """In a thread of its own: one that does not answer must hold up neither the files' turn nor a key."""
        from rmtui.runs import cluster_jobs

        if cluster_jobs.open_runs(self._workspace.queue, self._workspace.runs) and not self._asking.is_alive():
            from rmtui.launch.launchers import look_at_jobs

            self._asking = threading.Thread(target=look_at_jobs, args=(self._workspace,), daemon=True, name="jobs")
            self._asking.start()
