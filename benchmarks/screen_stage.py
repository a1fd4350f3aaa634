"""Workspaces for the screen's benchmarks: many runs, one long run, a run that is live while it is looked at."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "tests")]

import support  # noqa: E402  (the fixtures of the tests, which are no package)

from rmtui.index.index import Index  # noqa: E402
from rmtui.index.ingest import folder_times  # noqa: E402
from rmtui.index.sqlite import Connection, open_database, write  # noqa: E402
from rmtui.runs import proc  # noqa: E402
from rmtui.workspace import Workspace, open_workspace  # noqa: E402
from trainer.events import Event, encode  # noqa: E402

BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("ready")
Bare().run()
"""


MODELLED = 200
"""Runs that are made one by one; of more, the rest are copies under other ids."""
HOUR = 3600
"""Seconds between two of them (`support.make_runs`)."""
TABLES = ("documents", "attempts", "progress", "points", "rollups", "summaries", "steps", "tags", "settings")


def many(folder: Path, runs: int) -> Workspace:
    """A workspace with so many finished runs of 300 steps (30 of 10,000 runs, 6 of more), indexed."""
    if (folder / "whole").exists():
        return open_workspace(folder)
    ws = support.make_workspace(folder)
    steps = 100 if runs < 10_000 else 10 if runs < 100_000 else 2
    support.make_runs(ws, min(runs, MODELLED), epochs=3, steps_per_epoch=steps)
    with Index.open(ws) as index:
        index.sync()
    if runs > MODELLED:
        _multiply(ws, runs // MODELLED)
    (folder / "whole").touch()
    return ws


def _multiply(ws: Workspace, times: int) -> None:
    """Folders and rows like those of the MODELLED runs, as reading each of them would have made them.

    Each block is older than the one before, so that neighbours in the list differ: a cursor that goes from a run to its
    own copy has nothing to draw.
    """
    connection = open_database(ws.database)
    models = connection.execute("SELECT n, id FROM runs").fetchall()
    for block in range(1, times):
        with write(connection):
            for table in TABLES:
                _copy(connection, table, "run", block)
            older = block * MODELLED * HOUR
            _copy(connection, "runs", "n", block, id=f"id || '{block:03d}'", created=f"created - {older}")
            for n, run_id in models:
                fresh = ws.runs / f"{run_id}{block:03d}"
                shutil.copytree(ws.runs / run_id, fresh, copy_function=os.link)
                last = max(int(each.name.removeprefix("attempt-")) for each in fresh.glob("attempt-*"))
                seen = (*folder_times(fresh, last), n + block * MODELLED)
                connection.execute("UPDATE runs SET folder_time = ?, meta_time = ? WHERE n = ?", seen)
    with write(connection):
        connection.execute("INSERT OR REPLACE INTO marks VALUES ('runs', ?)", (ws.runs.stat().st_mtime_ns,))
    connection.close()


def _copy(connection: Connection, table: str, key: str, block: int, **changes: str) -> None:
    values = {key: f"{key} + {block * MODELLED}", **changes}
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    wanted = ", ".join(values.get(name, f'"{name}"') for name in names)
    connection.execute(f"INSERT INTO {table} SELECT {wanted} FROM {table} WHERE {key} <= {MODELLED}")


def long_run(folder: Path, steps: int = 100_000) -> Workspace:
    """One run of so many steps with five figures a step."""
    if folder.exists():
        return open_workspace(folder)
    ws = support.make_workspace(folder)
    events = support.training(
        epochs=4, steps_per_epoch=steps // 4, loss=lambda step: 0.5 + 20 / (step + 50) + step % 7 / 50
    )
    support.make_run_folder(ws, name="helpful-long", events=events)
    return ws


def big_log(folder: Path, size: int = 1 << 30) -> tuple[Workspace, Path]:
    """A run whose log has about `size` bytes; one line in its middle says `needle`."""
    log_of = folder / "log-path"
    if log_of.exists():
        return open_workspace(folder), Path(log_of.read_text())
    ws = support.make_workspace(folder)
    run = support.make_run_folder(ws, name="helpful-log")
    path = run.path / "attempt-1" / "logs" / "rank0.log"
    lines = "".join(
        f"12:00:{n % 60:02d} step {n}/90000 | loss=0.{n:05d} | lr=1.5e-05 | 11.2 pairs/s\n" for n in range(10_000)
    )
    blocks = size // len(lines)
    with path.open("w") as file:
        for number in range(blocks):
            file.write(lines)
            if number == blocks // 2:
                file.write("here is the needle\n")
        file.write("the last line of all\n")
    log_of.write_text(str(path))
    return ws, path


class Live:
    """A run that looks alive to every reader: its supervisor's lock is held, steps and log lines arrive at a rate."""

    def __init__(self, ws: Workspace, steps_a_second: float = 0.0, lines_a_second: float = 0.0) -> None:
        now = time.time()
        begun = support.training(epochs=3, steps_per_epoch=2000, start=now - 600)[:600]
        run = support.make_run_folder(ws, name="helpful-live", events=begun, outcome=None, created=now - 600)
        self.attempt = run.path / "attempt-1"
        self.log = self.attempt / "logs" / "rank0.log"
        launch = json.loads((self.attempt / "launch.json").read_text())
        launch |= {"host": proc.host(), "boot_id": proc.boot_id()}
        (self.attempt / "launch.json").write_text(json.dumps(launch))
        (self.attempt / "ranks").mkdir(exist_ok=True)
        self.steps_a_second, self.lines_a_second = steps_a_second, lines_a_second
        self._step = 600
        self.lines = 0
        self._end = threading.Event()
        self._lock = (self.attempt / "supervisor.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._say_rank()

    def __enter__(self) -> Live:
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._lock.close()

    def line(self) -> str:
        self.lines += 1
        number = self.lines
        return f"12:00:{number % 60:02d} step {number}/6000 | loss=0.{number:05d} | lr=1.5e-05 | 11.2 pairs/s\n"

    def add_lines(self, count: int) -> None:
        with self.log.open("a") as file:
            file.write("".join(self.line() for _ in range(count)))

    def _write(self) -> None:
        begun, steps, lines = time.monotonic(), 0, 0
        with (self.attempt / "events.jsonl").open("ab", buffering=0) as events:
            while not self._end.wait(0.05):
                passed = time.monotonic() - begun
                while steps < passed * self.steps_a_second:
                    steps += 1
                    events.write(self._next_step())
                due = int(passed * self.lines_a_second) - lines
                if due > 0:
                    lines += due
                    self.add_lines(due)

    def _next_step(self) -> bytes:
        self._step += 1
        self._say_rank()
        figures = {"loss": 0.6 + self._step % 13 / 100, "learning_rate": 1e-5, "grad_norm": 1.0, "tokens_per_s": 1000.0}
        return encode(Event("step", time.time(), self._step, self._step / 2000, {**figures, "pairs_per_s": 8.0}))

    def _say_rank(self) -> None:
        (self.attempt / "ranks" / "rank0").write_text(f"{self._step} 0 {time.time()}\n")
