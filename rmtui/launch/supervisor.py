"""The process that waits for a run's turn, starts its training and sees it to its end: `python -m
rmtui.launch.supervisor wait|adopt RUN_FOLDER ATTEMPT [LOCK_FD]`.

It is nobody's child, has its own session, imports no torch, and holds no descriptor of its caller but the queue's lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmtui.errors import UserError
from rmtui.launch import checkpoints, hooks, last_word, machines, slots
from rmtui.launch.attempt_watch import Share, Watch
from rmtui.launch.command import command, job_of, threads
from rmtui.launch.ingester import Ingester
from rmtui.launch.start_process import begin
from rmtui.launch.verdict import LAUNCHER_LOG, Observed, Verdict, judge, oom_kills
from rmtui.launch.waker import Waker
from rmtui.runs import cgroup, life, proc, queue_tickets, state
from rmtui.runs.files import lock_held, path_of, write_json
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.model import State
from rmtui.runs.queue_tickets import TROUBLE_BYTES
from rmtui.workspace import Workspace, open_workspace

TRIES, TRIES_ON_A_FULL_DISK = 20, 2000
"""Times that a run whose turn it is tries to begin, half a second to two apart."""
LONGEST_LOG = 1 << 20
"""Bytes of supervisor.log."""
_PR_SET_CHILD_SUBREAPER = 36


def main(words: list[str]) -> int:
    """Forks away from the caller, then works. The caller sees exit code 0 at once."""
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    mode, path, n = words[0], Path(words[1]), int(words[2])
    run, waker = RunFolder(path), Waker()
    ws = _workspace(path.parent.parent)
    if mode == "adopt":
        _adopt(ws, run, n, waker)
    else:
        _wait_and_supervise(ws, run, n, int(words[3]), waker)
    return 0


def _workspace(root: Path) -> Workspace:
    try:
        return open_workspace(root)
    except UserError as error:  # settings broken by hand must not end a training
        _log(str(error))
        return Workspace(root)


def _log(text: str) -> None:
    """Into control/supervisor.log, as long as that is short."""
    try:
        if os.fstat(2).st_size < LONGEST_LOG:
            print(f"{time.strftime('%F %T')} {text}", file=sys.stderr, flush=True)
    except OSError:
        return  # a full disk; nobody else can be notified


def _wait_and_supervise(ws: Workspace, run: RunFolder, n: int, lock: int, waker: Waker) -> None:
    os.set_inheritable(lock, False)
    trouble = _Trouble(lock)
    with contextlib.suppress(Exception):
        hooks.found_ended(ws)
    while True:
        ws, run = _followed(ws, run, lock)
        if (ticket := queue_tickets.read(ws.queue, run.id)) is None or ticket.attempt != n:
            break
        try:
            started = _try_turn(ws, run, ticket)
        except FileExistsError as error:
            _log(f"{error} is there already")
            return
        except OSError as error:  # a full disk, say: go on waiting, for a while
            started = None
            if trouble.met(error):
                _give_up(ws, run, n, str(error))
                return
        else:
            trouble.over()
        if started is not None:
            os.close(lock)
            _supervise(ws, run, ticket, *started, waker)
            return
        if waker.terminated:
            return
        waker.wait(0.5 if _first(ws, ticket) else 2.0)
    with contextlib.suppress(OSError), queue_tickets.turn(ws.queue):
        if queue_tickets.read(ws.queue, run.id) is None:
            queue_tickets.waiter_lock(ws.queue, run.id).unlink(missing_ok=True)


def _followed(ws: Workspace, run: RunFolder, lock: int) -> tuple[Workspace, RunFolder]:
    """Where workspace and run are now: while a run waits they may be renamed, which its lock follows."""
    path = path_of(lock) if not queue_tickets.waiter_lock(ws.queue, run.id).exists() else None
    if path is None or path.parent.name != ws.queue.name:
        return ws, run
    moved = replace(ws, root=path.parent.parent)
    _log(f"the workspace is {moved.root} now")
    return moved, RunFolder(moved.runs / run.id)


class _Trouble:
    """Why a run whose turn it is cannot begin: said in the waiter's lock file, for its row, until it is given up."""

    def __init__(self, lock: int) -> None:
        self._lock, self._tries = lock, 0
        self.over()  # its bytes are there before a disk is full

    def met(self, error: OSError) -> bool:
        """Another try failed; whether that was the last one. A full disk may have room again, and gets more of them."""
        self._tries += not isinstance(error, TimeoutError)  # somebody holds the queue: this run is not at fault
        most = TRIES_ON_A_FULL_DISK if error.errno in (errno.ENOSPC, errno.EDQUOT) else TRIES
        self._write(f"cannot start, try {self._tries} of {most}: {error}")
        if self._tries == 1:
            _log(f"turn: {error}")
        return self._tries >= most

    def over(self) -> None:
        self._tries = 0
        self._write("")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.pwrite(self._lock, text.encode()[:TROUBLE_BYTES].ljust(TROUBLE_BYTES), 0)


def _give_up(ws: Workspace, run: RunFolder, n: int, why: str) -> None:
    """The run failed to start, and says so; where that cannot be written, its ticket waits for a person."""
    _log(f"given up: {why}")
    try:
        run.note_failed_start(n, why)
        queue_tickets.remove(ws.queue, run.id)
    except OSError as error:
        _log(f"given up, and not written: {error}")
        return
    hooks.failed_to_start(ws, run, state.status(run))


def _first(ws: Workspace, ticket: queue_tickets.Ticket) -> bool:
    line = queue_tickets.tickets(ws.queue)
    return bool(line) and line[0].run == ticket.run


def _try_turn(
    ws: Workspace, run: RunFolder, ticket: queue_tickets.Ticket
) -> tuple[AttemptFolder, int, slots.Taken] | None:
    """Devices and the attempt's folder, in one moment in which nobody else takes any; None: not yet."""
    with queue_tickets.turn(ws.queue):
        if queue_tickets.read(ws.queue, run.id) != ticket:
            return None
        taken = slots.take_turn(ws, ticket)
        if taken is None:
            return None
        try:
            attempt, lock = run.new_attempt(ticket.attempt)
        except OSError:
            taken.release()
            raise
        with contextlib.suppress(OSError):  # a ticket whose attempt exists is spent, removed or not
            queue_tickets.remove(ws.queue, run.id)
            queue_tickets.waiter_lock(ws.queue, run.id).unlink(missing_ok=True)
        return attempt, lock, taken


def _supervise(
    ws: Workspace,
    run: RunFolder,
    ticket: queue_tickets.Ticket,
    attempt: AttemptFolder,
    lock: int,
    taken: slots.Taken,
    waker: Waker,
) -> None:
    """From the taken devices to exit.json. The next in line gets the devices before the index is brought up to date."""
    ingester = Ingester(ws, run)
    ingester.start()
    life.beat(lock)
    with contextlib.suppress(OSError):
        hooks.expect(ws, run, attempt.n)
    noted = hooks.expected(ws, run, attempt.n)
    try:
        launch, launcher = _start(run, attempt, ticket, taken)
    except (OSError, UserError, ValueError) as error:
        _log(f"start: {error}")
        verdict = Verdict(State.FAILED, f"could not be started: {error}")
        _end(attempt, verdict, None, lock)
    else:
        watch = Watch(ws, run, attempt, launch, launcher, lock, waker, _share(job_of(run.spec()).machines))
        seen = watch.until_empty()
        ws, run, attempt = watch.ws, watch.run, watch.attempt
        _end(attempt, judge(attempt, seen), seen, lock)
    taken.release()
    _afterwards(ws, run, attempt, ingester, noted)


def _start(
    run: RunFolder, attempt: AttemptFolder, ticket: queue_tickets.Ticket, taken: slots.Taken
) -> tuple[dict[str, object], int]:
    """Write launch.json, then start the training from the attempt's folder; returns launch.json and the child's pid."""
    spec = run.spec()
    job = job_of(spec, taken.devices, checkpoints.precision_of(ticket.resume))
    line = command(job, str(run.path), str(attempt.path), resume=ticket.resume, force=ticket.force)
    nonce, place = os.urandom(6).hex(), proc.place(attempt.path)
    me, group = proc.this_process(), cgroup.make(nonce, place)
    launch: dict[str, Any] = {
        "kind": "local",
        "t": time.time(),
        "host": proc.host(),
        "boot_id": proc.boot_id(),
        "pid": me.pid,
        "started": me.started,
        "pid_namespace": proc.pid_namespace(),
        "place": place,
        "folder": str(attempt.path.absolute()),
        "cgroup": str(group) if group else None,
        "nonce": nonce,
        "tag": f"{run.id}:{attempt.n}:{nonce}:{place}",
        "argv": list(line.argv),
        "processes": job.processes,
        "machines": job.machines,
        "threads": threads(job.processes),
        "devices": list(taken.devices),
        "precision": job.mixed_precision,
        "slots": list(taken.names),
        "grace": job.grace,
        "oom_kills": oom_kills(),
        "resumed_from": ticket.resume or None,
        "resumed_from_step": checkpoints.step_of(ticket.resume),
    }
    machines.write_scripts(run, attempt, job, str(launch["tag"]), ticket.resume, ticket.force)
    write_json(attempt.path / "launch.json", launch)
    try:
        launcher = begin(
            line, str(launch["tag"]), list(launch["slots"]), attempt.logs / LAUNCHER_LOG, attempt.launcher_lock
        )
    except OSError:
        cgroup.remove(launch, place)
        raise
    cgroup.enter(group, launcher)  # within microseconds of its start: it has begun nothing yet
    return launch, launcher


def _share(machines: int) -> Share:
    """All ranks of a training, or those of this machine where others have joined."""
    return Share(whole=machines == 1)


def _adopt(ws: Workspace, run: RunFolder, n: int, waker: Waker) -> None:
    """Take over an attempt whose supervisor died, or only write its last word when no process is left either."""
    attempt = AttemptFolder(run.path / f"attempt-{n}")
    if _lock(attempt.path / "adopter.lock", waker) is None or attempt.exit() is not None:
        return
    launch = attempt.launch()
    lives = bool(life.processes(attempt, launch))
    # With no process left it is only looked at: a dead run must not look alive while its last word is written.
    lock = _lock(attempt.lock, waker) if lives else None
    if (lives and lock is None) or (not lives and lock_held(attempt.lock) is not False):
        return
    held = slots.hold(ws, launch.get("slots", []))
    _log(f"adopted attempt {n}{'' if held is not None else '; its devices could not be locked again'}")
    ingester = Ingester(ws, run)
    ingester.start()
    watch = Watch(ws, run, attempt, launch, None, lock, waker, _share(job_of(run.spec()).machines))
    seen = watch.until_empty()
    ws, run, attempt = watch.ws, watch.run, watch.attempt
    _end(attempt, judge(attempt, seen), seen, lock)
    for fd in held or ():
        os.close(fd)
    _afterwards(ws, run, attempt, ingester, noted=True)


def _lock(path: Path, waker: Waker) -> int | None:
    """Hold a lock for as long as this process lives; None when another has it. Readers' probes hold it for moments."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(20):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            waker.wait(0.05)
    os.close(fd)
    return None


def _end(attempt: AttemptFolder, verdict: Verdict, seen: Observed | None, lock: int | None) -> None:
    last_word.write(attempt, verdict, seen, lock, _log)
    _log(f"attempt {attempt.n}: {verdict.outcome} {verdict.reason}")


def _afterwards(ws: Workspace, run: RunFolder, attempt: AttemptFolder, ingester: Ingester, noted: bool) -> None:
    ingester.follow(ws, run)
    ingester.finish(30)
    hooks.ended(ws, run, attempt.n, noted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
