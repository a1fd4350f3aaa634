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

from trainer import manifest
from trainer.events import read_from

pytestmark = pytest.mark.slow
TWO_RANKS = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"]


def launch(run, *arguments, ranks=2):
    """`accelerate launch -m trainer`, from the run's folder."""
    line = [sys.executable, "-m", "accelerate.commands.launch", *(TWO_RANKS if ranks == 2 else ["--cpu"])]
    line += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "trainer", "--config", str(run / "spec.toml")]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
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
