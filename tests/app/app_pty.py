"""The real program on a pseudo-terminal: what it writes, how it leaves, and a terminal that does not read."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import support

REDRAW = "\x1b[15~"
LEAVE_SCREEN, SHOW_CURSOR = b"\x1b[?1049l", b"\x1b[?25h"


class Pty:
    """A program with a pseudo-terminal of its own, which is its session's too unless asked otherwise; nothing is read
    from it unless a test asks."""

    def __init__(
        self, folder: Path, code: str = "", size: tuple[int, int] = (100, 30), session: bool = True, **environ: str
    ) -> None:
        self.master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(self._slave)
        start = ["-c", code] if code else ["-m", "rmtui"]
        self.process = subprocess.Popen(
            [sys.executable, *start, "-C", str(folder)],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if session else None,
            cwd=support.REPO,
            env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environ},
        )
        self.seen = b""
        self._open = True

    def read(self, seconds: float = 0.2) -> bytes:
        """What arrives until nothing has for so long."""
        found = b""
        while select.select([self.master], [], [], seconds)[0]:
            try:
                found += os.read(self.master, 65536)
            except OSError:  # the other end is closed
                break
        self.seen += found
        return found

    def comes_to_rest(self) -> None:
        """Wait, without reading, until the program is done: half a second almost without computing."""
        before = self._ticks()

        def rests() -> bool:
            nonlocal before
            was, before = before, self._ticks()
            return before - was <= 1

        support.wait_until(rests, every=0.5)

    def _ticks(self) -> int:
        """Processor time that the program has used, in the kernel's ticks."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def sees(self, words: str, seconds: float = support.PATIENCE) -> None:
        """Read until these words stand on a screen that was drawn whole: only changed cells are sent otherwise."""

        def there() -> bool:
            before = len(self.seen)
            assert self.process.poll() is None, self.seen[-2000:]
            if b"\x1b[?1049h" in self.seen:  # before, the keys would be the shell's
                self.press(REDRAW)
            self.read(0.2)
            return words.encode() in self.seen[before:]

        try:
            support.wait_until(there, seconds, every=0.3)
        except AssertionError:
            raise AssertionError(f"{words} never stood there; written at last: {self.seen[-3000:]!r}") from None

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ends(self, seconds: float = support.PATIENCE) -> int:
        """Its exit code, once it has ended; everything that it wrote is in `seen`."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            self.read(0.05)
            assert time.monotonic() < deadline, f"still running; it wrote {self.seen[-500:]!r}"
        self.read(0.1)
        return self.process.returncode

    @property
    def after(self) -> Sequence[object]:
        """The terminal's settings now."""
        return termios.tcgetattr(self._slave)

    def hang_up(self) -> None:
        """The connection is gone: whoever writes now gets an error, and the kernel sends a session SIGHUP."""
        os.close(self._slave)
        os.close(self.master)
        self._open = False

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self._open:
            os.close(self.master)
            os.close(self._slave)
