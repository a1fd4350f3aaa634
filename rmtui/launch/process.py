"""The processes of one attempt: which are ranks, and sending them signals.

They are found by their tag, never by walking a tree: each rank has its own session, and a killed launcher leaves them
to whoever reaps.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from rmtui.runs import proc
from rmtui.runs.proc import Tagged


def is_launcher(process: Tagged) -> bool:
    try:
        words = Path(f"/proc/{process.proc.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return process.rank is None and b"accelerate.commands.launch" in words


def ranks(processes: Sequence[Tagged]) -> list[Tagged]:
    """The leading process of each rank, helpers (data loaders, trackers) and launcher aside.

    A helper must not get a signal that is meant for its rank: a loader that dies of SIGTERM fails the training.
    """
    pids = {process.proc.pid: process for process in processes if not is_launcher(process)}
    return [process for process in pids.values() if process.parent not in pids]


def ask_to_stop(processes: Sequence[Tagged], asked: set[proc.Proc]) -> None:
    """SIGTERM once to every rank; to the launcher only while there is no rank yet. Stopped ranks are woken for it."""
    for process in ranks(processes) or processes:
        if process.proc not in asked and proc.signal(process.proc, signal.SIGTERM):
            asked.add(process.proc)
            proc.signal(process.proc, signal.SIGCONT)


def kill(processes: Iterable[Tagged]) -> None:
    """SIGKILL to every one."""
    for process in processes:
        proc.signal(process.proc, signal.SIGKILL)


def write_stacks(processes: Sequence[Tagged]) -> None:
    """SIGUSR1 to every rank: the trainer has faulthandler write its stacks into the rank's log."""
    for process in ranks(processes):
        if catches(process.proc, signal.SIGUSR1):
            proc.signal(process.proc, signal.SIGUSR1)


def catches(process: proc.Proc, number: int) -> bool:
    """Whether a process has a handler for a signal; without one, SIGUSR1 would kill it."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return False
    mask = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
    return bool(mask >> (number - 1) & 1)
