"""Out of memory, from the allocator's error to the smaller run that one key launches: all of it as a person has it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engine_worlds import make_bench, toml

pytest.importorskip("textual")

from textual.pilot import Pilot

from rmtui import workspace
from rmtui.app.app import RmtuiApp
from rmtui.app.start import find_workspace
from rmtui.operations import launch
from rmtui.runs import state
from rmtui.runs.folder import RunFolder
from trainer.ranks import of_memory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FULL_FROM_THREE_PAIRS = """
import sys

if "--attempt-dir" in sys.orig_argv and not any("accelerate" in word for word in sys.orig_argv):
    import torch
    import trainer.loop.train

    rewards = trainer.loop.train.rewards

    def limited(model, batch):
        if batch.pairs > 2:
            torch.empty(1 << 60)  # more than any machine has: the allocator's own words
        return rewards(model, batch)

    trainer.loop.train.rewards = limited
"""


def until(condition, what, seconds=500):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def ended(run):
    return until(lambda: (now := state.status(run)).state.final and now, f"the end of {run.id}")


@pytest.fixture
def out_of_memory_run(tmp_path, monkeypatch):
    """A workspace whose machine holds two pairs at once, and a run with four that failed there."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook/sitecustomize.py").write_text(FULL_FROM_THREE_PAIRS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    bench = make_bench(tmp_path / "bench")
    ws = workspace.create(tmp_path / "ws")
    options = bench.options(num_epochs=1, batch_size=4, gradient_accumulation_steps=1)
    run = RunFolder.create(ws.runs, spec(options))
    launch.enqueue(ws, run)
    return ws, run


def spec(options):
    return {
        "name": "large",
        "preset": "A",
        "config": options,
        "trainer": {"command": ["-m", "trainer"], "launcher": "accelerate"},
        "launch": {"kind": "local", "processes": 1, "device": "cpu", "grace": 20.0},
    }


@pytest.mark.asyncio
async def test_the_message_names_what_to_try_and_one_key_launches_it(out_of_memory_run):
    ws, run = out_of_memory_run
    now = ended(run)
    assert now.state == "failed"
    assert now.reason == "out of memory on rank 0 at step 1: try batch size 2 × accumulation 2"
    result = json.loads((run.path / "attempt-1/result.json").read_text())
    tried = "try batch_size 2, gradient_accumulation_steps 2, max_length 64, or gradient_checkpointing = true"
    assert "out of memory with batch_size 4, gradient_accumulation_steps 1, max_length 64" in result["reason"]
    assert tried in result["reason"]
    app = RmtuiApp(find_workspace(ws.root), ws.root, False)
    async with app.run_test(size=(160, 45)) as pilot:
        await shown(pilot, lambda: app.counts.total == 1)
        await shown(pilot, lambda: app.screen.current() is not None)
        await pilot.press("r")
        await shown(pilot, lambda: type(app.screen).__name__ == "Confirm")
        await pilot.press("y")
        await shown(pilot, lambda: len(list(ws.runs.iterdir())) == 2)
    [smaller] = [RunFolder(path) for path in ws.runs.iterdir() if path.name != run.id]
    config = smaller.spec()["config"]
    assert (config["batch_size"], config["gradient_accumulation_steps"], config["max_length"]) == (2, 2, 64)
    now = ended(smaller)
    assert now.state == "finished", now.reason


async def shown(pilot: Pilot, condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await pilot.pause(0.05)


def test_a_process_without_address_space_fails_with_the_words(tmp_path):
    """No stand-in for an error: the kernel refuses, torch's allocator says so."""
    bench = make_bench(tmp_path / "bench")
    options = bench.options(num_epochs=1, batch_size=8, max_length=2048)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/spec.toml").write_text(toml(options))
    limited = (
        "import resource, sys, torch, trainer.loop.train as loop\n"
        "from trainer.__main__ import main\n"
        "rewards = loop.rewards\n"
        "def after(model, batch):\n"
        "    used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20), resource.RLIM_INFINITY))\n"
        "    torch.ones(64 << 20)\n"
        "    return rewards(model, batch)\n"
        "loop.rewards = after\n"
        "sys.exit(main(['--config', sys.argv[1]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, str(tmp_path / "run/spec.toml")],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    result = json.loads((tmp_path / "run/attempt-1/result.json").read_text())
    assert result["reason"].startswith("out of memory with batch_size 8, gradient_accumulation_steps 2")
    assert result["suggest"] == {"batch_size": 4, "gradient_accumulation_steps": 4, "max_length": 2048}


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_errors_of_every_allocator_are_recognised(error, is_one):
    assert of_memory(error) is is_one
