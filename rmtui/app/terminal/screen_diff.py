"""A copy of the terminal's cells, and few bytes from what it shows to what it should show. No app here.

Textual sends whole regions: one more log line costs the page again. Here the rows that moved are scrolled by the
terminal itself, and of the rest only cells that differ are sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

Cell = tuple[str, str]
"""Text (empty: the right half of a wide character) and SGR codes."""
Row = list[Cell | None]
"""None: not known what the terminal shows there."""

JUMP = 4
"""Equal cells that are sent again rather than jumped over: a jump costs as much."""
TAIL = 6
"""Blanks at a row's end from which erasing is shorter than writing them."""
FEWEST_SCROLLED = 3


class DoubtError(Exception):
    """Something that cells cannot express, a hyperlink say: the frame goes out plainly."""


class Abilities(NamedTuple):
    """What the terminal is trusted to do."""

    scroll: bool = True
    erase: bool = True
    """Erasing to the end of a row paints the present background."""
    colours: ColorSystem = ColorSystem.TRUECOLOR


class Shadow:
    """`put` says what should be shown; `frame` returns the bytes that bring the terminal there."""

    def __init__(self, width: int, height: int, abilities: Abilities) -> None:
        self.width, self.height = width, height
        self._can = abilities
        self._wanted: list[Row] = [[None] * width for _ in range(height)]
        self._shown: list[Row] = [[None] * width for _ in range(height)]
        self._codes: dict[Style | None, str] = {None: ""}
        self._has_joined = False
        """Whether there ever was a cell of several characters: most screens have none, and rows need no look for it."""
        self._dirty: set[int] = set()

    def put(self, x: int, y: int, segments: Iterable[Segment], end: int) -> None:
        """Text from column x on, up to column `end`. Cut wide characters leave blanks.

        What is outside is passed over: a part of a frame may have been drawn for the size before a resize.
        """
        if not 0 <= y < self.height or x >= self.width:
            return
        cells: list[Cell | None] = []
        for text, style, control in segments:
            if control:
                raise DoubtError("control codes")
            code = self._code(style)
            if text.isascii() or cell_len(text) == len(text):
                cells += [(character, code) for character in text]
            else:
                self._has_joined |= _append_wide(cells, text, code)
        row = self._wanted[y]
        end = min(end, self.width, x + len(cells))
        if end < x + len(cells) and cells[end - x] is not None and cells[end - x][0] == "":  # type: ignore[index]
            cells[end - x - 1] = (" ", cells[end - x - 1][1])  # type: ignore[index]
        row[x:end] = cells[: end - x]
        self._dirty.add(y)

    def _code(self, style: Style | None) -> str:
        code = self._codes.get(style)
        if code is None:
            assert style is not None
            if style.link:
                raise DoubtError("a hyperlink")
            code = Strip.render_ansi(style, self._can.colours)
            if len(self._codes) > 4096:
                self._codes = {None: ""}
            self._codes[style] = code
        return code

    def frame(self) -> str:
        """Bytes from what is shown to what is wanted; "" when they are equal."""
        changed = [y for y in sorted(self._dirty) if self._shown[y] != self._wanted[y]]
        self._dirty.clear()
        if not changed:
            return ""
        pen = _Pen(self._can.erase)
        if self._can.scroll and len(changed) > FEWEST_SCROLLED:
            changed = self._scroll(changed, pen)
        for y in changed:
            pen.row(y, self._shown[y], self._wanted[y], self._has_joined)
            self._shown[y] = list(self._wanted[y])
        return pen.text()

    def _scroll(self, changed: list[int], pen: _Pen) -> list[int]:
        """Let the terminal move the rows that only moved; returns the rows that are still to be written."""
        found = _moved(changed, self._shown, self._wanted)
        if found is None:
            return changed
        top, bottom, by = found
        pen.scroll(top, bottom, by)
        block = self._shown[top : bottom + 1]
        blank: list[Row] = [[None] * self.width for _ in range(abs(by))]
        self._shown[top : bottom + 1] = [*block[by:], *blank] if by > 0 else [*blank, *block[:by]]
        rows = set(changed) | set(range(top, bottom + 1))
        return [y for y in sorted(rows) if self._shown[y] != self._wanted[y]]


def _append_wide(cells: list[Cell | None], text: str, code: str) -> bool:
    """Whether a character was joined to the one before it."""
    joined = False
    for character in text:
        width = cell_len(character)
        if width == 0 and cells and cells[-1] is not None:
            at = -2 if cells[-1][0] == "" and len(cells) > 1 else -1
            base = cells[at]
            assert base is not None
            cells[at] = (base[0] + character, base[1])
            joined = True
        elif width:
            cells.append((character, code))
            cells += [("", code)] * (width - 1)
    return joined


def _moved(changed: list[int], shown: list[Row], wanted: list[Row]) -> tuple[int, int, int] | None:
    """(top, bottom, by): the block of rows that should move up by `by` (down when negative)."""
    places = {key: y for y in changed if (key := _key(shown[y])) is not None}
    votes = Counter(places[key] - y for y in changed if (key := _key(wanted[y])) in places)
    by, count = votes.most_common(1)[0] if votes else (0, 0)
    if by == 0 or count < FEWEST_SCROLLED:
        return None
    first, last = _longest_run([y for y in changed if 0 <= y + by < len(shown) and wanted[y] == shown[y + by]])
    if last - first + 1 < FEWEST_SCROLLED:
        return None
    return min(first, first + by), max(last, last + by), by


def _key(row: Row) -> tuple[Cell | None, ...] | None:
    """A row to look for; None for a blank or unknown one, which is found everywhere."""
    return None if row[0] is None or all(cell == row[0] for cell in row) else tuple(row)


def _longest_run(rows: list[int]) -> tuple[int, int]:
    best = (0, -1)
    start = 0
    for n in range(1, len(rows) + 1):
        if n == len(rows) or rows[n] != rows[n - 1] + 1:
            if rows and n - start > best[1] - best[0] + 1:
                best = (rows[start], rows[n - 1])
            start = n
    return best


class _Pen:
    """Writes cells, remembering where the terminal's cursor is and which style it has."""

    def __init__(self, erase: bool) -> None:
        self._erase = erase
        self._out: list[str] = []
        self._at: tuple[int, int] | None = None
        self._code = ""

    def text(self) -> str:
        """All that was written, the style reset behind it."""
        if self._code:
            self._out.append("\x1b[0m")
        return "".join(self._out)

    def scroll(self, top: int, bottom: int, by: int) -> None:
        """Rows top … bottom up by `by`, or down; the margins are lifted again at once."""
        self._out.append(f"\x1b[{top + 1};{bottom + 1}r\x1b[{abs(by)}{'S' if by > 0 else 'T'}\x1b[r")
        self._at = None

    def row(self, y: int, old: Row, new: Row, may_join: bool) -> None:
        """The cells of a row that differ. A row with joined characters goes whole: their width is disputed."""
        if may_join and any(cell is not None and len(cell[0]) > 1 for line in (old, new) for cell in line):
            self._run(y, 0, len(new), new)
            return
        for start, end in _runs(old, new):
            self._run(y, start, end, new)

    def _run(self, y: int, start: int, end: int, row: Row) -> None:
        while start > 0 and row[start] is not None and row[start][0] == "":  # type: ignore[index]
            start -= 1
        stop = max(start, self._tail(row)) if self._erase and end == len(row) else end
        self._go(y, start)
        for x in range(start, stop):
            self._cell(row[x])
        if stop < end:
            self._erase_with(row[-1])
        self._at = (y, stop) if stop < len(row) else None

    def _erase_with(self, blank: Cell | None) -> None:
        assert blank is not None
        self._style(blank[1])
        self._out.append("\x1b[K")

    @staticmethod
    def _tail(row: Row) -> int:
        """Where the equal blanks at the row's end begin; the row's length when they are too few to erase."""
        last = row[-1]
        if last is None or last[0] != " " or not set(last[1].split(";")).isdisjoint({"4", "7", "9", "21", "53"}):
            return len(row)
        x = len(row)
        while x > 0 and row[x - 1] == last:
            x -= 1
        return x if len(row) - x >= TAIL else len(row)

    def _go(self, y: int, x: int) -> None:
        if self._at == (y, x):
            return
        same_row = self._at is not None and self._at[0] == y
        self._out.append(f"\x1b[{x + 1}G" if same_row else f"\x1b[{y + 1};{x + 1}H")

    def _cell(self, cell: Cell | None) -> None:
        if cell is None:
            self._style("")
            self._out.append(" ")
        elif cell[0]:
            self._style(cell[1])
            self._out.append(cell[0])

    def _style(self, code: str) -> None:
        if code != self._code:
            self._out.append(f"\x1b[0;{code}m" if code else "\x1b[0m")
            self._code = code


def _runs(old: Row, new: Row) -> list[tuple[int, int]]:
    """Stretches of cells that differ; short equal stretches between them are taken along."""
    runs: list[tuple[int, int]] = []
    for x, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            continue
        if runs and x - runs[-1][1] <= JUMP:
            runs[-1] = (runs[-1][0], x + 1)
        else:
            runs.append((x, x + 1))
    return runs
