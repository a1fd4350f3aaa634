"""Waiting that ends early when a signal or a child's death arrives."""

from __future__ import annotations

import os
import select
import signal
import types


class Waker:
    """Signals of this process as a descriptor to wait on; remembers a SIGTERM and a SIGUSR1.

    INT and HUP get a handler, not SIG_IGN: children inherit what is ignored, handlers are reset when they start.
    """

    def __init__(self) -> None:
        self.terminated = False
        self.warned = False
        """SIGUSR1 came: a scheduler's word that the end is near."""
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._note)
        signal.signal(signal.SIGUSR1, self._warn)
        signal.signal(signal.SIGTERM, self._terminate)

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        """Only wakes."""

    def _warn(self, number: int, frame: types.FrameType | None) -> None:
        self.warned = True

    def _terminate(self, number: int, frame: types.FrameType | None) -> None:
        self.terminated = True

    def end_on(self, *numbers: signal.Signals) -> None:
        """Take these signals as a SIGTERM."""
        for number in numbers:
            signal.signal(number, self._terminate)

    def wait(self, seconds: float) -> None:
        """Until a signal or `seconds` have gone by."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        if poll.poll(seconds * 1000):
            try:
                os.read(self._read, 4096)
            except BlockingIOError:
                return
