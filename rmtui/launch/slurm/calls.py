"""Slurm's own commands, each called once and with a deadline: sbatch, squeue, scontrol, scancel, sacct, sinfo."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
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


class SlurmError(Exception):
    """A command failed or did not answer; the text is Slurm's own first line."""


class NoAnswer(SlurmError):
    """It did not answer in time: whether it did what was asked is not known."""


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


def call(words: Sequence[str], patience: float = PATIENCE, cwd: Path | None = None) -> str:
    """A command's output; SlurmError where it fails."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=patience, stdin=subprocess.DEVNULL, cwd=cwd
        )
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{words[0]} got no answer from Slurm in {patience:.0f} s") from None
    except OSError as error:
        raise SlurmError(f"{words[0]}: {error.strerror}") from error
    if done.returncode:
        raise SlurmError(first_words(done.stderr) or f"{words[0]} ended with code {done.returncode}")
    return done.stdout


def first_words(text: str) -> str:
    """What Slurm said, in one line, without the names of its programs: every line of it, since the first one is often
    only the number of the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for prefix in ("sbatch: ", "squeue: ", "scontrol: ", "scancel: ", "sacct: ", "sinfo: ", "error: "):
        lines = [line.removeprefix(prefix) for line in lines]
    return "; ".join(dict.fromkeys(lines))


def submit(script: Path, cwd: Path, *options: str) -> str:
    """The new job's id. SlurmError where it was refused. `options` come before those of the script."""
    answer = call(["sbatch", "--parsable", *options, str(script)], SUBMIT_PATIENCE, cwd).strip()
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
        settings = call(["scontrol", "show", "config"])
        path = next(line.split("=", 1)[1].strip() for line in settings.splitlines() if line.startswith("JobCompLoc"))
        lines = Path(path).read_text(errors="replace").splitlines()
    except (SlurmError, StopIteration, OSError):
        return ""
    mine = [line for line in lines if line.startswith(f"JobId={number} ")]
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
