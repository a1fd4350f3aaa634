"""Runs whose turn a scheduler decides: which job a run has, and what the scheduler last said of it.

No scheduler is asked here. Whoever asks one writes the answer beside the run, so that it outlives the scheduler's
memory; readers take it with its age. `queue/jobs/` has a file for every run whose job may change, and the last look's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rmtui.runs import proc, typed_files
from rmtui.runs.files import write_json
from rmtui.runs.folder import RunFolder

QUEUED, STARTING, RUNNING, ENDING, ENDED = "queued", "starting", "running", "ending", "ended"
"""What a scheduler says of a job, whatever its own words are."""
OLD_WORD = 90.0
"""Seconds after which a word that could not be asked for again is shown with its age."""


@dataclass(frozen=True, slots=True)
class ClusterJob:
    """`job.json`: the job that a run's latest start was handed over as."""

    kind: str
    """The launcher's."""
    attempt: int
    """The attempt that it begins with; a job that is requeued goes on with further ones."""
    t: float
    id: str = ""
    """The scheduler's name for it; empty while it is being submitted."""
    cluster: str = ""
    """The scheduler's own name; another one that sees the workspace knows nothing of this job."""
    host: str = ""
    resume: str = ""
    """Checkpoint folder to begin from."""
    force: bool = False
    needs: str = ""
    """`2 nodes × 4 GPUs in partition long`."""
    warn: int = 0
    """Seconds before its time limit at which it is warned."""
    chain: list[str] = field(default_factory=list)
    """Jobs that wait for the end of this one, in their order: each goes on with the run."""
    inode: str = ""
    """Of the run's folder, which a copy does not share and every node sees alike; devices have other numbers there."""


@dataclass(frozen=True, slots=True)
class ClusterJobState:
    """`job-state.json`: what the scheduler said when it last said something new."""

    job: str
    t: float
    state: str
    """queued, starting, running, ending or ended."""
    reason: str = ""
    """Why it waits, or does not go on."""
    nodes: str = ""
    restarts: int = 0
    begins: float | None = None
    """When the scheduler expects to start it."""


@dataclass(frozen=True, slots=True)
class LastLook:
    """The last look at a scheduler's jobs."""

    t: float = 0.0
    """When it last answered."""
    tried: float = 0.0
    error: str = ""
    """Why it did not answer since; empty: it did."""


def folder(queue: Path) -> Path:
    """Where the open jobs of a workspace are noted."""
    return queue / "jobs"


def _queue(run: RunFolder) -> Path:
    return run.path.parent.parent / "queue"


def read(run: RunFolder) -> ClusterJob | None:
    """A run's job; None for runs of this machine, and where the file came by copy or import: the job that it names is
    another run's, and must neither be believed nor cancelled."""
    document = typed_files.read(run.path / "job.json", typed_files.JOB).document
    try:
        job = ClusterJob(**document) if document is not None else None
    except TypeError:
        return None
    ours = job is not None and job.inode == _inode(run) != "" and not run.origin.exists()
    return job if ours else None


def _inode(run: RunFolder) -> str:
    return proc.place(run.path).partition(".")[2]


def said(run: RunFolder, job: ClusterJob) -> ClusterJobState | None:
    """What its scheduler last said of this very job."""
    document = typed_files.read(run.path / "job-state.json", typed_files.JOB_STATE).document
    try:
        found = ClusterJobState(**document) if document is not None else None
    except TypeError:
        return None
    return found if found is not None and found.job == job.id else None


def write(run: RunFolder, job: ClusterJob) -> None:
    """Note a job of a run, and that it may change."""
    folder(_queue(run)).mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder(_queue(run)) / run.id).touch(mode=0o600)
    write_json(run.path / "job.json", asdict(replace(job, inode=_inode(run))))


def advance(run: RunFolder, job: ClusterJob) -> ClusterJob:
    """The next job of the chain is the run's from now on."""
    following = replace(job, id=job.chain[0], chain=job.chain[1:])
    write(run, following)
    return following


def note(run: RunFolder, now: ClusterJobState) -> None:
    """Write down what the scheduler says, where that is new."""
    job = read(run)
    before = said(run, job) if job else None
    if before is None or asdict(before) | {"t": now.t} != asdict(now):
        write_json(run.path / "job-state.json", asdict(now))


def close(run: RunFolder) -> None:
    """Its job has ended and left its word: nobody needs to ask for it again."""
    (folder(_queue(run)) / run.id).unlink(missing_ok=True)


def forget(run: RunFolder) -> None:
    """A job that was never submitted leaves nothing."""
    for name in ("job.json", "job-state.json"):
        (run.path / name).unlink(missing_ok=True)
    close(run)


def open_runs(queue: Path, runs: Path) -> list[RunFolder]:
    """Runs whose job may still change. One look at one folder, whatever the number of runs."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder(queue)) if not entry.name.startswith("."))
    except OSError:
        return []
    return [RunFolder(runs / name) for name in names]


def last_look(queue: Path, kind: str) -> LastLook:
    document = typed_files.read(folder(queue) / f".look-{kind}.json", typed_files.LOOK).document
    try:
        return LastLook(**document) if document is not None else LastLook()
    except TypeError:
        return LastLook()


def write_look(queue: Path, kind: str, look: LastLook) -> None:
    with contextlib.suppress(OSError):
        write_json(folder(queue) / f".look-{kind}.json", asdict(look))


@contextmanager
def looking(queue: Path) -> Iterator[bool]:
    """Whether this process is the one that asks now; another one's answer is as good."""
    fd = os.open(folder(queue) / ".looking.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = True
        except BlockingIOError:
            mine = False
        yield mine
    finally:
        os.close(fd)


def age(run: RunFolder, job: ClusterJob, now: float | None = None) -> tuple[float, str] | None:
    """(seconds since the scheduler last answered, why it does not) where that is too long; None while it answers."""
    look = last_look(_queue(run), job.kind)
    silence = (time.time() if now is None else now) - max(
        look.t, job.t
    )  # what was said at its submission is a word too
    return (silence, look.error) if look.error and silence > OLD_WORD else None
