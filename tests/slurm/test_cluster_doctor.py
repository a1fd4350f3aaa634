"""What the doctor says of a cluster, and the job by which it tries two nodes."""

from __future__ import annotations

import contextlib

import pytest

from rmtui.operations import cluster_doctor, doctor


def test_partitions_and_what_a_preempted_job_loses(ws, cluster):
    said = [finding.text for finding in doctor.examine(ws, deep=False) if finding.topic == "Slurm"]
    assert any(text.startswith("partition main*: 2 nodes of 2 cores, 8 GB, gpu:1") for text in said)
    (lost,) = [text for text in said if "preempted" in text]
    assert "main, urgent, short has KillWait (5 sec)" in lost


def test_a_controller_that_does_not_answer_is_an_error(ws, cluster):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", "/dev/null")
        (finding,) = cluster_doctor.look(ws)
    assert finding[1] == "error" and "does not answer" in finding[2]


@pytest.mark.slow
def test_a_job_of_two_nodes_has_its_ranks_meet(ws, cluster):
    met, lock = cluster_doctor.probe(ws)
    assert met[1] == "ok" and ("(n1, n2)" in met[2] or "(n2, n1)" in met[2]), met
    assert lock[1] == "ok" and "a lock that this host holds in the workspace is seen on n" in lock[2]
    assert list(ws.queue.glob(".doctor-*")) == []


@pytest.mark.slow
def test_a_lock_that_other_hosts_do_not_see_is_warned_of(ws, cluster, monkeypatch):
    """As with Lustre's localflock, where each host has locks of its own: here the doctor holds none."""
    monkeypatch.setattr(cluster_doctor, "locked", lambda path, patience: contextlib.nullcontext(path.touch()))
    met, lock = cluster_doctor.probe(ws)
    assert met[1] == "ok" and lock[1] == "warning" and "is not seen on n" in lock[2] and "-o flock" in lock[3]


def test_a_prologue_that_fails_is_told(ws, cluster):
    (ws.root / "workspace.toml").write_text('[slurm]\nprologue = "echo no such module; exit 1"\n')
    from rmtui.workspace import renewed

    (finding,) = cluster_doctor.probe(renewed(ws))
    assert finding[1] == "error" and "no such module" in finding[2]
