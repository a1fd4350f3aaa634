"""The launch dialog where there is a Slurm: a job's fields, its script before it is submitted; elsewhere none of it."""

from __future__ import annotations

import json
import os

import pytest
from app_pilot import WIDE, opened, sees, until
from support import make_run_folder
from textual.widgets import Input

from rmtui.app.screens.form import FormScreen
from rmtui.app.screens.launch import LaunchScreen


@pytest.fixture
def ready(ws):
    """A workspace in which a launch is right."""
    for name in ("train", "val"):
        rows = [{"prompt": f"Say {name} {n}.", "chosen": f"Hello {n}{name}!", "rejected": "No."} for n in range(9)]
        (ws.data / name / "tiny_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (ws.root / "models/base").mkdir(parents=True)
    (ws.root / "models/base/config.json").write_text('{"model_type": "llama"}')
    (ws.root / "models/base/pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    (ws.root / "workspace.toml").write_text(
        'model = "models/base"\ndata = "tiny"\nprocesses = 2\n[slurm]\ntime = "1:00:00"\n'
    )
    return ws


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Stand-ins for Slurm's commands: one partition, and a controller that takes no job."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "sinfo", "squeue"):
        (folder / name).write_text("#!/bin/sh\necho 'error: no controller' >&2\nexit 1\n")
        (folder / name).chmod(0o755)
    (folder / "sinfo").write_text("#!/bin/sh\necho 'main*|(null)|infinite|n/a'\n")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


async def dialog(pilot) -> LaunchScreen:
    """The launch dialog over preset A's form."""
    await pilot.press("n")
    await sees(pilot, "conservative")
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen))
    await pilot.press("ctrl+r")
    await until(pilot, lambda: isinstance(pilot.app.screen, LaunchScreen))
    return pilot.app.screen


async def test_a_job_is_shown_before_it_is_submitted(ready, slurm):
    async with opened(ready.root, WIDE) as pilot:
        screen = await dialog(pilot)
        assert not screen.query_one("#nodes").is_on_screen
        screen.query_one("#on", Input).value = "slurm"
        for key, value in {
            "nodes": "2",
            "account": "lab7",
            "chain": "1",
            "sbatch": "--qos=high 'reservation=two words'",
        }.items():
            await until(pilot, lambda key=key: screen.query_one(f"#{key}").is_on_screen)
            screen.query_one(f"#{key}", Input).value = value
        await sees(pilot, "2 nodes, each with 1 process, 1 core", "at most 1:00:00")
        await until(pilot, lambda: screen.planned and screen.planned.request == screen.request())
        for line in ("--nodes=2", "--account=lab7", "--no-requeue", "--qos=high", '--reservation="two words"'):
            assert f"#SBATCH {line}\n" in screen.planned.plan.script
        screen.query_one("#sbatch", Input).value = "'open"
        await sees(pilot, "cannot be read: No closing quotation")
        screen.query_one("#chain", Input).value = "some"
        await sees(pilot, "chain: 'some' is not a number of jobs")
        screen.query_one("#nodes", Input).value = "many"
        await sees(pilot, "nodes: 'many' is not a whole number above 0")
        screen.query_one("#on", Input).value = "the moon"
        await sees(pilot, "'the moon' is not known")


async def test_without_slurm_there_is_no_such_field(ready):
    async with opened(ready.root, WIDE) as pilot:
        screen = await dialog(pilot)
        assert not screen.query("#on")
        await sees(pilot, "--multi_gpu")


async def test_a_run_of_slurm_is_run_again_there_with_what_it_asked_for(ready, slurm):
    asked = {"nodes": 2, "partition": "long", "time": "4:00:00", "chain": 3, "memory_mb": 64_000}
    job = {"kind": "slurm", "processes": 2, "device": "cpu", "cpus": 1, "grace": 90.0, "warn": 150, **asked}
    launch = {**job, "account": "", "sbatch": ["qos=high"], "srun": [], "devices": []}
    config = {"model": str(ready.root / "models/base"), "num_epochs": 2}
    config["data"] = {name: str(ready.data / name / "tiny_pairs.jsonl") for name in ("train", "val")}
    make_run_folder(ready, name="first", launch=launch, config=config)
    async with opened(ready.root, WIDE) as pilot:
        await sees(pilot, "first")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(pilot.app.screen, LaunchScreen))
        screen = pilot.app.screen
        texts = {key: screen.query_one(f"#{key}", Input).value for key in ("on", "nodes", "partition", "time")}
        assert texts == {"on": "slurm", "nodes": "2", "partition": "long", "time": "4:00:00"}
        await until(pilot, lambda: screen.planned)
        script = screen.planned.plan.script
        for line in ("--nodes=2", "--mem=64000M", "--no-requeue", "--qos=high", "--partition=long", "--time=4:00:00"):
            assert f"#SBATCH {line}\n" in script
        screen.query_one("#on", Input).value = ""
        await until(pilot, lambda: screen.planned and screen.planned.request.cluster is None)
        assert not screen.planned.plan.script and screen.planned.request.devices == ""


async def test_where_the_workspace_says_so_t_submits_a_job_a_preset(ready, slurm, tmp_path):
    (tmp_path / "bin/sbatch").write_text("#!/bin/sh\necho $$\n")
    (ready.root / "workspace.toml").write_text(
        (ready.root / "workspace.toml").read_text().replace("[slurm]", 'launcher = "slurm"\n[slurm]')
    )
    async with opened(ready.root, WIDE) as pilot:
        screen = await dialog(pilot)
        assert screen.query_one("#on", Input).value == "slurm"
        await pilot.press("escape", "escape", "n")
        await sees(pilot, "which preset?", "balanced")
        await pilot.press("T")
        await sees(pilot, "Submit A, B, C, M to Slurm?", "Each is a job of its own.")
        await pilot.press("y")
        await until(pilot, lambda: len(list(ready.runs.glob("2*/job.json"))) == 4)
        jobs = [json.loads(path.read_text())["id"] for path in ready.runs.glob("2*/job.json")]
        assert all(job.isdigit() for job in jobs)
