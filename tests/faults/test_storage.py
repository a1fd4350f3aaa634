"""Disks full and read-only, databases locked, broken and deleted, torn lines, clocks set back, many writers at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import fault_kit
import launch_kit as kit
import pytest

from rmtui.errors import UserError
from rmtui.launch.command import Command
from rmtui.operations import launch
from rmtui.operations.plan import Plan
from rmtui.records import state
from rmtui.records.facts import State
from rmtui.records.folder import run_folders
from rmtui.records.index import Index
from rmtui.records.tickets import Needs

SECONDS = int(os.environ.get("RMTUI_FAULT_SECONDS", "10"))
"""How long the many writers write; a minute where it is measured."""


@pytest.fixture
def small(tmp_path):
    """A file system of its own, 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def ws(request, tmp_path):
    """On the small disk for the tests that ask for it."""
    root = request.getfixturevalue("small") if "small" in request.fixturenames else tmp_path
    made = kit.make_workspace(root)
    yield made
    kit.clean_up(made)


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return ballast


def a_plan() -> Plan:
    return Plan(kit.spec(steps=2), (), Command(()), Needs())


def test_a_launch_on_a_full_disk_is_refused_and_leaves_nothing(ws, small):
    ballast = fill(small)
    with pytest.raises(UserError) as refused:
        launch.start(ws, a_plan())
    assert "No space" in str(refused.value)
    assert list(run_folders(ws.runs)) == []
    ballast.unlink()
    assert launch.wait(ws, launch.start(ws, a_plan())).state == State.FINISHED


def test_a_disk_that_fills_under_a_training_ends_it_as_failed(ws, small, audit):
    run = kit.start(ws, steps=5, hold_at=2)
    kit.until_step(run, 2)
    kit.go(run)
    fill_after = fill(small)
    kit.until(lambda: kit.none_left(run), "the rank's end")
    fill_after.unlink()
    kit.until_ended(run)
    ended = audit(run)
    assert ended.state in (State.FAILED, State.FINISHED) and run.last_attempt().exit() is not None


def test_a_disk_that_stays_full_leaves_no_run_that_looks_alive(ws, small, audit):
    run = kit.start(ws, steps=5, hold_at=2)
    kit.until_step(run, 2)
    (run.control / "go-later").touch()
    ballast = fill(small)
    (run.control / "go-later").rename(run.control / "go")  # a rename needs no room
    kit.until(lambda: kit.none_left(run), "the rank's end")
    assert kit.until_ended(run).state in (State.FAILED, State.INTERRUPTED)
    ballast.unlink()
    audit(run)


def test_a_waiting_run_outlasts_a_full_disk(ws, small, audit):
    first = kit.start(ws, steps=3, hold_at=2)
    kit.until_step(first, 2)
    second = kit.start(ws, steps=1)
    ballast = fill(small)
    kit.kill(kit.supervisor(first))
    for process in kit.proc.tagged(first.id):
        kit.kill(process.proc)
    log = second.control / "supervisor.log"
    kit.until(lambda: state.status(second).state == State.QUEUED and state.status(second).supervised, "waiting")
    ballast.unlink()
    kit.until_ended(second)
    assert audit(second).state == State.FINISHED, log.read_text()
    assert audit(first).state == State.INTERRUPTED


def test_a_read_only_workspace_is_read_and_refuses_launches(ws, small, audit):
    run = kit.start(ws, steps=2)
    kit.until_ended(run)
    audit(run)
    kit.until(lambda: not kit.supervised(run), "the supervisor's end")
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    try:
        assert state.status(run).state == State.FINISHED
        with pytest.raises(UserError) as refused:
            launch.start(ws, a_plan())
        assert "Read-only" in str(refused.value)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small], check=True)


LOCKER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
held.execute("BEGIN EXCLUSIVE"); print("locked", flush=True); sys.stdin.read(); held.execute("ROLLBACK")
"""


def test_a_locked_database_delays_neither_training_nor_stop(ws, audit):
    first = kit.start(ws, steps=4, hold_at=2)
    kit.until_step(first, 2)
    kit.until(ws.database.exists, "the index")
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCKER, ws.database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "locked\n"
    kit.go(first)
    assert kit.until_ended(first).state == State.FINISHED
    second = kit.start(ws, steps=2)
    assert kit.until_ended(second).state == State.FINISHED, "the next run does not wait for the index"
    holder.communicate("")
    with Index.open(ws) as index:
        index.sync()
        assert len(index.series_full(first.id, "loss")) == 4
    audit(first)
    audit(second)


@pytest.mark.parametrize("how", ["middle", "cut", "deleted"])
def test_a_database_broken_under_a_training(ws, audit, how):
    run = kit.start(ws, steps=4, hold_at=2)
    kit.until_step(run, 2)
    kit.until(lambda: ws.database.exists() and ws.database.stat().st_size > 8192, "the index")
    before = ws.database.stat().st_size
    if how == "deleted":
        ws.database.unlink()
    else:
        with ws.database.open("r+b") as file:
            file.seek(before // 2)
            _ = file.write(os.urandom(4096)) if how == "middle" else file.truncate(0)
    kit.go(run)
    assert kit.until_ended(run).state == State.FINISHED
    audit(run)


def test_torn_and_foreign_lines_in_events_cost_only_themselves(ws, audit):
    run = kit.start(ws, steps=4, hold_at=2)
    kit.until_step(run, 2)
    with run.last_attempt().events.open("ab") as file:
        file.write(b'\x00\xff not json\n{"kind": 3}\n[1,2]\n{"v": 1, "t": 1, "kind": "step", "step": "x"}\n')
    kit.go(run)
    kit.until_ended(run)
    with run.last_attempt().events.open("ab") as file:
        file.write(b'{"v": 1, "t": 17, "kind": "step", "ste')
    assert fault_kit.steps(run) == [1, 2, 3, 4]
    assert audit(run).state == State.FINISHED


def test_a_clock_set_back_disturbs_nothing(ws, audit):
    run = kit.start(ws, steps=4, hold_at=3, clock_back_at=2)
    kit.until_step(run, 3)
    assert state.status(run).state == State.RUNNING
    waiting = [kit.start(ws, steps=1) for _ in range(2)]
    kit.write_toml(waiting[1].path / "spec.toml", waiting[1].spec() | {"created": time.time() - 86400})
    kit.go(run)
    for each in (run, *waiting):
        kit.until_ended(each)
        assert audit(each).state == State.FINISHED
    starts = [each.last_attempt().launch()["t"] for each in waiting]
    assert starts == sorted(starts), "the line keeps its order"


def test_many_writers_lose_nothing_and_the_log_of_the_database_stays_small(tmp_path, audit):
    ws = kit.make_workspace(tmp_path, "cpu_runs = 8\n")
    runs = [kit.start(ws, steps=50 * SECONDS, rate=50) for _ in range(8)]
    wal = ws.database.with_name(f"{ws.database.name}-wal")
    took, largest = [], 0
    with Index.open(ws) as app:
        while any(not state.status(run).state.final for run in runs):
            began = time.perf_counter()
            app.sync()
            took.append(time.perf_counter() - began)
            app.runs(limit=40)
            largest = max(largest, wal.stat().st_size if wal.exists() else 0)
            assert all(run.attempts() or state.status(run).state != State.FAILED for run in runs)
        app.sync()
        for run in runs:
            assert [step for step, _ in app.series_full(run.id, "loss")] == list(range(1, 50 * SECONDS + 1))
    took.sort()
    print(f"syncs {len(took)}, p99 {took[int(0.99 * len(took))] * 1000:.1f} ms, largest WAL {largest} bytes")
    assert largest < 64 << 20
    for run in runs:
        audit(run, index=False)
    kit.clean_up(ws)
