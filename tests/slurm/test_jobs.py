"""A run as a job of a real Slurm: submitted, run, stopped, ended by others, and what is told of it meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import launch_kit as kit
import pytest
import slurm_kit
from slurm_kit import State

from rmtui.errors import UserError
from rmtui.launch.launcher import NotSubmitted, Start
from rmtui.operations import launch, queue, resume, stop
from rmtui.runs import cluster_jobs, state
from rmtui.runs.folder import RunFolder


def index_files(ws):
    return {path.name: path.stat().st_mtime_ns for path in ws.root.glob("runs.sqlite*")}


def test_a_job_runs_to_its_end_and_its_own_last_word_stays(ws, cluster):
    index = index_files(ws)
    run = slurm_kit.start(ws, how={"steps": 3, "hold_at": 2})
    now = slurm_kit.until(ws, run, State.RUNNING)
    assert now.reason.startswith("on n1") and state.attempt_fact(run, run.last_attempt()).state == State.RUNNING
    kit.go(run)
    now = slurm_kit.until(ws, run, State.FINISHED)
    assert not cluster_jobs.open_runs(ws.queue, ws.runs) or slurm_kit.look(ws, run).state == State.FINISHED
    assert json.loads((run.path / "attempt-1/exit.json").read_text())["outcome"] == "finished"
    assert index_files(ws) == index  # no job writes it
    assert "#SBATCH --signal=B:USR1@30" in (run.path / "attempt-1/job.sbatch").read_text()


def test_a_stop_saves_a_checkpoint_and_a_resume_goes_on_from_it(ws, cluster):
    run = slurm_kit.start(ws, how={"steps": 5, "hold_at": 2, "save_seconds": 7.4})
    slurm_kit.until(ws, run, State.RUNNING)
    kit.until_step(run, 2)
    ended = stop.stop(ws, run.id, wait=True)
    assert ended.state == State.STOPPED and "at step 2" in ended.reason
    assert slurm_kit.calls.job(slurm_kit.job(run)).state != "RUNNING"
    kit.go(run)
    assert resume.resume(ws, run.id).step == 2
    assert slurm_kit.until(ws, run, State.FINISHED)
    assert [event["step"] for event in kit.events(run) if event["kind"] == "step"] == [1, 2, 3, 4, 5]
    assert run.last_attempt().launch()["resumed_from_step"] == 2
    assert "#SBATCH --signal=B:USR1@68" in (run.path / "attempt-2/job.sbatch").read_text()  # as its checkpoint took


def test_killed_at_once_is_told_as_that_and_nothing_is_left(ws, cluster):
    run = slurm_kit.start(ws, how={"steps": 5, "hold_at": 2, "deaf": True})
    kit.until_step(run, 2)
    ended = stop.stop(ws, run.id, now=True, wait=True)
    assert ended.state == State.KILLED and "killed at once by" in ended.reason
    kit.until(lambda: kit.none_left(run), "the ranks' end")


def test_a_job_cancelled_by_somebody_else_is_told_as_that(ws, cluster):
    run = slurm_kit.start(ws, how={"steps": 5, "hold_at": 2})
    kit.until_step(run, 2)
    slurm_kit.slurm("scancel", slurm_kit.job(run))
    now = slurm_kit.until(ws, run, State.STOPPED)
    assert (
        now.reason.startswith("stopped by somebody else (scancel)") and "a checkpoint of step 2 is there" in now.reason
    )


def test_a_pending_job_says_why_it_waits_and_leaves_the_queue_on_a_stop(ws, cluster):
    first = slurm_kit.start(ws, how={"steps": 2, "hold_at": 1}, nodes=2)
    second = slurm_kit.start(ws, how={"steps": 2}, sbatch=["exclusive"], nodes=2)
    now = slurm_kit.until(ws, second, State.QUEUED, words="waiting for resources")
    ended = stop.stop(ws, second.id)
    assert ended.state == State.STOPPED and ended.reason.startswith("removed from the queue by")
    assert slurm_kit.look(ws, first).state.alive and now.supervised


def test_a_pending_job_that_somebody_deletes_is_told_as_stopped_by_them(ws, cluster):
    run = slurm_kit.start(ws, sbatch=["begin=now+1hour"])
    slurm_kit.until(ws, run, State.QUEUED, words="its time has not come")
    slurm_kit.slurm("scancel", slurm_kit.job(run))
    now = slurm_kit.until(ws, run, State.STOPPED)
    assert now.reason == "stopped by somebody else (scancel) before it began" and now.resumable


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"partition": "nowhere"}, "invalid partition"),
        ({"sbatch": ["mem=1000G"]}, "Memory"),
        ({"time": "tomorrow"}, "time"),
        ({"sbatch": ["no-such-option=1"]}, "no-such-option"),
    ],
)
def test_a_refused_job_leaves_no_half_run_and_slurms_own_words(ws, cluster, asked, words):
    from rmtui.launch.command import Command
    from rmtui.operations.plan import Plan

    document = kit.spec()
    document["launch"] = {**slurm_kit.LAUNCH, **asked}
    with pytest.raises(NotSubmitted) as refused:
        launch.start(ws, Plan(document, (), Command(())))
    assert words.lower() in str(refused.value).lower()
    assert list(ws.runs.glob("2*")) == [] and cluster_jobs.open_runs(ws.queue, ws.runs) == []


def test_a_resume_that_is_refused_leaves_the_run_as_it_was(ws, cluster):
    run = slurm_kit.start(ws, how={"steps": 5, "hold_at": 2})
    kit.until_step(run, 2)
    before = stop.stop(ws, run.id, wait=True)
    slurm_kit.look(ws, run)
    text = (run.path / "spec.toml").read_text().replace('partition = ""', 'partition = "nowhere"')
    (run.path / "spec.toml").write_text(text)
    with pytest.raises(UserError, match="invalid partition"):
        resume.resume(ws, run.id)
    assert [attempt.n for attempt in run.attempts()] == [1] and state.status(run) == before


def test_a_failing_rank_is_told_with_its_reason(ws, cluster):
    run = slurm_kit.start(ws, how={"steps": 5, "crash": {"rank": 0, "step": 2, "how": "raise"}})
    now = slurm_kit.until(ws, run, State.FAILED)
    assert "the data ended early" in now.reason


def test_a_prologue_that_fails_is_told_with_its_last_line(ws, cluster):
    run = slurm_kit.start(ws, prologue="module load cuda || { echo no such module >&2; exit 3; }")
    now = slurm_kit.until(ws, run, State.FAILED)
    assert "before rmtui's part of it began: no such module" in now.reason


def test_ranks_have_the_environment_of_the_prologue_also_where_a_job_is_given_none(ws, cluster):
    wrap = """sh -c 'test "$MARK" = prologue || exit 9; exec "$@"' --"""
    run = slurm_kit.start(ws, sbatch=["export=NONE"], prologue="export MARK=prologue", wrap=wrap)
    slurm_kit.until(ws, run, State.FINISHED)


def test_variables_of_the_submitting_shell_change_nothing_of_what_the_script_says(ws, cluster, monkeypatch):
    others = {"PARTITION": "urgent", "TIMELIMIT": "9", "SIGNAL": "KILL@9", "NO_REQUEUE": "1", "MEM_PER_CPU": "1"}
    for name, value in others.items():
        monkeypatch.setenv(f"SBATCH_{name}", value)
    monkeypatch.setenv("SBATCH_WAIT", "1")
    run = slurm_kit.start(ws, sbatch=["hold", "nice=5"], partition="short", time="2")
    found = slurm_kit.calls.show(["job", slurm_kit.job(run)])
    asked = {key: found[key] for key in ("Partition", "TimeLimit", "Requeue", "MinMemoryNode")}
    assert asked == {"Partition": "short", "TimeLimit": "00:02:00", "Requeue": "1", "MinMemoryNode": "500M"}
    monkeypatch.setenv("SQUEUE_PARTITION", "main")
    monkeypatch.setenv("SCANCEL_STATE", "RUNNING")
    assert slurm_kit.calls.queue().keys() >= {slurm_kit.job(run)}
    assert stop.stop(ws, run.id).state == State.STOPPED


def test_a_launch_from_within_another_job_is_a_job_of_its_own(ws, cluster, monkeypatch):
    for name, value in {"JOB_ID": "1", "MEM_PER_CPU": "100", "NTASKS": "7", "NNODES": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)  # as salloc leaves them
    run = slurm_kit.start(ws, nodes=2, trainer="accelerate", how={"steps": 2})
    slurm_kit.until(ws, run, State.FINISHED)


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path, monkeypatch):
    """A site's wrapper around squeue, which waits for another program."""
    (tmp_path / "squeue").write_text("#!/bin/sh\nsleep 987654\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm_kit.calls, "PATIENCE", 0.5)
    with pytest.raises(slurm_kit.calls.NoAnswer, match="squeue got no answer from Slurm"):
        slurm_kit.calls.queue()
    kit.until(lambda: subprocess.run(["pgrep", "-f", "^sleep 987654"], check=False).returncode, "its end")


def test_200_pending_jobs_are_looked_at_with_one_question(ws, cluster, monkeypatch):
    asked = []
    call = slurm_kit.calls.call
    document = kit.spec()
    document["launch"] = {**slurm_kit.LAUNCH, "sbatch": ["hold"]}
    runs = [RunFolder.create(ws.runs, document) for _ in range(200)]
    with ThreadPoolExecutor(4) as several:
        list(several.map(lambda run: slurm_kit.Slurm().submit(ws, run, Start()), runs))
    monkeypatch.setattr(slurm_kit.calls, "call", lambda words, *more: asked.append(words[0]) or call(words, *more))
    slurm_kit.look(ws, runs[0])
    assert asked == ["squeue"]
    assert {state.status(run) for run in runs} == {
        slurm_kit.Status(State.QUEUED, "held by you: scontrol release (JobHeldUser)")
    }


def test_the_queue_lists_what_slurm_holds_and_leaves_its_order_to_slurm(ws, cluster):
    run = slurm_kit.start(ws, sbatch=["hold"])
    slurm_kit.look(ws, run)
    (place,) = queue.places(ws)
    assert (place.id, place.needs, place.attended) == (
        run.id,
        "1 node × 1 core",
        True,
    ) and "held by you" in place.reason
    with pytest.raises(UserError, match="its scheduler alone orders"):
        queue.move(ws, run.id, 1)
    queue.check_waits(ws, run.id)
    stop.stop(ws, run.id)
    assert queue.places(ws) == []


def test_another_login_node_lists_the_run_alike_from_its_own_index_and_stops_it(ws, cluster, tmp_path):
    (ws.root / "workspace.toml").write_text('index = "local"\n')
    run = slurm_kit.start(ws, how={"steps": 5, "hold_at": 2})
    kit.until_step(run, 2)
    slurm_kit.until(ws, run, State.RUNNING)

    def rmtui(host, *words):
        inside = ["unshare", "--uts", "sh", "-c", f'hostname {host}; exec "$@"', "sh", sys.executable, "-m", "rmtui"]
        env = os.environ | {"XDG_STATE_HOME": str(tmp_path / host)}
        done = subprocess.run([*inside, "-C", str(ws.root), *words], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    rows = [[(row["id"], row["state"], row["reason"]) for row in json.loads(rmtui(host, "ls", "--json"))]
            for host in ("login1", "login2")]  # fmt: skip
    assert rows[0] == rows[1] and rows[0][0][:2] == (run.id, "running") and rows[0][0][2].startswith("on n1")
    rmtui("login2", "stop", run.id, "--wait")
    assert slurm_kit.until(ws, run, State.STOPPED).reason.startswith("stopped by")
    assert len(list(tmp_path.glob("login?/**/runs.sqlite"))) == 2


def test_nobody_is_asked_again_within_half_a_minute_unless_at_once(ws, cluster, monkeypatch):
    run = slurm_kit.start(ws, sbatch=["hold"])
    slurm_kit.look(ws, run)
    asked = []
    monkeypatch.setattr(slurm_kit.calls, "queue", lambda: asked.append(time.time()) or {})
    slurm_kit.Slurm().look(ws)
    assert asked == []
