"""What runs once on each node of a job: it starts the node's ranks through accelerate, watches them, and ends them when
their attempt is over elsewhere: `srun … python -m rmtui.launch.slurm.node RUN_FOLDER ATTEMPT`."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rmtui.launch import checkpoints
from rmtui.launch.attempt_watch import Share, Watch
from rmtui.launch.command import command, job_of
from rmtui.launch.slurm import allocation, calls
from rmtui.launch.slurm.calls import SlurmError
from rmtui.launch.start_process import begin
from rmtui.launch.verdict import LAUNCHER_LOG, Observed, first_exit, oom_kills, whole_rank
from rmtui.launch.waker import Waker
from rmtui.runs import proc, typed_files
from rmtui.runs.files import write_json
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.typed_files import NODE
from rmtui.workspace import Workspace

LOOK = 1.0
"""Seconds between two looks at what goes on elsewhere."""
SILENCE = 30.0
"""Seconds without a sign of the attempt's supervisor after which Slurm is asked whether the job still runs."""
LONGEST_SILENCE = 600.0
"""Seconds without one after which the ranks are ended, also where Slurm cannot be asked."""
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> int:
    os.umask(0o077)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    run, number = RunFolder(Path(arguments[0])), int(os.environ.get("SLURM_PROCID", "0"))
    attempt = AttemptFolder(run.path / f"attempt-{arguments[1]}")
    waker = Waker()
    waker.end_on(signal.SIGINT, signal.SIGUSR1)  # scancel --signal sends them to every process of the step
    given = GivenStart.of(attempt)
    log = LAUNCHER_LOG if number == 0 else f"launch-{number}.log"
    ended = Elsewhere(run, attempt, given, number)
    watch = _start(run, attempt, given, number, Share(log, False, number == 0, ended.order), waker)
    seen = watch.until_empty()
    _write(attempt, number, watch, seen, log)
    return 0


@dataclass(frozen=True, slots=True)
class GivenStart:
    """What the supervisor wrote into launch.json for the nodes."""

    job: str
    restart: int
    nodes: int
    address: str
    nonce: str
    resume: str
    force: bool

    @classmethod
    def of(cls, attempt: AttemptFolder) -> GivenStart:
        found = attempt.launch()
        return cls(
            job=found["job"],
            restart=found["restart"],
            nodes=len(found["nodes"]),
            address=found["address"],
            nonce=found["nonce"],
            resume=found.get("resumed_from", ""),
            force=bool(found["force"]),
        )


def _start(run: RunFolder, attempt: AttemptFolder, given: GivenStart, number: int, share: Share, waker: Waker) -> Watch:
    spec = run.spec()
    job = job_of(spec, before=checkpoints.precision_of(given.resume))
    job = replace(job, machines=given.nodes, machine=number, address=given.address)
    line = command(job, str(run.path), str(attempt.path), resume=given.resume, force=given.force)
    line = replace(line, argv=(*shlex.split(allocation.of(spec["launch"]).wrap), *line.argv))
    tag = f"{run.id}:{attempt.n}:{given.nonce}:{proc.place(attempt.path)}"
    lock = attempt.launcher_lock if number == 0 else attempt.path / f"launcher-{number}.lock"
    here = {**attempt.launch(), "processes": job.processes // given.nodes, "oom_kills": oom_kills()}
    child = begin(line, tag, (), attempt.logs / share.log, lock)
    return Watch(Workspace(run.path.parent.parent), run, attempt, here, child, None, waker, share)


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """nodes/N.json: how the ranks of a node ended."""

    node: int
    name: str
    exit_code: int | None
    rank: int | None
    """Of the bad end, in the whole training."""
    ranks: list[int]
    killed: bool
    terminated: bool
    out_of_memory: bool

    @property
    def failed(self) -> bool:
        """As nobody wanted."""
        return self.exit_code not in (0, None) and not self.terminated


def _write(attempt: AttemptFolder, number: int, watch: Watch, seen: Observed, log: str) -> None:
    """For the supervisor and the other nodes."""
    code, local = first_exit(attempt, seen.exit_code, log)
    named = None if local is None else whole_rank(attempt, local, log)
    rank = watch.global_rank(local) if named is None and local is not None else named
    folder = attempt.path / "nodes"
    folder.mkdir(exist_ok=True, mode=0o700)
    end = NodeEnd(
        node=number,
        name=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        exit_code=code,
        rank=rank,
        ranks=sorted(watch.ranks | ({rank} if rank is not None else set())),
        killed=seen.killed,
        terminated=seen.terminated or seen.stop is not None,
        out_of_memory=seen.out_of_memory,
    )
    write_json(folder / f"{number}.json", asdict(end))


def endings(attempt: AttemptFolder) -> list[NodeEnd]:
    """How the ranks of each node ended, as far as they have."""
    found = [typed_files.read(path, NODE).document for path in sorted((attempt.path / "nodes").glob("*.json"))]
    return [NodeEnd(**{"exit_code": None, "rank": None, **document}) for document in found if document is not None]


class Elsewhere:
    """What of the attempt goes on where this node cannot see processes: the other nodes, the supervisor, the job."""

    def __init__(self, run: RunFolder, attempt: AttemptFolder, given: GivenStart, number: int) -> None:
        self._run, self._attempt, self._given, self._number = run, attempt, given, number
        self._next = 0.0
        self._order = ""
        self._beat, self._heard = b"", time.monotonic()
        self._asked = 0.0

    def order(self) -> str:
        """`kill`: a newer attempt has the token, or the job is gone; `end`: the ranks of another node have failed;
        `over`: the training has left its last word and another node has ended."""
        if time.monotonic() >= self._next and self._order != "kill":
            self._next = time.monotonic() + LOOK
            self._order = self._look() or self._order
        return self._order

    def _look(self) -> str:
        if self._attempt.exit() is not None or (self._run.path / f"attempt-{self._attempt.n + 1}").exists():
            return "kill"
        others = [each for each in endings(self._attempt) if each.node != self._number]
        if any(each.failed for each in others):
            return "end"
        if others and self._attempt.result() is not None:
            return "over"  # a launcher waits for those of the other nodes for minutes, deaf to signals
        return self._unless_supervised()

    def _unless_supervised(self) -> str:
        """A node whose slurmd died keeps its ranks though the job was given to others: nobody else would end them."""
        try:
            beat = self._attempt.read_lock()
        except OSError:
            beat = b""
        now = time.monotonic()
        if beat and beat != self._beat:
            self._beat, self._heard = beat, now
        silence = now - self._heard
        if silence < SILENCE or now < self._asked + SILENCE:
            return ""
        self._asked = now
        return "kill" if silence > LONGEST_SILENCE or self._job_is_gone() else ""

    def _job_is_gone(self) -> bool:
        try:
            row = calls.job(self._given.job)
        except SlurmError:
            return False
        return row is None or row.state != "RUNNING" or row.restarts != self._given.restart


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
