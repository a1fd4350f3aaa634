"""What the outside says to a rank: SIGTERM and SIGINT ask for a checkpoint and an end, SIGUSR1 for all stacks."""

from __future__ import annotations

import ctypes
import faulthandler
import signal
import sys
from types import FrameType
from typing import TextIO

PR_SET_PDEATHSIG = 1


class StopRequest:
    """Remembers the first stop signal. A second one changes nothing: launchers and supervisors both send them."""

    def __init__(self) -> None:
        self.signal = ""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._received)

    def _received(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or signal.Signals(number).name

    def __bool__(self) -> bool:
        return bool(self.signal)


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Have the kernel signal this process when the launcher dies, however it dies. Linux only; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def dump_stacks_on_request(log: TextIO) -> None:
    """SIGUSR1 writes every thread's stack to `log`, also while the rank hangs inside a collective."""
    faulthandler.register(signal.SIGUSR1, file=log, all_threads=True)
