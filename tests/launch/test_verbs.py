"""launch, stop, resume and queue as a person types them; the slow one trains for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import launch_kit as kit
import pytest

from rmtui.runs.model import State
from rmtui.runs.state import status


def rmtui(ws, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rmtui", "-C", str(ws.root), *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=560,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_stop_and_queue(ws):
    first = kit.start(ws, steps=2, hold_at=1)
    kit.until_step(first, 1)
    second, third = kit.start(ws, steps=1), kit.start(ws, steps=1)
    assert rmtui(ws, "queue", "--move", third.id, "1").stdout.splitlines()[0].split()[:2] == ["1", third.id]
    listed = json.loads(rmtui(ws, "queue", "--json").stdout)
    assert [(place["id"], place["place"]) for place in listed] == [(third.id, 1), (second.id, 2)]
    assert rmtui(ws, "queue", "--remove", second.id).returncode == 0
    refused = rmtui(ws, "queue", "--remove", first.id)
    assert refused.returncode == 2 and "does not wait" in refused.stderr
    assert status(first).state == State.RUNNING, "it trains on"
    stopped = rmtui(ws, "stop", first.id, "--wait", "--json")
    assert (stopped.returncode, json.loads(stopped.stdout)["state"]) == (0, "stopped")
    assert kit.until_ended(third).state == State.FINISHED
    assert rmtui(ws, "stop", "no-such-run").returncode == 2


def test_resume_says_where_it_goes_on_and_waits(ws):
    run = kit.start(ws, steps=4, hold_at=2)
    kit.until_step(run, 2)
    assert rmtui(ws, "resume", run.id).returncode == 2
    assert rmtui(ws, "stop", run.id, "--wait").returncode == 0
    kit.go(run)
    resumed = rmtui(ws, "resume", run.id, "--wait")
    assert (resumed.returncode, resumed.stdout.strip()) == (0, run.id)
    assert "resumes from step 2" in resumed.stderr and "finished" in resumed.stderr


def test_a_dry_run_shows_line_and_figures_and_starts_nothing(ws):
    done = rmtui(ws, "launch", "A", "--procs", "2", "--dry-run", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 2 and {problem["key"] for problem in document["problems"]} >= {"model", "data.train"}
    assert "--multi_gpu --num_processes 2" in document["line"]
    assert not list(ws.runs.iterdir())


def test_a_dry_run_in_words_tells_parameters_and_memory(ws):
    facts = {"model_type": "llama", "vocab_size": 1000, "hidden_size": 64, "intermediate_size": 128}
    model = ws.root / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({**facts, "num_hidden_layers": 1, "num_attention_heads": 4}))
    (model / "pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    done = rmtui(ws, "launch", "A", "--model", str(model), "--set", "method=full", "--dry-run")
    parameters = 1000 * 64 + 4 * 64 * 64 + 3 * 64 * 128 + 3 * 64 + 64
    shown = f"{parameters:,}"
    assert f"{shown} of {shown} parameters trained (100 %)" in done.stdout and "MB a process" in done.stdout


ACCELERATE_YAML = """
compute_environment: LOCAL_MACHINE
debug: true
distributed_type: {kind}
downcast_bf16: 'no'
enable_cpu_affinity: false
machine_rank: 0
main_training_function: main
mixed_precision: bf16
num_machines: 1
num_processes: 7
rdzv_backend: static
same_network: true
use_cpu: false
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_accelerates_own_configuration_is_passed_through_and_rmtuis_figures_count(ws):
    kit.tiny_workspace(ws)
    (ws.root / "acc.yaml").write_text(ACCELERATE_YAML.format(kind="MULTI_GPU"))
    words = ["--accelerate-config", "acc.yaml", "--procs", "2", "--set", "num_epochs=1"]
    done = subprocess.run(
        [sys.executable, "-m", "rmtui", "-C", str(ws.root), "launch", "A", *words, "--wait"],
        capture_output=True,
        text=True,
        timeout=560,
        cwd=ws.root,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    run = kit.RunFolder(ws.runs / done.stdout.strip())
    argv = run.last_attempt().launch()["argv"]
    assert argv[argv.index("--config_file") + 1] == str(ws.root / "acc.yaml")
    start = next(event for event in kit.events(run) if event["kind"] == "start")
    assert start["data"]["world_size"] == 2, "not the file's 7"
    assert {path.name for path in run.last_attempt().ranks.iterdir()} == {"rank0", "rank1"}


def test_a_configuration_of_accelerate_that_is_not_there_is_told(ws):
    done = rmtui(ws, "launch", "A", "--accelerate-config", "nowhere.yaml", "--dry-run")
    assert done.returncode == 2 and "nowhere.yaml does not exist" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_real_ranks_train_and_seeds_queue_behind_each_other(ws):
    kit.tiny_workspace(ws)
    done = rmtui(ws, "launch", "A", "--set", "num_epochs=1", "--seeds", "1,2", "--tag", "night", "--wait")
    assert done.returncode == 0, done.stderr
    runs = [kit.RunFolder(ws.runs / run_id) for run_id in done.stdout.split()]
    assert [run.name() for run in runs] == ["tiny-A-1", "tiny-A-2"]
    assert [run.spec()["config"]["seed"] for run in runs] == [1, 2]
    assert runs[0].last_attempt().exit()["ended"] <= runs[1].last_attempt().launch()["t"]
    for run in runs:
        kinds = {event["kind"]: event for event in kit.events(run)}
        assert kinds["start"]["data"]["world_size"] == 2
        assert (kinds["epoch"]["metrics"]["val_acc"] * 7) % 1 == pytest.approx(0, abs=1e-9)
        assert {path.name for path in run.last_attempt().logs.iterdir()} == {"launch.log", "rank0.log", "rank1.log"}
        assert run.meta()["tags"] == ["night"]
        assert kit.none_left(run)
