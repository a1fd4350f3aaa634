"""What became of a job that has ended: the run's own last word, else Slurm's, written into the run folder for good."""

from __future__ import annotations

import time
from pathlib import Path

from rmtui.launch.slurm import calls, words
from rmtui.launch.slurm.calls import SlurmJob
from rmtui.runs import cluster_jobs
from rmtui.runs.cluster_jobs import ClusterJob, ClusterJobState
from rmtui.runs.files import write_json
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.model import State
from trainer import manifest
from trainer.plain_files import read_tail

LARGEST_OUTPUT = 1 << 16
BY_SLURM = ("TIMEOUT", "DEADLINE", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL")
"""Ends of a job after which the next one of its chain goes on."""


def settle(run: RunFolder, job: ClusterJob, row: SlurmJob | None) -> None:
    """Write the last word of a run whose job is over, or hand it on to the next job of its chain. SlurmError where that
    cannot be learnt now."""
    attempt = run.last_attempt()
    if cluster_jobs.read(run) != job:  # looked at last: the next job notes itself before it makes its attempt
        return
    ended = (attempt.exit() if attempt else None) or {}
    if attempt is not None and (not ended or ended.get("requeued")):
        word = row.state if row is not None else (_recorded(job) or _remembered(run, job))
        if job.chain and _goes_on(run, job, attempt, word):
            if not ended and attempt.launch():
                _write(run, attempt, word, row, goes_on=True)
            cluster_jobs.advance(run, job)
            return
        _write(run, attempt, word, row)
    calls.cancel_waiting(job.chain)
    cluster_jobs.note(
        run,
        ClusterJobState(job.id, time.time(), cluster_jobs.ENDED, row.state if row else "", row.nodes if row else ""),
    )
    cluster_jobs.close(run)


def _recorded(job: ClusterJob) -> str:
    """Its end, by what the site keeps of past jobs; that it was requeued once is none."""
    word = calls.recorded(job.id)
    return "" if word in words.STATES else word


def _remembered(run: RunFolder, job: ClusterJob) -> str:
    """What was last seen of it, where that was an end already."""
    said = cluster_jobs.said(run, job)
    return said.reason if said is not None and said.state == cluster_jobs.ENDED else ""


def _goes_on(run: RunFolder, job: ClusterJob, attempt: AttemptFolder, word: str) -> bool:
    """Whether the next job of the chain takes over: after an end by Slurm, not by a person or the training. One that
    began, and of which neither its supervisor nor Slurm has a word, was lost with its node."""
    began = attempt.launch().get("job") == job.id
    if began and (attempt.exit() or {}).get("requeued"):
        return True
    return asked_for(run, attempt) is None and (word.startswith(BY_SLURM) or (began and not word))


def _write(run: RunFolder, attempt: AttemptFolder, word: str, row: SlurmJob | None, *, goes_on: bool = False) -> None:
    result = attempt.result() or {}
    ended = attempt.exit() or {}
    outcome, reason = words.outcome(word)
    step = result.get("step") if isinstance(result.get("step"), int) else _last_step(attempt)
    if result.get("outcome") == State.FINISHED:
        outcome, reason = State.FINISHED, str(result.get("reason", ""))
    elif asked := asked_for(run, attempt):
        outcome, reason = asked
    elif attempt.launch():
        reason += state_of_nodes(word, row) + format_saved(run, step)
    elif outcome == State.STOPPED:
        reason += " before it began"
    else:
        reason += f" before rmtui's part of it began{output_tail(attempt)}"
    if ended.get("requeued") and outcome == State.STOPPED:
        reason += f"; before: {ended.get('reason', '')}"
    document = {"outcome": str(outcome), "reason": reason, "ended": time.time(), "step": step}
    document |= {"requeued": True} if goes_on else {}
    write_json(attempt.path / "exit.json", {key: value for key, value in document.items() if value is not None})


def asked_for(run: RunFolder, attempt: AttemptFolder) -> tuple[State, str] | None:
    """The end of an attempt that a person asked for through rmtui, and of which no process of ours wrote the word."""
    requests = [request for request in run.requests("stop", attempt.n) if request.get("by") != SLURM]
    if not requests:
        return None
    by = str(requests[0].get("by", "")) or "someone"
    if not attempt.launch():
        return State.STOPPED, f"removed from the queue by {by}"
    if any(request.get("now") for request in requests):
        return State.KILLED, f"killed at once by {by}"
    return State.STOPPED, f"stopped by {by}"


SLURM = "Slurm"
"""By whom a stop is asked for that Slurm's signals mean."""


def state_of_nodes(word: str, row: SlurmJob | None) -> str:
    if row is None or not row.nodes or not word.startswith(("NODE_FAIL", "BOOT_FAIL", "OUT_OF_ME")):
        return ""
    return f" (one of {row.nodes})"


def format_saved(run: RunFolder, step: object) -> str:
    """` at step 120; the last checkpoint is of step 100`."""
    newest = manifest.newest(run.path)
    at = f" at step {step}" if step else ""
    if newest is None:
        return f"{at}; no checkpoint was saved" if step else at
    return f"{at}; a checkpoint of step {newest.step} is there"


def _last_step(attempt: AttemptFolder) -> int | None:
    return max((step for step, _ in attempt.rank_steps().values()), default=None)


def output(attempt: AttemptFolder, start: int = 0) -> str:
    """What the job's own output says from a byte on; requeued attempts go on in the first one's file."""
    for path in (attempt.logs / "slurm.log", *_earlier(attempt)):
        if path.is_file():
            try:
                text = read_tail(path, LARGEST_OUTPUT)
                skipped = max(0, path.stat().st_size - len(text))
            except OSError:
                return ""
            return text[max(0, start - skipped) :].decode("utf-8", "replace")
    return ""


def _earlier(attempt: AttemptFolder) -> list[Path]:
    return [attempt.path.parent / f"attempt-{n}" / "logs" / "slurm.log" for n in range(attempt.n - 1, 0, -1)]


def output_size(attempt: AttemptFolder) -> int:
    for path in (attempt.logs / "slurm.log", *_earlier(attempt)):
        if path.is_file():
            return path.stat().st_size
    return 0


def output_tail(attempt: AttemptFolder) -> str:
    """`: module: command not found`, the last line that the job's output holds."""
    lines = [line.strip() for line in output(attempt).splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""
