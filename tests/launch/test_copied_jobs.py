"""A job of a cluster that a copy or a bundle names is another run's: nothing here believes, asks for or cancels it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import launch_kit as kit
import pytest

from rmtui.errors import UserError
from rmtui.exporters import bundle
from rmtui.launch import launchers
from rmtui.operations import imports, runs, stop
from rmtui.runs import cluster_jobs, ownership
from rmtui.runs.files import locked
from rmtui.runs.folder import RunFolder
from rmtui.runs.model import State
from rmtui.workspace import Workspace, open_workspace


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Slurm was asked, a line a call: a stand-in for its commands, since only the calls matter."""
    calls, folder = tmp_path / "calls", tmp_path / "slurm"
    folder.mkdir()
    calls.touch()
    for name in ("squeue", "scancel", "scontrol", "sacct"):
        answer = "exit 1" if name == "squeue" else "exit 0"  # what is known of jobs stays as it is
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\n{answer}\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return calls


@pytest.fixture
def run(ws: Workspace) -> RunFolder:
    """A run that is job 4242, with another one behind it, on a node that is not this machine."""
    made = kit.cluster_run(ws, host="node1", boot_id="b")
    cluster_jobs.write(made, cluster_jobs.ClusterJob("slurm", 1, time.time(), "4242", chain=["4243"]))
    cluster_jobs.note(made, cluster_jobs.ClusterJobState("4242", time.time(), cluster_jobs.RUNNING, nodes="node1"))
    return made


def copied(run: RunFolder, there: Workspace) -> RunFolder:
    subprocess.run(["cp", "-a", run.path, there.runs], check=True)
    return RunFolder(there.runs / run.id)


def bundled(run: RunFolder, there: Workspace) -> RunFolder:
    path = there.root / "run.tar.gz"
    bundle.pack(run.path, path)
    imports.import_paths(there, [path])
    return RunFolder(there.runs / run.id)


def cut_out(run: RunFolder, there: Workspace) -> RunFolder:
    """A tarball that somebody else made, with the job in it."""
    subprocess.run(["tar", "-C", run.path.parent, "-czf", there.root / "run.tar.gz", run.id], check=True)
    imports.import_paths(there, [there.root / "run.tar.gz"])
    return RunFolder(there.runs / run.id)


@pytest.mark.parametrize("came", [copied, bundled, cut_out])
def test_a_job_that_came_with_a_run_is_neither_believed_nor_cancelled(run, asked, tmp_path, came):
    there = kit.make_workspace(tmp_path / "there")
    mine = came(run, there)
    now = kit.state.status(mine)
    assert now.state == State.UNKNOWN and not now.resumable
    with pytest.raises(UserError, match="cannot be stopped from here"):
        stop.stop(there, run.id, now=True)
    launchers.look_at_jobs(there, at_once=True)
    assert runs.remove(there, run.id, not_running=True) == run.id
    assert asked.read_text() == ""
    assert kit.state.status(run).state in (State.STARTING, State.RUNNING), "the run itself is as it was"


def test_on_a_node_the_copy_of_a_run_that_trains_there_is_not_called_dead(run, tmp_path):
    """Where the copy is looked at under the kernel of the job itself."""
    attempt = run.last_attempt()
    here = {"host": kit.proc.host(), "boot_id": kit.proc.boot_id()}
    kit.write_json(attempt.path / "launch.json", attempt.launch() | here)
    mine = copied(run, kit.make_workspace(tmp_path / "there"))
    with locked(attempt.lock, 10.0):
        now = kit.state.status(mine)
    assert now.state == State.UNKNOWN and f"copy of {run.path}" in now.reason


def test_an_owned_copy_of_a_workspace_asks_for_no_job_of_the_original(ws, run, asked):
    there = ws.root.with_name("copy")
    subprocess.run(["cp", "-a", ws.root, there], check=True)
    copy = open_workspace(there)
    ownership.own(there)
    launchers.look_at_jobs(copy, at_once=True)
    with pytest.raises(UserError, match="cannot be stopped from here"):
        stop.stop(copy, run.id, now=True)
    assert not [line for line in asked.read_text().splitlines() if not line.startswith("squeue")]


def test_the_job_of_a_run_whose_workspace_was_renamed_is_still_its_own(ws, run, asked):
    moved = open_workspace(ws.root.rename(ws.root.with_name("moved")))
    stop.stop(moved, run.id, now=True)
    assert "scancel 4242" in asked.read_text().splitlines()
