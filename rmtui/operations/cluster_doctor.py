"""What the doctor looks at where there is a Slurm: partitions, what happens to preempted jobs, and, on asking, a job of
two nodes whose ranks have to meet."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import rmtui
from rmtui.launch.slurm import calls
from rmtui.launch.slurm.calls import SlurmError
from rmtui.runs.files import locked
from rmtui.workspace import Workspace, file_system, on_network

TOPIC = "Slurm"
WAIT = 180.0
"""Seconds that the probe waits for its job."""
LONG_AGO = 60.0
"""Seconds that the clocks of two nodes may differ."""
Finding = tuple[str, str, str, str]
"""Topic, level, text, remedy."""
_PROBE = """\
#!/bin/bash
#SBATCH --job-name=rmtui-doctor
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=3
#SBATCH --output="{out}"
{more}
{prologue}
srun --mpi=none --nodes=2 --ntasks=2 --ntasks-per-node=1 {python} -m rmtui.launch.slurm.meet {port} {lock}
"""


def look(ws: Workspace | None) -> Iterator[Finding]:
    """Partitions and settings, as far as Slurm answers."""
    try:
        listed = calls.call(["sinfo", "-h", "-o", "%P|%a|%l|%D|%c|%m|%G"])
        settings = _settings()
    except SlurmError as error:
        yield TOPIC, "error", f"it does not answer: {error}", "ask whether the controller (slurmctld) is up"
        return
    for line in listed.splitlines():
        name, up, limit, nodes, cores, memory, gres = line.split("|")
        gpus = "no GPUs" if gres == "(null)" else gres
        size = f"{cores} cores, {int(memory.rstrip('+')) // 1000} GB, {gpus}"
        text = f"partition {name}: {nodes} nodes of {size}; limit {limit}"
        yield TOPIC, "ok" if up == "up" else "warning", text, "" if up == "up" else f"it is {up}"
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


def _settings() -> dict[str, str]:
    rows = [line.partition("=") for line in calls.call(["scontrol", "show", "config"]).splitlines()]
    return {key.strip(): value.strip() for key, _, value in rows if value}


def _preemption(settings: dict[str, str]) -> Iterator[Finding]:
    """What a preempted job has for its checkpoint."""
    if settings.get("PreemptType", "preempt/none") == "preempt/none":
        yield TOPIC, "ok", "jobs are not preempted", ""
        return
    wait = settings.get("KillWait", "30 sec")
    if "preempt_send_user_signal" in settings.get("SlurmctldParameters", ""):
        yield TOPIC, "ok", "preempted jobs are warned by their own signal, and save", ""
        return
    rows = [line.split() for line in calls.call(["scontrol", "show", "partition", "-o"]).splitlines()]
    graces = {
        w["PartitionName"]: w.get("GraceTime", "0")
        for row in rows
        if (w := dict(x.split("=", 1) for x in row if "=" in x))
    }
    without = [name for name, grace in graces.items() if grace == "0"]
    if without:
        text = f"a preempted job of {', '.join(without)} has KillWait ({wait}) for its checkpoint; more work is lost"
        yield TOPIC, "warning", text, "ask for GraceTime or preempt_send_user_signal; save_minutes bounds the loss"
    else:
        yield TOPIC, "ok", "preempted jobs get a grace time, and save", ""


def probe(ws: Workspace) -> Iterator[Finding]:
    """A job of two nodes: the workspace can be written, the program is there, clocks agree, the ranks meet."""
    folder = ws.queue / f".doctor-{os.getpid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    script, out, lock = folder / "probe.sbatch", folder / "probe.log", folder / "lock"
    usual = ws.settings.slurm
    more = [
        f"#SBATCH --{key}={value}"
        for key, value in (("partition", usual.partition), ("account", usual.account))
        if value
    ]
    more += [f"#SBATCH --{text.removeprefix('--')}" for text in usual.sbatch]
    here = str(Path(rmtui.__file__).resolve().parent.parent)
    prologue = f"export PYTHONPATH={here}\n{usual.prologue}"
    port = 61_000 - os.getpid() % 20_000
    words = {"out": out, "more": "\n".join(more), "prologue": prologue, "python": sys.executable, "port": port}
    script.write_text(_PROBE.format(**words, lock=shlex.quote(str(lock))))
    try:
        with locked(lock, 1.0):
            yield from _judge(calls.submit(script, folder), out)
    except SlurmError as error:
        yield TOPIC, "error", f"a job of two nodes was not taken: {error}", "see [slurm] of workspace.toml"
    finally:
        for path in (script, out, lock):
            path.unlink(missing_ok=True)
        folder.rmdir()


def _judge(job: str, out: Path) -> Iterator[Finding]:
    until, row = time.monotonic() + WAIT, calls.job(job)
    while row is not None and row.state in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING"):
        if time.monotonic() > until:
            calls.cancel(job)
            text = f"job {job} of two nodes is {row.state} ({row.reason}) after {WAIT:.0f} s"
            yield TOPIC, "warning", text, "try later"
            return
        time.sleep(0.5)
        row = calls.job(job)
    text = out.read_text(errors="replace") if out.exists() else ""
    met = [line.split() for line in text.splitlines() if line.startswith("met ")]
    if len(met) != 2:
        last = (text.strip().splitlines() or ["its output is not in the workspace: can compute nodes write there?"])[-1]
        yield TOPIC, "error", f"two nodes did not meet: {last}", "correct [slurm] prologue, or ask about that node"
        return
    clocks = [float(words[2]) for words in met]
    nodes = ", ".join(words[1] for words in met)
    text = f"a job of two nodes ran ({nodes}): they write here, and an all-reduce over both came out right"
    yield TOPIC, "ok", text, ""
    if max(clocks) - min(clocks) > LONG_AGO:
        yield TOPIC, "warning", f"the clocks of two nodes differ by {max(clocks) - min(clocks):.0f} s", "ask for NTP"
    if blind := [words[1] for words in met if words[3] != "locked"]:
        text = f"a lock that this host holds in the workspace is not seen on {', '.join(blind)}"
        remedy = "ask for a mount with locks (Lustre: -o flock; NFS: with lockd); until then launch from one host only"
        yield TOPIC, "warning", text, remedy
    else:
        yield TOPIC, "ok", f"a lock that this host holds in the workspace is seen on {nodes}", ""
