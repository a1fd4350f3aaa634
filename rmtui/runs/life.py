"""Whether an attempt lives, and by which processes. Several things must agree, and a field that is missing agrees with
nothing: the tag's nonce, the place (device and inode of the attempt's folder, which a copy does not share), and the
kernel locks that supervisor, launcher and ranks hold, which are seen over PID namespaces and users.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmtui.runs import cgroup, proc
from rmtui.runs.files import lock_held
from rmtui.runs.folder import AttemptFolder
from rmtui.runs.typed_files import number_of

SILENT_AFTER = 8.0
"""Seconds without a beat after which a supervisor that holds its lock is called silent; it beats twice a second."""


def processes(attempt: AttemptFolder, launch: Mapping[str, Any]) -> list[proc.Tagged]:
    """The living processes of an attempt that this process can see: those with its tag and place, those in its control
    group, and, where its locks are held and none of these is seen, whoever holds them."""
    nonce, here = launch.get("nonce"), proc.place(attempt.path)
    if not nonce or not here:
        return []
    found = proc.tagged(None, attempt.n, nonce)  # whatever the run's folder is called by now
    ours = [process for process in found if process.place == here]
    ours += _in_group(attempt, launch, here, {process.proc.pid for process in ours})
    return ours or (list(_holders(attempt)) if training_held(attempt) else [])


def _in_group(attempt: AttemptFolder, launch: Mapping[str, object], here: str, known: set[int]) -> list[proc.Tagged]:
    """Processes of the attempt's control group that show no tag: helpers with an environment of their own."""
    if launch.get("boot_id") != proc.boot_id():
        return []
    found = [each for pid in cgroup.pids(launch, here) if pid not in known and (each := proc.find(pid))]
    run, nonce = attempt.path.parent.name, str(launch["nonce"])
    return [
        proc.Tagged(each, proc.parent(each.pid), proc.state_letter(each), run, attempt.n, nonce, None, (), here)
        for each in found
    ]


def original(attempt: AttemptFolder, launch: Mapping[str, Any]) -> Path | None:
    """The run folder that this attempt is a copy of, while that one trains; None otherwise.

    It is a copy only where the folder of the launch is still there and another one than this, or a process with the
    attempt's tag lives in another one: a workspace that moved, or was mounted elsewhere, has other inodes, too.
    """
    first = AttemptFolder(Path(launch.get("folder", "")))
    there = launch.get("place") or _place_by_nonce(first, launch)
    if not there or there == proc.place(attempt.path):
        return None
    if proc.place(first.path) == there and (lock_held(first.lock) or training_held(first)):
        return first.path.parent
    nonce = launch.get("nonce") or "none"
    found = [each for each in proc.tagged(None, attempt.n, nonce) if each.place == there]
    return _folder_of(found[0]) if found else None


def _place_by_nonce(first: AttemptFolder, launch: Mapping[str, object]) -> str:
    """The place of the folder that a launch names, if that launch is in it. A job of a cluster notes no place: its
    nodes see the device under other numbers."""
    nonce = launch.get("nonce")
    return proc.place(first.path) if nonce and first.launch().get("nonce") == nonce else ""


def _folder_of(process: proc.Tagged) -> Path:
    """The run folder that a process works in, as well as it is known."""
    try:
        here = Path(f"/proc/{process.proc.pid}/cwd").readlink()
    except OSError:
        here = Path("/")
    return next((path for path in (here, *here.parents) if path.name == process.run), here)


def training_held(attempt: AttemptFolder) -> bool | None:
    """Whether the launcher or a rank holds its lock; None: not known."""
    held = [lock_held(path) for path in _lock_files(attempt)]
    return True if True in held else None if None in held else False


def keeps_locks(attempt: AttemptFolder) -> bool:
    """Whether its processes lock files at all; those of older versions do not, and free locks mean nothing there."""
    return attempt.launcher_lock.exists()


def _lock_files(attempt: AttemptFolder) -> list[Path]:
    ranks = [path for path in attempt.ranks.glob("rank*") if number_of(path.name, "rank") is not None]
    return [attempt.launcher_lock, *ranks]


def _holders(attempt: AttemptFolder) -> Iterator[proc.Tagged]:
    """Processes that have a lock file of the attempt open for writing, which readers never do."""
    wanted = {proc.place(path): path for path in _lock_files(attempt)}
    names = tuple(f"/{path.name}" for path in wanted.values())
    for pid in proc.pids():
        if pid == os.getpid():
            continue
        if (path := _held_by(pid, names, wanted)) and (stat := proc.find(pid)):
            rank = number_of(path.name, "rank")
            yield proc.Tagged(stat, proc.parent(pid), "", attempt.path.parent.name, attempt.n, "", rank, ())


def _held_by(pid: int, names: tuple[str, ...], wanted: Mapping[str, Path]) -> Path | None:
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for number in os.listdir(folder):  # noqa: PTH208  (every descriptor of every process)
            link = f"{folder}/{number}"
            with contextlib.suppress(OSError):
                named = os.readlink(link).endswith(names)  # noqa: PTH115
                path = wanted.get(proc.place(link)) if named else None
                if path is not None and _writes(pid, number):
                    return path
    return None


def _writes(pid: int, number: str) -> bool:
    lines = Path(f"/proc/{pid}/fdinfo/{number}").read_text().splitlines()
    flags = next((int(line.split()[1], 8) for line in lines if line.startswith("flags:")), 0)
    return flags & os.O_ACCMODE != os.O_RDONLY


@dataclass(frozen=True, slots=True)
class SupervisorBeat:
    """A supervisor's last sign of life, as written in its lock file."""

    process: proc.Proc
    namespace: str
    """Its PID namespace."""
    t: float
    """Seconds of the kernel's monotonic clock, which nobody sets."""

    def silence(self) -> float:
        """Seconds since then, for a reader under the same kernel."""
        return time.monotonic() - self.t


_BEAT = "{:>10} {:>20} {:>20.3f} {:>24}\n"


def beat(lock: int) -> None:
    """Say in its lock file that this supervisor works. A full disk keeps what it has: the bytes are there already."""
    me = proc.this_process()
    line = _BEAT.format(me.pid, me.started, time.monotonic(), proc.pid_namespace())
    with contextlib.suppress(OSError):
        os.pwrite(lock, line.encode(), 0)


def supervisor_beat(attempt: AttemptFolder) -> SupervisorBeat | None:
    """What the supervisor said last; None before its first beat, and of an older version's."""
    try:
        words = attempt.read_lock().split()
        return SupervisorBeat(proc.Proc(int(words[0]), int(words[1])), words[3].decode(), float(words[2]))
    except (OSError, ValueError, IndexError):
        return None
