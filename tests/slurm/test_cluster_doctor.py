"""What the doctor says of a cluster, and the job by which it tries two nodes."""

from __future__ import annotations

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
    (finding,) = cluster_doctor.probe(ws)
    assert finding[1] == "ok" and ("(n1, n2)" in finding[2] or "(n2, n1)" in finding[2]), finding
    assert list(ws.queue.glob(".doctor-*")) == []


def test_a_prologue_that_fails_is_told(ws, cluster):
    (ws.root / "workspace.toml").write_text('[slurm]\nprologue = "echo no such module; exit 1"\n')
    from rmtui.workspace import renewed

    (finding,) = cluster_doctor.probe(renewed(ws))
    assert finding[1] == "error" and "no such module" in finding[2]
