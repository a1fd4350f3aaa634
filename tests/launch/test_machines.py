"""Several machines by a configuration of accelerate: two real launchers that meet; both are on this machine, which
shows neither another clock nor another file system."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import launch_kit as kit
import pytest
from launch_kit import State

from rmtui import workspace
from rmtui.launch import accelerate_config
from rmtui.operations import resume, stop
from rmtui.operations.launch_request import LaunchRequest
from rmtui.operations.plan import plan

YAML = """
distributed_type: {kind}
machine_rank: {number}
main_process_ip: {host}  # the first box
main_process_port: {port}
num_machines: {size}
num_processes: 16
"""


def config(ws, **changed):
    facts = {"number": 0, "host": "10.0.0.5", "port": 29501, "size": 2, "kind": "MULTI_CPU"} | changed
    (ws.root / "two.yaml").write_text(YAML.format(**facts))


def planned(ws, procs=None):
    found = plan(ws, LaunchRequest("A", procs=procs, devices="cpu", accelerate_config="two.yaml"), check_data=False)
    errors = [problem.what for problem in found.errors if problem.key in ("accelerate_config", "processes")]
    return found.spec["launch"], errors, found.line


def test_the_processes_of_all_machines_are_counted_and_this_one_is_the_first(ws):
    config(ws)
    launch, errors, line = planned(ws, procs=2)
    assert not errors and (launch["processes"], launch["machines"], launch["address"]) == (2, 2, "10.0.0.5:29501")
    assert "--num_processes 2 --num_machines 2" in line and "--machine_rank 0 --main_process_ip 10.0.0.5" in line
    launch, errors, _ = planned(ws)
    assert not errors and launch["processes"] == 2 * (ws.settings.processes or 1)


@pytest.mark.parametrize(
    ("changed", "procs", "words"),
    [
        ({"number": 1}, 2, "a run begins on machine 0"),
        ({"host": "null"}, 2, "does not say where they meet"),
        ({"size": 3}, 4, "4 processes cannot be shared evenly by 3 machines"),
    ],
)
def test_what_cannot_begin_here_is_refused_with_the_reason(ws, changed, procs, words):
    config(ws, **changed)
    assert any(words in each for each in planned(ws, procs)[1])


@pytest.mark.parametrize("kind", ["NO", "'NO'", "MULTI_CPU"])
def test_a_kind_that_accelerate_starts_as_one_process_gets_all_that_were_asked_for(ws, kind):
    config(ws, size=1, kind=kind)
    _, errors, line = planned(ws, procs=2)
    assert not errors and "two.yaml --multi_gpu --num_processes 2" in line
    assert "--multi_gpu" not in planned(ws, procs=1)[2]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"num_machines": 2, "main_process_ip": "box"}', (2, 0, "box", "29500")),
        ('{\n  "machine_rank": 1,\n  "num_machines": 2\n}', (2, 1, "", "29500")),
        ("num_machines: '2'\nmain_process_ip: \"fe80::1\"\nmain_process_port: null\n", (2, 0, "fe80::1", "29500")),
        ("# num_machines: 8\nmain_process_port: 0\n", (1, 0, "", "29500")),
        ("num_machines : 4 # boxes\n", (4, 0, "", "29500")),
        ("num_machines: [\n", (1, 0, "", "29500")),
    ],
)
def test_a_configuration_is_read_as_accelerate_writes_it_and_by_hand(tmp_path, text, found):
    (tmp_path / "a.yaml").write_text(text)
    assert accelerate_config.read(str(tmp_path / "a.yaml"))[:4] == found


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def started(ws, **how):
    """A run of two machines that waits for the second one."""
    document = kit.spec("accelerate", 2, 20.0, **how)
    document["launch"] |= {"machines": 2, "address": f"127.0.0.1:{free_port()}"}
    run = kit.RunFolder.create(ws.runs, document)
    kit.launch.enqueue(ws, run)
    return run


def join(run):
    """What its row says, typed on the other machine."""
    kit.until(lambda: "machine 1" in kit.state.status(run).reason, "words on the other machine")
    now = kit.state.status(run)
    assert now.state == State.STARTING and now.reason.startswith("waits for the other machines; on machine 1: sh ")
    said = subprocess.run(now.reason.split(": ", 1)[1].split(), capture_output=True, text=True, check=True)
    assert f"machine 1 joins {run.id}" in said.stdout


@pytest.mark.slow
def test_a_run_waits_for_the_other_machine_and_trains_with_it(ws):
    run = started(ws, steps=4, hold_at=2)
    join(run)
    kit.until_step(run, 2, ranks=2)
    kit.go(run)
    kit.until(lambda: kit.state.status(run).state == State.FINISHED, "the end")
    kit.until(lambda: kit.none_left(run), "no process left")
    assert (run.last_attempt().logs / "launch-1.log").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_training_on_two_machines_fails_stops_goes_on_and_is_that_of_one_machine_to_the_bit(ws, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    kit.tiny_workspace(ws)
    ws = workspace.open_workspace(ws.root)
    options = {
        "num_epochs": "10",
        "batch_size": "1",
        "gradient_accumulation_steps": "1",
        "save_steps": "4",
        "start_check": "false",
    }
    asked = LaunchRequest("A", options, procs=2, devices="cpu")
    alone = kit.RunFolder(ws.runs / kit.launch.start(ws, plan(ws, asked)))
    ended(alone, State.FINISHED)
    config(ws, host="127.0.0.1", port=free_port())
    run = kit.RunFolder(ws.runs / kit.launch.start(ws, plan(ws, replace(asked, accelerate_config="two.yaml"))))
    join(run)
    kit.until_step(run, 6, ranks=2)
    os.kill(rank_of_machine(run, 1), signal.SIGKILL)
    ended(run, State.FAILED)
    resume.resume(ws, run.id)
    join(run)
    kit.until_step(run, 12, ranks=2)
    stop.stop(ws, run.id)
    ended(run, State.STOPPED)
    resume.resume(ws, run.id)
    join(run)
    ended(run, State.FINISHED)
    assert kit.spoken_losses(run) == kit.spoken_losses(alone)
    starts = [event["data"] for event in kit.events(run) if event["kind"] == "start"]
    assert starts[-1]["exact_resume"] is True and starts[-1]["resumed_from_step"] >= 2


def ended(run, state):
    now = kit.until(lambda: (found := kit.state.status(run)).state.final and found, "the end", seconds=240)
    assert now.state == state, now
    kit.until(lambda: kit.none_left(run), "no process left")


def rank_of_machine(run, number):
    """The process of the rank there."""
    known = kit.proc.tagged(run.id)
    words = {each.proc.pid: Path(f"/proc/{each.proc.pid}/cmdline").read_text().replace("\0", " ") for each in known}
    launchers = {pid for pid, line in words.items() if f"--machine_rank {number}" in line}
    return next(each.proc.pid for each in known if each.parent in launchers and each.rank is not None)
