"""Which lines of a log are on screen: position, following, filter. It reads no more than it shows; no screen here."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from rmtui.app.widgets.log.spans import shown, wrapped
from rmtui.runs.log_index import LogIndex
from rmtui.runs.log_search import read_pattern

MOST_MATCHES = 5000
"""Lines that a filter looks for among those that are there; those that come later are added."""
MOST_NEW, MOST_BYTES = 1500, 1 << 17
"""New lines, and their bytes, that a filter reads at a time: some 2 ms, so that a key need not wait for the rest."""


class LogRow(NamedTuple):
    """A row on screen: which line of the view it belongs to, its text, whether it is the line's first row."""

    place: int
    text: str
    whole: str
    """The whole line, from which its tone follows."""
    first: bool = True


class LogPicture(NamedTuple):
    """What is on screen: the rows, the place of the cursor (None: not shown), and what all rows are drawn with."""

    rows: Sequence[LogRow]
    cursor: int | None
    drawn_with: tuple[object, ...]

    def changed(self, before: LogPicture | None) -> Sequence[int]:
        """Numbers of rows that are not as they were before."""
        if before is None or before.drawn_with != self.drawn_with or not (before.rows and self.rows):
            return range(max(len(self.rows), len(before.rows) if before else 0, 2))
        pairs = enumerate(zip_longest(before._marked(), self._marked()))
        return [y for y, (old, new) in pairs if old != new]

    def _marked(self) -> Iterator[tuple[LogRow, bool]]:
        return ((row, row.place == self.cursor) for row in self.rows)


@dataclass(slots=True)
class LogPage:
    """A place in a log. Lines of the view are the file's, or those that a filter left."""

    source: LogIndex
    top: int = 0
    cursor: int = 0
    following: bool = True
    wrap: bool = False
    times: bool = True
    unseen: int = 0
    """Lines that came since it was last followed, or jumped into."""
    matches: list[int] | None = None
    """Line numbers that the filter left; None: no filter."""
    filter: re.Pattern[str] | None = None
    _seen: int = field(default=0)
    _old: int = field(default=0)
    """Lines that were there when following ended: they are not new, though this page may take them in later."""

    @property
    def count(self) -> int:
        """Lines of the view."""
        return self.source.line_count if self.matches is None else len(self.matches)

    @property
    def behind(self) -> bool:
        """Whether the file holds more than was taken in: `take_in` is to be called again soon."""
        return self.source.behind or (self.filter is not None and self._seen < self.source.whole_lines)

    def take_in(self) -> bool:
        """What the file gained, a bounded slice of it. Lines that come while paused are counted, not shown."""
        changed = self.source.refresh()
        if self.source.line_count < self._seen:
            self._seen, self.top, self.cursor, self.unseen, self._old = 0, 0, 0, 0, 0
            self.matches = None if self.matches is None else []
        gained = self._gained() if self.filter is None else self._filter_new()
        if not self.following:
            self.unseen += gained
        return changed or gained > 0

    def _gained(self) -> int:
        before, self._seen = max(self._seen, self._old), self.source.line_count
        return max(0, self._seen - before)

    def _filter_new(self) -> int:
        """Of lines that have their end: half a line may fit once it is whole."""
        assert self.filter is not None and self.matches is not None
        before = self._seen
        texts = self.source.lines(before, min(MOST_NEW, self.source.whole_lines - before), MOST_BYTES)
        self._seen += len(texts)
        found = [before + n for n, text in enumerate(texts) if self.filter.search(text)]
        self.matches += found
        return sum(number >= self._old for number in found)

    def start(self) -> None:
        """Look at the file for the first time: all that is there is seen."""
        self.source.refresh()
        self._seen = self.source.line_count

    def shift(self, by: int) -> None:
        """Lines were found in front: every line number grew."""
        self._seen += by
        self._old += by
        if self.matches is None:
            self.top += by
            self.cursor += by
        else:
            self.matches = [line + by for line in self.matches]

    def adopt(self, source: LogIndex) -> None:
        """Go on with another index of the same file, one that a thread has worked with and that counts no less."""
        if self.source.line_count:
            line = min(self.number(self.top) if self.count else 0, self.source.line_count - 1)
            place = source.line_at(self.source.offset(line))
            self.shift(place - line)
        self.source.close()
        self.source = source

    def set_filter(self, pattern: str, matches: list[int], height: int) -> None:
        """Only these lines, and those among later ones that fit; "" shows all again."""
        line = self.number(self.cursor) if self.count else 0
        self.filter = read_pattern(pattern).expression() if pattern else None
        self.matches = matches if pattern else None
        self._seen = self.source.whole_lines if pattern else self.source.line_count
        self.cursor = self.place(line)
        self.top = max(0, self.cursor - height // 2)

    def number(self, place: int) -> int:
        """The file's line at a place of the view."""
        return place if self.matches is None else self.matches[place]

    def place(self, number: int) -> int:
        """The place of a line of the file in the view; the next one that is left when the filter hides it."""
        if self.matches is None:
            return number
        return min(bisect_left(self.matches, number), max(0, len(self.matches) - 1))

    def texts(self, first: int, n: int) -> list[str]:
        """Lines of the view, harmless and folded."""
        first, last = max(0, first), min(self.count, first + n)
        if self.matches is None:
            raw: Sequence[str] = self.source.lines(first, max(0, last - first))
        else:
            raw = [line for number in self.matches[first:last] for line in self.source.lines(number, 1)]
        return [shown(line, self.times) for line in raw]

    def rows(self, width: int, height: int) -> list[LogRow]:
        """The rows on screen. When following, the last line is the last row."""
        if self.following:
            self.top = max(0, self.count - height)
            self.cursor = max(0, self.count - 1)
        self.top = max(0, min(self.top, self.count - 1))
        rows = [row for place, text in self._numbered(height) for row in self._split(place, text, width)]
        return rows[-height:] if self.following else rows[:height]

    def _numbered(self, height: int) -> list[tuple[int, str]]:
        return list(enumerate(self.texts(self.top, height), self.top))

    def _split(self, place: int, text: str, width: int) -> list[LogRow]:
        if not self.wrap:
            return [LogRow(place, text, text)]
        return [LogRow(place, part, text, n == 0) for n, part in enumerate(wrapped(text, width))]

    # Moves

    def move(self, by: int, height: int) -> None:
        """The cursor up or down; the page follows it. Down beyond the end starts following."""
        last = max(0, self.count - 1)
        if self.following and by > 0:
            return
        wanted = self.cursor + by
        self.follow(wanted > last)
        if self.following:
            return
        self.cursor = max(0, min(last, wanted))
        if abs(by) > 1:
            self.top += by
        self.top = max(0, min(self.cursor, max(self.top, self.cursor - height + 1)))

    def show_line(self, place: int, height: int) -> None:
        """A line in the middle of the page, the cursor on it."""
        self.follow(False)
        self.cursor = max(0, min(place, self.count - 1))
        if not self.top <= self.cursor < self.top + height:
            self.top = max(0, self.cursor - height // 2)

    def follow(self, on: bool) -> None:
        """Follow the end, or stay; what is there when it stays, or is followed again, is not new."""
        if on or self.following:
            self.forget_new()
        self.following = on

    def forget_new(self) -> None:
        self.unseen, self._old = 0, self.source.line_count
