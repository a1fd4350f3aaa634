"""A program in a real pty of 160 × 45: its output with times, its keys, its CPU and memory.

The other end answers what a modern terminal answers (device attributes, synchronised output, colours, cursor place), so
that a program neither waits for an answer nor falls back to a poorer mode.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Sequence
from pathlib import Path

ROWS, COLUMNS = 45, 160
LEFT_OUT = ("NO_COLOR", "TMUX", "PYTHONDONTWRITEBYTECODE")
"""Of the environment: an installed program has its bytecode, as the libraries beside it have theirs."""
ANSWERS = {
    b"\x1b[?2026$p": b"\x1b[?2026;2$y",
    b"\x1b[?2048$p": b"\x1b[?2048;0$y",
    b"\x1b[?2027$p": b"\x1b[?2027;0$y",
    b"\x1b[?u": b"\x1b[?0u",
    b"\x1b[c": b"\x1b[?62;c",
    b"\x1b[0c": b"\x1b[?62;c",
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b]10;?": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
    b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
    b"\x1b[>q": b"\x1bP>|xterm(390)\x1b\\",
    b"\x1b[>0q": b"\x1bP>|xterm(390)\x1b\\",
}


class Program:
    """Started at once; `close` ends it and its children that share its session."""

    def __init__(self, command: Sequence[str], folder: Path | None = None, **environment: str) -> None:
        self.output = bytearray()
        self.begun = time.perf_counter()
        self.last_byte = self.begun
        settings = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
        ambient = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder or Path.cwd())
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.execvpe(command[0], list(command), {**ambient, **settings, **environment})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, seconds: float) -> int:
        """Read for so long; the number of bytes."""
        before, end = len(self.output), time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0 and self._read(left):
            pass
        return len(self.output) - before

    def until(self, *texts: str, seconds: float = 60.0, start: int = 0) -> float | None:
        """Seconds since the program began until all texts are in the output after `start`; None: they never did."""
        wanted = [text.encode() for text in texts]
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            if all(self.output.find(text, start) >= 0 for text in wanted):
                return time.perf_counter() - self.begun
            if not self._read(0.05):
                return None
        return None

    def settle(self, quiet: float = 0.4, seconds: float = 60.0) -> float:
        """Read until nothing came for so long; seconds from the program's begin to the last byte."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            if not self.take(quiet):
                break
        return self.last_byte - self.begun

    def _read(self, seconds: float) -> bool:
        """False when the program is gone."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            block = os.read(self.fd, 1 << 20)
        except OSError:
            return False
        self.output += block
        self.last_byte = time.perf_counter()
        for question, answer in ANSWERS.items():
            if question in block:
                os.write(self.fd, answer)
        return bool(block)

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def cpu(self) -> float:
        """Seconds of processor time of the program and its children, those that ended included."""
        total = 0.0
        for pid in self._family():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        return total

    def memory(self) -> float:
        """Resident megabytes of the program and its children."""
        total = 0
        for pid in self._family():
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                continue
        return total * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _family(self) -> list[int]:
        found = [self.pid]
        for pid in found:
            for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    found += [int(child) for child in tasks.read_text().split()]
                except OSError:
                    continue
        return found

    def close(self) -> None:
        family = self._family()
        os.kill(self.pid, signal.SIGKILL)
        for pid in family[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        os.waitpid(self.pid, 0)
        os.close(self.fd)
