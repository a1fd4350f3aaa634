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

PARTITIONS = """
rows='main*|(null)|infinite|n/a short|(null)|2:00|n/a gpu|gpu:a100:4|7-00:00:00|1:00:00'
for row in $rows; do case "$5|$row" in "$5|$5|"* | "|"*) echo "$row";; esac; done
"""
"""sinfo of a site: a line a partition, of all or of the one that is asked for with -p."""


def stand_in(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def ws(ws, tmp_path, monkeypatch):
    """A workspace in which a launch is right, and stand-ins for Slurm's commands: two partitions without GPUs."""
    for part in ("train", "val"):
        rows = [{"prompt": f"{part} {n}?", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(20)]
        (ws.data / f"{part}/tiny_pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (ws.root / "base").mkdir()
    (ws.root / "base/pytorch_model.bin").write_bytes(b"PK\x05\x06" + bytes(18))
    (ws.root / "base/config.json").write_text('{"model_type": "llama"}')
    stand_in(tmp_path / "sbatch", "exit 1")
    stand_in(tmp_path / "sinfo", PARTITIONS)
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


def test_the_limit_of_the_partition_counts_where_none_is_asked_for(ws):
    (problem,) = [each for each in planned(ws, partition="short").errors if each.key == "time"]
    assert "the partition's limit is 120 s, and the job is warned 150 s before it" in problem.what
    assert "at most 1:00:00 in partition gpu" in planned(ws, partition="gpu").place  # its default, not its most
    assert "at most 2:00:00 in partition gpu" in planned(ws, partition="gpu", time="2:00:00").place


def test_gpus_are_asked_for_where_the_partition_has_some_and_are_never_left_out_by_a_guess(ws, tmp_path):
    assert "#SBATCH --gpus-per-node=1\n" in planned(ws, partition="gpu").script
    assert "--gpus" not in planned(ws, partition="main").script
    stand_in(tmp_path / "sinfo", "echo 'sinfo: error: Unable to contact slurm controller' >&2; exit 1")
    (problem,) = planned(ws, partition="gpu").errors
    assert problem.what == "whether the nodes have GPUs is not known: Unable to contact slurm controller"
    assert not plan(ws, LaunchRequest("A", devices="cpu", cluster=ClusterRequest()), check_data=False).errors


def test_what_is_asked_by_an_option_of_sbatch_or_its_variables_is_what_is_shown(ws, monkeypatch):
    found = planned(ws, sbatch=("partition=gpu", "time=3:00:00", "--account=lab", "mem=64G", "qos=high"))
    assert "mem=64G; at most 3:00:00 in partition gpu" in found.place
    assert found.script.count("--mem") == found.script.count("--time") == found.script.count("--partition") == 1
    assert "#SBATCH --account=lab\n" in found.script and "#SBATCH --qos=high\n" in found.script
    (late,) = planned(ws, sbatch=("time=1",)).errors
    assert late.key == "time"
    (twice,) = planned(ws, sbatch=("mem-per-cpu=4G",), memory_mb=8000).errors
    assert twice.what == "memory is asked for twice: 8000 MB a node, and mem-per-cpu=4G"
    usual = settings(ws, "[slurm]\nmemory_mb = 5000\n")
    assert "mem=64G" in planned(usual, sbatch=("mem=64G",)).place and "5.0 GB" in planned(usual).place
    usual = settings(ws, '[slurm]\nsbatch = ["mem=9G"]\n')
    assert "8.0 GB" in planned(usual, memory_mb=8000).place and "mem=9G" in planned(usual).place
    ws = settings(ws, "")
    monkeypatch.setenv("SBATCH_PARTITION", "gpu")
    monkeypatch.setenv("SBATCH_TIMELIMIT", "30:00")
    assert "at most 30:00 in partition gpu" in planned(ws).place
    assert "at most 3 in partition main" in planned(ws, partition="main", time="3").place


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("wait", "--wait is set by rmtui itself"),
        ("sig=USR2@9", "--signal is set by rmtui itself"),  # sbatch takes a beginning for the whole
        ("signal USR2@9", "--signal is set by rmtui itself"),
        ("error=e.log", "--error is set by rmtui itself"),
        ("", "'' is not a long option of sbatch"),
        ("-p long", "'-p long' is not a long option of sbatch"),
        ("N2", "'N2' is not a long option of sbatch"),
    ],
)
def test_an_option_that_would_break_the_job_is_refused(ws, text, what):
    assert [each.what for each in planned(ws, sbatch=(text,)).errors] == [what]


TEMPLATE = "#!/bin/bash\n{{directives}}\n{{environment}}\n{{prologue}}\nexec {{command}}\n"


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("{{prologue}}\n", "", "{{prologue}} missing"),
        ("{{directives}}", "module load cuda\n{{directives}}", "{{directives}} comes after a command"),
        ("exec", "#SBATCH --mail-type=END\nexec", "#SBATCH --mail-type=END comes after a command"),
        ("exec ", "", "{{command}} is not started by exec"),
        ("exec", "# exec", "{{command}} is not started by exec"),
        ("{{directives}}", "# {{directives}}", "{{directives}} is not once, on a line of its own"),
        ("{{prologue}}", "{{prologue}}\n{{prologue}}", "{{prologue}} is not once, on a line of its own"),
    ],
)
def test_a_template_that_would_make_another_job_is_refused(ws, before, after, why):
    (ws.root / "job.sbatch").write_text(TEMPLATE.replace(before, after))
    (problem,) = planned(ws).errors
    assert why in problem.what


def test_a_template_edited_by_hand_is_followed(ws):
    more = "#SBATCH --mail-type=END\n{{directives}}\n#SBATCH --nice=5\n\nulimit -c 0"
    (ws.root / "job.sbatch").write_text(TEMPLATE.replace("{{directives}}", more).replace("exec", "exec nice"))
    found = planned(ws)
    assert not found.errors and "#SBATCH --nice=5\n\nulimit -c 0\nexport " in found.script
    assert "\nexec nice " in found.script


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
