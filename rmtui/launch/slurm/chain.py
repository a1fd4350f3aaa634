"""Jobs that wait for one another, for sites that forbid a requeue: each goes on where the one before was ended."""

from __future__ import annotations

import os
from pathlib import Path

from rmtui.launch.slurm import calls, script, settle
from rmtui.launch.slurm.calls import SlurmError, SlurmJob
from rmtui.runs import cluster_jobs
from rmtui.runs.folder import RunFolder


def submit(path: Path, run: RunFolder, attempt: int, further: int) -> list[str]:
    """Ids of the job and of `further` ones, each of which waits for the end of the one before. SlurmError where one of
    them was refused: then none is left."""
    ids = [calls.submit(path, run.path)]
    try:
        for place in range(1, further + 1):
            options = (f"--dependency=afterany:{ids[-1]}", f"--comment={script.comment(run, attempt, place)}")
            ids.append(calls.submit(path, run.path, *options))
    except calls.NoAnswer:
        raise  # all of them may be there; a look finds them
    except SlurmError:
        calls.cancel_waiting(ids)
        raise
    return ids


def found(run: RunFolder, attempt: int, by_comment: dict[str, SlurmJob]) -> list[str]:
    """The jobs after a run's first one, where their submission was cut off before it was written down."""
    first = script.comment(run, attempt)
    rows = {name: row.id for name, row in by_comment.items() if name.startswith(f"{first}:")}
    return [rows[name] for name in sorted(rows, key=lambda name: int(name.removeprefix(f"{first}:")))]


def was_stopped(run: RunFolder, submitted: int) -> bool:
    """Whether a person stopped the attempt that this start of its job would follow: a controller that was killed right
    after a cancel has forgotten it, and gives the job back."""
    last = run.last_attempt()
    if last is None or last.n < submitted or last.exit() is None:
        return False
    return any(request.get("by") != settle.SLURM for request in run.requests("stop", last.n))


def my_turn(run: RunFolder) -> bool:
    """Whether the job that asks is to train: not where the run is over, or is another job's. Where the job before it
    left no last word, Slurm's decides."""
    me, job = os.environ.get("SLURM_JOB_ID", ""), cluster_jobs.read(run)
    if job is None or job.id in ("", me):
        return True  # requeued; or it was faster than the note of its submission
    while me in job.chain:
        settle.settle(run, job, calls.job(job.id))
        now = cluster_jobs.read(run)
        if now is None or now == job:
            return False
        job = now
    return job.id == me
