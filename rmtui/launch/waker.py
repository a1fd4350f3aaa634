"""Waiting that ends early when a signal or a child's death arrives."""

from __future__ import annotations

import os
import select
import signal
import types


class Waker:
    """Signals of this process as a descriptor to wait on; remembers a SIGTERM.

    INT and HUP get a handler, not SIG_IGN: children inherit what is ignored, handlers are reset when they start.
    """

    def __init__(self) -> None:
        self.terminated = False
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(number, self._note)
        signal.signal(signal.SIGTERM, self._terminate)

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        """Only wakes."""

    def _terminate(self, number: int, frame: types.FrameType | None) -> None:
        self.terminated = True

    def wait(self, seconds: float) -> None:
        """Until a signal or `seconds` have gone by."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        if poll.poll(seconds * 1000):
            try:
                os.read(self._read, 4096)
            except BlockingIOError:
                return
