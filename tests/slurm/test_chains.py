"""Chains of jobs, for sites that forbid a requeue: the next one goes on where Slurm ended the one before, and none is
left once the run is over."""

from __future__ import annotations

from dataclasses import replace

import launch_kit as kit
import pytest
import slurm_kit
from slurm_kit import State

from rmtui.launch.command import Command
from rmtui.launch.launcher import NotSubmitted
from rmtui.launch.slurm.calls import SlurmError
from rmtui.operations import launch, stop
from rmtui.runs import cluster_jobs, state

pytestmark = pytest.mark.faults


def started(ws, chain=2, **asked):
    """A training that waits at step 2, with the ids of its jobs."""
    run = slurm_kit.start(ws, how={"steps": 4, "hold_at": 2}, chain=chain, **asked)
    job = cluster_jobs.read(run)
    kit.until_step(run, 2)
    assert len({job.id, *job.chain}) == 1 + chain and slurm_kit.calls.job(job.id).state == "RUNNING"
    return run, [job.id, *job.chain]


def states(jobs):
    rows = slurm_kit.calls.queue()
    return [rows[number].state for number in jobs]


def finished(run):
    """The end of its second attempt, by its files alone: nobody looked at Slurm meanwhile."""
    kit.go(run)
    kit.until(lambda: run.last_attempt().n == 2 and (run.last_attempt().exit() or {}).get("outcome"), "its end")
    assert [event["step"] for event in kit.events(run) if event["kind"] == "step"] == [1, 2, 3, 4]
    assert run.last_attempt().exit()["outcome"] == "finished"


def test_the_next_job_goes_on_after_the_time_limit_and_the_rest_is_taken_away(ws, cluster):
    run, jobs = started(ws, time="2")
    assert "#SBATCH --no-requeue" in (run.path / "attempt-1/job.sbatch").read_text()
    slurm_kit.warn(run)
    kit.until(lambda: cluster_jobs.read(run).id == jobs[1], "the next job")
    now = state.status(run)
    assert now.state in (State.QUEUED, State.STARTING, State.RUNNING), now
    if now.state == State.QUEUED:
        assert "a checkpoint of step 2 is there, goes on in the next job of its chain" in now.reason
    finished(run)
    kit.until(lambda: states(jobs)[2] == "CANCELLED", "the last job of the chain")
    assert slurm_kit.look(ws, run).state == State.FINISHED
    assert [attempt.launch()["job"] for attempt in run.attempts()] == jobs[:2]
    assert run.attempts()[0].exit()["reason"].startswith("timed out at step 2; a checkpoint of step 2 is there")


def test_it_goes_on_after_a_preemption(ws, cluster):
    run, _ = started(ws, chain=1)
    slurm_kit.preempt(ws)
    kit.until(lambda: run.attempts()[0].exit(), "the first job's last word")
    finished(run)
    assert run.attempts()[0].exit()["reason"].startswith("preempted at step 2")


def test_it_goes_on_after_its_node_failed_without_a_last_word(ws, cluster):
    run, jobs = started(ws, chain=1, sbatch=["nodelist=n2"])
    cluster.do("kill-node", "n2")
    try:
        now = slurm_kit.until(ws, run, State.QUEUED, words="goes on in the next job of its chain")
        assert now.reason.startswith("node failed (one of n2) at step 2; no checkpoint was saved, goes on"), now
    finally:
        cluster.do("start-node", "n2")
    kit.go(run)
    slurm_kit.until(ws, run, State.FINISHED)
    assert [attempt.launch()["job"] for attempt in run.attempts()] == jobs


def test_a_run_that_its_owner_stops_leaves_no_job_of_its_chain(ws, cluster):
    run, jobs = started(ws)
    assert stop.stop(ws, run.id, wait=True).state == State.STOPPED
    kit.until(lambda: states(jobs)[1:] == ["CANCELLED", "CANCELLED"], "the chain's end")
    assert slurm_kit.look(ws, run).state == State.STOPPED and len(run.attempts()) == 1


def test_a_job_that_somebody_cancels_is_not_gone_on_with(ws, cluster):
    run, jobs = started(ws)
    slurm_kit.slurm("scancel", jobs[0])
    kit.until(lambda: states(jobs)[1:] == ["CANCELLED", "CANCELLED"], "the chain's end")
    now = slurm_kit.until(ws, run, State.STOPPED)
    assert now.reason.startswith("stopped by somebody else (scancel)") and len(run.attempts()) == 1


def test_a_chain_that_waits_leaves_the_queue_as_a_whole(ws, cluster):
    run = slurm_kit.start(ws, sbatch=["hold"], chain=2)
    job = cluster_jobs.read(run)
    assert stop.stop(ws, run.id).state == State.STOPPED
    assert states([job.id, *job.chain]) == ["CANCELLED"] * 3


def test_the_end_of_a_chain_is_said(ws, cluster):
    run, jobs = started(ws, chain=1, time="2")
    slurm_kit.slurm("scancel", jobs[1])
    cluster_jobs.write(run, replace(cluster_jobs.read(run), chain=[]))
    slurm_kit.warn(run)
    now = slurm_kit.until(ws, run, State.INTERRUPTED)
    assert now.reason.endswith("it was the last job of its chain") and now.resumable


def test_a_job_of_an_earlier_chain_does_nothing(ws, cluster):
    """As where it could not be cancelled when its run was over."""
    run, jobs = started(ws, chain=1)
    cluster_jobs.write(run, replace(cluster_jobs.read(run), chain=[]))
    kit.go(run)
    kit.until(lambda: states(jobs) == ["COMPLETED", "COMPLETED"], "the end of both")
    assert len(run.attempts()) == 1 and slurm_kit.look(ws, run).state == State.FINISHED


def test_a_chain_that_is_refused_in_part_leaves_no_job(ws, cluster, monkeypatch):
    submit, taken = slurm_kit.calls.submit, []

    def refusing(script, cwd, *options):
        if taken:
            raise SlurmError("Job violates accounting/QOS policy (job submit limit)")
        taken.append(submit(script, cwd, "--hold", *options))
        return taken[0]

    monkeypatch.setattr(slurm_kit.calls, "submit", refusing)
    document = kit.spec()
    document["launch"] = {**slurm_kit.LAUNCH, "chain": 2}
    with pytest.raises(NotSubmitted, match="job submit limit"):
        launch.start(ws, launch.Plan(document, (), Command(())))
    assert states(taken) == ["CANCELLED"] and list(ws.runs.glob("2*")) == []
