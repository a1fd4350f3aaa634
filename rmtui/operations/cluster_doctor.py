"""What the doctor looks at where there is a Slurm: partitions, what happens to preempted jobs, and, on asking, a job of
two nodes whose ranks have to meet."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rmtui.errors import UserError
from rmtui.launch.slurm import calls, script, words
from rmtui.launch.slurm.allocation import FIRST_PORT, PORTS
from rmtui.launch.slurm.calls import SlurmError
from rmtui.operations import cluster
from rmtui.operations.launch_request import ClusterRequest
from rmtui.runs import cluster_jobs
from rmtui.runs.files import locked
from rmtui.workspace import Workspace, file_system, on_network

TOPIC = "Slurm"
WAIT = 180.0
"""Seconds that the probe waits for its job."""
LONG_AGO = 60.0
"""Seconds that a node's clock may differ from this host's."""
Finding = tuple[str, str, str, str]
"""Topic, level, text, remedy."""


def look(ws: Workspace | None) -> Iterator[Finding]:
    """Partitions and settings, as far as Slurm answers."""
    try:
        listed = calls.call(["sinfo", "-h", "-o", "%P|%a|%l|%F|%c|%m|%G"])
        settings = calls.settings()
    except SlurmError as error:
        yield TOPIC, "error", f"it does not answer: {error}", "ask whether the controller (slurmctld) is up"
        return
    yield from map(_partition, listed.splitlines())
    yield from _preemption(settings)
    if settings.get("JobRequeue", "1") == "0":
        text = "JobRequeue=0: jobs are requeued only because rmtui asks for it (--requeue), where the site lets it"
        yield TOPIC, "note", text, "where it does not: rmtui launch --chain N"
    if settings.get("JobCompType", "") in ("", "jobcomp/none") and "slurmdbd" not in settings.get(
        "AccountingStorageType", ""
    ):
        text = f"ended jobs are forgotten after {settings.get('MinJobAge', 'MinJobAge')}: there is no accounting"
        yield TOPIC, "warning", text, "look at runs (rmtui ls) before that, or ask for slurmdbd or jobcomp/filetxt"
    if ws is not None and not on_network(ws.root):
        text = f"the workspace is on {file_system(ws.root) or 'a local file system'}"
        yield (
            TOPIC,
            "note",
            f"{text}: compute nodes have to see it under the same path",
            "rmtui doctor --slurm tries it",
        )


def _partition(line: str) -> Finding:
    """One of sinfo's lines: nodes of a partition that are alike."""
    name, up, limit, counts, cores, memory, gres = line.split("|")
    in_use, idle, lost, nodes = map(int, counts.split("/"))
    away = f" ({lost} down, drained or reserved)" if lost else ""
    size = f"{cores} cores, {int(memory.rstrip('+')) // 1000} GB, {'no GPUs' if gres == '(null)' else gres}"
    text = f"partition {name}: {nodes} nodes{away} of {size}; limit {limit}"
    if up != "up":
        return TOPIC, "warning", text, f"it is {up}"
    if not in_use + idle:
        return TOPIC, "warning", text, "jobs wait there until a node is back: sinfo -R says why"
    return TOPIC, "ok", text, ""


def _preemption(settings: dict[str, str]) -> Iterator[Finding]:
    """What a preempted job has for its checkpoint."""
    if settings.get("PreemptType", "preempt/none") == "preempt/none":
        yield TOPIC, "ok", "jobs are not preempted", ""
        return
    mode = settings.get("PreemptMode", "")
    if "SUSPEND" in mode:
        yield TOPIC, "ok", "preempted jobs are suspended, and go on afterwards", ""
        return
    if "CANCEL" in mode:
        remedy = "rmtui launch --chain N: the next job goes on from the checkpoint"
        yield TOPIC, "warning", "preempted jobs are cancelled, and not requeued", remedy
    if "preempt_send_user_signal" in settings.get("SlurmctldParameters", ""):
        yield TOPIC, "ok", "preempted jobs are warned by their own signal, and save", ""
        return
    try:
        graces = dict(_graces(settings["PreemptType"]))
    except SlurmError as error:
        yield (
            TOPIC,
            "note",
            f"how long a preempted job has for its checkpoint is not known: {error}",
            "ask for GraceTime",
        )
        return
    if without := [name for name, grace in graces.items() if not grace]:
        wait = settings.get("KillWait", "30 sec")
        text = f"a preempted job of {', '.join(without)} has KillWait ({wait}) for its checkpoint; more work is lost"
        yield TOPIC, "warning", text, "ask for GraceTime or preempt_send_user_signal; save_minutes bounds the loss"
    else:
        yield TOPIC, "ok", "preempted jobs get a grace time, and save", ""


def _graces(kind: str) -> Iterator[tuple[str, bool]]:
    """Partitions, or QOSs where they decide, and whether a job of theirs that is preempted has a grace time."""
    if kind == "preempt/qos":
        for line in calls.call(["sacctmgr", "-n", "-P", "show", "qos", "format=Name,GraceTime"]).splitlines():
            name, _, grace = line.partition("|")
            yield f"QOS {name}", any(digit in grace for digit in "123456789")
        return
    for line in calls.call(["scontrol", "show", "partition", "-o"]).splitlines():
        fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
        yield fields["PartitionName"], fields.get("GraceTime", "0") != "0"


def probe(ws: Workspace) -> Iterator[Finding]:
    """A job of two nodes, made and started as that of a training: the workspace can be written, the program is there,
    clocks agree, the ranks meet."""
    folder = ws.queue / f".doctor-{os.getpid()}"
    logs = folder / "attempt-1" / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, lock = folder / "probe.sbatch", folder / "lock"
    wanted, _ = cluster.choose(ws, ClusterRequest(nodes=2, cpus=1), procs=2, devices="", grace=0)
    wanted = replace(wanted, time="3", memory_mb=wanted.memory_mb or cluster.PROGRAM_MB, chain=1)  # not to be requeued
    port = str(FIRST_PORT + secrets.randbelow(PORTS))
    command = [sys.executable, "-m", "rmtui.launch.slurm.meet", port, str(lock), wanted.wrap]
    try:
        line = [*wanted.srun_line(2), *command]
        path.write_text(script.render(ws, wanted, "rmtui-doctor", str(folder), 1, line), "utf-8")
        with locked(lock, 1.0):
            began = time.time()
            yield from _judge(_until_over(calls.submit(path, folder)), logs / "slurm.log", began, wanted.gpus > 0)
    except SlurmError as error:
        yield TOPIC, "error", f"a job of two nodes was not taken: {error}", "see [slurm] of workspace.toml"
    except UserError as error:
        yield TOPIC, "error", f"{error.what} ({error.why})", error.remedy
    finally:
        shutil.rmtree(folder)


def _until_over(job: str) -> str:
    """Why a job does not come to its end, in words; empty: it did. It is gone afterwards in any case."""
    until = time.monotonic() + WAIT
    try:
        while (row := calls.job(job)) is not None and words.state(row) != cluster_jobs.ENDED:
            if time.monotonic() > until:
                why = words.reason(row) if words.state(row) == cluster_jobs.QUEUED else row.state
                return f"job {job} of two nodes did not end in {WAIT:.0f} s: {why}"
            time.sleep(0.5)
        return ""
    finally:
        with contextlib.suppress(SlurmError):
            calls.cancel(job)


def _judge(late: str, out: Path, began: float, on_gpus: bool) -> Iterator[Finding]:
    if late:
        yield TOPIC, "warning", late, "try again when two nodes are free"
        return
    text = out.read_text(errors="replace") if out.exists() else ""
    met = [line.split() for line in text.splitlines() if line.startswith("met ")]
    if len(met) != 2:
        last = (text.strip().splitlines() or ["its output is not in the workspace: can compute nodes write there?"])[-1]
        yield TOPIC, "error", f"two nodes did not meet: {last}", "correct [slurm] prologue, or ask about that node"
        return
    nodes, ways = ", ".join(line[1] for line in met), sorted({line[4] for line in met})
    text = f"a job of two nodes ran ({nodes}): they write here, and an all-reduce over both came out right"
    yield TOPIC, "ok", f"{text} ({', '.join(ways)})", ""
    if on_gpus and ways != ["nccl"]:
        remedy = "see the driver there, and whether this torch is one for CUDA"
        yield TOPIC, "error", f"torch finds no GPU on {nodes}, though the job was given one a node", remedy
    yield from _clocks([(line[1], float(line[2])) for line in met], began)
    if blind := [line[1] for line in met if line[3] != "locked"]:
        text = f"a lock that this host holds in the workspace is not seen on {', '.join(blind)}"
        remedy = "ask for a mount with locks (Lustre: -o flock; NFS: with lockd); until then launch from one host only"
        yield TOPIC, "warning", text, remedy
    else:
        yield TOPIC, "ok", f"a lock that this host holds in the workspace is seen on {nodes}", ""


def _clocks(read: list[tuple[str, float]], began: float) -> Iterator[Finding]:
    """What the nodes' clocks said while the job ran, which began after `began` and is over now, by this host's."""
    ended = time.time()
    for node, at in read:
        if (off := max(began - at, at - ended)) > LONG_AGO:
            yield (
                TOPIC,
                "warning",
                f"the clock of {node} differs from this host's by {off:.0f} s or more",
                "ask for NTP",
            )
