"""What goes wrong around jobs: preemption, time limits, nodes and daemons that die, a controller that is away."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import launch_kit as kit
import pytest
import slurm_kit
from slurm_kit import State

from rmtui.errors import UserError
from rmtui.operations import cluster_doctor, stop
from rmtui.runs import cluster_jobs, proc, state
from rmtui.runs.cluster_jobs import LastLook

pytestmark = pytest.mark.faults
MEMORY = Path("/sys/fs/cgroup/memory")
HELD = {"steps": 4, "hold_at": 2}


def steps(run):
    return [event["step"] for event in kit.events(run) if event["kind"] == "step"]


def started(ws, **asked):
    """A training that waits at step 2."""
    run = slurm_kit.start(ws, how=asked.pop("how", HELD), **asked)
    kit.until_step(run, 2, ranks=asked.get("nodes", 1))
    return run


def goes_on(ws, run):
    """Its hold is taken away, and it finishes with each step made once."""
    kit.go(run)
    slurm_kit.until(ws, run, State.FINISHED)
    assert steps(run) == [1, 2, 3, 4]


def test_a_preempted_job_saves_is_requeued_and_goes_on(ws, cluster):
    run = started(ws)
    slurm_kit.preempt(ws)
    now = slurm_kit.until(ws, run, State.QUEUED, words="requeued")
    assert now.reason.startswith("preempted at step 2; a checkpoint of step 2 is there, requeued"), now
    goes_on(ws, run)
    first, second = run.attempts()
    assert state.attempt_fact(run, first).state == State.INTERRUPTED and second.launch()["restart"] == 1


def test_with_a_grace_time_a_preempted_job_is_requeued_too(ws, cluster):
    run = started(ws, partition="graceful")
    slurm_kit.preempt(ws)
    now = slurm_kit.until(ws, run, State.QUEUED, words="requeued")
    assert now.reason.startswith("preempted at step 2; a checkpoint of step 2 is there, requeued"), now
    goes_on(ws, run)


def test_where_the_site_sends_the_jobs_own_signal_a_preempted_job_saves_before_slurm_ends_it(ws, cluster):
    with cluster.setting("SlurmctldParameters=preempt_send_user_signal"):
        assert any("warned by their own signal" in finding[2] for finding in cluster_doctor.look(ws))
        run = started(ws, partition="graceful")
        slurm_kit.preempt(ws)
        now = slurm_kit.until(ws, run, State.QUEUED, words="requeued")
        assert now.reason.startswith("preempted at step 2; a checkpoint of step 2 is there, requeued"), now
        assert "DUE TO PREEMPTION" not in slurm_kit.log(run), "it was gone before Slurm sent SIGTERM"
        goes_on(ws, run)


def test_a_deaf_training_that_is_preempted_loses_no_more_than_it_says(ws, cluster):
    run = started(ws, how={"steps": 4, "hold_at": 2, "save_at": 1, "deaf": True})
    slurm_kit.preempt(ws)
    slurm_kit.until(ws, run, State.QUEUED, words="requeued")
    kit.go(run)
    slurm_kit.until(ws, run, State.FINISHED)
    assert steps(run) == [1, 2, 2, 3, 4] and run.last_attempt().launch()["resumed_from_step"] == 1
    assert "preempted at step 2; a checkpoint of step 1 is there" in run.attempts()[0].exit()["reason"]


def test_the_warning_before_the_time_limit_saves_and_requeues(ws, cluster):
    run = started(ws, time="2")
    slurm_kit.warn(run)
    now = slurm_kit.until(ws, run, State.QUEUED, words="requeued")
    assert now.reason.startswith("timed out at step 2; a checkpoint of step 2 is there, requeued"), now
    goes_on(ws, run)


def test_a_job_that_comes_no_further_within_its_limit_is_not_requeued_for_ever(ws, cluster):
    run = started(ws, how=HELD | {"deaf": True}, grace=1.0, time="2")
    slurm_kit.warn(run)
    now = slurm_kit.until(ws, run, State.INTERRUPTED)
    assert now.reason.startswith("timed out") and now.resumable
    kit.until(lambda: slurm_kit.calls.queue()[slurm_kit.job(run)].state == "COMPLETED", "the job's end")
    assert slurm_kit.look(ws, run).state == State.INTERRUPTED and len(run.attempts()) == 1


def test_a_requeue_by_hand_is_a_new_attempt(ws, cluster):
    run = started(ws)
    slurm_kit.slurm("scontrol", "requeue", slurm_kit.job(run))
    now = slurm_kit.until(ws, run, State.QUEUED)
    assert now.reason.startswith("sent back into the queue by somebody (scontrol requeue) at step 2; a checkpoint"), now
    goes_on(ws, run)
    assert len(run.attempts()) == 2


def test_a_job_that_is_requeued_and_held_says_how_it_is_let_go(ws, cluster):
    run = started(ws)
    slurm_kit.slurm("scontrol", "requeuehold", slurm_kit.job(run))
    now = slurm_kit.until(ws, run, State.QUEUED, words="held")
    assert "it was requeued and is held: scontrol release (job_requeued_in_held_state)" in now.reason
    assert "expected to start" not in now.reason
    slurm_kit.slurm("scontrol", "release", slurm_kit.job(run))
    goes_on(ws, run)


def test_a_job_that_is_suspended_is_not_said_to_work(ws, cluster):
    run = started(ws)
    slurm_kit.slurm("scontrol", "suspend", slurm_kit.job(run))
    words = "suspended: its processes stand still until Slurm resumes them"
    now = slurm_kit.until(ws, run, State.RUNNING, words=words)
    assert now.reason == f"on n1; {words}"
    stop.stop(ws, run.id)
    assert state.status(run) == (State.STOPPING, words, *state.status(run)[2:])  # it cannot save meanwhile
    slurm_kit.slurm("scontrol", "resume", slurm_kit.job(run))
    assert slurm_kit.until(ws, run, State.STOPPED).reason.endswith("at step 2")


def test_a_job_that_is_suspended_can_be_killed(ws, cluster):
    run = started(ws)
    slurm_kit.slurm("scontrol", "suspend", slurm_kit.job(run))
    slurm_kit.until(ws, run, State.RUNNING, words="suspended")
    assert stop.stop(ws, run.id, now=True, wait=True).state == State.KILLED
    kit.until(lambda: kit.none_left(run), "the ranks' end")


def test_a_signal_by_hand_saves_and_requeues_and_is_not_taken_for_the_limit(ws, cluster):
    run = started(ws, time="60")
    slurm_kit.warn(run)
    now = slurm_kit.until(ws, run, State.QUEUED, words="requeued")
    assert now.reason.startswith("asked to save by a signal (USR1) at step 2; a checkpoint of step 2 is there"), now
    goes_on(ws, run)


@pytest.mark.parametrize(("number", "saved"), [("USR1", True), ("TERM", True), ("INT", False)])
def test_a_signal_to_the_ranks_alone_is_no_crash(ws, cluster, number, saved):
    """The stand-in's ranks themselves end at once on INT."""
    run = started(ws, trainer="accelerate", nodes=2)
    slurm_kit.slurm("scancel", f"--signal={number}", slurm_kit.job(run))
    now = slurm_kit.until(ws, run, State.STOPPED, State.FAILED, State.KILLED)
    where = " at step 2; a checkpoint of step 2 is there" if saved else ""
    assert now.reason == f"stopped by somebody else (scancel){where}"
    kit.until(lambda: kit.none_left(run), "the ranks' end")


def test_a_step_that_srun_refuses_is_said_in_its_words(ws, cluster):
    run = slurm_kit.start(ws, srun=["--nodelist=n9"])
    now = slurm_kit.until(ws, run, State.FAILED)
    words = "Requested node configuration is not available"
    assert now.reason.startswith("its ranks were not started: srun: error: ") and now.reason.endswith(words), now


def test_a_requeued_job_that_is_then_cancelled_is_stopped_by_somebody_else(ws, cluster):
    run = started(ws)
    slurm_kit.preempt(ws, 5)
    slurm_kit.until(ws, run, State.QUEUED, words="requeued")
    slurm_kit.slurm("scancel", slurm_kit.job(run))
    now = slurm_kit.until(ws, run, State.STOPPED)
    assert now.reason.startswith("stopped by somebody else (scancel)") and now.resumable


def test_a_requeued_job_leaves_the_queue_on_a_stop(ws, cluster):
    run = started(ws)
    slurm_kit.preempt(ws, 5)
    slurm_kit.until(ws, run, State.QUEUED, words="requeued")
    assert stop.stop(ws, run.id).reason.startswith("stopped by")
    assert slurm_kit.look(ws, run).state == State.STOPPED


def test_while_the_controller_is_away_the_last_word_stays_with_its_age(ws, cluster, monkeypatch):
    run = started(ws)
    waits = slurm_kit.start(ws, sbatch=["hold"])
    slurm_kit.look(ws, waits)
    monkeypatch.setattr(slurm_kit.calls, "PATIENCE", 2.0)
    cluster.lose_controller()
    try:
        slurm_kit.look(ws, run)
        last = cluster_jobs.last_look(ws.queue, "slurm")
        assert last.error and last.t < last.tried
        cluster_jobs.write_look(ws.queue, "slurm", LastLook(last.t - 200, last.tried, last.error))  # three minutes ago
        for each in (run, waits):
            job = cluster_jobs.read(each)
            cluster_jobs.write(each, replace(job, t=job.t - 500))
        now = state.status(waits)
        assert now.state == State.QUEUED and now.reason.startswith("held by you") and "as it was " in now.reason
        assert state.status(run).state == State.RUNNING and "on n1" in state.status(run).reason
        kit.go(run)
        kit.until_ended(run)
    finally:
        cluster.find_controller()
    goes_on(ws, run)
    assert slurm_kit.until(ws, waits, State.QUEUED).reason == "held by you: scontrol release (JobHeldUser)"


def test_a_stop_reaches_the_training_while_the_controller_is_away(ws, cluster, monkeypatch):
    run = started(ws)
    monkeypatch.setattr(slurm_kit.calls, "PATIENCE", 2.0)
    cluster.lose_controller()
    try:
        stop.stop(ws, run.id)
        ended = kit.until_ended(run)
    finally:
        cluster.find_controller()
    assert ended.state == State.STOPPED and ended.reason.endswith("at step 2")


def test_a_job_whose_node_is_lost_is_requeued_and_goes_on(ws, cluster):
    run = started(ws, how={"steps": 4, "hold_at": 2, "save_at": 1}, sbatch=["nodelist=n2"])
    cluster.do("kill-node", "n2")
    try:
        now = slurm_kit.until(ws, run, State.QUEUED, words="requeued")
        assert "on n2" not in now.reason and run.attempts()[0].exit() is None, "nobody was left to write a last word"
    finally:
        cluster.do("start-node", "n2")
    kit.go(run)
    slurm_kit.until(ws, run, State.FINISHED, seconds=180)
    assert run.last_attempt().launch()["resumed_from_step"] == 1
    first = state.attempt_fact(run, run.attempts()[0])
    assert first.state == State.INTERRUPTED and first.reason.endswith("at step 2; a checkpoint of step 1 is there")


def test_out_of_memory_is_said_where_accounting_knows_it(ws, cluster, monkeypatch, tmp_path):
    """The answer of sacct is a stand-in's: without control groups and slurmdbd the cluster here never says so."""
    run = started(ws, nodes=2, trainer="accelerate")
    for pid in proc.pids():
        if b"rmtui.launch.slurm.job" in words_of(pid) and run.id.encode() in words_of(pid):
            os.kill(pid, signal.SIGKILL)
    (tmp_path / "sacct").write_text("#!/bin/sh\necho OUT_OF_MEMORY\n")
    (tmp_path / "sacct").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm_kit.calls, "queue", dict)
    monkeypatch.setattr(slurm_kit.calls, "job", lambda number: None)
    now = slurm_kit.until(ws, run, State.KILLED)
    assert now.reason.startswith("out of memory at step 2") and now.resumable
    kit.until(lambda: kit.none_left(run), "the ranks' end")


@pytest.mark.skipif(not MEMORY.is_dir(), reason="no control groups of memory (version 1) here")
def test_a_rank_that_the_kernel_kills_for_memory_is_named_with_its_node(ws, cluster):
    run = started(ws, how=HELD | {"eat_memory": True}, nodes=2, trainer="accelerate")
    rank = next(each for each in proc.tagged(run.id) if each.rank == 1)
    group = MEMORY / f"rmtui-{run.id}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(64 << 20))
        (group / "tasks").write_text(str(rank.proc.pid))
        kit.go(run)
        now = slurm_kit.until(ws, run, State.KILLED)
    finally:
        kit.until(lambda: kit.none_left(run), "the ranks' end")
        group.rmdir()
    assert now.reason.startswith("out of memory (node n") and "rank 1" in now.reason, now


@pytest.mark.parametrize("node", ["n1", "n2"], ids=["the supervisor's own", "another"])
def test_a_node_whose_slurmd_dies_is_named_and_keeps_no_rank(ws, cluster, node):
    """On the batch shell's own node its processes live on, and Slurm gives the job up."""
    run = slurm_kit.start(ws, "accelerate", 2, how=HELD, sbatch=["no-requeue"])
    kit.until_step(run, 2, ranks=2)
    cluster.do("kill-slurmd", node)
    try:
        now = slurm_kit.until(ws, run, State.INTERRUPTED, words="node failed")
        kit.until(lambda: kit.none_left(run), "the ranks' end")
    finally:
        cluster.do("start-slurmd", node)
    assert now.resumable


def test_a_rank_that_is_killed_on_one_node_is_named_with_it(ws, cluster):
    run = slurm_kit.start(ws, "accelerate", 2, how=HELD | {"crash": {"rank": 1, "step": 2, "how": "kill"}})
    now = slurm_kit.until(ws, run, State.KILLED)
    assert "rank 1 was killed (SIGKILL)" in now.reason and "rank 1 was on n" in now.reason
    kit.until(lambda: kit.none_left(run), "the other rank's end")


def test_a_stop_at_the_very_end_does_not_wait_for_a_launcher_that_waits_for_the_others(ws, cluster):
    """The rank of one node is done, and its launcher waits for that of the other, which the stop ends."""
    how = {"steps": 2, "slow_save": True}
    run = slurm_kit.start(ws, "accelerate", 2, how=how, grace=1000.0)
    kit.until(lambda: (run.control / "saving").exists(), "rank 0 in its last checkpoint")
    kit.until(lambda: [each.rank for each in proc.tagged(run.id) if each.rank is not None] == [0], "rank 1's end")
    stop.stop(ws, run.id)
    kit.go(run)
    assert slurm_kit.until(ws, run, State.FINISHED, State.STOPPED).state == State.FINISHED
    kit.until(lambda: kit.none_left(run), "the launchers' end")


def test_a_supervisor_that_is_killed_leaves_its_word_to_slurm(ws, cluster):
    run = started(ws)
    for pid in proc.pids():
        if b"rmtui.launch.slurm.job" in words_of(pid) and run.id.encode() in words_of(pid):
            os.kill(pid, signal.SIGKILL)
    now = slurm_kit.until(ws, run, State.FAILED, State.INTERRUPTED)
    assert "without a last word" in now.reason and now.resumable
    kit.until(lambda: kit.none_left(run), "the ranks' end")


def test_a_job_that_slurm_has_forgotten_is_judged_by_the_file_of_ended_jobs(ws, cluster, monkeypatch):
    run = slurm_kit.start(ws, sbatch=["hold"])
    slurm_kit.look(ws, run)
    slurm_kit.slurm("scancel", slurm_kit.job(run))
    monkeypatch.setattr(slurm_kit.calls, "queue", dict)
    monkeypatch.setattr(slurm_kit.calls, "job", lambda number: None)
    now = slurm_kit.until(ws, run, State.STOPPED)
    assert now.reason == "stopped by somebody else (scancel) before it began"


def test_an_earlier_requeue_is_not_the_end_of_a_job_that_slurm_has_forgotten(ws, cluster, monkeypatch):
    run = slurm_kit.start(ws, sbatch=["hold"])
    slurm_kit.look(ws, run)
    slurm_kit.slurm("scancel", slurm_kit.job(run))
    monkeypatch.setattr(slurm_kit.calls, "queue", dict)
    monkeypatch.setattr(slurm_kit.calls, "job", lambda number: None)
    monkeypatch.setattr(slurm_kit.calls, "recorded", lambda number: "PENDING")  # the record of its requeue alone
    now = slurm_kit.until(ws, run, State.INTERRUPTED)
    assert now.reason == "its job is over, and Slurm has forgotten how it ended before rmtui's part of it began"


def test_a_job_of_another_cluster_is_not_given_up_by_one_that_sees_the_workspace(ws, cluster, monkeypatch):
    run = slurm_kit.start(ws, sbatch=["hold"])
    before = slurm_kit.look(ws, run)
    job = cluster_jobs.read(run)
    assert job.cluster == "onemachine"
    slurm_kit.slurm("scontrol", "update", f"JobId={job.id}", "Comment=another")
    slurm_kit.slurm("scancel", job.id)
    kit.until(lambda: slurm_kit.calls.queue()[job.id].state == "CANCELLED", "its end")
    cluster_jobs.write(run, replace(job, id="999999", cluster="elsewhere"))
    assert slurm_kit.look(ws, run) == before._replace(reason="submitted as job 999999")
    other = slurm_kit.start(ws, sbatch=["hold"])
    cluster_jobs.write(run, replace(job, id=slurm_kit.job(other), cluster="elsewhere"))  # numbers are a cluster's own
    with pytest.raises(UserError, match="it is of cluster elsewhere, and here is onemachine"):
        stop.stop(ws, run.id)
    assert slurm_kit.look(ws, other).state == State.QUEUED
    cluster_jobs.write(run, replace(job, id="999999"))
    assert slurm_kit.look(ws, run).state == State.STOPPED  # on its own cluster it is over, and a stop was asked for


def test_a_submission_whose_answer_was_lost_is_found_by_its_comment(ws, cluster):
    run = slurm_kit.start(ws, sbatch=["hold"])
    job = cluster_jobs.read(run)
    cluster_jobs.write(run, replace(job, id=""))  # as before sbatch's answer was noted
    assert slurm_kit.look(ws, run).reason.startswith("held by you") and slurm_kit.job(run) == job.id


def test_a_submission_that_never_came_to_slurm_is_told_as_cut_off(ws, cluster):
    run = slurm_kit.start(ws, sbatch=["hold"])
    job = cluster_jobs.read(run)
    slurm_kit.slurm("scontrol", "update", f"JobId={job.id}", "Comment=another")
    cluster_jobs.write(run, replace(job, id="", t=job.t - 1000))
    now = slurm_kit.look(ws, run)
    assert now.state == State.INTERRUPTED and now.reason == "its submission was cut off" and now.resumable


def test_a_newer_attempt_fences_the_ranks_of_an_older_one(ws, cluster):
    run = started(ws, how=HELD | {"deaf": True})
    fence, lock = run.new_attempt(2)
    kit.until(lambda: kit.none_left(run), "the older ranks' end")
    assert fence.n == 2
    os.close(lock)


def words_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
