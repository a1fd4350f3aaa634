"""Ends that nobody announced, launches that can never start, and what of other people's folders is obeyed."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import fault_kit
import launch_kit as kit
import pytest

from rmtui.launch import hooks, provenance
from rmtui.operations import queue
from rmtui.runs import proc, queue_tickets, state
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State
from rmtui.workspace import open_workspace

SAYS = 'on_failed = "echo $RMTUI_RUN_ID >> said"\non_finished = "echo $RMTUI_RUN_ID >> said"\n'


@pytest.fixture
def loud(ws):
    (ws.root / "workspace.toml").write_text(SAYS)
    return open_workspace(ws.root)


def said(ws) -> list[str]:
    path = ws.root / "said"
    return path.read_text().split() if path.exists() else []


def killed_with_its_supervisor(ws) -> RunFolder:
    run = kit.start(ws, steps=3, hold_at=2)
    kit.until_step(run, 2)
    kit.kill(kit.supervisor(run))
    for process in proc.tagged(run.id):
        kit.kill(process.proc)
    return run


def test_whoever_finds_an_end_that_nobody_announced_says_so_once(loud, audit):
    run = killed_with_its_supervisor(loud)
    verbs = [
        subprocess.Popen(fault_kit.verb_line(loud, "ls"), env=fault_kit.verb_environment(), stdout=subprocess.DEVNULL)
        for _ in range(4)
    ]
    assert [verb.wait() for verb in verbs] == [0] * 4
    kit.until(lambda: said(loud), "the command")
    assert fault_kit.rmtui(loud, "ls").returncode == 0 and hooks.found_ended(loud) == []
    assert said(loud) == [run.id]
    audit(run)


@pytest.mark.parametrize("finder", ["watch", "somebody who waits for it"])
def test_who_only_follows_or_waits_announces_it_as_well(loud, finder):
    run = killed_with_its_supervisor(loud)
    if finder == "watch":
        log = loud.root / "elsewhere.jsonl"
        log.write_text('{"step": 1, "loss": 0.5}\n')
        assert fault_kit.rmtui(loud, "watch", str(log), "--once").returncode == 0
    else:
        assert kit.launch.wait(loud, run.id).state == State.INTERRUPTED
    kit.until(lambda: said(loud), "the command")
    assert said(loud) == [run.id]


def test_the_next_supervisor_announces_it_as_well(loud):
    run = killed_with_its_supervisor(loud)
    other = kit.start(loud, steps=1)
    kit.until_ended(other)
    kit.until(lambda: sorted(said(loud)) == sorted([run.id, other.id]), f"both ends, got {said(loud)}")


def test_nothing_is_announced_for_old_ends_copies_and_requests(loud, tmp_path, monkeypatch):
    run = killed_with_its_supervisor(loud)
    copy = open_workspace(shutil.copytree(loud.root, tmp_path / "copy"))
    assert hooks.found_ended(copy) == [], "in a copy"
    assert fault_kit.rmtui(copy, "workspace", "--own").returncode == 0
    assert hooks.found_ended(copy) == [], "in an owned copy: it was the original's"
    later = time.time() + 2 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert hooks.found_ended(loud) == [], "two days later"
    monkeypatch.undo()
    assert hooks.found_ended(loud) == [] and said(loud) == [], run.id


def test_a_command_that_hangs_is_ended(loud, monkeypatch):
    monkeypatch.setattr(hooks, "TIMEOUT", 1)
    (loud.root / "workspace.toml").write_text('on_stalled = "echo $$ > pid; exec sleep 600"\n')
    ws = open_workspace(loud.root)
    run = RunFolder.create(ws.runs, kit.spec())
    hooks.stalled(ws, run, state.status(run))
    kit.until(lambda: (ws.root / "pid").exists() and (ws.root / "pid").read_text().strip(), "the command's start")
    pid = int((ws.root / "pid").read_text())
    kit.until(lambda: proc.find(pid) is None, "its end", 10)


def test_a_reason_of_many_lines_reaches_a_command_as_one_short_one(loud):
    (loud.root / "workspace.toml").write_text('on_stalled = "printf %s \\"$RMTUI_REASON\\" > reason"\n')
    ws = open_workspace(loud.root)
    run = RunFolder.create(ws.runs, kit.spec())
    hooks.stalled(ws, run, state.status(run)._replace(reason="a\n\x1b[31mred\x1b[0m\r" + "b" * 5000))
    text = kit.until(lambda: (ws.root / "reason").exists() and (ws.root / "reason").read_text())
    assert text.startswith("a red") and len(text) <= 300 and text.isprintable()


@pytest.mark.parametrize("what", ["other user", "world", "folder", "list"])
def test_commands_are_run_only_if_the_file_is_the_users_and_nobody_else_may_write_it(loud, what):
    if os.geteuid():
        pytest.skip("another user's file is made by root")
    file = loud.root / "workspace.toml"
    if what == "other user":
        os.chown(file, 65534, 65534)
    elif what == "world":
        file.chmod(0o666)
    elif what == "list":
        give_by_list(file, 65534)
    else:
        loud.root.chmod(0o777)
    run = kit.start(loud, steps=1)
    kit.until_ended(run)
    kit.until(lambda: not kit.attended(run))
    assert said(loud) == [] and "not run, since" in (run.control / "supervisor.log").read_text()
    assert "commands" in fault_kit.rmtui(loud, "doctor", "--fast").stdout


def give_by_list(file: Path, user: int) -> None:
    """What `setfacl -m u:USER:rw FILE` does: an access control list as the kernel stores it, acl(5)."""
    entries = [(0x01, 6, -1), (0x02, 6, user), (0x04, 4, -1), (0x10, 6, -1), (0x20, 4, -1)]
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(file, "system.posix_acl_access", data)
    except OSError as error:
        pytest.skip(f"a file system without access control lists: {error}")


@pytest.mark.parametrize(
    "evil", ["core.fsmonitor", "filter.x.clean", "filter.x.process", "core.hooksPath", "in another file"]
)
def test_git_runs_no_command_that_the_repository_names(ws, tmp_path, evil):
    git = repository(ws)
    marker = tmp_path / "executed"
    hook = tmp_path / "post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hook.chmod(0o755)
    value = str(tmp_path) if evil == "core.hooksPath" else f"touch {marker}; cat"
    if evil == "in another file":
        subprocess.run([*git, "config", "-f", ".git/more", "filter.x.clean", value], check=True)
        evil, value = "includeIf.gitdir:**.path", "more"
    subprocess.run([*git, "config", evil, value], check=True)
    os.utime(ws.root / "file", (1, 1))
    (ws.root / "file").write_text("two")
    found = provenance.git(ws.root)
    assert len(found["commit"]) == 40 and found["dirty"] is True
    assert not marker.exists()


@pytest.mark.parametrize("evil", ["a filter whose name cannot be switched off", "an object that a remote has"])
def test_where_git_could_only_tell_by_a_command_of_the_repository_nothing_is_said(ws, tmp_path, evil):
    git = repository(ws, "filter=x=y")
    marker = tmp_path / "executed"
    if evil.startswith("a filter"):
        subprocess.run([*git, "config", "filter.x=y.clean", f"touch {marker}; cat"], check=True)
    else:
        settings = {"remote.o.url": str(ws.root), "remote.o.uploadpack": f"touch {marker}; false"}
        settings |= {"remote.o.promisor": "true", "extensions.partialClone": "o", "core.repositoryformatversion": "1"}
        for name, value in settings.items():
            subprocess.run([*git, "config", name, value], check=True)
        tree = subprocess.run([*git, "rev-parse", "HEAD^{tree}"], check=True, capture_output=True, text=True).stdout
        (ws.root / ".git/objects" / tree[:2] / tree[2:].strip()).unlink()
    os.utime(ws.root / "file", (1, 1))
    found = provenance.git(ws.root)
    assert list(found) == ["commit"] and not marker.exists()


def repository(ws, attributes="filter=x") -> list[str]:
    """A workspace as a git repository with one file that has a content filter; the command line of git for it."""
    git = ["git", "-C", str(ws.root), "-c", "user.name=x", "-c", "user.email=x@y"]
    (ws.root / "file").write_text("one")
    (ws.root / ".gitattributes").write_text(f"file {attributes}\n")
    for line in (["init", "-q"], ["add", "file", ".gitattributes"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *line], check=True)
    return git


def test_a_launch_that_can_never_start_ends_as_failed_to_start_with_why(loud):
    """The place where the CPU's lock should be is a folder."""
    kit.slots.lock_path(loud, kit.slots.cpu_names(loud)[0]).mkdir(parents=True)
    run = kit.start(loud, steps=1)
    kit.until(lambda: "cannot start, try" in state.status(run).reason, "the reason in its row")
    assert "Is a directory" in queue.places(loud)[0].reason
    ended = kit.until_ended(run)
    assert ended.state == State.FAILED and "failed to start: [Errno 21] Is a directory" in ended.reason
    kit.until(lambda: said(loud) == [run.id], "on_failed")
    assert (run.control / "supervisor.log").stat().st_size < 2000
    kit.slots.lock_path(loud, kit.slots.cpu_names(loud)[0]).rmdir()
    assert fault_kit.rmtui(loud, "resume", run.id).returncode == 0
    assert kit.until_ended(run).state == State.FINISHED


@pytest.mark.parametrize("kind", ["file", "read-only"])
def test_a_cpu_run_needs_no_state_folder(ws, tmp_path, monkeypatch, kind):
    home = tmp_path / "state"
    home.write_text("") if kind == "file" else home.mkdir(mode=0o500)
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    run = kit.start(open_workspace(ws.root), steps=1)
    assert kit.until_ended(run).state == State.FINISHED
    assert queue_tickets.read(ws.queue, run.id) is None


def test_too_small_a_file_limit_ends_as_failed_to_start(ws):
    """`ulimit -f`, as a full quota: the first bytes of an attempt do not fit."""
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    run = fault_kit.start_in_a_process(ws, code, steps=1)
    ended = kit.until_ended(run)
    assert ended.state == State.FAILED and "failed to start" in ended.reason and "File too large" in ended.reason
    assert Path(run.path).is_dir()


def test_a_gpu_that_another_user_took_at_the_same_moment_is_said(ws, tmp_path):
    """Both found it free: each run says with whom it shares it, until the other one leaves."""
    file = tmp_path / "pids"
    run = fault_kit.start_wrapped(ws, "gpu", file, steps=3, hold_at=2, device="gpu")
    kit.until_step(run, 2)
    (rank,) = kit.proc.tagged(run.id)
    stranger = subprocess.Popen(["sleep", "1000"], user=65534 if os.geteuid() == 0 else None)
    try:
        assert run.attempts()[0].launch()["devices"] == ["GPU-1"] and not state.status(run).reason
        file.write_text(f"{rank.proc.pid} {stranger.pid}")
        kit.until(lambda: f"GPU-1 is shared with pid {stranger.pid}" in state.status(run).reason, "the other one")
        file.write_text(f"{rank.proc.pid}")
        kit.until(lambda: not state.status(run).reason, "that it left")
    finally:
        stranger.kill()
        stranger.wait()
    kit.go(run)
    assert kit.until_ended(run).state == State.FINISHED


def test_an_end_is_announced_by_its_supervisor_though_nobody_could_note_it(loud):
    """As where the disk was full when the run began."""
    (loud.queue / "unannounced").write_text("")
    run = kit.start(loud, steps=1)
    kit.until_ended(run)
    kit.until(lambda: said(loud) == [run.id], "on_finished")
