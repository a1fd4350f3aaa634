"""Who gets which device: real locks, with a list of GPUs in place of the driver's."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import launch_kit as kit
import pytest

from rmtui.launch import gpus, slots, spawn
from rmtui.launch.gpus import Gpu
from rmtui.operations import queue
from rmtui.runs import proc, queue_tickets, state
from rmtui.runs.model import State
from rmtui.runs.queue_tickets import Needs

FOUR = [Gpu(str(n), f"GPU-{n:04d}", "H100", 80 << 30) for n in range(4)]


def look():
    return FOUR


def gpu(count=1, *names):
    return Needs("gpu", count, names)


def test_no_two_runs_get_one_gpu(ws):
    first, second = slots.take(ws, gpu(2), look=look), slots.take(ws, gpu(2), look=look)
    assert len({*first.devices, *second.devices}) == 4
    assert slots.take(ws, gpu(1), look=look) is None
    first.release()
    assert slots.take(ws, gpu(2), look=look).devices == first.devices


def test_another_workspace_sees_the_same_gpus_taken(ws, tmp_path):
    other = kit.make_workspace(tmp_path / "other")
    taken = slots.take(ws, gpu(3), look=look)
    assert slots.take(other, gpu(2), look=look) is None
    assert not set(slots.take(other, gpu(1), look=look).devices) & set(taken.devices)


def test_foreign_processes_make_a_gpu_taken(ws):
    busy = [Gpu("0", "GPU-a", pids=(4711,)), Gpu("1", "GPU-b")]
    assert slots.take(ws, gpu(2), look=lambda: busy) is None
    assert slots.take(ws, Needs("gpu", 1, ("0",)), look=lambda: busy) is None
    assert slots.take(ws, gpu(1), look=lambda: busy).devices == ("GPU-b",)


def test_a_process_that_carries_a_slot_keeps_it_without_a_lock(ws):
    mine = [dataclasses.replace(each, uuid=f"{each.uuid}-{os.getpid()}") for each in FOUR]
    slots_taken = ",".join(f"gpu-{each.uuid}" for each in mine[:2])
    env = os.environ | {proc.TAG: f"some-run-{os.getpid()}:1:ff", proc.SLOTS: slots_taken}
    orphan = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], env=env)
    try:
        kit.until(lambda: proc.tagged(f"some-run-{os.getpid()}"), "the orphan")
        assert slots.take(ws, gpu(3), look=lambda: mine) is None
        assert slots.take(ws, gpu(2), look=lambda: mine).devices == tuple(each.uuid for each in mine[2:])
    finally:
        orphan.kill()
        orphan.wait()


@pytest.mark.parametrize(
    ("said", "indices"),
    [(None, "0123"), ("2,0", "20"), ("GPU-0003", "3"), ("", ""), ("1,9,2", "1"), ("NoDevFiles", "")],
)
def test_visible_devices_are_those_that_cuda_would_see(said, indices, monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        monkeypatch.delenv(name, raising=False)
    if said is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
    assert "".join(each.index for each in gpus.visible(FOUR)) == indices


def test_a_schedulers_allocation_counts(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("SLURM_STEP_GPUS", "1,3")
    assert [each.index for each in gpus.visible(FOUR)] == ["1", "3"]


def waiting(ws, run: str, needs: Needs) -> queue_tickets.Ticket:
    """A ticket whose waiting process is this one."""
    with queue_tickets.turn(ws.queue):
        ticket = queue_tickets.add(ws.queue, run, 1, needs)
    slots.fcntl.flock(os.open(queue_tickets.waiter_lock(ws.queue, run), os.O_RDWR | os.O_CREAT), slots.fcntl.LOCK_EX)
    return ticket


def test_the_line_is_kept_unless_the_devices_differ(ws):
    held = slots.take(ws, Needs("gpu", 2, ("0", "1")), look=look)
    four = waiting(ws, "20260101-000000-0001", gpu(4))
    named = waiting(ws, "20260101-000000-0002", Needs("gpu", 1, ("3",)))
    assert slots.take_turn(ws, four, look) is None
    assert slots.take_turn(ws, named, look) is None, "the four in front wait for every GPU"
    queue_tickets.remove(ws.queue, four.run)
    first = waiting(ws, "20260101-000000-0003", Needs("gpu", 1, ("0",)))
    queue_first = slots.take_turn(ws, named, look)
    assert queue_first.devices == ("GPU-0003",), "whoever waits for GPU 0 does not hold GPU 3 back"
    anyone = waiting(ws, "20260101-000000-0004", gpu(1))
    queue_tickets.remove(ws.queue, named.run)
    queue_first.release()
    held.release()
    held = slots.take(ws, Needs("gpu", 3, ("1", "2", "3")), look=look)
    assert slots.take_turn(ws, anyone, look) is None, "GPU 0 is free, but somebody before it asked for it"
    assert slots.take_turn(ws, first, look).devices == ("GPU-0000",)


def test_after_a_restart_queued_runs_wait_visibly_and_are_started_by_hand(ws):
    first = kit.start(ws, steps=2, hold_at=1)
    kit.until_step(first, 1)
    run = kit.start(ws, steps=1)
    line = f"{run.path}".encode()
    (waiter,) = [pid for pid in pids() if line in cmdline(pid)]
    kit.kill(proc.find(waiter))
    ticket = queue_tickets.read(ws.queue, run.id)
    queue_tickets.write(ws.queue, dataclasses.replace(ticket, boot_id="another-boot"))
    kit.go(first)
    kit.until_ended(first)
    now = state.status(run)
    assert now.state == State.QUEUED and "restarted" in now.reason and "queue --start" in now.reason
    assert [place.attended for place in queue.places(ws)] == [False]
    behind = kit.start(ws, steps=1)
    assert kit.until_ended(behind).state == State.FINISHED, "one that nobody attends holds nobody back"
    assert queue.start_again(ws) == [run.id] and queue.start_again(ws) == []
    assert kit.until_ended(run).state == State.FINISHED


def pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_second_waiting_process_is_not_started(ws):
    first = kit.start(ws, steps=2, hold_at=1)
    kit.until_step(first, 1)
    run = kit.start(ws, steps=1)
    assert spawn.wait_in_line(ws, run, 1) is False
    kit.go(first)
    kit.until_ended(run)


def test_users_of_one_machine_share_the_locks_that_an_admin_made_a_place_for(ws, tmp_path, monkeypatch):
    """Another real user holds a GPU: its lock file is theirs, in a folder where everybody may make files."""
    if os.geteuid():
        pytest.skip("another user is made by root")
    shared = Path(tempfile.mkdtemp(dir="/tmp"))
    shared.chmod(0o1777)
    monkeypatch.setattr(slots, "SHARED", shared)
    path = slots.lock_path(ws, "gpu-GPU-0")
    code = (
        "import os, sys, fcntl; os.setgid(65534); os.setuid(65534); os.umask(0o077)\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); os.fchmod(fd, 0o644)\n"
        "fcntl.flock(fd, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=pipe, stdout=pipe)
    try:
        assert other.stdout.readline() == b"held\n"
        assert slots.hold(ws, ["gpu-GPU-0"]) is None
    finally:
        other.communicate()
    (mine,) = slots.hold(ws, ["gpu-GPU-0"])
    os.close(mine)
    shutil.rmtree(shared)
