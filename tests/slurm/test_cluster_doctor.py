"""What the doctor says of a cluster, and the job by which it tries two nodes."""

from __future__ import annotations

import contextlib
import os
import time

import pytest
import slurm_kit

from rmtui.launch.slurm import script
from rmtui.operations import cluster_doctor, doctor
from rmtui.workspace import renewed


def test_partitions_and_what_a_preempted_job_loses(ws, cluster):
    said = [finding.text for finding in doctor.examine(ws, deep=False) if finding.topic == "Slurm"]
    assert any(text.startswith("partition main*: 2 nodes of 2 cores, 8 GB, gpu:1") for text in said)
    (lost,) = [text for text in said if "preempted" in text]
    assert "main, urgent, short has KillWait (5 sec)" in lost


def preemption(ws):
    return [finding[2] for finding in cluster_doctor.look(ws) if "preempted" in finding[2]]


def test_sites_that_suspend_or_cancel_a_preempted_job(ws, cluster):
    with cluster.setting("PreemptMode=SUSPEND,GANG"):
        assert preemption(ws) == ["preempted jobs are suspended, and go on afterwards"]
    with cluster.setting("PreemptMode=CANCEL"):
        cancelled, lost = preemption(ws)
        assert cancelled == "preempted jobs are cancelled, and not requeued" and "KillWait" in lost


def test_where_qos_decide_theirs_are_the_grace_times(ws, cluster, monkeypatch, tmp_path):
    """sacctmgr is a stand-in, in the form of the real one; without accounting it does not answer."""
    real = slurm_kit.calls.settings()
    monkeypatch.setattr(slurm_kit.calls, "settings", lambda: real | {"PreemptType": "preempt/qos"})
    assert preemption(ws)[0].startswith("how long a preempted job has for its checkpoint is not known")
    (tmp_path / "sacctmgr").write_text("#!/bin/sh\necho 'normal|00:00:00\nlow|00:02:00'\n")
    (tmp_path / "sacctmgr").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert preemption(ws)[0].startswith("a preempted job of QOS normal has KillWait (5 sec)")


def test_nodes_that_are_away_are_counted_and_a_probe_waits_for_them_with_slurms_reason(ws, cluster, monkeypatch):
    monkeypatch.setattr(cluster_doctor, "WAIT", 3.0)
    slurm_kit.slurm("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=test")
    try:
        (main,) = [finding for finding in cluster_doctor.look(ws) if "partition main*" in finding[2]]
        assert main[1] == "ok" and "2 nodes (1 down, drained or reserved) of 2 cores" in main[2]
        (waits,) = cluster_doctor.probe(ws)
        assert "did not end in 3 s: " in waits[2] and "down, drained" in waits[2]
        slurm_kit.slurm("scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=test")
        assert [finding[1] for finding in cluster_doctor.look(ws) if "partition main*" in finding[2]] == ["warning"]
    finally:
        cluster.resume_nodes()
    assert not [job for job in slurm_kit.calls.queue().values() if job.state == "PENDING"]


@pytest.mark.slow
def test_a_clock_that_is_off_is_named(ws, cluster, monkeypatch):
    """This host's is set back by a stand-in."""
    real = time.time
    monkeypatch.setattr(cluster_doctor.time, "time", lambda: real() - 3600)
    clocks = [finding[2] for finding in cluster_doctor.probe(ws) if "clock" in finding[2]]
    assert len(clocks) == 2 and all("differs from this host's by 36" in text for text in clocks), clocks


def test_a_probe_is_submitted_as_a_training_would_be(ws, cluster, monkeypatch):
    written = []

    def refused(path, cwd):
        written.append(path.read_text())
        raise slurm_kit.calls.SlurmError("invalid account")

    (ws.root / "workspace.toml").write_text(
        '[slurm]\ngpu_option = "gres"\naccount = "lab"\nsrun = ["--container-image=a"]\nwrap = "apptainer exec a"\n'
    )
    (ws.root / "job.sbatch").write_text(script.DEFAULT.replace("trap", "ulimit -c 0\ntrap"))
    monkeypatch.setattr(slurm_kit.calls, "submit", refused)
    (finding,) = cluster_doctor.probe(renewed(ws))
    assert finding[1] == "error" and "was not taken: invalid account" in finding[2]
    (text,) = written
    assert "#SBATCH --gres=gpu:1\n" in text and "#SBATCH --account=lab\n" in text and "\nulimit -c 0\n" in text
    assert "\nexec srun " in text and " --gres=gpu:1 " in text and " --container-image=a " in text
    assert text.rstrip().endswith("'apptainer exec a'")


def test_a_controller_that_does_not_answer_is_an_error(ws, cluster):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", "/dev/null")
        (finding,) = cluster_doctor.look(ws)
    assert finding[1] == "error" and "does not answer" in finding[2]


@pytest.mark.slow
def test_a_job_of_two_nodes_has_its_ranks_meet(ws, cluster):
    """Its nodes have GPUs by name alone: each rank was given one, and torch finds none."""
    met, gpus, lock = cluster_doctor.probe(ws)
    assert met[1] == "ok" and ("(n1, n2)" in met[2] or "(n2, n1)" in met[2]) and met[2].endswith("(gloo)"), met
    assert gpus[1] == "error" and "though the job was given one a node" in gpus[2]
    assert lock[1] == "ok" and "a lock that this host holds in the workspace is seen on n" in lock[2]
    assert list(ws.queue.glob(".doctor-*")) == []


@pytest.mark.slow
def test_a_lock_that_other_hosts_do_not_see_is_warned_of(ws, cluster, monkeypatch):
    """As with Lustre's localflock, where each host has locks of its own: here the doctor holds none."""
    monkeypatch.setattr(cluster_doctor, "locked", lambda path, patience: contextlib.nullcontext(path.touch()))
    met, _, lock = cluster_doctor.probe(ws)
    assert met[1] == "ok" and lock[1] == "warning" and "is not seen on n" in lock[2] and "-o flock" in lock[3]


def test_a_prologue_that_fails_is_told(ws, cluster):
    (ws.root / "workspace.toml").write_text('[slurm]\nprologue = "echo no such module; exit 1"\n')
    (finding,) = cluster_doctor.probe(renewed(ws))
    assert finding[1] == "error" and "no such module" in finding[2]
