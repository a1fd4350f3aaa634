"""Starting the launcher of an attempt, in its folder, with its log and its lock."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rmtui.launch.command import Command, full_environment


def begin(line: Command, tag: str, slots: Sequence[str], log: Path, lock: Path) -> int:
    """Start a command in a session of its own from the attempt's folder, which holds `lock`; returns its pid. Whoever
    calls it reaps the child."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)  # the launcher inherits it, and holds it as long as it lives
        child = subprocess.Popen(
            line.argv,
            cwd=lock.parent,
            env=full_environment(line, tag, slots),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            pass_fds=[held],
        )
    finally:
        os.close(held)
        os.close(out)
    child.returncode = 0  # reaped by a watch, which waits for every child; Popen must not
    return child.pid
