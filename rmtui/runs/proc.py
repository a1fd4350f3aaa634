"""Facts about processes of this machine, from /proc: who is alive, since when, and which run it belongs to.

A pid alone is not enough: it always goes with the process's start time and the machine's boot id. A zombie is dead,
but not while threads of it live: a killed process keeps its locks and devices until the last of them is gone.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from dataclasses import dataclass
from pathlib import Path

TAG = "RMTUI_RUN"
"""Environment variable `<run id>:<attempt>:<nonce>:<place>` that every process of a training carries."""
SLOTS = "RMTUI_SLOTS"
"""Environment variable: names of the device slots that the training occupies, separated by commas."""


@dataclass(frozen=True, slots=True)
class Proc:
    """A process: equal only if it is the same one, not a later owner of the pid."""

    pid: int
    started: int
    """Clock ticks after boot."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A living process of a training."""

    proc: Proc
    parent: int
    state: str
    """Letter of /proc/PID/stat: R, S, D (waits in the kernel), T (stopped by a signal)."""
    run: str
    attempt: int
    nonce: str
    rank: int | None
    slots: tuple[str, ...]
    place: str = ""
    """Of its attempt's folder, as `place` gives it; empty where it is not known."""


@functools.cache
def boot_id() -> str:
    """Changes with every start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def boot_time() -> float:
    """When the machine started, Unix seconds; 0 where it is not known."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def host() -> str:
    return socket.gethostname()


@functools.cache
def pid_namespace() -> str:
    """Whose pids this process sees; "" where the kernel does not say."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        return ""


def place(path: Path | str) -> str:
    """Device and inode of a file or folder: a copy has another, a renamed one the same. "" where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return ""
    return f"{found.st_dev:x}.{found.st_ino:x}"


def pids() -> list[int]:
    """Every process that is seen here."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _stat(pid: int) -> tuple[str, int, int] | None:
    """(state letter, parent, start ticks); None when there is no such process."""
    fields = _stat_fields(Path(f"/proc/{pid}/stat"))
    if len(fields) < 20:
        return None
    ended = fields[0] in "ZX" and int(fields[17]) > 1
    return _letter_of_threads(pid) if ended else fields[0], int(fields[1]), int(fields[19])


def _stat_fields(path: Path) -> list[str]:
    """A stat file from its state letter on; empty when it is gone."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return []
    return text[text.rfind(")") + 2 :].split()


def _letter_of_threads(pid: int) -> str:
    """The state letter of a process whose first thread has ended: that of one which has not."""
    letters = [fields[0] for tid in _threads(pid) if (fields := _stat_fields(Path(f"/proc/{pid}/task/{tid}/stat")))]
    return next((letter for letter in letters if letter not in "ZX"), "Z")


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
    except OSError:
        return []


def this_process() -> Proc:
    stat = _stat(os.getpid())
    return Proc(os.getpid(), stat[2] if stat else 0)


def find(pid: int) -> Proc | None:
    """The process that has this pid now; None when there is none or only a zombie."""
    stat = _stat(pid)
    return Proc(pid, stat[2]) if stat and stat[0] not in "ZX" else None


def parent(pid: int) -> int:
    """The parent of a process; 0 when it is gone."""
    stat = _stat(pid)
    return stat[1] if stat else 0


def alive(proc: Proc) -> bool:
    """Whether this very process lives."""
    return find(proc.pid) == proc


def state_letter(proc: Proc) -> str:
    """State letter of a process, "" when it is gone."""
    stat = _stat(proc.pid)
    return stat[0] if stat and stat[2] == proc.started else ""


def tagged(run: str | None = None, attempt: int | None = None, nonce: str | None = None) -> list[Tagged]:
    """Every living process of trainings (of one run, attempt or launch), launchers and helpers included."""
    wanted = f"{TAG}=".encode()
    found = []
    for pid in pids():
        block = _environment(pid)
        if wanted in block and (process := _tagged(pid, block)) is not None:
            found.append(process)
    return [
        process
        for process in found
        if run in (None, process.run) and attempt in (None, process.attempt) and nonce in (None, process.nonce)
    ]


def _environment(pid: int) -> bytes:
    """A process's environment, empty where it is not shown. A first thread that has ended has none, the others do."""
    try:
        own = Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return b""
    except OSError:
        own = b""
    return own or _environment_of_threads(pid)


def _environment_of_threads(pid: int) -> bytes:
    for tid in _threads(pid):
        with contextlib.suppress(OSError):
            if block := Path(f"/proc/{pid}/task/{tid}/environ").read_bytes():
                return block
    return b""


def _tagged(pid: int, block: bytes) -> Tagged | None:
    stat = _stat(pid)
    env = dict(part.split("=", 1) for part in block.decode(errors="replace").split("\0") if "=" in part)
    fields = env.get(TAG, "").split(":")
    if stat is None or stat[0] in "ZX" or len(fields) not in (3, 4) or not fields[1].isdigit():
        return None
    # A tag of an older version has no place: there the current folder is the attempt's, unless it went elsewhere.
    here = fields[3] if len(fields) == 4 else place(f"/proc/{pid}/cwd")
    rank = env.get("RANK", "")
    return Tagged(
        Proc(pid, stat[2]),
        stat[1],
        stat[0],
        fields[0],
        int(fields[1]),
        fields[2],
        int(rank) if rank.isdigit() else None,
        tuple(name for name in env.get(SLOTS, "").split(",") if name),
        here,
    )


def _numbers_are_ours() -> bool:
    """Whether /proc counts processes as this one does: in a PID namespace without a /proc of its own, a pid read there
    is another process here."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())  # noqa: PTH115
    except OSError:
        return False


def signal(proc: Proc, number: int) -> bool:
    """Send a signal to this very process, never to a later owner of its pid; False when it is gone or not ours."""
    try:
        fd = os.pidfd_open(proc.pid)
    except OSError:
        return False
    try:
        if not alive(proc) or not _numbers_are_ours():
            return False
        import signal as signals

        signals.pidfd_send_signal(fd, number)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
