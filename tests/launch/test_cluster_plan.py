"""What a job of a cluster is planned to ask for: the warning before its time limit, its chain, what does not fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import support

from rmtui import workspace
from rmtui.errors import UserError
from rmtui.operations.cluster import limit_seconds
from rmtui.operations.launch_request import ClusterRequest, LaunchRequest
from rmtui.operations.plan import plan
from trainer.events import Event


@pytest.fixture
def ws(ws, tmp_path, monkeypatch):
    """A workspace in which a launch is right, and the names of Slurm's commands with nothing behind them."""
    for part in ("train", "val"):
        rows = [{"prompt": f"{part} {n}?", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(20)]
        (ws.data / f"{part}/tiny_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (ws.root / "base").mkdir()
    (ws.root / "base/pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    (ws.root / "base/config.json").write_text('{"model_type": "llama"}')
    for name in ("sbatch", "sinfo"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return settings(ws, "")


def settings(ws, more):
    (ws.root / "workspace.toml").write_text(f'model = "base"\ndata = "tiny"\n{more}')
    return workspace.open_workspace(ws.root)


def past_run(ws, saves, model=None, method="lora", step_seconds=3.0):
    """A run whose steps and checkpoints took so long."""
    steps = [Event("step", support.START + step_seconds * n, n, 0.1, {"loss": 0.5}) for n in range(1, 20)]
    taken = [Event("checkpoint", support.START + 60, 19, 0.1, data={"folder": "x", "seconds": each}) for each in saves]
    config = {"model": model or str(ws.root / "base"), "method": method}
    return support.make_run_folder(ws, events=[*steps, *taken], config=config)


def planned(ws, **asked):
    return plan(ws, LaunchRequest("A", cluster=ClusterRequest(**asked)), check_data=False)


def warned(ws, **asked):
    found = planned(ws, **asked)
    seconds = found.spec["launch"]["warn"]
    assert f"#SBATCH --signal=B:USR1@{seconds}\n" in found.script
    assert f"warned {seconds} s before the end" in found.place
    return seconds


def test_where_nothing_was_measured_the_warning_leaves_the_grace_and_a_minute(ws):
    assert warned(ws) == 90 + 60
    past_run(ws, [])  # of before checkpoints were measured
    assert warned(settings(ws, "stop_grace = 20\n")) == 20 + 60


def test_the_warning_leaves_the_longest_checkpoint_of_past_runs_with_the_model_a_step_and_a_minute(ws):
    past_run(ws, [4.0, 12.0, 5.0])
    past_run(ws, [7.0])
    past_run(ws, [200.0], method="full")
    past_run(ws, [300.0], model="another")
    assert warned(ws) == 12 + 3 + 60


def test_a_limit_within_the_warning_is_refused(ws):
    (problem,) = [each for each in planned(ws, time="2").errors if each.key == "time"]
    assert "the limit is 120 s, and the job is warned 150 s before it" in problem.what
    assert not planned(ws, time="3").errors


def test_a_checkpoint_that_takes_longer_than_the_grace_is_warned_of(ws):
    past_run(ws, [200.0])
    (problem,) = [each for each in planned(ws).warnings if each.key == "stop_grace"]
    assert "a checkpoint takes 203 s" in problem.what and problem.remedy == "set stop_grace = 406 in workspace.toml"


@pytest.mark.parametrize(
    ("text", "seconds"),  # the forms of man sbatch, --time
    [
        ("2", 120),
        ("2:30", 150),
        ("1:02:03", 3723),
        ("1-2", 93_600),
        ("1-2:30", 95_400),
        ("1-2:30:05", 95_405),
        ("UNLIMITED", None),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_every_way_of_writing_a_limit(text, seconds):
    assert limit_seconds(text) == seconds


def test_further_options_are_quoted_as_sbatch_reads_them_and_leave_ours_alone(ws):
    script = planned(ws, sbatch=("qos=high", 'constraint=a "b" #c', "exclusive")).script
    assert "#SBATCH --qos=high\n" in script and "#SBATCH --exclusive\n" in script
    assert '#SBATCH --constraint="a \\"b\\" #c"\n' in script
    wrong = [each.what for each in planned(ws, sbatch=("array=1-9", "--signal=KILL@9", "qos=x")).errors]
    assert wrong == ["--array is set by rmtui itself", "--signal is set by rmtui itself"]


def test_a_workspace_may_be_of_a_cluster(ws):
    def launched(*options):
        words = [sys.executable, "-m", "rmtui", "-C", str(ws.root), "launch", "A", "--dry-run", "--json", *options]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return json.loads(done.stdout)["launch"]["kind"]

    assert launched() == "local" and launched("--on", "slurm") == "slurm"
    settings(ws, 'launcher = "slurm"\n')
    assert launched("--nodes", "2", "--procs", "2") == "slurm" and launched("--on", "here") == "local"
    with pytest.raises(UserError, match="launcher = 'pbs' is not known"):
        settings(ws, 'launcher = "pbs"\n')


def test_a_configuration_of_accelerate_reaches_the_nodes_and_its_machines_are_not_passed_over(ws):
    (ws.root / "fsdp.yaml").write_text("distributed_type: FSDP\nnum_machines: 2\n")
    request = LaunchRequest("A", procs=2, accelerate_config="fsdp.yaml", cluster=ClusterRequest(nodes=2))
    found = plan(ws, request, check_data=False)
    assert found.spec["launch"]["accelerate_config"] == str(ws.root / "fsdp.yaml") and not found.errors
    (problem,) = plan(ws, replace(request, cluster=None), check_data=False).errors
    assert problem.key == "accelerate_config" and "does not say where they meet" in problem.what
    (ws.root / "fsdp.yaml").write_text('{"num_machines": 1, "distributed_type": "FSDP"}')
    assert not plan(ws, replace(request, cluster=None), check_data=False).errors
    (ws.root / "fsdp.yaml").write_text("num_machines: 1\n")
    (untyped,) = plan(ws, replace(request, cluster=None), check_data=False).errors
    assert "names no distributed_type" in untyped.what
    (missing,) = plan(ws, replace(request, accelerate_config="no.yaml"), check_data=False).errors
    assert "does not exist" in missing.what


def test_a_chain_is_asked_for_in_place_of_a_requeue(ws):
    assert "#SBATCH --requeue\n" in planned(ws).script
    found = planned(ws, chain=3)
    assert "#SBATCH --no-requeue\n" in found.script and found.place.endswith("then 3 further jobs of its chain")
    usual = settings(ws, "[slurm]\nchain = 2\n")
    assert planned(usual).spec["launch"]["chain"] == 2 and planned(usual, chain=0).spec["launch"]["chain"] == 0
    assert [each.key for each in planned(ws, chain=1000).errors] == ["chain"]
