"""The audit after a fault: nothing lies, nothing is lost, nobody is left."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import launch_kit as kit
import pytest

from rmtui.index.index import Index
from rmtui.launch import slots
from rmtui.operations import runs as operations
from rmtui.runs import proc, queue_tickets, state
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State, Status
from rmtui.workspace import Workspace
from trainer.events import read_from

REPO = str(Path(__file__).resolve().parents[2])
WRAPPED = Path(__file__).with_name("wrapped_supervisor.py")


@dataclass(frozen=True)
class Audit:
    ws: Workspace
    node: pytest.Item

    def __call__(self, run: RunFolder, index: bool = True) -> Status:
        """A final state, no tagged process, every acknowledged event and line readable, the index like the folders."""
        kit.until(lambda: not kit.attended(run), "its supervisor's or adopter's end, after its own last round")
        now = note(self.node, run)
        assert now.state.final, f"{now.state}: {now.reason}"
        assert acknowledged(run) <= said(run), "every line that was written is printed"
        if index:
            equal_after_rebuild(self.ws, run)
        return now


def note(node: pytest.Item, run: RunFolder) -> Status:
    """Put a run whose fault is over into the summary; no process of it and no lost event is left."""
    now, orphans, lost = state.status(run), kit.proc.tagged(run.id), acknowledged(run) - set(steps(run))
    node.user_properties.append(("fault", (str(now.state), len(lost), len(orphans))))
    assert not orphans and not lost
    return now


def summarise(reporter: Any, room: str, more: str = "") -> None:
    """Faults tried in a room of the tests, outcomes, events lost, orphans."""
    reports = [each for kind in ("passed", "failed", "") for each in reporter.getreports(kind)]
    ours = [each for each in reports if f"tests/{room}/" in each.nodeid and "faults" in each.keywords]
    ended = [each for each in ours if each.when == "teardown"]
    rows = [value for each in ended for key, value in each.user_properties if key == "fault"]
    tests = sum(each.when == "call" for each in ours)
    if not rows:
        return
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in Counter(row[0] for row in rows).most_common())
    lost, orphans = sum(row[1] for row in rows), sum(row[2] for row in rows)
    reporter.section("faults" if room == "faults" else f"faults, {room}")
    reporter.line(f"faults tried {max(tests, len(rows))}; trainings among them {len(rows)}: {outcomes}")
    reporter.line(f"events lost {lost}, orphans left {orphans}{more}")


def acknowledged(run: RunFolder) -> set[int]:
    """Steps that rank 0 logged, which it does after their event was written."""
    logs = [attempt.logs / "rank0.log" for attempt in run.attempts()]
    lines = [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()]
    return {int(line.split()[1]) for line in lines if line.startswith("step ")}


def said(run: RunFolder) -> set[int]:
    """The same, as `rmtui logs` prints it."""
    from rmtui.operations import logs

    printed = logs.lines(run) if logs.log_files(run) else []
    return {int(line.split()[1]) for line in printed if line.startswith("step ")}


def steps(run: RunFolder) -> list[int]:
    """Steps of every readable event, attempts joined: a later attempt overrides what it repeats."""
    found: set[int] = set()
    for attempt in run.attempts():
        if attempt.events.exists():
            events, _, _ = read_from(attempt.events)
            found |= {event.step for event in events if event.kind == "step"}
    return sorted(found)


def epochs(run: RunFolder) -> int:
    """How many epochs ended, as the readable events say."""
    said = [read_from(attempt.events)[0] for attempt in run.attempts() if attempt.events.exists()]
    return len({max(1, round(event.epoch)) for events in said for event in events if event.kind == "epoch"})


def equal_after_rebuild(ws: Workspace, run: RunFolder) -> None:
    """The index, in whatever state it was, after `rmtui rebuild`: what the folders say, to the last figure."""
    operations.rebuild(ws)
    with tempfile.TemporaryDirectory() as folder, Index(ws, Path(folder) / "fresh.sqlite") as fresh:
        fresh.sync()
        with Index.open(ws) as index:
            said = told(index, run)
            unlike = differences(said, told(fresh, run))
    assert not unlike, unlike
    assert len(said["epochs"]) == epochs(run)
    found = [step for step, _ in said["curves"].get("loss", [])]
    assert found == steps(run), f"index {found}, folders {steps(run)}"


def told(index: Index, run: RunFolder) -> dict[str, Any]:
    """The document of a run, with every curve."""
    curves = {name: index.series_full(run.id, name) for name in index.metrics(run.id)}
    return operations.show(index, run.id) | {"curves": curves}


def differences(index: dict[str, Any], folders: dict[str, Any]) -> str:
    """What two documents do not say alike, a line an entry."""
    unlike = [key for key in index | folders if index.get(key) != folders.get(key)]
    return "\n".join(f"{key}: index {index.get(key)!r}, folders {folders.get(key)!r}" for key in unlike)


def start_wrapped(ws: Workspace, what: str, value: object, **how: Any) -> RunFolder:
    """What `launch.enqueue` does, with `wrapped_supervisor.py WHAT VALUE` in place of the supervisor."""
    run = RunFolder.create(ws.runs, kit.spec(**how))
    with queue_tickets.turn(ws.queue):
        queue_tickets.add(ws.queue, run.id, 1, slots.needs_of(run.spec()))
    fd = os.open(queue_tickets.waiter_lock(ws.queue, run.id), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    env = os.environ | {"PYTHONPATH": REPO}
    words = [sys.executable, WRAPPED, what, str(value), "wait", run.path, "1", str(fd)]
    with (run.control / "supervisor.log").open("ab") as log:
        subprocess.run(words, env=env, pass_fds=[fd], stdout=log, stderr=log, start_new_session=True, check=True)
    os.close(fd)
    return run


def launch_wrapped(ws: Workspace, what: str, value: object, **how: Any) -> int:
    """`launch.start` in a process of its own, a fault at its N-th step; its exit code."""
    words = [sys.executable, WRAPPED, what, str(value), "launch", ws.root, json.dumps(kit.spec(**how))]
    env = os.environ | {"PYTHONPATH": REPO}
    return subprocess.run(words, env=env, stdin=subprocess.DEVNULL, check=False).returncode


def verb_line(ws: Workspace, *words: str) -> list[str]:
    return [sys.executable, "-m", "rmtui", "-C", str(ws.root), *words]


def verb_environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": REPO}


def start_in_a_process(ws: Workspace, before: str, **how: Any) -> RunFolder:
    """`launch_kit.start` in a process of its own, which first does something to itself."""
    tests = [str(Path(REPO) / "tests" / name) for name in ("launch", "")]
    code = (
        f"import sys, json; from pathlib import Path; sys.path[:0] = {tests!r}\n{before}"
        "import launch_kit as kit; from rmtui.workspace import open_workspace\n"
        "print(kit.start(open_workspace(Path(sys.argv[1])), **json.loads(sys.argv[2])).id)"
    )
    line = [sys.executable, "-c", code, str(ws.root), json.dumps(how)]
    done = subprocess.run(line, env=verb_environment(), capture_output=True, text=True, check=True)
    return RunFolder(ws.runs / done.stdout.strip())


def rmtui(ws: Workspace, *words: str, clock: int = 0) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, its clock so many seconds off."""
    code = (
        "import faulthandler; faulthandler.dump_traceback_later(120, exit=True)\n"
        "import sys, time; off = int(sys.argv.pop(1)); now, now_ns = time.time, time.time_ns\n"
        "time.time, time.time_ns = lambda: now() + off, lambda: now_ns() + off * 10**9\n"
        "from rmtui.cli import main; sys.exit(main())"
    )
    line = [sys.executable, "-c", code, str(clock), "-C", ws.root, *words]
    env = os.environ | {"PYTHONPATH": REPO}
    return subprocess.run(
        line, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=150
    )


class AppOnATerminal:
    """The app as a person has it open, on a pseudo-terminal."""

    def __init__(self, ws: Workspace) -> None:
        env = os.environ | {"PYTHONPATH": REPO, "TERM": "xterm-256color", "LINES": "45", "COLUMNS": "160"}
        self._written = bytearray()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 160, 0, 0))
        line = [sys.executable, "-m", "rmtui", "-C", ws.root]
        self._app = subprocess.Popen(line, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 1 << 16):
                self._written += data

    def alive(self) -> bool:
        return self._app.poll() is None

    def text(self) -> str:
        """Everything it wrote, without the escape sequences."""
        return re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|.)", " ", self._written.decode(errors="replace"))

    def quit(self) -> int:
        os.write(self._master, b"q")
        return self._app.wait(60)

    def close(self) -> None:
        self._app.kill()
        self._app.wait()
        self._reader.join(10)
        os.close(self._master)


@contextlib.contextmanager
def app_on_a_terminal(ws: Workspace) -> Iterator[AppOnATerminal]:
    """Opened, working on its list, and left by its key in the end."""
    app = AppOnATerminal(ws)
    try:
        kit.until(lambda: "stand-in" in app.text(), f"the list:\n{app.text()[-2000:]}")
        before = len(app.text())
        yield app
        assert len(app.text()) > before, "it showed what went on"
        assert app.quit() == 0, app.text()[-2000:]
    finally:
        app.close()


class Metronome:
    """How late a process that only sleeps gets its turn: what this machine adds to everything that is timed."""

    CODE = (
        "import sys, time\n"
        "while True:\n"
        "    began = time.perf_counter(); time.sleep(0.01)\n"
        "    print(time.perf_counter() - began - 0.01, flush=True)\n"
    )

    def __enter__(self) -> Metronome:
        self._file = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen([sys.executable, "-c", self.CODE], stdout=self._file)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._file.seek(0)
        self._late = sorted(float(line) for line in self._file if line.endswith("\n"))
        self._file.close()

    def p99(self) -> float:
        return self._late[int(0.99 * len(self._late))]


def settle(ws: Workspace, run: RunFolder) -> Status:
    """What a person with the app open would see happen: adoption, and waiting started again."""
    from rmtui.operations import adopt, queue

    def over() -> Status | None:
        adopt.adopt_all(ws)
        now = state.status(run)
        if now.state == State.QUEUED and not now.supervised:
            queue.start_again(ws)
        return now if now.state.final and not proc.tagged(run.id) and not kit.attended(run) else None

    return kit.until(over, f"{run.id} to settle: {state.status(run)}")
