"""The launcher of a Slurm cluster: sbatch hands a start over, one squeue looks at all jobs, scancel ends."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

from rmtui.errors import UserError
from rmtui.launch import checkpoints
from rmtui.launch.launcher import NotSubmitted, Start
from rmtui.launch.slurm import allocation, calls, chain, script, settle, words
from rmtui.launch.slurm.calls import NoAnswer, SlurmError, SlurmJob
from rmtui.runs import cluster_jobs, proc
from rmtui.runs.cluster_jobs import ClusterJob, ClusterJobState, LastLook
from rmtui.runs.files import write_json
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.model import State
from rmtui.workspace import Workspace

INTERVAL = 30.0
"""Seconds between two looks while somebody looks on."""
LEFTOVER = 60.0
"""Seconds that a job may go on after its run's last word."""
SUBMITTING = 120.0
"""Seconds after which a submission without an id was cut off, where Slurm knows no such job."""


class Slurm:
    """Trainings as jobs of a Slurm cluster."""

    kind = "slurm"

    def submit(self, ws: Workspace, run: RunFolder, start: Start) -> None:
        wanted = allocation.of(run.spec()["launch"])
        if (measured := checkpoints.stop_seconds(run)) is not None:  # of its earlier attempts
            wanted = replace(wanted, warn=allocation.warning(measured))
        attempt, lock = run.new_attempt(start.attempt)
        os.close(lock)  # held again by the job's own supervisor
        path = attempt.path / "job.sbatch"
        job = ClusterJob(
            kind=self.kind,
            attempt=start.attempt,
            t=time.time(),
            cluster=calls.cluster(),
            host=proc.host(),
            resume=start.checkpoint,
            force=start.inexact,
            needs=wanted.needs(),
            warn=wanted.warn,
        )
        try:
            path.write_text(script.render(ws, wanted, run.name(), str(run.path), start.attempt), "utf-8")
            cluster_jobs.write(run, job)
            number, *further = chain.submit(path, run, start.attempt, wanted.chain)
        except NoAnswer as error:  # it may have been taken: the next look finds it by its comment, or nothing
            raise UserError(
                f"whether {run.id} was submitted is not known", str(error), "see: rmtui queue", 1
            ) from error
        except (SlurmError, UserError, OSError) as error:
            cluster_jobs.forget(run)
            shutil.rmtree(attempt.path)
            if not isinstance(error, SlurmError):
                raise
            away = "Unable to contact" in str(error)
            remedy = "try again when Slurm answers" if away else "change what it asks for"
            raise NotSubmitted("Slurm did not take the job", str(error), remedy, 1) from error
        cluster_jobs.write(run, replace(job, id=number, chain=further))

    def look(self, ws: Workspace, *, at_once: bool = False) -> None:
        waiting = cluster_jobs.open_runs(ws.queue, ws.runs)
        if not waiting:
            return
        with cluster_jobs.looking(ws.queue) as mine:
            last = cluster_jobs.last_look(ws.queue, self.kind)
            if not mine or (not at_once and time.time() - last.tried < INTERVAL):
                return
            self._look(ws, waiting, last)

    def _look(self, ws: Workspace, waiting: list[RunFolder], last: LastLook) -> None:
        began = time.time()
        try:
            rows = calls.queue()
            by_comment = {row.comment: row for row in rows.values()}
            for run in waiting:
                _learn(run, rows, by_comment)
            error = ""
        except SlurmError as failed:
            error = str(failed)
        t = last.t if error else began
        cluster_jobs.write_look(ws.queue, self.kind, LastLook(t, began, error))

    def withdraw(self, ws: Workspace, run: RunFolder, by: str) -> None:
        job, last = cluster_jobs.read(run), run.last_attempt()
        if job is None or last is None:
            return
        run.request_stop(False, by)
        _cancel(run, job)
        self.look(ws, at_once=True)

    def stop(self, ws: Workspace, run: RunFolder, *, now: bool, by: str) -> None:
        job = cluster_jobs.read(run)
        run.request_stop(now, by)
        if job is not None and now:
            _cancel(run, job, "--signal=KILL", "--full")
            _cancel(run, job)
            self.look(ws, at_once=True)

    def attend(self, ws: Workspace, run: RunFolder) -> bool:
        """Its supervisor is in the job: Slurm ends what it leaves."""
        return False

    def logs(self, attempt: AttemptFolder) -> list[Path]:
        found = [*sorted(attempt.logs.glob("launch*.log")), attempt.logs / "slurm.log"]
        return [path for path in found if path.is_file()]

    def remains(self, run: RunFolder, attempt: AttemptFolder) -> str:
        job = cluster_jobs.read(run)
        if job is None or not job.id:
            return ""
        try:
            row = calls.job(job.id)
        except SlurmError as error:
            return f"job {job.id}, as far as is known: {error}"
        if row is None or words.state(row) == cluster_jobs.ENDED:
            return ""
        return f"job {job.id} is {row.state} on {row.nodes}" if row.nodes else f"job {job.id} is {row.state}"


def _learn(run: RunFolder, rows: dict[str, SlurmJob], by_comment: dict[str, SlurmJob]) -> None:
    """What Slurm says of one run's job; where that is an end, the last word."""
    job = cluster_jobs.read(run)
    if job is None:
        cluster_jobs.close(run)
        return
    mine = script.comment(run, job.attempt)
    row = rows.get(job.id) or by_comment.get(mine)
    if (row is None or not row.comment.startswith(mine)) and job.cluster not in ("", calls.cluster()):
        return  # its own cluster is asked on that one's login nodes
    if not job.id:
        if row is not None:
            job = replace(job, id=row.id, chain=chain.found(run, job.attempt, by_comment))
            cluster_jobs.write(run, job)
        elif time.time() - job.t > SUBMITTING:
            _never_submitted(run, job)
            return
        else:
            return
    row = row or calls.job(job.id)
    if row is None or words.state(row) == cluster_jobs.ENDED:
        settle.settle(run, job, row)
        return
    _end_leftover(run, row)
    now = words.state(row)
    why = words.reason(row) if now == cluster_jobs.QUEUED else words.suspension(row)
    begins = row.start if now == cluster_jobs.QUEUED and not words.is_held(row) else None
    nodes = "" if now == cluster_jobs.QUEUED else ",".join(calls.host_names(row.nodes))
    cluster_jobs.note(run, ClusterJobState(job.id, time.time(), now, why, nodes, row.restarts, begins))


def _end_leftover(run: RunFolder, row: SlurmJob) -> None:
    """A job that goes on though its run has left its last word holds nodes for nothing."""
    last = run.last_attempt()
    ended = (last.exit() if last else None) or {}
    over = ended and not ended.get("requeued") and last is not None and last.launch().get("restart") == row.restarts
    if over and row.state == "RUNNING" and time.time() - float(ended.get("ended", 0)) > LEFTOVER:
        calls.cancel(row.id)


def _never_submitted(run: RunFolder, job: ClusterJob) -> None:
    last = run.last_attempt()
    if last is not None:
        word = {"outcome": str(State.INTERRUPTED), "reason": "its submission was cut off", "ended": time.time()}
        write_json(last.path / "exit.json", word)
    cluster_jobs.close(run)


def _cancel(run: RunFolder, job: ClusterJob, *options: str) -> None:
    if job.cluster and (here := calls.cluster()) and here != job.cluster:  # where the number is another job's
        why = f"it is of cluster {job.cluster}, and here is {here}"
        raise UserError(f"job {job.id} of {run.id} was not cancelled", why, "do it on one of its login nodes", 1)
    calls.cancel_waiting(job.chain)
    try:
        calls.cancel(job.id, *options)
    except SlurmError as error:
        if "Invalid job id" in str(error) or "already completing" in str(error).lower():
            return
        why = f"{error}; the training itself was asked to stop" if not options else str(error)
        raise UserError(
            f"job {job.id} of {run.id} was not cancelled", why, "try again when Slurm answers", 1
        ) from error
