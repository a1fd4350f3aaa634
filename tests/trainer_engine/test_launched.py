"""The whole thing as it is launched: accelerate, two CPU ranks, a shell's terminal."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engine_worlds import toml
from safetensors.torch import load_file

from trainer import manifest
from trainer.events import read_from

pytestmark = pytest.mark.slow
TWO_RANKS = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"]


FSDP = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
fsdp_config:
  fsdp_version: 2
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_state_dict_type: FULL_STATE_DICT
  fsdp_reshard_after_forward: true
machine_rank: 0
num_machines: 1
num_processes: 2
mixed_precision: 'no'
use_cpu: false
"""
DEEPSPEED = """
compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
deepspeed_config:
  zero_stage: 2
machine_rank: 0
num_machines: 1
num_processes: 2
mixed_precision: 'no'
use_cpu: false
"""


def launch(run, *arguments, launcher=TWO_RANKS, program="trainer"):
    """`accelerate launch -m trainer`, from the run's folder."""
    line = [sys.executable, "-m", "accelerate.commands.launch", *launcher]
    line += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", program, "--config", str(run / "spec.toml")]
    paths = os.pathsep.join([str(Path.cwd()), str(Path(__file__).parent)])
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": paths,
        "DS_ACCELERATOR": "cpu",
    }
    return subprocess.Popen(
        [*line, *map(str, arguments)],
        cwd=run,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_alone_on_two_ranks(bench, tmp_path):
    """With --config only: run folder beside it, attempt-1, the log on the terminal too, the round trip at the end."""
    (tmp_path / "spec.toml").write_text(toml(bench.options(num_epochs=1)) + "[launch]\nprocesses = 2\n")
    said, _ = launch(tmp_path).communicate(timeout=240)
    attempt = tmp_path / "attempt-1"
    result = json.loads((attempt / "result.json").read_text())
    assert result["outcome"] == "finished", said
    assert result["round_trip"] <= 1e-6
    assert said.count("Epoch 1/1 | train_loss=") == 1
    assert "Epoch 1/1 | train_loss=" in (attempt / "logs/rank0.log").read_text()
    events, _, bad = read_from(attempt / "events.jsonl")
    assert bad == 0
    assert next(event for event in events if event.kind == "start").data["world_size"] == 2


def with_config(run, text):
    """The launcher's line for an accelerate configuration, as `--accelerate-config` hands it on."""
    (run / "accelerate.yaml").write_text(text)
    line = ["--config_file", str(run / "accelerate.yaml"), "--num_processes", "2", "--num_machines", "1"]
    return [*line, "--main_process_port", "0"]


@pytest.mark.parametrize(("name", "text"), [("FSDP", FSDP), ("DeepSpeed", DEEPSPEED)])
def test_a_configuration_that_accelerate_passes_over_on_cpus_is_refused(bench, tmp_path, name, text):
    """It would start the whole model on every rank, without a word."""
    if name == "DeepSpeed":
        pytest.importorskip("deepspeed")
    (tmp_path / "spec.toml").write_text(toml(bench.options(num_epochs=1)))
    said, _ = launch(tmp_path, launcher=with_config(tmp_path, text)).communicate(timeout=240)
    result = json.loads((tmp_path / "attempt-1/result.json").read_text())
    assert result["outcome"] == "failed", said
    assert f"asks for {name}" in result["reason"]
    assert "MULTI_CPU with 2 processes on cpu" in result["reason"]
    assert "without --accelerate-config" in result["reason"]
    assert "step 1/" not in said


@pytest.mark.parametrize(
    ("text", "program"), [(FSDP, "fsdp_on_cpu"), (DEEPSPEED, "deepspeed_on_cpu")], ids=["FSDP", "DeepSpeed"]
)
def test_a_sharding_configuration_reaches_the_training(bench, tmp_path, text, program):
    """Split by the file's rules, it does the steps of two plain ranks, and what it saves loads whole."""
    if program == "deepspeed_on_cpu":
        pytest.importorskip("deepspeed")
    for run, launcher, started in (
        (tmp_path / "plain", TWO_RANKS, "trainer"),
        (tmp_path / "split", with_config(tmp_path, text), program),
    ):
        run.mkdir()
        (run / "spec.toml").write_text(toml(bench.options(num_epochs=1, lora__dropout=0.0)))
        said, _ = launch(run, launcher=launcher, program=started).communicate(timeout=240)
        result = json.loads((run / "attempt-1/result.json").read_text())
        assert result["outcome"] == "finished", said
        assert result["round_trip"] <= 1e-6
    plain, split = steps(tmp_path / "plain"), steps(tmp_path / "split")
    assert len(plain) == len(split) == 4
    assert [loss for loss, _ in plain] == pytest.approx([loss for loss, _ in split], abs=1e-5)
    assert [norm for _, norm in plain] == pytest.approx([norm for _, norm in split], rel=1e-4)
    if program == "fsdp_on_cpu":
        trained = len(load_file(tmp_path / "plain/model/adapter_model.safetensors"))
        assert f"split: {trained} of {trained} tensors" in said


def steps(run):
    events, _, _ = read_from(run / "attempt-1/events.jsonl")
    return [(event.metrics["loss"], event.metrics["grad_norm"]) for event in events if event.kind == "step"]


def test_a_dead_launcher_stops_its_ranks_at_a_checkpoint(bench, tmp_path):
    """SIGKILL to the launcher alone: the kernel tells the ranks, which save and end by themselves."""
    (tmp_path / "spec.toml").write_text(toml(bench.options(num_epochs=500)))
    launcher = launch(tmp_path)
    attempt = tmp_path / "attempt-1"
    until(lambda: (attempt / "events.jsonl").exists() and b'"kind": "step"' in (attempt / "events.jsonl").read_bytes())
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()
    until((attempt / "result.json").exists)
    result = json.loads((attempt / "result.json").read_text())
    assert result["outcome"] == "stopped"
    assert manifest.newest(tmp_path).step == result["step"]


def until(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
