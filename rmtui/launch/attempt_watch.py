"""Watching one attempt to its end: stop requests, stalls, and the proof that no process of it is left."""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rmtui.launch import gpus as machine
from rmtui.launch import hooks, process
from rmtui.launch.verdict import LAUNCHER_LOG, Observed, describe_exit, ends_others, first_exit, oom_kills
from rmtui.launch.waker import Waker
from rmtui.runs import cgroup, life, proc, state
from rmtui.runs.files import atomic_write, path_of, was_removed
from rmtui.runs.folder import AttemptFolder, RunFolder
from rmtui.runs.model import State, Status
from rmtui.workspace import Workspace

TICK = 0.5
QUICK = 0.1
"""Seconds between looks while something is about to end."""
LEFTOVER_GRACE = 5.0
"""Seconds for helpers that outlive a training which ended by itself (a tracker's upload, say)."""
STUCK_AFTER = 10.0
"""Seconds after SIGKILL before a process is called unkillable."""
STALL_LOOK = 5.0
RANK_LOOK = 2.0
GPU_LOOK = 30.0
"""Seconds between looks at who else computes on a run's GPUs: two users may have found the same one free."""
COARSE = 2_000_000_000
"""Nanoseconds within which two changes of a folder may carry the same time."""


@dataclass(frozen=True, slots=True)
class Share:
    """What of an attempt a watch is for: on one machine all of it."""

    log: str = LAUNCHER_LOG
    whole: bool = True
    """False: one machine of several, whose ranks are those that are seen here."""
    tells_of_stalls: bool = True
    order: Callable[[], str] = str
    """Asked at every look: `end`, `over` (what is left has a moment), `kill`, or "" to go on, by what goes on
    elsewhere."""


class Watch:
    """Follows the processes of an attempt. `launcher` is the child's pid, or None after an adoption."""

    def __init__(
        self,
        ws: Workspace,
        run: RunFolder,
        attempt: AttemptFolder,
        launch: dict[str, Any],
        launcher: int | None,
        lock: int | None,
        waker: Waker,
        part: Share | None = None,
    ) -> None:
        self._part = part or Share()
        self.ranks: set[int] = set()
        """Those that were seen alive."""
        self.ws, self.run, self.attempt = ws, run, attempt
        """Where they are now."""
        self._launch, self._waker = launch, waker
        self._launcher, self._lock = launcher, lock
        self._code: int | None = None
        self._asked: set[proc.Proc] = set()
        self._deadline: float | None = None
        """When the patience with processes that should end runs out (monotonic)."""
        self._killing_since: float | None = None
        self._stuck = ""
        self._killed = False
        self._at_once = False
        self._stop: dict[str, Any] | None = None
        self._stacks = 0
        self._control_time = -1
        self._requests: dict[str, list[dict[str, Any]]] = {"stop": [], "stacks": []}
        self._stalled = False
        self._rank_look = 0.0
        self._log_size = 0
        self._stall_look = time.monotonic() + STALL_LOOK
        self._gpu_look = time.monotonic() + GPU_LOOK
        self._shared = ""

    def until_empty(self) -> Observed:
        """Returns when no tagged process is left."""
        while not self._over():
            self._beat()
            self.follow()
            self._heed_requests()
            self._heed_order()
            self._look_for_failed_rank()
            self._look_for_stall()
            self._look_for_others()
            self._waker.wait(QUICK if self._deadline is not None else TICK)
        cgroup.remove(self._launch, proc.place(self.attempt.path))
        return Observed(
            self._code,
            self._stop,
            self._at_once,
            self._killed,
            self._waker.terminated,
            oom_kills() > int(self._launch.get("oom_kills", 0)),
        )

    def follow(self) -> None:
        """A workspace may be renamed while it trains, and its lock knows where it is: requests come there, and its end
        is looked for there."""
        place = self._launch.get("place")
        if self._lock is None or not place or proc.place(self.attempt.path) == place:
            return
        lock = path_of(self._lock)
        if lock is None and was_removed(self._lock):
            self._end_without_folder()
        if lock is None or proc.place(lock.parent) != place:
            return
        self.attempt, self.run = AttemptFolder(lock.parent), RunFolder(lock.parent.parent)
        self.ws = replace(self.ws, root=self.run.path.parent.parent)
        print(f"the run is in {self.run.path} now", file=sys.stderr, flush=True)

    def _end_without_folder(self) -> None:
        """The run's folder was deleted: nothing of what its processes do could be kept."""
        if self._deadline is None:
            print(f"{self.attempt.path} was deleted: its processes are ended", file=sys.stderr, flush=True)
            self._deadline = time.monotonic() + LEFTOVER_GRACE
            process.ask_to_stop(self._living(), self._asked)

    def _beat(self) -> None:
        if self._lock is not None:
            life.beat(self._lock)
        if not self._part.whole and time.monotonic() >= self._rank_look:
            self._rank_look = time.monotonic() + RANK_LOOK
            self._living()  # notes which ranks this machine has: only they are its own

    def _over(self) -> bool:
        self._reap()
        if self._launcher is not None and self._deadline is None:
            return False
        living = self._living()
        if not living:
            return self._launcher is None
        if self._launcher is None and self._deadline is None:
            self._look_after_adopted(living)
        self._press(living)
        return False

    def _look_after_adopted(self, living: list[proc.Tagged]) -> None:
        """The end of a launcher that was never this process's child."""
        if self.attempt.result() is not None:
            self._deadline = time.monotonic() + LEFTOVER_GRACE
        elif "accelerate.commands.launch" in self._launch.get("argv", []) and not any(map(process.is_launcher, living)):
            self._deadline = time.monotonic() + self._grace()
            process.ask_to_stop(living, self._asked)

    def _living(self) -> list[proc.Tagged]:
        found = life.processes(self.attempt, self._launch) or self._of_this_launch()
        self.ranks |= {each.rank for each in found if each.rank is not None}
        child = None if self._launcher is None or found else proc.find(self._launcher)
        return found if child is None else [self._untagged(child)]

    def _of_this_launch(self) -> list[proc.Tagged]:
        """By tag and place alone, where the folder is gone."""
        nonce, place = self._launch.get("nonce"), self._launch.get("place")
        if not nonce or not place or proc.place(self.attempt.path):
            return []
        return [each for each in proc.tagged(None, self.attempt.n, nonce) if each.place == place]

    def _untagged(self, child: proc.Proc) -> proc.Tagged:
        """The launcher, where it dropped its tag: this process knows which one it started."""
        return proc.Tagged(child, os.getpid(), "", self.run.id, self.attempt.n, "", None, ())

    def _reap(self) -> None:
        """Collect every child: the launcher, and orphaned ranks that came to this subreaper."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._launcher:
                self._launcher, self._code = None, os.waitstatus_to_exitcode(status)
                self._launcher_ended()

    def _launcher_ended(self) -> None:
        """What is left gets a moment; after a violent end the ranks are asked to save first."""
        violent = self._code is not None and self._code < 0
        patience = time.monotonic() + (self._grace() if violent else LEFTOVER_GRACE)
        self._deadline = patience if self._deadline is None else min(self._deadline, patience)
        if violent:
            process.ask_to_stop(self._living(), self._asked)

    def _grace(self) -> float:
        return float(self._launch.get("grace", state.GRACE))

    def _press(self, living: list[proc.Tagged]) -> None:
        """Ask again whoever came later; kill when the patience has run out."""
        if self._deadline is None:
            return
        if self._stop is not None or self._waker.terminated:
            process.ask_to_stop(living, self._asked)
        if time.monotonic() < self._deadline:
            return
        self._killed = True
        self._killing_since = self._killing_since or time.monotonic()
        self._kill(living)
        if time.monotonic() - self._killing_since > STUCK_AFTER:
            self._note_stuck(living)

    def _kill(self, living: list[proc.Tagged]) -> None:
        """The launcher gets a moment after its ranks: only it can say how they ended."""
        patient = not self._at_once and time.monotonic() < (self._killing_since or 0.0) + LEFTOVER_GRACE
        process.kill(each for each in living if not (patient and process.is_launcher(each)))

    def _note_stuck(self, living: list[proc.Tagged]) -> None:
        """Leave word for readers; the devices stay taken, since this process goes on holding their locks."""
        pids = ", ".join(f"pid {each.proc.pid} ({_kernel_state(each)})" for each in living)
        where = f" on {', '.join(self._launch.get('devices', []))}" if self._launch.get("devices") else ""
        text = f"the kernel does not let it die: {pids}{where}; its devices stay taken"
        if text != self._stuck:
            self._stuck = text
            self._write_note("stuck", text)

    def _write_note(self, name: str, text: str) -> None:
        """A note for readers; without room on the disk it is in the log only."""
        print(text, file=sys.stderr, flush=True)
        try:
            atomic_write(self.attempt.path / f"{name}.txt", text.encode())
        except OSError as error:
            print(f"{name}.txt: {error}", file=sys.stderr, flush=True)

    def _read_requests(self) -> None:
        """What was asked, read again only when something came to control/ or went; there may be thousands of files.

        Two changes within a moment may carry the same time, so that it is also read for a while after each.
        """
        try:
            changed = self.run.control.stat().st_mtime_ns
        except OSError:
            changed = 0
        if changed != self._control_time or abs(time.time_ns() - changed) < COARSE:
            self._control_time = changed
            self._requests = {kind: self.run.requests(kind, self.attempt.n) for kind in ("stop", "stacks")}

    def _heed_requests(self) -> None:
        self._read_requests()
        if requests := self._requests["stop"]:
            self._stop = self._stop or requests[0]
            if not self._at_once and any(request.get("now") for request in requests):
                self._at_once = True
                self._deadline = time.monotonic()
        if (self._stop or self._waker.terminated) and self._deadline is None:
            self._deadline = time.monotonic() + self._grace()
            process.ask_to_stop(self._living(), self._asked)
        asked = len(self._requests["stacks"])
        if asked > self._stacks:
            process.write_stacks(self._living())
        self._stacks = asked

    def _heed_order(self) -> None:
        order = self._part.order()
        if order == "kill":
            self._at_once = True
            self._deadline = time.monotonic()
        elif order == "over":
            patience = time.monotonic() + LEFTOVER_GRACE
            self._deadline = patience if self._deadline is None else min(self._deadline, patience)
        elif order and self._deadline is None:
            self._deadline = time.monotonic() + self._grace()
            process.ask_to_stop(self._living(), self._asked)

    def _look_for_failed_rank(self) -> None:
        """A rank is gone and the launcher ends the others, which may take it half a minute: say so, start the grace."""
        log = self.attempt.logs / self._part.log
        size = log.stat().st_size if log.exists() else 0
        if size == self._log_size or self._deadline is not None:
            return
        self._log_size = size
        if text := self._failed_rank():
            self._deadline = time.monotonic() + self._grace()
            self._write_note("ending", f"{text}; the others are ending")

    def _failed_rank(self) -> str:
        code, rank = first_exit(self.attempt, None, self._part.log)
        if code is not None and rank is not None:
            return f"rank {rank if self._part.whole else self.global_rank(rank)} {describe_exit(code)}"
        if not ends_others(self.attempt, self._part.log):
            return ""
        expected = set(range(int(self._launch.get("processes", 1)))) if self._part.whole else self.ranks
        gone = expected - {each.rank for each in self._living()}
        return f"rank {gone.pop()} is gone" if len(gone) == 1 else ""

    def global_rank(self, local: int) -> int:
        """The rank whose number on this machine is `local`."""
        known = sorted(self.ranks)
        return known[local] if local < len(known) else local

    def _look_for_stall(self) -> None:
        if time.monotonic() < self._stall_look or not self._part.tells_of_stalls:
            return
        self._stall_look = time.monotonic() + STALL_LOOK
        text = state.stall(self.attempt)
        if text and not self._stalled:
            hooks.stalled(self.ws, self.run, Status(State.RUNNING, text))
        self._stalled = bool(text)

    def _look_for_others(self) -> None:
        """Where users have no common folder of locks, nothing keeps two runs from the same GPU but a look at it."""
        devices = self._launch.get("devices", [])
        if not devices or time.monotonic() < self._gpu_look:
            return
        self._gpu_look = time.monotonic() + GPU_LOOK
        ours = {each.proc.pid for each in self._living()}
        others = machine.others_on(machine.gpus(), devices, ours)
        text = "; ".join(f"{uuid} is shared with {', '.join(map(_whose, pids))}" for uuid, pids in others.items())
        if text != self._shared:
            self._shared = text
            self._write_note("shared", text)


def _whose(pid: int) -> str:
    try:
        return f"pid {pid} of {pwd.getpwuid(Path(f'/proc/{pid}').stat().st_uid).pw_name}"
    except (OSError, KeyError):
        return f"pid {pid}"


def _kernel_state(each: proc.Tagged) -> str:
    rank = f"rank {each.rank}, " if each.rank is not None else ""
    return f"{rank}waits in the kernel" if each.state == "D" else f"{rank}state {each.state}"
