"""Slurm's own commands, each called once and with a deadline: sbatch, squeue, scontrol, scancel, sacct, sinfo."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 10.0
"""Seconds that a question may take; Slurm's own clients wait for a minute and more for a controller that is away."""
SUBMIT_PATIENCE = 60.0
FIELDS = (
    ("JobID", 20),
    ("State", 24),
    ("Reason", 120),
    ("NodeList", 400),
    ("StartTime", 24),
    ("RestartCnt", 8),
    ("Comment", 120),
)
"""Columns of squeue, with the width that each is given."""

_GPUS = ("GPUS", "GPUS_PER_NODE", "GPUS_PER_TASK", "GRES")
_REQUEUE = ("REQUEUE", "NO_REQUEUE")
_VARIABLES = {
    "array": ("ARRAY_INX",),
    "gpus-per-node": _GPUS,
    "gres": _GPUS,
    "mem": ("MEM_PER_CPU", "MEM_PER_GPU", "MEM_PER_NODE"),
    "no-requeue": _REQUEUE,
    "requeue": _REQUEUE,
    "time": ("TIMELIMIT",),
}
"""Option of sbatch → variables, less SBATCH_, that mean it; others are named after it."""


class SlurmError(Exception):
    """A command failed or did not answer; the text is Slurm's own first line."""


class NoAnswer(SlurmError):
    """It did not answer in time: whether it did what was asked is not known."""


class EndedBySignal(SlurmError):
    """The command was killed, from outside."""


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """A job as Slurm lists it, in Slurm's words."""

    id: str
    state: str
    """PENDING, RUNNING, COMPLETING, TIMEOUT, …"""
    reason: str = ""
    nodes: str = ""
    start: float | None = None
    """When it started, or is expected to; Unix seconds."""
    restarts: int = 0
    comment: str = ""


def installed() -> bool:
    return shutil.which("sbatch") is not None


def call(
    words: Sequence[str], patience: float | None = None, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """A command's output; SlurmError where it fails."""
    patience = PATIENCE if patience is None else patience
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=cwd,
            env=_for_questions() if env is None else env,
            start_new_session=True,
        )
    except OSError as error:
        raise SlurmError(f"{words[0]}: {error.strerror}") from error
    with child:
        try:
            answer, said = child.communicate(timeout=patience)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # and what a site's wrapper of the command started
            if isinstance(error, subprocess.TimeoutExpired):
                raise NoAnswer(f"{words[0]} got no answer from Slurm in {patience:.0f} s") from None
            raise
    if child.returncode < 0:
        raise EndedBySignal(f"{words[0]} was ended by signal {-child.returncode}")
    if child.returncode:
        raise SlurmError(first_words(said) or f"{words[0]} ended with code {child.returncode}")
    return answer


def _for_questions() -> dict[str, str]:
    """The environment without a person's usual filters and formats, which would hide jobs, or change what is read."""
    usual = ("SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(usual)}
    return kept | {"SLURM_TIME_FORMAT": "standard"}


def _for_submission(script: str) -> dict[str, str]:
    """The environment that goes with a script: without the SBATCH_ variables that would count before what the script
    itself says (man sbatch, INPUT ENVIRONMENT VARIABLES), and without what describes a job that this process is in."""
    said = {"array", "error", "test-only", "wait", *re.findall(r"^#SBATCH\s+--([a-z-]+)", script, re.MULTILINE)}
    names = {f"SBATCH_{other}" for key in said for other in _VARIABLES.get(key, (key.upper().replace("-", "_"),))}
    kept = {key: value for key, value in os.environ.items() if key not in names}
    if "SLURM_JOB_ID" in kept:
        outer = ("SLURM_", "SLURMD_", "SRUN_", "PMI_", "PMIX_")
        kept = {key: value for key, value in kept.items() if not key.startswith(outer) or key == "SLURM_CONF"}
    return kept


def first_words(text: str) -> str:
    """What Slurm said, in one line, without the names of its programs: every line of it, since the first one is often
    only the number of the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for prefix in ("sbatch: ", "squeue: ", "scontrol: ", "scancel: ", "sacct: ", "sinfo: ", "error: "):
        lines = [line.removeprefix(prefix) for line in lines]
    return "; ".join(dict.fromkeys(lines))


def submit(script: Path, cwd: Path, *options: str) -> str:
    """The new job's id. SlurmError where it was refused. `options` come before those of the script."""
    env = _for_submission(script.read_text("utf-8"))
    answer = call(["sbatch", "--parsable", *options, str(script)], SUBMIT_PATIENCE, cwd, env).strip()
    job = answer.splitlines()[-1].partition(";")[0] if answer else ""
    if not job.isdigit():
        raise SlurmError(f"sbatch answered {answer!r}, which is no job")
    return job


def queue() -> dict[str, SlurmJob]:
    """Every job of this user that Slurm still knows, those of the last minutes too, by id. One call for them all."""
    columns = ",".join(f"{name}:{width}" for name, width in FIELDS)
    return {
        row.id: row
        for line in call(["squeue", "--me", "-h", "-t", "all", "-O", columns]).splitlines()
        if (row := _row(line))
    }


def _row(line: str) -> SlurmJob | None:
    values, at = [], 0
    for _, width in FIELDS:
        values.append(line[at : at + width].strip())
        at += width
    job, state, reason, nodes, start, restarts, comment = values
    if not job.isdigit():
        return None
    return SlurmJob(job, state, reason, _plain(nodes), moment(start), int(restarts or 0), _plain(comment))


def job(number: str) -> SlurmJob | None:
    """One job as the controller remembers it; None where it has forgotten it."""
    try:
        fields = show(["job", number])
    except NoAnswer:
        raise
    except SlurmError as error:
        if "Invalid job id" in str(error):
            return None
        raise
    return SlurmJob(
        number,
        fields.get("JobState", ""),
        fields.get("Reason", ""),
        _plain(fields.get("NodeList", "")),
        moment(fields.get("StartTime", "")),
        int(fields.get("Restarts", "0")),
        _plain(fields.get("Comment", "")),
    )


def settings() -> dict[str, str]:
    """The site's configuration (`scontrol show config`), by name."""
    rows = [line.partition("=") for line in call(["scontrol", "show", "config"]).splitlines()]
    return {key.strip(): value.strip() for key, _, value in rows if value}


def cluster() -> str:
    """The name of the cluster that answers here; empty where it does not."""
    try:
        return settings().get("ClusterName", "")
    except SlurmError:
        return ""


def show(what: Sequence[str]) -> dict[str, str]:
    """`scontrol show`, its fields by name."""
    words = call(["scontrol", "show", "-o", *what]).split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def recorded(number: str) -> str:
    """The state of a job that the controller has forgotten, by accounting or the file of ended jobs; "" where neither
    knows it."""
    try:
        found = call(["sacct", "-n", "-X", "-P", "-j", number, "-o", "State"]).strip()
    except SlurmError:
        found = ""
    return found.splitlines()[-1].split()[0] if found else _in_file(number)


def _in_file(number: str) -> str:
    """By jobcomp/filetxt, where that is what the site keeps and it may be read."""
    try:
        path = Path(settings().get("JobCompLoc", ""))
        with path.open(errors="replace") as lines:  # of all users, and years: not all of it at once
            mine = [line for line in lines if line.startswith(f"JobId={number} ")]
    except (SlurmError, OSError):
        return ""
    words = dict(word.split("=", 1) for word in mine[-1].split() if "=" in word) if mine else {}
    return words.get("JobState", "")


def cancel(number: str, *options: str) -> None:
    call(["scancel", *options, number])


def cancel_waiting(numbers: Sequence[str]) -> None:
    """Take jobs of a chain out of the queue, the last one first; not the job that this process is in. One that stays
    finds out for itself that it has nothing to do."""
    for number in reversed(numbers):
        if number != os.environ.get("SLURM_JOB_ID"):
            with contextlib.suppress(SlurmError):
                cancel(number)


def requeue(number: str) -> None:
    """Send the job that this process is in back into the queue. Slurm ends its processes then, this command too."""
    with contextlib.suppress(EndedBySignal):
        call(["scontrol", "requeue", number])


def host_names(listed: str) -> list[str]:
    """`n[1-3]` → n1, n2, n3. Asks no controller."""
    return call(["scontrol", "show", "hostnames", listed]).split() if listed else []


def moment(text: str) -> float | None:
    """Slurm's local time → Unix seconds."""
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


def _plain(text: str) -> str:
    return "" if text in ("(null)", "N/A", "None") else text
