"""Real trainings on two nodes: their losses are those of one machine, and those of a training that nobody preempted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import launch_kit as kit
import pytest
import slurm_kit
from slurm_kit import State

from rmtui import workspace
from rmtui.demo import make_pairs
from rmtui.operations import launch
from rmtui.operations.launch_request import ClusterRequest, LaunchRequest
from rmtui.operations.plan import plan
from rmtui.runs.folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
OPTIONS = {
    "learning_rate": "2.5e-4",
    "max_length": "64",
    "num_epochs": "3",
    "batch_size": "4",
    "gradient_accumulation_steps": "8",
    "start_check": "false",
    "save_minutes": "60",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory, cluster):
    """A workspace with the demo's pairs and model, and its training on two ranks of this machine: the reference."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        ws = workspace.create(tmp_path_factory.mktemp("demo") / "ws")
        train, _ = make_pairs.write(ws.data)
        words = [sys.executable, "-m", "trainer.model.toy", str(ws.root / "models/demo"), str(train)]
        subprocess.run(words, check=True, capture_output=True)
        asked = LaunchRequest("A", OPTIONS, "demo", model="models/demo", procs=2, devices="cpu")
        run = launch_one(ws, asked)
        assert slurm_kit.until(ws, run, State.FINISHED, seconds=240)
        yield ws, asked, kit.spoken_losses(run)
    cluster.clear()


def launch_one(ws, asked) -> RunFolder:
    return RunFolder(ws.runs / launch.start(ws, plan(ws, asked)))


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_two_nodes_of_one_rank_train_as_two_ranks_of_one_machine(demo, cluster):
    ws, asked, reference = demo
    planned = plan(ws, replace(asked, cluster=ClusterRequest(nodes=2)))
    assert planned.place.startswith("2 nodes, each with 1 process, 1 core, ") and "#SBATCH --nodes=2" in planned.script
    run = RunFolder(ws.runs / launch.start(ws, planned))
    slurm_kit.until(ws, run, State.FINISHED, seconds=240)
    assert run.last_attempt().launch()["nodes"] == ["n1", "n2"]
    assert kit.spoken_losses(run) == reference


def test_a_preempted_training_goes_on_as_if_nothing_had_been(demo, cluster):
    ws, asked, reference = demo
    run = launch_one(ws, replace(asked, cluster=ClusterRequest(nodes=2)))
    kit.until_step(run, 2, ranks=2)
    slurm_kit.preempt(ws)
    slurm_kit.until(ws, run, State.QUEUED, words="requeued")
    slurm_kit.until(ws, run, State.FINISHED, seconds=240)
    assert len(run.attempts()) == 2 and kit.spoken_losses(run) == reference
    starts = [event["data"] for event in kit.events(run) if event["kind"] == "start"]
    assert starts[-1]["exact_resume"] is True and starts[-1]["resumed_from_step"] >= 2


def test_a_training_whose_node_is_lost_goes_on_from_the_last_checkpoint_of_the_clock(demo, cluster):
    ws, asked, reference = demo
    by_clock = {**OPTIONS, "save_minutes": "0.001", "save_steps": "0"}
    run = launch_one(ws, replace(asked, overrides=by_clock, cluster=ClusterRequest(nodes=2)))
    saved = run.path / "checkpoints"
    kit.until(lambda: len(list(saved.glob("step-*"))) >= 2, "checkpoints by time", seconds=240)
    cluster.do("kill-node", "n2")  # no signal, no word, no time to save
    slurm_kit.until(ws, run, State.QUEUED, words="requeued", seconds=120)
    cluster.do("start-node", "n2")
    slurm_kit.until(ws, run, State.FINISHED, seconds=240)
    events = kit.events(run)
    reasons = {event["data"]["reason"] for event in events if event["kind"] == "checkpoint"}
    assert "save_minutes" in reasons and kit.spoken_losses(run) == reference
    starts = [event["data"] for event in events if event["kind"] == "start"]
    assert starts[-1]["exact_resume"] is True and starts[-1]["resumed_from_step"] >= 1
