"""A job of a cluster that is started again: it trains on where Slurm ended it, and not where a person did."""

from __future__ import annotations

import launch_kit as kit
import pytest

from rmtui.launch.slurm import chain, job, settle
from rmtui.runs.folder import RunFolder
from rmtui.workspace import Workspace


@pytest.fixture
def run(ws: Workspace) -> RunFolder:
    """A run whose first attempt, job 4242, has ended."""
    made = kit.cluster_run(ws)
    attempt = made.attempts()[0]
    kit.write_json(attempt.path / "exit.json", {"outcome": "stopped", "reason": "stopped by ann", "ended": 1.0})
    return made


def test_a_job_that_a_forgetful_controller_starts_again_does_not_train_what_a_person_stopped(run, monkeypatch, capfd):
    run.request_stop(True, "ann")
    monkeypatch.setenv("SLURM_JOB_ID", "4242")
    assert job.main([str(run.path), "1"]) == 0
    assert [attempt.n for attempt in run.attempts()] == [1], "no second attempt began"
    assert "the run was stopped" in "".join(capfd.readouterr())


def test_neither_does_one_that_was_taken_out_of_the_queue_before_it_began(run, monkeypatch):
    (run.attempts()[0].path / "launch.json").unlink()
    run.request_stop(False, "ann")
    monkeypatch.setenv("SLURM_JOB_ID", "4242")
    assert job.main([str(run.path), "1"]) == 0
    assert not run.attempts()[0].launch(), "nothing began"


def test_what_slurm_stopped_goes_on_and_so_does_a_later_attempt(run):
    run.request_stop(False, settle.SLURM, 1)
    assert not chain.was_stopped(run, 1), "preempted, then requeued"
    run.request_stop(False, "ann", 1)
    assert not chain.was_stopped(run, 2), "resumed with a job of its own"
