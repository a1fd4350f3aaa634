"""Disks full and read-only, databases locked, broken and deleted, torn lines, clocks set back, many writers at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import app_pilot
import fault_kit
import launch_kit as kit
import pytest

from rmtui.errors import UserError
from rmtui.index.index import Index
from rmtui.launch.command import Command
from rmtui.operations import launch, stop
from rmtui.operations.plan import Plan
from rmtui.runs import state
from rmtui.runs.folder import run_folders
from rmtui.runs.model import State

SECONDS = float(os.environ.get("RMTUI_FAULT_SECONDS", "60"))
"""How long the many writers write."""
LOCKED = 30.0
"""How long another program holds the database."""


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
    return Plan(kit.spec(steps=2), (), Command(()))


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
    log = second.control / "supervisor.log"

    def waits():
        found = state.status(second)
        assert not found.state.final, f"{found}; {log.read_text()}"
        return found.state == State.QUEUED and found.supervised

    kit.until(waits, "in the queue")
    ballast = fill(small)
    kit.kill(kit.supervisor(first))
    for process in kit.proc.tagged(first.id):
        kit.kill(process.proc)
    kit.until(waits, "waiting on a full disk")
    ballast.unlink()
    kit.until_ended(second)
    assert audit(second).state == State.FINISHED, log.read_text()
    assert audit(first).state == State.INTERRUPTED


def test_a_read_only_workspace_is_read_and_refuses_launches(ws, small, audit):
    run = kit.start(ws, steps=2)
    kit.until_ended(run)
    audit(run)
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    try:
        assert state.status(run).state == State.FINISHED
        with pytest.raises(UserError) as refused:
            launch.start(ws, a_plan())
        assert "Read-only" in str(refused.value)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small], check=True)


LOCKER = """
import sys, time
from rmtui.index.sqlite import sqlite3
held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
held.execute("BEGIN EXCLUSIVE")
end = time.monotonic() + float(sys.argv[2])
held.execute("CREATE TABLE theirs (row)")
print("locked", flush=True)
sys.stdin.read()
while time.monotonic() < end:
    held.execute("INSERT INTO theirs VALUES (1)")
    time.sleep(0.05)
held.execute("ROLLBACK")
"""


async def test_a_database_locked_for_half_a_minute_delays_nothing_but_the_list(tmp_path, audit):
    """Two trainings, the command line and the app while another program is in the middle of a long transaction."""
    ws = kit.make_workspace(tmp_path, "cpu_runs = 2\n")
    first = kit.start(ws, steps=4, hold_at=2)
    kit.until_step(first, 2)
    async with app_pilot.opened(ws.root) as pilot:
        await app_pilot.sees(pilot, "stand-in", "running")
        with locked_by_another(ws.database) as holder:
            kit.go(first)
            second = kit.start(ws, steps=60, hold_at=50)
            assert kit.until_ended(first).state == State.FINISHED
            kit.until_step(second, 50)
            assert (await off_screen(stop.stop, ws, second.id, wait=True)).state == State.STOPPED
            listed = await off_screen(fault_kit.rmtui, ws, "ls")
            assert listed.returncode == 0 and "locked by another program" in listed.stderr
            assert "stand-in" in listed.stdout, "what was known last"
            noted = await off_screen(fault_kit.rmtui, ws, "note", first.id, "kept")
            assert noted.returncode == 0 and first.meta()["note"] == "kept"
            await app_pilot.sees(pilot, "the list may be out of date")
            await pilot.press("question_mark")
            await app_pilot.sees(pilot, "sort by column left")
            await pilot.press("escape")
            assert holder.poll() is None, "all this happened while it was locked"
        await app_pilot.sees(pilot, "finished", "stopped")
        assert "out of date" not in app_pilot.shown(pilot)
    for run, count in ((first, 4), (second, 50)):
        log = (run.control / "supervisor.log").read_text()
        assert log.count("locked by another program") <= 1, "said once"
        assert len(fault_kit.steps(run)) == count
        audit(run)
    kit.clean_up(ws)


@contextlib.contextmanager
def locked_by_another(database: Path):
    """A busy process that holds the write lock for `LOCKED` seconds at least, and as long as the block takes."""
    began = time.monotonic()
    words = [sys.executable, "-c", LOCKER, database, str(LOCKED)]
    holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        yield holder
        holder.communicate("")
        assert holder.returncode == 0 and time.monotonic() - began >= LOCKED
    finally:
        holder.kill()
        holder.wait()


async def off_screen(call, *args, **kwargs):
    """A blocking call beside the app, which goes on meanwhile."""
    return await asyncio.to_thread(call, *args, **kwargs)


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


def test_a_clock_set_back_under_the_supervisor_ends_nothing_early(ws, audit):
    marker = ws.root / "clock"
    run = fault_kit.start_wrapped(ws, "clock", marker, steps=60, hold_at=2, slow_save=True, grace=30.0)
    kit.until_step(run, 2)
    marker.touch()
    stop.stop(ws, run.id)
    kit.until((run.control / "saving").exists, "the save")
    assert re.fullmatch(r"saving a checkpoint; will be killed in [123]\d s if it hangs", state.status(run).reason)
    kit.go(run)
    assert kit.until_ended(run).state == State.STOPPED
    ended = audit(run)
    exit_json = run.last_attempt().exit()
    assert ended.resumable and exit_json["ended"] < run.last_attempt().launch()["t"], "its clock was set back"
    row = json.loads(fault_kit.rmtui(ws, "ls", "--json").stdout)[0]
    assert row["state"] == "stopped" and row["step"] == ended_step(run)


def test_a_clock_set_back_during_a_stop_does_not_prolong_it(ws, audit):
    marker = ws.root / "clock"
    run = fault_kit.start_wrapped(ws, "clock", marker, steps=60, hold_at=2, slow_save=True, grace=2.0)
    kit.until_step(run, 2)
    stop.stop(ws, run.id)
    log = run.last_attempt().logs / "rank0.log"
    kit.until(lambda: "asked to stop" in log.read_text(), "the signal, and the supervisor's patience counting")
    marker.touch()
    kit.until_ended(run)
    assert audit(run).state == State.KILLED


@pytest.mark.parametrize("clock", [-3600, 86400])
def test_a_reader_whose_clock_is_off_says_the_same_and_stops_gently(ws, audit, clock):
    run = kit.start(ws, steps=60, hold_at=2)
    kit.until_step(run, 2)
    plain, off = fault_kit.rmtui(ws, "ls"), fault_kit.rmtui(ws, "ls", clock=clock)
    assert off.returncode == 0 and "running" in plain.stdout and "running" in off.stdout
    assert not re.search(r"-\d+ ?(s|min|h|d)", off.stdout), off.stdout
    stopped = fault_kit.rmtui(ws, "stop", run.id, "--wait", clock=clock)
    assert stopped.returncode == 0 and "stopped" in stopped.stderr, stopped.stderr
    assert audit(run).reason.startswith("stopped by") and run.checkpoints(), "it had its time to save"


def ended_step(run) -> int:
    return max(fault_kit.steps(run))


def test_many_writers_lose_nothing_and_the_log_of_the_database_stays_small(tmp_path, audit):
    """Eight trainings under their supervisors, the app open on them: every insert of all of them is timed."""
    ws = kit.make_workspace(tmp_path, "cpu_runs = 8\n")
    spans, steps = tmp_path / "spans", int(50 * SECONDS)
    runs = [fault_kit.start_wrapped(ws, "inserts", spans, steps=steps, rate=50) for _ in range(8)]
    wal, largest = ws.database.with_name(f"{ws.database.name}-wal"), 0
    with fault_kit.app_on_a_terminal(ws) as app, fault_kit.Metronome() as idle:
        while any(not state.status(run).state.final for run in runs):
            largest = max(largest, wal.stat().st_size if wal.exists() else 0)
            assert all(run.attempts() or state.status(run).state != State.FAILED for run in runs)
            assert app.alive(), app.text()
            time.sleep(0.2)
    took = sorted(map(float, spans.read_text().split()))
    p99, late = took[int(0.99 * len(took))], idle.p99()
    print(
        f"{len(took)} inserts, p99 {1000 * p99:.1f} ms, longest {1000 * took[-1]:.0f} ms; WAL {largest} bytes at most"
    )
    assert len(took) > 4 * SECONDS, "eight supervisors, one insert each in two seconds"
    assert p99 < 0.05 + late, f"{1000 * p99:.1f} ms, though an idle process waits {1000 * late:.1f} ms for its turn"
    assert largest < 64 << 20
    with Index.open(ws) as index:
        index.sync()
        for run in runs:
            assert [step for step, _ in index.series_full(run.id, "loss")] == list(range(1, steps + 1))
    for run in runs:
        audit(run, index=False)
    kit.clean_up(ws)
