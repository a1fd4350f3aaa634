"""The doctor on this machine, and what it says of processes that nobody accounts for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import launch_kit as kit
import pytest

from rmtui.launch import login, orphans, probe
from rmtui.operations import doctor
from rmtui.runs import proc
from rmtui.runs.folder import AttemptFolder


def stray(tag: str, cwd) -> subprocess.Popen:
    child = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"], env=os.environ | {proc.TAG: tag}, cwd=cwd
    )
    kit.until(lambda: proc.tagged(tag.split(":")[0]), "the stray process")
    return child


def test_every_topic_is_looked_at_and_every_complaint_has_a_remedy(ws):
    found = doctor.examine(ws, deep=False)
    assert {"Python", "packages", "GPUs", "SQLite", "logout", "orphans", "disk", "workspace", "queue"} <= {
        finding.topic for finding in found
    }
    assert all(finding.remedy for finding in found if finding.level in ("warning", "error"))
    assert all(finding.level in doctor.GLYPHS for finding in found)


def test_processes_of_an_ended_run_are_found_and_ended_and_others_left_alone(ws):
    ended, living = kit.start(ws, steps=1), kit.start(ws, steps=2, hold_at=1)
    kit.until_ended(ended)
    kit.until_step(living, 1)
    nonce = AttemptFolder(ended.path / "attempt-1").launch()["nonce"]
    child = stray(f"{ended.id}:1:{nonce}", ended.path / "attempt-1")
    lost = kit.start(ws, steps=1)
    kit.stop_waiting(ws, lost)
    gone = stray(f"{lost.id}:1:feed", lost.path)
    shutil.rmtree(lost.path)
    try:
        words = [finding.text for finding in doctor.examine(ws, deep=False) if finding.topic == "orphans"]
        assert any(f"pid {child.pid} " in text and "finished" in text for text in words)
        assert any(f"pid {gone.pid} " in text and "folder" in text for text in words)
        ours = {found.process.proc.pid for found in orphans.look(ws) if found.why}
        assert {child.pid, gone.pid} <= ours and not ours & {each.proc.pid for each in proc.tagged(living.id)}
        assert {child.pid, gone.pid} <= set(doctor.end_orphans(ws))
    finally:
        for process in (child, gone):
            process.kill()
            process.wait()
    assert proc.tagged(living.id)
    kit.go(living)
    kit.until_ended(living)


def test_logind_is_read_as_systemd_reads_it(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    (second / "logind.conf.d").mkdir(parents=True)
    first.mkdir()
    places = (str(first), str(second))
    assert not login.kills_on_logout(places)
    (first / "logind.conf").write_text("[Login]\n#KillUserProcesses=no\nKillUserProcesses=yes\n")
    assert login.kills_on_logout(places)
    (second / "logind.conf.d" / "50.conf").write_text("[Login]\nKillUserProcesses = no\n")
    assert not login.kills_on_logout(places)


@pytest.mark.slow
def test_two_ranks_of_accelerate_really_meet():
    assert probe.world_size("cpu") == (2, "")
