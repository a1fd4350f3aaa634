"""Lines of a growing file of any size, its end first: only blocks that are needed are read. No terminal here.

A file opens at its end at once. Line 0 is the first line of the part that has been counted; `grow` counts earlier
parts, and then every line number grows by what it returns (`shifted` is the sum), until `complete`.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

from rmtui.runs.log_search import Finder, finder
from trainer.plain_files import open_plain

BLOCK = 1 << 18
TAIL = 1 << 22
"""Bytes that are counted when a file is opened."""
LONGEST = 1 << 16
"""Bytes of a line that are read; a longer one is cut."""
NEAR = 1 << 12
"""Bytes within which lines are gone through one by one."""
MOST_NEW = 1 << 21
"""New bytes that one `refresh` counts: some 2 ms."""


class LogIndex:
    """A file that may grow while it is read. Not to be used by two threads at once; opening another one is cheap."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shifted = 0
        """Lines that were found in front since the file was opened."""
        self.behind = False
        """Whether the file holds more than `refresh` has counted: it is to be called again soon."""
        self._file = open_plain(path)
        self._reset()

    def _reset(self) -> None:
        self._size = self._file_size()
        self._first = max(0, self._size - TAIL) // BLOCK
        self._counts = [self._count_block(number) for number in range(self._first, self._blocks())]
        self._sums: list[int] | None = None

    def close(self) -> None:
        self._file.close()

    def _file_size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _blocks(self) -> int:
        return -(-self._size // BLOCK)

    def _read(self, start: int, size: int) -> bytes:
        """Bytes of the file as it was when last looked at."""
        return os.pread(self._file.fileno(), max(0, min(size, self._size - start)), start)

    def _count_block(self, number: int) -> int:
        return self._read(number * BLOCK, BLOCK).count(b"\n")

    @property
    def complete(self) -> bool:
        """Whether line numbers count from the file's start."""
        return self._first == 0

    @property
    def counted_from(self) -> int:
        """Number of the first block that has been counted."""
        return self._first

    @property
    def size(self) -> int:
        return self._size

    @property
    def line_count(self) -> int:
        """Lines counted so far, half a last line among them."""
        return max(0, self._newlines() + int(self._open_end()) - self._skipped())

    @property
    def whole_lines(self) -> int:
        """Lines counted so far that have their end."""
        return max(0, self._newlines() - self._skipped())

    def _newlines(self) -> int:
        return self._before(len(self._counts))

    def _before(self, index: int) -> int:
        """Newlines in the counted blocks before the index-th."""
        if self._sums is None:
            self._sums = [0, *accumulate(self._counts)]
        return self._sums[index]

    def _skipped(self) -> int:
        """Where the counted part begins inside a line, that line is left out."""
        return 0 if self.complete else 1

    def _open_end(self) -> bool:
        return self._size > 0 and self._read(self._size - 1, 1) != b"\n"

    def refresh(self) -> bool:
        """Look for new bytes, MOST_NEW at a time (`behind` tells of more); True when something changed.

        A file that shrank or was replaced is opened anew.
        """
        try:
            there = self.path.stat()
        except OSError:
            return False
        here = os.fstat(self._file.fileno())
        if (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev) or there.st_size < self._size:
            self._file.close()
            self._file = open_plain(self.path)
            self._reset()
            self.behind = False
            return True
        if here.st_size == self._size:
            return False
        known = self._size // BLOCK
        self._size = min(here.st_size, self._size + max(BLOCK, MOST_NEW))
        self.behind = self._size < here.st_size
        del self._counts[max(0, known - self._first) :]
        self._counts += [self._count_block(n) for n in range(self._first + len(self._counts), self._blocks())]
        self._sums = None
        return True

    def grow(self, seconds: float = 0.03, until: int = 0) -> int:
        """Count earlier blocks for so long, or to block `until`; returns by how much every line number grew."""
        before, deadline = self.line_count, time.monotonic() + seconds
        found: list[int] = []
        while self._first > until and (not found or time.monotonic() < deadline):
            self._first -= 1
            found.append(self._count_block(self._first))
        if not found:
            return 0
        self._counts[:0] = reversed(found)
        self._sums = None
        grown = self.line_count - before
        self.shifted += grown
        return grown

    def lines(self, first: int, n: int, size: int | None = None) -> list[str]:
        """Lines first … first + n − 1 as they are in the file, without their newlines; fewer at the end.

        `size`: no more once so many bytes are read, but one line at least.
        """
        first = max(0, first)
        n = min(n, self.line_count - first)
        found: list[str] = []
        for line in self._lines_from(first, n) if n > 0 else ():
            found.append(line.decode("utf-8", "replace"))
            if size is not None:
                size -= len(line) + 1
                if size <= 0:
                    break
        return found

    def _lines_from(self, first: int, n: int) -> Iterator[bytes]:
        start, block, at = self.offset(first), b"", 0
        for _ in range(n):
            end = block.find(b"\n", at)
            if end < 0:
                start, at = start + at, 0
                block = self._read(start, LONGEST)
                end = block.find(b"\n")
            if end >= 0:
                yield block[at:end]
                at = end + 1
                continue
            yield block  # longer than what is shown of a line, or the half line at the end
            newline = self._find(b"\n", start + len(block), self._size)
            start, block, at = (self._size if newline is None else newline + 1), b"", 0

    def offset(self, line: int) -> int:
        """Byte offset at which a line begins."""
        wanted = line + self._skipped()  # so many newlines come before it in the counted part
        start = self._first * BLOCK
        if wanted == 0:
            return start
        self._before(0)
        assert self._sums is not None
        index = min(bisect_right(self._sums, wanted - 1) - 1, len(self._counts) - 1)
        start = (self._first + index) * BLOCK
        return start + _after_newline(self._read(start, BLOCK), wanted - self._sums[index])

    def line_at(self, offset: int) -> int:
        """The line that holds a byte; earlier parts are counted as far as needed."""
        block = offset // BLOCK
        while block < self._first:
            self.grow(1.0, block)
        inside = self._read(block * BLOCK, offset - block * BLOCK).count(b"\n")
        line = self._before(block - self._first) + inside - self._skipped()
        if line < 0:
            self.grow(0.0)
            return self.line_at(offset)
        return line

    def search(
        self, pattern: str, line: int, forward: bool = True, cancelled: Callable[[], bool] = lambda: False
    ) -> int | None:
        """The next line after (or before) `line` that fits a pattern (see `log_search.read_pattern`), or None.

        Line numbers may have grown afterwards: see `shifted`. Raises ValueError for an empty pattern.
        """
        find = finder(pattern)
        if forward:
            start = self.offset(line + 1) if line + 1 < self.line_count else self._size
            found = self._scan(find, start, cancelled)
        else:
            end = self.offset(max(0, line)) if line < self.line_count else self._size
            found = self._scan_back(find, end, cancelled)
        return None if found is None else self.line_at(found)

    def _scan(self, find: Finder, start: int, cancelled: Callable[[], bool]) -> int | None:
        """Blocks that overlap by a line's possible length, so that no hit is cut in two."""
        while start < self._size and not cancelled():
            block = self._read(start, 2 * BLOCK)
            if (hit := find.first(block)) is not None:
                return start + hit
            start += self._whole_lines(block)
        return None

    @staticmethod
    def _whole_lines(block: bytes) -> int:
        return block.rfind(b"\n") + 1 or len(block)

    def _scan_back(self, find: Finder, end: int, cancelled: Callable[[], bool]) -> int | None:
        while end > 0 and not cancelled():
            start = max(0, end - 2 * BLOCK)
            block = self._read(start, end - start)
            cut = block.find(b"\n") + 1 if start > 0 else 0
            if (hit := find.first(block[cut:], last=True)) is not None:
                return start + cut + hit
            end = start + cut if cut and cut < len(block) else start
        return None

    def last_fits(self, pattern: str, most: int, cancelled: Callable[[], bool] = lambda: False) -> list[int]:
        """Numbers of the last whole lines that fit a pattern (see `log_search.read_pattern`); `most` or a block's more.

        In the numbering that holds afterwards (see `shifted`). Raises ValueError for an empty pattern.
        """
        find, end = finder(pattern), self.offset(self.whole_lines) if self.whole_lines < self.line_count else self._size
        found: list[tuple[int, int]] = []
        while end > 0 and len(found) < most and not cancelled():
            start = max(0, end - 2 * BLOCK)
            block = self._read(start, end - start)
            cut = block.find(b"\n") + 1 if start > 0 else 0
            if 0 < cut < len(block) or start == 0:
                end = start + cut
            else:  # within a line that is longer than the block
                end = start = self._line_start(end)
                block, cut = self._read(start, 2 * BLOCK), 0
                block += b"" if b"\n" in block else b"\0"  # the cut is not the end of the line: `$` does not fit there
            hits = list(find.each_line(block[cut:]))
            if hits:
                first = self.line_at(end)
                found += [(first + hit, self.shifted) for hit in reversed(hits)]
        return [line + self.shifted - then for line, then in reversed(found)]

    def _line_start(self, end: int) -> int:
        """Where the line begins that ends at `end`, its newline included."""
        at = end - 1
        while at > 0:
            start = max(0, at - BLOCK)
            if (newline := self._read(start, at - start).rfind(b"\n")) >= 0:
                return start + newline + 1
            at = start
        return 0

    def _find(self, text: bytes, start: int, end: int) -> int | None:
        while start < end:
            block = self._read(start, min(BLOCK, end - start))
            if (hit := block.find(text)) >= 0:
                return start + hit
            start += len(block)
        return None

    def step(self, step: int) -> int | None:
        """The last line that names an optimizer step (`step 412`)."""
        return self.search(rf"\b[Ss]tep[ =:/]*{step}\b", self.line_count, forward=False)


def _after_newline(block: bytes, n: int) -> int:
    """Where the text after the n-th newline begins."""
    start, end = 0, len(block)
    while end - start > NEAR:  # counting is a hundred times faster than going from one to the next
        middle = (start + end) // 2
        before = block.count(b"\n", start, middle)
        start, end, n = (middle, end, n - before) if before < n else (start, middle, n)
    for _ in range(n):
        start = block.index(b"\n", start) + 1
    return start
