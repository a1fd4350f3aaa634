"""The supervisor of a run inside its job, on the first node, in the place of the batch shell: `python -m
rmtui.launch.slurm.job RUN_FOLDER ATTEMPT`. It starts one `node` on every node, turns Slurm's signals into a checkpoint,
writes the attempt's last word and has the job requeued where the training is to go on. It never writes the index.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from rmtui.launch import checkpoints, hooks, last_word
from rmtui.launch.command import job_of, threads
from rmtui.launch.slurm import allocation, calls, chain, node, settle, words
from rmtui.launch.slurm.allocation import FIRST_PORT, PORTS
from rmtui.launch.slurm.calls import SlurmError
from rmtui.launch.verdict import Observed, Verdict, judge
from rmtui.launch.waker import Waker
from rmtui.runs import cluster_jobs, life, proc
from rmtui.runs.cluster_jobs import ClusterJob
from rmtui.runs.files import write_json
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.model import State
from rmtui.workspace import Workspace, open_workspace

TICK = 0.5
OVERDUE = 60.0
"""Seconds beyond a stop's grace after which the step is ended as a whole."""
BY_SLURM = ("PREEMPTED", "NODE_FAIL", "REQUEUED")
"""Ends after which Slurm itself puts a job that was submitted with --requeue back into its queue."""


def main(arguments: list[str]) -> int:
    os.umask(0o077)
    waker, run = Waker(), RunFolder(Path(arguments[0]).resolve())
    ws = open_workspace(run.path.parent.parent)
    if chain.was_stopped(run, int(arguments[1])):
        _log(f"job {os.environ.get('SLURM_JOB_ID')} was started again, though the run was stopped: resume it instead")
        return 0
    if not chain.my_turn(run):
        _log(f"job {os.environ.get('SLURM_JOB_ID')} has nothing to do: the run is over, or another job's")
        return 0
    attempt, lock = _attempt(run, int(arguments[1]))
    life.beat(lock)
    supervisor = Supervisor(ws, run, attempt, lock, waker)
    try:
        supervisor.begin()
    except (OSError, SlurmError, ValueError) as error:
        supervisor.end(Verdict(State.FAILED, f"could not be started: {error}"), None)
        return 1
    supervisor.watch()
    return 0


def _attempt(run: RunFolder, submitted: int) -> tuple[AttemptFolder, int]:
    """The attempt that this start of the job is, with its lock: the submitted one at first, a new one each time that
    Slurm requeued the job. The earlier one gets a last word if it has none."""
    last = run.last_attempt()
    if last is None or last.n < submitted:
        return run.new_attempt(submitted)
    if not last.launch():
        fd = os.open(last.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return last, fd
    attempt, fd = run.new_attempt(last.n + 1)  # from here on the earlier one writes nothing
    if last.exit() is None:
        cause = words.cause(settle.output(last, int(last.launch().get("log_from", 0))))
        reason = "its job was started anew" if cause in ("", "CANCELLED") else words.outcome(cause)[1]
        text = reason + settle.format_saved(run, max((s for s, _ in last.rank_steps().values()), default=0))
        write_json(last.path / "exit.json", {"outcome": str(State.INTERRUPTED), "reason": text, "ended": time.time()})
    return attempt, fd


@dataclass(slots=True)
class Supervisor:
    """One attempt, from the nodes' start to exit.json."""

    ws: Workspace
    run: RunFolder
    attempt: AttemptFolder
    lock: int
    waker: Waker
    step: int | None = None
    """Pid of srun."""
    code: int = 0
    expected: bool = False
    warned: float = 0.0
    """When Slurm's warning or SIGTERM was turned into a stop; 0: not yet."""
    pressed: bool = False
    nodes: tuple[str, ...] = ()
    grace: float = 90.0
    came_from: int = 0
    """Step that it was resumed from."""
    log_from: int = 0
    """Where its part of the job's output begins, in bytes."""
    cause: str = ""
    """Why Slurm ended it, as a state of Slurm; empty: it did not."""

    def begin(self) -> None:
        """launch.json, then a `node` on every node."""
        job = cluster_jobs.read(self.run)
        requeued = job is None or self.attempt.n > job.attempt
        found = checkpoints.newest_whole(self.run.path)[0] if requeued else None
        resume = (str(found.folder) if found else "") if job is None or requeued else job.resume
        spec = self.run.spec()
        wanted = job_of(spec, before=checkpoints.precision_of(resume))
        self.grace, self.came_from = wanted.grace, checkpoints.step_of(resume) or 0
        self.log_from = settle.output_size(self.attempt)
        names = calls.host_names(os.environ.get("SLURM_JOB_NODELIST", "")) or [socket.gethostname()]
        me, nonce = proc.this_process(), os.urandom(6).hex()
        self.nodes = tuple(names)
        command = allocation.of(spec["launch"]).srun_line(len(names))
        command += [sys.executable, "-m", "rmtui.launch.slurm.node", str(self.run.path), str(self.attempt.n)]
        document = {
            "kind": "slurm",
            "job": os.environ.get("SLURM_JOB_ID", ""),
            "restart": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
            "t": time.time(),
            "host": proc.host(),
            "nodes": names,
            "address": f"{_address(names[0])}:{_free_port(int(os.environ.get('SLURM_JOB_ID', '0')))}",
            "boot_id": proc.boot_id(),
            "pid": me.pid,
            "started": me.started,
            "pid_namespace": proc.pid_namespace(),
            "folder": str(self.attempt.path),
            "nonce": nonce,
            "argv": command,
            "processes": wanted.processes,
            "threads": threads(wanted.processes // len(names)),
            "grace": wanted.grace,
            "force": bool(requeued or (job and job.force)),
            "log_from": self.log_from,
            "resumed_from": resume or None,
            "resumed_from_step": checkpoints.step_of(resume),
        }
        with contextlib.suppress(OSError):
            hooks.expect(self.ws, self.run, self.attempt.n)
        self.expected = hooks.expected(self.ws, self.run, self.attempt.n)
        write_json(self.attempt.path / "launch.json", document)
        child = subprocess.Popen(command, cwd=self.attempt.path, stdin=subprocess.DEVNULL, start_new_session=True)
        child.returncode = 0  # reaped below
        self.step = child.pid

    def watch(self) -> None:
        """Until srun has ended; then the last word."""
        while self._runs():
            life.beat(self.lock)
            self._heed_signals()
            self._press()
            self.waker.wait(TICK)
        seen = self._observed()
        self.end(self._judge(seen), seen)

    def _runs(self) -> bool:
        if self.step is None:
            return False
        try:
            pid, status = os.waitpid(self.step, os.WNOHANG)
        except ChildProcessError:
            pid, status = self.step, 0
        if pid:
            self.step, self.code = None, os.waitstatus_to_exitcode(status)
        return self.step is not None

    def _heed_signals(self) -> None:
        """USR1, the warning before the time limit or a preemption, and SIGTERM, the end within KillWait: the ranks save
        and stop. The nodes hear of it by the same request as a person's."""
        if (self.waker.warned or self.waker.terminated) and not self.warned:
            self.warned = time.time()
            with contextlib.suppress(OSError):
                self.run.request_stop(False, settle.SLURM, self.attempt.n)

    def _press(self) -> None:
        """A step that does not end though its nodes had their time is ended by Slurm."""
        requests = self.run.requests("stop", self.attempt.n) if not self.pressed else []
        if not requests or self.step is None:
            return
        asked, now = float(str(requests[0].get("t") or 0)), any(request.get("now") for request in requests)
        if time.time() - asked > (OVERDUE if now else self.grace + OVERDUE):
            self.pressed = True
            with contextlib.suppress(OSError):
                os.killpg(self.step, signal.SIGTERM)

    def _observed(self) -> Observed:
        """What the nodes saw, as one: the first bad end is the cause, the others its echo."""
        ended = node.endings(self.attempt)
        requests = self.run.requests("stop", self.attempt.n)
        bad = [each for each in ended if each.failed]
        first = next(iter([each for each in bad if (each.exit_code or 0) < 0] or bad), None)
        known = len(ended) == len(self.nodes)
        return Observed(
            exit_code=first.exit_code if first else 0 if known else self.code or 1,
            stop=requests[0] if requests else None,
            at_once=any(bool(request.get("now")) for request in requests),
            killed=any(each.killed for each in ended),
            terminated=self.waker.terminated or (not requests and any(each.terminated for each in ended)),
            out_of_memory=any(each.out_of_memory for each in bad),
            rank=first.rank if first else None,
            looked_at=True,
        )

    def _judge(self, seen: Observed) -> Verdict:
        """As on one machine where a person asked, or nobody did; where Slurm did, in Slurm's words."""
        own = [request for request in self.run.requests("stop", self.attempt.n) if request.get("by") != settle.SLURM]
        result = self.attempt.result() or {}
        if result.get("outcome") == State.FINISHED or own:
            return judge(self.attempt, replace(seen, stop=own[0] if own else seen.stop))
        if not self.warned and not seen.terminated:
            never = self._not_started() if self.code and not node.endings(self.attempt) else None
            return never or self._with_node(judge(self.attempt, seen))
        step = result.get("step") if isinstance(result.get("step"), int) else None
        outcome, reason = self._slurms_reason()
        return Verdict(outcome, reason + settle.format_saved(self.run, step), {"step": step})

    def _not_started(self) -> Verdict | None:
        """Where srun itself refused, so that no node has a word of it."""
        said = [line for line in settle.output(self.attempt, self.log_from).splitlines() if line.startswith("srun: ")]
        if self.attempt.rank_steps() or not said:
            return None
        return Verdict(State.FAILED, f"its ranks were not started: {said[-1]}")

    def _slurms_reason(self) -> tuple[State, str]:
        """Why Slurm ends the job: the limit if that is what was warned of, else what its step daemon wrote."""
        cause = words.cause(settle.output(self.attempt, self.log_from))
        self.cause = cause or self._cause_of_signal()
        return words.outcome(self.cause)

    def _cause_of_signal(self) -> str:
        """What the signal was of, where Slurm's step daemon wrote nothing: a preemption and a person can send the same
        one as comes before the limit."""
        facts: dict[str, str] = {}
        with contextlib.suppress(SlurmError):
            facts = calls.show(["job", os.environ.get("SLURM_JOB_ID", "")])
        if facts.get("PreemptTime", "None") != "None":
            return "PREEMPTED"
        if not self.waker.warned:
            return "CANCELLED"
        end, job = calls.moment(facts.get("EndTime", "")), cluster_jobs.read(self.run)
        near = end is not None and job is not None and end - self.warned < job.warn + 2 * allocation.MARGIN
        return "TIMEOUT" if near else "SIGNALED"

    def _with_node(self, verdict: Verdict) -> Verdict:
        """The node of the rank that failed, where there are several."""
        rank = verdict.details.get("rank")
        found = next((each for each in node.endings(self.attempt) if rank in each.ranks), None)
        if len(self.nodes) < 2 or found is None or verdict.outcome == State.FINISHED:
            return verdict
        if verdict.reason.startswith("out of memory"):
            text = verdict.reason.replace("out of memory", f"out of memory (node {found.name})", 1)
            return replace(verdict, reason=text)
        return replace(verdict, reason=f"{verdict.reason}; rank {rank} was on {found.name}")

    def end(self, verdict: Verdict, seen: Observed | None) -> None:
        """exit.json; and back into Slurm's queue where the training is to go on."""
        mine = not self.waker.terminated and self._goes_on(verdict)
        slurms = self.cause == "NODE_FAIL" or (self.waker.terminated and self.cause in BY_SLURM)
        job = cluster_jobs.read(self.run)
        if job is not None and allocation.of(self.run.spec()["launch"]).chain:
            self._hand_on(verdict, seen, job, mine or slurms)
        else:
            self._requeue(verdict, seen, mine, slurms)
        hooks.ended(self.ws, self.run, self.attempt.n, self.expected)

    def _requeue(self, verdict: Verdict, seen: Observed | None, mine: bool, slurms: bool) -> None:
        """`mine`: to be asked for here; `slurms`: Slurm does it by itself."""
        self._write(_marked(verdict) if mine or slurms else verdict, seen)
        if mine:
            try:
                calls.requeue(os.environ["SLURM_JOB_ID"])
            except SlurmError as error:
                self._write(replace(verdict, reason=f"{verdict.reason}; it was not requeued: {error}"), seen)

    def _hand_on(self, verdict: Verdict, seen: Observed | None, job: ClusterJob, goes_on: bool) -> None:
        """To the next job of the chain, or to nobody: then those that wait are taken out of the queue."""
        if goes_on and job.chain:
            self._write(_marked(verdict), seen)
            cluster_jobs.advance(self.run, job)
            return
        if goes_on:
            verdict = replace(verdict, reason=f"{verdict.reason}; it was the last job of its chain")
        self._write(verdict, seen)
        calls.cancel_waiting(job.chain)

    def _write(self, verdict: Verdict, seen: Observed | None) -> None:
        last_word.write(self.attempt, verdict, seen, self.lock, _log)
        _log(f"attempt {self.attempt.n}: {verdict.outcome} {verdict.reason}")

    def _goes_on(self, verdict: Verdict) -> bool:
        """After a warning: the limit and a preemption end a job for good unless it is requeued before. After the limit
        only where a later checkpoint than the one it began from is there: else it would be requeued for ever."""
        if verdict.outcome != State.INTERRUPTED or self.cause not in ("TIMEOUT", "PREEMPTED", "SIGNALED"):
            return False
        newest = checkpoints.newest_whole(self.run.path)[0]
        came_further = newest is not None and newest.step > self.came_from
        return came_further or self.cause != "TIMEOUT"


def _marked(verdict: Verdict) -> Verdict:
    """The same as an end after which a job goes on with the run."""
    return replace(verdict, details={**verdict.details, "requeued": True})


def _address(name: str) -> str:
    """Where the other nodes reach this one: as Slurm itself does."""
    with contextlib.suppress(SlurmError):
        if address := calls.show(["node", name]).get("NodeAddr", ""):
            return address
    return socket.gethostname()


def _free_port(job: int) -> int:
    """A port that follows from the job's number, the first free one from there on."""
    for offset in range(PORTS):
        port = FIRST_PORT + (job + offset) % PORTS
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
                return port
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
    raise OSError(errno.EADDRINUSE, "no port is free")


def _log(text: str) -> None:
    print(f"{time.strftime('%F %T')} rmtui: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
